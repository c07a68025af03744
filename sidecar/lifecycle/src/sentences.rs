//! Every sentence that a user reads, in one place: what happened, where, and what to do.

use crate::preflight::Holder;
use crate::{Agent, Failure, FailureKind, Question, Settings, TokenRefusal};
use contract::Reason;

/// Why an agent that may run is not where it is looked for.
const WHY_NOT_SEEN: &str = "It did not register (an image that reads AZP_TOKEN and no AZP_TOKEN_FILE cannot), it registered in another pool that its image's own environment names, or its image gives it another name.";

/// Something that is wrong, in the words of log, probe output and termination message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) reason: Reason,
    pub(crate) sentence: String,
}

/// What was seen, in parentheses behind a sentence.
fn seen(detail: &str) -> String {
    if detail.is_empty() {
        String::new()
    } else {
        format!(" ({detail})")
    }
}

pub(crate) fn asks_for_tenant(settings: &Settings) -> String {
    format!("Asking {} which Entra tenant it trusts.", settings.url)
}

pub(crate) fn asks_for_token(settings: &Settings, tenant: &str) -> String {
    format!(
        "Asking Entra for a token: tenant {tenant}, client id {}.",
        settings.client_id
    )
}

pub(crate) fn checks(settings: &Settings) -> String {
    format!(
        "Checking pool \"{}\" at {}: its name, our role, the name of the agent.",
        settings.pool, settings.url
    )
}

pub(crate) fn writes_file() -> String {
    "Everything was checked; writing the token file.".to_owned()
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
            "The token file could not be written: {trouble}. What was there before stays as it is; the sidecar tries again."
        ),
    }
}

/// Entra issued no token. `usable` says whether an older one is still good.
pub(crate) fn token_refused(settings: &Settings, tenant: &str, refusal: &TokenRefusal, usable: bool) -> Trouble {
    let client = &settings.client_id;
    let what = token_sentence(refusal.reason, client, tenant);
    let then = if usable {
        " The token that is held stays in use."
    } else {
        ""
    };
    Trouble {
        reason: refusal.reason,
        sentence: format!("{what}{}{then}", seen(&refusal.detail)),
    }
}

fn token_sentence(reason: Reason, client: &str, tenant: &str) -> String {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the reasons that are not Entra's share the last sentence"
    )]
    match reason {
        Reason::AssertionMissing => "The pod's service-account token is missing or empty; check that the projected volume of the sidecar is mounted.".to_owned(),
        Reason::AssertionExpired => "Entra says that the pod's service-account token is expired or not yet valid; check the clock of the node and that the kubelet rotates the token.".to_owned(),
        Reason::AssertionRejected => "Entra does not accept the signature or the shape of the pod's service-account token; check that the cluster's issuer publishes its current keys.".to_owned(),
        Reason::AssertionTooLong => "The pod's service-account token lives longer than the 25 hours that Entra accepts; lower its expirationSeconds.".to_owned(),
        Reason::CredentialMissing => format!("Entra finds no federated credential of client id {client} for this pod, or not yet (a new one takes minutes); compare its issuer, subject and audience with those of the pod."),
        Reason::IssuerUnreachable => "Entra cannot read the cluster's issuer document or keys; the issuer URL has to be reachable from the internet.".to_owned(),
        Reason::ApplicationUnknown => format!("Entra does not know client id {client} in tenant {tenant}, or it is disabled; check both ids."),
        Reason::TenantUnknown => format!("Entra does not know tenant {tenant}, or it is of another cloud; check the tenant id and the authority."),
        Reason::ResourceUnknown => format!("Entra does not know Azure DevOps in tenant {tenant}; connect the organization to this tenant, or correct the tenant id."),
        Reason::ConditionalAccess => format!("A conditional access policy of tenant {tenant} refuses client id {client}; exclude this workload identity or allow the cluster's addresses."),
        Reason::EntraUnreachable => "Entra could not be reached; check DNS, proxy, network policy and trusted certificates.".to_owned(),
        Reason::EntraUnavailable => "Entra answered with a failure of its own; the sidecar tries again.".to_owned(),
        Reason::EntraThrottled => "Entra asks for a pause; the sidecar waits as long as it says.".to_owned(),
        Reason::BindingRefused => "The cluster's token proxy refuses this ServiceAccount; bind it to the ClusterRole of its identity binding.".to_owned(),
        _ => format!("Entra refuses a token for client id {client} in tenant {tenant}."),
    }
}

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
    Trouble {
        reason: Reason::PoolMissing,
        sentence: format!(
            "Pool \"{}\" does not exist at {}, or client id {} may not see it; check the name (AZP_POOL) and give the identity the role Administrator on the pool.",
            settings.pool, settings.url, settings.client_id
        ),
    }
}

