//! The life of a pod, step by step: what the machine does next after each event.

use crate::steps::{POOL, Script, agent, at, settings};
use contract::Reason;
use lifecycle::{Agent, AgentId, Answer, Command, Event, Question, Settings, Snapshot};
use std::time::Duration;

#[test]
fn an_idle_pod_from_start_to_removed() {
    let mut script = Script::new(settings(), None);
    script.exchange(1, 3600);
    script.write(1);
    script.answer(&Question::Pool, Answer::Pool(Some(POOL)));
    script.answer(&Question::MayManage(POOL), Answer::MayManage(true));
    script.answer(&by_name(), Answer::Agents(vec![]));
    assert_eq!(script.status().reason, Reason::Ready);
    assert!(script.status().agent_may_start);

    let (at_check, _) = script.wait();
    assert!((60..=72).contains(&at_check.0.as_secs()), "{at_check:?}");
    script.answer(&by_name(), Answer::Agents(vec![agent(7)]));

    script.at(1000.0).event(Event::PreStop);
    assert_eq!(script.requested_token(), 1, "the token is exchanged once more");
    script.answer(&by_name(), Answer::Agents(vec![agent(7)]));
    script.answer(&Question::SetEnabled(POOL, AgentId(7), false), Answer::Done);
    script.answer(&Question::Delete(POOL, AgentId(7)), Answer::Done);
    assert_eq!(script.status().reason, Reason::Draining);

    script.at(1004.0).event(Event::Terminate);
    script.answer(&by_name(), Answer::Agents(vec![]));
    assert_eq!(script.exit().reason, Reason::Removed);
    assert_eq!(script.questions(), 8, "requests in the life of the pod");
}

fn by_name() -> Question {
    Question::AgentByName(POOL, settings().agent_name)
}
