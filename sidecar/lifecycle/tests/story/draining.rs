//! From the preStop hook on: the agent is disabled, waited for, removed.

use super::{
    busy, by_name, delete, disable, draining, found, get_agent, idle_agent_is_removed, no_agents, outlasted_by_its_job,
    ready, ready_with, serving,
};
use crate::steps::{Script, agent, at, failure, settings};
use azure_protocol::{AdoErrorKind, AdoResponse, Agent};
use contract::{Drain, OutcomeReason, Reason};
use lifecycle::{Event, Settings};

#[test]
fn an_idle_pod_from_start_to_removed() {
    let mut script = ready();
    let (at_check, _) = script.wait();
    assert!((60..=72).contains(&at_check.0.as_secs()), "{at_check:?}");
    script.answer(&by_name(), found(agent(7)));
    assert_eq!(
        script.machine.poll_timeout().map(|due| due.1),
        Some("the token is refreshed")
    );

    script.at(1000.0).event(Event::PreStop);
    assert_eq!(script.requested_token(), 1, "the token is exchanged once more");
    idle_agent_is_removed(&mut script);
    assert_eq!(script.status().reason, Reason::Draining);

    script.at(1004.0).event(Event::Terminate);
    script.answer(&by_name(), no_agents());
    assert_eq!(script.exit().reason, OutcomeReason::Removed);
    assert_eq!(script.requests(), 8, "requests of a pod from start to end");
}

#[test]
fn a_busy_agent_is_disabled_waited_for_and_removed() {
    let mut script = draining();
    // As long as the pod has been terminating, at least two and at most twelve seconds.
    for pause in [2, 2, 4, 8, 12, 12] {
        let before = script.now();
        let (due, _) = script.wait();
        let waited = due.since(before).as_secs_f64() / f64::from(pause);
        assert!((0.6..=1.5).contains(&waited), "{due:?} after {before:?}");
        let still = Agent {
            enabled: false,
            ..busy()
        };
        script.answer(&get_agent(), found(still));
    }
    assert!(
        script.status().sentence.contains("when its job has ended"),
        "{}",
        script.status().sentence
    );
    script.wait();
    script.answer(&get_agent(), found(agent(7)));
    // Somebody enabled it meanwhile: a job must not slip in before the removal.
    script.expect([(disable(), AdoResponse::Done), (delete(), AdoResponse::Done)]);
    script.event(Event::Terminate);
    script.answer(&by_name(), no_agents());
    assert_eq!(script.exit().reason, OutcomeReason::Removed);
}

#[test]
fn towards_the_end_of_the_grace_period_a_busy_agent_is_checked_more_often() {
    let mut script = draining();
    // T0 was at 100 s, the grace period is 600 s, of which four are not sure.
    script.at(600.0);
    let mut pauses = Vec::new();
    while script.now() < at(692.0) {
        script.answer(
            &get_agent(),
            found(Agent {
                enabled: false,
                ..busy()
            }),
        );
        let before = script.now();
        pauses.push((
            script.wait().0.since(before).as_secs_f64(),
            at(696.0).since(before).as_secs_f64() / 3.0,
        ));
    }
    for (pause, third) in &pauses {
        assert!(*pause <= 1.21 * third.clamp(2.0, 12.0), "{pauses:?}");
    }
    assert!(pauses.len() < 18, "{pauses:?}");
}

#[test]
fn a_job_that_is_assigned_just_before_the_removal_is_awaited() {
    let mut script = serving();
    script.at(100.0).event(Event::PreStop);
    script.expect([(by_name(), found(agent(7))), (disable(), AdoResponse::Done)]);
    script.fail(&delete(), failure(AdoErrorKind::JobRunning), None);
    assert_eq!(script.open(), None);
    assert!(
        script.status().sentence.contains("when its job has ended"),
        "{}",
        script.status().sentence
    );
}

/// How the request to disable it failed, and whether it is tried again.
#[test]
fn a_busy_agent_that_may_not_be_disabled_is_waited_for_all_the_same() {
    for (failed, tries_again) in [
        (AdoErrorKind::Forbidden, false),
        (AdoErrorKind::Refused, false),
        (AdoErrorKind::Unavailable, true),
        (AdoErrorKind::Unreachable, true),
    ] {
        let mut script = serving();
        script.at(100.0).event(Event::PreStop);
        script.answer(&by_name(), found(busy()));
        script.fail(&disable(), failure(failed), None);
        script.wait();
        script.answer(&get_agent(), found(busy()));
        if tries_again {
            script.answer(&disable(), AdoResponse::Done);
        }
        assert_eq!(script.open(), None, "{failed:?}");
        assert!(script.status().sentence.contains("when its job has ended"));
        script.wait();
        script.answer(&get_agent(), found(agent(7)));
        if tries_again {
            script.answer(&disable(), AdoResponse::Done);
        }
        script.answer(&delete(), AdoResponse::Done);
        assert_eq!(script.shown(), Drain::Drained, "{failed:?}");
    }
}

#[test]
fn a_job_agent_that_ended_is_removed_within_three_requests() {
    let mut script = ready();
    script.at(30.0).event(Event::PreStop);
    script.event(Event::Terminate);
    let offline = Agent {
        online: false,
        ..agent(7)
    };
    script.expect([(by_name(), found(offline)), (delete(), AdoResponse::Done)]);
    assert_eq!(script.exit().reason, OutcomeReason::Removed);
    assert_eq!(script.requests(), 5);
}

