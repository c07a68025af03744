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
mod image;
mod isolation;
mod objects;
mod state;
mod termination;
#[cfg(test)]
mod tests;
mod volumes;

pub use image::{Image, Images};
pub use isolation::{Isolation, Process, find_tool};
pub use objects::{Objects, TokenRequest};
pub use state::{ContainerState, Ended, Event, Phase, PodState, What};

use anyhow::{Context, anyhow, bail};
use container::{Role, Shared};
use environment::{list, text};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
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

/// A pod that was started.
#[derive(Debug)]
pub struct Pod {
    shared: Arc<Shared>,
    delete: watch::Sender<Option<Duration>>,
    folder: PathBuf,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Pod {
    fn drop(&mut self) {
        // The processes go with their handles.
        self.task.abort();
    }
}

impl Pod {
    /// The pod's name.
    pub fn name(&self) -> &str {
        text(&self.shared.pod, "/metadata/name")
    }

    /// The pod's UID.
    pub fn uid(&self) -> &str {
        text(&self.shared.pod, "/metadata/uid")
    }

    /// What is known of it now.
    pub fn state(&self) -> PodState {
        self.shared.state.borrow().clone()
    }

    /// Follows what is known of it.
    pub fn watch(&self) -> watch::Receiver<PodState> {
        self.shared.state.subscribe()
    }

    /// Waits until `fits` says so; the error tells what was waited for and shows the containers' logs.
    pub async fn wait_for(
        &self,
        what: &str,
        patience: Duration,
        mut fits: impl FnMut(&PodState) -> bool,
    ) -> anyhow::Result<PodState> {
        // Not only the state: a condition may look at logs and files, too.
        let deadline = Instant::now() + patience;
        loop {
            let state = self.state();
            if fits(&state) {
                return Ok(state);
            }
            if Instant::now() > deadline {
                bail!(
                    "pod {}: {what} did not happen within {} s\n{}",
                    self.name(),
                    patience.as_secs_f32(),
                    self.describe()
                );
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until nothing of it runs any more.
    pub async fn over(&self, patience: Duration) -> anyhow::Result<PodState> {
        self.wait_for("its end", patience, |state| state.over).await
    }

    /// Deletes it with its own grace period, or with this one; zero is a forced deletion (effectively 1 second).
    pub fn delete(&self, grace: Option<Duration>) {
        let wanted = grace.unwrap_or_else(|| own_grace(&self.shared.pod));
        let grace = wanted.max(Duration::from_secs(1));
        self.delete.send_replace(Some(grace));
    }

    /// Sends SIGKILL to a container's main process: what an OOM kill does.
    pub fn kill(&self, container: &str) -> anyhow::Result<()> {
        let process = self.state().container(container).process;
        let process = process.with_context(|| format!("container {container} does not run"))?;
        container::kill(&self.shared, container, process);
        Ok(())
    }

    /// Stops a container while its pod lives on, with hook, SIGTERM and the pod's whole grace, and lets it be started again:
    /// what an edit of its image does. Returns once it has ended.
    pub async fn replace(&self, container: &str) -> anyhow::Result<()> {
        let spec = &self.shared.pod["spec"];
        let found = list(spec, "initContainers")
            .chain(list(spec, "containers"))
            .find(|found| text(found, "/name") == container)
            .with_context(|| format!("the pod has no container {container}"))?;
        termination::stop(
            self.shared.clone(),
            found.clone(),
            own_grace(&self.shared.pod),
            Vec::new(),
        )
        .await;
        Ok(())
    }

    /// Everything that a container said, over all its lives.
    pub fn logs(&self, container: &str) -> String {
        let bytes = std::fs::read(self.folder.join(container).join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The folder of this machine that stands for a volume.
    pub fn volume(&self, name: &str) -> PathBuf {
        self.shared
            .volumes
            .lock()
            .expect("no user of the volumes panics")
            .path(name)
    }

    /// The root folder of a container's present life.
    pub fn root(&self, container: &str) -> PathBuf {
        let lives = self.state().container(container).restarts;
        self.folder.join(container).join(format!("life-{lives}/root"))
    }

    /// Containers, history and logs, for a person who wonders.
    pub fn describe(&self) -> String {
        let state = self.state();
        let mut text = format!("pod {} is {:?}\n", self.name(), state.phase);
        for event in &state.events {
            let at = event.at.duration_since(state.since).as_secs_f32();
            text += &format!("  {at:7.2} {} {:?}\n", event.container, event.what);
        }
        for (name, container) in &state.containers {
            text += &format!(
                "--- log of {name} (last probe: {})\n{}",
                container.probe,
                self.logs(name)
            );
        }
        text
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
