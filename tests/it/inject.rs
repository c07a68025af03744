//! `ado-agent inject` as a person runs it: the program, the webhook's program, and the double of the API server.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends where something is wrong, in its helpers, too"
)]

#[path = "inject/equality.rs"]
mod equality;
#[path = "inject/world.rs"]
mod world;

use contract::{INJECT_LABEL, SIDECAR_CONTAINER, STATUS_ANNOTATION};
use serde_json::{Value, json};
use std::path::Path;
use tests::apiserver::ApiServer;
use tests::programs::repository;
use world::{Ran, ado_agent, cluster, deployment, with_kubeconfig};

/// A stream with comments, an account, and a Deployment.
const STREAM: &str = "\
# the namespace of the team
apiVersion: v1
kind: Namespace
metadata: {name: team, labels: {ado-agent.dev/inject: \"true\"}}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: agent   # annotated by hand
  namespace: team
  annotations: {azure.workload.identity/client-id: 11111111-2222-3333-4444-555555555555}
automountServiceAccountToken: false
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: agent, namespace: team}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent, ado-agent.dev/inject: \"true\"}}
    spec:
      serviceAccountName: agent
      containers:
        - name: agent
          image: registry.example/agent:1
          env:
            - {name: AZP_URL, value: https://dev.azure.com/contoso}
            - {name: AZP_POOL, value: linux}
";

/// The webhook's ConfigMap as a file.
fn settings(folder: &Path) -> String {
    let file = folder.join("settings.yaml");
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ado-agent-webhook}\ndata:\n  \
                ADO_AGENT_WEBHOOK_SIDECAR_IMAGE: registry.example/ado-agent-sidecar:0.1.0\n";
    std::fs::write(&file, text).unwrap();
    file.display().to_string()
}

#[track_caller]
fn offline(folder: &Path, flags: &[&str], stdin: &str) -> Ran {
    let settings = format!("--settings={}", settings(folder));
    let mut arguments = vec!["inject", "-", &settings];
    arguments.extend(flags);
    ado_agent(&arguments, stdin)
}

#[test]
fn a_person_reads_what_is_added_and_a_machine_gets_the_pod() {
    let folder = tempfile::tempdir().unwrap();
    let ran = offline(folder.path(), &[], STREAM);
    assert_eq!(ran.code, 0, "{ran:?}");
    for part in [
        "✓ Deployment team/agent (stdin:14): injected",
        "container agent, handoff token-file",
        "registry.example/ado-agent-sidecar:0.1.0",
        "AZP_TOKEN_FILE=/run/ado-agent/handoff/token/token",
        "ado-agent-assertion",
        "3600 s (operator)",
        "hook added",
        "isolated     yes",
        "note: ownership markers say unknown-cluster",
    ] {
        assert!(ran.stdout.contains(part), "{part} in\n{}", ran.stdout);
    }
    assert!(!ran.stdout.contains('\u{1b}'), "no colors into a pipe");

    let ran = offline(folder.path(), &["-o", "json", "--cluster-id=cluster-1"], STREAM);
    let said: Value = serde_json::from_str(&ran.stdout).unwrap();
    let workload = &said["workloads"][0];
    assert_eq!(workload["decision"], "injected");
    assert_eq!(workload["pod"]["spec"]["initContainers"][0]["name"], SIDECAR_CONTAINER);
    assert!(workload["patch"].as_array().is_some_and(|patch| !patch.is_empty()));
    assert_eq!(said["notes"], json!([]));

    let ran = offline(folder.path(), &["--patch", "--cluster-id=cluster-1"], STREAM);
    assert_eq!(
        serde_json::from_str::<Value>(ran.stdout.trim()).unwrap(),
        workload["patch"]
    );
}

#[test]
fn manual_changes_the_pod_and_nothing_else_and_once() {
    let folder = tempfile::tempdir().unwrap();
    let ran = offline(folder.path(), &["--manual", "--cluster-id=cluster-1"], STREAM);
    assert_eq!(ran.code, 0, "{ran:?}");
    let untouched = STREAM.rfind("---").unwrap();
    assert!(ran.stdout.starts_with(&STREAM[..untouched]), "{}", ran.stdout);
    let changed = tests::kustomize::parse(&ran.stdout).unwrap().remove(2);
    assert!(changed["spec"]["template"]["metadata"]["annotations"][STATUS_ANNOTATION].is_string());
    let at = |text: &str| ran.stdout[untouched..].find(text).unwrap_or_else(|| panic!("{text}"));
    assert!(at("apiVersion: apps/v1") < at("kind: Deployment") && at("selector:") < at("template:"));
    let again = offline(folder.path(), &["--manual", "--cluster-id=cluster-1"], &ran.stdout);
    assert_eq!(again.stdout, ran.stdout);
    assert!(again.stderr.contains("already-injected"), "{}", again.stderr);

    let without = offline(folder.path(), &["--manual"], STREAM);
    assert_eq!((without.code, without.stdout.as_str()), (1, ""));
    assert!(without.stderr.contains("--cluster-id"), "{}", without.stderr);
}

#[test]
fn a_refused_pod_ends_with_the_webhooks_sentence_and_no_manifests() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = STREAM.replace("contoso", "contoso/a-project/x");
    for flags in [&["--manual", "--cluster-id=c"][..], &[]] {
        let ran = offline(folder.path(), flags, &wrong);
        assert_eq!(ran.code, 1, "{ran:?}");
        let said = if flags.is_empty() { &ran.stdout } else { &ran.stderr };
        assert!(
            said.contains("✗ Deployment team/agent (stdin:14): denied: bad-url: "),
            "{said}"
        );
        assert!(
            said.contains("docs/troubleshooting.md#the-webhook-denied-the-pod"),
            "{said}"
        );
        assert!(flags.is_empty() || ran.stdout.is_empty(), "{}", ran.stdout);
    }
    let closed = STREAM.replace("{name: team, labels: {ado-agent.dev/inject: \"true\"}}", "{name: team}");
    let ran = offline(folder.path(), &[], &closed);
    assert_eq!(ran.code, 0);
    assert!(
        ran.stdout
            .contains("kubectl label namespace team ado-agent.dev/inject=true"),
        "{}",
        ran.stdout
    );
    let stranger = STREAM.replace("serviceAccountName: agent", "serviceAccountName: other");
    let ran = offline(folder.path(), &[], &stranger);
    assert!(
        ran.stdout.contains("account-unreadable") && ran.stdout.contains("--client-id"),
        "{}",
        ran.stdout
    );
    let id = "--client-id=11111111-2222-3333-4444-555555555555";
    assert_eq!(offline(folder.path(), &[id], &stranger).code, 0);
}