#[test]
fn a_dead_agent_with_a_job_is_disabled_and_removed_when_the_lock_has_run_out() {
    let mut script = ready();
    script.at(30.0).event(Event::Terminate);
    let dead = Agent {
        online: false,
        ..busy()
    };
    script.answer(&by_name(), found(dead.clone()));
    // Its session outlives it: until that ends it could be given another job.
    script.answer(&disable(), AdoResponse::Done);
    let dead = Agent { enabled: false, ..dead };
    for _ in 0..20 {
        script.wait();
        script.answer(&get_agent(), found(dead.clone()));
    }
    script.wait();
    script.expect([
        (
            get_agent(),
            found(Agent {
                assigned: Some(false),
                ..dead
            }),
        ),
        (delete(), AdoResponse::Done),
    ]);
    assert_eq!(script.exit().reason, OutcomeReason::Removed);
}

#[test]
fn an_agent_that_a_person_disabled_is_removed_but_not_touched_otherwise() {
    let mut script = serving();
    script.at(100.0).event(Event::PreStop);
    let disabled = Agent {
        enabled: false,
        ..agent(7)
    };
    script.expect([(by_name(), found(disabled)), (delete(), AdoResponse::Done)]);
    assert_eq!(script.snapshot().disabled, None);
}

#[test]
fn a_sidecar_that_crashes_while_terminating_keeps_the_first_deadline() {
    let snapshot = draining().snapshot();
    let mut script = Script::restored_at(settings(), snapshot, 130.0);
    assert_eq!(script.status().reason, Reason::Draining);
    script.exchange(2, 3600);
    script.expect([(by_name(), found(busy())), (disable(), AdoResponse::Done)]);
    script.event(Event::Terminate);
    script.fail(&delete(), failure(AdoErrorKind::JobRunning), None);
    let last = outlasted_by_its_job(&mut script);
    assert!(
        (695.5..696.5).contains(&last.0.as_secs_f64()),
        "T0 was at 100 s, the grace period is 600 s: {last:?}"
    );
}

#[test]
fn a_long_drain_keeps_the_token_fresh() {
    let mut script = draining();
    let mut issued = 1;
    while script.now() < at(3500.0) {
        script.wait();
        if let Some(request) = script.open().cloned() {
            script.answer(
                &request,
                found(Agent {
                    enabled: false,
                    ..busy()
                }),
            );
        }
        if script.requested_token() > 0 {
            issued += 1;
            script.exchange(issued, 3600);
            script.write(issued);
        }
    }
    assert_eq!(issued, 2);
}

#[test]
fn the_hook_waits_until_the_agent_is_gone() {
    let mut script = serving();
    assert_eq!(script.shown(), Drain::Serving);
    script.at(100.0).event(Event::PreStop);
    assert_eq!(script.shown(), Drain::Draining { heartbeat: 100 });
    script.expect([(by_name(), found(busy())), (disable(), AdoResponse::Done)]);
    for heartbeat in 101..=102_u32 {
        let (due, why) = script.machine.poll_timeout().expect("a heartbeat");
        assert_eq!((due, why), (at(f64::from(heartbeat)), "the drain file is written"));
        script.at(f64::from(heartbeat));
        assert_eq!(
            script.shown(),
            Drain::Draining {
                heartbeat: heartbeat.into()
            }
        );
    }
    script.wait();
    script.expect([(get_agent(), found(agent(7))), (disable(), AdoResponse::Done)]);
    assert!(
        matches!(script.shown(), Drain::Draining { .. }),
        "it is still in the pool"
    );
    script.answer(&delete(), AdoResponse::Done);
    assert_eq!(script.shown(), Drain::Drained);
}

#[test]
fn the_hook_does_not_wait_where_no_agent_is_found() {
    let mut script = ready();
    script.at(20.0).event(Event::PreStop);
    script.answer(&by_name(), no_agents());
    script.list(&[]);
    assert_eq!(script.shown(), Drain::Drained);
}

#[test]
fn a_placeholder_keeps_its_agent_without_a_request() {
    let placeholder = || Settings {
        placeholder: true,
        ..settings()
    };
    let mut script = ready_with(placeholder());
    script.wait();
    script.answer(&by_name(), found(agent(7)));
    let asked = script.requests();
    script.at(100.0).event(Event::PreStop);
    assert_eq!(script.status().reason, Reason::Draining);
    let snapshot = script.snapshot();
    script.at(101.0).event(Event::Terminate);
    assert_eq!(script.exit().reason, OutcomeReason::Kept);
    assert_eq!(script.requests(), asked, "nothing is asked for the end");
    // Nor where the sidecar is started again while the pod terminates.
    let mut script = Script::restored_at(placeholder(), snapshot, 102.0);
    script.at(103.0).event(Event::Terminate);
    assert_eq!(script.exit().reason, OutcomeReason::Kept);
    // Where no agent was allowed to start there is none to keep.
    let mut script = Script::new(placeholder(), None);
    script.at(1.0).event(Event::PreStop);
    script.event(Event::Terminate);
    assert_eq!(script.exit().reason, OutcomeReason::NeverSeen);
}
