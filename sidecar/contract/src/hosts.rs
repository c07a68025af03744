//! Which hosts a token may go to: one strict reading of `https` URLs and of the operator's lists.

use crate::redacted;
use std::error::Error;
use std::fmt;

/// An `https` URL, read strictly: what browsers and URL libraries repair (user names, escapes, backslashes, names that are
/// not ASCII, a trailing dot) is refused, because a repaired name could be another host than the one that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpsUrl<'a> {
    /// Host in lower case; an IPv6 address in brackets.
    pub host: String,
    /// Port, where it is not 443.
    pub port: Option<u16>,
    /// Everything after the first slash, without slashes at its end.
    pub path: &'a str,
}

impl<'a> HttpsUrl<'a> {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong with it, as the end of a sentence.
    pub fn parse(value: &'a str) -> Result<Self, HttpsUrlError> {
        if let Some(mistake) = common_mistake(value) {
            return Err(mistake);
        }
        let (scheme, rest) = value.split_once("://").ok_or(HttpsUrlError::NotUrl)?;
        if !scheme.eq_ignore_ascii_case("https") {
            return Err(HttpsUrlError::NotHttps);
        }
        if !rest.bytes().all(|byte| byte.is_ascii_graphic()) || rest.contains(['\\', '?', '#', '%']) {
            return Err(HttpsUrlError::ForbiddenCharacter);
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if authority.contains('@') {
            return Err(HttpsUrlError::UserInfo);
        }
        let (host, port) = host_and_port(authority).ok_or(HttpsUrlError::BadHost)?;
        Ok(Self {
            host: host.to_ascii_lowercase(),
            port,
            path: path.trim_end_matches('/'),
        })
    }

    /// `https://host[:port]`.
    pub fn origin(&self) -> String {
        match self.port {
            None => format!("https://{}", self.host),
            Some(port) => format!("https://{}:{port}", self.host),
        }
    }
}

/// Why a value is not an [`HttpsUrl`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpsUrlError {
    /// White space at its beginning: a mistake of YAML or of a shell.
    LeadingWhiteSpace,
    /// White space at its end, such as the line break of `echo`.
    TrailingWhiteSpace,
    /// Quotes that are part of the value.
    Quoted,
    /// A `$(NAME)` that Kubernetes left as it is.
    Unexpanded,
    /// No scheme.
    NotUrl,
    /// Another scheme.
    NotHttps,
    /// A character that URL libraries repair or that begins what must not be there.
    ForbiddenCharacter,
    /// A user name, perhaps with a password.
    UserInfo,
    /// Host or port that cannot be one.
    BadHost,
}

impl fmt::Display for HttpsUrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LeadingWhiteSpace => "begins with white space",
            Self::TrailingWhiteSpace => "ends with white space",
            Self::Quoted => "the value contains quotation marks",
            Self::Unexpanded => {
                "contains a $(NAME) that Kubernetes did not replace, since no variable of that name is defined before it"
            }
            Self::NotUrl => "not a URL",
            Self::NotHttps => "only https is allowed, since a token travels with every request",
            Self::ForbiddenCharacter => "must not contain spaces, backslashes, queries, fragments or escapes",
            Self::UserInfo => "must not contain a user name or password",
            Self::BadHost => "not a valid host name",
        })
    }
}

impl Error for HttpsUrlError {}

/// A common mistake of YAML, shell or Kubernetes that makes a good URL invalid.
fn common_mistake(value: &str) -> Option<HttpsUrlError> {
    let white = |c: char| c.is_whitespace();
    if value.starts_with(white) {
        Some(HttpsUrlError::LeadingWhiteSpace)
    } else if value.ends_with(white) {
        Some(HttpsUrlError::TrailingWhiteSpace)
    } else if value.starts_with(['"', '\'']) {
        Some(HttpsUrlError::Quoted)
    } else if value.contains("$(") {
        Some(HttpsUrlError::Unexpanded)
    } else {
        None
    }
}

/// Hosts that a token may go to: names (`dev.azure.com`) and patterns (`*.visualstudio.com`, where `*.` is exactly one
/// label), whatever the port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostList(Vec<String>);

impl HostList {
    /// Reads a list whose entries are separated by commas; at least one.
    ///
    /// # Errors
    /// The entries that are neither a host nor a pattern, or that there is none at all.
    pub fn parse(text: &str) -> Result<Self, HostListError> {
        let entries = text.split(',').map(|entry| entry.trim().to_ascii_lowercase());
        let entries = entries.filter(|entry| !entry.is_empty());
        let (good, bad): (Vec<String>, Vec<String>) = entries.partition(|entry| is_host_entry(entry));
        if bad.is_empty() && !good.is_empty() {
            return Ok(Self(good));
        }
        Err(HostListError {
            entries: bad.iter().map(|entry| redacted(entry)).collect(),
        })
    }

    /// The entries, separated by commas alone: the value of a variable.
    pub fn to_variable(&self) -> String {
        self.0.join(",")
    }

    /// The entry that covers a host.
    pub fn entry_for(&self, host: &str) -> Option<&str> {
        self.0
            .iter()
            .map(String::as_str)
            .find(|entry| host_matches(entry, host))
    }
}

/// As [`HostList::parse`] reads it, with a space after each comma.
impl fmt::Display for HostList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}

/// Why a text is not a [`HostList`]. The message has the wrong entries, without what may be a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostListError {
    entries: Vec<String>,
}

