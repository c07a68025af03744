//! Messages about an agent that registers through the gateway, and refusals, which `config.sh` prints.

use crate::Settings;
use crate::gateway::ClosedReason;

/// With the gateway: nothing is registered yet.
pub(crate) fn may_register(settings: &Settings) -> String {
    format!(
        "All checks passed; an agent of this pod may register in pool \"{}\" at {} through the sidecar.",
        settings.pool, settings.url
    )
}

/// With the gateway: the registered agent is gone.
pub(crate) fn may_register_again(name: &str, settings: &Settings) -> String {
    format!(
        "Agent \"{name}\" was removed from pool \"{}\"; its container may register again through the sidecar.",
        settings.pool
    )
}

pub(crate) fn online(name: &str, settings: &Settings) -> String {
    format!(
        "Agent \"{name}\" is registered in pool \"{}\" at {} and listens for jobs.",
        settings.pool, settings.url
    )
}

pub(crate) fn offline(name: &str, settings: &Settings) -> String {
    format!(
        "Agent \"{name}\" is registered in pool \"{}\" at {} and does not listen for jobs; see the log of the agent container.",
        settings.pool, settings.url
    )
}

pub(crate) fn not_registered(settings: &Settings) -> String {
    format!(
        "The agent may run, but none registered in pool \"{}\" at {} through the sidecar within five minutes. See the log of the agent container.",
        settings.pool, settings.url
    )
}

pub(crate) fn has_its_job(name: &str, settings: &Settings) -> String {
    format!(
        "Agent \"{name}\" of pool \"{}\" is running its one job ({}); it gets no other and is removed when that job has ended.",
        settings.pool,
        contract::ONCE_ANNOTATION
    )
}

pub(crate) fn had_its_job(outcome: &str) -> String {
    let what = format!(
        "This pod has had its one job ({}); no other agent may register in it.",
        contract::ONCE_ANNOTATION
    );
    if outcome.is_empty() {
        what
    } else {
        format!("{outcome} {what}")
    }
}

/// Why a registration is refused: nothing registers in this pod any more.
pub(crate) fn nothing_registers(why: ClosedReason) -> String {
    match why {
        ClosedReason::Terminating => "This pod is terminating: no agent may register in it any more.".to_owned(),
        ClosedReason::Used => had_its_job(""),
    }
}

/// Why a registration is refused: the pod has an agent already.
pub(crate) fn another_listens(name: &str) -> String {
    format!("Agent \"{name}\" of this pod is listening for jobs: a pod has one agent at a time.")
}

/// Why a registration is refused: the pod may have an agent already.
pub(crate) fn another_may_be_ours(name: &str, settings: &Settings) -> String {
    format!(
        "Agent \"{name}\" of pool \"{}\" at {} may be one that this pod registered without getting an answer, but it carries another \
         pod's marker; a pod has one agent at a time. If no running pod has that agent, remove it from the pool.",
        settings.pool, settings.url
    )
}

/// Why a registration is refused: another agent has the name.
pub(crate) fn name_held(name: &str, settings: &Settings) -> String {
    format!(
        "Pool \"{}\" at {} has an agent \"{name}\" that is not this pod's; through the sidecar only an agent that is offline and has \
         the pod's own agent name (\"{}\") is replaced. Give this pod's agent another name (AZP_AGENT_NAME), or remove the other one.",
        settings.pool, settings.url, settings.agent_name
    )
}

/// Why a registration is refused: the previous agent cannot be removed yet.
pub(crate) fn still_has_a_job() -> String {
    "The agent that this one would replace still has a job assigned; it can be replaced once that has ended or its lock has run \
     out, about ten minutes after the agent's last heartbeat."
        .to_owned()
}

/// Why a registration is refused: too many wait already.
pub(crate) fn too_many_registrations() -> String {
    "Too many registrations of this pod wait for an answer; try again later.".to_owned()
}

/// The same with the gateway.
pub(crate) fn name_of_a_left_over(settings: &Settings) -> String {
    format!(
        "Pool \"{}\" has an offline agent \"{}\" from before; it is replaced when the pod's agent registers.",
        settings.pool, settings.agent_name
    )
}

/// With the gateway, which would have seen it.
pub(crate) fn never_registered(settings: &Settings) -> String {
    format!(
        "No agent of this pod is in pool \"{}\" at {}: none registered through the sidecar.",
        settings.pool, settings.url
    )
}
