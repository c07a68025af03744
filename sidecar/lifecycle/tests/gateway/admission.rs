//! Who may register.

use super::{
    OURS, agents, asked, asked_for, begins, by_name, delete, hangs_up, listening, polls, ready, refusal, registered,
};
use crate::steps::{EPOCH, POOL, agent, at, failure, marker};
use azure_protocol::{AdoErrorKind, AdoRequest, AdoResponse, Agent, AgentId, ServerTime};
use contract::Reason;
use lifecycle::{Admission, GatewayEvent, Jobs, RegistrationFailure};

const LEFT_OVER: AgentId = AgentId(3);

/// An agent of our name from before our start, whose pod is gone.
fn leftover() -> Agent {
    Agent {
        created: Some(ServerTime(EPOCH - 5_000)),
        online: false,
        owner: Some(marker("uid-before").to_string()),
        ..agent(3)
    }
}

#[test]
fn nothing_registers_before_the_checks_passed_and_the_answer_comes_in_time() {
    let mut script = crate::steps::Script::new(super::gateway_settings(Jobs::Many), None);
    script.at(1.0).saw(asked(1));
    assert_eq!(script.answered(1), None);
    script.at(55.5);
    assert_eq!(script.answered(1), None);
    let (due, why) = script.wait();
    assert_eq!((due, why), (at(56.0), "a registration is answered"));
    assert!(
        refusal(&script, 1).contains("Asking Entra for a token"),
        "{}",
        refusal(&script, 1)
    );
    // What is asked later is answered as soon as everything is known.
    script.at(60.0).saw(asked(2));
    script.exchange(1, 3600);
    script.expect([
        (
            AdoRequest::PoolByName("linux".to_owned()),
            AdoResponse::Pool(Some(POOL)),
        ),
        (AdoRequest::MayManage(POOL), AdoResponse::MayManage(true)),
        (by_name(), agents(&[])),
    ]);
    assert_eq!(script.answered(2), Some(Admission::Go));
}

#[test]
fn a_registration_is_persisted_before_it_is_sent() {
    let mut script = ready(Jobs::Many);
    script.at(10.0).saw(begins(1));
    let commands = script.commands();
    let position = |what: &dyn Fn(&lifecycle::Command) -> bool| commands.iter().position(what).expect("commanded");
    let persisted = position(
        &|command| matches!(command, lifecycle::Command::Persist(snapshot) if snapshot.registration.is_some()),
    );
    let answered = position(&|command| matches!(command, lifecycle::Command::AnswerRegistration { number: 1, .. }));
    assert!(persisted < answered, "{commands:?}");
}

#[test]
fn the_lookup_of_a_name_that_another_agent_has_is_refused() {
    let online = Agent {
        online: true,
        ..leftover()
    };
    let mut script = ready(Jobs::Many);
    script.at(100.0).saw(asked(1));
    script.answer(&by_name(), agents(std::slice::from_ref(&online)));
    assert!(
        refusal(&script, 1).contains("not this pod's"),
        "{}",
        refusal(&script, 1)
    );
    // Nor is it taken without asking.
    script.at(140.0).saw(begins(2));
    script.answer(&by_name(), agents(&[online]));
    assert!(refusal(&script, 2).contains("not this pod's"));
    // Another name of the image's own may be free.
    script.at(150.0).saw(asked_for(3, "mine"));
    script.answer(&AdoRequest::AgentByName(POOL, "mine".to_owned()), agents(&[]));
    assert_eq!(script.answered(3), Some(Admission::Go));
}

#[test]
fn an_offline_leftover_of_our_name_is_replaced_right_after_a_lookup() {
    let mut script = ready(Jobs::Many);
    script.at(100.0).saw(asked(1));
    script.answer(&by_name(), agents(&[leftover()]));
    assert_eq!(script.answered(1), Some(Admission::Go));
    assert_eq!(script.gate().own, None, "it is not shown");
    // The lookup is too old by the time of the replacement.
    script.at(110.0).saw(begins(2));
    script.answer(&by_name(), agents(&[leftover()]));
    script.answer(&AdoRequest::Delete(POOL, LEFT_OVER), AdoResponse::Done);
    assert_eq!(script.answered(2), Some(Admission::Go));
    script.saw(registered(OURS, 110));
    assert_eq!(script.gate().own, Some(OURS));
    assert!(!script.gate().ended.contains(&LEFT_OVER), "it was not this pod's");
}

