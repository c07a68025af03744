//! From the preStop hook on.

use super::{
    OURS, agents, asked, asked_for, by_name, delete, disable, draining, ended, get_agent, hangs_up, listening, ours,
    renewed,
};
use crate::steps::failure;
use azure_protocol::{AdoErrorKind, AdoResponse, Agent, AgentId};
use contract::{Drain, OutcomeReason, Reason};
use lifecycle::{Admission, Event, GatewayEvent, Jobs, Traffic};

fn busy() -> Agent {
    Agent {
        assigned: Some(true),
        enabled: false,
        ..ours()
    }
}

#[test]
fn an_idle_agent_is_removed_at_once() {
    let mut script = listening(Jobs::Many);
    script.at(100.0).event(Event::PreStop);
    assert_eq!(script.status().reason, Reason::Draining);
    assert!(!script.status().is_ready);
    script.answer(&delete(), AdoResponse::Done);
    assert_eq!(script.gate().ended, [OURS], "its polls end now");
    assert_eq!(script.shown(), Drain::Drained);
    // `config.sh remove` of the start script finds nothing, which it takes for success.
    script.at(101.0).saw(asked(3));
    assert_eq!((script.answered(3), script.gate().own), (Some(Admission::Go), None));
    script.at(105.0).event(Event::Terminate);
    assert_eq!(script.exit().reason, OutcomeReason::Removed);
    assert!(script.exit().is_verified, "nothing could register since");
    assert_eq!(script.requests(), 4, "of a pod from start to end");
}

#[test]
fn nothing_is_looked_up_while_the_pod_keeps_terminating() {
    let mut script = listening(Jobs::Many);
    script.at(100.0).event(Event::PreStop);
    script.answer(&delete(), AdoResponse::Done);
    script.at(600.0);
    assert_eq!(script.requests(), 4);
    // Nor when its hook runs once more, since the kubelet was restarted.
    script.event(Event::PreStop);
    assert_eq!((script.requests(), script.shown()), (4, Drain::Drained));
}

#[test]
fn a_busy_agent_is_removed_as_soon_as_its_job_has_ended() {
    let mut script = draining();
    assert!(script.status().sentence.contains("when its job has ended"));
    script.at(120.0).saw(renewed()).saw(ended());
    script.answer(&delete(), AdoResponse::Done);
    assert_eq!(script.shown(), Drain::Drained);
    script.event(Event::Terminate);
    assert_eq!(script.exit().reason, OutcomeReason::Removed);
}

#[test]
fn the_end_of_the_job_overtakes_a_check() {
    let mut script = draining();
    script.wait();
    assert_eq!(script.open(), Some(&get_agent()));
    script.saw(ended());
    script.answer(&delete(), AdoResponse::Done);
    assert_eq!(script.shown(), Drain::Drained);
}

#[test]
fn a_removal_before_the_end_of_the_job_has_propagated_is_retried_soon() {
    let mut script = draining();
    script.at(120.0).saw(ended());
    script.fail(&delete(), failure(AdoErrorKind::JobRunning), None);
    let (due, _) = script.wait();
    assert!((121.5..=122.5).contains(&due.0.as_secs_f64()), "{due:?}");
    script.expect([
        (
            get_agent(),
            agents(&[Agent {
                assigned: Some(false),
                ..busy()
            }]),
        ),
        (delete(), AdoResponse::Done),
    ]);
}

#[test]
fn a_job_that_keeps_faking_its_end_costs_one_request_a_second() {
    let mut script = draining();
    let before = script.requests();
    let mut now = 120.0;
    while now < 180.0 {
        script.at(now).saw(ended());
        if script.open() == Some(&delete()) {
            script.fail(&delete(), failure(AdoErrorKind::JobRunning), None);
        } else if script.open() == Some(&get_agent()) {
            script.answer(&get_agent(), agents(&[busy()]));
        }
        now += 0.05;
    }
    let asked = script.requests() - before;
    assert!(asked <= 66, "{asked} requests in a minute");
}

#[test]
fn the_end_of_a_job_counts_again_two_seconds_after_a_refused_removal() {
    for (seconds, is_tried) in [(1.9, false), (2.0, true)] {
        let mut script = draining();
        script.at(120.0).saw(ended());
        script.fail(&delete(), failure(AdoErrorKind::JobRunning), None);
        script.at(120.0 + seconds).saw(ended());
        assert_eq!(script.open() == Some(&delete()), is_tried, "after {seconds} s");
    }
}

#[test]
fn a_job_that_begins_while_the_agent_is_removed_is_said() {
    let mut script = listening(Jobs::Many);
    script.at(100.0).event(Event::PreStop);
    assert_eq!(script.open(), Some(&delete()));
    assert!(!script.status().sentence.contains("when its job has ended"));
    script.saw(renewed());
    assert!(
        script.status().sentence.contains("when its job has ended"),
        "{}",
        script.status().sentence
    );
}

#[test]
fn the_lookup_of_a_registration_does_not_delay_the_removal() {
    let mut script = listening(Jobs::Many);
    script.saw(hangs_up(OURS)).saw(hangs_up(OURS));
    script.at(100.0).saw(asked_for(3, "other"));
    assert!(script.open().is_some());
    script.event(Event::PreStop);
    script.answer(&delete(), AdoResponse::Done);
    assert_eq!(script.shown(), Drain::Drained);
}

