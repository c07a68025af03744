//! The agent that was seen while the pod ran is answered with 404 at its end.

use super::{OURS, by_name, delete, disable, found, get_agent, no_agents, serving};
use crate::steps::{POOL, Script, agent, failure};
use azure_protocol::{AdoErrorKind, AdoRequest, AdoResponse, Agent, AgentId, Availability};
use contract::{Drain, OutcomeReason};
use lifecycle::Event;
use std::time::Duration;

fn is_gone(script: &mut Script) {
    script.fail(&get_agent(), failure(AdoErrorKind::NotFound), None);
}

#[test]
fn its_successor_of_another_name_is_found_in_the_list() {
    let mut script = serving();
    script.at(100.0).event(Event::PreStop);
    script.answer(&by_name(), no_agents());
    is_gone(&mut script);
    let anew = AgentId(9);
    let invented = Agent {
        name: "invented".to_owned(),
        ..agent(9)
    };
    script.list(&[Agent {
        assigned: None,
        owner: None,
        ..invented.clone()
    }]);
    script.expect([
        (AdoRequest::Agent(POOL, anew), found(invented)),
        (
            AdoRequest::SetAvailability(POOL, anew, Availability::Disabled),
            AdoResponse::Done,
        ),
        (AdoRequest::Delete(POOL, anew), AdoResponse::Done),
    ]);
    assert_eq!(script.shown(), Drain::Drained);
}

/// Only a 404 says so.
#[test]
fn a_look_at_it_that_fails_is_repeated() {
    for kind in [
        AdoErrorKind::Unavailable,
        AdoErrorKind::Unreachable,
        AdoErrorKind::Forbidden,
    ] {
        let mut script = serving();
        script.at(100.0).event(Event::PreStop);
        script.answer(&by_name(), no_agents());
        script.fail(&get_agent(), failure(kind), None);
        script.wait();
        script.answer(&get_agent(), found(agent(7)));
        script.expect([(disable(), AdoResponse::Done), (delete(), AdoResponse::Done)]);
        assert_eq!(script.shown(), Drain::Drained, "{kind:?}");
    }
}

#[test]
fn after_sigterm_there_is_no_time_for_the_list() {
    let mut script = serving();
    script.at(100.0).event(Event::Terminate);
    script.answer(&by_name(), no_agents());
    is_gone(&mut script);
    assert_eq!(script.exit().reason, OutcomeReason::AlreadyGone);
}

#[test]
fn a_404_long_after_the_look_by_name_may_be_about_the_pool() {
    let mut script = serving();
    script.at(100.0).event(Event::PreStop);
    script.answer_and_pause(&by_name(), no_agents(), Duration::from_secs(60));
    script.wait();
    is_gone(&mut script);
    script.answer(&by_name(), no_agents());
    is_gone(&mut script);
    script.list(&[]);
    assert_eq!(script.shown(), Drain::Drained);
    assert_eq!(script.snapshot().pinned.map(|pinned| pinned.0), Some(OURS));
    script.event(Event::Terminate);
    script.answer(&by_name(), no_agents());
    assert_eq!(script.exit().reason, OutcomeReason::AlreadyGone);
}
