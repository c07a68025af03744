//! Pools.

use super::{Endpoint, Operation, Right, Service, Subject, list};
use crate::ado::route::{Route, VERSION};
use crate::ado::{PoolId, same_name};
use http::Method;
use serde::Deserialize;

/// An agent pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentPool {
    /// Its ID.
    pub id: PoolId,
    /// Its name.
    pub name: String,
}

/// Pools that the identity may see: all, or the one of a name. A pool that it may not see is not in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPools {
    /// Exact name, without regard to case.
    pub name: Option<String>,
}

#[derive(Deserialize)]
struct RawPool {
    id: i64,
    #[serde(default)]
    name: String,
}

impl Operation for ListPools {
    type Output = Vec<AgentPool>;

    fn name(&self) -> &'static str {
        "list-pools"
    }

    fn endpoint(&self) -> Endpoint {
        let name = self.name.iter().map(|name| ("poolName", name.clone()));
        let version = [(VERSION.0, VERSION.1.to_owned())];
        Endpoint {
            service: Service::Main,
            route: Route {
                method: Method::GET,
                segments: ["distributedtask", "pools"].map(str::to_owned).to_vec(),
                query: name.chain(version).collect(),
                body: None,
            },
        }
    }

    fn read(&self, body: &[u8]) -> Option<Vec<AgentPool>> {
        // The server's own filter may be wider.
        let wanted = |pool: &RawPool| self.name.as_ref().is_none_or(|name| same_name(name, &pool.name));
        let pools = list::<RawPool>(body)?.into_iter().filter(wanted);
        Some(
            pools
                .map(|pool| AgentPool {
                    id: PoolId(pool.id),
                    name: pool.name,
                })
                .collect(),
        )
    }

    fn action(&self) -> String {
        match &self.name {
            Some(name) => format!("find pool \"{name}\""),
            None => "list the pools".to_owned(),
        }
    }

    fn subject(&self) -> Subject {
        Subject::Organization
    }

    fn right(&self) -> Right {
        Right::Reader
    }
}
