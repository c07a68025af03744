//! The machine's messages, in one place: what happened, where, and what to do. What an error of Entra or Azure DevOps means is
//! in `azure_protocol`.

mod ending;
mod registering;

pub(crate) use ending::*;
pub(crate) use registering::*;

use crate::Settings;
use azure_protocol::{
    AdoContext, AdoError, AdoErrorKind, AdoRequest, Agent, AgentId, EntraContext, EntraError, Explanation,
};
use contract::{AdoReason, Reason};

/// Why an agent that may run is not found in the pool.
const WHY_NOT_SEEN: &str = "It did not register (an image that reads AZP_TOKEN and no AZP_TOKEN_FILE cannot), it registered in another pool that its image's own environment names, or its image gives it another name.";

/// Something that is wrong, as log, probe output and termination message say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) reason: Reason,
    pub(crate) sentence: String,
}

/// What is wrong with Azure DevOps, and the kind of error where a request failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) kind: Option<AdoErrorKind>,
    pub(crate) trouble: Trouble,
}

impl From<Trouble> for Problem {
    fn from(trouble: Trouble) -> Self {
        Self { kind: None, trouble }
    }
}

impl From<Explanation<AdoReason>> for Trouble {
    fn from(explanation: Explanation<AdoReason>) -> Self {
        Self {
            reason: explanation.reason.into(),
            sentence: explanation.sentence,
        }
    }
}

pub(crate) fn asks_for_tenant(settings: &Settings) -> String {
    format!("Asking {} which Entra tenant it trusts.", settings.url)
}

pub(crate) fn asks_for_token(settings: &Settings, tenant: &str) -> String {
    format!(
        "Asking Entra for a token: tenant {tenant}, client ID {}.",
        settings.client_id
    )
}

pub(crate) fn checks(settings: &Settings) -> String {
    format!(
        "Checking pool \"{}\" at {}: its name, the identity's role, the agent's name.",
        settings.pool, settings.url
    )
}

pub(crate) fn writes_file() -> String {
    "All checks passed; writing the token file.".to_owned()
}

pub(crate) fn ready(settings: &Settings) -> String {
    format!(
        "The token file is there; agent \"{}\" may register in pool \"{}\" at {}.",
        settings.agent_name, settings.pool, settings.url
    )
}

pub(crate) fn checked() -> String {
    "All checks passed.".to_owned()
}

pub(crate) fn file_failed(trouble: &str) -> Trouble {
    Trouble {
        reason: Reason::TokenFileFailed,
        sentence: format!(
            "The token file could not be written: {trouble}. The previous content is unchanged; the sidecar tries again."
        ),
    }
}

/// Entra issued no token.
pub(crate) fn token_refused(settings: &Settings, tenant: &str, error: &EntraError) -> Trouble {
    let context = EntraContext {
        client_id: &settings.client_id,
        tenant,
    };
    let explanation = context.explain(error);
    Trouble {
        reason: explanation.reason.into(),
        sentence: explanation.sentence,
    }
}

/// Added where no newer token could be obtained, but the current one is still valid.
pub(crate) const TOKEN_STAYS_IN_USE: &str = " The current token stays in use.";

/// The organization did not say which tenant it trusts.
pub(crate) fn no_tenant(settings: &Settings) -> Trouble {
    Trouble {
        reason: Reason::TenantUnknown,
        sentence: format!(
            "{} does not say which Entra tenant it trusts; set the annotation {} on the pod.",
            settings.url,
            contract::TENANT_ID_ANNOTATION
        ),
    }
}

pub(crate) fn pool_missing(settings: &Settings) -> Trouble {
    ado(settings, None).pool_missing().into()
}

pub(crate) fn role_missing(settings: &Settings) -> Trouble {
    ado(settings, None).role_missing().into()
}

pub(crate) fn name_taken(settings: &Settings) -> Trouble {
    Trouble {
        reason: Reason::NameTaken,
        sentence: format!(
            "Pool \"{}\" at {} has an agent \"{}\" that is online and not this pod's; give this pod's agent another name (AZP_AGENT_NAME) or stop the other one.",
            settings.pool, settings.url, settings.agent_name
        ),
    }
}

/// The name belongs to an offline agent, which does not hold the agent back.
pub(crate) fn name_of_an_offline_agent(settings: &Settings) -> String {
    format!(
        "Pool \"{}\" has an offline agent \"{}\" from before; a start script that configures with --replace takes it over.",
        settings.pool, settings.agent_name
    )
}

/// The name belongs to another pod of the namespace, which does not hold the agent back either.
pub(crate) fn name_of_another_pod(pod: &str, settings: &Settings) -> String {
    format!(
        "Agent \"{}\" of pool \"{}\" is online and belongs to pod {pod} of this namespace; a start script that configures with --replace takes it over, and a job that it runs may be lost. Without AZP_AGENT_NAME each pod has a name of its own.",
        settings.agent_name, settings.pool
    )
}

/// A request failed. `tenant` is the one that issues the tokens.
pub(crate) fn request_failed(
    settings: &Settings,
    tenant: Option<&str>,
    request: &AdoRequest,
    error: &AdoError,
) -> Trouble {
    ado(settings, tenant).explain(request, error).into()
}

fn ado<'a>(settings: &'a Settings, tenant: Option<&'a str>) -> AdoContext<'a> {
    AdoContext {
        url: &settings.url,
        pool: &settings.pool,
        client_id: &settings.client_id,
        tenant,
    }
}

/// A response that does not fit its request.
pub(crate) fn unexpected_response() -> AdoError {
    AdoError::new(
        AdoErrorKind::UnexpectedResponse,
        "the response does not fit the request",
    )
}

pub(crate) fn adopted(agent: &Agent) -> String {
    format!(
        "Agent \"{}\" (ID {}) carries no marker of this pod (a start script that uses sudo drops the variable {}); it has the pod's agent name and was created after the pod started, so it is treated as this pod's.",
        agent.name,
        agent.id.0,
        contract::OWNER_VARIABLE
    )
}

pub(crate) fn several(settings: &Settings, first: AgentId) -> String {
    format!(
        "Several agents of pool \"{}\" carry this pod's marker; only the one that was seen first (ID {}) is removed.",
        settings.pool, first.0
    )
}

pub(crate) fn lookup_failed(trouble: &Trouble) -> String {
    format!(
        "The sidecar could not check whether the agent registered: {}",
        trouble.sentence
    )
}

pub(crate) fn not_seen(settings: &Settings) -> String {
    format!(
        "The agent may run, but no agent \"{}\" of this pod was seen in pool \"{}\" at {} within five minutes. {WHY_NOT_SEEN} See the log of the agent container.",
        settings.agent_name, settings.pool, settings.url
    )
}

pub(crate) fn token_expired() -> Trouble {
    Trouble {
        reason: Reason::EntraUnreachable,
        sentence: "The token has expired and no new one was issued yet.".to_owned(),
    }
}