#[test]
fn a_leftover_that_comes_online_is_not_replaced() {
    let mut script = ready(Jobs::Many);
    script.at(100.0).saw(begins(1));
    script.answer(&by_name(), agents(&[leftover()]));
    script.fail(
        &AdoRequest::Delete(POOL, LEFT_OVER),
        failure(AdoErrorKind::JobRunning),
        None,
    );
    assert!(refusal(&script, 1).contains("still has a job"));
    script.at(120.0).saw(begins(2));
    script.answer(
        &by_name(),
        agents(&[Agent {
            online: true,
            ..leftover()
        }]),
    );
    assert!(refusal(&script, 2).contains("not this pod's"));
}

#[test]
fn what_another_pod_has_just_registered_is_no_left_over() {
    let mut script = ready(Jobs::Many);
    let young = Agent {
        created: Some(ServerTime(EPOCH + 90)),
        ..leftover()
    };
    script.at(100.0).saw(asked(1));
    script.answer(&by_name(), agents(std::slice::from_ref(&young)));
    assert!(refusal(&script, 1).contains("not this pod's"));
    // Its pod died.
    script.at(800.0).saw(asked(2));
    script.answer(&by_name(), agents(&[young]));
    assert_eq!(script.answered(2), Some(Admission::Go));
}

#[test]
fn an_agent_of_another_name_is_never_replaced() {
    let mut script = ready(Jobs::Many);
    let other = Agent {
        name: "other".to_owned(),
        ..leftover()
    };
    script.at(100.0).saw(asked_for(1, "other"));
    script.answer(&AdoRequest::AgentByName(POOL, "other".to_owned()), agents(&[other]));
    assert!(
        refusal(&script, 1).contains("the pod's own agent name (\"agent-0\")"),
        "{}",
        refusal(&script, 1)
    );
}

#[test]
fn a_container_that_starts_again_replaces_its_agent_by_a_new_one() {
    let mut script = listening(Jobs::Many);
    // Killed: its connections end.
    script.at(100.0).saw(hangs_up(OURS)).saw(hangs_up(OURS));
    script.at(110.0).saw(asked(3));
    assert_eq!(script.answered(3), Some(Admission::Go), "it is the pod's own");
    script.at(112.0).saw(begins(4));
    assert_eq!(script.answered(4), None);
    script.answer(&delete(), AdoResponse::Done);
    assert_eq!(script.answered(4), Some(Admission::Go));
    assert_eq!(script.gate().ended, [OURS]);
    script.saw(registered(AgentId(8), 112));
    assert_eq!(script.gate().own, Some(AgentId(8)));
    assert_eq!(script.status().reason, Reason::Offline);
    assert!(!script.status().is_ready);
}

#[test]
fn a_second_agent_does_not_register_while_the_first_listens() {
    let mut script = listening(Jobs::Many);
    script.at(100.0).saw(asked_for(3, "second"));
    assert!(refusal(&script, 3).contains("listening for jobs"));
    script.saw(begins(4));
    assert!(refusal(&script, 4).contains("listening for jobs"));
    // `config.sh remove` while the listener still runs, as start scripts do it.
    script.saw(asked(5));
    assert_eq!(script.answered(5), Some(Admission::Go));
    assert_eq!(script.open(), None, "a lookup removes nothing");
    script.saw(GatewayEvent::Unregistered { id: OURS });
    assert_eq!((script.gate().own, script.gate().ended), (None, vec![OURS]));
    assert_eq!(script.status().reason, Reason::Offline);
}

#[test]
fn registrations_are_a_minute_apart() {
    let mut script = listening(Jobs::Many);
    script.saw(hangs_up(OURS)).saw(hangs_up(OURS));
    script.at(20.0).saw(begins(3));
    assert_eq!((script.answered(3), script.open()), (None, None));
    let (due, _) = script.wait();
    assert_eq!(due, at(72.0), "the last began at 12 s");
    script.answer(&delete(), AdoResponse::Done);
    assert_eq!(script.answered(3), Some(Admission::Go));
}

