//! What happens in several stories, told as it happens.

use super::PATIENCE;
use crate::demo::narrator::Narrator;
use crate::demo::stage::{AGENT, AgentImage, Stage, Workload};
use crate::demo::teller::Teller;
use crate::kubelet::Pod;
use anyhow::{Context, ensure};
use azure_emulators::ado::{AdoView, JobSpec};
use contract::{Reason, SIDECAR_CONTAINER};
use serde_json::Value;

/// A story that is being told.
pub(super) struct Scene<'a> {
    pub(super) stage: &'a Stage,
    pub(super) teller: &'a Teller,
    pub(super) narrator: Narrator,
}

impl Scene<'_> {
    pub(super) async fn apply(&self, workload: Workload, change: impl FnOnce(&mut Value)) -> anyhow::Result<Pod> {
        let mut template = self.stage.template(workload, AgentImage::EXAMPLE)?;
        change(&mut template);
        let file = match workload {
            Workload::Deployment => "deployment.yaml",
            Workload::Job => "job.yaml",
        };
        self.teller
            .say("user", &format!("kubectl apply -f manifests/examples/{file}"));
        let created = self
            .stage
            .webhook
            .create_pod(&self.stage.api, &self.stage.namespace, &template)
            .await?;
        let name = created.pod["metadata"]["name"].as_str().unwrap_or_default();
        self.teller.say(
            "API server",
            &format!("asks the webhook about pod {name} (over TLS), which adds the sidecar"),
        );
        for warning in &created.warnings {
            self.teller.say("webhook", &format!("warning: {warning}"));
        }
        let pod = self.stage.kubelet.start(&created.pod)?;
        self.narrator.follow(&pod);
        Ok(pod)
    }

    /// Waits for the pod's agent. Only the name of the examples' pods is the agent's name.
    pub(super) async fn online(&self, pod: &Pod) -> anyhow::Result<()> {
        let waited = self.wait("the agent to be online", |view| {
            view.pools
                .iter()
                .flat_map(|pool| &pool.agents)
                .any(|agent| agent.name == pod.name() && agent.online)
        });
        waited.await.with_context(|| pod.describe())
    }

    pub(super) async fn run_job(&self, name: &str, seconds: f64) -> anyhow::Result<()> {
        let job = self.queue(name, seconds)?;
        self.wait("the job to succeed", |view| {
            view.job(job)
                .is_some_and(|job| job.result.as_deref() == Some("succeeded"))
        })
        .await
    }

    pub(super) fn queue(&self, name: &str, seconds: f64) -> anyhow::Result<u64> {
        self.narrator.catch_up();
        self.teller.say(
            "user",
            &format!("queues the pipeline job {name}, which takes {seconds} s"),
        );
        Ok(self.stage.world.pool.queue_job(JobSpec::seconds(seconds).named(name))?)
    }

    pub(super) fn kill_agent(&self, pod: &Pod) -> anyhow::Result<()> {
        self.narrator.catch_up();
        self.teller.say(
            "node",
            "kills the agent container with SIGKILL, as when it runs out of memory",
        );
        pod.kill(AGENT)
    }

    pub(super) async fn scale_to_zero(&self, pod: &Pod) -> anyhow::Result<()> {
        self.narrator.catch_up();
        self.teller
            .say("user", "kubectl scale deployment azp-agent --replicas=0");
        pod.delete(None);
        pod.over(PATIENCE).await.map(|_| ())
    }

    /// Waits until the sidecar gives this reason why the agent may not start yet.
    pub(super) async fn says(&self, pod: &Pod, reason: Reason) -> anyhow::Result<()> {
        pod.wait_for(&format!("\"{reason}\" in the probe's output"), PATIENCE, |state| {
            state.container(SIDECAR_CONTAINER).probe.contains(reason.as_str())
        })
        .await?;
        ensure!(
            pod.state().container(AGENT).process.is_none(),
            "the agent was started although the sidecar says {reason}"
        );
        self.narrator.catch_up();
        Ok(())
    }

    pub(super) fn ended_with(&self, pod: &Pod, expected: &[Reason]) -> anyhow::Result<()> {
        let ended = pod
            .state()
            .container(SIDECAR_CONTAINER)
            .ended
            .context("the sidecar has not ended")?;
        let word = ended.message.split(':').next().unwrap_or_default();
        ensure!(
            Reason::parse(word).is_some_and(|reason| expected.contains(&reason)),
            "the sidecar should end with {expected:?}, but it says: {}\n{}",
            ended.message,
            pod.describe()
        );
        Ok(())
    }

    pub(super) fn pool_is_empty(&self) -> anyhow::Result<()> {
        self.narrator.catch_up();
        let view = self.stage.world.ado.view();
        for pool in &view.pools {
            ensure!(pool.agents.is_empty(), "pool {} still has {:?}", pool.name, pool.agents);
        }
        self.teller.say("Azure DevOps", "the pool is empty");
        Ok(())
    }

    pub(super) async fn wait(&self, what: &str, holds: impl Fn(&AdoView) -> bool) -> anyhow::Result<()> {
        self.stage.world.ado.wait_until(what, PATIENCE, holds).await?;
        self.narrator.catch_up();
        Ok(())
    }
}
