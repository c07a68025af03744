//! Watches everything and says what changed, in words of the people who use it.

use super::stage::{AGENT, Stage};
use super::teller::Teller;
use crate::kubelet::{Event, Pod, PodState, What};
use azure_emulators::ado::{Ado, AgentView, JobState};
use azure_emulators::entra::Entra;
use contract::SIDECAR_CONTAINER;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Tells what happens on a stage until it is dropped.
pub struct Narrator {
    eyes: Arc<Mutex<Eyes>>,
    task: JoinHandle<()>,
}

/// What was seen so far.
struct Eyes {
    teller: Teller,
    ado: Ado,
    entra: Entra,
    pods: Vec<Followed>,
    agents: BTreeMap<i64, AgentView>,
    jobs: BTreeMap<u64, (JobState, Option<String>)>,
    exchanges: usize,
}

struct Followed {
    name: String,
    /// Whether it was deleted: then its phase tells nothing.
    deleted: bool,
    state: watch::Receiver<PodState>,
    told: usize,
}

impl Narrator {
    /// Begins to watch.
    pub fn start(stage: &Stage, teller: &Teller) -> Self {
        let eyes = Arc::new(Mutex::new(Eyes {
            teller: teller.clone(),
            ado: stage.world.ado.clone(),
            entra: stage.world.entra.clone(),
            pods: Vec::new(),
            agents: BTreeMap::new(),
            jobs: BTreeMap::new(),
            exchanges: 0,
        }));
        let watched = eyes.clone();
        let task = tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(30)).await;
                watched.lock().expect("the narrator does not panic").look();
            }
        });
        Self { eyes, task }
    }

    /// Follows a pod, too.
    pub fn follow(&self, pod: &Pod) {
        let mut eyes = self.eyes.lock().expect("the narrator does not panic");
        eyes.pods.push(Followed {
            name: pod.name().to_owned(),
            deleted: false,
            state: pod.watch(),
            told: 0,
        });
    }

    /// Tells what is not told yet.
    pub fn catch_up(&self) {
        self.eyes.lock().expect("the narrator does not panic").look();
    }
}

impl Drop for Narrator {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Eyes {
    fn look(&mut self) {
        self.look_at_entra();
        self.look_at_the_pools();
        for pod in &mut self.pods {
            let events: Vec<Event> = pod.state.borrow().events.iter().skip(pod.told).cloned().collect();
            pod.told += events.len();
            for event in events {
                pod.deleted |= matches!(event.what, What::Deleted { .. });
                tell_event(&self.teller, pod, &event);
            }
        }
    }

    fn look_at_entra(&mut self) {
        let exchanges = self.entra.view().exchanges;
        for exchange in &exchanges[self.exchanges..] {
            let subject = exchange.subject.as_deref().unwrap_or("nobody");
            let what = match (exchange.code, &exchange.name) {
                (Some(code), _) => format!("refuses {subject}: AADSTS{code}"),
                (None, Some(name)) => format!("trusts {subject}: a token for Azure DevOps, as {name}"),
                (None, None) => format!("trusts {subject}: a token for Azure DevOps"),
            };
            self.teller.say("Entra", &what);
        }
        self.exchanges = exchanges.len();
    }

    fn look_at_the_pools(&mut self) {
        let view = self.ado.view();
        let agents: BTreeMap<i64, AgentView> = view
            .pools
            .iter()
            .flat_map(|pool| &pool.agents)
            .map(|agent| (agent.id, agent.clone()))
            .collect();
        for (id, agent) in &agents {
            self.tell_agent(*id, agent);
        }
        for job in view.pools.iter().flat_map(|pool| &pool.jobs) {
            let now = (job.state, job.result.clone());
            if self.jobs.get(&job.id) != Some(&now) {
                let name = &job.name;
                let agent = job.agent.as_deref().unwrap_or("nobody");
                self.teller.say(
                    "Azure DevOps",
                    &match job.state {
                        JobState::Queued => format!("job {name} waits for an agent"),
                        JobState::Assigned => format!("job {name} is assigned to {agent}"),
                        JobState::Finished => {
                            format!("job {name} has {} on {agent}", now.1.as_deref().unwrap_or("ended"))
                        }
                    },
                );
                self.jobs.insert(job.id, now);
            }
        }
        for (id, agent) in &self.agents {
            if !agents.contains_key(id) {
                let what = format!("agent {} (id {id}) is gone from the pool", agent.name);
                self.teller.say("Azure DevOps", &what);
            }
        }
        self.agents = agents;
    }