#[test]
fn files_and_folders_are_read_and_broken_ones_named_with_their_places() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let manifests = folder.path().join("manifests");
    std::fs::create_dir_all(manifests.join("below")).unwrap();
    std::fs::write(manifests.join("a.yaml"), STREAM).unwrap();
    std::fs::write(manifests.join("README.md"), "no: manifest: at all").unwrap();
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": []}});
    std::fs::write(manifests.join("below/b.json"), pod.to_string()).unwrap();
    let named = manifests.display().to_string();
    let ran = ado_agent(&["inject", &named, "--settings", &settings], "");
    assert!(
        ran.stdout.contains("a.yaml:14") && !ran.stdout.contains("b.json"),
        "{ran:?}"
    );
    let ran = ado_agent(&["inject", "-R", &named, "--settings", &settings], "");
    assert!(ran.stdout.contains("b.json:1): left as it is: not-labeled"), "{ran:?}");

    std::fs::write(
        manifests.join("below/c.yaml"),
        "kind: A\n---\nkind: B\nspec:\n  list: [1, 2\n",
    )
    .unwrap();
    let ran = ado_agent(&["inject", "-R", &named, "--settings", &settings], "");
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""));
    assert!(
        ran.stderr.contains("c.yaml:") && ran.stderr.contains("correct the manifest there"),
        "{}",
        ran.stderr
    );
    let ran = ado_agent(&["inject", "no-such-file.yaml", "--settings", &settings], "");
    assert!(ran.code == 1 && ran.stderr.contains("no-such-file.yaml"), "{ran:?}");
    assert_eq!(ado_agent(&["inject"], "").code, 64);
}

#[test]
fn the_shipped_manifests_are_settings_and_the_examples_are_injected() {
    let folder = tempfile::tempdir().unwrap();
    let all = tests::kustomize::render(&repository().join("manifests/base")).unwrap();
    let file = folder.path().join("all.json");
    std::fs::write(
        &file,
        json!({"apiVersion": "v1", "kind": "List", "items": all}).to_string(),
    )
    .unwrap();
    let file = file.display().to_string();
    for example in ["deployment", "job", "keda-scaledjob"] {
        let manifest = repository().join(format!("manifests/examples/{example}.yaml"));
        let manifest = manifest.display().to_string();
        let id = "--client-id=11111111-2222-3333-4444-555555555555";
        let ran = ado_agent(&["inject", &manifest, "--settings", &file, id], "");
        assert!(ran.code == 0 && ran.stdout.contains(": injected"), "{ran:?}");
    }
}

#[tokio::test]
async fn settings_identity_and_namespace_are_the_clusters() {
    let api = ApiServer::start().await.unwrap();
    cluster(&api, &["--pool=of-the-operator", "--grace-period", "90"]);
    api.set_namespace("agents", &[(INJECT_LABEL, "true")]);
    let id = "22222222-2222-2222-2222-222222222222";
    api.set_account("agents", "agent", &[(contract::AZWI_CLIENT_ID_ANNOTATION, id)]);
    let manifest = deployment(&json!([{"name": "AZP_URL", "value": "https://dev.azure.com/contoso"}])).to_string();
    let ran = with_kubeconfig(&api, &["inject", "-", "-n", "agents", "-o", "json"], &manifest).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let said: Value = serde_json::from_str(&ran.stdout).unwrap();
    let pod = said["workloads"][0]["pod"].to_string();
    for part in [
        "of-the-operator",
        api.cluster_uid(),
        id,
        "\"terminationGracePeriodSeconds\":90",
        "registry.example/ado-agent-sidecar",
    ] {
        assert!(pod.contains(part), "{part} in {pod}");
    }

    api.set_namespace("agents", &[]);
    let ran = with_kubeconfig(&api, &["inject", "-", "-n", "agents"], &manifest).await;
    assert!(ran.stdout.contains("namespace agents has not opted in"), "{ran:?}");
    api.delete_account("agents", "agent");
    let ran = with_kubeconfig(&api, &["inject", "-", "-n", "agents", "--manual"], &manifest).await;
    assert!(ran.code == 1 && ran.stderr.contains("account-missing"), "{ran:?}");
    api.set_mood(tests::apiserver::Mood::Forbidding);
    let ran = with_kubeconfig(&api, &["inject", "-", "-n", "agents"], &manifest).await;
    assert!(
        ran.code == 1 && ran.stderr.contains("403") && ran.stderr.contains("--settings"),
        "{ran:?}"
    );
}
