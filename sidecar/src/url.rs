//! The two addresses that tokens go to, checked once: the organization's and the authority's.
//!
//! **Invariant:** a request with a token is built from one of these values and from nothing else.

use contract::{HostList, HttpsUrl, OrganizationUrl, RefusalReason};
use lifecycle::Refusal;
use reqwest::Url;

/// Where an organization of Azure DevOps Services is, as the HTTP client understands it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization(Url);

impl Organization {
    /// `None` where the HTTP client understands another host than the one that was checked.
    pub fn new(url: &OrganizationUrl) -> Option<Self> {
        let host = HttpsUrl::parse(url.as_str()).ok()?.host;
        same_host(url.as_str(), &host).map(Self)
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
}

/// Base URL of an Entra authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority(Url);

impl Authority {
    /// Reads an authority as `AZURE_AUTHORITY_HOST` names it, with or without a slash at its end.
    ///
    /// # Errors
    /// No https URL of just a host, or a host that is not on the list.
    pub fn parse(value: &str, allowed: &HostList) -> Result<Self, Refusal> {
        let shown = format!("\"{}\"", contract::redacted(value));
        let name = contract::AZURE_AUTHORITY_HOST_VARIABLE;
        let bad = |what: &str| Refusal {
            reason: RefusalReason::BadConfiguration,
            sentence: format!(
                "{name} is {shown}: {what}; expected for instance {}",
                contract::DEFAULT_AUTHORITY
            ),
        };
        let url = HttpsUrl::parse(value).map_err(|error| bad(&error.to_string()))?;
        if !url.path.is_empty() {
            return Err(bad("nothing may follow the host"));
        }
        if allowed.entry_for(&url.host).is_none() {
            return Err(Refusal {
                reason: RefusalReason::HostNotAllowed,
                sentence: format!(
                    "{name} is {shown}, but the operator allows the service-account token only for {allowed}; ask the operator to \
                     add the host, or use one of these"
                ),
            });
        }
        same_host(&url.origin(), &url.host)
            .map(Self)
            .ok_or_else(|| bad("not a valid host name"))
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

/// The URL as the HTTP client understands it, if it understands the same host.
fn same_host(text: &str, host: &str) -> Option<Url> {
    Url::parse(text).ok().filter(|url| url.host_str() == Some(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn organization(value: &str) -> Option<Organization> {
        let allowed = HostList::parse("dev.azure.com,*.visualstudio.com,1.2,[::1]").expect("hosts");
        Organization::new(&OrganizationUrl::parse(value, &allowed).expect(value))
    }

    #[test]
    fn a_host_that_the_client_would_repair_is_refused() {
        assert_eq!(
            organization("https://1.2/contoso"),
            None,
            "the client understands 1.0.0.2"
        );
        assert!(organization("https://[::1]/contoso").is_some());
    }

    #[test]
    fn routes_are_escaped() {
        let dev = organization("https://dev.azure.com/c").expect("good");
        assert_eq!(
            dev.route(&["pools"], [("poolName", "a&b #1/ü")]).as_str(),
            "https://dev.azure.com/c/_apis/distributedtask/pools?poolName=a%26b+%231%2F%C3%BC"
        );
        let legacy = organization("https://c.visualstudio.com").expect("good");
        assert_eq!(
            legacy.route(&["pools", "7", "agents"], [("a", "b")]).as_str(),
            "https://c.visualstudio.com/_apis/distributedtask/pools/7/agents?a=b"
        );
    }

    #[test]
    fn an_authority_is_a_listed_host_and_nothing_more() {
        let allowed = HostList::parse(contract::DEFAULT_ALLOWED_AUTHORITIES).expect("hosts");
        let parse = |value: &str| Authority::parse(value, &allowed).map_err(|refusal| refusal.reason);
        let authority = parse("https://login.microsoftonline.com/").expect("the default");
        assert_eq!(
            authority.token_endpoint("a/../b").as_str(),
            "https://login.microsoftonline.com/a%2F..%2Fb/oauth2/v2.0/token"
        );
        for (value, reason) in [
            (
                "https://login.microsoftonline.com.evil.example/",
                RefusalReason::HostNotAllowed,
            ),
            ("https://evil.example", RefusalReason::HostNotAllowed),
            (
                "https://login.microsoftonline.com/tenant",
                RefusalReason::BadConfiguration,
            ),
            ("http://login.microsoftonline.com", RefusalReason::BadConfiguration),
            (
                "https://login.microsoftonline.com@evil.example",
                RefusalReason::BadConfiguration,
            ),
        ] {
            assert_eq!(parse(value), Err(reason), "{value}");
        }
    }
}
