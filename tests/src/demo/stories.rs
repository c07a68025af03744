//! The stories: what happens, and what must be true at the end.

mod catalog;
mod scene;

pub use catalog::Story;

use super::narrator::Narrator;
use super::stage::{AGENT, Plan, Stage, Workload, through_gateway};
use super::teller::Teller;
use crate::agent_package::AgentChoice;
use crate::kubelet::{Phase, Pod};
use crate::tokens::places_with_tokens;
use anyhow::{Context, ensure};
use azure_emulators::ado::JobSpec;
use azure_emulators::faults::Fault;
use contract::{
    GRACE_SECONDS_ANNOTATION, HANDOFF_VOLUME, Reason, SIDECAR_CONTAINER, TICKET, TOKEN_FILE_NAME, TOKEN_SUBDIRECTORY,
};
use scene::Scene;
use serde_json::{Value, json};
use std::time::Duration;

/// Longer than anything that a story waits for takes, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);
/// The kubelet's first restart pause in a story; the real one is 10 s.
const BACK_OFF: Duration = Duration::from_millis(500);

/// Last words of a sidecar whose image removes its agent itself: whichever of the two was first. The sidecar looks for the
/// agent when the pod is terminating; where the image was faster it has never seen one.
const GONE: [Reason; 3] = [Reason::Removed, Reason::AlreadyGone, Reason::NeverSeen];

impl Story {
    /// Sets the stage that the story needs, with this agent.
    pub async fn stage(self, agent: AgentChoice) -> anyhow::Result<Stage> {
        Stage::with(Plan {
            federated: self != Self::CredentialLate,
            ..Plan::new(agent, BACK_OFF)
        })
        .await
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

impl Scene<'_> {
    async fn tell(&self, story: Story) -> anyhow::Result<()> {
        match story {
            Story::Deployment => self.deployment().await,
            Story::Job => self.job().await,
            Story::Gateway => self.gateway().await,
            Story::TokenRefreshed => self.token_refreshed().await,
            Story::CredentialLate => self.credential_late().await,
            Story::KilledIdle => self.killed_idle().await,
            Story::KilledBusy => self.killed_busy().await,
            Story::Restarts => self.restarts().await,
            Story::AdoDown => self.ado_down().await,
        }
    }

    async fn deployment(&self) -> anyhow::Result<()> {
        let pod = self.apply(Workload::Deployment, |_| {}).await?;
        self.online(&pod).await?;
        self.run_job("build", 1.0).await?;
        self.scale_to_zero(&pod).await?;
        self.ended_with(&pod, &GONE)?;
        self.pool_is_empty()
    }

    async fn job(&self) -> anyhow::Result<()> {
        let pod = self.apply(Workload::Job, |_| {}).await?;
        self.online(&pod).await?;
        self.run_job("build", 1.0).await?;
        let state = pod.over(PATIENCE).await?;
        ensure!(state.phase == Phase::Succeeded, "the Job's pod is {:?}", state.phase);
        self.ended_with(&pod, &GONE)?;
        self.pool_is_empty()
    }

    async fn gateway(&self) -> anyhow::Result<()> {
        self.teller.say(
            "user",
            "sets the annotation ado-agent.dev/handoff: gateway on the pod template",
        );
        let pod = self.apply(Workload::Deployment, through_gateway).await?;
        self.online(&pod).await?;
        pod.wait_for("the pod to be ready", PATIENCE, |state| {
            state.container(SIDECAR_CONTAINER).ready == Some(true)
        })
        .await?;
        self.curious_job(&pod).await?;
        let job = self.queue("build", 4.0)?;
        pod.wait_for("the job's first step", PATIENCE, |_| {
            pod.logs(AGENT).contains("Running job: build")
        })
        .await?;
        self.scale_to_zero(&pod).await?;
        let result = self.stage.world.ado.view().job(job).and_then(|job| job.result.clone());
        ensure!(
            result.as_deref() == Some("succeeded"),
            "the job ended as {result:?}\n{}",
            pod.describe()
        );
        self.ended_with(&pod, &[Reason::Removed, Reason::AlreadyGone])?;
        self.pool_is_empty()
    }

    /// A job that looks for a token, and tries what it has.
    async fn curious_job(&self, pod: &Pod) -> anyhow::Result<()> {
        let world = &self.stage.world;
        let stranger = format!("$AZP_URL/_apis/distributedtask/pools/{}/agents/1000", world.pool.id());
        let script = format!(
            "curl -s -u :{TICKET} -X DELETE -o /dev/null -w '%{{http_code}}' \"{stranger}\" > /azp/answer-to-the-job"
        );
        self.narrator.catch_up();
        self.teller.say(
            "user",
            "queues the pipeline job curious, which tries to remove another agent with all that it finds",
        );
        let job = world.pool.queue_job(JobSpec::script(&script).named("curious"))?;
        self.wait("the curious job to end", |view| {
            view.job(job).is_some_and(|job| job.result.is_some())
        })
        .await?;
        let places = places_with_tokens(world, pod);
        ensure!(places.is_empty(), "the agent container holds a token in {places:?}");
        let answer = pod.root(AGENT).join("azp/answer-to-the-job");
        let code = std::fs::read_to_string(answer).context("the answer that the job got")?;
        ensure!(["403", "404"].contains(&code.as_str()), "the gateway answered {code:?}");
        self.teller.say(
            "story",
            &format!(
                "no file, volume or environment of the agent container holds a token; with the ticket, the gateway answers {code}"
            ),
        );
        Ok(())
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
        let pod = self.apply(Workload::Deployment, |_| {}).await?;
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
        let pod = self.apply(Workload::Deployment, |_| {}).await?;
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

    async fn killed_idle(&self) -> anyhow::Result<()> {
        let pod = self.apply(Workload::Job, |_| {}).await?;
        self.online(&pod).await?;
        self.kill_agent(&pod)?;
        let state = pod.over(PATIENCE).await?;
        ensure!(state.phase == Phase::Failed, "the pod is {:?}", state.phase);
        self.ended_with(&pod, &[Reason::Removed])?;
        self.pool_is_empty()
    }

    async fn killed_busy(&self) -> anyhow::Result<()> {
        let pod = self.apply(Workload::Job, short_grace).await?;
        self.online(&pod).await?;
        let job = self.queue("build", 600.0)?;
        // With `once` the sidecar disables it when its job's lock was renewed; a kill before that would be another story.
        self.wait("the job to run and the agent to be disabled", |view| {
            let agents = view.agents(self.stage.world.pool.name());
            agents.iter().any(|agent| agent.job == Some(job) && !agent.enabled)
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
        let pod = self.apply(Workload::Deployment, once).await?;
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
        let pod = self.apply(Workload::Deployment, short_grace).await?;
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
}

/// A grace period that a story can wait for; the operator's default is an hour.
fn short_grace(pod: &mut Value) {
    pod["metadata"]["annotations"][GRACE_SECONDS_ANNOTATION] = "8".into();
}
