//! URLs of organizations of Azure DevOps Services, read by one rule in every program.

use crate::{HostList, HttpsUrl, HttpsUrlError, RefusalReason, redacted};
use std::error::Error;
use std::fmt;

const SERVICES_HOST: &str = "dev.azure.com";
const LEGACY_SUFFIX: &str = ".visualstudio.com";
const FORM: &str = "expected https://dev.azure.com/ORGANIZATION or https://ORGANIZATION.visualstudio.com";

/// URL of an organization of Azure DevOps Services on a host that tokens may go to, in normal form: host in lower case, no
/// default port, no slash at its end.
///
/// Where the entry of the list is a pattern, or the host is below `visualstudio.com`, the first label of the host is the
/// organization; else the only segment of the path is.
///
/// ```
/// use contract::{HostList, OrganizationUrl};
///
/// let hosts = HostList::parse("dev.azure.com,*.visualstudio.com").expect("hosts");
/// let url = OrganizationUrl::parse("https://Dev.Azure.com:443/contoso/", &hosts).expect("an organization");
/// assert_eq!(url.as_str(), "https://dev.azure.com/contoso");
/// assert_eq!(url.organization(), "contoso");
///
/// let error = OrganizationUrl::parse("https://u:secret@dev.azure.com/contoso", &hosts).expect_err("user info");
/// assert!(!error.to_string().contains("secret"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrganizationUrl(String);

impl OrganizationUrl {
    /// Reads a URL in either of its two shapes.
    ///
    /// # Errors
    /// A URL of another shape, of Azure DevOps Server, or of a host that is not on the list.
    pub fn parse(value: &str, allowed: &HostList) -> Result<Self, OrganizationUrlError> {
        use OrganizationUrlProblem as Problem;
        let wrong = |problem| OrganizationUrlError {
            shown: redacted(value),
            allowed: allowed.to_string(),
            problem,
        };
        let url = HttpsUrl::parse(value).map_err(|error| wrong(Problem::Malformed(error)))?;
        let Some(entry) = allowed.entry_for(&url.host) else {
            return Err(wrong(not_listed(&url)));
        };
        // Two segments are too many already.
        let mut segments = url.path.split('/').filter(|segment| !segment.is_empty());
        let organization_is_label = entry.starts_with("*.") || url.host.ends_with(LEGACY_SUFFIX);
        match (organization_is_label, segments.next(), segments.next()) {
            (true, None, _) => Ok(Self(url.origin())),
            (true, Some(_), _) => Err(wrong(Problem::PathAfterHost)),
            (false, Some(name), None) if is_organization_name(name) => Ok(Self(format!("{}/{name}", url.origin()))),
            (false, None, _) => Err(wrong(Problem::NoOrganization)),
            (false, Some(_), None) => Err(wrong(Problem::BadName)),
            // The virtual directory of Azure DevOps Server, on a host that the operator listed.
            (false, Some(name), Some(_)) if name.eq_ignore_ascii_case("tfs") => Err(wrong(Problem::Server)),
            (false, Some(_), Some(_)) => Err(wrong(Problem::MoreThanOrganization)),
        }
    }

    /// The URL, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Name of the organization: the same in both shapes, up to its case.
    pub fn organization(&self) -> &str {
        let rest = self.0.strip_prefix("https://").unwrap_or(&self.0);
        match rest.split_once('/') {
            Some((_, organization)) => organization,
            None => rest.split('.').next().unwrap_or(rest),
        }
    }
}