impl fmt::Display for HostListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.entries.is_empty() {
            f.write_str("empty")?;
        }
        for (index, entry) in self.entries.iter().enumerate() {
            write!(f, "{}{entry:?}", if index == 0 { "" } else { ", " })?;
        }
        f.write_str(": expected hosts (dev.azure.com) and patterns (*.visualstudio.com), separated by commas")
    }
}

impl Error for HostListError {}

fn host_matches(entry: &str, host: &str) -> bool {
    match entry.strip_prefix("*.") {
        None => entry.eq_ignore_ascii_case(host),
        Some(suffix) => host
            .split_once('.')
            .is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(suffix)),
    }
}

/// Whether this can be an entry of a list.
pub fn is_host_entry(entry: &str) -> bool {
    is_host(entry.strip_prefix("*.").unwrap_or(entry))
}

fn host_and_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match authority.rfind(']') {
        Some(end) => authority.split_at(end + 1),
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => None,
        None => return None,
        Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(digits.parse().ok().filter(|port| *port != 0)?)
        }
        Some(_) => return None,
    };
    is_host(host).then_some((host, port.filter(|port| *port != 443)))
}

fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    host.len() <= 253
        && host.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(value: &str) -> Result<String, HttpsUrlError> {
        HttpsUrl::parse(value).map(|url| url.host)
    }

    #[test]
    fn an_origin_keeps_a_port_that_is_not_the_default() {
        for (value, origin, path) in [
            ("https://dev.azure.com/org", "https://dev.azure.com", "org"),
            ("HTTPS://Dev.Azure.Com:443/org//", "https://dev.azure.com", "org"),
            ("https://127.0.0.1:8443", "https://127.0.0.1:8443", ""),
            ("https://[::1]:8443/org/", "https://[::1]:8443", "org"),
        ] {
            let url = HttpsUrl::parse(value).expect(value);
            assert_eq!((url.origin().as_str(), url.path), (origin, path), "{value}");
        }
    }

    #[test]
    fn a_similar_host_name_is_not_repaired() {
        for value in [
            "http://dev.azure.com/org",
            "dev.azure.com/org",
            "https://dev.azure.com@evil.example/org",
            "https://user:password@dev.azure.com/org",
            "https://dev.azure.com./org",
            "https://dev.azure.com:/org",
            "https://dev.azure.com:0/org",
            "https://dev.azure.com:+443/org",
            "https://dev.azure.com:443:443/org",
            "https://dev.azure.com\\@evil.example/org",
            "https://dev.azure.com%2eevil.example/org",
            "https://dev.azure.com?.evil.example/org",
            "https://dev.azure.com#.evil.example/org",
            "https://d\u{435}v.azure.com/org",
            "https://dev\u{3002}azure.com/org",
            "https:// dev.azure.com/org",
            "https:///org",
            "https://",
        ] {
            assert!(host(value).is_err(), "{value} was read as {:?}", host(value));
        }
    }

    #[test]
    fn common_mistakes_have_errors_of_their_own() {
        for (value, what) in [
            (" https://dev.azure.com/org", "begins with white space"),
            ("https://dev.azure.com/org\n", "ends with white space"),
            ("\"https://dev.azure.com/org\"", "quotation marks"),
            ("'https://dev.azure.com/org'", "quotation marks"),
            ("https://dev.azure.com/$(ORG)", "did not replace"),
            ("$(URL)", "did not replace"),
        ] {
            let error = HttpsUrl::parse(value).expect_err(value).to_string();
            assert!(error.contains(what), "{value}: {error}");
        }
    }

    #[test]
    fn a_wildcard_matches_exactly_one_label() {
        let list = HostList::parse(crate::DEFAULT_ALLOWED_HOSTS).expect("hosts");
        for (value, covered) in [
            ("https://dev.azure.com", true),
            ("https://DEV.azure.COM:8443", true),
            ("https://contoso.visualstudio.com", true),
            ("https://visualstudio.com", false),
            ("https://a.b.visualstudio.com", false),
            ("https://contoso.visualstudio.com.evil.example", false),
            ("https://evilvisualstudio.com", false),
            ("https://xdev.azure.com", false),
            ("https://dev.azure.com.evil.example", false),
            ("https://xn--dv-azure-hbh.com", false),
        ] {
            let url = HttpsUrl::parse(value).expect(value);
            assert_eq!(list.entry_for(&url.host).is_some(), covered, "{value}");
        }
    }

    #[test]
    fn an_entry_is_a_host_or_a_pattern() {
        for (entry, good) in [
            ("dev.azure.com", true),
            ("*.visualstudio.com", true),
            ("[::1]", true),
            ("*", false),
            ("*.", false),
            ("*.*.com", false),
            ("https://dev.azure.com", false),
            ("dev.azure.com/", false),
            ("dev.azure.com:443", false),
            ("", false),
        ] {
            assert_eq!(is_host_entry(entry), good, "{entry}");
        }
    }

    #[test]
    fn a_list_is_read_whole_or_its_wrong_entries_are_named() {
        let list = HostList::parse(" Dev.Azure.com , *.visualstudio.com,").expect("hosts");
        assert_eq!(list.to_string(), "dev.azure.com, *.visualstudio.com");
        assert_eq!(HostList::parse(&list.to_string()), Ok(list));
        for (text, named) in [
            ("", "empty: expected"),
            (" , ", "empty: expected"),
            ("https://dev.azure.com", "\"https://dev.azure.com\": expected"),
            ("dev.azure.com,*,a b", "\"*\", \"a b\": expected"),
        ] {
            let error = HostList::parse(text).expect_err(text).to_string();
            assert!(error.starts_with(named), "{text}: {error}");
        }
        let error = HostList::parse("https://u:s3cret@dev.azure.com").expect_err("a URL");
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
    }
}
