//! The end of a pod: the agent goes, in time, or the outcome says why it stayed.

use crate::pod::{DELETE, NAME, Pod, SOON, Sidecar, register};
use azure_emulators::faults::{Fault, Rule};
use azure_emulators::world::World;
use contract::Reason;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// What is left between SIGTERM and SIGKILL where the agent used up the grace.
const WORST_CASE: Duration = Duration::from_secs(2);

async fn deleted_within(world: &World, sidecar: &Sidecar<'_>) {
    let told = Instant::now();
    sidecar.terminate();
    let seen = world
        .ado
        .wait_until("a DELETE arrives", SOON, |view| {
            view.requests.iter().any(|request| request.method == "DELETE")
        })
        .await;
    let took = told.elapsed();
    seen.unwrap_or_else(|late| panic!("{late}\n{}", sidecar.pod.log()));
    assert!(took <= WORST_CASE, "{took:?}\n{}", sidecar.pod.log());
}

/// A pod that leaves while its agent, which is disabled, has a job: the sidecar, the agent and the job.
async fn draining<'p>(world: &World, pod: &'p Pod) -> (Sidecar<'p>, i64, u64) {
    let mut sidecar = pod.start();
    sidecar.says(Reason::Ready).await;
    let agent = register(world);
    let job = world.pool.make_busy(agent);
    assert!(pod.pre_stop().0);
    let disabled = |view: &azure_emulators::ado::AdoView| view.agent("linux", NAME).is_some_and(|agent| !agent.enabled);
    world
        .ado
        .wait_until("it is disabled", SOON, disabled)
        .await
        .expect("disabled");
    (sidecar, agent, job)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_ended_is_removed_at_once() {
    let world = World::start().await.expect("a world");
    let pod = Pod::new(&world);
    let mut sidecar = pod.start();
    sidecar.says(Reason::Ready).await;
    register(&world);
    deleted_within(&world, &sidecar).await;
    assert_eq!(sidecar.end(SOON).await, 0);
    assert!(pod.message().starts_with("removed: "), "{}", pod.message());
    assert!(pod.log().contains("outcome=removed"), "{}", pod.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_azure_devops_still_gets_the_delete_in_time() {
    let world = World::start().await.expect("a world");
    let pod = Pod::new(&world);
    let mut sidecar = pod.start();
    sidecar.says(Reason::Ready).await;
    register(&world);
    assert!(pod.pre_stop().0);
    world.ado.faults().always("GET **", Fault::Delay { millis: 700 });
    deleted_within(&world, &sidecar).await;
    assert_eq!(sidecar.end(SOON).await, 0);
    assert!(world.pool.agent(NAME).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_that_goes_wrong_once_is_made_again() {
    let mut rows = JoinSet::new();
    for fault in [
        Fault::Delay { millis: 1400 },
        Fault::Reset,
        Fault::ResetAfter,
        Fault::Status { status: 503 },
        Fault::Throttle {
            retry_after: Some("1".to_owned()),
        },
    ] {
        rows.spawn(async move {
            let world = World::start().await.expect("a world");
            let pod = Pod::new(&world);
            let mut sidecar = pod.start();
            sidecar.says(Reason::Ready).await;
            register(&world);
            world.ado.faults().add(Rule::new(fault.clone()).on(DELETE).times(1));
            sidecar.terminate();
            assert_eq!(sidecar.end(SOON).await, 0, "{fault:?}: {}", pod.log());
            assert!(world.pool.agent(NAME).is_none(), "{fault:?}");
        });
    }
    while let Some(row) = rows.join_next().await {
        row.expect("the row holds");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_cannot_be_removed_is_reported_before_the_grace_period_ends() {
    let mut rows = JoinSet::new();
    for (fault, outcome) in [
        (Fault::Hang, Reason::LeftUnreachable),
        (Fault::Reset, Reason::LeftUnreachable),
        (Fault::Status { status: 503 }, Reason::LeftUnreachable),
        (Fault::AccessDenied, Reason::LeftRefused),
        (Fault::JobStillRunning, Reason::JobStillAssigned),
    ] {
        rows.spawn(async move {
            let world = World::start().await.expect("a world");
            let pod = Pod::new(&world).set(contract::GRACE_SECONDS_VARIABLE, "4");
            let mut sidecar = pod.start();
            sidecar.says(Reason::Ready).await;
            register(&world);
            world.ado.faults().always(DELETE, fault.clone());
            let told = Instant::now();
            sidecar.terminate();
            let code = sidecar.end(SOON).await;
            assert!(
                told.elapsed() < Duration::from_secs(7),
                "{fault:?}: {:?}",
                told.elapsed()
            );
            assert_eq!(code, 1, "{fault:?}");
            let message = pod.message();
            assert!(message.starts_with(&format!("{outcome}: ")), "{fault:?}: {message}");
            assert!(world.pool.agent(NAME).is_some());
            assert!(world.ado.view().requests.len() < 30, "{fault:?}: a storm");
        });
    }
    while let Some(row) = rows.join_next().await {
        row.expect("the row holds");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_agent_is_disabled_waited_for_and_removed() {
    let world = World::start().await.expect("a world");
    let pod = Pod::new(&world);
    let (mut sidecar, _, job) = draining(&world, &pod).await;
    world.pool.finish_job(job, "succeeded");
    let gone = |view: &azure_emulators::ado::AdoView| view.agent("linux", NAME).is_none();
    sidecar.terminate();
    world.ado.wait_until("it is gone", SOON, gone).await.expect("gone");
    assert_eq!(sidecar.end(SOON).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_a_successor_took_over_stays() {
    let world = World::start().await.expect("a world");
    let pod = Pod::new(&world);
    let mut sidecar = pod.start();
    sidecar.says(Reason::Ready).await;
    let successor = "ado-agent/v1/cluster/agents/azp-agent-0/uid-2";
    world.pool.add_agent(NAME, &[(contract::OWNER_VARIABLE, successor)]);
    sidecar.terminate();
    // It cannot be told from an agent of this pod's that a job gave another marker.
    assert_eq!(sidecar.end(SOON).await, 1);
    assert!(pod.message().starts_with("left-unproven: "), "{}", pod.message());
    assert!(world.pool.agent(NAME).is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_changes_its_marker_stays_and_is_reported() {
    let world = World::start().await.expect("a world");
    let pod = Pod::new(&world);
    // It was seen as ours.
    let (mut sidecar, agent, job) = draining(&world, &pod).await;
    // The next look is of a sidecar that has nothing but what it saved: a proof that is still fresh would be acted on.
    sidecar.kill();
    // What a job can do that opens a session with the agent's key.
    world
        .pool
        .set_capabilities(agent, &[(contract::OWNER_VARIABLE, "somebody else")]);
    world.pool.finish_job(job, "succeeded");
    let mut sidecar = pod.start();
    sidecar
        .eventually("it answers", |pod| {
            (!pod.probe().1.contains("does not answer")).then_some(())
        })
        .await;
    sidecar.terminate();
    assert_eq!(sidecar.end(SOON).await, 1);
    assert!(pod.message().starts_with("left-unproven: "), "{}", pod.message());
    assert!(pod.message().contains("changed its marker"), "{}", pod.message());
    let warned = |line: &str| line.contains("WARN") && line.contains("left-unproven");
    assert!(pod.log().lines().any(warned), "{}", pod.log());
    let requests = world.ado.view().requests;
    assert!(
        requests.iter().all(|request| request.method != "DELETE"),
        "nothing was tried"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_assertion_does_not_keep_the_agent() {
    let world = World::start().await.expect("a world");
    let pod = Pod::new(&world);
    let mut sidecar = pod.start();
    sidecar.says(Reason::Ready).await;
    register(&world);
    pod.project("");
    world.entra.faults().always("**", Fault::Reset);
    assert!(pod.pre_stop().0);
    deleted_within(&world, &sidecar).await;
    assert_eq!(sidecar.end(SOON).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_ends_before_it_is_ready_leaves_nothing() {
    let world = World::start().await.expect("a world");
    world.entra.faults().always("**", Fault::Hang);
    let pod = Pod::new(&world);
    let sidecar = &mut pod.start();
    sidecar.says(Reason::Starting).await;
    sidecar.terminate();
    assert_eq!(sidecar.end(SOON).await, 0);
    assert!(pod.message().starts_with("never-seen: "), "{}", pod.message());
}
