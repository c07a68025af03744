//! The program, and a cluster with the webhook's objects.

use serde_json::{Value, json};
use std::io::Write as _;
use std::process::{Command, Stdio};
use tests::apiserver::ApiServer;

/// What a run of the program left.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs `ado-agent` with a text on stdin.
pub(crate) fn ado_agent(arguments: &[&str], stdin: &str) -> Ran {
    let mut child = Command::new(tests::programs::program("ado-agent").unwrap())
        .args(arguments)
        .env_remove("KUBECONFIG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that ends before it reads all is no failure of the test.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let output = child.wait_with_output().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The same, against the double.
pub(crate) async fn with_kubeconfig(api: &ApiServer, arguments: &[&str], stdin: &str) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kubeconfig");
    api.write_kubeconfig(&file).unwrap();
    let mut all: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    all.push(format!("--kubeconfig={}", file.display()));
    let stdin = stdin.to_owned();
    let run = move || ado_agent(&all.iter().map(String::as_str).collect::<Vec<_>>(), &stdin);
    let ran = tokio::task::spawn_blocking(run).await.unwrap();
    drop(folder);
    ran
}

/// Puts the webhook's Deployment with these flags, its ConfigMap and its configuration into the double.
pub(crate) fn cluster(api: &ApiServer, flags: &[&str]) {
    api.serve_whole_accounts();
    let system = contract::SYSTEM_NAMESPACE;
    let container =
        json!({"name": "webhook", "args": flags, "envFrom": [{"configMapRef": {"name": "ado-agent-webhook-7k2"}}]});
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "ado-agent-webhook"},
        "spec": {"template": {"spec": {"containers": [container]}}}});
    api.set_object(
        &format!("/apis/apps/v1/namespaces/{system}/deployments/ado-agent-webhook"),
        deployment,
    );
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ado-agent-webhook-7k2"},
        "data": {"ADO_AGENT_WEBHOOK_SIDECAR_IMAGE": "registry.example/ado-agent-sidecar:0.1.0"}});
    api.set_object(
        &format!("/api/v1/namespaces/{system}/configmaps/ado-agent-webhook-7k2"),
        map,
    );
    let objects = tests::kustomize::documents("manifests/base/mutatingwebhookconfiguration.yaml").unwrap();
    let name = contract::WEBHOOK_CONFIGURATION;
    let path = format!("/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{name}");
    api.set_object(&path, objects[0].clone());
}

/// A Deployment without namespace that asks for the sidecar.
pub(crate) fn deployment(env: &Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "agent"}, "spec": {"template": {
        "metadata": {"labels": {contract::INJECT_LABEL: "true"}},
        "spec": {"serviceAccountName": "agent", "containers": [{"name": "agent", "image": "registry.example/agent:1", "env": env}]},
    }}})
}
