//! Which hosts a token may go to: one strict reading of `https` URLs and of the operator's lists.

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
    pub fn parse(value: &'a str) -> Result<Self, &'static str> {
        if let Some(what) = slip(value) {
            return Err(what);
        }
        let (scheme, rest) = value.split_once("://").ok_or("it is no URL")?;
        if !scheme.eq_ignore_ascii_case("https") {
            return Err("only https is allowed, since a token travels with every request");
        }
        if !rest.bytes().all(|byte| byte.is_ascii_graphic()) || rest.contains(['\\', '?', '#', '%']) {
            return Err("spaces, backslashes, queries, fragments and escapes do not belong into it");
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if authority.contains('@') {
            return Err("user names and passwords do not belong into it");
        }
        let (host, port) = host_and_port(authority).ok_or("it has no proper host name")?;
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

    /// The entry of the list that covers the host, whatever the port.
    pub fn covered_by<'l>(&self, list: &'l [String]) -> Option<&'l str> {
        list.iter()
            .map(String::as_str)
            .find(|entry| host_matches(entry, &self.host))
    }
}

/// What happened to a value on its way here: slips of YAML, shell and Kubernetes, which make of a good URL no URL.
fn slip(value: &str) -> Option<&'static str> {
    let white = |c: char| c.is_whitespace();
    if value.starts_with(white) {
        return Some("it begins with white space");
    }
    if value.ends_with(white) {
        return Some("it ends with white space");
    }
    if value.starts_with(['"', '\'']) {
        return Some("it is in quotes of its own");
    }
    if value.contains("$(") {
        return Some(
            "it has a $(NAME) that Kubernetes did not replace, since no variable of that name stands before it",
        );
    }
    None
}

/// Whether an entry of a list (`host`, or `*.suffix` with exactly one label for the star) covers a host.
pub fn host_matches(entry: &str, host: &str) -> bool {
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

    fn host(value: &str) -> Result<String, &'static str> {
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
    fn look_alikes_are_not_repaired() {
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
    fn a_slip_on_the_way_here_is_named() {
        for (value, what) in [
            (" https://dev.azure.com/org", "begins with white space"),
            ("https://dev.azure.com/org\n", "ends with white space"),
            ("\"https://dev.azure.com/org\"", "quotes of its own"),
            ("'https://dev.azure.com/org'", "quotes of its own"),
            ("https://dev.azure.com/$(ORG)", "did not replace"),
            ("$(URL)", "did not replace"),
        ] {
            let error = HttpsUrl::parse(value).expect_err(value);
            assert!(error.contains(what), "{value}: {error}");
        }
    }

    #[test]
    fn a_star_stands_for_exactly_one_label() {
        let list: Vec<String> = crate::DEFAULT_ALLOWED_HOSTS.split(',').map(str::to_owned).collect();
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
            assert_eq!(url.covered_by(&list).is_some(), covered, "{value}");
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
}
