//! The life of a pod, step by step: what the machine does next after each event.

use crate::steps::{EPOCH, POOL, Script, agent, at, failure, marker, settings};
use azure_protocol::{
    AdoError, AdoErrorKind, AdoRequest, AdoResponse, Agent, AgentId, Availability, EntraError, EntraErrorKind,
    ServerTime,
};
use contract::{Drain, OutcomeReason, Reason};
use lifecycle::{Command, Event, Refusal, Settings, Severity, Snapshot};
use std::time::Duration;

const OURS: AgentId = AgentId(7);

fn pool_by_name() -> AdoRequest {
    AdoRequest::PoolByName("linux".to_owned())
}

fn by_name() -> AdoRequest {
    AdoRequest::AgentByName(POOL, settings().agent_name)
}

fn disable() -> AdoRequest {
    AdoRequest::SetAvailability(POOL, OURS, Availability::Disabled)
}

fn delete() -> AdoRequest {
    AdoRequest::Delete(POOL, OURS)
}

fn look() -> AdoRequest {
    AdoRequest::Agent(POOL, OURS)
}

fn busy() -> Agent {
    Agent {
        assigned: Some(true),
        ..agent(7)
    }
}

/// A sidecar whose agent may start, and did.
fn ready() -> Script {
    ready_with(settings())
}

fn ready_with(settings: Settings) -> Script {
    let mut script = Script::new(settings, None);
    script.exchange(1, 3600);
    script.write(1);
    script.answer(&pool_by_name(), AdoResponse::Pool(Some(POOL)));
    script.answer(&AdoRequest::MayManage(POOL), AdoResponse::MayManage(true));
    script.answer(&by_name(), AdoResponse::Agents(vec![]));
    assert_eq!(script.status().reason, Reason::Ready);
    assert!(script.status().agent_may_start);
    script
}

/// The same, and the agent was seen.
fn serving() -> Script {
    let mut script = ready();
    script.wait();
    script.answer(&by_name(), AdoResponse::Agents(vec![agent(7)]));
    script
}

/// The pod leaves while a job runs: our agent is disabled and waited for.
fn draining() -> Script {
    let mut script = serving();
    script.at(100.0).event(Event::PreStop);
    script.answer(&by_name(), AdoResponse::Agents(vec![busy()]));
    script.answer(&disable(), AdoResponse::Done);
    script
}

#[test]
fn an_idle_pod_from_start_to_removed() {
    let mut script = ready();
    let (at_check, _) = script.wait();
    assert!((60..=72).contains(&at_check.0.as_secs()), "{at_check:?}");
    script.answer(&by_name(), AdoResponse::Agents(vec![agent(7)]));
    assert_eq!(
        script.machine.poll_timeout().map(|due| due.1),
        Some("the token is refreshed")
    );

    script.at(1000.0).event(Event::PreStop);
    assert_eq!(script.requested_token(), 1, "the token is exchanged once more");
    script.answer(&by_name(), AdoResponse::Agents(vec![agent(7)]));
    script.answer(&disable(), AdoResponse::Done);
    script.answer(&delete(), AdoResponse::Done);
    assert_eq!(script.status().reason, Reason::Draining);

    script.at(1004.0).event(Event::Terminate);
    script.answer(&by_name(), AdoResponse::Agents(vec![]));
    assert_eq!(script.exit().reason, OutcomeReason::Removed);
    assert_eq!(script.questions(), 8, "requests in the life of the pod");
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
        script.answer(&look(), AdoResponse::Agents(vec![still]));
    }
    assert!(
        script.status().sentence.contains("when its job has ended"),
        "{}",
        script.status().sentence
    );
    script.wait();
    script.answer(&look(), AdoResponse::Agents(vec![agent(7)]));
    // Somebody enabled it meanwhile: a job must not slip in before the removal.
    script.answer(&disable(), AdoResponse::Done);
    script.answer(&delete(), AdoResponse::Done);
    script.event(Event::Terminate);
    script.answer(&by_name(), AdoResponse::Agents(vec![]));
    assert_eq!(script.exit().reason, OutcomeReason::Removed);
}