pub(crate) fn role_missing(settings: &Settings) -> Trouble {
    Trouble {
        reason: Reason::RoleMissing,
        sentence: format!(
            "Client id {} may see pool \"{}\" at {}, but not manage it; give it the role Administrator on this pool (organization settings, agent pools, security).",
            settings.client_id, settings.pool, settings.url
        ),
    }
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

/// The name is in use, and the agent may start all the same.
pub(crate) fn name_held(holder: &Holder, settings: &Settings) -> String {
    let Settings { pool, agent_name, .. } = settings;
    match holder {
        Holder::LeftOver => format!(
            "Pool \"{pool}\" has an offline agent \"{agent_name}\" from before; a start script that configures with --replace takes it over."
        ),
        Holder::Pod(pod) => format!(
            "Agent \"{agent_name}\" of pool \"{pool}\" is online and belongs to pod {pod} of this namespace; a start script that configures with --replace takes it over, and a job that it runs may be lost. Without AZP_AGENT_NAME each pod has a name of its own."
        ),
    }
}

/// A question failed. `tenant` is the one that tokens are asked at.
pub(crate) fn ask_failed(settings: &Settings, tenant: Option<&str>, question: &Question, failure: &Failure) -> Trouble {
    let Settings {
        url, client_id, pool, ..
    } = settings;
    if let (Some(trusted), Some(asked)) = (failure.tenant.as_deref(), tenant)
        && failure.kind == FailureKind::Unauthorized
        && !trusted.eq_ignore_ascii_case(asked)
    {
        return Trouble {
            reason: Reason::TenantMismatch,
            sentence: format!(
                "{url} trusts tenant {trusted}, but the token is of tenant {asked}; correct the tenant id or remove it (the organization is then asked){}",
                seen(&failure.detail)
            ),
        };
    }
    let doing = doing(question, settings);
    let (reason, what) = match failure.kind {
        FailureKind::Unreachable => (
            Reason::AdoUnreachable,
            format!(
                "{url} could not be reached to {doing}; check DNS, proxy, network policy and trusted certificates."
            ),
        ),
        FailureKind::Garbled => (
            Reason::AdoUnreachable,
            format!("What answered at {url} is not Azure DevOps; check the URL and the proxy in between."),
        ),
        FailureKind::Unavailable => (
            Reason::AdoUnavailable,
            format!("{url} answered with a failure of its own when asked to {doing}; the sidecar tries again."),
        ),
        FailureKind::Throttled => (
            Reason::AdoThrottled,
            format!("{url} asks for a pause; the sidecar waits as long as it says."),
        ),
        FailureKind::Unauthorized => (
            Reason::TokenRefused,
            format!(
                "{url} does not accept the token of client id {client_id}; a new token is asked for. Check that the identity is a user of the organization and that the organization is connected to its tenant."
            ),
        ),
        FailureKind::IdentityUnknown => (
            Reason::IdentityUnknown,
            format!(
                "Client id {client_id} is no user of {url}; add it under organization settings, users, with access level Basic."
            ),
        ),
        FailureKind::NotFound => match question {
            Question::Tenant | Question::Pool => (
                Reason::OrganizationMissing,
                format!("There is no organization at {url}; check the URL (AZP_URL)."),
            ),
            Question::MayManage(_)
            | Question::AgentByName(..)
            | Question::Agents(..)
            | Question::Agent(..)
            | Question::SetEnabled(..)
            | Question::Delete(..) => (Reason::PoolMissing, pool_missing(settings).sentence),
        },
        FailureKind::Forbidden => (
            Reason::RoleMissing,
            format!(
                "Client id {client_id} lacks the rights to {doing}; give it the role Administrator on pool \"{pool}\" at {url}."
            ),
        ),
        FailureKind::JobRunning => (
            Reason::JobStillAssigned,
            format!("Azure DevOps still has a job assigned to the agent in pool \"{pool}\" and refuses to {doing}."),
        ),
        FailureKind::Refused => (Reason::AdoRefused, format!("{url} refuses to {doing}.")),
    };
    Trouble {
        reason,
        sentence: format!("{what}{}", seen(&failure.detail)),
    }
}

fn doing(question: &Question, settings: &Settings) -> String {
    let pool = &settings.pool;
    match question {
        Question::Tenant => "say which Entra tenant it trusts".to_owned(),
        Question::Pool => format!("find pool \"{pool}\""),
        Question::MayManage(_) => format!("say whether we may manage pool \"{pool}\""),
        Question::AgentByName(_, name) => format!("find agent \"{name}\" in pool \"{pool}\""),
        Question::Agents(..) => format!("list the agents of pool \"{pool}\""),
        Question::Agent(_, id) => format!("show agent {} of pool \"{pool}\"", id.0),
        Question::SetEnabled(_, id, true) => format!("enable agent {} of pool \"{pool}\"", id.0),
        Question::SetEnabled(_, id, false) => format!("disable agent {} of pool \"{pool}\"", id.0),
        Question::Delete(_, id) => format!("remove agent {} from pool \"{pool}\"", id.0),
    }
}

/// An answer that does not fit its question.
pub(crate) fn odd_answer() -> Failure {
    Failure {
        kind: FailureKind::Garbled,
        detail: "the answer does not fit the question".to_owned(),
        tenant: None,
    }
}

pub(crate) fn adopted(agent: &Agent) -> String {
    format!(
        "Agent \"{}\" (id {}) carries no marker of this pod (a start script that uses sudo drops the variable {}); it has our name and was created after our start, so it is taken as ours.",
        agent.name,
        agent.id.0,
        contract::OWNER_VARIABLE
    )
}

pub(crate) fn several(settings: &Settings, kept: i64) -> String {
    format!(
        "Several agents of pool \"{}\" carry this pod's marker; only the one that was seen first (id {kept}) is removed.",
        settings.pool
    )
}

pub(crate) fn check_failed(trouble: &Trouble) -> String {
    format!("Could not look whether the agent registered: {}", trouble.sentence)
}

pub(crate) fn searching(settings: &Settings) -> String {
    format!(
        "The pod is leaving: looking for its agent \"{}\" in pool \"{}\".",
        settings.agent_name, settings.pool
    )
}

pub(crate) fn removing(name: &str, settings: &Settings) -> String {
    format!(
        "The pod is leaving: removing agent \"{name}\" from pool \"{}\".",
        settings.pool
    )
}

pub(crate) fn waits_for_job(name: &str, settings: &Settings) -> String {
    format!(
        "The pod is leaving: agent \"{name}\" in pool \"{}\" gets no new jobs and is removed when its job has ended.",
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
    format!("{outcome} Whether it registered once more after that was not seen.")
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
        "No agent of this pod was seen in pool \"{}\" at {}, neither while it ran nor now. {WHY_NOT_SEEN} In another pool it has stayed.",
        settings.pool, settings.url
    )
}

pub(crate) fn kept(settings: &Settings) -> String {
    format!(
        "The agent stays in pool \"{}\" at {}: annotation {} says that it only holds a place there.",
        settings.pool,
        settings.url,
        contract::PLACEHOLDER_ANNOTATION
    )
}

pub(crate) fn never_started(why: &str) -> String {
    let what = "No agent was let start, so there is nothing to remove.";
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
        "carries no marker and was not created since this pod started"
    };
    format!(
        "Agent \"{}\" (id {}) stays in pool \"{}\": it {whose}.",
        agent.name, agent.id.0, settings.pool
    )
}

