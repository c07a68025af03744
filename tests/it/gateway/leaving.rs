//! The pod leaves: who is still served, and what parked requests get.

use crate::agents::Inside;
use crate::installed::NAME;
use crate::pod::SOON;
use crate::stage::{Stage, agents, send};
use azure_emulators::ado::{JobSpec, JobState, Timing};
use azure_emulators::faults::Fault;
use azure_emulators::world::World;
use contract::TICKET;
use reqwest::Method;
use std::time::{Duration, Instant};
use stub_agent::AgentVersion;

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_listener_is_served_until_its_job_is_done() {
    let inside = Inside::new(AgentVersion::V5).await;
    let world = &inside.agent.world;
    let mut sidecar = inside.stage.start().await;
    inside.configured().await;
    let mut listener = inside.listening(&[]).await;
    let go = inside.agent.root().join("go");
    let waits = JobSpec::script(&format!("until [ -e {} ]; do sleep 0.05; done", go.display()));
    let job = world.ado.queue_job("contoso", "linux", waits).expect("queued");
    inside
        .agent
        .until("it works", |view| {
            view.job(job).is_some_and(|job| job.state == JobState::Assigned)
        })
        .await;
    assert!(inside.stage.pod.pre_stop().0);
    inside
        .agent
        .until("out of service", |view| {
            view.agent("linux", NAME).is_some_and(|agent| !agent.enabled)
        })
        .await;
    std::fs::write(&go, "").expect("written");
    inside.agent.job_is(job, "succeeded").await;
    assert_eq!(listener.code().await, 2, "{}", listener.log());
    assert!(world.pool.agent(NAME).is_none(), "{}", inside.stage.pod.log());
    sidecar.terminate();
    assert_eq!(sidecar.end(SOON).await, 0, "{}", inside.stage.pod.log());
}

/// A script that registers too late is told so, and ends.
#[tokio::test(flavor = "multi_thread")]
async fn no_agent_registers_in_a_terminating_pod() {
    let inside = Inside::new(AgentVersion::V5).await;
    let mut sidecar = inside.stage.start().await;
    assert!(inside.stage.pod.pre_stop().0);
    let late = inside.configure().await;
    let said = crate::installed::text(&late);
    assert_eq!(late.status.code(), Some(1), "{said}");
    assert!(said.contains("ado-agent-sidecar: "), "{said}");
    assert!(inside.agent.world.pool.agents().is_empty());
    sidecar.terminate();
    assert_eq!(sidecar.end(SOON).await, 0, "{}", inside.stage.pod.log());
}

/// After SIGTERM what little time and processor there is belongs to the removal.
#[tokio::test(flavor = "multi_thread")]
async fn after_sigterm_nothing_but_polls_is_served() {
    let world = World::start().await.expect("a world");
    let stage = Stage::new(&world).set(contract::GRACE_SECONDS_VARIABLE, "20");
    let mut sidecar = stage.start().await;
    stage.registered(&world).await;
    // The removal takes a while, and so does somebody's download.
    world
        .ado
        .faults()
        .always("DELETE /_apis/distributedtask/pools/*/agents/*", Fault::Hang);
    world
        .ado
        .faults()
        .always("GET /_apis/distributedtask/pools", Fault::SlowBody { millis: 60_000 });
    let download = stage
        .request(Method::GET, "_apis/distributedtask/pools")
        .bearer_auth(world.admin_token());
    let mut download = download.send().await.expect("a head");
    let began = Instant::now();
    sidecar.terminate();
    let cut = tokio::time::timeout(SOON, async { while let Ok(Some(_)) = download.chunk().await {} }).await;
    assert!(
        cut.is_ok() && began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
    if let Ok(response) = stage.ticket(Method::GET, "_apis/connectionData").send().await {
        assert_eq!(response.status(), 403);
    }
    let _ = sidecar.end(SOON).await;
}

/// The service notices only when a poll's time is up that its agent is gone.
#[tokio::test(flavor = "multi_thread")]
async fn parked_polls_of_a_removed_agent_are_answered_at_once() {
    let inside = Inside::new(AgentVersion::V5).await;
    let world = &inside.agent.world;
    world.ado.set_timing(Timing {
        poll: Duration::from_secs(600),
        ..Timing::default()
    });
    let _sidecar = inside.stage.start().await;
    inside.configured().await;
    let mut listener = inside.listening(&[]).await;
    // Somebody who has the agent's key polls beside it.
    let began = Instant::now();
    assert!(inside.stage.pod.pre_stop().0);
    assert_eq!(listener.code().await, 2, "{}", listener.log());
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    let path = format!(
        "_apis/distributedtask/pools/{}/messages?sessionId=unknown",
        world.pool.id()
    );
    let poll = send(inside.stage.request(Method::GET, &path).bearer_auth("stolen")).await;
    poll.error("TaskAgentNotFoundException");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lookup_after_the_removal_finds_nothing_to_remove() {
    let world = World::start().await.expect("a world");
    let stage = Stage::new(&world);
    let _sidecar = stage.start().await;
    stage.registered(&world).await;
    assert!(stage.pod.pre_stop().0);
    let gone = world
        .ado
        .wait_until("it is gone", SOON, |view| view.agents("linux").is_empty());
    gone.await.unwrap_or_else(|late| panic!("{late}\n{}", stage.pod.log()));
    let name = crate::pod::NAME;
    let lookup = stage.request(Method::GET, &agents(&world, &format!("?agentName={name}")));
    let found = send(lookup.basic_auth("", Some(TICKET))).await;
    assert_eq!(
        (found.status.as_u16(), &found.json()["count"]),
        (200, &0.into()),
        "{found:?}"
    );
}
