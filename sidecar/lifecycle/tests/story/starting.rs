//! From the start to the moment at which the agent may run.

use super::{by_name, checking_the_name, found, no_agents, pool_by_name, refused};
use crate::steps::{EPOCH, POOL, Script, agent, at, failure, marker, settings};
use azure_protocol::{AdoError, AdoErrorKind, AdoRequest, AdoResponse, Agent, EntraErrorKind, ServerTime};
use contract::{Drain, OutcomeReason, Reason, RefusalReason};
use lifecycle::{Command, Event, Refusal, Refused, Settings, Severity, Snapshot};
use std::time::Duration;

/// Each check that fails: the word, what the sentence names, and that the machine asks again by itself.
#[test]
fn every_failed_check_says_what_to_do_and_recovers() {
    let may_manage = AdoRequest::MayManage(POOL);
    let other = Agent {
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
        (by_name(), Ok(found(other)), Reason::NameTaken, "AZP_AGENT_NAME"),
    ];
    for (request, result, reason, names) in cases {
        let mut script = Script::new(settings(), None);
        script.exchange(1, 3600);
        script.write(1);
        let hopes = [
            (pool_by_name(), AdoResponse::Pool(Some(POOL))),
            (AdoRequest::MayManage(POOL), AdoResponse::MayManage(true)),
            (by_name(), no_agents()),
        ];
        for (earlier, answer) in hopes.iter().take_while(|(earlier, _)| *earlier != request) {
            script.answer(earlier, answer.clone());
        }
        assert!(
            script.timeout() < Duration::from_secs(5),
            "a failure is said within five seconds"
        );
        match result.clone() {
            Ok(answer) => script.answer(&request, answer),
            Err(failure) => script.fail(&request, failure, None),
        }
        let status = script.status();
        assert_eq!(status.reason, reason, "{request:?} {result:?}");
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
        assert_eq!(script.status().reason, Reason::Ready, "after {request:?} {result:?}");
    }
}

#[test]
fn an_offline_agent_of_the_same_name_does_not_block_the_start() {
    let mut script = checking_the_name(settings());
    let leftover = Agent {
        online: false,
        owner: Some(marker("uid-before").to_string()),
        ..agent(3)
    };
    script.answer(&by_name(), found(leftover));
    assert_eq!(script.status().reason, Reason::Ready);
}

#[test]
fn without_a_configured_tenant_the_organization_is_asked() {
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
fn a_configured_tenant_that_differs_is_reported() {
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

fn not_services() -> Refusal {
    Refusal {
        reason: RefusalReason::NotServices,
        sentence: "Azure DevOps Server takes no Entra token.".to_owned(),
    }
}

#[test]
fn a_refused_configuration_is_reported_until_the_pod_ends() {
    let mut refused = Refused::new(not_services(), None, at(5.0));
    assert_eq!(refused.status().reason, Reason::NotServices);
    assert!(!refused.status().agent_may_start);
    assert_eq!(refused.drain(), Drain::Serving);
    refused.pre_stop(at(7.0));
    assert_eq!(
        refused.drain(),
        Drain::Drained,
        "the agent container's hook waits for nothing"
    );
    assert_eq!(refused.snapshot().draining_since, Some(at(7.0)));
    let outcome = refused.terminate(at(8.0));
    assert_eq!(outcome.reason, OutcomeReason::NeverSeen);
    assert!(
        outcome.sentence.ends_with("Azure DevOps Server takes no Entra token."),
        "{}",
        outcome.sentence
    );
    let last = refused.snapshot();
    assert!(last.ended && last.draining_since == Some(at(7.0)), "{last:?}");
}

#[test]
fn a_refused_run_reports_that_an_earlier_runs_agent_may_have_stayed() {
    let earlier = Snapshot {
        admitted: true,
        ..Snapshot::default()
    };
    let mut refused = Refused::new(not_services(), Some(earlier), at(5.0));
    assert!(!refused.status().agent_may_start);
    let outcome = refused.terminate(at(8.0));
    assert_eq!(outcome.reason, OutcomeReason::LeftWithoutToken);
    assert!(!outcome.is_clean() && !outcome.is_verified, "{outcome:?}");
    assert!(outcome.sentence.contains("earlier run"), "{}", outcome.sentence);
}

#[test]
fn a_pod_that_terminates_before_its_agent_started_sends_no_request() {
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
    assert_eq!(script.requests(), 0);
}

#[test]
fn a_retry_after_of_a_successful_response_is_obeyed() {
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
    script.expect([
        (pool_by_name(), AdoResponse::Pool(Some(POOL))),
        (AdoRequest::MayManage(POOL), AdoResponse::MayManage(true)),
        (by_name(), no_agents()),
    ]);
    script.event(Event::TokenFileFailed("no space left".to_owned()));
    assert_eq!(script.status().reason, Reason::TokenFileFailed);
    assert!(!script.status().agent_may_start);
    script.wait();
    script.write(1);
    assert_eq!(script.status().reason, Reason::Ready);
}

#[test]
fn the_agent_of_another_pod_of_the_namespace_does_not_block_the_start() {
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
        let mut script = checking_the_name(settings());
        script.answer(&by_name(), found(holder.clone()));
        assert_eq!(script.status().reason, reason, "{holder:?}");
        let warns = |command: &Command| matches!(command, Command::Note { severity: Severity::Warning, sentence, .. } if sentence.contains("agent-of-before"));
        assert_eq!(
            script.commands().iter().any(warns),
            reason == Reason::Ready,
            "{holder:?}"
        );
    }
}