#[test]
fn a_busy_agent_is_checked_twice_a_minute() {
    let mut script = draining();
    // As long as the pod has been terminating, at least two and at most thirty seconds.
    for pause in [2, 2, 4, 8, 16, 30, 30] {
        let before = script.now();
        let (due, _) = script.wait();
        let waited = due.since(before).as_secs_f64() / f64::from(pause);
        assert!((0.6..=1.5).contains(&waited), "{due:?} after {before:?}");
        script.answer(&get_agent(), agents(&[busy()]));
    }
    // Its listener is dead, and the lock has run out.
    script.wait();
    script.answer(
        &get_agent(),
        agents(&[Agent {
            assigned: Some(false),
            online: false,
            ..busy()
        }]),
    );
    script.answer(&delete(), AdoResponse::Done);
    assert_eq!(script.shown(), Drain::Drained);
}

#[test]
fn a_job_that_was_not_seen_is_found_by_the_refused_removal() {
    let mut script = listening(Jobs::Many);
    script.at(100.0).event(Event::PreStop);
    script.fail(&delete(), failure(AdoErrorKind::JobRunning), None);
    script.answer(
        &get_agent(),
        agents(&[Agent {
            enabled: true,
            ..busy()
        }]),
    );
    script.answer(&disable(), AdoResponse::Done);
    assert!(script.status().sentence.contains("when its job has ended"));
    assert!(script.gate().ended.is_empty(), "it goes on polling");
    script.at(130.0).saw(renewed()).saw(ended());
    script.answer(&delete(), AdoResponse::Done);
}

#[test]
fn an_agent_that_the_script_removed_is_already_gone() {
    let mut script = listening(Jobs::Many);
    script.at(90.0).saw(GatewayEvent::Unregistered { id: OURS });
    script.at(100.0).event(Event::PreStop).event(Event::Terminate);
    assert_eq!(script.exit().reason, OutcomeReason::AlreadyGone);
    assert_eq!(script.requests(), 3);
    // The same while the pod terminates.
    let mut script = draining();
    script.at(130.0).saw(GatewayEvent::Unregistered { id: OURS });
    script.event(Event::Terminate);
    assert_eq!(script.exit().reason, OutcomeReason::AlreadyGone);
}

#[test]
fn an_agent_that_a_person_removed_is_already_gone() {
    let mut script = listening(Jobs::Many);
    script.at(100.0).event(Event::PreStop);
    script.fail(&delete(), failure(AdoErrorKind::NotFound), None);
    script.answer(
        &by_name(),
        agents(&[Agent {
            id: AgentId(9),
            ..ours()
        }]),
    );
    assert_eq!(
        script.shown(),
        Drain::Drained,
        "an agent of our name with another id is another's"
    );
    script.event(Event::Terminate);
    assert_eq!(script.exit().reason, OutcomeReason::AlreadyGone);
    // Where no answer came, our request may have been the one.
    let mut script = listening(Jobs::Many);
    script.at(100.0).event(Event::PreStop);
    script.fail(&delete(), failure(AdoErrorKind::Unreachable), None);
    script.at(110.0);
    script.fail(&get_agent(), failure(AdoErrorKind::NotFound), None);
    script.answer(&by_name(), agents(&[]));
    script.event(Event::Terminate);
    assert_eq!(script.exit().reason, OutcomeReason::Removed);
}

#[test]
fn after_sigterm_only_polls_are_served_and_the_job_may_go_on() {
    let mut script = draining();
    assert_eq!(script.gate().traffic, Traffic::All);
    script.at(200.0).event(Event::Terminate);
    assert_eq!(script.gate().traffic, Traffic::OnlyPolls);
    script.fail(&delete(), failure(AdoErrorKind::JobRunning), None);
    script.at(230.0);
    if let Some(request) = script.open().cloned() {
        script.answer(&request, agents(&[busy()]));
    }
    script.at(240.0).saw(ended());
    script.answer(&delete(), AdoResponse::Done);
    assert_eq!(script.exit().reason, OutcomeReason::Removed);
}

#[test]
fn a_job_that_outlasts_the_grace_period_is_named() {
    let mut script = draining();
    script.at(699.0).event(Event::Terminate);
    script.fail(&delete(), failure(AdoErrorKind::JobRunning), None);
    while !script.has_ended() {
        script.wait();
        if let Some(request) = script.open().cloned() {
            script.answer(&request, agents(&[busy()]));
        }
    }
    assert_eq!(script.exit().reason, OutcomeReason::JobStillAssigned);
}

#[test]
fn a_job_that_changes_its_agents_marker_changes_nothing() {
    let mut script = draining();
    script.wait();
    let disguised = Agent {
        owner: Some("nonsense".to_owned()),
        assigned: Some(false),
        ..busy()
    };
    script.answer(&get_agent(), agents(&[disguised]));
    script.answer(&delete(), AdoResponse::Done);
    assert_eq!(script.shown(), Drain::Drained);
}

#[test]
fn events_of_other_agents_are_ignored() {
    let mut script = listening(Jobs::Many);
    let other = AgentId(99);
    script
        .saw(GatewayEvent::SessionClosed { agent: other })
        .saw(GatewayEvent::JobRenewed { agent: other })
        .saw(GatewayEvent::Unregistered { id: other });
    assert!(script.status().is_ready);
    script.at(100.0).event(Event::PreStop);
    script.answer(&delete(), AdoResponse::Done);
}
