//! A pod that runs: what can be seen of it, and what can be done to it.

use super::container::{self, Shared};
use super::environment::{list, text};
use super::{PodState, own_grace, termination};
use anyhow::{Context, bail};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// A pod that was started.
#[derive(Debug)]
pub struct Pod {
    pub(super) shared: Arc<Shared>,
    pub(super) delete: watch::Sender<Option<Duration>>,
    pub(super) folder: PathBuf,
    pub(super) task: tokio::task::JoinHandle<()>,
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
