//! The two addresses that tokens go to, checked once: the organization's and the authority's.
//!
//! **Invariant:** a request with a token is built from one of these values and from nothing else.

use contract::{HttpsUrl, Reason};
use lifecycle::Refusal;
use reqwest::Url;

const LEGACY_SUFFIX: &str = ".visualstudio.com";
const FORM: &str = "expected https://dev.azure.com/ORGANIZATION or https://ORGANIZATION.visualstudio.com";

/// Base URL of an organization of Azure DevOps Services, without a slash at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization(Url);

impl Organization {
    /// Reads the URL in either of its two shapes: the organization as the only path segment, or as the first label of a
    /// host that a `*.` entry covers.
    ///
    /// # Errors
    /// A URL of another shape, of Azure DevOps Server, or of a host that is not on the list.
    pub fn parse(value: &str, allowed: &[String]) -> Result<Self, Refusal> {
        let shown = format!("\"{}\"", contract::redacted(value));
        let bad = |what: &str| Refusal {
            reason: Reason::BadUrl,
            sentence: format!("organization URL {shown}: {what}; {FORM}"),
        };
        let url = HttpsUrl::parse(value).map_err(bad)?;
        let Some(entry) = url.covered_by(allowed) else {
            return Err(not_listed(&shown, &url, allowed));
        };
        let mut segments = url.path.split('/').filter(|segment| !segment.is_empty());
        let in_host = entry.starts_with("*.") || url.host.ends_with(LEGACY_SUFFIX);
        let base = match (in_host, segments.next(), segments.next()) {
            (true, None, _) => url.origin(),
            (true, Some(_), _) => return Err(bad("nothing may follow the host")),
            (false, Some(name), None) if is_organization(name) => format!("{}/{name}", url.origin()),
            (false, None, _) => return Err(bad("the organization is missing")),
            (false, Some(_), None) => return Err(bad("this is no name of an organization")),
            // The virtual directory of Azure DevOps Server, on a host that the operator listed.
            (false, Some(name), Some(_)) if name.eq_ignore_ascii_case("tfs") => {
                return Err(not_listed(&shown, &url, allowed));
            }
            (false, Some(_), Some(_)) => {
                return Err(bad(
                    "it must end with the organization, without a project or collection",
                ));
            }
        };
        same_host(&base, &url.host)
            .map(Self)
            .ok_or_else(|| bad("it has no proper host name"))
    }

    /// The address of a route below the organization, with its query.
    pub(crate) fn route<'q>(&self, segments: &[&str], query: impl IntoIterator<Item = (&'q str, &'q str)>) -> Url {
        let mut url = self.0.clone();
        // Never fails: an https URL has a path.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty()
                .push("_apis")
                .push("distributedtask")
                .extend(segments);
        }
        url.query_pairs_mut().extend_pairs(query);
        url
    }

    /// The URL as a person would type it.
    pub fn as_str(&self) -> &str {
        self.0.as_str().trim_end_matches('/')
    }
}

/// Base URL of an Entra authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority(Url);

impl Authority {
    /// Reads an authority as `AZURE_AUTHORITY_HOST` names it, with or without a slash at its end.
    ///
    /// # Errors
    /// No https URL of just a host, or a host that is not on the list.
    pub fn parse(value: &str, allowed: &[String]) -> Result<Self, Refusal> {
        let shown = format!("\"{}\"", contract::redacted(value));
        let name = contract::AZURE_AUTHORITY_HOST_VARIABLE;
        let bad = |what: &str| Refusal {
            reason: Reason::BadConfiguration,
            sentence: format!(
                "{name} is {shown}: {what}; expected for instance {}",
                contract::DEFAULT_AUTHORITY
            ),
        };
        let url = HttpsUrl::parse(value).map_err(bad)?;
        if !url.path.is_empty() {
            return Err(bad("there is no path after the host"));
        }
        if url.covered_by(allowed).is_none() {
            return Err(Refusal {
                reason: Reason::HostNotAllowed,
                sentence: format!(
                    "{name} is {shown}, but the operator lets the service-account token go only to {}; ask the operator to \
                     add the host, or use one of these",
                    allowed.join(", ")
                ),
            });
        }
        same_host(&url.origin(), &url.host)
            .map(Self)
            .ok_or_else(|| bad("it has no proper host name"))
    }

    /// The token endpoint of a tenant.
    pub(crate) fn token_endpoint(&self, tenant: &str) -> Url {
        token_endpoint(&self.0, tenant)
    }

    /// Host, for sentences.
    pub(crate) fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }
}

/// `{base}/{tenant}/oauth2/v2.0/token`.
pub(crate) fn token_endpoint(base: &Url, tenant: &str) -> Url {
    let mut url = base.clone();
    // Never fails: an https URL has a path.
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend([tenant, "oauth2", "v2.0", "token"]);
    }
    url
}

