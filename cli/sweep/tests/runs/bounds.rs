//! One agent a pod, so many removals a run, and what follows of each answer to a removal.

use super::scene::{CREATED, NOW, POOL, agent, answer, gone, ledger, listing, online, pod, settings};
use azure_protocol::{AgentId, ServerTime};
use sweep::{AgentAnswer, Decision, DeleteAnswer, Kept, Ledger, Listed, Mode, Pod, PodAnswer, Run, Step};

#[test]
fn a_pod_has_one_agent_and_the_first_counts_until_it_is_gone() {
    let mut ledger = Ledger::new("o");
    let settings = settings();
    let both = [online(agent(1, "a")), online(agent(2, "a"))];
    let mut run = Run::new(
        &mut ledger,
        &listing(CREATED, &both),
        &[pod("a")],
        &settings,
        Mode::Remove,
    );
    assert_eq!(run.next(), Step::Done);
    run.stop(String::new());
    assert_eq!(ledger.entries()["a"].agent.map(|agent| agent.id), Some(AgentId(1)));
    // The first one is not in the list any more: is it gone?
    let second = [online(agent(2, "a"))];
    let mut run = Run::new(
        &mut ledger,
        &listing(CREATED, &second),
        &[pod("a")],
        &settings,
        Mode::Remove,
    );
    assert_eq!(run.next(), Step::GetAgent(POOL, AgentId(1)));
    run.agent(AgentAnswer::Gone);
    assert_eq!(run.next(), Step::Done);
    drop(Run::new(
        &mut ledger,
        &listing(CREATED, &second),
        &[pod("a")],
        &settings,
        Mode::Remove,
    ));
    assert_eq!(ledger.entries()["a"].agent.map(|agent| agent.id), Some(AgentId(2)));
}

#[test]
fn an_agent_has_to_be_as_young_as_its_pod() {
    for (created, expected) in [
        (CREATED.0, true),
        (CREATED.0 - 200, true),
        (CREATED.0 - 400, false),
        (0, false),
    ] {
        let mut ledger = Ledger::new("o");
        let settings = settings();
        let old = Listed {
            created: Some(ServerTime(created)),
            ..online(agent(1, "a"))
        };
        drop(Run::new(
            &mut ledger,
            &listing(CREATED, &[old]),
            &[pod("a")],
            &settings,
            Mode::Remove,
        ));
        assert_eq!(ledger.entries()["a"].agent.is_some(), expected, "{created}");
    }
}

#[test]
fn a_run_removes_no_more_than_a_tenth_and_five() {
    for (agents, expected) in [(1_i64, 1), (5, 5), (40, 5), (60, 6), (200, 20)] {
        let mut ledger = Ledger::new("o");
        let settings = settings();
        let pods: Vec<Pod> = (0..agents).map(|id| pod(&format!("p{id}"))).collect();
        let fleet: Vec<Listed> = (0..agents).map(|id| agent(id, &format!("p{id}"))).collect();
        drop(Run::new(
            &mut ledger,
            &listing(CREATED, &fleet),
            &pods,
            &settings,
            Mode::Remove,
        ));
        let mut removals = 0;
        for date in [ServerTime(NOW.0 - 60), NOW] {
            let mut run = Run::new(&mut ledger, &listing(date, &fleet), &[], &settings, Mode::Remove);
            loop {
                match run.next() {
                    Step::GetPod { .. } => run.pod(PodAnswer::Gone),
                    Step::GetAgent(_, AgentId(id)) => {
                        let found = agent(id, &format!("p{id}"));
                        run.agent(AgentAnswer::Present(Box::new(found), NOW));
                    }
                    Step::Delete(..) => {
                        removals += 1;
                        run.deleted(DeleteAnswer::Removed);
                    }
                    Step::Done => break,
                }
            }
        }
        assert_eq!(removals, expected, "{agents}");
    }
}

#[test]
fn a_removal_that_fails_ends_the_run() {
    for (answered, expected, stops) in [
        (DeleteAnswer::Removed, Decision::Removed, false),
        (DeleteAnswer::Gone, Decision::AlreadyGone, false),
        (DeleteAnswer::Busy, Decision::Kept(Kept::Busy), false),
        (
            DeleteAnswer::Failed("503".to_owned()),
            Decision::Failed("503".to_owned()),
            true,
        ),
    ] {
        let mut ledger = ledger();
        let settings = settings();
        let mut run = Run::new(
            &mut ledger,
            &listing(NOW, &[agent(1, "a")]),
            &[],
            &settings,
            Mode::Remove,
        );
        answer(&mut run, &gone, &agent(1, "a"), &answered);
        let (verdicts, stopped) = run.finish();
        assert_eq!((&verdicts[0].decision, stopped.is_some()), (&expected, stops));
    }
}

#[test]
fn every_word_is_documented() {
    let mut words: Vec<&str> = Decision::WORDS.iter().map(|(word, _)| *word).collect();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), Decision::WORDS.len());
    for decision in [
        Decision::WouldRemove,
        Decision::Removed,
        Decision::AlreadyGone,
        Decision::Clash,
        Decision::Unknown,
        Decision::Failed(String::new()),
        Decision::Kept(Kept::Placeholder),
        Decision::Kept(Kept::Busy),
        Decision::Kept(Kept::Online),
        Decision::Kept(Kept::Replaced),
        Decision::Kept(Kept::NoTime),
        Decision::Kept(Kept::Young),
        Decision::Kept(Kept::SeenOnce),
        Decision::Kept(Kept::PodExists),
        Decision::Kept(Kept::Limit),
        Decision::Kept(Kept::Clash),
        Decision::Kept(Kept::Unread),
        Decision::Kept(Kept::Stopped),
    ] {
        assert!(words.contains(&decision.word()), "{decision:?}");
    }
}
