//! What the agent's key is worth to somebody who copied it: a job can read every file of its agent.

use crate::agents::Inside;
use crate::installed::{NAME, output, text};
use crate::pod::SOON;
use crate::stage::send;
use azure_emulators::ado::{AdoView, JobSpec, Timing};
use azure_emulators::clock::Timestamp;
use contract::Reason;
use reqwest::StatusCode;
use rustix::process::Signal;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use stub_agent::AgentVersion;

/// How long after the end of the job, or of the container, the key may be good for anything.
const DEAD: Duration = Duration::from_secs(1);
/// Where a machine has too much to do nobody is in time: the best of so many tries counts.
const TRIES: usize = 4;
/// The version of what sessions and messages are asked with.
const PREVIEW: &str = "application/json; api-version=7.1-preview";

/// A copy of the agent, as a job can make one, that goes to Azure DevOps without the gateway.
fn stolen(inside: &Inside) -> PathBuf {
    let copy = inside.agent.root().with_file_name("stolen");
    let mut command = std::process::Command::new("cp");
    command.arg("-r").args([inside.agent.root(), copy.clone()]);
    assert!(command.status().expect("it starts").success());
    let direct = inside.agent.world.organization_url();
    for file in [".agent", ".credentials"] {
        let path = copy.join(file);
        let content = std::fs::read_to_string(&path).expect("a file of the agent");
        std::fs::write(&path, content.replace(&inside.stage.url(), &direct)).expect("written");
    }
    copy
}

/// Runs the copy's listener to its end.
async fn run(inside: &Inside, copy: &Path) -> (Option<i32>, String) {
    let mut command = inside.command("env");
    command
        .current_dir(copy)
        .arg(copy.join("bin/Agent.Listener"))
        .arg("run");
    let output = output(&mut command).await;
    (output.status.code(), text(&output))
}

/// Asks Azure DevOps for a session with the agent's own token, past the gateway.
async fn session(inside: &Inside, agent: i64, token: &str) -> StatusCode {
    let world = &inside.agent.world;
    let path = format!("_apis/distributedtask/pools/{}/sessions", world.pool.id());
    let request = world
        .client()
        .post(format!("{}/{path}", world.organization_url()))
        .header("accept", PREVIEW)
        .bearer_auth(token)
        .json(&json!({ "ownerName": "somebody", "agent": { "id": agent, "name": NAME } }));
    send(request).await.status
}

/// When the last request of this route came that succeeded, if one was answered already.
fn answered(view: &AdoView, route: &str) -> Option<Timestamp> {
    let mut requests = view.requests.iter().rev();
    let found = requests.find(|request| request.route == route && (200..300).contains(&request.status));
    found.map(|request| request.time)
}

/// When the last request of this route came that succeeded.
fn time_of(view: &AdoView, route: &str) -> Timestamp {
    answered(view, route).unwrap_or_else(|| panic!("no {route}: {:#?}", view.requests))
}

fn between(earlier: Timestamp, later: Timestamp) -> Duration {
    Duration::from_millis(u64::try_from(later.0 - earlier.0).unwrap_or_default())
}

/// Whether that is soon enough; not even the last try was where it never is.
fn is_in_time(took: Duration, tries: usize) -> bool {
    assert!(
        took <= DEAD || tries < TRIES,
        "the key was good for {took:?} after its end"
    );
    took <= DEAD
}

