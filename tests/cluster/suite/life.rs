//! One pod from its start to its end, with an identity of its own, so that every request to Azure is known to be its.

mod watch;

use crate::case::{Case, LIMIT, container_status};
use crate::ending::{Ending, Stop, is_removal};
use crate::workload::{self, CONTAINER, agent, annotate, template};
use anyhow::{Context, Result, ensure};
use azure_emulators::ado::AgentView;
use azure_emulators::entra::{Exchange, Identity};
use azure_emulators::recording::Record;
use contract::{AZWI_CLIENT_ID_ANNOTATION, GRACE_SECONDS_ANNOTATION, SIDECAR_CONTAINER};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::task::JoinHandle;
use watch::{Seen, text_of, watch};

/// A pod that is watched from its creation on, until this is dropped.
pub(crate) struct Life {
    /// The test's.
    pub(crate) case: Case,
    /// Name of the pod, its ServiceAccount and its agent.
    pub(crate) name: String,
    /// The identity that its sidecar uses.
    pub(crate) identity: Identity,
    seen: Arc<Mutex<Seen>>,
    watcher: JoinHandle<()>,
    /// How long containerd's log was before.
    log_start: usize,
}

impl Drop for Life {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

/// The template of an agent whose first process does as it is told: this on SIGTERM and that on SIGUSR1, in the words of
/// bash; on SIGUSR2 it ends with 5. The start script runs beside it.
pub(crate) fn obedient(on_term: &str, on_usr1: &str) -> Value {
    let mut template = template("gen3");
    let script = format!(
        "trap '{on_term}' TERM; trap '{on_usr1}' USR1; trap 'exit 5' USR2; \
         /azp/start.sh & sleep infinity & while :; do wait; done"
    );
    agent(&mut template)["command"] = json!(["/bin/bash", "-c", script]);
    template
}

/// The pauses of the start script and of the agent become short.
pub(crate) fn hurry(template: &mut Value) {
    let env = &mut agent(template)["env"];
    let mut variables = env.as_array().cloned().unwrap_or_default();
    variables.push(json!({"name": "STUB_RETRY_SECONDS", "value": "1"}));
    variables.push(json!({"name": "STUB_AGENT_HURRY", "value": "10"}));
    *env = json!(variables);
}

/// The template with another grace period, in seconds.
pub(crate) fn with_grace(mut template: Value, seconds: u32) -> Value {
    annotate(&mut template, GRACE_SECONDS_ANNOTATION, &seconds.to_string());
    template
}

impl Life {
    /// Creates a bare pod, which is not started again unless the template says so.
    pub(crate) fn begin(case: &Case, name: &str, template: &Value) -> Result<Self> {
        let life = Self::prepare(case, name)?;
        life.create(template)?;
        Ok(life)
    }

    /// Creates the pod of a life that was prepared.
    pub(crate) fn create(&self, template: &Value) -> Result<()> {
        let mut pod = workload::pod(&self.name, template);
        if let Some(policy) = template["spec"].get("restartPolicy") {
            pod["spec"]["restartPolicy"] = policy.clone();
        }
        pod["spec"]["serviceAccountName"] = json!(self.name);
        hurry(&mut pod);
        self.case.apply(&pod).map(drop)
    }

    /// Makes identity and ServiceAccount, and watches the pod of this name that is still to come.
    pub(crate) fn prepare(case: &Case, name: &str) -> Result<Self> {
        let identity = case.add_administrator(&case.namespace, name)?;
        let mut account = case.account(name);
        account["metadata"]["annotations"][AZWI_CLIENT_ID_ANNOTATION] = json!(identity.client_id);
        case.apply(&account)?;
        let seen = Arc::default();
        Ok(Self {
            case: case.clone(),
            name: name.to_owned(),
            identity,
            watcher: tokio::spawn(watch(case.clone(), name.to_owned(), Arc::clone(&seen))),
            seen,
            log_start: std::fs::read(case.suite.node.log("containerd"))?.len(),
        })
    }

    /// The pod as it was seen last.
    pub(crate) fn pod(&self) -> Value {
        self.seen().pod.clone()
    }

    /// Whether the API server has it no more.
    pub(crate) fn is_gone(&self) -> bool {
        self.seen().is_gone
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("nobody panics with what was seen")
    }

    /// Its agent, if the pool has it.
    pub(crate) fn agent(&self) -> Option<AgentView> {
        self.case.pool.agent(&self.name)
    }

    /// Waits until its agent is online.
    pub(crate) async fn online(&self) -> Result<AgentView> {
        self.until("its agent is online", |life| life.agent().filter(|agent| agent.online))
            .await
    }

    /// Gives the agent a job that nobody runs, so that it stays busy until the job is finished from here.
    pub(crate) async fn busy(&self) -> Result<u64> {
        let agent = self.online().await?;
        Ok(self.case.pool.make_busy(agent.id))
    }

    /// Waits until the sidecar has disabled the agent: it knows that the pod leaves, and waits for the job.
    pub(crate) async fn disabled(&self) -> Result<AgentView> {
        self.until("its agent is disabled", |life| {
            life.agent().filter(|agent| !agent.enabled)
        })
        .await
    }

    /// Waits until `look` sees something.
    pub(crate) async fn until<T>(&self, what: &str, look: impl Fn(&Self) -> Option<T>) -> Result<T> {
        self.until_within(LIMIT, what, look).await
    }

