//! A pod, its agent, and runs over them.

use azure_protocol::{AgentId, PoolId, ServerTime};
use contract::Marker;
use sweep::{
    AgentAnswer, Decision, DeleteAnswer, Ledger, Life, Listed, Listing, Mode, Pod, PodAnswer, Run, Settings, Step,
};

pub(super) const POOL: PoolId = PoolId(7);
pub(super) const CREATED: ServerTime = ServerTime(100_000);
pub(super) const OFFLINE: ServerTime = ServerTime(101_000);
/// Long enough after that.
pub(super) const NOW: ServerTime = ServerTime(102_000);

pub(super) fn pod(uid: &str) -> Pod {
    Pod {
        uid: uid.to_owned(),
        namespace: "agents".to_owned(),
        name: format!("pod-{uid}"),
        cluster: "c".to_owned(),
        created: ServerTime(CREATED.0 - 20),
        placeholder: false,
        life: Life::Lives,
    }
}

pub(super) fn marker(uid: &str) -> Marker {
    Marker {
        cluster: "c".to_owned(),
        namespace: "agents".to_owned(),
        pod: format!("pod-{uid}"),
        uid: uid.to_owned(),
    }
}

pub(super) fn agent(id: i64, uid: &str) -> Listed {
    Listed {
        id: AgentId(id),
        name: format!("agent-{id}"),
        created: Some(CREATED),
        online: false,
        busy: false,
        status_changed: Some(OFFLINE),
        marker: Some(Ok(marker(uid))),
    }
}

pub(super) fn online(agent: Listed) -> Listed {
    Listed { online: true, ..agent }
}

pub(super) fn listing(date: ServerTime, agents: &[Listed]) -> Listing {
    Listing {
        pool: POOL,
        date,
        agents: agents.to_vec(),
    }
}

/// A ledger in which pod `a` has agent 1, seen when both lived, and once after it went offline.
pub(super) fn ledger() -> Ledger {
    let mut ledger = Ledger::new("https://dev.azure.com/contoso");
    let settings = settings();
    let alive = listing(CREATED, &[online(agent(1, "a"))]);
    drop(Run::new(&mut ledger, &alive, &[pod("a")], &settings, Mode::Remove));
    let once = listing(ServerTime(NOW.0 - 60), &[agent(1, "a")]);
    let mut run = Run::new(&mut ledger, &once, &[], &settings, Mode::Remove);
    answer(&mut run, &|_| PodAnswer::Gone, &agent(1, "a"), &DeleteAnswer::Removed);
    ledger
}

pub(super) fn settings() -> Settings {
    Settings::new(["agents".to_owned()])
}

/// Answers all questions of a run. Returns the removals that it asked for.
pub(super) fn answer(
    run: &mut Run<'_>,
    pods: &dyn Fn(&str) -> PodAnswer,
    fresh: &Listed,
    removal: &DeleteAnswer,
) -> Vec<AgentId> {
    let mut removals = Vec::new();
    loop {
        match run.next() {
            Step::GetPod { name, .. } => run.pod(pods(&name)),
            Step::GetAgent(..) => run.agent(AgentAnswer::Present(Box::new(fresh.clone()), NOW)),
            Step::Delete(_, id) => {
                removals.push(id);
                run.deleted(removal.clone());
            }
            Step::Done => return removals,
        }
    }
}

/// One run over a pool with this agent in the list, and this one a moment later. What is decided of agent 1, and whether its
/// removal was asked for.
pub(super) fn decide(
    listed: &Listed,
    fresh: &Listed,
    pods: &dyn Fn(&str) -> PodAnswer,
    settings: &Settings,
) -> (Option<Decision>, bool) {
    let mut ledger = ledger();
    let mut run = Run::new(
        &mut ledger,
        &listing(NOW, std::slice::from_ref(listed)),
        &[],
        settings,
        Mode::Remove,
    );
    let removals = answer(&mut run, pods, fresh, &DeleteAnswer::Removed);
    let (verdicts, _) = run.finish();
    let decision = verdicts.into_iter().find(|verdict| verdict.agent == AgentId(1));
    (decision.map(|verdict| verdict.decision), removals.contains(&AgentId(1)))
}

pub(super) fn gone(_: &str) -> PodAnswer {
    PodAnswer::Gone
}
