//! The rim: asks API server, Entra, Azure DevOps and Microsoft Graph, and keeps what they say as values.

mod azure;
mod handshake;
mod keda;
mod namespace;

use super::intent::{Intent, Said};
use super::issuer::{Claimed, Published};
use super::looked::Looked;
use super::{Check, Stage, cluster, identity, issuer, pod, webhook};
use crate::network::Network;
use crate::problem::Finding;
use ::azure::Secret;
use azure_protocol::ServerTime;
use http::Request;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::ListParams;
use kube::{Api, Client};
use serde_json::Value;
use std::collections::BTreeMap;
use std::future::Future;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Who looks.
pub(crate) struct Scout {
    client: Client,
    namespace: String,
    said: Said,
    service_account: Option<String>,
    network: Network,
    graph_token: Option<Secret>,
    graph: String,
}

/// How far to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Namespace and dry run.
    Pod,
    /// Also a token of the ServiceAccount, Entra and Azure DevOps.
    Azure,
}

/// What several groups need.
pub(crate) struct Seen {
    pub(crate) pod: pod::Facts,
    pub(crate) intent: Intent,
    /// Annotations of the ServiceAccount, or why none was chosen.
    pub(crate) account: Result<Looked<BTreeMap<String, String>>, Finding>,
    /// A token of it; `None`: it was not asked for.
    pub(crate) token: Option<Looked<Secret>>,
    pub(crate) claimed: Option<Claimed>,
    pub(crate) azure: AzureSeen,
}

/// What Entra and Azure DevOps answered.
pub(crate) struct AzureSeen {
    pub(crate) exchanged: Option<identity::Exchanged>,
    /// Why nothing was exchanged, where that is not said elsewhere.
    pub(crate) not_exchanged: Option<Finding>,
    pub(crate) asked: super::organization::Asked,
}

impl Scout {
    pub(crate) async fn new(check: &Check) -> anyhow::Result<Self> {
        let (client, namespace) = check.cluster.connect().await?;
        let graph_token = check
            .graph_token_file
            .as_deref()
            .map(crate::organization::read_token)
            .transpose()?;
        // A file that cannot be read is a mistake on the command line, and no finding.
        check.network.http()?;
        Ok(Self {
            client,
            namespace,
            said: Said {
                url: check.url.clone().filter(|url| !url.is_empty()),
                pool: check.pool.clone().filter(|pool| !pool.is_empty()),
                client_id: check.client_id.clone(),
                tenant: check.tenant_id.clone(),
                authority: check.authority.clone(),
            },
            service_account: check.service_account.clone(),
            network: check.network.clone(),
            graph_token,
            graph: check.graph.trim_end_matches('/').to_owned(),
        })
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    pub(crate) async fn cluster(&self, stage: Stage) -> cluster::Facts {
        let version = patiently(self.client.apiserver_version()).await;
        let nodes = patiently(Api::<Node>::all(self.client.clone()).list(&ListParams::default())).await;
        let cert_manager = match stage {
            Stage::BeforeInstall => Some(self.get("/apis/cert-manager.io/v1").await.map(|_| ())),
            Stage::Installed => None,
        };
        cluster::Facts {
            version: version.map(|version| version.git_version),
            nodes: nodes.map(|list| list.items),
            cert_manager,
        }
    }

    pub(crate) async fn webhook(&self) -> webhook::Facts {
        let configurations = patiently(Api::all(self.client.clone()).list(&ListParams::default())).await;
        let configurations: Looked<Vec<_>> = configurations.map(|list| list.items);
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), contract::SYSTEM_NAMESPACE);
        let labeled = ListParams::default().labels("app.kubernetes.io/name=ado-agent-webhook");
        let found = patiently(pods.list(&labeled)).await.map(|list| list.items);
        let name = configurations
            .found()
            .and_then(|all: &Vec<_>| webhook::service_name(webhook::registered(all).first()?.1));
        let ready = found
            .found()
            .and_then(|pods| pods.iter().find(|pod| webhook::is_ready(pod)));
        let served = match (ready, name) {
            (Some(pod), Some(name)) => Some(handshake::served(&pods, pod, &name).await),
            (_, _) => None,
        };
        webhook::Facts {
            configurations,
            pods: found,
            served,
            now: now(),
        }
    }

    /// What is published at the issuer's URL.
    pub(crate) async fn issuer(&self, seen: &Seen) -> issuer::Facts {
        let published = match &seen.claimed {
            Some(claimed) if claimed.url.starts_with("https://") => Some(self.published(&claimed.url).await),
            Some(_) | None => None,
        };
        issuer::Facts {
            claimed: seen.claimed.clone(),
            published,
        }
    }

    async fn published(&self, url: &str) -> Published {
        let document = self
            .public(&format!(
                "{}/.well-known/openid-configuration",
                url.trim_end_matches('/')
            ))
            .await;
        let keys = match document.as_ref().map(|document| document["jwks_uri"].as_str()) {
            Ok(Some(uri)) => self.public(uri).await,
            Ok(None) => Err("the discovery document names no jwks_uri".to_owned()),
            Err(_) => Err("there is no discovery document".to_owned()),
        };
        Published { document, keys }
    }

    /// A document that anybody may read.
    async fn public(&self, url: &str) -> Result<Value, String> {
        let http = self.network.http().map_err(|error| format!("{error:#}"))?;
        let document = http
            .document(url, None, PATIENCE)
            .await
            .map_err(|error| error.to_string())?;
        if document.status != 200 {
            return Err(format!("HTTP {}", document.status));
        }
        serde_json::from_slice(&document.body).map_err(|_| "what is there is no JSON".to_owned())
    }

    /// A path of the API server.
    async fn get(&self, path: &str) -> Looked<Value> {
        let request = match Request::get(path).body(Vec::new()) {
            Ok(request) => request,
            Err(error) => return Looked::Failed(error.to_string()),
        };
        patiently(self.client.request::<Value>(request)).await
    }
}

/// What came of a request to the API server, within our patience.
async fn patiently<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Looked<T> {
    match tokio::time::timeout(PATIENCE, request).await {
        Ok(result) => result.into(),
        Err(_) => Looked::Failed(format!("no answer within {} seconds", PATIENCE.as_secs())),
    }
}

fn now() -> ServerTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    ServerTime(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