    async fn until_within<T>(&self, limit: Duration, what: &str, look: impl Fn(&Self) -> Option<T>) -> Result<T> {
        let what = format!("pod {}: {what}", self.name);
        let result = self.case.wait(&what, limit, || async { Ok(look(self)) }).await;
        result.with_context(|| self.explain())
    }

    /// Asks for the deletion of the pod; `how` are options of kubectl.
    pub(crate) fn delete(&self, how: &[&str]) -> Result<()> {
        let delete = [&["delete", "pod", self.name.as_str(), "--wait=false"], how].concat();
        self.case.kubectl(&delete).map(drop)
    }

    /// Sends a signal to the first process of a container, once the kubelet has told that it runs: an agent may be online before.
    pub(crate) async fn signal(&self, container: &str, signal: &str) -> Result<()> {
        let looked = || async {
            let pod = self.pod();
            let runs = container_status(&pod, container).is_some_and(|status| status["state"]["running"].is_object());
            Ok(runs.then_some(pod))
        };
        let pod = self.case.wait(&format!("{container} running"), LIMIT, looked).await?;
        self.case.signal(&pod, container, signal)
    }

    /// How often a container was started again.
    pub(crate) fn restarts(&self, container: &str) -> i64 {
        let pod = self.pod();
        container_status(&pod, container).map_or(0, |status| status["restartCount"].as_i64().unwrap_or_default())
    }

    /// Log of a container, also of its earlier runs and of a pod that is gone; lines begin with containerd's time.
    pub(crate) fn log(&self, container: &str) -> String {
        let seen = self.seen();
        let of_container = |path: &PathBuf| path.parent().is_some_and(|folder| folder.ends_with(container));
        let texts = seen.logs.iter().filter(|(path, _)| of_container(path));
        texts.map(|(_, file)| text_of(file)).collect()
    }

    /// What the sidecar asked Azure DevOps, oldest first.
    pub(crate) fn requests(&self) -> Vec<Record> {
        let (of_sidecar, _) = self.all_requests();
        of_sidecar
    }

    /// How often the start script has removed the agent with success: its requests carry the identity's token, too.
    pub(crate) fn removals_by_script(&self) -> usize {
        let (_, others) = self.all_requests();
        others.iter().filter(|record| is_removal(record)).count()
    }

    /// What came with the identity's token: from the sidecar, and from others.
    fn all_requests(&self) -> (Vec<Record>, Vec<Record>) {
        let mut all = self.case.suite.world.ado.view().requests;
        all.retain(|record| record.identity.as_ref() == Some(&self.identity.name));
        all.into_iter().partition(|record| {
            let agent = record.user_agent.as_deref();
            agent.is_some_and(|name| name.starts_with(SIDECAR_CONTAINER))
        })
    }

    /// What its identity asked Entra for, oldest first.
    pub(crate) fn exchanges(&self) -> Vec<Exchange> {
        let mut all = self.case.suite.world.entra.view().exchanges;
        all.retain(|exchange| exchange.client_id.as_ref() == Some(&self.identity.client_id));
        all
    }

    /// Waits until the pod is over and its sidecar has ended, and answers how that went.
    pub(crate) async fn ended(&self) -> Result<Ending> {
        self.ended_within(LIMIT).await
    }

    /// The same for a pod that may take longer.
    pub(crate) async fn ended_within(&self, limit: Duration) -> Result<Ending> {
        self.until_within(limit, "it has ended", Self::ending).await
    }

    /// The sidecar must have removed its agent, with one request that succeeded, and it must be gone.
    pub(crate) fn removed_once(&self, ending: &Ending) -> Result<()> {
        ensure!(
            self.agent().is_none() && ending.removed() == 1,
            "removed once\n{}",
            ending.explain()
        );
        Ok(())
    }

    fn ending(&self) -> Option<Ending> {
        let (pod, left, is_gone) = {
            let seen = self.seen();
            (seen.pod.clone(), seen.left, seen.is_gone)
        };
        let is_over = ["Succeeded", "Failed"]
            .iter()
            .any(|phase| pod["status"]["phase"] == *phase);
        if !is_gone && !is_over {
            return None;
        }
        let log = std::fs::read(self.case.suite.node.log("containerd")).ok()?;
        let log = String::from_utf8_lossy(log.get(self.log_start..)?).into_owned();
        let stop = |container: &str| Stop::find(&log, &pod, container);
        let (agent, sidecar) = (stop(CONTAINER), stop(SIDECAR_CONTAINER));
        let still_runs = |container: &str, stop: &Stop| id_of(&pod, container).is_some() && stop.ended.is_none();
        if still_runs(CONTAINER, &agent) || still_runs(SIDECAR_CONTAINER, &sidecar) {
            return None;
        }
        Some(Ending {
            name: self.name.clone(),
            left,
            agent,
            sidecar,
            others: log,
            log: self.log(SIDECAR_CONTAINER),
            requests: self.requests(),
            pod,
        })
    }

    /// Everything about it that explains a failure.
    pub(crate) fn explain(&self) -> String {
        format!(
            "pod {}: {:#}\nlog of the sidecar:\n{}log of the agent:\n{}{}",
            self.name,
            self.pod()["status"],
            self.log(SIDECAR_CONTAINER),
            self.log(CONTAINER),
            azure_emulators::recording::summary(&self.requests())
        )
    }
}

/// Id of a container's newest run, as containerd knows it.
pub(crate) fn id_of(pod: &Value, container: &str) -> Option<String> {
    let id = container_status(pod, container)?["containerID"].as_str()?;
    id.strip_prefix("containerd://").map(str::to_owned)
}
