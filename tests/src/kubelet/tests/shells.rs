//! Pods of tiny shell containers, and when each of them ended.

use crate::kubelet::*;
use azure_emulators::clock::Clock;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// A node with one image that has a shell.
pub(super) fn node(isolation: Isolation) -> Kubelet {
    let image = Image {
        directory: "/work".to_owned(),
        ..Image::default()
    };
    let settings = Settings {
        images: Images::default().with("sh", image),
        back_off: Duration::from_millis(200),
    };
    Kubelet::isolated(
        settings,
        &Objects::new(&Clock::new(), |_| "token".to_owned()),
        isolation,
    )
    .unwrap()
}

pub(super) fn shell(name: &str, script: &str) -> Value {
    json!({ "name": name, "image": "sh", "command": ["bash", "-c", script] })
}

pub(super) fn sidecar(name: &str, script: &str, hook: Option<&str>) -> Value {
    let mut container = shell(name, script);
    container["restartPolicy"] = "Always".into();
    if let Some(hook) = hook {
        container["lifecycle"] = json!({ "preStop": { "exec": { "command": ["bash", "-c", hook] } } });
    }
    container
}

pub(super) fn pod(grace: u64, policy: &str, sidecars: &[Value], mains: &[Value]) -> Value {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    json!({
        "metadata": { "name": format!("pod-{number}"), "namespace": "n", "uid": format!("uid-{number}") },
        "spec": {
            "restartPolicy": policy,
            "terminationGracePeriodSeconds": grace,
            "initContainers": sidecars,
            "containers": mains,
        },
    })
}

pub(super) const IGNORES: &str = "trap '' TERM; while :; do sleep 0.1; done";

pub(super) const OBEDIENT: &str = "trap 'exit 0' TERM; while :; do sleep 0.05; done";

/// Exits this many seconds after SIGTERM.
pub(super) fn lingers(seconds: f32) -> String {
    format!("trap 'sleep {seconds}; exit 0' TERM; while :; do sleep 0.05; done")
}

/// Starts the pod, lets it come up, deletes it, waits for its end; times are seconds after the deletion.
pub(super) async fn deleted(pod: &Value, grace: Option<Duration>) -> Times {
    let node = node(Isolation::detect());
    let pod = node.start(pod).unwrap();
    pod.wait_for("its start", PATIENCE, |state| {
        state.phase == Phase::Running && running(state)
    })
    .await
    .unwrap();
    // The traps of the shells have to be set.
    tokio::time::sleep(Duration::from_millis(500)).await;
    pod.delete(grace);
    let state = pod.over(PATIENCE).await.unwrap();
    Times {
        state,
        text: pod.describe(),
    }
}

pub(super) fn running(state: &PodState) -> bool {
    state.containers.contains_key("agent") && state.containers.values().all(|container| container.process.is_some())
}

pub(super) struct Times {
    pub(super) state: PodState,
    pub(super) text: String,
}

impl Times {
    pub(super) fn at(&self, container: &str, fits: impl Fn(&What) -> bool) -> f32 {
        let zero = self
            .state
            .time_of("", |what| matches!(what, What::Deleted { .. }))
            .unwrap();
        let time = self
            .state
            .events
            .iter()
            .rev()
            .find(|event| event.container == container && fits(&event.what));
        let time = time.unwrap_or_else(|| panic!("no such event of {container}\n{}", self.text));
        time.at.duration_since(self.state.since).as_secs_f32() - zero.as_secs_f32()
    }

    pub(super) fn term(&self, container: &str) -> f32 {
        self.at(container, |what| matches!(what, What::Terminated { .. }))
    }

    pub(super) fn end(&self, container: &str) -> f32 {
        self.at(container, |what| matches!(what, What::Ended(_)))
    }

    pub(super) fn killed(&self, container: &str) -> f32 {
        self.at(container, |what| matches!(what, What::Killed))
    }

    pub(super) fn starts(&self, container: &str) -> usize {
        let starts = |event: &&Event| event.container == container && event.what == What::Started;
        self.state.events.iter().filter(starts).count()
    }
}

/// Within the measurement's own spread, plus what a busy machine adds.
#[track_caller]
pub(super) fn about(measured: f32, expected: f32, times: &Times) {
    assert!(
        (expected - 0.3..expected + 0.9).contains(&measured),
        "{measured} is not about {expected}\n{}",
        times.text
    );
}
