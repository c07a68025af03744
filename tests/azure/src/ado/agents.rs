//! Agents over REST: list, add, replace, change, delete.

use super::auth::Caller;
use super::call::{Call, list};
use super::errors::Refusal;
use super::jobs::MatchedAgents;
use super::rights::{LISTEN, MANAGE, VIEW};
use super::state::{AgentState, Client, Job, PoolState};
use super::{Ado, Behavior};
use crate::clock::Timestamp;
use crate::guid;
use crate::http::{Reply, Request};
use crate::jwt::PublicKey;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

impl Ado {
    pub(super) fn list_agents(&self, call: &Call<'_>, pool: i64) -> Result<Reply, Refusal> {
        let state = self.lock();
        let pool = call.pool(&state, pool, VIEW)?;
        let name = call.request.parameter("agentName");
        let demands: Vec<&str> = match call.request.parameter("demands") {
            Some(demands) => demands
                .split(',')
                .map(str::trim)
                .filter(|demand| !demand.is_empty())
                .collect(),
            None => Vec::new(),
        };
        let include = Include::asked_by(call.request);
        let agents = pool.agents.iter().filter(|agent| {
            name.is_none_or(|name| agent.name.eq_ignore_ascii_case(name))
                && demands.iter().all(|demand| agent.satisfies(demand))
        });
        Ok(list(&agents.map(|agent| agent.json(pool, include)).collect::<Vec<_>>()))
    }

    pub(super) fn get_agent(&self, call: &Call<'_>, pool: i64, agent: i64) -> Result<Reply, Refusal> {
        let state = self.lock();
        let pool = call.pool(&state, pool, VIEW)?;
        let found = find(pool, agent)?;
        Ok(Reply::json(200, &found.json(pool, Include::asked_by(call.request))))
    }

    pub(super) fn add_agent(&self, call: &Call<'_>, pool: i64) -> Result<Reply, Refusal> {
        let body = call.body()?;
        let mut state = self.lock();
        call.pool(&state, pool, MANAGE)?;
        let name = text(&body, "name").unwrap_or_default();
        if name.is_empty() || name.chars().any(|char| "\"/:<>\\|*?".contains(char)) {
            return Err(Refusal::bad_argument(format!("The agent name '{name}' is not valid.")));
        }
        let id = call.organization_mut(&mut state).next_id();
        let pool = call.pool_mut(&mut state, pool, MANAGE)?;
        if pool.agents.iter().any(|agent| agent.name.eq_ignore_ascii_case(&name)) {
            return Err(Refusal::agent_exists(pool.id, &name));
        }
        let mut agent = AgentState::listing_only(id, &name, BTreeMap::new(), call.now);
        agent.enabled = body.get("enabled").and_then(Value::as_bool).unwrap_or(true);
        agent.describe(&body);
        agent.set_key(&body, call.target.token_url())?;
        let registered = agent.json(pool, Include::ALL);
        pool.agents.push(agent);
        Ok(self.registration(call, &state.behavior, registered))
    }

    /// Replaces the key and what the agent says about itself; id, name, `enabled` and history stay.
    pub(super) fn replace_agent(&self, call: &Call<'_>, pool: i64, agent: i64) -> Result<Reply, Refusal> {
        let body = call.body()?;
        let mut state = self.lock();
        let behavior = state.behavior.clone();
        let pool = call.pool_mut(&mut state, pool, MANAGE)?;
        find(pool, agent)?;
        if behavior.replace_ends_session {
            pool.end_session(agent, call.now);
        }
        let name = text(&body, "name");
        let found = pool.agent_mut(agent).expect("it was found a moment ago");
        if name.is_some_and(|name| !name.eq_ignore_ascii_case(&found.name)) {
            return Err(Refusal::bad_argument("An agent keeps its name when it is replaced."));
        }
        found.describe(&body);
        found.set_key(&body, call.target.token_url())?;
        let registered = find(pool, agent)?.json(pool, Include::ALL);
        Ok(self.registration(call, &behavior, registered))
    }

    /// The answer to a registration.
    fn registration(&self, call: &Call<'_>, behavior: &Behavior, mut agent: Value) -> Reply {
        if behavior.server_url_property {
            // Properties are typed (actions/runner `PropertiesCollection.cs`).
            agent["properties"] = json!({
                "ServerUrl": { "$type": "System.String", "$value": call.target.collection_url() },
            });
        }
        Reply::json(200, &agent)
    }