fn not_listed(shown: &str, url: &HttpsUrl<'_>, allowed: &[String]) -> Refusal {
    let list = allowed.join(", ");
    let server = url.path.contains('/')
        || url
            .path
            .split('/')
            .any(|part| part.eq_ignore_ascii_case("tfs") || part.eq_ignore_ascii_case("DefaultCollection"));
    let resembles = url.host.contains("azure") || url.host.contains("visualstudio");
    if server || !resembles {
        return Refusal {
            reason: Reason::NotServices,
            sentence: format!(
                "organization URL {shown}: this host is not of Azure DevOps Services; Azure DevOps Server accepts no Entra \
                 token. The operator lets the token go only to {list}; {FORM}"
            ),
        };
    }
    Refusal {
        reason: Reason::HostNotAllowed,
        sentence: format!("organization URL {shown}: the operator lets the token go only to {list}; {FORM}"),
    }
}

/// The URL as the HTTP client understands it, if it understands the same host.
fn same_host(text: &str, host: &str) -> Option<Url> {
    Url::parse(text).ok().filter(|url| url.host_str() == Some(host))
}

fn is_organization(name: &str) -> bool {
    name.len() <= 64
        && !name.starts_with(['_', '.'])
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &str) -> Vec<String> {
        entries.split(',').map(str::to_owned).collect()
    }

    fn organization(value: &str) -> Result<String, Reason> {
        Organization::parse(value, &list(contract::DEFAULT_ALLOWED_HOSTS))
            .map(|url| url.as_str().to_owned())
            .map_err(|refusal| refusal.reason)
    }

    #[test]
    fn both_shapes_are_normalized() {
        for (value, expected) in [
            ("https://dev.azure.com/contoso", "https://dev.azure.com/contoso"),
            ("https://DEV.azure.com:443/contoso///", "https://dev.azure.com/contoso"),
            ("https://contoso.visualstudio.com/", "https://contoso.visualstudio.com"),
        ] {
            assert_eq!(organization(value).as_deref(), Ok(expected), "{value}");
        }
    }

    #[test]
    fn everything_else_is_refused_with_its_reason() {
        use Reason::{BadUrl, HostNotAllowed, NotServices};
        for (value, reason) in [
            ("https://tfs.corp.example/tfs/DefaultCollection", NotServices),
            ("https://ado.corp.example/DefaultCollection", NotServices),
            ("https://dev.azure.com/tfs/DefaultCollection", NotServices),
            ("https://dev.azure.com/contoso/DefaultCollection", BadUrl),
            ("https://dev.azure.com", BadUrl),
            ("https://dev.azure.com/contoso/project", BadUrl),
            ("https://dev.azure.com/$(ORG)", BadUrl),
            ("https://dev.azure.com/_apis", BadUrl),
            ("https://contoso.visualstudio.com/project", BadUrl),
            ("http://dev.azure.com/contoso", BadUrl),
            ("https://dev.azure.com@evil.example/contoso", BadUrl),
            ("https://dev.azure.com./contoso", BadUrl),
            ("https://d\u{435}v.azure.com/contoso", BadUrl),
            ("https://dev.azure.com.evil.example/contoso", HostNotAllowed),
            ("https://a.b.visualstudio.com", HostNotAllowed),
            ("https://xn--dev-azure-x9a.com/contoso", HostNotAllowed),
            ("dev.azure.com/contoso", BadUrl),
            ("", BadUrl),
        ] {
            assert_eq!(organization(value), Err(reason), "{value}");
        }
    }

    #[test]
    fn a_password_in_a_url_is_not_repeated() {
        let refusal =
            Organization::parse("https://u:hunter2@dev.azure.com/c", &list("dev.azure.com")).expect_err("userinfo");
        assert!(!refusal.sentence.contains("hunter2"), "{}", refusal.sentence);
        assert!(
            refusal.sentence.contains("user names and passwords"),
            "{}",
            refusal.sentence
        );
    }

    #[test]
    fn routes_are_escaped() {
        let organization = Organization::parse("https://dev.azure.com/c", &list("dev.azure.com")).expect("good");
        assert_eq!(
            organization.route(&["pools"], [("poolName", "a&b #1/ü")]).as_str(),
            "https://dev.azure.com/c/_apis/distributedtask/pools?poolName=a%26b+%231%2F%C3%BC"
        );
        let legacy = Organization::parse("https://c.visualstudio.com", &list("*.visualstudio.com")).expect("good");
        assert_eq!(
            legacy.route(&["pools", "7", "agents"], [("a", "b")]).as_str(),
            "https://c.visualstudio.com/_apis/distributedtask/pools/7/agents?a=b"
        );
    }

    #[test]
    fn an_authority_is_a_listed_host_and_nothing_more() {
        let allowed = list(contract::DEFAULT_ALLOWED_AUTHORITIES);
        let parse = |value: &str| Authority::parse(value, &allowed).map_err(|refusal| refusal.reason);
        let authority = parse("https://login.microsoftonline.com/").expect("the default");
        assert_eq!(
            authority.token_endpoint("a/../b").as_str(),
            "https://login.microsoftonline.com/a%2F..%2Fb/oauth2/v2.0/token"
        );
        for (value, reason) in [
            (
                "https://login.microsoftonline.com.evil.example/",
                Reason::HostNotAllowed,
            ),
            ("https://evil.example", Reason::HostNotAllowed),
            ("https://login.microsoftonline.com/tenant", Reason::BadConfiguration),
            ("http://login.microsoftonline.com", Reason::BadConfiguration),
            (
                "https://login.microsoftonline.com@evil.example",
                Reason::BadConfiguration,
            ),
        ] {
            assert_eq!(parse(value), Err(reason), "{value}");
        }
    }
}
