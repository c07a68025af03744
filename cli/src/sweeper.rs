//! Performs what a run of the sweep asks for: questions to the API server and to Azure DevOps, and removals.

use crate::agent_pods;
use crate::fleet::{PoolReading, listed};
use crate::session::Session;
use azure_protocol::{AdoErrorKind, DeleteAgent, GetAgent, ServerTime};
use contract::Foreign;
use kube::Client;
use serde_json::{Value, json};
use sweep::{AgentAnswer, Decision, DeleteAnswer, Ledger, Mode, Pod, Run, Settings, Step, Verdict};

/// Who asks.
pub struct Sweeper<'a> {
    /// Azure DevOps.
    pub session: &'a Session,
    /// The API server.
    pub client: &'a Client,
    /// What the operator decides.
    pub settings: &'a Settings,
    /// Whether agents are removed.
    pub mode: Mode,
}

/// What a run said.
#[derive(Debug)]
pub struct Swept {
    /// Of agents.
    pub verdicts: Vec<Verdict>,
    /// Why it ended early, if it did.
    pub stopped: Option<String>,
}

impl Sweeper<'_> {
    /// One run over one pool.
    pub async fn run(&self, ledger: &mut Ledger, reading: &PoolReading, pods: &[Pod]) -> Swept {
        let pool = reading.pool.name.as_str();
        let mut run = Run::new(ledger, &reading.listing(), pods, self.settings, self.mode);
        loop {
            match run.next() {
                Step::GetPod { namespace, name } => run.pod(agent_pods::ask(self.client, &namespace, &name).await),
                Step::GetAgent(pool_id, agent) => {
                    let get = GetAgent { pool: pool_id, agent };
                    run.agent(match self.session.ask(pool, &get).await {
                        Ok(asked) => {
                            let marker = asked.value.marker().ok_or(Foreign);
                            match asked.date {
                                Some(date) => AgentAnswer::Present(Box::new(listed(&asked.value, Some(marker))), date),
                                None => AgentAnswer::Unreadable("an answer of Azure DevOps has no Date".to_owned()),
                            }
                        }
                        Err(failure) if failure.kind() == Some(AdoErrorKind::NotFound) => AgentAnswer::Gone,
                        Err(failure) => AgentAnswer::Unreadable(failure.to_string()),
                    });
                }
                Step::Delete(pool_id, agent) => {
                    let delete = DeleteAgent { pool: pool_id, agent };
                    run.deleted(match self.session.ask(pool, &delete).await {
                        Ok(_) => DeleteAnswer::Removed,
                        Err(failure) => match failure.kind() {
                            Some(AdoErrorKind::NotFound) => DeleteAnswer::Gone,
                            Some(AdoErrorKind::JobRunning) => DeleteAnswer::Busy,
                            Some(_) | None => DeleteAnswer::Failed(failure.to_string()),
                        },
                    });
                }
                Step::Done => break,
            }
        }
        let (verdicts, stopped) = run.finish();
        Swept { verdicts, stopped }
    }
}

/// What a person would type to remove an agent that the sweep does not.
pub fn command(url: &str, verdict: &Verdict) -> String {
    format!(
        "az devops invoke --org {url} --area distributedtask --resource agents --route-parameters poolId={} agentId={} \
         --http-method DELETE --api-version 7.1",
        verdict.pool.0, verdict.agent.0
    )
}

/// A verdict for machines.
pub fn json(url: &str, pool: &str, verdict: &Verdict) -> Value {
    let mut value = json!({
        "pool": pool,
        "agent": verdict.name,
        "agentId": verdict.agent.0,
        "namespace": verdict.pod.namespace,
        "pod": verdict.pod.name,
        "podUid": verdict.pod.uid,
        "statusChanged": verdict.status_changed.map(|ServerTime(seconds)| seconds),
        "decision": verdict.decision.word(),
    });
    match &verdict.decision {
        Decision::Unknown => value["command"] = command(url, verdict).into(),
        Decision::Failed(problem) => value["problem"] = problem.as_str().into(),
        Decision::WouldRemove | Decision::Removed | Decision::AlreadyGone | Decision::Kept(_) | Decision::Clash => {}
    }
    value
}
