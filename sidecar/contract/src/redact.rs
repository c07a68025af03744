//! What may be shown of a text that is, or was meant to be, a URL: people put passwords and tokens into one.

/// Longest text that is repeated, in characters.
const LIMIT: usize = 200;
/// Stands for what is not shown.
const HIDDEN: &str = "***";

/// The URL without user info, query and fragment (RFC 3986, 3.2.1, 3.4 and 3.5), on one line and not too long.
///
/// It is meant for a URL that was refused, so its form cannot be relied upon: where it is not clear which part is
/// the user info (`https://user:pass?word@host`, `https://user:password`), the whole authority is hidden. Nothing after
/// an escape is shown, since an escaped `@` or `?` may introduce one of the three.
pub fn redacted(url: &str) -> String {
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) if is_scheme(scheme) => (format!("{scheme}://"), rest),
        Some(_) | None => (String::new(), url),
    };
    let end = rest.find(['?', '#', '%']).unwrap_or(rest.len());
    let (shown, hidden) = rest.split_at(end);
    let shown = match shown.rfind('@') {
        _ if hidden.contains('@') || hidden.contains("%40") => HIDDEN.to_owned(),
        Some(at) => format!("{HIDDEN}{}", &shown[at..]),
        None if has_a_port_that_is_not_a_number(shown) => HIDDEN.to_owned(),
        None => shown.to_owned(),
    };
    let text = format!("{scheme}{shown}");
    text.chars().filter(|c| !c.is_control()).take(LIMIT).collect()
}

/// RFC 3986, 3.1.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// `user:password` without the host that should follow, or an IPv6 address without its brackets.
fn has_a_port_that_is_not_a_number(text: &str) -> bool {
    let authority = text.split(['/', '\\']).next().unwrap_or_default();
    let port = match authority.rfind(']') {
        Some(end) => &authority[end + 1..],
        None => authority.find(':').map_or("", |colon| &authority[colon..]),
    };
    !port.trim_start_matches(':').bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::redacted;

    #[test]
    fn a_plain_url_is_shown_as_it_is() {
        for url in [
            "https://dev.azure.com/contoso",
            "http://dev.azure.com:8080/contoso/project",
            "https://[::1]:7443/contoso",
            "https://dev.azurе.com./contoso", // a Cyrillic letter
            "dev.azure.com/contoso",
            "contoso",
            "",
        ] {
            assert_eq!(redacted(url), url);
        }
    }

    #[test]
    fn user_info_query_and_fragment_are_hidden() {
        for (url, shown) in [
            ("https://dev.azure.com/contoso?token=x", "https://dev.azure.com/contoso"),
            ("https://dev.azure.com/contoso#x", "https://dev.azure.com/contoso"),
            (
                "https://dev.azure.com/contoso%3ftoken=x",
                "https://dev.azure.com/contoso",
            ),
            ("https://x@dev.azure.com/contoso", "https://***@dev.azure.com/contoso"),
            (
                "https://u:x@dev.azure.com/contoso?x",
                "https://***@dev.azure.com/contoso",
            ),
            (
                "https://u:x@y@dev.azure.com/contoso",
                "https://***@dev.azure.com/contoso",
            ),
            (
                "https://u:x/y@dev.azure.com/contoso",
                "https://***@dev.azure.com/contoso",
            ),
            ("https://u:x?y@dev.azure.com/contoso", "https://***"),
            ("https://dev.azure.com/contoso?mail=a@x", "https://***"),
            ("https://u:x", "https://***"),
            ("https://u:x%40dev.azure.com", "https://***"),
            ("https:\\\\u:x@dev.azure.com", "***@dev.azure.com"),
            ("https:\\\\u:x%40dev.azure.com", "***"),
            ("u:x@://dev.azure.com", "***@://dev.azure.com"),
            ("u:x@dev.azure.com", "***@dev.azure.com"),
            (
                "https://dev.azure.com/\u{1b}[31mcontoso\n",
                "https://dev.azure.com/[31mcontoso",
            ),
        ] {
            assert_eq!(redacted(url), shown, "{url}");
        }
        assert_eq!(redacted(&format!("https://{}", "ä".repeat(1000))).chars().count(), 200);
    }
}
