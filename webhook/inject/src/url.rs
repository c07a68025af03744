//! URLs of Azure DevOps Services, as the settings allow them.

use contract::{HostList, OrganizationUrl};

/// Reads an organization URL and normalizes it.
///
/// # Errors
/// A sentence that says what is wrong with the value and which form is expected, without the place it came from.
pub fn organization_url(value: &str, allowed: &[String]) -> Result<String, String> {
    let allowed = HostList::parse(&allowed.join(",")).map_err(|error| error.to_string())?;
    OrganizationUrl::parse(value, &allowed)
        .map(|url| url.to_string())
        .map_err(|error| error.to_string())
}

/// The organization of a URL that [`organization_url`] gave: the same in both shapes.
pub(crate) fn organization_of(url: &str) -> &str {
    let rest = url.strip_prefix("https://").unwrap_or(url);
    match rest.split_once('/') {
        Some((_, organization)) => organization,
        None => rest.split('.').next().unwrap_or(rest),
    }
}
