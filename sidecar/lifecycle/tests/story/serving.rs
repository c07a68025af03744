//! While the agent runs, and what a restarted sidecar does with the state of the previous run.

use super::{
    OURS, busy, by_name, delete, draining, found, get_agent, no_agents, outlasted_by_its_job, pool_by_name, ready,
    refused, serving,
};
use crate::steps::{POOL, Script, agent, at, failure, settings};
use azure_protocol::{AdoErrorKind, AdoRequest, AdoResponse, Agent, Availability, EntraErrorKind};
use contract::{Drain, OutcomeReason, Reason};
use lifecycle::{Event, Snapshot};

#[test]
fn a_refresh_that_fails_keeps_the_token_and_is_reported() {
    let mut script = serving();
    script.wait();
    assert_eq!(script.requested_token(), 1);
    script.event(Event::TokenRefused(refused(EntraErrorKind::Unreachable)));
    let status = script.status();
    assert_eq!(status.reason, Reason::EntraUnreachable);
    assert!(
        status.agent_may_start && status.sentence.contains("stays in use"),
        "{}",
        status.sentence
    );
    script.wait();
    assert_eq!(script.requested_token(), 2);
    script.exchange(2, 3600);
    script.write(2);
    assert_eq!(script.status().reason, Reason::Ready);
}

#[test]
fn backoff_survives_a_restart() {
    let mut script = Script::new(settings(), None);
    script.event(Event::TokenRefused(refused(EntraErrorKind::ApplicationUnknown)));
    let snapshot = script.snapshot();
    let mut script = Script::new(settings(), Some(snapshot));
    assert_eq!(script.requested_token(), 0);
    let (due, _) = script.wait();
    assert!(due >= at(300.0), "{due:?}");
    assert_eq!(script.requested_token(), 1);
}

#[test]
fn a_token_that_azure_devops_refuses_is_replaced_but_not_at_every_refusal() {
    let mut script = Script::new(settings(), None);
    script.exchange(1, 3600);
    let mut requests = 0;
    while script.now() < at(290.0) {
        let open = script.open().cloned();
        if let Some(request) = open {
            script.fail(&request, failure(AdoErrorKind::Unauthorized), None);
            requests += 1;
        }
        script.wait();
    }
    assert!((8..14).contains(&requests), "{requests} requests in five minutes");
    while script.requested_token() == 0 {
        if let Some(request) = script.open().cloned() {
            script.fail(&request, failure(AdoErrorKind::Unauthorized), None);
        }
        script.wait();
    }
    assert!(
        (299.0..302.0).contains(&script.now().0.as_secs_f64()),
        "{:?}",
        script.now()
    );
    script.exchange(2, 3600);
    assert_eq!(script.open(), Some(&pool_by_name()), "the new token is tried at once");
}

#[test]
fn an_agent_that_the_sidecar_disabled_is_enabled_by_the_next_run() {
    let mut script = draining();
    assert_eq!(script.snapshot().disabled, Some(OURS));
    script.event(Event::Terminate);
    script.fail(&delete(), failure(AdoErrorKind::JobRunning), None);
    outlasted_by_its_job(&mut script);
    assert_eq!(script.exit().reason, OutcomeReason::JobStillAssigned);

    let mut script = Script::new(settings(), Some(script.snapshot()));
    assert!(script.status().agent_may_start, "the agent container keeps running");
    script.exchange(2, 3600);
    script.expect([
        (
            get_agent(),
            found(Agent {
                enabled: false,
                ..busy()
            }),
        ),
        (
            AdoRequest::SetAvailability(POOL, OURS, Availability::Enabled),
            AdoResponse::Done,
        ),
    ]);
    assert_eq!(script.snapshot().disabled, None);
}

#[test]
fn an_agent_that_a_person_disabled_again_stays_disabled_after_a_restart() {
    let snapshot = Snapshot {
        admitted: true,
        ended: true,
        pool: Some(POOL),
        pinned: Some((OURS, None)),
        disabled: Some(OURS),
        ..Snapshot::default()
    };
    let mut script = Script::new(settings(), Some(snapshot));
    script.exchange(1, 3600);
    script.answer(&get_agent(), found(agent(7)));
    assert_eq!(script.open(), None, "it is enabled already");
    assert_eq!(script.snapshot().disabled, None);
}

#[test]
fn a_restarted_sidecar_in_a_running_pod_reports_the_token_file() {
    let mut script = draining();
    script.event(Event::Terminate);
    script.fail(&delete(), failure(AdoErrorKind::JobRunning), None);
    outlasted_by_its_job(&mut script);
    let script = Script::new(settings(), Some(script.snapshot()));
    assert_eq!(script.shown(), Drain::Serving);
}

#[test]
fn an_agent_that_is_not_found_is_reported_and_the_end_is_not_clean() {
    let mut script = ready();
    script.wait();
    script.answer(&by_name(), no_agents());
    assert_eq!(
        script.status().reason,
        Reason::Ready,
        "the image may still download its agent"
    );
    script.wait();
    script.answer(&by_name(), no_agents());
    let status = script.status();
    assert_eq!((status.reason, status.agent_may_start), (Reason::NotSeen, true));
    assert!(status.sentence.contains("AZP_TOKEN_FILE"), "{}", status.sentence);
    script.at(1000.0).event(Event::PreStop);
    script.list(&[]);
    script.at(1001.0).event(Event::Terminate);
    script.list(&[]);
    assert_eq!(script.exit().reason, OutcomeReason::LeftUnseen);
}
