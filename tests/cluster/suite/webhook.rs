//! The webhook as it is installed: its pods, its certificate, what it answers when it is asked without the API server.

use crate::case::{Case, LIMIT, container_status};
use crate::workload::{pod, template};
use anyhow::{Context, Result, bail, ensure};
use azure_emulators::tls::client_config;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use contract::{SIDECAR_CONTAINER, SYSTEM_NAMESPACE};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tests::apiserver::review::{Caller, SERVICE};
use tests::apiserver::webhook::service_name;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Its configuration in the API server.
pub(crate) const CONFIGURATION: &str = "ado-agent-injector";
/// The Deployment, as kubectl names it.
pub(crate) const DEPLOYMENT: &str = "deployment/ado-agent-webhook";
/// Secret of the serving certificate.
pub(crate) const SECRET: &str = "ado-agent-webhook-tls";
/// Its container.
const CONTAINER: &str = "webhook";
/// Ports of the container.
const TLS_PORT: u16 = 10250;
const PLAIN_PORT: u16 = 8080;

/// The webhook of a case's cluster.
#[derive(Clone)]
pub(crate) struct Webhook {
    case: Case,
}

impl Webhook {
    /// Of this cluster.
    pub(crate) fn of(case: &Case) -> Self {
        Self { case: case.clone() }
    }

    /// kubectl in its namespace.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        let namespace = format!("--namespace={SYSTEM_NAMESPACE}");
        self.case.kubectl(&[&[namespace.as_str()], arguments].concat())
    }

    /// Its pods, those that are ending included, oldest first.
    pub(crate) async fn pods(&self) -> Result<Vec<Value>> {
        let path =
            format!("/api/v1/namespaces/{SYSTEM_NAMESPACE}/pods?labelSelector=app.kubernetes.io/name%3D{SERVICE}");
        let list = self.case.suite.api.get(&path).await?;
        let mut pods = list["items"].as_array().cloned().unwrap_or_default();
        pods.sort_by_key(|pod| pod["metadata"]["creationTimestamp"].to_string());
        Ok(pods)
    }

    /// Waits until exactly so many pods are there and all of them satisfy the condition.
    pub(crate) async fn wait_for_pods(
        &self,
        what: &str,
        count: usize,
        condition: impl Fn(&Value) -> bool,
    ) -> Result<Vec<Value>> {
        let looked = || async {
            let pods = self.pods().await?;
            if pods.len() == count && pods.iter().all(&condition) {
                return Ok(Some(pods));
            }
            let seen: Vec<_> = pods
                .iter()
                .map(|pod| (&pod["metadata"]["name"], &pod["status"]))
                .collect();
            bail!("the webhook's pods: {seen:#?}")
        };
        self.case.wait(what, LIMIT, looked).await
    }

    /// Waits until two pods are ready and no other is there.
    pub(crate) async fn wait_until_ready(&self) -> Result<Vec<Value>> {
        self.wait_for_pods("two pods of the webhook, both ready", 2, is_ready)
            .await
    }

    /// Makes the kubelet look at the pods' Secrets at once. It does so when a pod changes; otherwise once a minute.
    pub(crate) fn remind_kubelet(&self) -> Result<()> {
        let now = format!("tests/reminded-at={}", azure_emulators::guid::random());
        let selector = format!("--selector=app.kubernetes.io/name={SERVICE}");
        self.kubectl(&["annotate", "--overwrite", "pods", &selector, &now])
            .map(drop)
    }

    /// The CA bundle in its configuration, PEM; empty where there is none.
    pub(crate) async fn bundle(&self) -> Result<String> {
        let path = format!("/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{CONFIGURATION}");
        let configuration = self.case.suite.api.get(&path).await?;
        decoded(&configuration["webhooks"][0]["clientConfig"]["caBundle"])
    }

    /// An entry of a Secret in its namespace; nothing where there is no such Secret.
    pub(crate) async fn secret(&self, name: &str, entry: &str) -> Result<Option<String>> {
        let path = format!("/api/v1/namespaces/{SYSTEM_NAMESPACE}/secrets/{name}");
        let secret = self.case.suite.api.find(&path).await?;
        secret.map(|secret| decoded(&secret["data"][entry])).transpose()
    }

    /// The leaf in the Secret, PEM.
    pub(crate) async fn leaf(&self) -> Result<Option<String>> {
        self.secret(SECRET, "tls.crt").await
    }

    /// Waits until every pod serves this leaf, and the API server's bundle vouches for it.
    pub(crate) async fn wait_until_served(&self, leaf: &str) -> Result<()> {
        let expected = CertificateDer::from_pem_slice(leaf.as_bytes())?;
        let looked = || async {
            let bundle = self.bundle().await?;
            for pod in self.pods().await? {
                let served = served(address(&pod, TLS_PORT)?, &bundle).await?;
                ensure!(
                    served == expected,
                    "{} serves another certificate",
                    pod["metadata"]["name"]
                );
            }
            Ok(Some(()))
        };
        self.case
            .wait("every pod of the webhook with the new certificate", LIMIT, looked)
            .await
    }

    /// Posts a review to one of its pods, as an API server with this bundle would.
    pub(crate) async fn review(&self, pod: &Value, bundle: &str, review: &Value) -> Result<Value> {
        let caller = Caller::new(address(pod, TLS_PORT)?, bundle, Duration::from_secs(5))?;
        let answer = caller.post(review.to_string()).await?;
        ensure!(answer.status == 200, "{answer:?}");
        serde_json::from_str(&answer.body).context("the webhook's answer")
    }
}

