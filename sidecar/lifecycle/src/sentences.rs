//! The machine's messages, in one place: what happened, where, and what to do. What an error of Entra or Azure DevOps means is
//! in `azure_protocol`.

use crate::Settings;
use azure_protocol::{
    AdoContext, AdoError, AdoErrorKind, AdoRequest, Agent, AgentId, EntraContext, EntraError, Explanation,
};
use contract::{AdoReason, Reason};

/// Why an agent that may run is not where it is looked for.
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

/// Added where no newer token can be had, but the one before is still good.
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

pub(crate) fn look_failed(trouble: &Trouble) -> String {
    format!(
        "The sidecar could not check whether the agent registered: {}",
        trouble.sentence
    )
}

pub(crate) fn searching(settings: &Settings) -> String {
    format!(
        "The pod is terminating: looking for its agent \"{}\" in pool \"{}\".",
        settings.agent_name, settings.pool
    )
}

pub(crate) fn removing(name: &str, settings: &Settings) -> String {
    format!(
        "The pod is terminating: removing agent \"{name}\" from pool \"{}\".",
        settings.pool
    )
}

pub(crate) fn waits_for_job(name: &str, settings: &Settings) -> String {
    format!(
        "The pod is terminating: agent \"{name}\" in pool \"{}\" gets no new jobs and is removed when its job has ended.",
        settings.pool
    )
}

pub(crate) fn removed(name: &str, settings: &Settings) -> String {
    format!(
        "Agent \"{name}\" was removed from pool \"{}\" at {}.",
        settings.pool, settings.url
    )
}

pub(crate) fn unverified(outcome: &str) -> String {
    format!("{outcome} The sidecar did not check whether it registered again afterwards.")
}

pub(crate) fn already_gone(settings: &Settings) -> String {
    format!(
        "Pool \"{}\" at {} no longer has an agent of this pod; its own start script had removed it.",
        settings.pool, settings.url
    )
}

pub(crate) fn never_seen(settings: &Settings) -> String {
    format!(
        "No agent of this pod is in pool \"{}\" at {}, and none was seen there: it never registered, or its own start script had removed it.",
        settings.pool, settings.url
    )
}

pub(crate) fn not_seen(settings: &Settings) -> String {
    format!(
        "The agent may run, but no agent \"{}\" of this pod was seen in pool \"{}\" at {} within five minutes. {WHY_NOT_SEEN} See the log of the agent container.",
        settings.agent_name, settings.pool, settings.url
    )
}

pub(crate) fn left_unseen(settings: &Settings) -> String {
    format!(
        "No agent of this pod was seen in pool \"{}\" at {}, neither while it ran nor now. {WHY_NOT_SEEN} If it is in another pool, it has stayed there.",
        settings.pool, settings.url
    )
}

pub(crate) fn kept(settings: &Settings) -> String {
    format!(
        "The agent stays in pool \"{}\" at {}: annotation {} says that it is only a placeholder.",
        settings.pool,
        settings.url,
        contract::PLACEHOLDER_ANNOTATION
    )
}

pub(crate) fn never_started(why: &str) -> String {
    let what = "The agent container was never allowed to start; there is no agent to remove.";
    if why.is_empty() {
        what.to_owned()
    } else {
        format!("{what} {why}")
    }
}

pub(crate) fn not_ours(agent: &Agent, settings: &Settings) -> String {
    let whose = if agent.owner.is_some() {
        "carries the marker of another pod"
    } else {
        "carries no marker and was created before this pod started"
    };
    format!(
        "Agent \"{}\" (ID {}) stays in pool \"{}\": it {whose}.",
        agent.name, agent.id.0, settings.pool
    )
}

/// The agent that was seen as ours does not prove it any more.
pub(crate) fn changed_since_seen(agent: &Agent, settings: &Settings) -> String {
    changed(agent, settings, "it is the agent that this pod registered")
}

/// An agent is likely to be ours and does not prove it.
pub(crate) fn changed_before_seen(agent: &Agent, settings: &Settings) -> String {
    let why = "it has the name of this pod's agent and was created since this pod started";
    changed(agent, settings, why)
}

fn changed(agent: &Agent, settings: &Settings, why_ours: &str) -> String {
    let carries = if agent.owner.is_some() {
        "another marker than this pod's"
    } else {
        "no marker"
    };
    format!(
        "Agent \"{}\" (ID {}) stays in pool \"{}\": {why_ours}, but it carries {carries}. Another pod took it over, or a job \
         changed its marker; if no running pod has this agent, remove it from the pool.",
        agent.name, agent.id.0, settings.pool
    )
}

pub(crate) fn unproven(settings: &Settings) -> String {
    format!(
        "None of the newest agents of pool \"{}\" at {} carries this pod's marker, and not all of them could be checked; an agent of this pod may have stayed.",
        settings.pool, settings.url
    )
}

/// The agent stayed, or may have: which one, and why.
pub(crate) fn left(name: Option<&str>, settings: &Settings, why: &str) -> String {
    match name {
        Some(name) => format!("Agent \"{name}\" stayed in pool \"{}\". {why}", settings.pool),
        None => format!(
            "An agent of this pod may have stayed in pool \"{}\". {why}",
            settings.pool
        ),
    }
}

pub(crate) fn no_answer(settings: &Settings) -> String {
    format!(
        "{} did not respond to every request in the remaining time.",
        settings.url
    )
}

pub(crate) fn job_still_assigned(settings: &Settings) -> String {
    format!(
        "Azure DevOps at {} still has a job assigned to it; it can be removed once the job has ended or its lock has run out, about ten minutes after the agent's last heartbeat.",
        settings.url
    )
}

pub(crate) fn no_token() -> String {
    "No valid token could be obtained in time.".to_owned()
}

pub(crate) fn token_expired() -> Trouble {
    Trouble {
        reason: Reason::EntraUnreachable,
        sentence: "The token has expired and no new one was issued yet.".to_owned(),
    }
}
