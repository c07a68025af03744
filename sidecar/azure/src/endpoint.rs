//! The two addresses that tokens go to, checked once: the organization's and the authority's.
//!
//! **Invariant:** a request with a token is built from one of these values and from nothing else.

use azure_protocol::{Endpoint, Service};
use contract::{HostList, HttpsUrl, HttpsUrlError, OrganizationUrl, redacted};
use reqwest::Url;
use std::fmt;

/// Where an organization of Azure DevOps Services is, as the HTTP client understands it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Organization(Url);

/// The HTTP client understands another host than the one that was checked, such as `1.0.0.2` in `https://1.2`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\": not a valid host name")]
pub struct UnusableHost(String);

impl Organization {
    pub(crate) fn new(url: &OrganizationUrl) -> Result<Self, UnusableHost> {
        let url = url.as_str();
        let host = HttpsUrl::parse(url).map(|url| url.host).unwrap_or_default();
        same_host(url, &host)
            .map(Self)
            .ok_or_else(|| UnusableHost(url.to_owned()))
    }

    /// Host (with the port, if it is not 443) and path, without a slash at its end.
    pub(crate) fn parts(&self) -> (String, &str) {
        let host = self.0.host_str().unwrap_or_default();
        let authority = self
            .0
            .port()
            .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        (authority, self.0.path().trim_end_matches('/'))
    }

    /// The address of a route below the organization, with its query.
    pub(crate) fn route(&self, segments: &[String], query: &[(&'static str, String)]) -> Url {
        let area = ["distributedtask".to_owned()];
        below(&self.0, area.iter().chain(segments), query)
    }

    /// The address of an operation, at the host that serves it, with its query.
    pub(crate) fn operation(&self, endpoint: &Endpoint) -> Url {
        let route = &endpoint.route;
        below(&self.service(endpoint.service), route.segments.iter(), &route.query)
    }

    /// Users have a host of their own: `vsaex.dev.azure.com/ORGANIZATION`, `ORGANIZATION.vsaex.visualstudio.com`. Whatever else
    /// was given as the organization's host, such as an address, is asked itself.
    fn service(&self, service: Service) -> Url {
        let mut url = self.0.clone();
        let host = url.host_str().unwrap_or_default();
        let sister = match service {
            Service::Main => None,
            Service::Entitlements if host == "dev.azure.com" => Some("vsaex.dev.azure.com".to_owned()),
            Service::Entitlements => host
                .strip_suffix(".visualstudio.com")
                .filter(|organization| !organization.contains('.'))
                .map(|organization| format!("{organization}.vsaex.visualstudio.com")),
        };
        if let Some(sister) = sister {
            // Never fails: it is a host name, of an https URL.
            let _ = url.set_host(Some(&sister));
        }
        url
    }
}

fn below<'a>(base: &Url, segments: impl Iterator<Item = &'a String>, query: &[(&'static str, String)]) -> Url {
    let mut url = base.clone();
    // Never fails: an https URL has a path.
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().push("_apis").extend(segments);
    }
    url.query_pairs_mut().extend_pairs(query);
    url
}

/// Base URL of an Entra authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority(Url);

impl Authority {
    /// Reads an authority as `AZURE_AUTHORITY_HOST` names it, with or without a slash at its end.
    ///
    /// # Errors
    /// Not an https URL of just a host, or a host that is not on the list.
    pub fn parse(value: &str, allowed: &HostList) -> Result<Self, AuthorityError> {
        let malformed = |problem| AuthorityError::Malformed {
            value: redacted(value),
            problem,
        };
        let url = HttpsUrl::parse(value).map_err(|error| malformed(AuthorityProblem::Url(error)))?;
        if !url.path.is_empty() {
            return Err(malformed(AuthorityProblem::Path));
        }
        if allowed.entry_for(&url.host).is_none() {
            return Err(AuthorityError::NotAllowed {
                value: redacted(value),
                allowed: allowed.clone(),
            });
        }
        same_host(&url.origin(), &url.host)
            .map(Self)
            .ok_or_else(|| malformed(AuthorityProblem::Url(HttpsUrlError::BadHost)))
    }

    /// The token endpoint of a tenant.
    pub(crate) fn token_endpoint(&self, tenant: &str) -> Url {
        token_endpoint(&self.0, tenant)
    }

    /// Host, for messages.
    pub(crate) fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }
}

/// Why a value is not an [`Authority`]. The message begins with the value, without user info, query and fragment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    /// Not an https URL of just a host.
    #[error("{value:?}: {problem}; expected for example {}", contract::DEFAULT_AUTHORITY)]
    Malformed {
        /// The value, without what may be a secret.
        value: String,
        /// What is wrong with it.
        problem: AuthorityProblem,
    },
    /// The host is not on the list.
    #[error("{value:?}: the operator allows the service-account token only for {allowed}")]
    NotAllowed {
        /// The value, without what may be a secret.
        value: String,
        /// The list.
        allowed: HostList,
    },
}