    fn tell_agent(&self, id: i64, agent: &AgentView) {
        let say = |what: String| self.teller.say("Azure DevOps", &what);
        let name = &agent.name;
        let before = self.agents.get(&id);
        if before.is_none() {
            say(format!("agent {name} is registered (id {id})"));
        }
        let (online, enabled) = before.map_or((false, true), |before| (before.online, before.enabled));
        match (online, agent.online) {
            (false, true) => say(format!("agent {name} is online")),
            (true, false) => say(format!("agent {name} is offline")),
            (true, true) | (false, false) => {}
        }
        match (enabled, agent.enabled) {
            (true, false) => say(format!("agent {name} gets no more jobs (disabled)")),
            (false, true) => say(format!("agent {name} gets jobs again")),
            (true, true) | (false, false) => {}
        }
    }
}

fn tell_event(teller: &Teller, pod: &Followed, event: &Event) {
    let container = match event.container.as_str() {
        "" => format!("pod {}", pod.name),
        SIDECAR_CONTAINER => "the sidecar".to_owned(),
        AGENT => "the agent container".to_owned(),
        other => format!("container {other}"),
    };
    let is_sidecar = event.container == SIDECAR_CONTAINER;
    let (who, what) = match &event.what {
        What::Started => ("kubelet", format!("starts {container}")),
        What::ConfigError(error) => ("kubelet", format!("cannot start {container}: {error}")),
        What::ProbeFailed(output) => ("sidecar", output.clone()),
        What::ProbePassed => (
            "sidecar",
            "there is a token, pool and role are checked: the agent may start".to_owned(),
        ),
        What::Ready => ("kubelet", format!("pod {} is ready", pod.name)),
        What::NotReady(output) => ("kubelet", format!("pod {} is not ready: {output}", pod.name)),
        What::ProbeGaveUp => (
            "kubelet",
            format!("gives {container} up: its startup probe failed too often"),
        ),
        What::Ended(ended) if is_sidecar && !ended.message.is_empty() => ("sidecar", ended.message.clone()),
        What::Ended(ended) => (
            "kubelet",
            format!("{container} has ended with {}", exit_code(ended.code)),
        ),
        What::BackOff(pause) if pause.is_zero() => return,
        What::BackOff(pause) => (
            "kubelet",
            format!("starts {container} again in {} ms", pause.as_millis()),
        ),
        What::HookStarted => (
            "kubelet",
            format!("tells {container} that the pod is leaving (preStop)"),
        ),
        What::HookEnded { cut_off: false } => return,
        What::HookEnded { cut_off: true } => ("kubelet", format!("cuts the preStop hook of {container} off")),
        What::Terminated { patience } => (
            "kubelet",
            format!("SIGTERM to {container}; it has {} s", patience.as_secs()),
        ),
        What::Killed => ("kubelet", format!("SIGKILL to {container}")),
        What::Deleted { grace } => (
            "kubelet",
            format!(
                "{container} is being deleted; its grace period is {} s",
                grace.as_secs()
            ),
        ),
        What::Over(_) if pod.deleted => ("kubelet", format!("nothing of {container} runs any more; it is gone")),
        What::Over(phase) => ("kubelet", format!("nothing of {container} runs any more: {phase:?}")),
    };
    teller.say(who, &what);
}

/// The code, and what it stands for where a signal ended the process.
fn exit_code(code: i32) -> String {
    match code {
        137 => "code 137 (SIGKILL)".to_owned(),
        143 => "code 143 (SIGTERM)".to_owned(),
        other => format!("code {other}"),
    }
}
