//! What may be asked that changes something: one value for the plan, for the dry run and for asking.

use super::az::Line;
use azure::AzureDevOps;
use azure_protocol::{
    AddAgent, AddServicePrincipal, AgentDescription, AgentId, AssignRole, CreatePool, DeleteAgent, DeletePool,
    Endpoint, Operation, PoolId, PoolRole, RemoveRole, RemoveServicePrincipal, ReplaceAgent,
};
use serde_json::{Value, json};

/// A pool, or the one that a dry run would have made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pool {
    /// It is there.
    Is(PoolId),
    /// It would be there by now.
    WouldBe,
}

/// Stands in a dry run for an ID that does not exist yet.
const UNKNOWN_POOL: &str = "POOL_ID";

/// One request that changes something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// A line of `az`.
    Az(Line),
    /// Makes a service principal a user.
    AddUser(AddServicePrincipal),
    /// Makes the pool.
    CreatePool(CreatePool),
    /// Gives a role.
    AssignRole {
        /// On which pool.
        pool: Pool,
        /// To whom, by identity ID.
        identity: String,
        /// Which.
        role: PoolRole,
    },
    /// Adds the placeholder.
    AddAgent(Pool, AgentDescription),
    /// Gives the placeholder other capabilities.
    ReplaceAgent(PoolId, AgentId, AgentDescription),
    /// Removes the placeholder.
    DeleteAgent(PoolId, AgentId),
    /// Takes a role away.
    RemoveRole(RemoveRole),
    /// Deletes the pool.
    DeletePool(DeletePool),
    /// Takes a user out of the organization.
    RemoveUser(RemoveServicePrincipal),
}

impl Change {
    /// The request, where it is one to Azure DevOps.
    fn endpoint(&self) -> Option<Endpoint> {
        Some(match self {
            Self::Az(_) => return None,
            Self::AddUser(operation) => operation.endpoint(),
            Self::CreatePool(operation) => operation.endpoint(),
            Self::AssignRole { pool, identity, role } => in_pool(*pool, |pool| {
                AssignRole {
                    pool,
                    identity: identity.clone(),
                    role: *role,
                }
                .endpoint()
            }),
            Self::AddAgent(pool, description) => in_pool(*pool, |pool| {
                AddAgent {
                    pool,
                    description: description.clone(),
                }
                .endpoint()
            }),
            Self::ReplaceAgent(pool, agent, description) => ReplaceAgent {
                pool: *pool,
                agent: *agent,
                description: description.clone(),
            }
            .endpoint(),
            Self::DeleteAgent(pool, agent) => DeleteAgent {
                pool: *pool,
                agent: *agent,
            }
            .endpoint(),
            Self::RemoveRole(operation) => operation.endpoint(),
            Self::DeletePool(operation) => operation.endpoint(),
            Self::RemoveUser(operation) => operation.endpoint(),
        })
    }

    /// How a person reads it, and a machine.
    pub(crate) fn shown(&self, client: Option<&AzureDevOps>) -> Shown {
        match (self, self.endpoint(), client) {
            (Self::Az(line), ..) => Shown::Az(line.to_string()),
            (_, Some(endpoint), Some(client)) => Shown::Request {
                method: endpoint.route.method.to_string(),
                url: client.address(&endpoint),
                body: endpoint.route.body,
            },
            // Never: without a client, Azure DevOps is not asked.
            (_, Some(_) | None, _) => Shown::Az(String::new()),
        }
    }
}

/// The endpoint in a pool, with a word in place of an ID that nobody knows yet.
fn in_pool(pool: Pool, endpoint: impl FnOnce(PoolId) -> Endpoint) -> Endpoint {
    match pool {
        Pool::Is(id) => endpoint(id),
        Pool::WouldBe => {
            let mut endpoint = endpoint(PoolId(0));
            for segment in &mut endpoint.route.segments {
                if segment == "0" {
                    UNKNOWN_POOL.clone_into(segment);
                }
            }
            endpoint
        }
    }
}

/// A change, printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shown {
    /// A line that can be typed.
    Az(String),
    /// A request to Azure DevOps.
    Request {
        /// Its method.
        method: String,
        /// Its URL.
        url: String,
        /// Its body.
        body: Option<Value>,
    },
}

impl Shown {
    /// For people.
    pub(crate) fn line(&self) -> String {
        match self {
            Self::Az(line) => line.clone(),
            Self::Request { method, url, body } => match body {
                Some(body) => format!("{method} {url} {body}"),
                None => format!("{method} {url}"),
            },
        }
    }

    /// For machines.
    pub(crate) fn json(&self) -> Value {
        match self {
            Self::Az(line) => json!({"az": line}),
            Self::Request { method, url, body } => json!({"method": method, "url": url, "body": body}),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_exist_yet_has_a_word_for_its_id() {
        let role = Change::AssignRole {
            pool: Pool::WouldBe,
            identity: "0".to_owned(),
            role: PoolRole::Reader,
        };
        let endpoint = role.endpoint().expect("a request");
        assert_eq!(endpoint.route.segments.last().map(String::as_str), Some("POOL_ID"));
        assert_eq!(endpoint.route.body.expect("a body")[0]["userId"], "0");
    }
}
