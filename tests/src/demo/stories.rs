//! The stories: what happens, and what must be true at the end.

use super::narrator::Narrator;
use super::stage::{AGENT, AgentImage, Stage, Workload};
use super::teller::Teller;
use crate::agent_package::AgentChoice;
use crate::kubelet::{Phase, Pod};
use anyhow::{Context, ensure};
use azure_emulators::ado::{AdoView, JobSpec, Role};
use azure_emulators::faults::Fault;
use contract::{
    GRACE_SECONDS_ANNOTATION, HANDOFF_VOLUME, Reason, SIDECAR_CONTAINER, TOKEN_FILE_NAME, TOKEN_SUBDIRECTORY,
};
use serde_json::{Value, json};
use std::time::Duration;

/// Longer than anything that a story waits for takes, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);
/// The kubelet's first restart pause in a story; the real one is 10 s.
const BACK_OFF: Duration = Duration::from_millis(500);

/// Last words of a sidecar whose image removes its agent itself: whichever of the two was first. The sidecar looks for the
/// agent when the pod is terminating; where the image was faster it has never seen one.
const GONE: [Reason; 3] = [Reason::Removed, Reason::AlreadyGone, Reason::NeverSeen];

/// A story that the demo can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Story {
    /// A Deployment's pod, from apply to scale to 0.
    Deployment,
    /// A Job with `--once`, to completion.
    Job,
    /// The token is replaced while the agent runs.
    TokenRefreshed,
    /// The federated credential comes late.
    CredentialLate,
    /// The pool does not exist at first.
    WrongPool,
    /// The script never deregisters.
    NeverDeregisters,
    /// The agent is killed while idle.
    KilledIdle,
    /// The agent is killed while a job runs.
    KilledBusy,
    /// Three `--once` jobs in one Deployment pod.
    Restarts,
    /// Azure DevOps cannot be reached at the end.
    AdoDown,
}

impl Story {
    /// All stories, the demo's own first.
    pub const ALL: [Self; 10] = [
        Self::Deployment,
        Self::Job,
        Self::TokenRefreshed,
        Self::CredentialLate,
        Self::WrongPool,
        Self::NeverDeregisters,
        Self::KilledIdle,
        Self::KilledBusy,
        Self::Restarts,
        Self::AdoDown,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Deployment => "deployment",
            Self::Job => "job",
            Self::TokenRefreshed => "token-refreshed",
            Self::CredentialLate => "credential-late",
            Self::WrongPool => "wrong-pool",
            Self::NeverDeregisters => "never-deregisters",
            Self::KilledIdle => "killed-idle",
            Self::KilledBusy => "killed-busy",
            Self::Restarts => "restarts",
            Self::AdoDown => "ado-down",
        }
    }

    /// What it shows, in one sentence.
    pub fn title(self) -> &'static str {
        match self {
            Self::Deployment => "A Deployment's pod registers, runs a job, is scaled to 0, and is gone from the pool.",
            Self::Job => "A Job runs one pipeline job with --once, completes, and is gone from the pool.",
            Self::TokenRefreshed => {
                "The token is replaced while the agent runs; the removal at the end uses the new one. (About a minute.)"
            }
            Self::CredentialLate => {
                "The federated credential is created late and takes time to be known; nothing has to be restarted."
            }
            Self::WrongPool => "The pool does not exist: the sidecar says so, and goes on by itself once it does.",
            Self::NeverDeregisters => {
                "A start script that never deregisters (the recipe of 2019): the sidecar does it."
            }
            Self::KilledIdle => "The idle agent is killed with -9: the sidecar removes it.",
            Self::KilledBusy => {
                "The agent is killed with -9 under a job: Azure DevOps keeps it, and the sidecar says exactly that."
            }
            Self::Restarts => {
                "Three --once jobs in one Deployment pod: the container restarts in place and no stale agent stays."
            }
            Self::AdoDown => {
                "Azure DevOps cannot be reached at the end: the sidecar says that the agent may have stayed."
            }
        }
    }

    /// Finds a story by name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|story| story.name() == name)
    }

    /// Sets the stage that the story needs, with this agent.
    pub async fn stage(self, agent: AgentChoice) -> anyhow::Result<Stage> {
        Stage::with_agent(agent, self != Self::CredentialLate, BACK_OFF).await
    }

    /// Tells the story; an error says what did not end as described.
    pub async fn tell(self, stage: &Stage, teller: &Teller) -> anyhow::Result<()> {
        let scene = Scene {
            stage,
            teller,
            narrator: Narrator::start(stage, teller),
        };
        let told = scene.tell(self).await;
        scene.narrator.catch_up();
        told
    }
}

