//! Whose agent it is.

use super::{OURS, by_name, delete, disable, draining, found, get_agent, no_agents, ready, serving};
use crate::steps::{EPOCH, POOL, Script, agent, failure, marker, settings};
use azure_protocol::{AdoErrorKind, AdoRequest, AdoResponse, Agent, AgentId, Availability, ServerTime};
use contract::OutcomeReason;
use lifecycle::{Command, Event, Severity, Snapshot};
use std::time::Duration;

#[test]
fn a_successor_that_took_the_agent_over_keeps_it() {
    let mut script = serving();
    script.at(100.0).event(Event::PreStop);
    let taken = Agent {
        owner: Some(marker("uid-after").to_string()),
        ..agent(7)
    };
    script.answer(&by_name(), found(taken.clone()));
    assert_eq!(script.open(), None);
    script.event(Event::Terminate);
    script.answer(&by_name(), found(taken));
    // It is indistinguishable from an agent of ours that a job gave another marker.
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
        script.answer(&by_name(), found(before));
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
            let events = [Event::PreStop, Event::Terminate];
            let (now, later) = events.split_at(usize::from(!terminated_first));
            let before = if terminated_first {
                events.clone().to_vec()
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
                        script.answer(&get_agent(), found(changed.clone()));
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
            assert!(outcome.sentence.contains("(ID 7) stays"), "{}", outcome.sentence);
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
    script.answer(&by_name(), found(another.clone()));
    script.event(Event::Terminate);
    script.answer(&by_name(), found(another));
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
    script.answer(&get_agent(), found(taken));
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
        script.answer(&by_name(), found(unmarked));
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
fn an_agent_with_a_generated_name_is_found_by_the_marker() {
    let mut script = ready();
    script.at(50.0).event(Event::PreStop);
    script.answer(&by_name(), no_agents());
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
    script.expect([
        (get_agent(), found(ours)),
        (disable(), AdoResponse::Done),
        (delete(), AdoResponse::Done),
    ]);
}

#[test]
fn a_404_long_after_the_listing_does_not_prove_that_the_agent_is_gone() {
    let mut script = ready();
    script.at(50.0).event(Event::PreStop);
    script.answer(&by_name(), no_agents());
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
    // The pool was recreated meanwhile, or our role taken away: every agent is answered with 404.
    script.fail(&fetch(7), failure(AdoErrorKind::NotFound), None);
    script.answer(&by_name(), no_agents());
    script.list(&all);
    // Soon after a listing, or after another agent of the pool, it is about the agent.
    script.fail(&fetch(7), failure(AdoErrorKind::NotFound), None);
    script.at(script.now().0.as_secs_f64() + 9.0);
    script.answer(&fetch(8), found(theirs(8)));
    script.at(script.now().0.as_secs_f64() + 9.0);
    script.fail(&fetch(9), failure(AdoErrorKind::NotFound), None);
    assert_eq!(script.open(), None);
    script.event(Event::Terminate);
    script.answer(&by_name(), no_agents());
    script.list(&[]);
    assert_eq!(script.exit().reason, OutcomeReason::NeverSeen);
}

#[test]
fn of_several_with_our_marker_only_the_first_seen_is_removed() {
    let snapshot = Snapshot {
        admitted: true,
        pool: Some(POOL),
        pinned: Some((OURS, None)),
        ..Snapshot::default()
    };
    let mut script = Script::new(settings(), Some(snapshot));
    script.exchange(1, 3600);
    script.event(Event::PreStop);
    script.expect([
        (by_name(), found(agent(9))),
        (get_agent(), found(agent(7))),
        (disable(), AdoResponse::Done),
        (delete(), AdoResponse::Done),
    ]);
}

#[test]
fn a_container_that_restarted_in_place_leaves_no_stale_id() {
    let mut script = serving();
    script.at(100.0).event(Event::PreStop);
    let recreated = agent(9);
    script.answer(&by_name(), found(recreated));
    script.fail(&get_agent(), failure(AdoErrorKind::NotFound), None);
    script.expect([
        (
            AdoRequest::SetAvailability(POOL, AgentId(9), Availability::Disabled),
            AdoResponse::Done,
        ),
        (AdoRequest::Delete(POOL, AgentId(9)), AdoResponse::Done),
    ]);
    assert_eq!(script.snapshot().pinned.map(|pinned| pinned.0), Some(AgentId(9)));
}
