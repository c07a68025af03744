//! A pod, from start to end, whose agent registers through the gateway, step by step.

mod admission;
mod late;
mod once;
mod restart;
mod terminating;
mod unanswered;

use crate::steps::{EPOCH, POOL, Script, agent, settings};
use azure_protocol::{AdoRequest, AdoResponse, Agent, AgentId, Availability, ServerTime};
use contract::Reason;
use lifecycle::{Admission, Event, Found, GatewayEvent, Handoff, Jobs, Settings, TokenId};

pub(super) const OURS: AgentId = AgentId(7);

pub(super) fn gateway_settings(jobs: Jobs) -> Settings {
    Settings {
        handoff: Handoff::Gateway(jobs),
        ..settings()
    }
}

/// Our agent, as Azure DevOps describes it.
pub(super) fn ours() -> Agent {
    Agent {
        created: Some(ServerTime(EPOCH + 12)),
        ..agent(7)
    }
}

pub(super) fn by_name() -> AdoRequest {
    AdoRequest::AgentByName(POOL, "agent-0".to_owned())
}

pub(super) fn get_agent() -> AdoRequest {
    AdoRequest::Agent(POOL, OURS)
}

pub(super) fn disable() -> AdoRequest {
    AdoRequest::SetAvailability(POOL, OURS, Availability::Disabled)
}

pub(super) fn delete() -> AdoRequest {
    AdoRequest::Delete(POOL, OURS)
}

pub(super) fn agents(agents: &[Agent]) -> AdoResponse {
    AdoResponse::Agents(agents.to_vec())
}

pub(super) fn asked(number: u64) -> GatewayEvent {
    asked_for(number, "agent-0")
}

pub(super) fn asked_for(number: u64, name: &str) -> GatewayEvent {
    GatewayEvent::RegistrationAsked {
        number,
        name: name.to_owned(),
    }
}

pub(super) fn begins(number: u64) -> GatewayEvent {
    GatewayEvent::RegistrationBegins {
        number,
        name: "agent-0".to_owned(),
    }
}

pub(super) fn registered(id: AgentId, seconds: i64) -> GatewayEvent {
    GatewayEvent::Registered {
        id,
        created: Some(ServerTime(EPOCH + seconds)),
        name: "agent-0".to_owned(),
    }
}

pub(super) fn opened(agent: AgentId) -> GatewayEvent {
    GatewayEvent::SessionOpened { agent }
}

pub(super) fn polls(agent: AgentId) -> GatewayEvent {
    GatewayEvent::PollOpened { agent }
}

pub(super) fn hangs_up(agent: AgentId) -> GatewayEvent {
    GatewayEvent::PollClosed { agent }
}

pub(super) fn answered(agent: AgentId, found: Found) -> GatewayEvent {
    GatewayEvent::PollAnswered { agent, found }
}

pub(super) fn renewed() -> GatewayEvent {
    GatewayEvent::JobRenewed { agent: OURS }
}

pub(super) fn ended() -> GatewayEvent {
    GatewayEvent::JobEnded { agent: OURS }
}

/// Why it was refused.
pub(super) fn refusal(script: &Script, question: u64) -> String {
    match script.answered(question) {
        Some(Admission::Refused(sentence)) => sentence,
        other => panic!("question {question} is to be refused, but: {other:?}"),
    }
}

/// A sidecar whose agent may start: the checks passed, the name is free.
pub(super) fn ready(jobs: Jobs) -> Script {
    let mut script = Script::new(gateway_settings(jobs), None);
    script.exchange(1, 3600);
    script.expect([
        (
            AdoRequest::PoolByName("linux".to_owned()),
            AdoResponse::Pool(Some(POOL)),
        ),
        (AdoRequest::MayManage(POOL), AdoResponse::MayManage(true)),
    ]);
    assert_eq!(
        (script.gate().pool, script.gate().token),
        (None, None),
        "not before the checks passed"
    );
    script.answer(&by_name(), agents(&[]));
    assert_eq!(script.status().reason, Reason::Ready);
    assert!(script.status().agent_may_start && !script.status().is_ready);
    assert_eq!(
        (script.gate().pool, script.gate().token),
        (Some(POOL), Some(TokenId(1)))
    );
    script
}

/// The same, and the agent registered and listens: two polls are open.
pub(super) fn listening(jobs: Jobs) -> Script {
    let mut script = ready(jobs);
    script.at(10.0).saw(asked(1));
    assert_eq!(script.answered(1), Some(Admission::Go));
    script.at(12.0).saw(begins(2));
    assert_eq!(script.answered(2), Some(Admission::Go));
    script.saw(registered(OURS, 12));
    script.at(15.0).saw(opened(OURS)).saw(polls(OURS)).saw(polls(OURS));
    assert_eq!(script.gate().own, Some(OURS));
    assert_eq!(script.status().reason, Reason::Online);
    assert!(script.status().is_ready);
    assert_eq!(
        script.requests(),
        3,
        "what the checks asked tells that the name is free"
    );
    script
}

/// The pod began to terminate at 100 s while a job runs. The agent was looked up, and is to be disabled.
pub(super) fn terminating_busy() -> Script {
    let mut script = listening(Jobs::Many);
    script.at(90.0).saw(renewed());
    script.at(100.0).event(Event::PreStop);
    let busy = Agent {
        assigned: Some(true),
        enabled: true,
        ..ours()
    };
    script.answer(&get_agent(), agents(&[busy]));
    script
}

/// The same, and the agent is disabled.
pub(super) fn draining() -> Script {
    let mut script = terminating_busy();
    script.answer(&disable(), AdoResponse::Done);
    assert_eq!(script.open(), None);
    script
}