    /// Changes single members, `enabled` above all.
    pub(super) fn change_agent(&self, call: &Call<'_>, pool: i64, agent: i64) -> Result<Reply, Refusal> {
        let body = call.body()?;
        let mut state = self.lock();
        let pool = call.pool_mut(&mut state, pool, MANAGE)?;
        find(pool, agent)?;
        if body.get("id").and_then(Value::as_i64).is_some_and(|id| id != agent) {
            return Err(Refusal::bad_argument("The id in the body is not the one in the path."));
        }
        let found = pool.agent_mut(agent).expect("it was found a moment ago");
        if let Some(enabled) = body.get("enabled").and_then(Value::as_bool) {
            found.enabled = enabled;
        }
        if let Some(parallel) = body.get("maxParallelism").and_then(Value::as_i64) {
            found.max_parallelism = parallel;
        }
        let found = find(pool, agent)?;
        Ok(Reply::json(200, &found.json(pool, Include::ALL)))
    }

    /// 204 (AzureDevOpsAPIUtils `Remove-AzureDevOpsAgent.ps1`), for an idle agent also while it is online
    /// (azure-pipelines-agent#126, #2887).
    pub(super) fn delete_agent(&self, call: &Call<'_>, pool: i64, agent: i64) -> Result<Reply, Refusal> {
        let mut state = self.lock();
        let pool = call.pool_mut(&mut state, pool, MANAGE)?;
        let found = find(pool, agent)?;
        if pool.assigned(agent).is_some() {
            return Err(Refusal::job_still_running(&pool.name, &found.name));
        }
        pool.agents.retain(|found| found.id != agent);
        Ok(Reply::empty(204))
    }

    /// `PUT agents/{id}/updates?currentState=…`: an agent reports on its self-update.
    pub(super) fn update_state(&self, call: &Call<'_>, pool: i64, agent: i64) -> Result<Reply, Refusal> {
        let state = self.lock();
        let pool = call.pool(&state, pool, LISTEN)?;
        let found = find(pool, agent)?;
        Ok(Reply::json(200, &found.json(pool, Include::NOTHING)))
    }

    /// `PUT agents/{id}/usercapabilities`: the body replaces them.
    pub(super) fn user_capabilities(&self, call: &Call<'_>, pool: i64, agent: i64) -> Result<Reply, Refusal> {
        let body = call.body()?;
        let mut state = self.lock();
        let pool = call.pool_mut(&mut state, pool, MANAGE)?;
        find(pool, agent)?;
        pool.agent_mut(agent).expect("it was found a moment ago").user = texts(Some(&body));
        let found = find(pool, agent)?;
        Ok(Reply::json(200, &found.json(pool, Include::ALL)))
    }
}

pub(super) fn find(pool: &PoolState, agent: i64) -> Result<&AgentState, Refusal> {
    pool.agent(agent)
        .ok_or_else(|| Refusal::agent_not_found(&pool.name, agent))
}

/// What a request wants to see beside the plain members.
#[derive(Clone, Copy)]
pub(super) struct Include {
    capabilities: bool,
    assigned: bool,
    completed: bool,
}

impl Include {
    const ALL: Self = Self {
        capabilities: true,
        assigned: true,
        completed: true,
    };
    pub(super) const NOTHING: Self = Self {
        capabilities: false,
        assigned: false,
        completed: false,
    };

    fn asked_by(request: &Request) -> Self {
        Self {
            capabilities: request.flag("includeCapabilities"),
            assigned: request.flag("includeAssignedRequest"),
            completed: request.flag("includeLastCompletedRequest"),
        }
    }
}

impl AgentState {
    /// An agent without a key.
    pub(super) fn listing_only(id: i64, name: &str, system: BTreeMap<String, String>, now: Timestamp) -> Self {
        Self {
            id,
            name: name.to_owned(),
            version: "4.255.0".to_owned(),
            os: "Linux".to_owned(),
            enabled: true,
            max_parallelism: 1,
            provisioning: "Provisioned".to_owned(),
            created: now,
            status_changed: now,
            system,
            user: BTreeMap::new(),
            client: None,
            session: None,
        }
    }

