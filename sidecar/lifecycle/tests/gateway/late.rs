//! Registrations that come when the pod terminates.

use super::{OURS, agents, asked, begins, by_name, delete, ready, refusal, registered};
use crate::steps::agent;
use azure_protocol::AdoResponse;
use contract::{Drain, OutcomeReason};
use lifecycle::{Event, GatewayEvent, Jobs, RegistrationFailure};

#[test]
fn nothing_registers_in_a_pod_that_terminates() {
    let mut script = ready(Jobs::Many);
    script.at(50.0).event(Event::PreStop);
    assert_eq!(script.shown(), Drain::Drained);
    script.saw(asked(1)).saw(begins(2));
    for question in [1, 2] {
        assert!(
            refusal(&script, question).contains("terminating"),
            "{}",
            refusal(&script, question)
        );
    }
    script.at(60.0).event(Event::Terminate);
    assert_eq!(script.exit().reason, OutcomeReason::NeverSeen);
    assert_eq!(script.requests(), 3);
}

#[test]
fn waiting_registrations_are_refused_when_the_pod_begins_to_terminate() {
    let mut script = ready(Jobs::Many);
    script.at(100.0).saw(asked(1));
    assert_eq!(script.open(), Some(&by_name()));
    script.event(Event::PreStop);
    assert!(refusal(&script, 1).contains("terminating"));
}

#[test]
fn a_registration_in_flight_is_awaited_and_its_agent_removed() {
    let mut script = ready(Jobs::Many);
    script.at(20.0).saw(begins(1));
    script.at(21.0).event(Event::PreStop);
    assert!(matches!(script.shown(), Drain::Draining { .. }));
    assert_eq!(script.open(), None);
    script.at(22.0).saw(registered(OURS, 21));
    script.answer(&delete(), AdoResponse::Done);
    assert_eq!(
        script.gate().ended,
        [OURS],
        "the gateway tells it when it begins to listen"
    );
    assert_eq!(script.shown(), Drain::Drained);
}

#[test]
fn sigterm_removes_an_agent_that_does_not_listen_at_once() {
    let mut script = ready(Jobs::Many);
    script.at(20.0).saw(begins(1)).saw(registered(OURS, 20));
    script.at(21.0).event(Event::Terminate);
    script.answer(&delete(), AdoResponse::Done);
    assert_eq!(script.exit().reason, OutcomeReason::Removed);
}

#[test]
fn a_registration_that_fails_while_the_pod_terminates_leaves_nothing() {
    for (failure, lookups) in [(RegistrationFailure::Refused, 0), (RegistrationFailure::Unanswered, 1)] {
        let mut script = ready(Jobs::Many);
        script.at(20.0).saw(begins(1));
        script.at(21.0).event(Event::PreStop);
        script.saw(GatewayEvent::RegistrationFailed(failure));
        if lookups > 0 {
            script.answer(&by_name(), agents(&[]));
        }
        assert_eq!(script.shown(), Drain::Drained);
        script.event(Event::Terminate);
        assert_eq!(script.exit().reason, OutcomeReason::NeverSeen);
    }
    let mut script = ready(Jobs::Many);
    script.at(20.0).saw(begins(1));
    script.at(21.0).event(Event::PreStop);
    script.saw(GatewayEvent::RegistrationFailed(RegistrationFailure::Unanswered));
    script.answer(&by_name(), agents(&[agent(7)]));
    script.answer(&delete(), AdoResponse::Done);
}
