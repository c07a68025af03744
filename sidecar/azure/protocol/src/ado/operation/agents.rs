//! Agents: list and look at them.

use super::jobs::RawJobRequest;
use super::{Endpoint, JobRequest, Operation, Right, Service, Subject, list};
use crate::ServerTime;
use crate::ado::route::{Route, VERSION};
use crate::ado::{AgentId, PoolId, same_name};
use http::Method;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// An agent as an operator sees it (`TaskAgent`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskAgent {
    /// Its ID in the pool; `--replace` keeps it.
    pub id: AgentId,
    /// Its name.
    pub name: String,
    /// Version of the agent's software.
    pub version: Option<String>,
    /// Its operating system, in its own words.
    pub os: Option<String>,
    /// Whether it may get jobs.
    pub enabled: bool,
    /// Whether it has a session.
    pub online: bool,
    /// When it was added.
    pub created: Option<ServerTime>,
    /// When it last went online or offline.
    pub status_changed: Option<ServerTime>,
    /// The job that is assigned to it; `None` also where that was not asked for.
    pub assigned: Option<JobRequest>,
    /// The job that it did last; `None` also where that was not asked for.
    pub last_completed: Option<JobRequest>,
    /// What it says of itself; empty where that was not asked for.
    pub system_capabilities: BTreeMap<String, String>,
    /// What people added; empty where that was not asked for.
    pub user_capabilities: BTreeMap<String, String>,
}

impl TaskAgent {
    /// The ownership marker among its capabilities. A job can forge it: it proves nothing alone.
    pub fn marker(&self) -> Option<contract::Marker> {
        contract::Marker::parse(self.system_capabilities.get(contract::OWNER_VARIABLE)?).ok()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawAgent {
    id: i64,
    #[serde(default)]
    name: String,
    version: Option<String>,
    os_description: Option<String>,
    created_on: Option<String>,
    status_changed_on: Option<String>,
    enabled: Option<bool>,
    status: String,
    assigned_request: Option<RawJobRequest>,
    last_completed_request: Option<RawJobRequest>,
    system_capabilities: Option<BTreeMap<String, Value>>,
    user_capabilities: Option<BTreeMap<String, Value>>,
}

impl RawAgent {
    fn read(self) -> TaskAgent {
        let time = |text: Option<String>| ServerTime::rfc3339(&text?);
        TaskAgent {
            id: AgentId(self.id),
            name: self.name,
            version: self.version,
            os: self.os_description,
            enabled: self.enabled.unwrap_or(true),
            online: !self.status.eq_ignore_ascii_case("offline"),
            created: time(self.created_on),
            status_changed: time(self.status_changed_on),
            assigned: self.assigned_request.map(RawJobRequest::read),
            last_completed: self.last_completed_request.map(RawJobRequest::read),
            system_capabilities: texts(self.system_capabilities),
            user_capabilities: texts(self.user_capabilities),
        }
    }
}

fn texts(values: Option<BTreeMap<String, Value>>) -> BTreeMap<String, String> {
    let text = |value: Value| match value {
        Value::String(text) => text,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    };
    let values = values.unwrap_or_default().into_iter();
    values.map(|(name, value)| (name, text(value))).collect()
}

/// What a list of agents shows beside the plain members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Include {
    /// The job that is assigned to each.
    Assigned,
    /// That, and the job that each did last.
    AssignedAndCompleted,
    /// The same, and capabilities: some 9 kB for each agent.
    Everything,
}

impl Include {
    fn query(self) -> Vec<(&'static str, String)> {
        let flag = |name: &'static str, least: Self| (name, (self >= least).to_string());
        vec![
            flag("includeAssignedRequest", Self::Assigned),
            flag("includeLastCompletedRequest", Self::AssignedAndCompleted),
            flag("includeCapabilities", Self::Everything),
            (VERSION.0, VERSION.1.to_owned()),
        ]
    }
}

/// All agents of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListAgents {
    /// The pool.
    pub pool: PoolId,
    /// What to show of each.
    pub include: Include,
}

/// The agent of a name, with everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FindAgent {
    /// The pool.
    pub pool: PoolId,
    /// The name, without regard to case.
    pub name: String,
}

/// One agent, with everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GetAgent {
    /// The pool.
    pub pool: PoolId,
    /// The agent.
    pub agent: AgentId,
}

pub(super) fn endpoint(
    method: Method,
    pool: PoolId,
    agent: Option<AgentId>,
    query: Vec<(&'static str, String)>,
) -> Endpoint {
    let mut segments = vec![
        "distributedtask".to_owned(),
        "pools".to_owned(),
        pool.0.to_string(),
        "agents".to_owned(),
    ];
    segments.extend(agent.map(|agent| agent.0.to_string()));
    Endpoint {
        service: Service::Main,
        route: Route {
            method,
            segments,
            query,
            body: None,
        },
    }
}

pub(super) fn version() -> Vec<(&'static str, String)> {
    vec![(VERSION.0, VERSION.1.to_owned())]
}

pub(super) fn one(body: &[u8]) -> Option<TaskAgent> {
    serde_json::from_slice::<RawAgent>(body).ok().map(RawAgent::read)
}

impl Operation for ListAgents {
    type Output = Vec<TaskAgent>;

    fn name(&self) -> &'static str {
        "list-agents"
    }

    fn endpoint(&self) -> Endpoint {
        endpoint(Method::GET, self.pool, None, self.include.query())
    }

    fn read(&self, body: &[u8]) -> Option<Vec<TaskAgent>> {
        Some(list::<RawAgent>(body)?.into_iter().map(RawAgent::read).collect())
    }

    fn action(&self) -> String {
        "list the agents of the pool".to_owned()
    }

    fn subject(&self) -> Subject {
        Subject::Pool
    }

    fn right(&self) -> Right {
        Right::Reader
    }
}

impl Operation for FindAgent {
    type Output = Option<TaskAgent>;

    fn name(&self) -> &'static str {
        "find-agent"
    }

    fn endpoint(&self) -> Endpoint {
        let name = [("agentName", self.name.clone())];
        let query = name.into_iter().chain(Include::Everything.query()).collect();
        endpoint(Method::GET, self.pool, None, query)
    }

    fn read(&self, body: &[u8]) -> Option<Option<TaskAgent>> {
        // The server's own filter may be wider.
        let mut agents = list::<RawAgent>(body)?.into_iter();
        Some(
            agents
                .find(|agent| same_name(&agent.name, &self.name))
                .map(RawAgent::read),
        )
    }

    fn action(&self) -> String {
        format!("find agent \"{}\"", self.name)
    }

    fn subject(&self) -> Subject {
        Subject::Pool
    }

    fn right(&self) -> Right {
        Right::Reader
    }
}

impl Operation for GetAgent {
    type Output = TaskAgent;

    fn name(&self) -> &'static str {
        "get-agent"
    }

    fn endpoint(&self) -> Endpoint {
        endpoint(Method::GET, self.pool, Some(self.agent), Include::Everything.query())
    }

    fn read(&self, body: &[u8]) -> Option<TaskAgent> {
        one(body)
    }

    fn action(&self) -> String {
        format!("show agent {}", self.agent.0)
    }

    fn subject(&self) -> Subject {
        Subject::Pool
    }

    fn right(&self) -> Right {
        Right::Reader
    }
}
