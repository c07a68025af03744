//! Messages while the pod terminates, and about the outcome.

use super::WHY_NOT_SEEN;
use crate::Settings;
use azure_protocol::Agent;

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

pub(crate) fn left_by_earlier_run(why: &str) -> String {
    format!("The agent that an earlier run of this container allowed to start may still be in the pool. {why}")
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

/// An agent that was proven ours is not any more.
pub(crate) fn changed_since_seen(agent: &Agent, settings: &Settings) -> String {
    changed(agent, settings, "it is the agent that this pod registered")
}

/// An agent is likely to be ours, without proof.
pub(crate) fn changed_before_seen(agent: &Agent, settings: &Settings) -> String {
    let why = "it has the name of this pod's agent and was created since this pod started";
    changed(agent, settings, why)
}

/// With the gateway: the same where no answer to the pod's registration came.
pub(crate) fn changed_before_answered(agent: &Agent, settings: &Settings) -> String {
    let why = "it has the name that this pod registered without getting an answer, and was created since";
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