/// An agent that was ours, or is likely to be, and does not prove it (any more).
pub(crate) fn changed(agent: &Agent, settings: &Settings, was_ours: bool) -> String {
    let whose = if was_ours {
        "it is the agent that this pod registered"
    } else {
        "it has the name of this pod's agent and was created since this pod started"
    };
    let carries = if agent.owner.is_some() {
        "another marker than this pod's"
    } else {
        "no marker"
    };
    format!(
        "Agent \"{}\" (id {}) stays in pool \"{}\": {whose}, but it carries {carries}. Another pod took it over, or a job changed what \
         the agent says of itself; if no running pod has this agent, remove it from the pool.",
        agent.name, agent.id.0, settings.pool
    )
}

pub(crate) fn unproven(settings: &Settings) -> String {
    format!(
        "None of the newest agents of pool \"{}\" at {} carries this pod's marker, and not all of them were looked at; an agent of this pod may have stayed.",
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
        "{} did not answer every question in the time that was left.",
        settings.url
    )
}

pub(crate) fn job_still_assigned(settings: &Settings) -> String {
    format!(
        "Azure DevOps at {} still has a job assigned to it; it can be removed once the job has ended or its lock has run out, about ten minutes after the agent's last sign of life.",
        settings.url
    )
}

pub(crate) fn no_token() -> String {
    "There was no valid token in time.".to_owned()
}

pub(crate) fn token_expired() -> String {
    "The token has expired and no new one was issued yet.".to_owned()
}
