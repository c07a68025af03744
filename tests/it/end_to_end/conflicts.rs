//! What an agent meets that is started again in place while the session of its last life is still open, in either version of
//! the agent: docs/lifecycle.md has the figures.

use crate::pods::{PATIENCE, assert_ended_with, online, over};
use contract::Reason;
use std::time::{Duration, Instant};
use stub_agent::AgentVersion;
use tests::agent_package::AgentChoice;
use tests::demo::stage::{AGENT, AgentImage, Stage, Workload};
use tests::kubelet::{Pod, PodState, What};

/// A tenth of the kubelet's, which forgets it after 60 times as long.
const BACK_OFF: Duration = Duration::from_secs(1);
const SHORTENED: u32 = 10;
/// Between two attempts to open a session.
const PAUSE: Duration = Duration::from_secs(30);
/// The listener gives up with this conflict.
const CONFLICTS: u32 = 8;

/// How an agent's first life ends.
#[derive(Debug, Clone, Copy)]
enum Death {
    /// SIGKILL to the container's first process and with it to all: what the kernel does to a container that is out of memory.
    Container,
    /// SIGTERM to the listener alone.
    Listener,
}

/// What followed.
#[derive(Debug, PartialEq, Eq)]
struct Outage {
    /// Refused sessions.
    conflicts: u32,
    restarts: u32,
    /// Until the agent was online again, without what starting takes.
    seconds: u64,
    is_same_agent: bool,
}

/// Starts a pod, ends its agent, and lets Azure DevOps' clock go on by the pauses that the listener and the kubelet make.
async fn outage(script: &'static str, version: AgentVersion, death: Death) -> Outage {
    let agent = AgentChoice::always_the_stub(version);
    let stage = Stage::with_agent(agent, BACK_OFF).await.unwrap();
    let image = AgentImage { script, is_root: false };
    let pod = stage.start(Workload::Deployment, image).await.unwrap();
    online(&stage, &pod).await;
    pod.wait_for("polls", PATIENCE, |_| pod.logs(AGENT).contains("Listening for Jobs"))
        .await
        .unwrap();
    let before = stage.world.pool.agent(pod.name()).unwrap().id;
    match death {
        Death::Container => pod.kill(AGENT).unwrap(),
        Death::Listener => terminate(listener(&pod)),
    }
    // What starting takes is left out, since it depends on the machine: Azure DevOps' clock stands still but for the pauses.
    let (began, mut passed, mut conflicts) = (Instant::now(), Duration::ZERO, 0);
    let back = pod
        .wait_for("an agent that listens again", PATIENCE * 2, |state| {
            let view = stage.world.ado.view();
            conflicts = view
                .requests
                .iter()
                .filter(|request| request.route == "POST sessions" && request.status == 409)
                .fold(0, |count, _| count + 1);
            let now = PAUSE * (conflicts - conflicts / CONFLICTS) + back_off(state) * SHORTENED;
            passed = passed.max(now);
            let skew = millis(passed) - millis(began.elapsed());
            stage.world.ado.clock().set_skew_millis(skew);
            let log = pod.logs(AGENT);
            state.container(AGENT).restarts > 0 && log.matches("Listening for Jobs").count() > 1
        })
        .await
        .unwrap();
    let after = stage.world.pool.agent(pod.name()).unwrap();
    assert!(after.online, "{after:?}\n{}", pod.describe());
    pod.delete(None);
    over(&pod).await;
    assert_ended_with(&pod, &[Reason::Removed, Reason::AlreadyGone, Reason::NeverSeen]);
    Outage {
        conflicts,
        restarts: back.container(AGENT).restarts,
        seconds: passed.as_secs(),
        is_same_agent: after.id == before,
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap()
}

/// The restart pauses of the agent's container so far.
fn back_off(state: &PodState) -> Duration {
    let events = state.events.iter().filter(|event| event.container == AGENT);
    events
        .filter_map(|event| match &event.what {
            What::BackOff(pause) => Some(*pause),
            What::Started
            | What::ConfigError(_)
            | What::ProbePassed
            | What::Ready
            | What::NotReady(_)
            | What::ProbeFailed(_)
            | What::ProbeGaveUp
            | What::Ended(_)
            | What::HookStarted
            | What::HookEnded { .. }
            | What::Terminated { .. }
            | What::Killed
            | What::Deleted { .. }
            | What::Over(_) => None,
        })
        .sum()
}

/// The listener among the processes of the agent's container, by its number on this machine.
fn listener(pod: &Pod) -> i32 {
    let first = pod.state().container(AGENT).process.unwrap().pid;
    let mut processes = vec![i32::try_from(first).unwrap()];
    while let Some(process) = processes.pop() {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{process}/{file}")).unwrap_or_default();
        if read("comm").trim() == "Agent.Listener" {
            return process;
        }
        let children = read(&format!("task/{process}/children"));
        processes.extend(
            children
                .split_whitespace()
                .filter_map(|child| child.parse::<i32>().ok()),
        );
    }
    panic!("the container runs no listener\n{}", pod.describe());
}

fn terminate(process: i32) {
    let process = rustix::process::Pid::from_raw(process).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
}

/// The same of both agents, at once.
async fn outages(script: &'static str, death: Death) -> [Outage; 2] {
    let [older, newer] = AgentVersion::ALL.map(|version| outage(script, version, death));
    tokio::join!(older, newer).into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_container_whose_script_removes_its_agent_is_back_with_a_new_one_after_four_minutes() {
    // The second life registers with --replace, which keeps the id and the open session. It gives up with the eighth conflict,
    // its script removes the agent, and the third life registers a new one.
    let expected = || Outage {
        conflicts: 8,
        restarts: 2,
        seconds: 220,
        is_same_agent: false,
    };
    assert_eq!(outages("gen3", Death::Container).await, [expected(), expected()]);
}

/// The second life gives up, the third replaces the same agent again, and waits for the rest of the five minutes.
fn until_the_session_has_lapsed() -> Outage {
    Outage {
        conflicts: 11,
        restarts: 2,
        seconds: 310,
        is_same_agent: true,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_container_whose_script_removes_nothing_is_back_when_the_session_has_lapsed() {
    let expected = [until_the_session_has_lapsed(), until_the_session_has_lapsed()];
    assert_eq!(outages("gen0b", Death::Container).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_gets_sigterm_costs_its_successor_the_session_in_v5_only() {
    let in_order = Outage {
        conflicts: 0,
        restarts: 1,
        seconds: 0,
        is_same_agent: true,
    };
    let expected = [in_order, until_the_session_has_lapsed()];
    assert_eq!(outages("gen0b", Death::Listener).await, expected);
}
