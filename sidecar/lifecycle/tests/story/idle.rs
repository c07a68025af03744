//! Nothing is left to do, and the agent container goes on.

use super::{by_name, delete, disable, found, get_agent, idle_agent_is_removed, no_agents, ready, serving};
use crate::steps::{EPOCH, POOL, Script, agent, marker};
use azure_protocol::{AdoRequest, AdoResponse, Agent, AgentId, Availability, ServerTime};
use contract::OutcomeReason;
use lifecycle::Event;
use std::time::Duration;

/// The pauses between the lookups of an agent that was not there when the pod began to terminate, in seconds, and what is
/// looked up.
#[test]
fn an_agent_that_registers_late_is_searched_for_until_sigterm() {
    let mut script = ready();
    script.at(20.0).event(Event::PreStop);
    script.answer(&by_name(), no_agents());
    script.list(&[]);
    let requests = script.requests();
    for pause in [1, 2, 4, 8, 16, 30] {
        let before = script.now();
        let (due, _) = script.wait();
        let waited = due.since(before);
        assert!(
            (pause * 10..=pause * 12).contains(&(waited.as_millis() / 100)),
            "{waited:?} instead of {pause} s"
        );
        if pause < 30 {
            script.answer(&by_name(), no_agents());
        }
    }
    // The image may invent names.
    let late = |name: &str| Agent {
        name: name.to_owned(),
        created: Some(ServerTime(EPOCH + 70)),
        assigned: None,
        ..agent(7)
    };
    script.list(&[late("invented")]);
    let status = script.status().sentence;
    script.answer(
        &get_agent(),
        found(Agent {
            owner: Some(marker("uid-of-another").to_string()),
            ..late("invented")
        }),
    );
    assert_eq!(
        script.status().sentence,
        status,
        "repeated lookups do not change the status"
    );
    script.wait();
    script.answer(&by_name(), no_agents());
    script.wait();
    script.list(&[late("invented")]);
    assert_eq!(script.open(), None, "whose it is is known");
    assert_eq!(script.requests(), requests + 9);

    script.wait();
    let id = AgentId(8);
    script.expect([
        (by_name(), found(Agent { id, ..agent(8) })),
        (
            AdoRequest::SetAvailability(POOL, id, Availability::Disabled),
            AdoResponse::Done,
        ),
        (AdoRequest::Delete(POOL, id), AdoResponse::Done),
    ]);
    script.event(Event::Terminate);
    script.answer(&by_name(), no_agents());
    assert_eq!(script.exit().reason, OutcomeReason::Removed);
    assert!(
        script.exit().is_verified,
        "repeated lookups leave the request of the last lookup: {}",
        script.exit().sentence
    );
}

#[test]
fn after_a_removal_the_agent_is_looked_up_every_half_minute() {
    let mut script = serving();
    script.at(100.0).event(Event::PreStop);
    idle_agent_is_removed(&mut script);
    for lists in [false, true, false] {
        let before = script.now();
        let (due, _) = script.wait();
        assert!(
            (30..=36).contains(&due.since(before).as_secs()),
            "{due:?} after {before:?}"
        );
        if lists {
            script.list(&[]);
        } else {
            script.answer(&by_name(), no_agents());
        }
    }
    script.event(Event::Terminate);
    script.answer(&by_name(), no_agents());
    assert_eq!(script.exit().reason, OutcomeReason::Removed);
}

/// An agent that registers while the pod terminates was found before it listens, and is disabled.
fn registered_late() -> (Script, Agent) {
    let mut script = ready();
    script.at(20.0).event(Event::PreStop);
    script.answer(&by_name(), no_agents());
    script.list(&[]);
    script.wait();
    let offline = Agent {
        online: false,
        ..agent(7)
    };
    script.expect([(by_name(), found(offline.clone())), (disable(), AdoResponse::Done)]);
    (script, offline)
}

/// Removed before it listens, it would ask for a token forever; and its script has missed SIGTERM.
#[test]
fn an_agent_that_registered_late_is_disabled_at_once_and_removed_when_it_listens() {
    for listens in [true, false] {
        let (mut script, offline) = registered_late();
        let found_at = script.now();
        let disabled = Agent {
            enabled: false,
            online: listens,
            ..offline
        };
        while script.now().since(found_at) < Duration::from_secs(30) {
            let before = script.now();
            let (due, _) = script.wait();
            assert!(
                (2..4).contains(&due.since(before).as_secs()),
                "{due:?} after {before:?}"
            );
            script.answer(&get_agent(), found(disabled.clone()));
            if listens {
                break;
            }
        }
        script.answer(&delete(), AdoResponse::Done);
        script.event(Event::Terminate);
        script.answer(&by_name(), no_agents());
        assert_eq!(script.exit().reason, OutcomeReason::Removed);
    }
}

#[test]
fn an_agent_that_registered_late_has_thirty_seconds_to_listen() {
    for (seconds, is_removed) in [(29.9, false), (30.0, true)] {
        let (mut script, offline) = registered_late();
        let end = script.now().0.as_secs_f64() + seconds;
        script.at(end);
        let disabled = Agent {
            enabled: false,
            ..offline
        };
        script.answer(&get_agent(), found(disabled));
        assert_eq!(script.open() == Some(&delete()), is_removed, "after {seconds} s");
    }
}
