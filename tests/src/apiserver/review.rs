//! Reviews, posted as the API server posts them.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HOST, USER_AGENT};
use serde_json::{Value, json};

use azure_emulators::guid;
use azure_emulators::tls;

/// Name of the webhook's Service, as in the shipped manifests.
pub const SERVICE: &str = "ado-agent-webhook";

/// The connection pool of an API server to one webhook.
///
/// HTTP/1.1 with keep-alive, the service's name as SNI and `Host`, `Content-Length`, no compression of the request.
#[derive(Debug, Clone)]
pub struct Caller {
    client: reqwest::Client,
    url: String,
    host: String,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The body, as it came.
    pub body: String,
}

impl Caller {
    /// A caller that trusts `ca` (the configuration's `caBundle`) and reaches the service at `address`.
    ///
    /// # Errors
    /// The bundle is no PEM.
    pub fn new(address: SocketAddr, ca: &str, timeout: Duration) -> anyhow::Result<Self> {
        let name = format!("{SERVICE}.{}.svc", contract::SYSTEM_NAMESPACE);
        let mut config = tls::client_config(&[ca])?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(config)
            .resolve(&name, address)
            .no_proxy()
            .http1_only()
            .timeout(timeout)
            .build()?;
        let seconds = timeout.as_secs();
        Ok(Self {
            client,
            url: format!("https://{name}:{}/mutate?timeout={seconds}s", address.port()),
            host: format!("{name}:443"),
        })
    }

    /// Posts a body.
    ///
    /// # Errors
    /// No answer: connection, TLS or time.
    pub async fn post(&self, body: String) -> reqwest::Result<Answer> {
        let answer = self
            .client
            .post(&self.url)
            .header(HOST, &self.host)
            .header(USER_AGENT, "kube-apiserver-admission")
            .header(ACCEPT, "application/json, */*")
            .header(ACCEPT_ENCODING, "gzip")
            .header(CONTENT_TYPE, "application/json")
            .body(body)
            .send()
            .await?;
        let status = answer.status().as_u16();
        Ok(Answer {
            status,
            body: answer.text().await?,
        })
    }
}

/// The review of a pod's creation in the envelope of `admission.k8s.io/v1`. The name is absent where the pod has none yet,
/// not empty.
pub fn of_pod(namespace: &str, pod: &Value) -> Value {
    let mut request = json!({
        "uid": guid::random(),
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "requestKind": {"group": "", "version": "v1", "kind": "Pod"},
        "requestResource": {"group": "", "version": "v1", "resource": "pods"},
        "namespace": namespace,
        "operation": "CREATE",
        "userInfo": {
            "username": "system:serviceaccount:kube-system:replicaset-controller",
            "uid": guid::random(),
            "groups": ["system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"],
        },
        "object": pod,
        "oldObject": null,
        "dryRun": false,
        "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
    });
    if let Some(name) = pod["metadata"]["name"].as_str() {
        request["name"] = json!(name);
    }
    json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request})
}
