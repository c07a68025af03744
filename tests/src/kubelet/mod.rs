//! A double of the kubelet: runs a *patched* pod as processes of this machine.
//!
//! It makes the volumes (with the `..data` swap and the refresh of projected tokens), starts init containers and native
//! sidecars in order behind their startup probes, then the main containers; restarts in place with the kubelet's
//! back-off; ends a pod with hooks, order and the floor of 2 seconds as Kubernetes 1.32 was measured to do; gives out
//! phases. What a container sees is in [`Isolation`].
//!
//! What it does not do: limits of CPU and memory, `sizeLimit`, network namespaces, readiness and liveness probes, hooks
//! other than `exec`, `fsGroup` on anything but empty volumes. A real kubelet notices an end up to a second later.

mod container;
mod environment;
mod exec;
mod image;
mod isolation;
mod objects;
mod pod;
mod sandbox;
mod state;
mod termination;
#[cfg(test)]
mod tests;
mod volumes;

pub use image::{Image, Images};
pub use isolation::{Isolation, find_tool};
pub use objects::{Objects, TokenRequest};
pub use pod::Pod;
pub use sandbox::Process;
pub use state::{ContainerState, Ended, Event, Phase, PodState, What};

use anyhow::{Context, anyhow};
use container::{Role, Shared};
use environment::{list, text};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{RwLock, watch};
use tokio::task::JoinSet;
use volumes::Volumes;

/// How a kubelet double behaves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The images that it has.
    pub images: Images,
    /// The first pause of the restart back-off. The kubelet's is 10 s, doubling up to 30 times this; a test that waits
    /// for restarts takes less, which is the only time that is ever shortened here.
    pub back_off: Duration,
}

/// A node with its pods' folders, which are removed when it is dropped.
#[derive(Debug)]
pub struct Kubelet {
    settings: Settings,
    objects: Objects,
    isolation: Isolation,
    folder: tempfile::TempDir,
}

impl Kubelet {
    /// A kubelet double for these images and objects.
    pub fn new(settings: Settings, objects: &Objects) -> anyhow::Result<Self> {
        Self::isolated(settings, objects, Isolation::detect())
    }

    /// The same, with this way of keeping containers apart.
    pub fn isolated(settings: Settings, objects: &Objects, isolation: Isolation) -> anyhow::Result<Self> {
        // Users of containers have to get through.
        let folder = tempfile::Builder::new()
            .prefix("kubelet-")
            .permissions(std::fs::Permissions::from_mode(0o755))
            .tempdir()?;
        Ok(Self {
            settings,
            objects: objects.clone(),
            isolation,
            folder,
        })
    }

    /// How containers are kept apart.
    pub fn isolation(&self) -> &Isolation {
        &self.isolation
    }

    /// Starts a pod as the API server returned it. It is ended, at the latest, when the answer is dropped.
    pub fn start(&self, pod: &Value) -> anyhow::Result<Pod> {
        let uid = text(pod, "/metadata/uid");
        anyhow::ensure!(
            !uid.is_empty(),
            "the pod has no metadata.uid; did it go through the API server?"
        );
        let folder = self.folder.path().join(uid);
        std::fs::create_dir(&folder).with_context(|| format!("a pod with UID {uid} is here already"))?;
        for container in list(&pod["spec"], "initContainers").chain(list(&pod["spec"], "containers")) {
            std::fs::create_dir(folder.join(text(container, "/name")))?;
        }
        let volumes = Volumes::make(&folder.join("volumes"), pod, &self.objects)
            .map_err(|error| anyhow!("FailedMount: {error}"))?;
        let shared = Arc::new(Shared {
            pod: pod.clone(),
            settings: self.settings.clone(),
            objects: self.objects.clone(),
            isolation: self.isolation.clone(),
            folder: folder.clone(),
            volumes: Mutex::new(volumes),
            sandboxes: Mutex::default(),
            state: watch::Sender::new(PodState::new()),
            terminating: RwLock::new(false),
            leaving: watch::Sender::new(false),
        });
        let (delete, deletion) = watch::channel(None);
        let task = tokio::spawn(work(shared.clone(), deletion));
        Ok(Pod {
            shared,
            delete,
            folder,
            task,
        })
    }
}

/// The pod's own grace period.
fn own_grace(pod: &Value) -> Duration {
    Duration::from_secs(pod["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap_or(30))
}

/// From the first init container to the last process.
async fn work(pod: Arc<Shared>, mut deletion: watch::Receiver<Option<Duration>>) {
    let mut tasks = JoinSet::new();
    let refresher = tokio::spawn(refresh_volumes(pod.clone()));
    let grace = tokio::select! {
        biased;
        deleted = deletion.wait_for(Option::is_some) => match deleted {
            Ok(grace) => {
                let grace = grace.unwrap_or_default();
                pod.state.send_modify(|state| state.record("", What::Deleted { grace }));
                grace
            }
            Err(_) => return,
        },
        () = run_to_completion(&pod, &mut tasks) => own_grace(&pod.pod),
    };
    // Measured: a terminating pod gets no new tokens.
    refresher.abort();
    termination::terminate(&pod, grace).await;
    while tasks.join_next().await.is_some() {}
    pod.state.send_modify(|state| {
        state.phase = final_phase(&pod.pod, state);
        state.over = true;
        state.record("", What::Over(state.phase));
    });
}

/// Returns when no main container will run again, or when an init container failed for good.
async fn run_to_completion(pod: &Arc<Shared>, tasks: &mut JoinSet<()>) {
    for spec in list(&pod.pod["spec"], "initContainers") {
        let name = text(spec, "/name");
        if spec["restartPolicy"] == "Always" {
            tasks.spawn(container::supervise(pod.clone(), spec.clone(), Role::Sidecar));
            let mut state = pod.state.subscribe();
            if state.wait_for(|state| state.container(name).started).await.is_err() {
                return;
            }
        } else {
            // In a task of its own, since a deletion has to find it alive.
            let (tell, mut told) = watch::channel(false);
            let supervised = container::supervise(pod.clone(), spec.clone(), Role::Init);
            tasks.spawn(async move {
                supervised.await;
                tell.send_replace(true);
            });
            let _ = told.wait_for(|done| *done).await;
            if pod
                .state
                .borrow()
                .container(name)
                .ended
                .is_none_or(|ended| ended.code != 0)
            {
                return;
            }
        }
    }
    pod.state.send_modify(|state| state.phase = Phase::Running);
    let mut mains = JoinSet::new();
    for spec in list(&pod.pod["spec"], "containers") {
        mains.spawn(container::supervise(pod.clone(), spec.clone(), Role::Main));
    }
    // Dropping the set would kill them: a deletion has to find them alive.
    let (tell, mut told) = watch::channel(false);
    tasks.spawn(async move {
        while mains.join_next().await.is_some() {}
        tell.send_replace(true);
    });
    let _ = told.wait_for(|done| *done).await;
}

fn final_phase(pod: &Value, state: &PodState) -> Phase {
    let succeeded = list(&pod["spec"], "containers").all(|spec| {
        let container = state.container(text(spec, "/name"));
        container.ended.is_some_and(|ended| ended.code == 0)
    });
    if succeeded { Phase::Succeeded } else { Phase::Failed }
}

async fn refresh_volumes(pod: Arc<Shared>) {
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        // As the kubelet: what cannot be refreshed stays as it is.
        let _ = pod.volumes.lock().expect("no user of the volumes panics").refresh();
    }
}
