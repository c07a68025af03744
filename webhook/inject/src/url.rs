//! URLs of Azure DevOps Services, as far as they are known at admission.

use crate::text::quote;
use contract::HttpsUrl;

const SERVICES_HOST: &str = "dev.azure.com";
const LEGACY_SUFFIX: &str = ".visualstudio.com";
const FORM: &str = "expected https://dev.azure.com/ORGANIZATION or https://ORGANIZATION.visualstudio.com";

/// Reads an organization URL in either of the two shapes, and normalizes it: host in lower case, no trailing slash.
///
/// `allowed` holds hosts (`dev.azure.com`) and patterns (`*.visualstudio.com`, where `*.` is exactly one label). Entries
/// match the host alone, whatever its port. Where a pattern matches, the first label is the organization; else the first
/// and only path segment is.
///
/// # Errors
/// A sentence that says what is wrong with the value and which form is expected, without the place it came from.
pub fn organization_url(value: &str, allowed: &[String]) -> Result<String, String> {
    let wrong = |what: &str| Err(format!("{}: {what}; {FORM}", quote(&contract::redacted(value))));
    let url = match HttpsUrl::parse(value) {
        Ok(url) => url,
        Err(what) => return wrong(what),
    };
    let Some(entry) = url.covered_by(allowed) else {
        return Err(not_allowed(value, &url, allowed));
    };
    // Two are too many already.
    let segments: Vec<&str> = url.path.split('/').filter(|part| !part.is_empty()).take(2).collect();
    let origin = url.origin();
    let organization_is_label = entry.starts_with("*.") || url.host.ends_with(LEGACY_SUFFIX);
    match (organization_is_label, segments.as_slice()) {
        (true, []) => Ok(origin),
        (true, _) => wrong("nothing may follow the host"),
        (false, [organization]) if is_organization(organization) => Ok(format!("{origin}/{organization}")),
        (false, []) => wrong("the organization is missing"),
        (false, [_]) => wrong("this is no name of an organization"),
        (false, _) => wrong("it must end with the organization, without a project"),
    }
}

fn not_allowed(value: &str, url: &HttpsUrl<'_>, allowed: &[String]) -> String {
    let hosts = allowed.join(", ");
    let value = quote(&contract::redacted(value));
    let host = url.host.as_str();
    if host == SERVICES_HOST || host.ends_with(LEGACY_SUFFIX) {
        return format!("{value}: the operator allows tokens only for {hosts}");
    }
    let server = url
        .path
        .split('/')
        .any(|part| part.eq_ignore_ascii_case("tfs") || part.eq_ignore_ascii_case("DefaultCollection"));
    if server || !host.contains("azure") && !host.contains("visualstudio") {
        return format!(
            "{value}: this host is not of Azure DevOps Services; Azure DevOps Server accepts no Entra token. The operator \
             allows tokens only for {hosts}; {FORM}"
        );
    }
    format!(
        "{value}: this host only resembles Azure DevOps Services; the operator allows tokens only for {hosts}; {FORM}"
    )
}

/// The organization of a URL that [`organization_url`] gave: the same in both shapes.
pub(crate) fn organization_of(url: &str) -> &str {
    let rest = url.strip_prefix("https://").unwrap_or(url);
    match rest.split_once('/') {
        Some((_, organization)) => organization,
        None => rest.split('.').next().unwrap_or(rest),
    }
}