/// What is wrong with the URL of an authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthorityProblem {
    /// Not an https URL.
    Url(HttpsUrlError),
    /// A path after the host.
    Path,
}

impl fmt::Display for AuthorityProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(error) => write!(f, "{error}"),
            Self::Path => f.write_str("nothing may follow the host"),
        }
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

    fn organization(value: &str) -> Result<Organization, UnusableHost> {
        let allowed = HostList::parse("dev.azure.com,*.visualstudio.com,1.2,[::1]").expect("hosts");
        Organization::new(&OrganizationUrl::parse(value, &allowed).expect(value))
    }

    #[test]
    fn a_host_that_the_client_would_repair_is_refused() {
        assert_eq!(
            organization("https://1.2/contoso"),
            Err(UnusableHost("https://1.2/contoso".to_owned())),
            "the client understands 1.0.0.2"
        );
        assert!(organization("https://[::1]/contoso").is_ok());
    }

    #[test]
    fn routes_are_escaped() {
        let dev = organization("https://dev.azure.com/c").expect("good");
        assert_eq!(
            dev.route(&["pools".to_owned()], &[("poolName", "a&b #1/ü".to_owned())])
                .as_str(),
            "https://dev.azure.com/c/_apis/distributedtask/pools?poolName=a%26b+%231%2F%C3%BC"
        );
        let legacy = organization("https://c.visualstudio.com").expect("good");
        assert_eq!(
            legacy
                .route(&["pools", "7", "agents"].map(str::to_owned), &[("a", "b".to_owned())])
                .as_str(),
            "https://c.visualstudio.com/_apis/distributedtask/pools/7/agents?a=b"
        );
    }

    #[test]
    fn users_have_a_host_of_their_own() {
        let route = azure_protocol::route(&azure_protocol::AdoRequest::Tenant);
        let endpoint = |service| Endpoint {
            service,
            route: route.clone(),
        };
        for (url, expected) in [
            (
                "https://dev.azure.com/c",
                "https://vsaex.dev.azure.com/c/_apis/pools?api-version=7.1",
            ),
            (
                "https://c.visualstudio.com",
                "https://c.vsaex.visualstudio.com/_apis/pools?api-version=7.1",
            ),
            ("https://[::1]/c", "https://[::1]/c/_apis/pools?api-version=7.1"),
        ] {
            let organization = organization(url).expect(url);
            assert_eq!(
                organization.operation(&endpoint(Service::Entitlements)).as_str(),
                expected
            );
            let main = organization.operation(&endpoint(Service::Main));
            assert_eq!(main.host_str(), organization.0.host_str());
        }
    }

    #[test]
    fn an_authority_is_a_listed_host_and_nothing_more() {
        let allowed = HostList::parse(contract::DEFAULT_ALLOWED_AUTHORITIES).expect("hosts");
        let parse = |value: &str| Authority::parse(value, &allowed);
        let authority = parse("https://login.microsoftonline.com/").expect("the default");
        assert_eq!(
            authority.token_endpoint("a/../b").as_str(),
            "https://login.microsoftonline.com/a%2F..%2Fb/oauth2/v2.0/token"
        );
        for value in [
            "https://login.microsoftonline.com.evil.example/",
            "https://evil.example",
        ] {
            let error = parse(value).expect_err(value);
            assert!(matches!(error, AuthorityError::NotAllowed { .. }), "{value}: {error}");
        }
        for value in [
            "https://login.microsoftonline.com/tenant",
            "http://login.microsoftonline.com",
            "https://login.microsoftonline.com@evil.example",
        ] {
            let error = parse(value).expect_err(value);
            assert!(matches!(error, AuthorityError::Malformed { .. }), "{value}: {error}");
        }
    }
}