#[test]
fn towards_the_end_of_the_grace_a_busy_agent_is_looked_at_more_often() {
    let mut script = draining();
    // T0 was at 100 s, the grace is 600 s, of which four are not sure.
    script.at(600.0);
    let mut pauses = Vec::new();
    while script.now() < at(692.0) {
        script.answer(
            &look(),
            AdoResponse::Agents(vec![Agent {
                enabled: false,
                ..busy()
            }]),
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
fn a_job_that_slips_in_before_the_removal_is_waited_for() {
    let mut script = serving();
    script.at(100.0).event(Event::PreStop);
    script.answer(&by_name(), AdoResponse::Agents(vec![agent(7)]));
    script.answer(&disable(), AdoResponse::Done);
    script.fail(&delete(), failure(AdoErrorKind::JobRunning), None);
    assert_eq!(script.open(), None);
    assert!(
        script.status().sentence.contains("when its job has ended"),
        "{}",
        script.status().sentence
    );
}

/// The grace is used up: SIGTERM comes with two seconds left.
fn at_the_very_end(last_seen: Agent) -> Script {
    let mut script = draining();
    script.at(700.0);
    script.answer(&look(), AdoResponse::Agents(vec![last_seen]));
    if script.open().is_some() {
        script.answer(&disable(), AdoResponse::Done);
    }
    script.event(Event::Terminate);
    assert_eq!(script.open(), Some(&delete()), "the removal goes out at once");
    assert_eq!(script.patience(), Duration::from_millis(1500));
    script
}

/// What the removal meets, and how it ends.
#[test]
fn two_seconds_are_enough_for_an_outcome() {
    for (meets, reason) in [
        (Some(AdoErrorKind::JobRunning), OutcomeReason::JobStillAssigned),
        (Some(AdoErrorKind::Unreachable), OutcomeReason::LeftUnreachable),
        (Some(AdoErrorKind::Unavailable), OutcomeReason::LeftUnreachable),
        (Some(AdoErrorKind::Throttled), OutcomeReason::LeftUnreachable),
        (Some(AdoErrorKind::UnexpectedResponse), OutcomeReason::LeftUnreachable),
        (Some(AdoErrorKind::Unauthorized), OutcomeReason::LeftWithoutToken),
        (Some(AdoErrorKind::Forbidden), OutcomeReason::LeftRefused),
        (Some(AdoErrorKind::Refused), OutcomeReason::LeftRefused),
        (None, OutcomeReason::JobStillAssigned),
    ] {
        let mut script = at_the_very_end(busy());
        if let Some(kind) = meets {
            script.fail(&delete(), failure(kind), Some(Duration::from_secs(60)));
        }
        while !script.has_ended() {
            let (due, why) = script.wait();
            assert!(due <= at(701.8), "{meets:?}: {why} at {due:?}");
        }
        assert_eq!(script.exit().reason, reason, "{meets:?}");
        assert!(script.exit().sentence.contains("agent-0"), "{}", script.exit().sentence);
    }
}

#[test]
fn a_connection_that_breaks_is_tried_once_more_within_two_seconds() {
    let mut script = at_the_very_end(busy());
    script.fail(&delete(), failure(AdoErrorKind::Unreachable), None);
    script.wait();
    script.answer(&look(), AdoResponse::Agents(vec![agent(7)]));
    script.answer(&delete(), AdoResponse::Done);
    assert_eq!(script.exit().reason, OutcomeReason::Removed);
    assert!(script.now() < at(701.8), "{:?}", script.now());
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
    script.answer(&by_name(), AdoResponse::Agents(vec![offline]));
    script.answer(&delete(), AdoResponse::Done);
    assert_eq!(script.exit().reason, OutcomeReason::Removed);
    assert_eq!(script.questions(), 5);
}

#[test]
fn a_dead_agent_with_a_job_is_disabled_and_removed_when_the_lock_has_run_out() {
    let mut script = ready();
    script.at(30.0).event(Event::Terminate);
    let dead = Agent {
        online: false,
        ..busy()
    };
    script.answer(&by_name(), AdoResponse::Agents(vec![dead.clone()]));
    // Its session outlives it: until that ends it could be given another job.
    script.answer(&disable(), AdoResponse::Done);
    let dead = Agent { enabled: false, ..dead };
    for _ in 0..20 {
        script.wait();
        script.answer(&look(), AdoResponse::Agents(vec![dead.clone()]));
    }
    script.wait();
    script.answer(
        &look(),
        AdoResponse::Agents(vec![Agent {
            assigned: Some(false),
            ..dead
        }]),
    );
    script.answer(&delete(), AdoResponse::Done);
    assert_eq!(script.exit().reason, OutcomeReason::Removed);
}

/// Each check that fails: the word, what the sentence names, and that the machine asks again by itself.
#[test]
fn every_failed_check_says_what_to_do_and_recovers() {
    let may_manage = AdoRequest::MayManage(POOL);
    let stranger = Agent {
        owner: Some("ado-agent/v1/cluster/another-namespace/agent-0/uid-of-another".to_owned()),
        ..agent(3)
    };
    let cases: Vec<(AdoRequest, Result<AdoResponse, AdoError>, Reason, &str)> = vec![
        (
            pool_by_name(),
            Ok(AdoResponse::Pool(None)),
            Reason::PoolMissing,
            "\"linux\"",
        ),
        (
            pool_by_name(),
            Err(failure(AdoErrorKind::NotFound)),
            Reason::OrganizationMissing,
            "https://dev.azure.com/contoso",
        ),
        (
            pool_by_name(),
            Err(failure(AdoErrorKind::Unreachable)),
            Reason::AdoUnreachable,
            "proxy",
        ),
        (
            pool_by_name(),
            Err(failure(AdoErrorKind::UnexpectedResponse)),
            Reason::AdoUnreachable,
            "not Azure DevOps",
        ),
        (
            pool_by_name(),
            Err(failure(AdoErrorKind::Unavailable)),
            Reason::AdoUnavailable,
            "passes by itself",
        ),
        (
            pool_by_name(),
            Err(failure(AdoErrorKind::Throttled)),
            Reason::AdoThrottled,
            "throttling",
        ),
        (
            pool_by_name(),
            Err(failure(AdoErrorKind::Unauthorized)),
            Reason::TokenRefused,
            "client",
        ),
        (
            pool_by_name(),
            Err(failure(AdoErrorKind::Refused)),
            Reason::AdoRefused,
            "find pool",
        ),
        (
            pool_by_name(),
            Err(failure(AdoErrorKind::IdentityUnknown)),
            Reason::IdentityUnknown,
            "access level Basic",
        ),
        (
            pool_by_name(),
            Ok(AdoResponse::Done),
            Reason::AdoUnreachable,
            "does not fit",
        ),
        (
            may_manage.clone(),
            Ok(AdoResponse::MayManage(false)),
            Reason::RoleMissing,
            "Administrator",
        ),
        (
            may_manage.clone(),
            Err(failure(AdoErrorKind::Forbidden)),
            Reason::RoleMissing,
            "Administrator",
        ),
        (
            may_manage,
            Err(failure(AdoErrorKind::NotFound)),
            Reason::PoolMissing,
            "AZP_POOL",
        ),
        (
            by_name(),
            Ok(AdoResponse::Agents(vec![stranger])),
            Reason::NameTaken,
            "AZP_AGENT_NAME",
        ),
    ];
    for (question, result, reason, names) in cases {
        let mut script = Script::new(settings(), None);
        script.exchange(1, 3600);
        script.write(1);
        let hopes = [
            (pool_by_name(), AdoResponse::Pool(Some(POOL))),
            (AdoRequest::MayManage(POOL), AdoResponse::MayManage(true)),
            (by_name(), AdoResponse::Agents(vec![])),
        ];
        for (earlier, answer) in hopes.iter().take_while(|(earlier, _)| *earlier != question) {
            script.answer(earlier, answer.clone());
        }
        assert!(
            script.patience() < Duration::from_secs(5),
            "a failure is said within five seconds"
        );
        match result.clone() {
            Ok(answer) => script.answer(&question, answer),
            Err(failure) => script.fail(&question, failure, None),
        }
        let status = script.status();
        assert_eq!(status.reason, reason, "{question:?} {result:?}");
        assert!(status.sentence.contains(names), "{}", status.sentence);
        assert!(!status.agent_may_start);
        assert!(script.commands().contains(&Command::Report(status)), "it is reported");

        script.wait();
        while let Some(open) = script.open().cloned() {
            let answer = hopes
                .iter()
                .find(|(asked, _)| *asked == open)
                .expect("a check")
                .1
                .clone();
            script.answer(&open, answer);
        }
        assert_eq!(script.status().reason, Reason::Ready, "after {question:?} {result:?}");
    }
}

#[test]
fn an_offline_agent_of_the_same_name_blocks_nobody() {
    let mut script = Script::new(settings(), None);
    script.exchange(1, 3600);
    script.write(1);
    script.answer(&pool_by_name(), AdoResponse::Pool(Some(POOL)));
    script.answer(&AdoRequest::MayManage(POOL), AdoResponse::MayManage(true));
    let left_over = Agent {
        online: false,
        owner: Some(marker("uid-before").to_string()),
        ..agent(3)
    };
    script.answer(&by_name(), AdoResponse::Agents(vec![left_over]));
    assert_eq!(script.status().reason, Reason::Ready);
}

#[test]
fn a_tenant_that_nobody_named_is_asked_of_the_organization() {
    let settings = Settings {
        tenant: None,
        ..settings()
    };
    let mut script = Script::new(settings, None);
    assert_eq!(script.requested_token(), 0);
    script.answer(&AdoRequest::Tenant, AdoResponse::Tenant(None));
    assert_eq!(script.status().reason, Reason::TenantUnknown);
    assert!(
        script.status().sentence.contains("ado-agent.dev/tenant-id"),
        "{}",
        script.status().sentence
    );
    script.wait();
    script.answer(&AdoRequest::Tenant, AdoResponse::Tenant(Some("theirs".to_owned())));
    assert!(script.commands().contains(&Command::RequestToken {
        tenant: "theirs".to_owned()
    }));
    assert_eq!(script.snapshot().tenant.as_deref(), Some("theirs"));
}

#[test]
fn a_configured_tenant_that_differs_is_named() {
    let mut script = Script::new(settings(), None);
    script.exchange(1, 3600);
    let refused = AdoError {
        tenant: Some("theirs".to_owned()),
        ..failure(AdoErrorKind::Unauthorized)
    };
    script.fail(&pool_by_name(), refused, None);
    let status = script.status();
    assert_eq!(status.reason, Reason::TenantMismatch);
    assert!(
        status.sentence.contains("trusts tenant theirs") && status.sentence.contains("of tenant tenant"),
        "{}",
        status.sentence
    );
}

#[test]
fn a_refusal_asks_nobody_and_ends_when_told() {
    let settings = Settings {
        refusal: Some(Refusal {
            reason: Reason::NotServices,
            sentence: "Azure DevOps Server takes no Entra token.".to_owned(),
        }),
        ..settings()
    };
    let mut script = Script::new(settings, None);
    assert_eq!(script.status().reason, Reason::NotServices);
    assert!(!script.status().agent_may_start);
    assert_eq!(script.machine.poll_timeout(), None);
    script.event(Event::PreStop);
    script.event(Event::Terminate);
    assert_eq!(script.exit().reason, OutcomeReason::NeverSeen);
    assert_eq!((script.questions(), script.requested_token()), (0, 0));
}

#[test]
fn a_pod_that_leaves_before_its_agent_could_start_leaves_nothing_to_ask() {
    let mut script = Script::new(settings(), None);
    script.event(Event::TokenRefused(refused(EntraErrorKind::CredentialMissing)));
    assert_eq!(script.status().reason, Reason::CredentialMissing);
    script.event(Event::PreStop).event(Event::Terminate);
    assert_eq!(script.exit().reason, OutcomeReason::NeverSeen);
    assert!(
        script.exit().sentence.contains("federated credential"),
        "{}",
        script.exit().sentence
    );
    assert_eq!(script.questions(), 0);
}

fn refused(kind: EntraErrorKind) -> EntraError {
    EntraError {
        kind,
        detail: "AADSTS70021: seen".to_owned(),
        retry_after: None,
        assertion_changed: false,
    }
}

#[test]
fn a_refresh_that_fails_keeps_the_token_and_says_so() {
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
fn back_off_survives_a_restart() {
    let mut script = Script::new(settings(), None);
    script.event(Event::TokenRefused(refused(EntraErrorKind::ApplicationUnknown)));
    let kept = script.snapshot();
    let mut script = Script::new(settings(), Some(kept));
    assert_eq!(script.requested_token(), 0);
    let (due, _) = script.wait();
    assert!(due >= at(300.0), "{due:?}");
    assert_eq!(script.requested_token(), 1);
}

#[test]
fn a_token_that_azure_devops_refuses_is_replaced_but_not_at_every_refusal() {
    let mut script = Script::new(settings(), None);
    script.exchange(1, 3600);
    let mut questions = 0;
    while script.now() < at(290.0) {
        let open = script.open().cloned();
        if let Some(question) = open {
            script.fail(&question, failure(AdoErrorKind::Unauthorized), None);
            questions += 1;
        }
        script.wait();
    }
    assert!((8..14).contains(&questions), "{questions} questions in five minutes");
    while script.requested_token() == 0 {
        if let Some(question) = script.open().cloned() {
            script.fail(&question, failure(AdoErrorKind::Unauthorized), None);
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
fn a_pause_that_comes_with_a_success_is_obeyed() {
    let mut script = Script::new(settings(), None);
    script.exchange(1, 3600);
    script.answer_and_pause(&pool_by_name(), AdoResponse::Pool(Some(POOL)), Duration::from_secs(40));
    assert_eq!(script.open(), None);
    script.write(1);
    let (due, _) = script.wait();
    assert!(due >= at(40.0), "{due:?}");
    assert_eq!(script.open(), Some(&AdoRequest::MayManage(POOL)));
}

#[test]
fn a_file_that_cannot_be_written_keeps_the_agent_from_starting() {
    let mut script = Script::new(settings(), None);
    script.exchange(1, 3600);
    script.answer(&pool_by_name(), AdoResponse::Pool(Some(POOL)));
    script.answer(&AdoRequest::MayManage(POOL), AdoResponse::MayManage(true));
    script.answer(&by_name(), AdoResponse::Agents(vec![]));
    script.event(Event::TokenFileFailed("no space left".to_owned()));
    assert_eq!(script.status().reason, Reason::TokenFileFailed);
    assert!(!script.status().agent_may_start);
    script.wait();
    script.write(1);
    assert_eq!(script.status().reason, Reason::Ready);
}

#[test]
fn an_agent_that_a_person_disabled_is_removed_but_not_touched_otherwise() {
    let mut script = serving();
    script.at(100.0).event(Event::PreStop);
    let disabled = Agent {
        enabled: false,
        ..agent(7)
    };
    script.answer(&by_name(), AdoResponse::Agents(vec![disabled]));
    script.answer(&delete(), AdoResponse::Done);
    assert_eq!(script.snapshot().disabled, None);
}

#[test]
fn an_agent_that_we_disabled_is_enabled_by_the_next_life() {
    let mut script = draining();
    assert_eq!(script.snapshot().disabled, Some(OURS));
    script.event(Event::Terminate);
    script.fail(&delete(), failure(AdoErrorKind::JobRunning), None);
    while !script.has_ended() {
        script.wait();
        if let Some(question) = script.open().cloned() {
            script.answer(
                &question,
                AdoResponse::Agents(vec![Agent {
                    enabled: false,
                    ..busy()
                }]),
            );
        }
    }
    assert_eq!(script.exit().reason, OutcomeReason::JobStillAssigned);

    let mut script = Script::new(settings(), Some(script.snapshot()));
    assert!(script.status().agent_may_start, "the agent container lives on");
    script.exchange(2, 3600);
    script.answer(
        &look(),
        AdoResponse::Agents(vec![Agent {
            enabled: false,
            ..busy()
        }]),
    );
    script.answer(
        &AdoRequest::SetAvailability(POOL, OURS, Availability::Enabled),
        AdoResponse::Done,
    );
    assert_eq!(script.snapshot().disabled, None);
}

#[test]
fn a_person_who_took_over_the_disabling_is_respected_by_the_next_life() {
    let kept = Snapshot {
        admitted: true,
        ended: true,
        pool: Some(POOL),
        pinned: Some((OURS, None)),
        disabled: Some(OURS),
        ..Snapshot::default()
    };
    let mut script = Script::new(settings(), Some(kept));
    script.exchange(1, 3600);
    script.answer(&look(), AdoResponse::Agents(vec![agent(7)]));
    assert_eq!(script.open(), None, "it is enabled already");
    assert_eq!(script.snapshot().disabled, None);
}

#[test]
fn a_crash_while_leaving_goes_on_draining_with_the_old_beginning() {
    let kept = draining().snapshot();
    let mut script = Script::restored_at(settings(), kept, 130.0);
    assert_eq!(script.status().reason, Reason::Draining);
    script.exchange(2, 3600);
    script.answer(&by_name(), AdoResponse::Agents(vec![busy()]));
    script.answer(&disable(), AdoResponse::Done);
    script.event(Event::Terminate);
    script.fail(&delete(), failure(AdoErrorKind::JobRunning), None);
    let mut last = script.now();
    while !script.has_ended() {
        last = script.wait().0;
        if let Some(question) = script.open().cloned() {
            script.answer(&question, AdoResponse::Agents(vec![busy()]));
        }
    }
    assert!(
        (695.5..696.5).contains(&last.0.as_secs_f64()),
        "T0 was at 100 s, the grace is 600 s: {last:?}"
    );
}

/// On a machine with much to do the hook comes late, and the kubelet has counted from the deletion on, at 100 s.
#[test]
fn a_hook_that_comes_late_does_not_cost_the_outcome() {
    let mut script = serving();
    script.at(102.7).event(Event::PreStop);
    script.answer(&by_name(), AdoResponse::Agents(vec![busy()]));
    script.answer(&disable(), AdoResponse::Done);
    script.event(Event::Terminate);
    script.fail(&delete(), failure(AdoErrorKind::JobRunning), None);
    while !script.has_ended() {
        script.wait();
        if let Some(question) = script.open().cloned() {
            script.answer(&question, AdoResponse::Agents(vec![busy()]));
        }
    }
    assert_eq!(script.exit().reason, OutcomeReason::JobStillAssigned);
    assert!(script.now() < at(699.0), "killed at 700 s: {:?}", script.now());
}

#[test]
fn a_successor_that_took_the_agent_over_keeps_it() {
    let mut script = serving();
    script.at(100.0).event(Event::PreStop);
    let taken = Agent {
        owner: Some(marker("uid-after").to_string()),
        ..agent(7)
    };
    script.answer(&by_name(), AdoResponse::Agents(vec![taken.clone()]));
    assert_eq!(script.open(), None);
    script.event(Event::Terminate);
    script.answer(&by_name(), AdoResponse::Agents(vec![taken]));
    // It cannot be told from an agent of ours that a job gave another marker.
    assert_eq!(script.exit().reason, OutcomeReason::LeftUnproven);
}

#[test]
fn an_agent_of_our_name_from_before_our_start_is_not_ours() {
    for owner in [None, Some(marker("uid-before").to_string()), Some("?".to_owned())] {
        let before = Agent {
            created: Some(ServerTime(EPOCH - 20)),
            owner,
            ..agent(3)
        };
        let mut script = ready();
        script.at(100.0).event(Event::Terminate);
        script.answer(&by_name(), AdoResponse::Agents(vec![before]));
        script.list(&[]);
        assert_eq!(script.exit().reason, OutcomeReason::NotOurs);
        assert!(script.exit().is_clean());
    }
}

#[test]
fn an_agent_that_changed_its_marker_stays_and_the_end_is_not_clean() {
    let other = || Some(marker("uid-after").to_string());
    let elsewhere = |agent: Agent| Agent {
        name: "invented".to_owned(),
        ..agent
    };
    let with = |owner: Option<String>| Agent { owner, ..agent(7) };
    // What was seen of agent 7 before, and what is seen at the end.
    for (pinned, changed) in [
        (Some(agent(7)), with(other())),
        (Some(agent(7)), with(Some(String::new()))),
        (Some(agent(7)), with(Some("ado-agent/v2/x".to_owned()))),
        (Some(agent(7)), elsewhere(with(None))),
        (Some(agent(7)), elsewhere(with(other()))),
        (
            Some(agent(7)),
            Agent {
                created: None,
                ..with(other())
            },
        ),
        // It changed before it was seen the first time, but its name and age are ours.
        (None, with(other())),
        (None, with(Some("x".repeat(1000)))),
    ] {
        for terminated_first in [false, true] {
            let mut script = match &pinned {
                Some(_) => serving(),
                None => ready(),
            };
            script.at(100.0);
            let told = [Event::PreStop, Event::Terminate];
            let (now, later) = told.split_at(usize::from(!terminated_first));
            let before = if terminated_first {
                told.clone().to_vec()
            } else {
                now.to_vec()
            };
            for event in before {
                script.event(event);
            }
            let mut asked = 0;
            while !script.has_ended() {
                asked += 1;
                assert!(asked < 12, "{:?}", script.machine);
                match script.open().cloned() {
                    Some(AdoRequest::AgentByName(..)) => {
                        let named = (changed.name == agent(7).name).then(|| changed.clone());
                        script.answer(&by_name(), AdoResponse::Agents(named.into_iter().collect()));
                    }
                    Some(AdoRequest::Agents(..)) => script.list(std::slice::from_ref(&changed)),
                    Some(AdoRequest::Agent(_, id)) => {
                        assert_eq!(id, OURS);
                        script.answer(&look(), AdoResponse::Agents(vec![changed.clone()]));
                    }
                    Some(other) => panic!("{other:?} about an agent that is not provably ours: {changed:?}"),
                    None => {
                        for event in later {
                            script.event(event.clone());
                        }
                    }
                }
            }
            let outcome = script.exit();
            assert_eq!(
                outcome.reason,
                OutcomeReason::LeftUnproven,
                "{changed:?}: {}",
                outcome.sentence
            );
            assert!(!outcome.is_clean());
            assert!(outcome.sentence.contains("(id 7) stays"), "{}", outcome.sentence);
        }
    }
}

#[test]
fn another_agent_with_the_pinned_id_is_not_ours() {
    let mut script = serving();
    script.at(100.0).event(Event::PreStop);
    let another = Agent {
        created: Some(ServerTime(EPOCH - 900)),
        owner: Some(marker("uid-after").to_string()),
        ..agent(7)
    };
    script.answer(&by_name(), AdoResponse::Agents(vec![another.clone()]));
    script.event(Event::Terminate);
    script.answer(&by_name(), AdoResponse::Agents(vec![another]));
    assert_eq!(script.exit().reason, OutcomeReason::NotOurs);
}

#[test]
fn a_successor_that_takes_over_during_the_drain_keeps_the_agent() {
    let mut script = draining();
    script.wait();
    let taken = Agent {
        owner: Some(marker("uid-after").to_string()),
        ..agent(7)
    };
    script.answer(&look(), AdoResponse::Agents(vec![taken]));
    assert_eq!(script.open(), None);
    assert!(
        script.status().sentence.contains("another marker than this pod's"),
        "{}",
        script.status().sentence
    );
}

#[test]
fn an_agent_without_marker_is_adopted_only_by_name_and_age() {
    let unmarked = Agent {
        owner: None,
        ..agent(7)
    };
    for (created, adopted) in [
        (Some(ServerTime(EPOCH + 20)), true),
        (Some(ServerTime(EPOCH - 20)), false),
        (None, false),
    ] {
        let mut script = ready();
        script.at(50.0).event(Event::PreStop);
        let unmarked = Agent {
            created,
            ..unmarked.clone()
        };
        script.answer(&by_name(), AdoResponse::Agents(vec![unmarked]));
        match adopted {
            true => assert_eq!(script.open(), Some(&disable()), "created {created:?}"),
            false => assert!(
                matches!(script.open(), Some(AdoRequest::Agents(..))),
                "created {created:?}"
            ),
        }
        let warned = script
            .commands()
            .iter()
            .any(|command| matches!(command, Command::Note { severity: Severity::Warning, sentence, .. } if sentence.contains("no marker")));
        assert_eq!(warned, adopted);
    }
}

#[test]
fn an_invented_name_is_found_by_the_marker() {
    let mut script = ready();
    script.at(50.0).event(Event::PreStop);
    script.answer(&by_name(), AdoResponse::Agents(vec![]));
    let listed = |id, name: &str, created| Agent {
        name: name.to_owned(),
        created: Some(ServerTime(EPOCH + created)),
        assigned: None,
        owner: None,
        ..agent(id)
    };
    let all = vec![
        listed(1, "old", -500),
        listed(2, "young", 30),
        listed(7, "prefix-agent-0", 40),
    ];
    script.list(&all);
    let ours = Agent {
        name: "prefix-agent-0".to_owned(),
        ..agent(7)
    };
    script.answer(&look(), AdoResponse::Agents(vec![ours]));
    script.answer(&disable(), AdoResponse::Done);
    script.answer(&delete(), AdoResponse::Done);
}

#[test]
fn a_404_long_after_the_listing_does_not_prove_that_the_agent_is_gone() {
    let mut script = ready();
    script.at(50.0).event(Event::PreStop);
    script.answer(&by_name(), AdoResponse::Agents(vec![]));
    let theirs = |id| Agent {
        name: "other".to_owned(),
        owner: None,
        ..agent(id)
    };
    let all = vec![theirs(7), theirs(8), theirs(9)];
    let fetch = |id| AdoRequest::Agent(POOL, AgentId(id));
    let pause = Duration::from_secs(600);
    script.list_and_pause(&all, Some(pause));
    script.wait();
    // The pool was made anew meanwhile, or our role taken away: every agent is answered with 404.
    script.fail(&fetch(7), failure(AdoErrorKind::NotFound), None);
    script.answer(&by_name(), AdoResponse::Agents(vec![]));
    script.list(&all);
    // Soon after a listing, or after another agent of the pool, it is about the agent.
    script.fail(&fetch(7), failure(AdoErrorKind::NotFound), None);
    script.at(script.now().0.as_secs_f64() + 9.0);
    script.answer(&fetch(8), AdoResponse::Agents(vec![theirs(8)]));
    script.at(script.now().0.as_secs_f64() + 9.0);
    script.fail(&fetch(9), failure(AdoErrorKind::NotFound), None);
    assert_eq!(script.open(), None);
    script.event(Event::Terminate);
    script.answer(&by_name(), AdoResponse::Agents(vec![]));
    script.list(&[]);
    assert_eq!(script.exit().reason, OutcomeReason::NeverSeen);
}

#[test]
fn of_several_with_our_marker_only_the_first_seen_is_removed() {
    let kept = Snapshot {
        admitted: true,
        pool: Some(POOL),
        pinned: Some((OURS, None)),
        ..Snapshot::default()
    };
    let mut script = Script::new(settings(), Some(kept));
    script.exchange(1, 3600);
    script.event(Event::PreStop);
    script.answer(&by_name(), AdoResponse::Agents(vec![agent(9)]));
    script.answer(&look(), AdoResponse::Agents(vec![agent(7)]));
    script.answer(&disable(), AdoResponse::Done);
    script.answer(&delete(), AdoResponse::Done);
}

#[test]
fn a_container_that_restarted_in_place_leaves_no_stale_id() {
    let mut script = serving();
    script.at(100.0).event(Event::PreStop);
    let anew = agent(9);
    script.answer(&by_name(), AdoResponse::Agents(vec![anew]));
    script.fail(&look(), failure(AdoErrorKind::NotFound), None);
    script.answer(
        &AdoRequest::SetAvailability(POOL, AgentId(9), Availability::Disabled),
        AdoResponse::Done,
    );
    script.answer(&AdoRequest::Delete(POOL, AgentId(9)), AdoResponse::Done);
    assert_eq!(script.snapshot().pinned.map(|pinned| pinned.0), Some(AgentId(9)));
}

#[test]
fn a_late_answer_to_a_question_that_was_given_up_is_nothing() {
    let mut script = draining();
    let (due, _) = script.wait();
    let number = script.number();
    assert_eq!(script.open(), Some(&look()));
    script.at(due.0.as_secs_f64() + 5.0).event(Event::Terminate);
    assert_eq!(script.open(), Some(&delete()), "the open question is given up");
    script.reply(number, Ok(AdoResponse::Agents(vec![])), None);
    assert_eq!(script.open(), Some(&delete()));
    script.answer(&delete(), AdoResponse::Done);
    assert_eq!(script.exit().reason, OutcomeReason::Removed);
}

#[test]
fn an_answer_from_before_sigterm_counts_only_where_it_found_the_agent() {
    for found in [true, false] {
        let mut script = ready();
        script.at(50.0).event(Event::PreStop);
        script.at(50.1).event(Event::Terminate);
        let agents = if found { vec![agent(7)] } else { vec![] };
        script.answer(&by_name(), AdoResponse::Agents(agents));
        if !found {
            // It registered behind the question.
            script.answer(&by_name(), AdoResponse::Agents(vec![agent(7)]));
        }
        script.answer(&delete(), AdoResponse::Done);
        assert_eq!(script.exit().reason, OutcomeReason::Removed);
    }
}

#[test]
fn a_removal_that_sigterm_overtakes_is_followed_by_a_last_look() {
    for registered_again in [false, true] {
        let mut script = serving();
        script.at(100.0).event(Event::PreStop);
        script.answer(&by_name(), AdoResponse::Agents(vec![agent(7)]));
        script.answer(&disable(), AdoResponse::Done);
        script.at(100.5).event(Event::Terminate);
        // Between the removal and SIGTERM a start script that was just restarted has registered.
        script.answer(&delete(), AdoResponse::Done);
        if registered_again {
            script.answer(&by_name(), AdoResponse::Agents(vec![agent(9)]));
            script.fail(&look(), failure(AdoErrorKind::NotFound), None);
            script.answer(&AdoRequest::Delete(POOL, AgentId(9)), AdoResponse::Done);
        } else {
            script.answer(&by_name(), AdoResponse::Agents(vec![]));
        }
        assert_eq!(script.exit().reason, OutcomeReason::Removed);
    }
}

#[test]
fn a_removal_that_cannot_be_looked_at_again_says_so() {
    let mut script = serving();
    script.at(100.0).event(Event::PreStop);
    script.answer(&by_name(), AdoResponse::Agents(vec![agent(7)]));
    script.answer(&disable(), AdoResponse::Done);
    script.answer(&delete(), AdoResponse::Done);
    // Entra could not be reached since, and the last token has expired.
    script.at(4000.0).event(Event::Terminate);
    let outcome = script.exit();
    assert_eq!(outcome.reason, OutcomeReason::Removed);
    assert!(!outcome.is_verified, "{}", outcome.sentence);
}

#[test]
fn a_long_drain_keeps_the_token_fresh() {
    let mut script = draining();
    let mut issued = 1;
    while script.now() < at(3500.0) {
        script.wait();
        if let Some(question) = script.open().cloned() {
            script.answer(
                &question,
                AdoResponse::Agents(vec![Agent {
                    enabled: false,
                    ..busy()
                }]),
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
fn the_hook_waits_from_the_beginning_of_the_end_until_the_agent_is_gone() {
    let mut script = serving();
    assert_eq!(script.shown(), Drain::Serving);
    script.at(100.0).event(Event::PreStop);
    assert_eq!(script.shown(), Drain::Draining { beat: 100 });
    script.answer(&by_name(), AdoResponse::Agents(vec![busy()]));
    script.answer(&disable(), AdoResponse::Done);
    for beat in 101..=102_u32 {
        let (due, why) = script.machine.poll_timeout().expect("a beat");
        assert_eq!((due, why), (at(f64::from(beat)), "the drain file is written"));
        script.at(f64::from(beat));
        assert_eq!(script.shown(), Drain::Draining { beat: beat.into() });
    }
    script.wait();
    script.answer(&look(), AdoResponse::Agents(vec![agent(7)]));
    script.answer(&disable(), AdoResponse::Done);
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
    script.answer(&by_name(), AdoResponse::Agents(vec![]));
    script.list(&[]);
    assert_eq!(script.shown(), Drain::Drained);
}

#[test]
fn the_file_of_a_sidecar_that_starts_anew_in_a_pod_that_lives_on_says_so() {
    let mut script = draining();
    script.event(Event::Terminate);
    script.fail(&delete(), failure(AdoErrorKind::JobRunning), None);
    while !script.has_ended() {
        script.wait();
        if let Some(question) = script.open().cloned() {
            script.answer(&question, AdoResponse::Agents(vec![busy()]));
        }
    }
    let script = Script::new(settings(), Some(script.snapshot()));
    assert_eq!(script.shown(), Drain::Serving);
}

/// The pauses between the looks for an agent that was not there when the pod began to leave, in seconds, and what is
/// looked at.
#[test]
fn an_agent_that_registers_late_is_looked_for_until_sigterm() {
    let mut script = ready();
    script.at(20.0).event(Event::PreStop);
    script.answer(&by_name(), AdoResponse::Agents(vec![]));
    script.list(&[]);
    let questions = script.questions();
    for pause in [1, 2, 4, 8, 16, 30] {
        let before = script.now();
        let (due, _) = script.wait();
        let waited = due.since(before);
        assert!(
            (pause * 10..=pause * 12).contains(&(waited.as_millis() / 100)),
            "{waited:?} instead of {pause} s"
        );
        if pause < 30 {
            script.answer(&by_name(), AdoResponse::Agents(vec![]));
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
        &look(),
        AdoResponse::Agents(vec![Agent {
            owner: Some(marker("uid-of-another").to_string()),
            ..late("invented")
        }]),
    );
    assert_eq!(script.status().sentence, status, "looking on is no news");
    script.wait();
    script.answer(&by_name(), AdoResponse::Agents(vec![]));
    script.wait();
    script.list(&[late("invented")]);
    assert_eq!(script.open(), None, "whose it is is known");
    assert_eq!(script.questions(), questions + 9);

    script.wait();
    let id = AgentId(8);
    script.answer(&by_name(), AdoResponse::Agents(vec![Agent { id, ..agent(8) }]));
    script.answer(
        &AdoRequest::SetAvailability(POOL, id, Availability::Disabled),
        AdoResponse::Done,
    );
    script.answer(&AdoRequest::Delete(POOL, id), AdoResponse::Done);
    script.event(Event::Terminate);
    script.answer(&by_name(), AdoResponse::Agents(vec![]));
    assert_eq!(script.exit().reason, OutcomeReason::Removed);
    assert!(
        script.exit().is_verified,
        "looking on uses up no request of the last look: {}",
        script.exit().sentence
    );
}

#[test]
fn after_a_removal_the_agent_is_looked_for_every_half_minute() {
    let mut script = serving();
    script.at(100.0).event(Event::PreStop);
    script.answer(&by_name(), AdoResponse::Agents(vec![agent(7)]));
    script.answer(&disable(), AdoResponse::Done);
    script.answer(&delete(), AdoResponse::Done);
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
            script.answer(&by_name(), AdoResponse::Agents(vec![]));
        }
    }
    script.event(Event::Terminate);
    script.answer(&by_name(), AdoResponse::Agents(vec![]));
    assert_eq!(script.exit().reason, OutcomeReason::Removed);
}

/// Removed before it listens, it would ask for a token forever; and its script has missed SIGTERM.
#[test]
fn an_agent_that_registered_late_is_disabled_at_once_and_removed_when_it_listens() {
    for listens in [true, false] {
        let mut script = ready();
        script.at(20.0).event(Event::PreStop);
        script.answer(&by_name(), AdoResponse::Agents(vec![]));
        script.list(&[]);
        script.wait();
        let offline = Agent {
            online: false,
            ..agent(7)
        };
        script.answer(&by_name(), AdoResponse::Agents(vec![offline.clone()]));
        script.answer(&disable(), AdoResponse::Done);
        let found = script.now();
        let disabled = Agent {
            enabled: false,
            online: listens,
            ..offline
        };
        while script.now().since(found) < Duration::from_secs(30) {
            let before = script.now();
            let (due, _) = script.wait();
            assert!(
                (2..4).contains(&due.since(before).as_secs()),
                "{due:?} after {before:?}"
            );
            script.answer(&look(), AdoResponse::Agents(vec![disabled.clone()]));
            if listens {
                break;
            }
        }
        script.answer(&delete(), AdoResponse::Done);
        script.event(Event::Terminate);
        script.answer(&by_name(), AdoResponse::Agents(vec![]));
        assert_eq!(script.exit().reason, OutcomeReason::Removed);
    }
}

#[test]
fn the_agent_of_another_pod_of_the_namespace_does_not_hold_ours_back() {
    let of = |namespace: &str, cluster: &str| Agent {
        owner: Some(
            contract::Marker {
                cluster: cluster.to_owned(),
                namespace: namespace.to_owned(),
                pod: "agent-of-before".to_owned(),
                uid: "uid-of-before".to_owned(),
            }
            .to_string(),
        ),
        ..agent(7)
    };
    for (holder, reason) in [
        (of("namespace", "cluster"), Reason::Ready),
        (of("another", "cluster"), Reason::NameTaken),
        (of("namespace", "another"), Reason::NameTaken),
        (
            Agent {
                owner: None,
                ..agent(7)
            },
            Reason::NameTaken,
        ),
    ] {
        // Older than this pod, so that it is not taken for its own.
        let holder = Agent {
            created: Some(ServerTime(EPOCH - 1000)),
            ..holder
        };
        let mut script = Script::new(settings(), None);
        script.exchange(1, 3600);
        script.write(1);
        script.answer(&pool_by_name(), AdoResponse::Pool(Some(POOL)));
        script.answer(&AdoRequest::MayManage(POOL), AdoResponse::MayManage(true));
        script.answer(&by_name(), AdoResponse::Agents(vec![holder.clone()]));
        assert_eq!(script.status().reason, reason, "{holder:?}");
        let warns = |command: &Command| matches!(command, Command::Note { severity: Severity::Warning, sentence, .. } if sentence.contains("agent-of-before"));
        assert_eq!(
            script.commands().iter().any(warns),
            reason == Reason::Ready,
            "{holder:?}"
        );
    }
}

#[test]
fn a_placeholder_leaves_its_agent_and_asks_nobody() {
    let placeholder = || Settings {
        placeholder: true,
        ..settings()
    };
    let mut script = ready_with(placeholder());
    script.wait();
    script.answer(&by_name(), AdoResponse::Agents(vec![agent(7)]));
    let asked = script.questions();
    script.at(100.0).event(Event::PreStop);
    assert_eq!(script.status().reason, Reason::Draining);
    let snapshot = script.snapshot();
    script.at(101.0).event(Event::Terminate);
    assert_eq!(script.exit().reason, OutcomeReason::Kept);
    assert_eq!(script.questions(), asked, "nothing is asked for the end");
    // Nor where the sidecar is started again while the pod leaves.
    let mut script = Script::restored_at(placeholder(), snapshot, 102.0);
    script.at(103.0).event(Event::Terminate);
    assert_eq!(script.exit().reason, OutcomeReason::Kept);
    // Where no agent was let start there is none to keep.
    let mut script = Script::new(placeholder(), None);
    script.at(1.0).event(Event::PreStop);
    script.event(Event::Terminate);
    assert_eq!(script.exit().reason, OutcomeReason::NeverSeen);
}

#[test]
fn an_agent_that_is_nowhere_is_said_while_the_pod_runs_and_is_no_clean_end() {
    let mut script = ready();
    script.wait();
    script.answer(&by_name(), AdoResponse::Agents(vec![]));
    assert_eq!(
        script.status().reason,
        Reason::Ready,
        "the image may still download its agent"
    );
    script.wait();
    script.answer(&by_name(), AdoResponse::Agents(vec![]));
    let status = script.status();
    assert_eq!((status.reason, status.agent_may_start), (Reason::NotSeen, true));
    assert!(status.sentence.contains("AZP_TOKEN_FILE"), "{}", status.sentence);
    script.at(1000.0).event(Event::PreStop);
    script.list(&[]);
    script.at(1001.0).event(Event::Terminate);
    script.list(&[]);
    assert_eq!(script.exit().reason, OutcomeReason::LeftUnseen);
}
