//! How images call their token and their organization: the names of the contract, and of images with names of their own.

use super::Choices;
use contract::{SECRET_VARIABLES, TOKEN_FILE_VARIABLES, VSTS_ACCOUNT_VARIABLE};

/// Variables by which a container is known as an agent's, besides those of tokens.
const AGENT: [&str; 6] = [
    "AZP_URL",
    "AZP_POOL",
    "VSTS_ACCOUNT",
    "VSTS_POOL",
    "AZDO_URL",
    "AZDO_POOL",
];
/// Variables from which start scripts and the agent itself take a URL.
const URLS: [&str; 3] = ["AZP_URL", "AZDO_URL", "VSTS_AGENT_INPUT_URL"];
/// Variables that make a pod a placeholder of KEDA's.
pub(super) const PLACEHOLDERS: [&str; 3] = ["AZP_PLACEHOLDER", "AZP_PLACEHOLDER_AGENT", "AZP_TEMPLATE_JOB"];

/// An image with names of its own, with which the gateway works.
pub(super) struct Named {
    pub(super) token: &'static str,
    pub(super) url: &'static str,
    pub(super) pools: &'static [&'static str],
}

/// Images whose start scripts read these names (andreswebs, ppodgorsek).
pub(super) const NAMED: [Named; 2] = [
    Named {
        token: "AGENT_TOKEN",
        url: "AGENT_URL",
        pools: &["AGENT_POOL"],
    },
    Named {
        token: "AZURE_DEVOPS_TOKEN",
        url: "AZURE_DEVOPS_URL",
        pools: &["AZURE_DEVOPS_POOL"],
    },
];

/// Variables of images that know their organization by name only and make an https address of it, so that neither handoff works
/// (Lambda3 and its forks).
pub(super) const IMPOSSIBLE: [(&str, &str); 1] = [("AGENT_PAT", "VS_TENANT")];

/// Whether a variable holds the token or names its file.
pub fn is_token(name: &str, choices: &Choices) -> bool {
    SECRET_VARIABLES.contains(&name)
        || TOKEN_FILE_VARIABLES.contains(&name)
        || NAMED.iter().any(|image| image.token == name)
        || choices.token_variables.iter().any(|token| token == name)
}

/// Whether a container with this variable is an agent.
pub(super) fn is_agents(name: &str) -> bool {
    AGENT.contains(&name)
}

/// Why the gateway cannot be this container's, as far as its variables say.
pub(super) fn against_gateway(names: &[String], choices: &Choices) -> Option<String> {
    let has = |name: &str| names.iter().any(|known| known == name);
    let knows_url = URLS.into_iter().any(has)
        || NAMED.iter().any(|image| has(image.url))
        || choices.url_variables.iter().any(|url| has(url));
    (has(VSTS_ACCOUNT_VARIABLE) && !knows_url).then(|| {
        format!("its start script makes an https address of {VSTS_ACCOUNT_VARIABLE} and knows no other way to say where it registers")
    })
}
