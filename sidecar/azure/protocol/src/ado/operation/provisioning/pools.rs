//! Pools: find, make, delete; and which agent is the newest.

use super::super::{Endpoint, ListPools, Operation, Right, Service, Subject, list};
use super::endpoint;
use crate::ado::route::VERSION;
use crate::ado::{PoolId, same_name};
use http::Method;
use serde::Deserialize;
use serde_json::json;

/// A pool with the settings that matter to agents in containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolSettings {
    /// Its ID.
    pub id: PoolId,
    /// Its name.
    pub name: String,
    /// Whether every new project gets the pool.
    pub auto_provision: bool,
    /// Whether agents are told to replace themselves with a newer version.
    pub auto_update: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawPool {
    id: i64,
    #[serde(default)]
    name: String,
    auto_provision: Option<bool>,
    auto_update: Option<bool>,
}

impl From<RawPool> for PoolSettings {
    fn from(pool: RawPool) -> Self {
        Self {
            id: PoolId(pool.id),
            name: pool.name,
            auto_provision: pool.auto_provision.unwrap_or(false),
            auto_update: pool.auto_update.unwrap_or(false),
        }
    }
}

/// The pool of a name; a pool that the identity may not see is not found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FindPool {
    /// The name, without regard to case.
    pub name: String,
}

/// Makes a pool that no project gets by itself and whose agents do not replace themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatePool {
    /// Its name.
    pub name: String,
}

/// Deletes a pool, with all that is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletePool {
    /// The pool.
    pub pool: PoolId,
}

/// The version of the newest agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewestAgent;

const POOLS: [&str; 2] = ["distributedtask", "pools"];

impl FindPool {
    /// The same request; who makes pools reads more of the answer, and has other rights to ask for.
    fn list(&self) -> ListPools {
        ListPools {
            name: Some(self.name.clone()),
        }
    }
}

impl Operation for FindPool {
    type Output = Option<PoolSettings>;

    fn name(&self) -> &'static str {
        "find-pool"
    }

    fn endpoint(&self) -> Endpoint {
        self.list().endpoint()
    }

    fn read(&self, body: &[u8]) -> Option<Self::Output> {
        let mut pools = list::<RawPool>(body)?.into_iter();
        Some(
            pools
                .find(|pool| same_name(&pool.name, &self.name))
                .map(PoolSettings::from),
        )
    }

    fn action(&self) -> String {
        self.list().action()
    }

    fn subject(&self) -> Subject {
        Subject::Organization
    }

    fn right(&self) -> Right {
        Right::AllPoolsAdministrator
    }
}

impl Operation for CreatePool {
    type Output = PoolSettings;

    fn name(&self) -> &'static str {
        "create-pool"
    }

    fn endpoint(&self) -> Endpoint {
        let body = json!({"name": self.name, "autoProvision": false, "autoUpdate": false});
        endpoint(Service::Main, Method::POST, &POOLS, &[VERSION], Some(body))
    }

    fn read(&self, body: &[u8]) -> Option<PoolSettings> {
        serde_json::from_slice::<RawPool>(body).ok().map(PoolSettings::from)
    }

    fn action(&self) -> String {
        format!("make pool \"{}\"", self.name)
    }

    fn subject(&self) -> Subject {
        Subject::Organization
    }

    fn right(&self) -> Right {
        Right::AllPoolsAdministrator
    }
}

impl Operation for DeletePool {
    type Output = ();

    fn name(&self) -> &'static str {
        "delete-pool"
    }

    fn endpoint(&self) -> Endpoint {
        let pool = self.pool.0.to_string();
        endpoint(
            Service::Main,
            Method::DELETE,
            &[POOLS[0], POOLS[1], &pool],
            &[VERSION],
            None,
        )
    }

    fn read(&self, _: &[u8]) -> Option<()> {
        Some(())
    }

    fn action(&self) -> String {
        format!("delete pool {}", self.pool.0)
    }

    fn subject(&self) -> Subject {
        Subject::Pool
    }

    fn right(&self) -> Right {
        Right::PoolAdministrator
    }
}

#[derive(Deserialize)]
struct RawPackage {
    version: RawVersion,
}

#[derive(Deserialize)]
struct RawVersion {
    major: u32,
    minor: u32,
    patch: u32,
}

impl Operation for NewestAgent {
    /// `None`: the service knows of no agent.
    type Output = Option<String>;

    fn name(&self) -> &'static str {
        "newest-agent"
    }

    fn endpoint(&self) -> Endpoint {
        endpoint(
            Service::Main,
            Method::GET,
            &["distributedtask", "packages", "agent"],
            &[("platform", "linux-x64"), ("top", "1"), ("api-version", "7.1-preview")],
            None,
        )
    }

    fn read(&self, body: &[u8]) -> Option<Self::Output> {
        let newest = list::<RawPackage>(body)?.into_iter().next();
        Some(newest.map(|RawPackage { version }| format!("{}.{}.{}", version.major, version.minor, version.patch)))
    }

    fn action(&self) -> String {
        "say which agent is the newest".to_owned()
    }

    fn subject(&self) -> Subject {
        Subject::Organization
    }

    fn right(&self) -> Right {
        Right::Reader
    }
}