pub(crate) fn is_organization(name: &str) -> bool {
    name.len() <= 64
        && !name.starts_with(['_', '.'])
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Result<String, String> {
        let allowed: Vec<String> = contract::DEFAULT_ALLOWED_HOSTS.split(',').map(str::to_owned).collect();
        organization_url(value, &allowed)
    }

    #[test]
    fn both_shapes_are_normalized() {
        for (value, expected) in [
            ("https://dev.azure.com/contoso", "https://dev.azure.com/contoso"),
            ("https://dev.azure.com/contoso/", "https://dev.azure.com/contoso"),
            ("HTTPS://Dev.Azure.COM:443/Contoso//", "https://dev.azure.com/Contoso"),
            ("https://Contoso.visualstudio.com/", "https://contoso.visualstudio.com"),
            ("https://contoso.visualstudio.com", "https://contoso.visualstudio.com"),
            (
                "https://dev.azure.com:8443/contoso",
                "https://dev.azure.com:8443/contoso",
            ),
        ] {
            assert_eq!(read(value).as_deref(), Ok(expected), "{value}");
        }
    }

    #[test]
    fn everything_else_is_refused_with_the_reason() {
        for (value, part) in [
            ("", "it is no URL"),
            ("contoso", "it is no URL"),
            ("dev.azure.com/contoso", "it is no URL"),
            ("http://dev.azure.com/contoso", "only https"),
            ("ftp://dev.azure.com/contoso", "only https"),
            ("https://dev.azure.com", "organization is missing"),
            ("https://dev.azure.com/", "organization is missing"),
            ("https://dev.azure.com/contoso/project", "without a project"),
            ("https://dev.azure.com/_apis", "no name of an organization"),
            ("https://dev.azure.com/..", "no name of an organization"),
            ("https://contoso.visualstudio.com/project", "nothing may follow"),
            ("https://a.b.visualstudio.com", "allows tokens only for"),
            ("https://visualstudio.com", "only resembles"),
            ("https://dev.azure.com.evil.example/contoso", "only resembles"),
            ("https://dev-azure.com/contoso", "only resembles"),
            ("https://dev.azure.com./contoso", "no proper host name"),
            ("https://user:secret@dev.azure.com/contoso", "user names"),
            ("https://dev.azure.com@evil.example/contoso", "user names"),
            ("https://dev.azure.com\\@evil.example/contoso", "backslashes"),
            ("https://dev.azure.com/contoso?x=y", "queries"),
            ("https://dev.azure.com/contoso#x", "fragments"),
            ("https://dev.azure.com%2eevil.example/contoso", "escapes"),
            ("https://dev.azure.com /contoso", "spaces"),
            (" https://dev.azure.com/contoso", "begins with white space"),
            ("\"https://dev.azure.com/contoso\"", "in quotes"),
            ("https://dev.azure.com/$(ORG)", "did not replace"),
            ("https://dev.azurе.com/contoso", "spaces"), // a Cyrillic letter
            ("https://dev.azure.com:0/contoso", "no proper host name"),
            ("https://dev.azure.com:+443/contoso", "no proper host name"),
            ("https://dev.azure.com:/contoso", "no proper host name"),
            ("https:///contoso", "no proper host name"),
            (
                "https://tfs.corp.example/tfs/DefaultCollection",
                "Azure DevOps Server accepts no Entra token",
            ),
            (
                "https://ado.corp.example/contoso",
                "Azure DevOps Server accepts no Entra token",
            ),
        ] {
            let sentence = read(value).expect_err(value);
            assert!(sentence.contains(part), "{value}: {sentence}");
            assert!(sentence.contains("dev.azure.com"), "{value}: {sentence}");
        }
    }

    #[test]
    fn a_token_in_the_url_is_not_repeated() {
        for value in [
            "https://s3cret@dev.azure.com/contoso",
            "https://user:s3cret@dev.azure.com/contoso",
            "s3cret@://x",
            "https://dev.azure.com/contoso?token=s3cret",
            "https://evil.example/contoso#s3cret",
        ] {
            let sentence = read(value).expect_err(value);
            assert!(!sentence.contains("s3cret"), "{sentence}");
        }
    }

    #[test]
    fn the_operator_may_list_other_hosts() {
        let allowed = [
            "ado.test".to_owned(),
            "*.ado.test".to_owned(),
            "[::1]".to_owned(),
            "me.visualstudio.com".to_owned(),
        ];
        for (value, expected) in [
            ("https://ado.test:7443/org", "https://ado.test:7443/org"),
            ("https://org.ado.test:7443/", "https://org.ado.test:7443"),
            ("https://[::1]:7443/org", "https://[::1]:7443/org"),
            ("https://me.visualstudio.com", "https://me.visualstudio.com"),
        ] {
            assert_eq!(organization_url(value, &allowed).as_deref(), Ok(expected));
        }
        let sentence = organization_url("https://dev.azure.com/org", &allowed).expect_err("not listed");
        assert!(
            sentence.contains("the operator allows tokens only for ado.test"),
            "{sentence}"
        );
    }
}
