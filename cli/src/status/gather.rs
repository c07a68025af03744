//! Pods with the sidecar, and what each sidecar says: a command in its container, with the rights of the person who asks.

use super::Scope;
use super::agents::{AgentPod, Probe, Sidecar};
use anyhow::Context as _;
use contract::{INJECT_LABEL, SIDECAR_CONTAINER, SIDECAR_PROGRAM};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::api::{AttachParams, ListParams};
use kube::{Api, Client};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Sidecars that are asked at the same time.
const AT_ONCE: usize = 16;
/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most of an answer that is read, in bytes.
const LONGEST: u64 = 16 * 1024;

/// The pods, in the order of namespace and name.
///
/// # Errors
/// They cannot be listed.
pub(super) async fn pods(client: &Client, scope: &Scope) -> anyhow::Result<Vec<AgentPod>> {
    let api: Api<Pod> = match scope {
        Scope::Namespace(namespace) => Api::namespaced(client.clone(), namespace),
        Scope::Cluster => Api::all(client.clone()),
    };
    let labeled = ListParams::default().labels(&format!("{INJECT_LABEL}=true"));
    let list = tokio::time::timeout(Duration::from_secs(30), api.list(&labeled))
        .await
        .context("the API server does not answer within 30 seconds")?
        .context("pods cannot be listed")?;
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut asking = JoinSet::new();
    for pod in list.items.into_iter().filter(has_sidecar) {
        let (client, turns) = (client.clone(), Arc::clone(&turns));
        asking.spawn(async move {
            // Never closed.
            let _turn = turns.acquire_owned().await;
            ask(&client, &pod).await
        });
    }
    let mut found = Vec::new();
    while let Some(asked) = asking.join_next().await {
        found.push(asked.context("asking a sidecar was cut off")?);
    }
    found.sort_by(|one, other| (&one.namespace, &one.name).cmp(&(&other.namespace, &other.name)));
    Ok(found)
}

fn has_sidecar(pod: &Pod) -> bool {
    let containers = pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten());
    let mut names = containers.map(|container| container.name.as_str());
    names.any(|name| name == SIDECAR_CONTAINER)
}

async fn ask(client: &Client, pod: &Pod) -> AgentPod {
    let metadata = &pod.metadata;
    let namespace = metadata.namespace.clone().unwrap_or_default();
    let name = metadata.name.clone().unwrap_or_default();
    let sidecar = match stopped(pod) {
        Some(why) => Sidecar::Stopped(why),
        None => match tokio::time::timeout(PATIENCE, probe(client, &namespace, &name)).await {
            Ok(Ok(line)) => Probe::parse(&line).map_or_else(
                || Sidecar::Unasked("its answer is no JSON: the sidecar may be older than this program".to_owned()),
                Sidecar::Says,
            ),
            Ok(Err(why)) => Sidecar::Unasked(why),
            Err(_) => Sidecar::Unasked(format!("no answer within {} seconds", PATIENCE.as_secs())),
        },
    };
    AgentPod {
        uid: metadata.uid.clone().unwrap_or_default(),
        namespace,
        name,
        sidecar,
    }
}

/// Why the sidecar does not run, with its last words.
fn stopped(pod: &Pod) -> Option<String> {
    let statuses = pod
        .status
        .iter()
        .flat_map(|status| status.init_container_statuses.iter().flatten());
    let status: Option<&ContainerStatus> = statuses.into_iter().find(|status| status.name == SIDECAR_CONTAINER);
    let Some(state) = status.and_then(|status| status.state.as_ref()) else {
        return Some("its container was not started yet".to_owned());
    };
    if state.running.is_some() {
        return None;
    }
    let of_waiting = state
        .waiting
        .as_ref()
        .map(|waiting| (&waiting.reason, &waiting.message));
    let of_end = state.terminated.as_ref().map(|ended| (&ended.reason, &ended.message));
    let (reason, message) = of_waiting.or(of_end)?;
    let parts = [reason.as_deref(), message.as_deref()];
    let parts: Vec<_> = parts
        .into_iter()
        .flatten()
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect();
    Some(parts.join(": "))
}

async fn probe(client: &Client, namespace: &str, name: &str) -> Result<String, String> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let how = AttachParams::default().container(SIDECAR_CONTAINER).stderr(false);
    let mut process = match pods.exec(name, [SIDECAR_PROGRAM, "probe", "--json"], &how).await {
        Ok(process) => process,
        Err(kube::Error::Api(status)) => return Err(status.message),
        Err(error) => return Err(contract::error_chain(&error)),
    };
    let Some(stdout) = process.stdout() else {
        return Err("the API server gives no output".to_owned());
    };
    let mut line = String::new();
    let read = stdout.take(LONGEST).read_to_string(&mut line).await;
    process.abort();
    read.map_err(|error| error.to_string())?;
    Ok(line)
}
