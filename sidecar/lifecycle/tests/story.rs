//! A pod, from start to end, step by step: what the machine does next after each event.

mod budget;
mod draining;
mod hook_again;
mod idle;
mod last_seconds;
mod ownership;
mod pinned_gone;
mod serving;
mod starting;

use crate::steps::{POOL, Script, agent, settings};
use azure_protocol::{AdoRequest, AdoResponse, Agent, AgentId, Availability, EntraError, EntraErrorKind};
use contract::Reason;
use lifecycle::{Event, Settings, Time};

pub(super) const OURS: AgentId = AgentId(7);

pub(super) fn pool_by_name() -> AdoRequest {
    AdoRequest::PoolByName("linux".to_owned())
}

pub(super) fn by_name() -> AdoRequest {
    AdoRequest::AgentByName(POOL, settings().agent_name)
}

pub(super) fn disable() -> AdoRequest {
    AdoRequest::SetAvailability(POOL, OURS, Availability::Disabled)
}

pub(super) fn delete() -> AdoRequest {
    AdoRequest::Delete(POOL, OURS)
}

pub(super) fn get_agent() -> AdoRequest {
    AdoRequest::Agent(POOL, OURS)
}

pub(super) fn busy() -> Agent {
    Agent {
        assigned: Some(true),
        ..agent(7)
    }
}

/// A sidecar whose agent may start, and did.
pub(super) fn ready() -> Script {
    ready_with(settings())
}

pub(super) fn ready_with(settings: Settings) -> Script {
    let mut script = checking_the_name(settings);
    script.answer(&by_name(), no_agents());
    assert_eq!(script.status().reason, Reason::Ready);
    assert!(script.status().agent_may_start);
    script
}

/// The same, and the agent was seen.
pub(super) fn serving() -> Script {
    let mut script = ready();
    script.wait();
    script.answer(&by_name(), found(agent(7)));
    script
}

/// The pod terminates while a job runs: our agent is disabled and waited for.
pub(super) fn draining() -> Script {
    let mut script = serving();
    script.at(100.0).event(Event::PreStop);
    script.expect([(by_name(), found(busy())), (disable(), AdoResponse::Done)]);
    script
}

pub(super) fn refused(kind: EntraErrorKind) -> EntraError {
    EntraError {
        kind,
        detail: "AADSTS70021: seen".to_owned(),
        retry_after: None,
        assertion_changed: false,
    }
}

/// This agent is all that is found.
pub(super) fn found(agent: Agent) -> AdoResponse {
    AdoResponse::Agents(vec![agent])
}

pub(super) fn no_agents() -> AdoResponse {
    AdoResponse::Agents(Vec::new())
}

/// A sidecar that has a token and may manage the pool; the agent's name is asked for.
pub(super) fn checking_the_name(settings: Settings) -> Script {
    let mut script = Script::new(settings, None);
    script.exchange(1, 3600);
    script.write(1);
    script.expect([
        (pool_by_name(), AdoResponse::Pool(Some(POOL))),
        (AdoRequest::MayManage(POOL), AdoResponse::MayManage(true)),
    ]);
    script
}

/// The agent is found idle, disabled and removed.
pub(super) fn idle_agent_is_removed(script: &mut Script) {
    script.expect([
        (by_name(), found(agent(7))),
        (disable(), AdoResponse::Done),
        (delete(), AdoResponse::Done),
    ]);
}

/// The job goes on until the process ends; returns the last deadline.
pub(super) fn outlasted_by_its_job(script: &mut Script) -> Time {
    let mut last = script.now();
    while !script.has_ended() {
        last = script.wait().0;
        if let Some(request) = script.open().cloned() {
            let disabled = Agent {
                enabled: false,
                ..busy()
            };
            script.answer(&request, found(disabled));
        }
    }
    last
}
