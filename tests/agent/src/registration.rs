//! One agent of a pool: found by its name, added, or updated in place.

use crate::capabilities;
use crate::client::{Error, Server, encoded};
use crate::{pause, say};
use anyhow::{Context, bail};
use reqwest::Method;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// What the agent tells the pool about itself.
pub(crate) struct Description<'a> {
    pub(crate) name: &'a str,
    pub(crate) version: &'a str,
    pub(crate) public_key: Value,
    pub(crate) capabilities: Map<String, Value>,
}

/// A registered agent, as the server described it.
pub(crate) struct Registered {
    pub(crate) answer: Value,
    pub(crate) replaced: bool,
}

/// What to do with an agent of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IfExists {
    Replace,
    Fail,
}

/// One turn of the registration loop; `None`: the update failed for good, the real one starts over.
pub(crate) async fn add_or_replace(
    server: &Server,
    pool: i64,
    agent: &Description<'_>,
    if_exists: IfExists,
) -> anyhow::Result<Option<Registered>> {
    let Some(mut found) = find_agent(server, pool, agent.name).await? else {
        let body = json!({
            "id": 0,
            "name": agent.name,
            "version": agent.version,
            "osDescription": capabilities::os_description(),
            "maxParallelism": 1,
            "provisioningState": "Provisioned",
            "authorization": { "publicKey": agent.public_key },
            "systemCapabilities": agent.capabilities,
            "createdOn": "0001-01-01T00:00:00",
            "status": 0,
        });
        let path = format!("_apis/distributedtask/pools/{pool}/agents");
        let answer = server.call(Method::POST, &path, Some(&body)).await?;
        return Ok(Some(Registered {
            answer,
            replaced: false,
        }));
    };
    if if_exists == IfExists::Fail {
        bail!("Pool {pool} already contains an agent with name {}.", agent.name);
    }
    let id = found["id"].as_i64().context("the agent that was found has no id")?;
    found["authorization"] = json!({ "publicKey": agent.public_key });
    found["version"] = agent.version.into();
    found["osDescription"] = capabilities::os_description().into();
    found["systemCapabilities"] = agent.capabilities.clone().into();
    let path = format!("_apis/distributedtask/pools/{pool}/agents/{id}");
    match update(server, &path, &found).await {
        Ok(answer) => Ok(Some(Registered { answer, replaced: true })),
        Err(error) => {
            say(&format!(
                "Failed to replace the agent. Try again or ctrl-c to quit: {error}"
            ));
            Ok(None)
        }
    }
}

/// `PUT`, three times where no answer comes.
async fn update(server: &Server, path: &str, agent: &Value) -> Result<Value, Error> {
    for seconds in [2, 4] {
        match server.once(Method::PUT, path, Some(agent)).await {
            Err(Error::Answer(_)) => tokio::time::sleep(pause(Duration::from_secs(seconds))).await,
            done => return done,
        }
    }
    server.once(Method::PUT, path, Some(agent)).await
}

pub(crate) async fn find_agent(server: &Server, pool: i64, name: &str) -> Result<Option<Value>, Error> {
    let query = format!("agentName={}&includeCapabilities=False", encoded(name));
    let agents = server
        .get(&format!("_apis/distributedtask/pools/{pool}/agents?{query}"))
        .await?;
    Ok(agents["value"].get(0).cloned())
}
