//! The queue: jobs wait for a matching agent, stay with it until they end or their lock runs out, whoever died.

use super::state::{AgentState, Job, Message, PoolState, Session, Timing};
use crate::clock::Timestamp;
use crate::guid;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// A job to be queued. As JSON: `{"name": "build", "demands": ["docker"], "script": "sleep 3"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobSpec {
    /// Display name.
    #[serde(default = "a_job")]
    pub name: String,
    /// What an agent must have: `name`, `name -equals value`.
    #[serde(default)]
    pub demands: Vec<String>,
    /// The one step: a shell script. The result is `succeeded` where it exits with 0.
    #[serde(default = "no_script")]
    pub script: String,
}

fn a_job() -> String {
    "Job".to_owned()
}

fn no_script() -> String {
    "true".to_owned()
}

impl JobSpec {
    /// A job that runs a shell script.
    pub fn script(script: &str) -> Self {
        Self {
            name: a_job(),
            demands: Vec::new(),
            script: script.to_owned(),
        }
    }

    /// A job that takes this many seconds.
    pub fn seconds(seconds: f64) -> Self {
        Self::script(&format!("sleep {seconds}"))
    }

    /// With another name.
    pub fn named(mut self, name: &str) -> Self {
        self.name = name.to_owned();
        self
    }

    /// With one demand more.
    pub fn demanding(mut self, demand: &str) -> Self {
        self.demands.push(demand.to_owned());
        self
    }
}

/// Why a job was not queued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobRefused {
    /// The organization has no such pool.
    NoSuchPool,
    /// The pool holds no agent, online or offline, that satisfies the demands; with the service's sentence.
    NoAgent(String),
}

impl std::fmt::Display for JobRefused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoSuchPool => f.write_str("there is no such pool"),
            Self::NoAgent(sentence) => f.write_str(sentence),
        }
    }
}

impl std::error::Error for JobRefused {}

impl Job {
    pub(super) fn new(id: u64, spec: JobSpec, url: String, now: Timestamp) -> Self {
        Self {
            id,
            name: spec.name,
            demands: spec.demands,
            script: spec.script,
            job_id: guid::random(),
            plan_id: guid::random(),
            queued: now,
            assigned: None,
            received: None,
            locked_until: None,
            finished: None,
            result: None,
            agent: None,
            acknowledged: false,
            url,
            token: format!("job.{}.{}", guid::random(), guid::random()),
        }
    }

    /// With an agent, and not finished.
    pub(super) fn is_assigned(&self) -> bool {
        self.assigned.is_some() && self.finished.is_none()
    }

    pub(super) fn is_queued(&self) -> bool {
        self.assigned.is_none() && self.finished.is_none()
    }

    pub(super) fn finish(&mut self, result: &str, now: Timestamp) {
        self.finished = Some(now);
        self.result = Some(result.to_owned());
        self.locked_until = None;
    }

    /// Back to the queue, since its agent left before it took the message.
    pub(super) fn requeue(&mut self) {
        self.assigned = None;
        self.received = None;
        self.locked_until = None;
        self.agent = None;
    }

    /// The message that brings the job: the members of a real one that a stub agent needs, under their real names.
    fn message(&self, plan_version: u32) -> String {
        json!({
            "messageType": "PipelineAgentJobRequest",
            "plan": { "planId": self.plan_id, "planType": "Build", "version": plan_version, "scopeIdentifier": self.plan_id },
            "timeline": { "id": self.plan_id, "changeId": 1 },
            "jobId": self.job_id,
            "jobDisplayName": self.name,
            "jobName": "__default",
            "requestId": self.id,
            "lockedUntil": self.locked_until.map(Timestamp::iso),
            "resources": { "endpoints": [{
                "name": "SystemVssConnection",
                "url": format!("{}/", self.url),
                "authorization": { "scheme": "OAuth", "parameters": { "AccessToken": self.token } },
            }] },
            // What the listener and the worker of today, and those of 2019, read without asking whether it is there.
            "variables": {
                "system.serverType": { "value": "Hosted" },
                "system.collectionUri": { "value": format!("{}/", self.url) },
                "system.teamProjectId": { "value": self.plan_id },
                "system.definitionId": { "value": "1" },
                "build.buildId": { "value": self.id.to_string() },
            },
            "steps": [{
                "type": "task",
                "displayName": "script",
                "enabled": true,
                "reference": { "id": "d9bafed4-0b18-4f58-968d-86655b4d2ce9", "name": "CmdLine", "version": "2.250.1" },
                "inputs": { "script": self.script },
            }],
        })
        .to_string()
    }
}

