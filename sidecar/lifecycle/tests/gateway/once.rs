//! An agent with one job (annotation `once`).

use super::{
    OURS, agents, answered, asked, begins, delete, disable, ended, gateway_settings, get_agent, hangs_up, listening,
    ours, refusal, renewed,
};
use crate::steps::{Script, at, failure};
use azure_protocol::{AdoErrorKind, AdoResponse, Agent};
use contract::{Drain, OutcomeReason, Reason};
use lifecycle::{Admission, Event, Found, GatewayEvent, Jobs};

/// Its job runs, and it gets no other.
fn working() -> Script {
    let mut script = listening(Jobs::One);
    script.at(100.0).saw(answered(OURS, Found::Agent)).saw(renewed());
    script.answer(&disable(), AdoResponse::Done);
    assert_eq!(script.status().reason, Reason::Used);
    assert!(script.status().is_ready, "it has a session");
    assert_eq!((script.open(), script.shown()), (None, Drain::Serving));
    assert!(script.snapshot().used);
    script
}

#[test]
fn an_agent_is_removed_at_the_end_of_its_one_job() {
    let mut script = working();
    script.at(500.0).saw(renewed());
    script.at(520.0).saw(ended());
    script.answer(&delete(), AdoResponse::Done);
    assert_eq!((script.gate().own, script.gate().ended), (None, vec![OURS]));
    assert_eq!(script.status().reason, Reason::Used);
    assert!(!script.status().is_ready);
    script.at(525.0).event(Event::PreStop).event(Event::Terminate);
    assert_eq!(script.exit().reason, OutcomeReason::Removed);
    assert_eq!(script.requests(), 5);
}

#[test]
fn a_job_whose_beginning_was_missed_is_the_one_job() {
    let mut script = listening(Jobs::One);
    script.at(100.0).saw(ended());
    script.answer(&delete(), AdoResponse::Done);
    assert_eq!(script.status().reason, Reason::Used);
    script.saw(begins(3));
    assert!(refusal(&script, 3).contains("one job"));
}

#[test]
fn the_end_of_its_session_is_the_end_of_its_job() {
    let mut script = working();
    script.at(520.0).saw(GatewayEvent::SessionClosed { agent: OURS });
    script.answer(&delete(), AdoResponse::Done);
    assert_eq!(script.gate().own, None);
}

#[test]
fn nothing_registers_after_its_job_began() {
    let mut script = working();
    script.saw(begins(3));
    assert!(refusal(&script, 3).contains("one job"), "{}", refusal(&script, 3));
    script.saw(hangs_up(OURS)).saw(asked(4));
    assert!(refusal(&script, 4).contains("one job"));
    script.at(520.0).saw(ended());
    // The start script removes its agent while the sidecar does: it waits, and finds nothing.
    script.saw(asked(5));
    assert_eq!(script.answered(5), None);
    script.answer(&delete(), AdoResponse::Done);
    assert_eq!(script.answered(5), Some(Admission::Go));
    script.saw(begins(6));
    assert!(refusal(&script, 6).contains("one job"));
}

#[test]
fn nothing_registers_after_a_restart_of_the_sidecar_either() {
    let mut script = Script::restored_at(gateway_settings(Jobs::One), working().snapshot(), 200.0);
    script.exchange(1, 3600);
    assert_eq!(script.open(), Some(&delete()), "whether its job has ended is not known");
    script.fail(&delete(), failure(AdoErrorKind::JobRunning), None);
    script.saw(begins(1));
    assert!(refusal(&script, 1).contains("one job"));
    script.at(300.0).saw(ended());
    script.answer(&delete(), AdoResponse::Done);
    // And once more, after the removal.
    let mut script = Script::restored_at(gateway_settings(Jobs::One), script.snapshot(), 400.0);
    script.exchange(1, 3600);
    assert_eq!(script.open(), None);
    script.saw(begins(1));
    assert!(refusal(&script, 1).contains("one job"));
    script.event(Event::PreStop).event(Event::Terminate);
    assert_eq!(script.exit().reason, OutcomeReason::Removed);
}

#[test]
fn an_agent_whose_listener_was_killed_is_removed_when_its_lock_has_run_out() {
    let mut script = working();
    script.at(160.0).saw(renewed());
    script.at(170.0).saw(hangs_up(OURS));
    let (due, _) = script.wait();
    assert!(
        due > at(700.0) && due < at(900.0),
        "the lock ran out ten minutes after 160 s: {due:?}"
    );
    script.answer(
        &get_agent(),
        agents(&[Agent {
            enabled: false,
            online: false,
            ..ours()
        }]),
    );
    script.answer(&delete(), AdoResponse::Done);
    assert_eq!(script.gate().own, None);
}

#[test]
fn a_pod_that_terminates_during_the_job_waits_for_it() {
    let mut script = working();
    script.at(200.0).event(Event::PreStop);
    assert!(matches!(script.shown(), Drain::Draining { .. }));
    assert_eq!(script.status().reason, Reason::Draining);
    assert!(!script.status().is_ready);
    script.wait();
    assert!(script.now() < at(237.0), "{:?}", script.now());
    script.answer(
        &get_agent(),
        agents(&[Agent {
            enabled: false,
            assigned: Some(true),
            ..ours()
        }]),
    );
    script.at(300.0).saw(ended());
    script.answer(&delete(), AdoResponse::Done);
    assert_eq!(script.shown(), Drain::Drained);
}

#[test]
fn the_job_of_an_agent_with_many_jobs_changes_nothing() {
    let mut script = listening(Jobs::Many);
    script.at(100.0).saw(renewed());
    assert_eq!((script.open(), script.status().reason), (None, Reason::Online));
}

#[test]
fn a_failed_removal_is_reported_and_retried() {
    let mut script = working();
    script.at(520.0).saw(ended());
    script.fail(&delete(), failure(AdoErrorKind::Unavailable), None);
    assert!(
        script.status().sentence.contains("seen") || script.status().sentence.len() > 120,
        "{}",
        script.status().sentence
    );
    script.wait();
    script.answer(
        &get_agent(),
        agents(&[Agent {
            enabled: false,
            ..ours()
        }]),
    );
    script.answer(&delete(), AdoResponse::Done);
    assert_eq!(script.status().reason, Reason::Used);
}
