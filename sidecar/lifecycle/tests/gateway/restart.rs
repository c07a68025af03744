//! The sidecar starts again in a pod that is running or terminating.

use super::{
    OURS, agents, answered, asked_for, begins, by_name, delete, draining, gateway_settings, get_agent, listening, ours,
    ready, refusal,
};
use crate::steps::{EPOCH, Script, agent, failure, marker};
use azure_protocol::{AdoErrorKind, AdoRequest, AdoResponse, Agent, Availability, ServerTime};
use contract::{OutcomeReason, Reason};
use lifecycle::{Admission, Event, Found, GatewayEvent, Jobs, TokenId};

fn again(before: &Script, seconds: f64) -> Script {
    Script::restored_at(gateway_settings(Jobs::Many), before.snapshot(), seconds)
}

#[test]
fn a_restarted_sidecar_knows_its_agent_without_a_request() {
    let mut script = again(&listening(Jobs::Many), 60.0);
    assert_eq!(script.gate().own, Some(OURS));
    assert_eq!(script.gate().token, None, "not before there is one");
    assert!(script.status().is_ready, "its session is still open");
    script.exchange(1, 3600);
    assert_eq!(script.gate().token, Some(TokenId(1)));
    script.saw(answered(OURS, Found::Agent));
    assert_eq!((script.requests(), script.status().reason), (0, Reason::Online));
    script.at(100.0).event(Event::PreStop);
    script.answer(&delete(), AdoResponse::Done);
    assert_eq!(
        again(&script, 110.0).gate().ended,
        [OURS],
        "its listener may only begin now"
    );
    script.event(Event::Terminate);
    assert_eq!(script.exit().reason, OutcomeReason::Removed);
}

#[test]
fn a_registration_that_a_crash_interrupted_is_settled_by_one_lookup() {
    let mut before = ready(Jobs::Many);
    before.at(15.0).saw(begins(1));
    for (found, own) in [(vec![agent(7)], Some(OURS)), (vec![], None)] {
        let mut script = again(&before, 30.0);
        script.exchange(1, 3600);
        script.answer(&by_name(), agents(&found));
        assert_eq!(script.gate().own, own);
        assert_eq!(script.open(), None);
    }
    // The same where the pod terminates at once.
    let mut script = again(&before, 30.0);
    script.event(Event::PreStop);
    script.exchange(1, 3600);
    script.answer(&by_name(), agents(&[agent(7)]));
    script.answer(&delete(), AdoResponse::Done);
}

#[test]
fn a_sidecar_that_crashes_while_terminating_continues() {
    let before = draining();
    let mut script = again(&before, 130.0);
    script.exchange(1, 3600);
    script.fail(&delete(), failure(AdoErrorKind::JobRunning), None);
    script.saw(begins(1));
    assert!(refusal(&script, 1).contains("terminating"));
    script.at(150.0).saw(GatewayEvent::JobEnded { agent: OURS });
    script.answer(&delete(), AdoResponse::Done);
}

#[test]
fn an_agent_that_a_replaced_sidecar_disabled_is_enabled_again() {
    let mut before = draining();
    before.at(699.0).event(Event::Terminate);
    while !before.has_ended() {
        if before.open().is_some() {
            before.fail(&delete(), failure(AdoErrorKind::JobRunning), None);
        }
        if !before.has_ended() {
            before.wait();
        }
    }
    let mut script = again(&before, 710.0);
    script.exchange(1, 3600);
    let disabled = Agent {
        enabled: false,
        ..ours()
    };
    script.answer(&get_agent(), agents(&[disabled]));
    script.answer(
        &AdoRequest::SetAvailability(super::POOL, OURS, Availability::Enabled),
        AdoResponse::Done,
    );
    assert_eq!(script.gate().own, Some(OURS));
}

#[test]
fn a_session_that_azure_devops_does_not_know_makes_the_pod_unready() {
    let mut script = listening(Jobs::Many);
    script.saw(answered(OURS, Found::Unknown));
    assert!(script.status().is_ready, "unreachable is not gone");
    script.saw(answered(OURS, Found::Nothing));
    assert!(!script.status().is_ready);
    assert_eq!(script.status().reason, Reason::Offline);
}

#[test]
fn a_token_that_azure_devops_rejects_is_replaced_but_not_soon_after_its_issue() {
    let mut script = listening(Jobs::Many);
    let token = TokenId(1);
    script.at(20.0).saw(GatewayEvent::TokenRejected { token });
    assert_eq!(script.requested_token(), 0);
    script.at(301.0);
    assert_eq!(script.requested_token(), 1);
    script.exchange(2, 3600);
    assert_eq!(script.gate().token, Some(TokenId(2)));
}

#[test]
fn a_pod_in_which_nothing_registers_says_so() {
    let mut script = ready(Jobs::Many);
    let (_, why) = script.wait();
    assert_eq!(why, "an agent should have registered");
    assert_eq!(script.status().reason, Reason::NotSeen);
    assert_eq!(script.requests(), 3, "nothing is looked up");
}

/// What the pod may have registered before a crash, with another pod's marker by now.
fn with_another_marker() -> Agent {
    Agent {
        created: Some(ServerTime(EPOCH + 15)),
        owner: Some(marker("uid-of-another").to_string()),
        ..agent(7)
    }
}

#[test]
fn an_agent_that_may_be_the_pods_is_not_removed_and_blocks_registrations() {
    let mut before = ready(Jobs::Many);
    before.at(15.0).saw(begins(1));
    let mut script = again(&before, 30.0);
    script.exchange(1, 3600);
    script.answer(&by_name(), agents(&[with_another_marker()]));
    assert_eq!((script.gate().own, script.open()), (None, None));
    // Under another name it would be the second agent of the pod; its own has a holder.
    script.at(95.0).saw(asked_for(1, "agent-0-again"));
    script.answer(&by_name(), agents(&[with_another_marker()]));
    assert!(refusal(&script, 1).contains("may be one that this pod registered"));
    script.saw(asked_for(2, "agent-0"));
    assert!(refusal(&script, 2).contains("that is not this pod's"));
    // When it is gone, the way is free.
    script.at(130.0).saw(asked_for(3, "agent-0-again"));
    script.answer(&by_name(), agents(&[]));
    script.answer(
        &AdoRequest::AgentByName(super::POOL, "agent-0-again".to_owned()),
        agents(&[]),
    );
    assert_eq!(script.answered(3), Some(Admission::Go));
}

#[test]
fn an_agent_that_may_be_the_pods_without_proof_stays_and_is_named() {
    let mut before = ready(Jobs::Many);
    before.at(15.0).saw(begins(1));
    let terminating = || {
        let mut script = again(&before, 30.0);
        script.event(Event::PreStop);
        script.exchange(1, 3600);
        script.answer(&by_name(), agents(&[with_another_marker()]));
        script
    };
    let mut script = terminating();
    script.event(Event::Terminate);
    let outcome = script.exit();
    assert_eq!(outcome.reason, OutcomeReason::LeftUnproven);
    assert!(!outcome.is_clean());
    assert!(outcome.sentence.contains("(ID 7)"), "{}", outcome.sentence);
    // It is looked up again, since its owner may remove it.
    let mut script = terminating();
    script.wait();
    script.answer(&by_name(), agents(&[]));
    script.event(Event::Terminate);
    assert_eq!(script.exit().reason, OutcomeReason::NeverSeen);
}