impl Session {
    /// Puts a message into the session, which the agent gets with its next poll.
    fn send(&mut self, kind: &'static str, body: String, request: Option<u64>) {
        self.last_message += 1;
        self.messages.push(Message {
            id: self.last_message,
            kind,
            body,
            request,
        });
    }
}

impl PoolState {
    /// All agents, online or not, enabled or not, that satisfy the demands.
    pub(super) fn matching(&self, demands: &[String]) -> Vec<&AgentState> {
        self.agents
            .iter()
            .filter(|agent| demands.iter().all(|demand| agent.satisfies(demand)))
            .collect()
    }

    /// Refuses as the service does when nobody could ever run the job.
    pub(super) fn refuses(&self, spec: &JobSpec) -> Option<JobRefused> {
        self.matching(&spec.demands).is_empty().then(|| {
            JobRefused::NoAgent(format!(
                "No agent found in pool {} which satisfies the specified demands: {}",
                self.name,
                spec.demands.join(", ")
            ))
        })
    }

    /// Jobs whose lock has run out end as abandoned.
    pub(super) fn abandon_jobs(&mut self, now: Timestamp) {
        for job in &mut self.jobs {
            if job.is_assigned() && job.locked_until.is_some_and(|until| now >= until) {
                job.finish("abandoned", now);
            }
        }
    }

    /// Gives the oldest jobs to idle agents that are online and enabled.
    pub(super) fn assign_jobs(&mut self, now: Timestamp, timing: &Timing, plan_version: u32) {
        for index in 0..self.jobs.len() {
            if !self.jobs[index].is_queued() {
                continue;
            }
            let chosen = self
                .matching(&self.jobs[index].demands)
                .into_iter()
                .filter(|agent| agent.enabled && agent.session.is_some() && self.assigned(agent.id).is_none())
                .map(|agent| agent.id)
                .next();
            if let Some(agent) = chosen {
                self.assign(index, agent, now, timing, plan_version);
            }
        }
    }

    fn assign(&mut self, index: usize, agent: i64, now: Timestamp, timing: &Timing, plan_version: u32) {
        let Some(agent) = self.agents.iter_mut().find(|found| found.id == agent) else {
            return;
        };
        let job = &mut self.jobs[index];
        job.assigned = Some(now);
        job.locked_until = Some(now.plus(timing.lock));
        job.agent = Some((agent.id, agent.name.clone()));
        job.acknowledged = false;
        if let Some(session) = &mut agent.session {
            session.send("PipelineAgentJobRequest", job.message(plan_version), Some(job.id));
        }
    }

    /// Asks the agent that has a job to cancel it.
    pub(super) fn cancel(&mut self, job: u64) {
        let job = self.jobs.iter().find(|found| found.id == job && found.is_assigned());
        let Some((agent, id)) = job.and_then(|job| Some((job.agent.as_ref()?.0, job.job_id.clone()))) else {
            return;
        };
        if let Some(session) = self.agent_mut(agent).and_then(|agent| agent.session.as_mut()) {
            let body = json!({ "jobId": id, "timeout": "00:01:00" });
            session.send("JobCancellation", body.to_string(), None);
        }
    }

    /// Ends an agent's session. A job whose message it never took goes back to the queue; one that it took stays.
    pub(super) fn end_session(&mut self, agent: i64, now: Timestamp) {
        if let Some(found) = self.agent_mut(agent)
            && found.session.take().is_some()
        {
            found.status_changed = now;
        }
        for job in &mut self.jobs {
            let untaken = job.is_assigned() && !job.acknowledged;
            if untaken && job.agent.as_ref().is_some_and(|(id, _)| *id == agent) {
                job.requeue();
            }
        }
    }
}
