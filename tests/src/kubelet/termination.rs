//! How a pod ends: hooks of all containers at once, main containers first, sidecars in reverse order, whole seconds, and
//! never less than two of them (k8s.io/kubernetes `pkg/kubelet/kuberuntime/kuberuntime_container.go` `killContainer`).

use super::container::{Shared, kill, send};
use super::environment::{list, text};
use super::exec::hook;
use super::sandbox::Process;
use super::state::What;
use rustix::process::Signal;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// `minimumGracePeriodInSeconds`.
const FLOOR: Duration = Duration::from_secs(2);

/// Ends every container that runs.
pub(super) async fn terminate(pod: &Arc<Shared>, grace: Duration) {
    *pod.terminating.write().await = true;
    pod.leaving.send_replace(true);
    let spec = &pod.pod["spec"];
    let sidecars: Vec<&Value> = list(spec, "initContainers").collect();
    let mains: Vec<&Value> = list(spec, "containers").collect();
    let names = |specs: &[&Value]| -> Vec<String> { specs.iter().map(|spec| text(spec, "/name").to_owned()).collect() };
    let mut stops = JoinSet::new();
    for main in &mains {
        stops.spawn(stop(pod.clone(), (*main).clone(), grace, Vec::new()));
    }
    for (index, sidecar) in sidecars.iter().enumerate() {
        // A sidecar's turn comes when the mains and the sidecars behind it are gone.
        let mut before = names(&mains);
        before.extend(names(&sidecars[index + 1..]));
        stops.spawn(stop(pod.clone(), (*sidecar).clone(), grace, before));
    }
    while stops.join_next().await.is_some() {}
}

/// Ends one container once those before it are gone.
pub(super) async fn stop(pod: Arc<Shared>, spec: Value, grace: Duration, before: Vec<String>) {
    let name = text(&spec, "/name").to_owned();
    let running = |pod: &Shared| pod.state.borrow().container(&name).process;
    let Some(process) = running(&pod) else { return };
    let mut left = grace;
    let began = Instant::now();
    run_hook(&pod, &spec, process, left).await;
    left = left.saturating_sub(whole_seconds(began.elapsed()));
    if !left.is_zero() && !before.is_empty() {
        let began = Instant::now();
        let mut state = pod.state.subscribe();
        let turn = state.wait_for(|state| before.iter().all(|name| state.container(name).process.is_none()));
        let _ = tokio::time::timeout(left, turn).await;
        left = left.saturating_sub(whole_seconds(began.elapsed()));
    }
    let patience = left.max(FLOOR);
    if running(&pod).is_none() {
        return;
    }
    pod.state
        .send_modify(|state| state.record(&name, What::Terminated { patience }));
    send(process, &pod.isolation, Signal::TERM);
    let mut state = pod.state.subscribe();
    let ended = state.wait_for(|state| state.container(&name).process.is_none());
    if tokio::time::timeout(patience, ended).await.is_ok() {
        return;
    }
    kill(&pod, &name, process);
}

async fn run_hook(pod: &Shared, spec: &Value, process: Process, grace: Duration) {
    let Some(mut command) = hook(pod, spec, process) else {
        return;
    };
    let name = text(spec, "/name");
    pod.state.send_modify(|state| state.record(name, What::HookStarted));
    let cut_off = tokio::time::timeout(grace, command.output()).await.is_err();
    pod.state
        .send_modify(|state| state.record(name, What::HookEnded { cut_off }));
}

fn whole_seconds(elapsed: Duration) -> Duration {
    Duration::from_secs(elapsed.as_secs())
}