/// From the session's end, which a listener reports after its one job, to the removal.
async fn after_its_job() -> Duration {
    let mut inside = Inside::new(AgentVersion::V5).await;
    inside.stage = inside.stage.set(contract::ONCE_VARIABLE, "true");
    let world = &inside.agent.world;
    let _sidecar = inside.stage.start().await;
    inside.configured().await;
    let mut listener = inside.listening(&["--once"]).await;
    let id = world.pool.agent(NAME).expect("registered").id;
    let token = world.pool.agent_token(id);
    assert_eq!(
        session(&inside, id, &token).await,
        StatusCode::CONFLICT,
        "the key is good"
    );
    let job = world.ado.queue_job("contoso", "linux", JobSpec::script("true"));
    inside.agent.job_is(job.expect("queued"), "succeeded").await;
    assert_eq!(listener.code().await, 0, "{}", listener.log());
    inside
        .agent
        .until("removed", |view| {
            view.agents("linux").is_empty() && answered(view, "DELETE agents/{id}").is_some()
        })
        .await;
    let view = world.ado.view();
    let took = between(
        time_of(&view, "DELETE sessions/{id}"),
        time_of(&view, "DELETE agents/{id}"),
    );
    assert_eq!(session(&inside, id, &token).await, StatusCode::NOT_FOUND);
    took
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_an_agent_with_one_job_is_dead_a_second_after_its_session() {
    let mut tries = 1;
    while !is_in_time(after_its_job().await, tries) {
        tries += 1;
    }
}

/// From SIGTERM, which the kubelet sends a sidecar when the last container has ended, to the removal. The container ended before
/// its agent got a job, and nobody closed its session.
async fn after_its_container() -> Duration {
    let mut inside = Inside::new(AgentVersion::V5).await;
    inside.stage = inside.stage.set(contract::ONCE_VARIABLE, "true");
    let world = &inside.agent.world;
    let mut sidecar = inside.stage.start().await;
    inside.configured().await;
    let mut listener = inside.listening(&["--once"]).await;
    sidecar.says(Reason::Online).await;
    let id = world.pool.agent(NAME).expect("registered").id;
    let token = world.pool.agent_token(id);
    listener.signal(Signal::KILL);
    listener.code().await;
    let began = world.ado.clock().now();
    sidecar.terminate();
    assert_eq!(sidecar.end(SOON).await, 0, "{}", inside.stage.pod.log());
    let view = world.ado.view();
    assert!(view.agents("linux").is_empty(), "{:?}", view.agents("linux"));
    let took = between(began, time_of(&view, "DELETE agents/{id}"));
    assert_eq!(session(&inside, id, &token).await, StatusCode::NOT_FOUND);
    took
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_an_agent_with_one_job_is_dead_a_second_after_its_container() {
    let mut tries = 1;
    while !is_in_time(after_its_container().await, tries) {
        tries += 1;
    }
}

/// Azure DevOps gives an agent one session. Whoever has the key is told so, or polls the listener's own session beside it: then the
/// pool shows one agent as before, its listener gets its jobs, and its removal takes no longer.
#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_key_that_polls_next_to_the_listener_does_not_delay_the_removal() {
    let inside = Inside::new(AgentVersion::V5).await;
    let world = &inside.agent.world;
    world.ado.set_timing(Timing {
        poll: Duration::from_millis(200),
        ..Timing::default()
    });
    let mut sidecar = inside.stage.start().await;
    inside.configured().await;
    let mut listener = inside.listening(&[]).await;
    sidecar.says(Reason::Online).await;
    let agent = world.pool.agent(NAME).expect("registered");

    // A listener of its own is refused until it gives up.
    let copy = stolen(&inside);
    let (code, said) = run(&inside, &copy).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(world.ado.view().count("POST sessions") > 1, "{said}");
    assert_eq!(world.pool.agents().len(), 1);

    // Whoever read the session's id, too, out of the listener's memory, polls as the listener does.
    let view = world.ado.view();
    let polls = view.requests.iter().find(|request| request.route == "GET messages");
    let session = polls.and_then(|request| request.query.iter().find(|(name, _)| name == "sessionId"));
    let session = session.expect("it polls").1.clone();
    let token = world.pool.agent_token(agent.id);
    let path = format!(
        "_apis/distributedtask/pools/{}/messages?sessionId={session}",
        world.pool.id()
    );
    let direct = format!("{}/{path}", world.organization_url());
    let through = format!("{}/{path}", inside.stage.url());
    let outside = world.client();
    let beside = async {
        loop {
            let poll = |url: &str| send(outside.get(url).header("accept", PREVIEW).bearer_auth(&token));
            let (inner, outer) = tokio::join!(poll(&through), poll(&direct));
            if inner.status != StatusCode::OK && inner.status != StatusCode::ACCEPTED {
                return (inner, outer);
            }
        }
    };
    let story = async {
        let job = world.ado.queue_job("contoso", "linux", JobSpec::script("true"));
        inside.agent.job_is(job.expect("queued"), "succeeded").await;
        let now = world.pool.agent(NAME).expect("still there");
        assert_eq!((now.id, now.online, world.pool.agents().len()), (agent.id, true, 1));
        assert!(listener.runs(), "{}", listener.log());
        let began = Instant::now();
        assert!(inside.stage.pod.pre_stop().0);
        inside
            .agent
            .until("removed", |view| view.agents("linux").is_empty())
            .await;
        began.elapsed()
    };
    let ((inner, outer), took) = tokio::join!(beside, story);
    assert!(took < Duration::from_secs(10), "{took:?}\n{}", inside.stage.pod.log());
    // Through the gateway it is told at once, as the listener is.
    inner.error("TaskAgentNotFoundException");
    assert!(outer.status.is_client_error() || outer.status.is_success(), "{outer:?}");
    let dead = send(outside.get(&direct).header("accept", PREVIEW).bearer_auth(&token)).await;
    assert_eq!(dead.status, StatusCode::NOT_FOUND, "{dead:?}");
    assert_eq!(listener.code().await, 2, "{}", listener.log());
    sidecar.terminate();
    assert_eq!(sidecar.end(SOON).await, 0, "{}", inside.stage.pod.log());
}
