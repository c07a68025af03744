//! Agents: add, replace, delete them.

use super::agents::{endpoint, one, version};
use super::{Endpoint, Operation, Right, Subject, TaskAgent};
use crate::ado::{AgentId, PoolId};
use http::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Removes an agent. The service refuses while a job is assigned to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeleteAgent {
    /// The pool.
    pub pool: PoolId,
    /// The agent.
    pub agent: AgentId,
}

/// What a new agent says of itself. It has no key: it can never listen, only hold a place in the pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentDescription {
    /// Name.
    pub name: String,
    /// Version of the agent's software, which demands may name.
    pub version: String,
    /// Operating system, in the agent's words.
    pub os: String,
    /// What it says of itself.
    pub system_capabilities: BTreeMap<String, String>,
    /// What people added.
    pub user_capabilities: BTreeMap<String, String>,
}

/// Adds an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddAgent {
    /// The pool.
    pub pool: PoolId,
    /// The agent.
    pub description: AgentDescription,
}

/// Replaces what an agent says of itself; ID, name and history stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplaceAgent {
    /// The pool.
    pub pool: PoolId,
    /// The agent.
    pub agent: AgentId,
    /// What it says from now on.
    pub description: AgentDescription,
}

impl Operation for DeleteAgent {
    type Output = ();

    fn name(&self) -> &'static str {
        "delete-agent"
    }

    fn endpoint(&self) -> Endpoint {
        endpoint(Method::DELETE, self.pool, Some(self.agent), version())
    }

    fn read(&self, _: &[u8]) -> Option<()> {
        Some(())
    }

    fn action(&self) -> String {
        format!("remove agent {}", self.agent.0)
    }

    fn subject(&self) -> Subject {
        Subject::Pool
    }

    fn right(&self) -> Right {
        Right::PoolAdministrator
    }
}

impl AgentDescription {
    fn body(&self, agent: Option<AgentId>) -> Value {
        let mut body = json!({
            "name": self.name,
            "version": self.version,
            "osDescription": self.os,
            "maxParallelism": 1,
            "provisioningState": "Provisioned",
            "systemCapabilities": self.system_capabilities,
            "userCapabilities": self.user_capabilities,
        });
        if let (Some(AgentId(id)), Some(body)) = (agent, body.as_object_mut()) {
            body.insert("id".to_owned(), id.into());
        }
        body
    }
}

impl Operation for AddAgent {
    type Output = TaskAgent;

    fn name(&self) -> &'static str {
        "add-agent"
    }

    fn endpoint(&self) -> Endpoint {
        let mut endpoint = endpoint(Method::POST, self.pool, None, version());
        endpoint.route.body = Some(self.description.body(None));
        endpoint
    }

    fn read(&self, body: &[u8]) -> Option<TaskAgent> {
        one(body)
    }

    fn action(&self) -> String {
        format!("add agent \"{}\"", self.description.name)
    }

    fn subject(&self) -> Subject {
        Subject::Pool
    }

    fn right(&self) -> Right {
        Right::PoolAdministrator
    }
}

impl Operation for ReplaceAgent {
    type Output = TaskAgent;

    fn name(&self) -> &'static str {
        "replace-agent"
    }

    fn endpoint(&self) -> Endpoint {
        let mut endpoint = endpoint(Method::PUT, self.pool, Some(self.agent), version());
        endpoint.route.body = Some(self.description.body(Some(self.agent)));
        endpoint
    }

    fn read(&self, body: &[u8]) -> Option<TaskAgent> {
        one(body)
    }

    fn action(&self) -> String {
        format!("change agent {}", self.agent.0)
    }

    fn subject(&self) -> Subject {
        Subject::Pool
    }

    fn right(&self) -> Right {
        Right::PoolAdministrator
    }
}
