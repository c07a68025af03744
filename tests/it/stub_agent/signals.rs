//! What signals do: the difference between the agents of today and of yesterday.

use crate::installed::{Installed, Started, configured, eventually, is_alive, number_in, send};
use azure_emulators::ado::{Behavior, JobSpec, JobState};
use rustix::process::Signal;
use std::time::{Duration, Instant};
use stub_agent::{AgentVersion, VERSION_VARIABLE};

#[tokio::test]
async fn v4_closes_its_session_on_sigterm_and_ends_with_143() {
    let agent = configured(AgentVersion::V4).await;
    let mut listener = agent.listening(&[]).await;
    listener.signal(Signal::TERM);
    assert_eq!(listener.code().await, 143);
    assert!(!agent.agent().online);
}

#[tokio::test]
async fn v5_dies_of_sigterm_and_leaves_its_session_open() {
    let agent = configured(AgentVersion::V5).await;
    let mut listener = agent.listening(&[]).await;
    listener.signal(Signal::TERM);
    assert_eq!(listener.code().await, 143);
    assert!(!listener.log().contains("Exiting"), "nobody handled it");
    assert!(agent.agent().online, "for minutes nobody knows that it is gone");
}

#[tokio::test]
async fn one_package_is_both_versions() {
    let agent = configured(AgentVersion::V5).await;
    let mut command = agent.command("./bin/Agent.Listener");
    command.arg("run").env(VERSION_VARIABLE, AgentVersion::V4.to_string());
    let mut listener = agent.start(command);
    listener.says("Listening for Jobs").await;
    listener.signal(Signal::TERM);
    assert_eq!(listener.code().await, 143);
    assert!(!agent.agent().online, "it closed its session, as version 4 does");
}

#[tokio::test]
async fn v5_does_not_notice_sigterm_as_the_first_process_of_a_container() {
    let agent = configured(AgentVersion::V5).await;
    let mut command = agent.command("unshare");
    // In a user namespace, since only root may make the others without one.
    command.args(["--user", "--map-current-user", "--pid", "--fork", "--kill-child"]);
    command.args(["./bin/Agent.Listener", "run"]);
    let mut namespace = agent.start(command);
    namespace.says("Listening for Jobs").await;
    send(only_child(&namespace), Signal::TERM);
    // The kernel has dropped the signal by the time that a job, queued afterwards, is done.
    let job = agent.world.pool.queue_job(JobSpec::script("true")).unwrap();
    agent.job_is(job, "succeeded").await;
    assert!(namespace.runs());
}

fn only_child(parent: &Started) -> i32 {
    let pid = parent.process.id().unwrap();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    children.trim().parse().unwrap()
}

#[tokio::test]
async fn sigint_ends_either_in_order_with_0() {
    for version in AgentVersion::ALL {
        let agent = configured(version).await;
        let mut listener = agent.listening(&[]).await;
        listener.signal(Signal::INT);
        assert_eq!(listener.code().await, 0, "{version}");
        assert!(!agent.agent().online, "{version}");
    }
}

#[tokio::test]
async fn a_listener_in_the_background_of_a_script_ignores_sigint() {
    for version in AgentVersion::ALL {
        let agent = configured(version).await;
        let mut command = agent.command("bash");
        command.args(["-c", "./run.sh & echo $! >_work/pid; wait"]);
        let mut script = agent.start(command);
        script.says("Listening for Jobs").await;
        let run_script = number_in(&agent, "pid").await;
        let children = std::fs::read_to_string(format!("/proc/{run_script}/task/{run_script}/children")).unwrap();
        let listener = children.trim().parse().unwrap();
        send(listener, Signal::INT);
        let job = agent.world.pool.queue_job(JobSpec::script("true")).unwrap();
        agent.job_is(job, "succeeded").await;
        assert!(is_alive(listener) && script.runs() && agent.agent().online, "{version}");
        send(listener, Signal::KILL);
    }
}

/// A listener with a job whose first process waits for a child, whatever signal it gets.
async fn busy(version: AgentVersion) -> (Installed, Started, u64, i32) {
    let agent = configured(version).await;
    let listener = agent.listening(&[]).await;
    // Bash heeds the signal only when its child has ended.
    let script = "trap : INT; (echo $BASHPID >child; exec sleep 300); true";
    let job = agent.world.pool.queue_job(JobSpec::script(script)).unwrap();
    let child = number_in(&agent, "child").await;
    (agent, listener, job, child)
}

#[tokio::test]
async fn canceling_a_job_takes_12_seconds_and_leaves_the_steps_child() {
    // Either version ends its job for SIGINT, the older one for SIGTERM, too.
    let cases = [
        (AgentVersion::V4, Signal::TERM, 143),
        (AgentVersion::V4, Signal::INT, 0),
        (AgentVersion::V5, Signal::INT, 0),
    ];
    let [first, second, third] = cases.map(|(version, signal, code)| async move {
        let (agent, mut listener, job, child) = busy(version).await;
        let told = Instant::now();
        listener.signal(signal);
        assert_eq!(listener.code().await, code, "{version}");
        let took = told.elapsed();
        assert!(took > Duration::from_secs(12), "{version}: {took:?}");
        agent.job_is(job, "canceled").await;
        assert!(!agent.agent().online, "{version}: its session is closed");
        assert!(is_alive(child), "{version}: only the step's first process was told");
        send(child, Signal::KILL);
    });
    tokio::join!(first, second, third);
}

/// What becomes of a job whose listener dies under it; plans from version 8 on are finished by the worker.
async fn goes_on(version: AgentVersion, signal: Signal, plan_version: u32) {
    let agent = configured(version).await;
    agent.world.ado.set_behavior(Behavior {
        plan_version,
        ..Behavior::default()
    });
    let mut listener = agent.listening(&[]).await;
    let script = "touch started; until test -e finish; do sleep 0.05; done; touch finished";
    let job = agent.world.pool.queue_job(JobSpec::script(script)).unwrap();
    let work = agent.root().join("_work");
    eventually("the step", || work.join("started").exists(), || listener.log()).await;
    listener.signal(signal);
    listener.code().await;
    std::fs::write(work.join("finish"), "").unwrap();
    eventually("the step's end", || work.join("finished").exists(), || listener.log()).await;
    assert!(agent.agent().online, "{version}: its session stays open");
    if plan_version >= 8 {
        agent.job_is(job, "succeeded").await;
    } else {
        let state = agent.world.ado.view().job(job).map(|job| job.state);
        assert_eq!(
            state,
            Some(JobState::Assigned),
            "{version}: nobody is left to say that it has ended"
        );
    }
}

#[tokio::test]
async fn a_worker_goes_on_when_its_listener_dies() {
    // SIGKILL does to every listener what SIGTERM does to v5.
    tokio::join!(
        goes_on(AgentVersion::V4, Signal::KILL, 8),
        goes_on(AgentVersion::V5, Signal::TERM, 8),
        goes_on(AgentVersion::V5, Signal::KILL, 7),
    );
}
