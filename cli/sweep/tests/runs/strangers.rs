//! Agents of whose pods nobody knows: those that are online stop the sweep of their namespace, the others are reported.

use super::scene::{CREATED, NOW, agent, gone, listing, marker, online, pod};
use azure_protocol::{AgentId, ServerTime};
use contract::{Foreign, Marker};
use sweep::{AgentAnswer, Decision, DeleteAnswer, Kept, Ledger, Listed, Mode, Pod, PodAnswer, Run, Settings, Step};

/// Two namespaces with a dead agent each; what else is online decides.
fn two_namespaces(others: &[Listed], pods: &dyn Fn(&str) -> PodAnswer) -> (Vec<AgentId>, Vec<sweep::Verdict>) {
    let mut ledger = Ledger::new("o");
    let settings = Settings::new(["agents".to_owned(), "other".to_owned()]);
    let elsewhere = |id| Listed {
        marker: Some(Ok(Marker {
            namespace: "other".to_owned(),
            ..marker("b")
        })),
        ..agent(id, "b")
    };
    let other = Pod {
        namespace: "other".to_owned(),
        ..pod("b")
    };
    let mut agents = vec![agent(1, "a"), elsewhere(2)];
    drop(Run::new(
        &mut ledger,
        &listing(CREATED, &agents),
        &[pod("a"), other],
        &settings,
        Mode::Remove,
    ));
    agents.extend_from_slice(others);
    let mut removals = Vec::new();
    let mut verdicts = Vec::new();
    for date in [ServerTime(NOW.0 - 60), NOW] {
        let mut run = Run::new(&mut ledger, &listing(date, &agents), &[], &settings, Mode::Remove);
        loop {
            match run.next() {
                Step::GetPod { name, .. } => run.pod(pods(&name)),
                Step::GetAgent(_, id) => {
                    let found = agents.iter().find(|agent| agent.id == id);
                    run.agent(found.map_or(AgentAnswer::Gone, |agent| {
                        AgentAnswer::Present(Box::new(agent.clone()), NOW)
                    }));
                }
                Step::Delete(_, id) => {
                    removals.push(id);
                    run.deleted(DeleteAnswer::Removed);
                }
                Step::Done => break,
            }
        }
        verdicts = run.finish().0;
    }
    (removals, verdicts)
}

#[test]
fn a_clash_blocks_its_cluster_and_namespace_and_no_other() {
    assert_eq!(two_namespaces(&[], &gone).0, [AgentId(1), AgentId(2)]);
    let (removals, verdicts) = two_namespaces(&[online(agent(9, "nobody-knows"))], &gone);
    assert_eq!(removals, [AgentId(2)]);
    let of = |id| {
        verdicts
            .iter()
            .find(|verdict| verdict.agent == AgentId(id))
            .map(|verdict| &verdict.decision)
    };
    assert_eq!(of(9), Some(&Decision::Clash));
    assert_eq!(of(1), Some(&Decision::Kept(Kept::Clash)));
    // The pod is only too new for the list.
    let young = |name: &str| match name {
        "pod-nobody-knows" => PodAnswer::Present(pod("nobody-knows")),
        _ => PodAnswer::Gone,
    };
    assert_eq!(
        two_namespaces(&[online(agent(9, "nobody-knows"))], &young).0,
        [AgentId(1), AgentId(2)]
    );
    // Another cluster's agent, another namespace's and one without a marker mean nothing.
    let foreign = |marker: Result<Marker, Foreign>| Listed {
        marker: Some(marker),
        ..online(agent(9, "x"))
    };
    for marker in [
        Ok(Marker {
            cluster: "d".to_owned(),
            ..marker("x")
        }),
        Ok(Marker {
            namespace: "unlisted".to_owned(),
            ..marker("x")
        }),
        Err(Foreign),
    ] {
        assert_eq!(two_namespaces(&[foreign(marker)], &gone).0, [AgentId(1), AgentId(2)]);
    }
    // An agent that was not looked at yet could be one.
    let unread = Listed {
        marker: None,
        ..online(agent(9, "x"))
    };
    let (removals, verdicts) = two_namespaces(&[unread], &gone);
    assert_eq!(removals, []);
    assert!(
        verdicts
            .iter()
            .all(|verdict| verdict.decision == Decision::Kept(Kept::Unread)),
        "{verdicts:?}"
    );
}

#[test]
fn what_was_never_seen_is_only_reported() {
    let (removals, verdicts) = two_namespaces(&[agent(9, "never-seen")], &gone);
    assert_eq!(removals, [AgentId(1), AgentId(2)]);
    let of = verdicts
        .iter()
        .find(|verdict| verdict.agent == AgentId(9))
        .map(|verdict| &verdict.decision);
    assert_eq!(of, Some(&Decision::Unknown));
}
