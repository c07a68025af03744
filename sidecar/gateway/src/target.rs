//! What a request is for: its path and query, read so that nobody behind us can read them otherwise.

use http::Uri;

/// Path and query of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target<'a> {
    /// The segments as they were sent; none is empty.
    raw: Vec<&'a str>,
    /// The segments, decoded.
    pub(crate) segments: Vec<String>,
    ends_in_slash: bool,
    /// The query as it was sent.
    query: Option<&'a str>,
}

impl<'a> Target<'a> {
    /// `None` where a path could be understood in two ways: dot segments, encoded separators, control characters, and bytes
    /// that a path cannot have (RFC 3986, 3.3). Doubled slashes count as one, as start scripts make them.
    pub(crate) fn read(uri: &'a Uri) -> Option<Self> {
        let path = uri.path().strip_prefix('/')?;
        let raw: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let segments = raw.iter().map(|segment| segment_text(segment)).collect::<Option<_>>()?;
        let query = uri.query();
        if query.is_some_and(|query| {
            !query
                .bytes()
                .all(|byte| is_path_byte(byte) || b"/?%[]^`{|}\\".contains(&byte))
        }) {
            return None;
        }
        Some(Self {
            raw,
            segments,
            ends_in_slash: path.ends_with('/'),
            query,
        })
    }

    /// The same without its first segment.
    pub(crate) fn below(mut self) -> Option<(String, Self)> {
        if self.segments.is_empty() {
            return None;
        }
        self.raw.remove(0);
        let first = self.segments.remove(0);
        Some((first, self))
    }

    /// Path and query as they were sent, but for doubled slashes.
    pub(crate) fn as_sent(&self) -> String {
        let slash = if self.ends_in_slash && !self.raw.is_empty() {
            "/"
        } else {
            ""
        };
        let query = self.query.map(|query| format!("?{query}")).unwrap_or_default();
        format!("/{}{slash}{query}", self.raw.join("/"))
    }

    /// The segments in lower case, as Azure DevOps compares them; `None` where one was sent with escapes.
    pub(crate) fn plain(&self) -> Option<Vec<String>> {
        let plain = |segment: &&str| (!segment.contains('%')).then(|| segment.to_ascii_lowercase());
        self.raw.iter().map(plain).collect()
    }

    /// The query's parameters, decoded; `None` where they cannot be.
    pub(crate) fn parameters(&self) -> Option<Vec<(String, String)>> {
        let pairs = self
            .query
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty());
        pairs
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                Some((form_text(name)?, form_text(value)?))
            })
            .collect()
    }

    /// A parameter, whatever its case, if it was sent once.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        let mut found = self
            .parameters()?
            .into_iter()
            .filter(|(key, _)| key.eq_ignore_ascii_case(name));
        let (_, value) = found.next()?;
        found.next().is_none().then_some(value)
    }
}

/// A segment, decoded, if it means one thing only.
fn segment_text(segment: &str) -> Option<String> {
    if !segment.bytes().all(|byte| is_path_byte(byte) || byte == b'%') {
        return None;
    }
    let text = decoded(segment.as_bytes())?;
    let is_plain = !text.chars().any(|char| char.is_control() || matches!(char, '/' | '\\'));
    (is_plain && text != "." && text != "..").then_some(text)
}

/// What stands in a path as it is (RFC 3986: `pchar` without escapes).
fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte)
}

fn form_text(text: &str) -> Option<String> {
    decoded(text.replace('+', " ").as_bytes())
}

/// Text with its escapes decoded; `None` where one is incomplete, or the result is no UTF-8.
fn decoded(bytes: &[u8]) -> Option<String> {
    let mut text = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, after @ ..] = rest {
        rest = after;
        if *first == b'%' {
            let [high, low, after @ ..] = rest else { return None };
            text.push(hex(*high)? << 4 | hex(*low)?);
            rest = after;
        } else {
            text.push(*first);
        }
    }
    String::from_utf8(text).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

/// A value of a query, escaped so that every server reads the same.
pub(crate) fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(text: &str) -> Option<String> {
        let uri: Uri = text.parse().expect(text);
        Target::read(&uri).map(|target| target.as_sent())
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_not_read() {
        for path in [
            "/a/../b",
            "/a/./b",
            "/..",
            "/a/%2e%2e/b",
            "/a/.%2E/b",
            "/a%2fb",
            "/a%2Fb",
            "/a%5cb",
            "/a%00b",
            "/a%0d%0ab",
            "/a%",
            "/a%f",
            "/a%zz",
            "/a%ff",
            "/a|b",
            "/a\"b",
            "/a{b}",
            "/a^b",
            "/a`b",
        ] {
            assert_eq!(
                path.parse::<Uri>().ok().and_then(|uri| Target::read(&uri).map(|_| ())),
                None,
                "{path}"
            );
        }
        assert!("*".parse::<Uri>().is_ok_and(|uri| Target::read(&uri).is_none()));
    }

    #[test]
    fn everything_else_goes_on_as_it_was_sent() {
        for path in [
            "/",
            "/a",
            "/a/",
            "/a?x=1&x=%2e%2e/..",
            "/a%20b/$metadata?$top=1",
            "/a/...",
            "/a;b=c/d@e:f",
        ] {
            assert_eq!(sent(path).as_deref(), Some(path));
        }
        assert_eq!(sent("//a///b//").as_deref(), Some("/a/b/"));
        assert_eq!(sent("/?").as_deref(), Some("/?"));
    }

    #[test]
    fn parameters_are_decoded_and_doubled_ones_are_none() {
        let uri: Uri = "/a?Name=b+c%26&x=&x=2&y".parse().expect("a URI");
        let target = Target::read(&uri).expect("a target");
        assert_eq!(target.parameter("nAmE").as_deref(), Some("b c&"));
        assert_eq!(target.parameter("x"), None);
        assert_eq!(target.parameter("y").as_deref(), Some(""));
        assert_eq!(escaped("b c&/ü"), "b%20c%26%2F%C3%BC");
    }
}
