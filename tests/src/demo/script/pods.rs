//! What the situations do with pods: make them, find their agents, give them jobs, delete them and watch.

use super::IMAGE;
use super::observed::{End, OwnRemoval};
use super::trial::{START, STEP, Trial, seconds};
use crate::demo::stage::{AGENT, AgentImage, Workload, through_gateway};
use crate::kubelet::{Pod, What};
use anyhow::Context;
use azure_emulators::ado::{AgentView, JobSpec, JobState};
use azure_emulators::recording::{Authorization, Record};
use contract::{
    GATEWAY_URL_VARIABLES, GRACE_SECONDS_ANNOTATION, HANDOFF_VOLUME, Handoff, OWN_EXCHANGE_ANNOTATION, OWNER_VARIABLE,
    SECRET_VARIABLES, SIDECAR_CONTAINER, TOKEN_FILE_NAME, TOKEN_SUBDIRECTORY, TOKEN_VARIABLES_ANNOTATION,
    URL_ANNOTATION, URL_VARIABLES_ANNOTATION,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

impl Trial<'_> {
    /// A pod of the examples with the script's image; the inner error is the webhook's denial.
    pub(super) async fn create(
        &self,
        workload: Workload,
        warnings: &mut Vec<String>,
    ) -> anyhow::Result<Result<Pod, String>> {
        let is_root = self.options.user == 0;
        let image = AgentImage {
            is_root,
            ..AgentImage::EXAMPLE
        };
        let mut template = self.stage.template(workload, image)?;
        match self.options.handoff {
            Handoff::TokenFile => {
                // The example of a Job has the gateway.
                if let Some(annotations) = template["metadata"]["annotations"].as_object_mut() {
                    annotations.retain(|key, _| !key.starts_with(contract::PREFIX));
                }
                if self.subject.trades_the_federated_token() {
                    self.stage.as_azwi_does(&mut template);
                }
            }
            Handoff::Gateway => {
                through_gateway(&mut template);
                self.annotate(&mut template);
            }
        }
        template["metadata"]["annotations"][GRACE_SECONDS_ANNOTATION] = self.options.grace.as_secs().to_string().into();
        if !is_root {
            template["spec"]["securityContext"]["runAsUser"] = self.options.user.into();
        }
        let container = &mut template["spec"]["containers"][0];
        container["image"] = IMAGE.into();
        if let Some(command) = self.command.get() {
            container["command"] = json!(["sh", "-c", command, "sh"]);
        }
        let mut env = container["env"].as_array().cloned().unwrap_or_default();
        env.extend(
            self.options
                .env
                .iter()
                .map(|(name, value)| json!({ "name": name, "value": value })),
        );
        container["env"] = env.into();
        let created = self
            .stage
            .webhook
            .create_pod(&self.stage.api, &self.stage.namespace, &template)
            .await;
        let created = match created {
            Ok(created) => created,
            Err(refusal) => return Ok(Err(refusal.to_string())),
        };
        warnings.extend(created.warnings);
        Ok(Ok(self.stage.kubelet.start(&created.pod)?))
    }

    /// What a script needs besides the handoff `gateway`: its own exchange, a variable for the token, one for the URL.
    fn annotate(&self, template: &mut Value) {
        let annotations = &mut template["metadata"]["annotations"];
        if self.subject.trades_the_federated_token() {
            annotations[OWN_EXCHANGE_ANNOTATION] = "true".into();
        }
        if let Some(variable) = self
            .subject
            .only_variable()
            .filter(|name| !SECRET_VARIABLES.contains(name))
        {
            annotations[TOKEN_VARIABLES_ANNOTATION] = variable.into();
        }
        let is_url = |value: &str| value.starts_with("https://dev.azure.com/");
        let mut others = self.options.env.iter().filter(|(name, value)| {
            is_url(value) && !GATEWAY_URL_VARIABLES.contains(&name.as_str()) && self.subject.says(name)
        });
        if let Some((name, url)) = others.next_back() {
            annotations[URL_VARIABLES_ANNOTATION] = name.as_str().into();
            annotations[URL_ANNOTATION] = url.as_str().into();
        }
    }

    /// A pod of a later situation: what was not denied once is not denied.
    pub(super) async fn create_another(&self, workload: Workload) -> anyhow::Result<Pod> {
        let created = self.create(workload, &mut Vec::new()).await?;
        created.map_err(|denial| anyhow::anyhow!("a second pod was denied: {denial}"))
    }

    /// The agent of a pod: by its marker, or, where the script lost it, by the pod's name.
    pub(super) fn agent(&self, pod: &Pod) -> Option<AgentView> {
        let agents = self.stage.world.pool.agents();
        let marker = |agent: &AgentView| agent.system_capabilities.get(OWNER_VARIABLE).cloned();
        let is_marked = |agent: &&AgentView| marker(agent).is_some_and(|marker| marker.ends_with(pod.uid()));
        let found = agents.iter().find(is_marked);
        found
            .or_else(|| agents.iter().find(|agent| agent.name == pod.name()))
            .cloned()
    }

    /// Puts another token into the file, as each refresh does.
    pub(super) fn replace_token(&self, pod: &Pod) -> anyhow::Result<()> {
        let file = token_file(pod);
        let fresh = file.with_extension("new");
        std::fs::write(&fresh, self.stage.world.access_token())?;
        std::fs::set_permissions(&fresh, file.metadata().context("the token file")?.permissions())?;
        Ok(std::fs::rename(&fresh, &file)?)
    }

    /// With which token the script asked for the removal of its agent, since this many requests.
    pub(super) fn own_removal(&self, before: usize) -> OwnRemoval {
        let requests = self.stage.world.ado.view().requests;
        let is_own = |request: &&Record| {
            let agent = request.user_agent.as_deref().unwrap_or_default();
            // The listener has a credential of its own; what a person's token does comes as Basic, or from another program.
            !agent.starts_with("ado-agent-sidecar")
                && (matches!(request.authorization, Authorization::Basic { .. }) || !agent.starts_with("VSServices"))
        };
        let tokens = |requests: &[Record]| -> BTreeSet<String> {
            let own = requests.iter().filter(is_own);
            own.filter_map(|request| request.token.clone()).collect()
        };
        let (old, new) = (tokens(&requests[..before]), tokens(&requests[before..]));
        if new.is_empty() {
            OwnRemoval::None
        } else if new.is_subset(&old) {
            OwnRemoval::WithAnOldToken
        } else {
            OwnRemoval::WithANewToken
        }
    }

    /// The name of the pod's agent once it is online; `None` where it does not come.
    pub(super) async fn online(&self, pod: &Pod) -> Option<String> {
        let begun = Instant::now();
        while begun.elapsed() < START {
            if let Some(agent) = self.agent(pod).filter(|agent| agent.online) {
                return Some(agent.name);
            }
            if pod.state().over {
                break;
            }
            tokio::time::sleep(STEP).await;
        }
        None
    }

    pub(super) fn queue(&self, agent: &str, job: JobSpec) -> anyhow::Result<u64> {
        let job = job.demanding(&format!("Agent.Name -equals {agent}"));
        Ok(self.stage.world.pool.queue_job(job)?)
    }

    /// The result of a job, once it has one.
    pub(super) async fn result(&self, job: u64, patience: Duration) -> Option<String> {
        let begun = Instant::now();
        while begun.elapsed() < patience {
            let view = self.stage.world.ado.view();
            let found = view.job(job)?;
            if found.state == JobState::Finished {
                return found.result.clone();
            }
            tokio::time::sleep(STEP).await;
        }
        None
    }

    /// Deletes the pod and watches its end; also for how long its agent was open for jobs meanwhile.
    pub(super) async fn delete(&self, who: &str, pod: &Pod) -> anyhow::Result<(End, Duration)> {
        pod.delete(None);
        let deleted = Instant::now();
        let mut end = End::default();
        let mut open = Duration::ZERO;
        let mut last = deleted;
        loop {
            let (agent, state, now) = (self.agent(pod), pod.state(), Instant::now());
            if agent.as_ref().is_some_and(|agent| agent.online && agent.enabled) {
                open += now - last;
            }
            last = now;
            match agent {
                None => end.pool_empty = end.pool_empty.or(Some(now - deleted)),
                Some(_) => end.pool_empty = None,
            }
            if state.over {
                end.over = now - deleted;
                end.killed = state.time_of(AGENT, |what| *what == What::Killed).is_some();
                end.code = state.container(AGENT).ended.map(|ended| ended.code);
                let last_words = state.container(SIDECAR_CONTAINER).ended;
                end.last_words = last_words.map(|ended| ended.message).unwrap_or_default();
                break;
            }
            anyhow::ensure!(
                deleted.elapsed() < self.options.grace + START,
                "a pod did not end with its grace period\n{}",
                pod.describe()
            );
            tokio::time::sleep(STEP).await;
        }
        let pool = match end.pool_empty {
            Some(after) => format!("the agent is out of the pool after {}", seconds(after)),
            None => "the agent is still in the pool".to_owned(),
        };
        let how = if end.killed { ", by SIGKILL" } else { "" };
        self.say(
            who,
            &format!("deleted: {pool}, the pod has ended after {}{how}", seconds(end.over)),
        );
        Ok((end, open))
    }
}

/// Where a pod's token lies on this machine.
fn token_file(pod: &Pod) -> PathBuf {
    let volume = pod.volume(HANDOFF_VOLUME);
    volume.join(TOKEN_SUBDIRECTORY).join(TOKEN_FILE_NAME)
}
