//! Job requests: what a pool has to do.

use super::{Endpoint, Operation, Right, Service, Subject, list};
use crate::ServerTime;
use crate::ado::route::{Route, VERSION};
use crate::ado::{AgentId, PoolId};
use http::Method;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// A job that was queued on a pool (`TaskAgentJobRequest`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRequest {
    /// Request ID.
    pub id: i64,
    /// Display name of the job.
    pub name: String,
    /// When it was queued.
    pub queued: Option<ServerTime>,
    /// When an agent was chosen for it.
    pub assigned: Option<ServerTime>,
    /// When the agent took it. A job with neither this nor a result waits in the queue.
    pub received: Option<ServerTime>,
    /// When it ended.
    pub finished: Option<ServerTime>,
    /// How it ended: `succeeded`, `succeededWithIssues`, `failed`, `canceled`, `skipped`, `abandoned` (its agent was lost).
    pub result: Option<String>,
    /// The agent that has or had it.
    pub agent: Option<AgentId>,
    /// Name of the pipeline.
    pub pipeline: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawJobRequest {
    request_id: i64,
    #[serde(default)]
    job_name: Option<String>,
    queue_time: Option<String>,
    assign_time: Option<String>,
    receive_time: Option<String>,
    finish_time: Option<String>,
    #[serde(default, deserialize_with = "task_result")]
    result: Option<String>,
    reserved_agent: Option<Reference>,
    definition: Option<Named>,
}

#[derive(Deserialize)]
struct Reference {
    id: i64,
}

#[derive(Deserialize)]
struct Named {
    name: Option<String>,
}

/// Results are words; older servers send the numbers of `TaskResult`.
fn task_result<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    const WORDS: [&str; 6] = [
        "succeeded",
        "succeededWithIssues",
        "failed",
        "canceled",
        "skipped",
        "abandoned",
    ];
    Ok(match Value::deserialize(deserializer)? {
        Value::String(word) => Some(word),
        Value::Number(number) => number
            .as_u64()
            .and_then(|number| WORDS.get(usize::try_from(number).ok()?))
            .map(|word| (*word).to_owned()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    })
}

impl RawJobRequest {
    pub(super) fn read(self) -> JobRequest {
        let time = |text: Option<String>| ServerTime::rfc3339(&text?);
        JobRequest {
            id: self.request_id,
            name: self.job_name.unwrap_or_default(),
            queued: time(self.queue_time),
            assigned: time(self.assign_time),
            received: time(self.receive_time),
            finished: time(self.finish_time),
            result: self.result,
            agent: self.reserved_agent.map(|agent| AgentId(agent.id)),
            pipeline: self.definition.and_then(|definition| definition.name),
        }
    }
}

/// Jobs of a pool: all that wait or run, and the latest that ended. The service lists 200 at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListJobRequests {
    /// The pool.
    pub pool: PoolId,
    /// How many of those that ended.
    pub completed: u32,
}

impl Operation for ListJobRequests {
    type Output = Vec<JobRequest>;

    fn name(&self) -> &'static str {
        "list-job-requests"
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint {
            service: Service::Main,
            route: Route {
                method: Method::GET,
                segments: vec![
                    "distributedtask".to_owned(),
                    "pools".to_owned(),
                    self.pool.0.to_string(),
                    "jobrequests".to_owned(),
                ],
                query: vec![
                    ("completedRequestCount", self.completed.to_string()),
                    // The resource was never released.
                    (VERSION.0, "7.1-preview.1".to_owned()),
                ],
                body: None,
            },
        }
    }

    fn read(&self, body: &[u8]) -> Option<Vec<JobRequest>> {
        Some(
            list::<RawJobRequest>(body)?
                .into_iter()
                .map(RawJobRequest::read)
                .collect(),
        )
    }

    fn action(&self) -> String {
        "list the jobs of the pool".to_owned()
    }

    fn subject(&self) -> Subject {
        Subject::Pool
    }

    fn right(&self) -> Right {
        Right::Reader
    }
}