/// Status and body of `/readyz`, `/livez` or `/metrics` of one of its pods.
pub(crate) async fn plain(pod: &Value, path: &str) -> Result<(u16, String)> {
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(5))
        .build()?;
    let url = format!("http://{}{path}", address(pod, PLAIN_PORT)?);
    let answer = client.get(&url).send().await.with_context(|| url.clone())?;
    Ok((answer.status().as_u16(), answer.text().await?))
}

/// Whether a pod is ready and stays.
pub(crate) fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    let ready = conditions
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
    ready && pod["metadata"]["deletionTimestamp"].is_null()
}

/// UIDs and restarts: what stays the same as long as nothing was started again.
pub(crate) fn lives(pods: &[Value]) -> Vec<(String, u64)> {
    let life = |pod: &Value| {
        let uid = pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        let status = container_status(pod, CONTAINER);
        (
            uid,
            status
                .and_then(|status| status["restartCount"].as_u64())
                .unwrap_or_default(),
        )
    };
    pods.iter().map(life).collect()
}

/// The leaf that a server shows under the webhook's name, if the bundle vouches for it.
async fn served(address: SocketAddr, bundle: &str) -> Result<CertificateDer<'static>> {
    let connector = TlsConnector::from(Arc::new(client_config(&[bundle])?));
    let name = ServerName::try_from(service_name())?;
    let stream = connector.connect(name, TcpStream::connect(address).await?).await?;
    let chain = stream.get_ref().1.peer_certificates();
    let leaf = chain.and_then(<[_]>::first).context("no certificate was shown")?;
    Ok(leaf.clone().into_owned())
}

fn address(pod: &Value, port: u16) -> Result<SocketAddr> {
    let ip = pod["status"]["podIP"].as_str().context("the pod has no address")?;
    Ok(SocketAddr::new(ip.parse()?, port))
}

fn decoded(entry: &Value) -> Result<String> {
    let bytes = BASE64_STANDARD.decode(entry.as_str().unwrap_or_default())?;
    String::from_utf8(bytes).context("PEM is text")
}

/// What the webhook's container runs with, in the words of the OCI runtime specification.
pub(crate) fn runtime_specification(case: &Case, pod: &Value) -> Result<Value> {
    let text = ctr(case, &["containers", "info", "--spec", container_id(pod)?])?;
    serde_json::from_str(&text).context("ctr shows JSON")
}

/// Number of the webhook's process in the node's world.
pub(crate) fn process(case: &Case, pod: &Value) -> Result<String> {
    let id = container_id(pod)?;
    let tasks = ctr(case, &["tasks", "list"])?;
    let task = tasks.lines().find_map(|line| line.strip_prefix(id));
    let process = task.and_then(|rest| rest.split_whitespace().next());
    process
        .map(str::to_owned)
        .with_context(|| format!("no process of {id}: {tasks}"))
}

fn container_id(pod: &Value) -> Result<&str> {
    let status = container_status(pod, CONTAINER).context("the container has no status")?;
    let id = status["containerID"].as_str().unwrap_or_default();
    id.strip_prefix("containerd://")
        .context("the container has not started")
}

fn ctr(case: &Case, arguments: &[&str]) -> Result<String> {
    let arguments = [&["--namespace=k8s.io"], arguments].concat();
    case.blocking(|| case.suite.node.ctr(&arguments))
}

/// Creates a pod that is never made (dry run). Answers it as admission leaves it; an error unless it has the sidecar.
pub(crate) async fn injected(case: &Case, pod: &Value) -> Result<Value> {
    let path = format!("{}?dryRun=All", case.path("pods"));
    let pod = case.suite.api.create(&path, pod).await?;
    let containers = pod["spec"]["initContainers"].as_array();
    ensure!(
        containers.is_some_and(|all| all.iter().any(|container| container["name"] == SIDECAR_CONTAINER)),
        "without the sidecar: {pod}"
    );
    Ok(pod)
}

/// Waits until that works.
pub(crate) async fn wait_until_injected(case: &Case) -> Result<Value> {
    let pod = pod("injected", &template("gen3"));
    let looked = || async { injected(case, &pod).await.map(Some) };
    case.wait("a pod with the sidecar", LIMIT, looked).await
}
