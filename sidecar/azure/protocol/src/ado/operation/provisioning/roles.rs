//! Roles on an organization's pool (`securityroles`, scope `distributedtask.agentpoolrole`).
//!
//! For an identity that the service does not know, or not yet, an assignment is no error: the response is a list without it.

use super::super::{Endpoint, Operation, Right, Service, Subject, list};
use super::{PREVIEW, endpoint};
use crate::ado::PoolId;
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

/// A role on a pool that this project gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PoolRole {
    /// May look at pool and queue.
    Reader,
    /// May register and remove agents.
    Administrator,
}

impl PoolRole {
    /// Its name as Azure DevOps writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reader => "Reader",
            Self::Administrator => "Administrator",
        }
    }
}

/// Who has which role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleAssignment {
    /// Identity ID in Azure DevOps.
    pub identity: String,
    /// Name of the role.
    pub role: String,
}

impl RoleAssignment {
    /// Whether it is this identity's.
    pub fn is_of(&self, identity: &str) -> bool {
        self.identity.eq_ignore_ascii_case(identity)
    }
}

/// Who has which role on a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListRoles {
    /// The pool.
    pub pool: PoolId,
}

/// Gives an identity a role on a pool, in place of the one that it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssignRole {
    /// The pool.
    pub pool: PoolId,
    /// Identity ID in Azure DevOps.
    pub identity: String,
    /// The role.
    pub role: PoolRole,
}

/// Takes an identity's role on a pool away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoveRole {
    /// The pool.
    pub pool: PoolId,
    /// Identity ID in Azure DevOps.
    pub identity: String,
}

#[derive(Deserialize)]
struct RawAssignment {
    identity: RawIdentity,
    role: RawRole,
}

#[derive(Deserialize)]
struct RawIdentity {
    id: String,
}

#[derive(Deserialize)]
struct RawRole {
    name: String,
}

fn assignments(body: &[u8]) -> Option<Vec<RoleAssignment>> {
    let read = |raw: RawAssignment| RoleAssignment {
        identity: raw.identity.id,
        role: raw.role.name,
    };
    Some(list::<RawAssignment>(body)?.into_iter().map(read).collect())
}

fn of_pool(pool: PoolId, method: Method, body: Option<Value>) -> Endpoint {
    let segments = [
        "securityroles",
        "scopes",
        "distributedtask.agentpoolrole",
        "roleassignments",
        "resources",
        &pool.0.to_string(),
    ];
    endpoint(Service::Main, method, &segments, &[PREVIEW], body)
}

impl Operation for ListRoles {
    type Output = Vec<RoleAssignment>;

    fn name(&self) -> &'static str {
        "list-roles"
    }

    fn endpoint(&self) -> Endpoint {
        of_pool(self.pool, Method::GET, None)
    }

    fn read(&self, body: &[u8]) -> Option<Vec<RoleAssignment>> {
        assignments(body)
    }

    fn action(&self) -> String {
        format!("list the roles on pool {}", self.pool.0)
    }

    fn subject(&self) -> Subject {
        Subject::Pool
    }

    fn right(&self) -> Right {
        Right::Reader
    }
}

impl Operation for AssignRole {
    /// What was given: nothing, where the service does not know the identity, or not yet.
    type Output = Vec<RoleAssignment>;

    fn name(&self) -> &'static str {
        "assign-role"
    }

    fn endpoint(&self) -> Endpoint {
        let body = json!([{"userId": self.identity, "roleName": self.role.as_str()}]);
        of_pool(self.pool, Method::PUT, Some(body))
    }

    fn read(&self, body: &[u8]) -> Option<Vec<RoleAssignment>> {
        assignments(body)
    }

    fn action(&self) -> String {
        format!("give the role {} on pool {}", self.role.as_str(), self.pool.0)
    }

    fn subject(&self) -> Subject {
        Subject::Pool
    }

    fn right(&self) -> Right {
        Right::PoolAdministrator
    }
}

impl Operation for RemoveRole {
    type Output = ();

    fn name(&self) -> &'static str {
        "remove-role"
    }

    fn endpoint(&self) -> Endpoint {
        of_pool(self.pool, Method::PATCH, Some(json!([self.identity])))
    }

    fn read(&self, _: &[u8]) -> Option<()> {
        Some(())
    }

    fn action(&self) -> String {
        format!("take the role on pool {} away", self.pool.0)
    }

    fn subject(&self) -> Subject {
        Subject::Pool
    }

    fn right(&self) -> Right {
        Right::PoolAdministrator
    }
}