/// A story that is being told.
struct Scene<'a> {
    stage: &'a Stage,
    teller: &'a Teller,
    narrator: Narrator,
}

impl Scene<'_> {
    async fn tell(&self, story: Story) -> anyhow::Result<()> {
        match story {
            Story::Deployment => self.deployment(AgentImage::EXAMPLE, &GONE).await,
            Story::Job => self.job().await,
            Story::TokenRefreshed => self.token_refreshed().await,
            Story::CredentialLate => self.credential_late().await,
            Story::WrongPool => self.wrong_pool().await,
            Story::NeverDeregisters => {
                let old = AgentImage {
                    script: "gen0",
                    is_root: true,
                };
                self.deployment(old, &[Reason::Removed]).await
            }
            Story::KilledIdle => self.killed_idle().await,
            Story::KilledBusy => self.killed_busy().await,
            Story::Restarts => self.restarts().await,
            Story::AdoDown => self.ado_down().await,
        }
    }

    async fn deployment(&self, image: AgentImage, ends: &[Reason]) -> anyhow::Result<()> {
        let pod = self.apply(Workload::Deployment, image, |_| {}).await?;
        self.online(&pod).await?;
        self.run_job("build", 1.0).await?;
        self.scale_to_zero(&pod).await?;
        self.ended_with(&pod, ends)?;
        self.pool_is_empty()
    }

    async fn job(&self) -> anyhow::Result<()> {
        let pod = self.apply(Workload::Job, AgentImage::EXAMPLE, |_| {}).await?;
        self.online(&pod).await?;
        self.run_job("build", 1.0).await?;
        let state = pod.over(PATIENCE).await?;
        ensure!(state.phase == Phase::Succeeded, "the Job's pod is {:?}", state.phase);
        self.ended_with(&pod, &GONE)?;
        self.pool_is_empty()
    }

    async fn token_refreshed(&self) -> anyhow::Result<()> {
        let world = &self.stage.world;
        world
            .entra
            .set_token_lifetime(&world.agents.client_id, Some(Duration::from_secs(60)));
        self.teller.say(
            "story",
            "tokens live for 60 s here; real ones live for 60 minutes to 24 hours",
        );
        let pod = self.apply(Workload::Deployment, AgentImage::EXAMPLE, |_| {}).await?;
        self.online(&pod).await?;
        let file = pod
            .volume(HANDOFF_VOLUME)
            .join(TOKEN_SUBDIRECTORY)
            .join(TOKEN_FILE_NAME);
        let first = std::fs::read_to_string(&file).context("the token file")?;
        world
            .entra
            .wait_until("the second token", PATIENCE, |view| view.issued() > 1)
            .await?;
        let deadline = std::time::Instant::now() + PATIENCE;
        while std::fs::read_to_string(&file).context("the token file")? == first {
            ensure!(
                std::time::Instant::now() < deadline,
                "the token file still holds the first token"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.narrator.catch_up();
        self.teller.say("sidecar", "the token file holds the new token");
        world.ado.clock().advance(Duration::from_secs(32));
        self.teller.say(
            "story",
            "for Azure DevOps 32 s pass at once, so that the first token is no longer good for anything",
        );
        self.run_job("build", 0.5).await?;
        self.scale_to_zero(&pod).await?;
        self.ended_with(&pod, &GONE)?;
        self.pool_is_empty()
    }

    async fn credential_late(&self) -> anyhow::Result<()> {
        let pod = self.apply(Workload::Deployment, AgentImage::EXAMPLE, |_| {}).await?;
        self.says(&pod, Reason::CredentialMissing).await?;
        self.stage.trust(Duration::from_secs(3))?;
        self.teller.say(
            "administrator",
            "creates the federated credential; Entra will know it in 3 s",
        );
        self.online(&pod).await?;
        self.run_job("build", 1.0).await?;
        self.scale_to_zero(&pod).await?;
        self.ended_with(&pod, &GONE)?;
        self.pool_is_empty()
    }

    async fn wrong_pool(&self) -> anyhow::Result<()> {
        let world = &self.stage.world;
        let name = "kubernetes-large";
        self.stage.set_config(name);
        self.teller.say(
            "user",
            &format!("sets AZP_POOL to {name} in the ConfigMap; nobody made that pool"),
        );
        let pod = self.apply(Workload::Deployment, AgentImage::EXAMPLE, |_| {}).await?;
        self.says(&pod, Reason::PoolMissing).await?;
        let pool = world.ado.add_pool(&world.settings.organization, name);
        pool.set_role(&world.agents, Some(Role::Administrator));
        self.teller.say(
            "administrator",
            &format!("makes the pool {name}, with the identity as its Administrator"),
        );
        self.online(&pod).await?;
        self.run_job_in(name, "build", 1.0).await?;
        self.scale_to_zero(&pod).await?;
        self.ended_with(&pod, &GONE)?;
        self.pool_is_empty()
    }

    async fn killed_idle(&self) -> anyhow::Result<()> {
        let pod = self.apply(Workload::Job, AgentImage::EXAMPLE, |_| {}).await?;
        self.online(&pod).await?;
        self.kill_agent(&pod)?;
        let state = pod.over(PATIENCE).await?;
        ensure!(state.phase == Phase::Failed, "the pod is {:?}", state.phase);
        self.ended_with(&pod, &[Reason::Removed])?;
        self.pool_is_empty()
    }

    async fn killed_busy(&self) -> anyhow::Result<()> {
        let pod = self.apply(Workload::Job, AgentImage::EXAMPLE, short_grace).await?;
        self.online(&pod).await?;
        let job = self.queue(self.stage.world.pool.name(), "build", 600.0)?;
        self.wait("the job to run", |view| {
            let running = view.job(job).is_some_and(|job| job.agent.is_some());
            running
                && view
                    .agents(self.stage.world.pool.name())
                    .iter()
                    .any(|agent| agent.job == Some(job))
        })
        .await?;
        pod.wait_for("the job's first step", PATIENCE, |_| {
            pod.logs(AGENT).contains("Running job: build")
        })
        .await?;
        self.kill_agent(&pod)?;
        pod.over(PATIENCE).await?;
        self.ended_with(&pod, &[Reason::JobStillAssigned])?;
        self.narrator.catch_up();
        let agents = self.stage.world.pool.agents();
        ensure!(
            agents.len() == 1 && !agents[0].enabled && agents[0].job == Some(job),
            "the agent should be in the pool, disabled, with its job: {agents:?}\n{}",
            pod.describe()
        );
        self.teller.say(
            "story",
            "the agent stays, disabled, until its job's lock runs out (10 minutes after the agent's death); then it can be deleted",
        );
        Ok(())
    }

    async fn restarts(&self) -> anyhow::Result<()> {
        self.teller.say(
            "story",
            &format!(
                "the kubelet's restart pauses begin at {} ms here, not at 10 s",
                BACK_OFF.as_millis()
            ),
        );
        let once = |pod: &mut Value| pod["spec"]["containers"][0]["args"] = json!(["--once"]);
        let pod = self.apply(Workload::Deployment, AgentImage::EXAMPLE, once).await?;
        for number in 1..=3 {
            self.online(&pod).await?;
            self.run_job(&format!("build-{number}"), 0.3).await?;
            pod.wait_for("the restart in place", PATIENCE, |state| {
                state.container(AGENT).restarts >= number
            })
            .await?;
        }
        self.online(&pod).await?;
        self.scale_to_zero(&pod).await?;
        self.ended_with(&pod, &GONE)?;
        self.pool_is_empty()
    }

    async fn ado_down(&self) -> anyhow::Result<()> {
        let pod = self
            .apply(Workload::Deployment, AgentImage::EXAMPLE, short_grace)
            .await?;
        self.online(&pod).await?;
        self.run_job("build", 0.5).await?;
        self.stage.world.ado.faults().always("**", Fault::Reset);
        self.narrator.catch_up();
        self.teller
            .say("Azure DevOps", "cannot be reached any more: every connection is reset");
        self.scale_to_zero(&pod).await?;
        self.ended_with(&pod, &[Reason::LeftUnreachable])?;
        let agents = self.stage.world.pool.agents();
        ensure!(agents.len() == 1, "the agent should have stayed: {agents:?}");
        self.narrator.catch_up();
        self.teller.say(
            "story",
            "the agent stays in the pool, and the sidecar's last words say so",
        );
        Ok(())
    }

    // What happens in several stories.

    async fn apply(
        &self,
        workload: Workload,
        image: AgentImage,
        change: impl FnOnce(&mut Value),
    ) -> anyhow::Result<Pod> {
        let mut template = self.stage.template(workload, image)?;
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
    async fn online(&self, pod: &Pod) -> anyhow::Result<()> {
        let waited = self.wait("the agent to be online", |view| {
            view.pools
                .iter()
                .flat_map(|pool| &pool.agents)
                .any(|agent| agent.name == pod.name() && agent.online)
        });
        waited.await.with_context(|| pod.describe())
    }

    async fn run_job(&self, name: &str, seconds: f64) -> anyhow::Result<()> {
        self.run_job_in(self.stage.world.pool.name(), name, seconds).await
    }

    async fn run_job_in(&self, pool: &str, name: &str, seconds: f64) -> anyhow::Result<()> {
        let job = self.queue(pool, name, seconds)?;
        self.wait("the job to succeed", |view| {
            view.job(job)
                .is_some_and(|job| job.result.as_deref() == Some("succeeded"))
        })
        .await
    }

    fn queue(&self, pool: &str, name: &str, seconds: f64) -> anyhow::Result<u64> {
        self.narrator.catch_up();
        self.teller.say(
            "user",
            &format!("queues the pipeline job {name}, which takes {seconds} s"),
        );
        let world = &self.stage.world;
        Ok(world.ado.queue_job(
            &world.settings.organization,
            pool,
            JobSpec::seconds(seconds).named(name),
        )?)
    }

    fn kill_agent(&self, pod: &Pod) -> anyhow::Result<()> {
        self.narrator.catch_up();
        self.teller.say(
            "node",
            "kills the agent container with SIGKILL, as when it runs out of memory",
        );
        pod.kill(AGENT)
    }

    async fn scale_to_zero(&self, pod: &Pod) -> anyhow::Result<()> {
        self.narrator.catch_up();
        self.teller
            .say("user", "kubectl scale deployment azp-agent --replicas=0");
        pod.delete(None);
        pod.over(PATIENCE).await.map(|_| ())
    }

    /// Waits until the sidecar gives this reason why the agent may not start yet.
    async fn says(&self, pod: &Pod, reason: Reason) -> anyhow::Result<()> {
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

    fn ended_with(&self, pod: &Pod, expected: &[Reason]) -> anyhow::Result<()> {
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

    fn pool_is_empty(&self) -> anyhow::Result<()> {
        self.narrator.catch_up();
        let view = self.stage.world.ado.view();
        for pool in &view.pools {
            ensure!(pool.agents.is_empty(), "pool {} still has {:?}", pool.name, pool.agents);
        }
        self.teller.say("Azure DevOps", "the pool is empty");
        Ok(())
    }

    async fn wait(&self, what: &str, holds: impl Fn(&AdoView) -> bool) -> anyhow::Result<()> {
        self.stage.world.ado.wait_until(what, PATIENCE, holds).await?;
        self.narrator.catch_up();
        Ok(())
    }
}

/// A grace period that a story can wait for; the operator's default is an hour.
fn short_grace(pod: &mut Value) {
    pod["metadata"]["annotations"][GRACE_SECONDS_ANNOTATION] = "8".into();
}
