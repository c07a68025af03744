//! What Azure DevOps says of the agents, and which agents of ours have no pod any more.

use super::Scope;
use super::agents::{AgentPod, Azure, Left, Pool};
use crate::organization::{Credential, Organization};
use azure_protocol::{AdoError, GetAgent, Include, ListAgents, ListPools, PoolId, ServerTime, TaskAgent};
use contract::{HostList, Marker, OrganizationUrl};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::{Api, Client};
use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const PATIENCE: Duration = Duration::from_secs(30);
/// Most offline agents of a pool whose markers are read.
const CANDIDATES: usize = 50;

/// Who asks, and whom.
pub(super) struct Asker {
    credential: Credential,
    /// The one organization; `None`: those that the sidecars name.
    only: Option<String>,
}

impl Asker {
    /// `None` where there is no credential.
    ///
    /// # Errors
    /// The credential cannot be used for the one organization.
    pub(super) fn new(credential: &Credential, only: Option<&str>) -> anyhow::Result<Option<Self>> {
        if !credential.is_given() {
            return Ok(None);
        }
        // Stdin can be read once.
        let credential = credential.read()?;
        if let Some(url) = only {
            credential.connect(url)?;
        }
        Ok(Some(Self {
            credential,
            only: only.map(|url| url.trim_end_matches('/').to_owned()),
        }))
    }

    pub(super) async fn ask(&self, client: &Client, scope: &Scope, pods: &[AgentPod]) -> Azure {
        let mut azure = Azure {
            pools: Vec::new(),
            left: Vec::new(),
            problems: Vec::new(),
            now: now(),
        };
        let wanted: BTreeSet<(String, String)> = pods
            .iter()
            .filter_map(AgentPod::probe)
            .filter_map(|probe| Some((probe.organization.clone()?, probe.pool.clone()?)))
            .collect();
        for (organization, pool) in wanted {
            match self.pool(&organization, &pool).await {
                Ok((connected, id, agents)) => {
                    let found = (&connected, pool.as_str(), id);
                    let left = left(client, scope, pods, found, &agents, &mut azure.problems).await;
                    azure.left.extend(left);
                    azure.pools.push(Pool {
                        organization,
                        name: pool,
                        agents,
                    });
                }
                // One organization that cannot be asked has many pools.
                Err(problem) if azure.problems.contains(&problem) => {}
                Err(problem) => azure.problems.push(problem),
            }
        }
        azure
    }

    /// The organization, if a token may go there: what a sidecar says is what whoever runs the pod makes it say.
    fn connect(&self, organization: &str) -> Result<Organization, String> {
        let allowed = match &self.only {
            Some(only) => organization.trim_end_matches('/').eq_ignore_ascii_case(only),
            None => HostList::parse(contract::DEFAULT_ALLOWED_HOSTS)
                .is_ok_and(|hosts| OrganizationUrl::parse(organization, &hosts).is_ok()),
        };
        if !allowed {
            return Err(format!(
                "{organization} was not asked: pass it as --url, if a token may go there."
            ));
        }
        self.credential
            .connect(organization)
            .map_err(|error| format!("{organization}: {error:#}"))
    }

    async fn pool(&self, organization: &str, pool: &str) -> Result<(Organization, PoolId, Vec<TaskAgent>), String> {
        let connected = self.connect(organization)?;
        let said = |error: &AdoError| format!("{organization}, pool \"{pool}\": {:?}: {}", error.kind, error.detail);
        let token = connected.token().await.map_err(|error| format!("{error:#}"))?;
        let find = ListPools {
            name: Some(pool.to_owned()),
        };
        let found = connected.client.perform(&find, Some(&token), PATIENCE).await.result;
        let pools = found.map_err(|error| said(&error))?;
        let Some(id) = pools.first().map(|pool| pool.id) else {
            return Err(format!(
                "Pool \"{pool}\" does not exist at {organization}, or this identity may not see it."
            ));
        };
        let list = ListAgents {
            pool: id,
            include: Include::AssignedAndCompleted,
        };
        let listed = connected.client.perform(&list, Some(&token), PATIENCE).await.result;
        let agents = listed.map_err(|error| said(&error))?;
        Ok((connected, id, agents))
    }
}

/// Agents with our marker whose pod is gone: offline, of this cluster and of a namespace that is looked at.
async fn left(
    client: &Client,
    scope: &Scope,
    pods: &[AgentPod],
    (organization, pool, id): (&Organization, &str, PoolId),
    agents: &[TaskAgent],
    problems: &mut Vec<String>,
) -> Vec<Left> {
    let mut left = Vec::new();
    let is_of_a_pod = |agent: &TaskAgent| {
        let mut names = pods.iter().filter_map(|pod| pod.probe()?.agent.as_deref());
        names.any(|name| azure_protocol::same_name(name, &agent.name))
    };
    let offline: Vec<_> = agents
        .iter()
        .filter(|agent| !agent.online && !is_of_a_pod(agent))
        .collect();
    if offline.is_empty() {
        return left;
    }
    let Ok(cluster) = Api::<Namespace>::all(client.clone()).get_metadata("kube-system").await else {
        problems.push("Which agents are left behind is unknown: this user may not read the namespace kube-system, whose UID is in their markers.".to_owned());
        return left;
    };
    let cluster = cluster.metadata.uid.unwrap_or_default();
    let Ok(token) = organization.token().await else {
        return left;
    };
    if offline.len() > CANDIDATES {
        problems.push(format!(
            "Pool \"{pool}\" has {} offline agents; only {CANDIDATES} were looked at.",
            offline.len()
        ));
    }
    for agent in offline.into_iter().take(CANDIDATES) {
        let look = GetAgent {
            pool: id,
            agent: agent.id,
        };
        let Ok(agent) = organization.client.perform(&look, Some(&token), PATIENCE).await.result else {
            continue;
        };
        let Some(marker) = agent.marker() else { continue };
        let is_in_scope = match scope {
            Scope::Namespace(namespace) => marker.namespace == *namespace,
            Scope::Cluster => true,
        };
        if marker.cluster == cluster && is_in_scope && is_gone(client, &marker).await {
            left.push(Left {
                organization: organization.url.as_str().to_owned(),
                pool: pool.to_owned(),
                pool_id: id.0,
                agent: agent.name,
                agent_id: agent.id.0,
                pod: marker.pod,
                namespace: marker.namespace,
            });
        }
    }
    left
}

/// Whether the pod of a marker is gone, by an answer of now: 404, or another UID.
async fn is_gone(client: &Client, marker: &Marker) -> bool {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &marker.namespace);
    match pods.get_metadata_opt(&marker.pod).await {
        Ok(Some(pod)) => pod.metadata.uid.as_deref() != Some(marker.uid.as_str()),
        Ok(None) => true,
        Err(_) => false,
    }
}

fn now() -> ServerTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    ServerTime(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