impl fmt::Display for OrganizationUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether this can be the name of an organization.
pub fn is_organization_name(name: &str) -> bool {
    name.len() <= 64
        && !name.starts_with(['_', '.'])
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

fn not_listed(url: &HttpsUrl<'_>) -> OrganizationUrlProblem {
    let host = url.host.as_str();
    if host == SERVICES_HOST || host.ends_with(LEGACY_SUFFIX) {
        return OrganizationUrlProblem::NotAllowed;
    }
    let is_server = |part: &str| part.eq_ignore_ascii_case("tfs") || part.eq_ignore_ascii_case("DefaultCollection");
    let resembles = host.contains("azure") || host.contains("visualstudio");
    if !resembles || url.path.split('/').any(is_server) {
        OrganizationUrlProblem::Server
    } else {
        OrganizationUrlProblem::LookAlike
    }
}

/// Why a value is not an [`OrganizationUrl`]. The message begins with the value, without user info, query and fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrganizationUrlError {
    shown: String,
    allowed: String,
    problem: OrganizationUrlProblem,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OrganizationUrlProblem {
    Malformed(HttpsUrlError),
    PathAfterHost,
    NoOrganization,
    BadName,
    MoreThanOrganization,
    Server,
    LookAlike,
    NotAllowed,
}

impl OrganizationUrlError {
    /// The reason that logs and messages carry for it.
    pub fn reason(&self) -> RefusalReason {
        match self.problem {
            OrganizationUrlProblem::Malformed(_)
            | OrganizationUrlProblem::PathAfterHost
            | OrganizationUrlProblem::NoOrganization
            | OrganizationUrlProblem::BadName
            | OrganizationUrlProblem::MoreThanOrganization => RefusalReason::BadUrl,
            OrganizationUrlProblem::Server => RefusalReason::NotServices,
            OrganizationUrlProblem::LookAlike | OrganizationUrlProblem::NotAllowed => RefusalReason::HostNotAllowed,
        }
    }
}

impl fmt::Display for OrganizationUrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            shown,
            allowed,
            problem,
        } = self;
        write!(f, "{shown:?}: ")?;
        match problem {
            OrganizationUrlProblem::Malformed(error) => write!(f, "{error}"),
            OrganizationUrlProblem::PathAfterHost => f.write_str("nothing may follow the host"),
            OrganizationUrlProblem::NoOrganization => f.write_str("the organization is missing"),
            OrganizationUrlProblem::BadName => f.write_str("not the name of an organization"),
            OrganizationUrlProblem::MoreThanOrganization => {
                f.write_str("must end with the organization, without a project or collection")
            }
            OrganizationUrlProblem::Server => write!(
                f,
                "not an Azure DevOps Services host; Azure DevOps Server accepts no Entra token. The operator allows tokens only for \
                 {allowed}"
            ),
            OrganizationUrlProblem::LookAlike => write!(
                f,
                "not an Azure DevOps Services host; the operator allows tokens only for {allowed}"
            ),
            OrganizationUrlProblem::NotAllowed => return write!(f, "the operator allows tokens only for {allowed}"),
        }?;
        write!(f, "; {FORM}")
    }
}

impl Error for OrganizationUrlError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Result<String, OrganizationUrlError> {
        let allowed = HostList::parse(crate::DEFAULT_ALLOWED_HOSTS).expect("hosts");
        OrganizationUrl::parse(value, &allowed).map(|url| url.to_string())
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
    fn both_shapes_name_the_same_organization() {
        let allowed = HostList::parse(crate::DEFAULT_ALLOWED_HOSTS).expect("hosts");
        for value in [
            "https://dev.azure.com/contoso",
            "https://dev.azure.com:8443/contoso/",
            "https://contoso.visualstudio.com",
        ] {
            let url = OrganizationUrl::parse(value, &allowed).expect(value);
            assert_eq!(url.organization(), "contoso", "{value}");
        }
    }

