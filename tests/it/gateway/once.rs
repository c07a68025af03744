//! One job, and containers that start again: who registers, when, and what is left of a key that somebody kept.

use crate::agents::{Inside, ready};
use crate::installed::{NAME, output, text};
use crate::pod::SOON;
use crate::stage::send;
use azure_emulators::ado::JobSpec;
use contract::Reason;
use reqwest::Method;
use rustix::process::Signal;
use stub_agent::AgentVersion;

/// After its job the agent is gone, and so is everybody who would register in this pod.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_with_one_job_can_do_nothing_afterwards() {
    let mut inside = Inside::new(AgentVersion::V5).await;
    inside.stage = inside.stage.set(contract::ONCE_VARIABLE, "true");
    let world = &inside.agent.world;
    let mut sidecar = inside.stage.start().await;
    inside.configured().await;
    let mut listener = inside.listening(&["--once"]).await;
    let go = inside.agent.root().join("go");
    let waits = JobSpec::script(&format!("until [ -e {} ]; do sleep 0.05; done", go.display()));
    let job = world.ado.queue_job("contoso", "linux", waits).expect("queued");
    let out = |view: &azure_emulators::ado::AdoView| view.agent("linux", NAME).is_some_and(|agent| !agent.enabled);
    inside.agent.until("out of service while it works", out).await;
    // Already now nobody else may register, whatever becomes of the listener.
    std::fs::write(&go, "").expect("written");
    inside.agent.job_is(job, "succeeded").await;
    assert_eq!(listener.code().await, 0, "{}", listener.log());
    inside
        .agent
        .until("removed", |view| view.agents("linux").is_empty())
        .await;
    assert!(!ready(&inside.stage).0);
    let mut remove = inside.command("./config.sh");
    remove.args(["remove", "--unattended", "--token", contract::TICKET]);
    let removed = output(&mut remove).await;
    assert!(removed.status.success(), "{}", text(&removed));
    let again = inside.configure().await;
    assert_eq!(again.status.code(), Some(1), "{}", text(&again));
    assert!(text(&again).contains("ado-agent-sidecar: "), "{}", text(&again));
    assert!(world.pool.agents().is_empty());
    sidecar.terminate();
    assert_eq!(sidecar.end(SOON).await, 0, "{}", inside.stage.pod.log());
}

/// The session of a listener that was killed would stand in the way of the same agent for minutes: it becomes a new one.
#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_starts_again_gets_a_new_agent() {
    let inside = Inside::new(AgentVersion::V5).await;
    let world = &inside.agent.world;
    let mut sidecar = inside.stage.start().await;
    inside.configured().await;
    let first = world.pool.agent(NAME).expect("registered").id;
    let mut listener = inside.listening(&[]).await;
    sidecar.says(Reason::Online).await;
    listener.signal(Signal::KILL);
    assert_eq!(listener.code().await, 137);
    // The container's file system is new.
    for file in [".agent", ".credentials", ".credentials_rsaparams"] {
        std::fs::remove_file(inside.agent.root().join(file)).expect("there");
    }
    let mut refused = 0;
    let deadline = std::time::Instant::now() + 3 * SOON;
    loop {
        let configured = inside.configure().await;
        if configured.status.success() {
            break;
        }
        // At most one registration a minute: the kubelet starts the container again.
        refused += 1;
        assert!(
            text(&configured).contains("ado-agent-sidecar: "),
            "{}",
            text(&configured)
        );
        assert!(
            std::time::Instant::now() < deadline,
            "{refused} refusals:\n{}",
            text(&configured)
        );
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    }
    let second = world.pool.agent(NAME).expect("registered");
    assert!(
        second.id != first && world.pool.agents().len() == 1,
        "{:?}",
        world.pool.agents()
    );
    let _listener = inside.listening(&[]).await;
    let job = world
        .ado
        .queue_job("contoso", "linux", JobSpec::script("true"))
        .expect("queued");
    inside.agent.job_is(job, "succeeded").await;
}

/// While a listener polls, nobody takes its place; the one who tries is told why.
#[tokio::test(flavor = "multi_thread")]
async fn no_second_agent_registers_while_one_listens() {
    let inside = Inside::new(AgentVersion::V5).await;
    let world = &inside.agent.world;
    let mut sidecar = inside.stage.start().await;
    inside.configured().await;
    let id = world.pool.agent(NAME).expect("registered").id;
    let mut listener = inside.listening(&[]).await;
    sidecar.says(Reason::Online).await;
    let body = crate::stage::registration("intruder");
    let path = crate::stage::agents(world, "");
    let refused = send(inside.stage.ticket(Method::POST, &path).json(&body)).await;
    assert_eq!(refused.status, 403, "{refused:?}");
    refused.error("AccessDeniedException");
    let agents = world.pool.agents();
    assert!(agents.len() == 1 && agents[0].id == id && listener.runs(), "{agents:?}");
}
