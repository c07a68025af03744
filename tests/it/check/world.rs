//! A cluster in which everything is as it should be, and the program that looks at it.

use std::process::{Output, Stdio};

use azure_emulators::ado::Role;
use azure_emulators::world::{Settings, World};
use base64::Engine as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::apiserver::ApiServer;
use tests::apiserver::webhook::Webhook;
use tests::{kustomize, programs};

/// Everything as the documentation says.
pub(crate) struct Cluster {
    pub(crate) api: ApiServer,
    pub(crate) azure: World,
    pub(crate) webhook: Webhook,
    folder: TempDir,
}

/// What the program printed, and how it ended.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) group: String,
    pub(crate) level: String,
    pub(crate) reason: String,
    pub(crate) sentence: String,
    pub(crate) fix: String,
}

pub(crate) const NAMESPACE: &str = "agents";
pub(crate) const ACCOUNT: &str = "azp-agent";
const WEBHOOK_POD: &str = "ado-agent-webhook-5d9f-x7k2p";

impl Cluster {
    pub(crate) async fn start() -> Self {
        Self::with(Settings::default()).await
    }

    /// The same with another Azure.
    pub(crate) async fn with(settings: Settings) -> Self {
        let azure = World::with(settings).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("ca.pem");
        azure.authority.write_pem(&ca).unwrap();
        let graph = azure.entra.mint_token_for(
            &azure.admin,
            "https://graph.microsoft.com",
            std::time::Duration::from_secs(3600),
        );
        std::fs::write(folder.path().join("graph"), json!({"accessToken": graph}).to_string()).unwrap();

        let api = ApiServer::start().await.unwrap();
        api.serve_operators();
        api.serve_group("keda.sh/v1alpha1");
        api.sign_tokens_with(&azure.issuer);
        api.set_namespace(NAMESPACE, &[(contract::INJECT_LABEL, "true")]);
        api.set_account(
            NAMESPACE,
            ACCOUNT,
            &[(contract::AZWI_CLIENT_ID_ANNOTATION, &azure.agents.client_id)],
        );
        let flags = [
            "--sidecar-image=registry.example/ado-agent-sidecar:0.1.0".to_owned(),
            format!("--ca-file={}", ca.display()),
            format!("--authority={}/", azure.authority_url()),
            "--allowed-hosts=127.0.0.1".to_owned(),
            "--allowed-authorities=127.0.0.1".to_owned(),
        ];
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let webhook = Webhook::start(&api, &flags).await.unwrap();
        api.write_kubeconfig(&folder.path().join("kubeconfig")).unwrap();
        let cluster = Self {
            api,
            azure,
            webhook,
            folder,
        };
        cluster.register(cluster.api.authority().pem());
        cluster.api.put_object(&node("node-1", "v1.34.4"));
        cluster.api.put_object(&webhook_pod());
        cluster.api.forward_ports(WEBHOOK_POD, cluster.webhook.tls_address());
        cluster.install_keda();
        cluster
    }

    /// Registers the webhook with this CA bundle (PEM; empty: none).
    pub(crate) fn register(&self, bundle: &str) {
        let mut configuration = shipped();
        if !bundle.is_empty() {
            let encoded = base64::engine::general_purpose::STANDARD.encode(bundle);
            configuration["webhooks"][0]["clientConfig"]["caBundle"] = json!(encoded);
        }
        self.api
            .register_webhook(&configuration, self.webhook.tls_address())
            .unwrap();
    }

    /// The examples' ScaledJob and TriggerAuthentication, and KEDA's operator.
    fn install_keda(&self) {
        for file in ["keda-scaledjob", "keda-trigger-authentication"] {
            for object in kustomize::documents(&format!("manifests/examples/{file}.yaml")).unwrap() {
                self.api.put_object(&object);
            }
        }
        self.api.put_object(&json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "keda-operator-1", "namespace": "keda", "labels": {"app": "keda-operator"}},
            "spec": {"containers": [{"name": "keda-operator", "image": "ghcr.io/kedacore/keda:2.21.0"}]},
        }));
    }

    /// The agents' identity has this role on the pool.
    pub(crate) fn set_role(&self, role: Option<Role>) {
        self.azure.pool.set_role(&self.azure.agents, role);
    }

    /// Runs the program with kubeconfig, namespace and what a person would pass.
    pub(crate) async fn check(&self, more: &[&str]) -> Said {
        self.run(
            &[
                &[
                    "check",
                    "--namespace",
                    NAMESPACE,
                    "--url",
                    &self.azure.organization_url(),
                    "--pool",
                    self.azure.pool.name(),
                    "--ca-file",
                    &self.path("ca.pem"),
                    "--graph",
                    &self.azure.authority_url(),
                    "--graph-token-file",
                    &self.path("graph"),
                ],
                more,
            ]
            .concat(),
        )
        .await
    }

    /// Runs the program with this kubeconfig and nothing else.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Said {
        let program = tokio::task::spawn_blocking(|| programs::program("ado-agent"))
            .await
            .unwrap()
            .unwrap();
        let mut command = tokio::process::Command::new(program);
        command
            .env_clear()
            .env("KUBECONFIG", self.path("kubeconfig"))
            .args(arguments)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = tokio::time::timeout(std::time::Duration::from_secs(120), command.output());
        said(output.await.expect("the program ends").unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }
}

fn said(output: Output) -> Said {
    Said {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Said {
    /// The findings of JSON output.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        let value: Value = serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}\n{}", self.stdout, self.stderr));
        let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
        let all = value["findings"].as_array().unwrap().iter();
        all.map(|finding| Finding {
            group: text(finding, "group"),
            level: text(finding, "level"),
            reason: text(finding, "reason"),
            sentence: text(finding, "sentence"),
            fix: text(finding, "fix"),
        })
        .collect()
    }
}

/// The registration that is shipped.
fn shipped() -> Value {
    let objects = kustomize::documents("manifests/base/mutatingwebhookconfiguration.yaml").unwrap();
    kustomize::find(
        &objects,
        "MutatingWebhookConfiguration",
        contract::WEBHOOK_CONFIGURATION,
    )
    .unwrap()
    .clone()
}

pub(crate) fn node(name: &str, kubelet: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/os": "linux"}},
        "spec": {},
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "nodeInfo": {
                "kubeletVersion": kubelet, "architecture": "amd64", "bootID": "", "containerRuntimeVersion": "", "kernelVersion": "",
                "kubeProxyVersion": "", "machineID": "", "operatingSystem": "linux", "osImage": "", "systemUUID": "",
            },
        },
    })
}

fn webhook_pod() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": WEBHOOK_POD, "namespace": contract::SYSTEM_NAMESPACE,
            "labels": {"app.kubernetes.io/name": "ado-agent-webhook"},
        },
        "spec": {"containers": [{"name": "webhook", "image": "webhook:1", "ports": [{"name": "https", "containerPort": 10250}]}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    })
}