    #[test]
    fn everything_else_is_refused_with_its_reason() {
        use RefusalReason::{BadUrl, HostNotAllowed, NotServices};
        for (value, reason, part) in [
            ("", BadUrl, "not a URL"),
            ("contoso", BadUrl, "not a URL"),
            ("dev.azure.com/contoso", BadUrl, "not a URL"),
            ("http://dev.azure.com/contoso", BadUrl, "only https"),
            ("ftp://dev.azure.com/contoso", BadUrl, "only https"),
            ("https://dev.azure.com", BadUrl, "organization is missing"),
            ("https://dev.azure.com/", BadUrl, "organization is missing"),
            ("https://dev.azure.com/contoso/project", BadUrl, "without a project"),
            (
                "https://dev.azure.com/contoso/DefaultCollection",
                BadUrl,
                "or collection",
            ),
            ("https://dev.azure.com/_apis", BadUrl, "not the name of an organization"),
            ("https://dev.azure.com/..", BadUrl, "not the name of an organization"),
            ("https://contoso.visualstudio.com/project", BadUrl, "nothing may follow"),
            ("https://dev.azure.com./contoso", BadUrl, "not a valid host name"),
            ("https://user:secret@dev.azure.com/contoso", BadUrl, "user name"),
            ("https://dev.azure.com@evil.example/contoso", BadUrl, "user name"),
            ("https://dev.azure.com\\@evil.example/contoso", BadUrl, "backslashes"),
            ("https://dev.azure.com/contoso?x=y", BadUrl, "queries"),
            ("https://dev.azure.com/contoso#x", BadUrl, "fragments"),
            ("https://dev.azure.com%2eevil.example/contoso", BadUrl, "escapes"),
            ("https://dev.azure.com /contoso", BadUrl, "spaces"),
            (" https://dev.azure.com/contoso", BadUrl, "begins with white space"),
            ("\"https://dev.azure.com/contoso\"", BadUrl, "quotation marks"),
            ("https://dev.azure.com/$(ORG)", BadUrl, "did not replace"),
            ("https://dev.azur\u{435}.com/contoso", BadUrl, "spaces"), // a Cyrillic letter
            ("https://dev.azure.com:0/contoso", BadUrl, "not a valid host name"),
            ("https://dev.azure.com:+443/contoso", BadUrl, "not a valid host name"),
            ("https://dev.azure.com:/contoso", BadUrl, "not a valid host name"),
            ("https:///contoso", BadUrl, "not a valid host name"),
            ("https://a.b.visualstudio.com", HostNotAllowed, "allows tokens only for"),
            (
                "https://visualstudio.com",
                HostNotAllowed,
                "not an Azure DevOps Services host; the operator",
            ),
            (
                "https://dev.azure.com.evil.example/contoso",
                HostNotAllowed,
                "not an Azure DevOps Services host; the operator",
            ),
            (
                "https://dev-azure.com/contoso",
                HostNotAllowed,
                "not an Azure DevOps Services host; the operator",
            ),
            (
                "https://xn--dev-azure-x9a.com/contoso",
                HostNotAllowed,
                "not an Azure DevOps Services host; the operator",
            ),
            (
                "https://tfs.corp.example/tfs/DefaultCollection",
                NotServices,
                "Azure DevOps Server accepts no Entra token",
            ),
            (
                "https://ado.corp.example/DefaultCollection",
                NotServices,
                "Azure DevOps Server accepts no Entra token",
            ),
            (
                "https://ado.corp.example/contoso",
                NotServices,
                "Azure DevOps Server accepts no Entra token",
            ),
            (
                "https://dev.azure.com/tfs/DefaultCollection",
                NotServices,
                "Azure DevOps Server accepts no Entra token",
            ),
        ] {
            let error = read(value).expect_err(value);
            assert_eq!(error.reason(), reason, "{value}");
            let sentence = error.to_string();
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
            let error = read(value).expect_err(value);
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
        }
    }

    #[test]
    fn the_operator_may_list_other_hosts() {
        let allowed = HostList::parse("ado.test,*.ado.test,[::1],me.visualstudio.com").expect("hosts");
        let read = |value| OrganizationUrl::parse(value, &allowed);
        for (value, expected) in [
            ("https://ado.test:7443/org", "https://ado.test:7443/org"),
            ("https://org.ado.test:7443/", "https://org.ado.test:7443"),
            ("https://[::1]:7443/org", "https://[::1]:7443/org"),
            ("https://me.visualstudio.com", "https://me.visualstudio.com"),
        ] {
            assert_eq!(read(value).expect(value).as_str(), expected);
        }
        let sentence = read("https://dev.azure.com/org").expect_err("not listed").to_string();
        assert!(
            sentence.contains("the operator allows tokens only for ado.test"),
            "{sentence}"
        );
    }
}