    /// Takes over what an agent says about itself.
    fn describe(&mut self, body: &Value) {
        self.version = text(body, "version").unwrap_or_else(|| self.version.clone());
        self.os = text(body, "osDescription").unwrap_or_else(|| self.os.clone());
        self.provisioning = text(body, "provisioningState").unwrap_or_else(|| self.provisioning.clone());
        if let Some(parallel) = body.get("maxParallelism").and_then(Value::as_i64) {
            self.max_parallelism = parallel;
        }
        self.system = texts(body.get("systemCapabilities"));
        if let Some(user) = body.get("userCapabilities").filter(|user| user.is_object()) {
            self.user = texts(Some(user));
        }
    }

    /// Makes a client for the public key; without a key the agent can never listen.
    fn set_key(&mut self, body: &Value, token_url: String) -> Result<(), Refusal> {
        let Some(key) = body.pointer("/authorization/publicKey").filter(|key| key.is_object()) else {
            self.client = None;
            return Ok(());
        };
        let member = |name: &str| BASE64_STANDARD.decode(key.get(name)?.as_str()?).ok();
        let (Some(n), Some(e)) = (member("modulus"), member("exponent")) else {
            return Err(Refusal::bad_argument(
                "The public key needs modulus and exponent in base64.",
            ));
        };
        if n.len() < 256 {
            return Err(Refusal::bad_argument("The public key is shorter than 2048 bits."));
        }
        self.client = Some(Client {
            id: self
                .client
                .as_ref()
                .map_or_else(guid::random, |client| client.id.clone()),
            key: PublicKey { n, e },
            url: token_url,
        });
        Ok(())
    }

    pub(super) fn status(&self) -> &'static str {
        if self.session.is_some() { "online" } else { "offline" }
    }

    pub(super) fn json(&self, pool: &PoolState, include: Include) -> Value {
        let mut agent = json!({
            "id": self.id,
            "name": self.name,
            "version": self.version,
            "osDescription": self.os,
            "enabled": self.enabled,
            "status": self.status(),
            "provisioningState": self.provisioning,
            "accessPoint": "CodexAccessMapping",
            "maxParallelism": self.max_parallelism,
            "createdOn": self.created.iso(),
            "statusChangedOn": self.status_changed.iso(),
            "_links": {},
        });
        let mut add = |name: &str, value: Option<Value>| {
            if let (Some(value), Some(agent)) = (value, agent.as_object_mut()) {
                agent.insert(name.to_owned(), value);
            }
        };
        add(
            "authorization",
            self.client.as_ref().map(|client| {
                json!({
                    "clientId": client.id,
                    "authorizationUrl": client.url,
                    "publicKey": {
                        "exponent": BASE64_STANDARD.encode(&client.key.e),
                        "modulus": BASE64_STANDARD.encode(&client.key.n),
                    },
                })
            }),
        );
        if include.capabilities {
            add("systemCapabilities", Some(json!(self.system)));
            add("userCapabilities", Some(json!(self.user)));
        }
        if include.assigned {
            add(
                "assignedRequest",
                pool.assigned(self.id).map(|job| job.json(pool, MatchedAgents::Omitted)),
            );
        }
        if include.completed {
            let mut finished = pool.jobs.iter().rev();
            let last = finished
                .find(|job: &&Job| job.finished.is_some() && job.agent.as_ref().is_some_and(|(id, _)| *id == self.id));
            add(
                "lastCompletedRequest",
                last.map(|job| job.json(pool, MatchedAgents::Omitted)),
            );
        }
        agent
    }
}

impl Call<'_> {
    /// The agent that is calling, if it is this pool's.
    pub(super) fn agent(&self, pool: i64) -> Result<i64, Refusal> {
        match &self.caller {
            Caller::Agent(token) if token.pool == pool => Ok(token.agent),
            Caller::Agent(_) | Caller::Job { .. } | Caller::Member { .. } => {
                Err(Refusal::access_denied(&self.caller.name(), "Listen", &pool.to_string()))
            }
        }
    }
}

pub(super) fn text(body: &Value, member: &str) -> Option<String> {
    Some(body.get(member)?.as_str()?.to_owned())
}

/// An object of texts; other values are written as JSON.
pub(super) fn texts(object: Option<&Value>) -> BTreeMap<String, String> {
    let empty = Map::new();
    let members = object.and_then(Value::as_object).unwrap_or(&empty);
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    members.iter().map(|(key, value)| (key.clone(), text(value))).collect()
}