#[test]
fn an_agent_whose_listener_was_killed_with_its_job_stays_until_the_lock_has_run_out() {
    let mut script = listening(Jobs::Many);
    script.saw(super::renewed()).saw(hangs_up(OURS)).saw(hangs_up(OURS));
    script.at(100.0).saw(begins(3));
    script.fail(&delete(), failure(AdoErrorKind::JobRunning), None);
    assert!(
        refusal(&script, 3).contains("about ten minutes"),
        "{}",
        refusal(&script, 3)
    );
    assert_eq!(script.open(), None);
    script.at(700.0).saw(begins(4));
    script.answer(&delete(), AdoResponse::Done);
    assert_eq!(script.answered(4), Some(Admission::Go));
}

#[test]
fn a_404_for_our_agent_is_trusted_only_after_a_listing() {
    let mut script = listening(Jobs::Many);
    script.saw(hangs_up(OURS)).saw(hangs_up(OURS));
    script.at(100.0).saw(begins(3));
    script.fail(&delete(), failure(AdoErrorKind::NotFound), None);
    script.answer(&by_name(), agents(&[]));
    assert_eq!(script.answered(3), Some(Admission::Go));
    assert_eq!(script.gate().ended, [OURS]);
}

#[test]
fn a_registration_without_an_answer_is_settled_by_one_lookup() {
    for (found, own) in [(Some(agent(7)), Some(OURS)), (None, None)] {
        let mut script = ready(Jobs::Many);
        script.at(20.0).saw(begins(1));
        script.saw(GatewayEvent::RegistrationFailed(RegistrationFailure::Unanswered));
        script.answer(&by_name(), agents(&Vec::from_iter(found)));
        assert_eq!(script.gate().own, own);
        assert_eq!(script.open(), None);
        assert_eq!(script.requests(), 4);
    }
    // One that carries another's marker, or that is older, is not ours.
    for other in [
        Agent {
            owner: Some(marker("uid-of-another").to_string()),
            ..agent(7)
        },
        Agent {
            created: Some(ServerTime(EPOCH + 10)),
            ..agent(7)
        },
    ] {
        let mut script = ready(Jobs::Many);
        script.at(20.0).saw(begins(1));
        script.saw(GatewayEvent::RegistrationFailed(RegistrationFailure::Unanswered));
        script.answer(&by_name(), agents(&[other]));
        assert_eq!(script.gate().own, None);
    }
}

#[test]
fn a_repeated_registration_leaves_no_second_agent() {
    let mut script = ready(Jobs::Many);
    script.at(20.0).saw(begins(1));
    script.saw(GatewayEvent::RegistrationFailed(RegistrationFailure::Unanswered));
    script.answer(&by_name(), agents(&[agent(7)]));
    script.at(32.0).saw(begins(2));
    script.answer(&delete(), AdoResponse::Done);
    assert_eq!(script.answered(2), Some(Admission::Go));
}

#[test]
fn a_refused_registration_may_be_tried_again_soon() {
    let mut script = ready(Jobs::Many);
    script.at(20.0).saw(begins(1));
    script.saw(GatewayEvent::RegistrationFailed(RegistrationFailure::Refused));
    assert_eq!(script.snapshot().registration, None);
    script.at(31.0).saw(begins(2));
    script.answer(&by_name(), agents(&[]));
    assert_eq!(script.answered(2), Some(Admission::Go));
}

#[test]
fn registrations_are_sent_one_at_a_time() {
    let mut script = ready(Jobs::Many);
    script.at(20.0).saw(begins(1)).saw(begins(2));
    assert_eq!((script.answered(1), script.answered(2)), (Some(Admission::Go), None));
    script.saw(registered(OURS, 20)).saw(polls(OURS));
    assert!(refusal(&script, 2).contains("listening for jobs"));
}

#[test]
fn a_flood_of_registrations_costs_a_bounded_number_of_requests() {
    let mut script = ready(Jobs::Many);
    let before = script.requests();
    let mut now = 100.0;
    for number in 0..600 {
        let name = format!("name-{number}");
        script.at(now).saw(asked_for(number, &name));
        if let Some(request) = script.open().cloned() {
            script.answer(&request, agents(&[]));
        }
        now += 0.1;
    }
    assert!(
        script.requests() - before <= 13,
        "{} requests in a minute",
        script.requests() - before
    );
    script.at(now + 60.0);
    for number in 0..600 {
        assert!(script.answered(number).is_some(), "question {number} has no answer");
    }
}
