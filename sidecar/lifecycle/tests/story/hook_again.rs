//! The hook runs once more, since the kubelet was restarted: what was found before may have changed.

use super::{by_name, delete, disable, found, get_agent, idle_agent_is_removed, no_agents, serving};
use crate::steps::{POOL, Script, agent, failure};
use azure_protocol::{AdoErrorKind, AdoRequest, AdoResponse, Agent, AgentId, Availability};
use contract::{Drain, OutcomeReason};
use lifecycle::Event;

/// Our agent was removed, and the hook runs again.
fn removed_before() -> Script {
    let mut script = serving();
    script.at(100.0).event(Event::PreStop);
    idle_agent_is_removed(&mut script);
    assert_eq!(script.shown(), Drain::Drained);
    script.at(110.0).event(Event::PreStop);
    assert!(matches!(script.shown(), Drain::Draining { .. }), "{:?}", script.shown());
    script
}

#[test]
fn an_agent_that_registered_after_the_removal_is_found_at_once() {
    let mut script = removed_before();
    let anew = AgentId(9);
    script.answer(&by_name(), found(agent(9)));
    script.fail(&get_agent(), failure(AdoErrorKind::NotFound), None);
    script.expect([
        (
            AdoRequest::SetAvailability(POOL, anew, Availability::Disabled),
            AdoResponse::Done,
        ),
        (AdoRequest::Delete(POOL, anew), AdoResponse::Done),
    ]);
    assert_eq!(script.shown(), Drain::Drained);
}

#[test]
fn an_agent_that_we_removed_ourselves_is_not_looked_for_in_the_list() {
    let mut script = removed_before();
    script.answer(&by_name(), no_agents());
    script.fail(&get_agent(), failure(AdoErrorKind::NotFound), None);
    assert_eq!((script.open(), script.shown()), (None, Drain::Drained));
    script.event(Event::Terminate);
    script.answer(&by_name(), no_agents());
    assert_eq!(script.exit().reason, OutcomeReason::Removed);
}

#[test]
fn the_proof_that_a_failure_asks_for_is_not_spared() {
    for (seen, refused) in [
        (agent(7), disable()),
        (
            Agent {
                enabled: false,
                ..agent(7)
            },
            delete(),
        ),
    ] {
        let mut script = serving();
        script.at(100.0).event(Event::PreStop);
        script.answer(&by_name(), found(seen));
        script.fail(&refused, failure(AdoErrorKind::Unavailable), None);
        script.at(100.1).event(Event::PreStop);
        assert_eq!(script.open(), None, "the pause after the failure stays");
        script.wait();
        assert_eq!(script.open(), Some(&get_agent()));
    }
}
