//! How the start scripts of each recipe call organization, pool and agent name.

use crate::environment::{Environment, Found, unescape};
use crate::text::quote;
use crate::{Denial, Settings};
use contract::{DenyReason, OrganizationUrl};

/// A variable of some recipe.
pub(crate) struct Spelling {
    pub(crate) variable: &'static str,
    /// Whether the value is the name of an organization, of which the script makes the URL.
    pub(crate) is_account: bool,
}

impl Spelling {
    const fn plain(variable: &'static str) -> Self {
        Self {
            variable,
            is_account: false,
        }
    }

    /// What the value means, as the first spelling would have it.
    pub(crate) fn value(&self, literal: &str) -> String {
        let text = unescape(literal);
        if self.is_account {
            contract::account_url(&text)
        } else {
            text
        }
    }
}

/// Of several recipes `AZP_` wins, then `VSTS_`, then `AZDO_`.
pub(crate) const URLS: [Spelling; 3] = [
    Spelling::plain(contract::AZP_URL_VARIABLE),
    Spelling {
        variable: contract::VSTS_ACCOUNT_VARIABLE,
        is_account: true,
    },
    Spelling::plain(contract::AZDO_URL_VARIABLE),
];
pub(crate) const POOLS: [Spelling; 3] = [
    Spelling::plain(contract::AZP_POOL_VARIABLE),
    Spelling::plain(contract::VSTS_POOL_VARIABLE),
    Spelling::plain(contract::AZDO_POOL_VARIABLE),
];
pub(crate) const NAMES: [Spelling; 3] = [
    Spelling::plain(contract::AZP_AGENT_NAME_VARIABLE),
    Spelling::plain(contract::VSTS_AGENT_VARIABLE),
    Spelling::plain(contract::AZDO_AGENT_VARIABLE),
];

/// Denies values that no start script could use.
pub(crate) fn check_literals(agent: &str, environment: &Environment<'_>, settings: &Settings) -> Result<(), Denial> {
    for spelling in URLS.iter().chain(&POOLS).chain(&NAMES) {
        let Found::Literal(_, literal) = environment.find(spelling.variable) else {
            continue;
        };
        let place = format!("{} of container {}", spelling.variable, quote(agent));
        let text = unescape(literal);
        if text.trim() != text {
            return Err(Denial::new(
                DenyReason::WhiteSpace,
                format!(
                    "{place} begins or ends with white space, which the start script takes as it is; remove it (in YAML, | and > \
                     add a line break at the end, |- and >- do not)"
                ),
            ));
        }
        if spelling.is_account && !contract::is_organization_name(&text) {
            return Err(Denial::new(
                DenyReason::BadUrl,
                format!(
                    "{place} is not the name of an organization; expected the name alone, from which the start script makes \
                     https://NAME.visualstudio.com"
                ),
            ));
        }
        if URLS.iter().any(|url| url.variable == spelling.variable) {
            OrganizationUrl::parse(&spelling.value(literal), &settings.allowed_hosts)
                .map_err(|error| Denial::new(DenyReason::BadUrl, format!("{place} is {error}")))?;
        }
    }
    Ok(())
}
