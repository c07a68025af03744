//! Every example of the webhook, twice through the API server: with the webhook's program, and written by `inject --manual` for a
//! namespace that no webhook sees. The pods have to be the same.

use crate::world::{cluster, with_kubeconfig};
use contract::{AZWI_CLIENT_ID_ANNOTATION, AZWI_TENANT_ID_ANNOTATION, INJECT_LABEL};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tests::apiserver::ApiServer;
use tests::apiserver::admission::Refusal;
use tests::apiserver::webhook::Webhook;
use tests::programs::repository;

const CLIENT_ID: &str = "11111111-2222-3333-4444-555555555555";
const TENANT_ID: &str = "99999999-8888-7777-6666-555555555555";

fn json_of(case: &Path, name: &str) -> Option<Value> {
    let text = std::fs::read_to_string(case.join(name)).ok()?;
    Some(serde_json::from_str(&text).unwrap())
}

/// The examples by the flags of the webhook that they need. Left out: requests that create no pod, a cluster without native
/// sidecars, an API server that does not answer, and certificates that no webhook would start with.
fn groups() -> BTreeMap<Vec<String>, Vec<PathBuf>> {
    let mut groups: BTreeMap<Vec<String>, Vec<PathBuf>> = BTreeMap::new();
    let entries = std::fs::read_dir(repository().join("webhook/inject/testdata")).unwrap();
    for case in entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        let settings = json_of(&case, "settings.json").unwrap_or_default();
        let account = json_of(&case, "account.json").unwrap_or_default();
        let is_left_out = case.join("request.json").exists()
            || case.join("cluster.json").exists()
            || !account["unreadable"].is_null()
            || !settings["ca-pem"].is_null();
        if is_left_out {
            continue;
        }
        let flags = settings.as_object().into_iter().flatten();
        let flags = flags.map(|(name, value)| format!("--{name}={}", value.as_str().unwrap()));
        groups.entry(flags.collect()).or_default().push(case);
    }
    groups
}

/// A pod without what the API server invents, and with its lists in an order: the webhook's volumes stand before the API token's
/// in a manifest, and after it in a review.
fn comparable(mut pod: Value) -> Value {
    let metadata = pod["metadata"].as_object_mut().unwrap();
    metadata.remove("uid");
    metadata.remove("name");
    let token = |value: &mut Value| {
        if value["name"]
            .as_str()
            .is_some_and(|name| name.starts_with("kube-api-access-"))
        {
            value["name"] = json!("kube-api-access-");
        }
    };
    let sorted = |list: &mut Value, key: &str| {
        if let Some(items) = list.as_array_mut() {
            items.iter_mut().for_each(token);
            items.sort_by_key(|item| item[key].as_str().unwrap_or_default().to_owned());
        }
    };
    let spec = &mut pod["spec"];
    sorted(&mut spec["volumes"], "name");
    for list in ["initContainers", "containers"] {
        for container in spec[list].as_array_mut().into_iter().flatten() {
            sorted(&mut container["volumeMounts"], "mountPath");
        }
    }
    without_nulls(&mut pod);
    pod
}

fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(without_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(without_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn set_account(api: &ApiServer, namespace: &str, case: &Path, pod: &Value) {
    let name = ["serviceAccountName", "serviceAccount"]
        .iter()
        .find_map(|key| pod["spec"][*key].as_str().filter(|name| !name.is_empty()))
        .unwrap_or("default");
    let annotations = match json_of(case, "account.json") {
        None => [
            (AZWI_CLIENT_ID_ANNOTATION, CLIENT_ID.to_owned()),
            (AZWI_TENANT_ID_ANNOTATION, TENANT_ID.to_owned()),
        ]
        .to_vec(),
        Some(Value::String(word)) if word == "missing" => return,
        Some(account) => [
            (AZWI_CLIENT_ID_ANNOTATION, "clientId"),
            (AZWI_TENANT_ID_ANNOTATION, "tenantId"),
        ]
        .into_iter()
        .filter_map(|(key, member)| Some((key, account[member].as_str()?.to_owned())))
        .collect(),
    };
    let annotations: Vec<(&str, &str)> = annotations.iter().map(|(key, value)| (*key, value.as_str())).collect();
    api.set_account(namespace, name, &annotations);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manifest_by_hand_becomes_the_pod_of_the_webhook() {
    let (mut injected, mut denied, mut skipped, mut refused) = (0, 0, 0, 0);
    for (flags, cases) in groups() {
        let api = ApiServer::start().await.unwrap();
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        cluster(&api, &flags);
        let image = ["--sidecar-image=registry.example/ado-agent-sidecar:0.1.0"];
        let webhook = Webhook::start(&api, &[&image, flags.as_slice()].concat())
            .await
            .unwrap();
        for case in cases {
            let name = case.file_name().unwrap().to_string_lossy().into_owned();
            let mut pod = json_of(&case, "pod.json").unwrap();
            pod["apiVersion"] = json!("v1");
            pod["kind"] = json!("Pod");
            // The API server itself refuses these, or never asks the webhook about them.
            let labels = &pod["metadata"]["labels"];
            if !pod["metadata"].is_object() || !pod["spec"].is_object() || !(labels.is_object() || labels.is_null()) {
                continue;
            }
            // A namespace for each: an account that the webhook has not seen is read, one that changes may still be the old one.
            let namespace = format!("agents-{}", injected + denied + skipped + refused);
            pod["metadata"]["namespace"] = json!(namespace);
            set_account(&api, &namespace, &case, &pod);
            api.set_namespace(&namespace, &[(INJECT_LABEL, "true")]);
            let by_webhook = webhook.create_pod(&api, &namespace, &pod).await;
            api.set_namespace(&namespace, &[]);
            let ran = with_kubeconfig(&api, &["inject", "-", "--manual"], &pod.to_string()).await;
            match by_webhook {
                Ok(created) => {
                    assert_eq!(ran.code, 0, "{name}: {ran:?}");
                    let by_hand: Value = serde_json::from_str(&ran.stdout).unwrap();
                    let by_hand = webhook.create_pod(&api, &namespace, &by_hand).await.unwrap();
                    assert_eq!(by_hand.calls, 0, "{name}");
                    let sent = pod.to_string();
                    if created.calls == 0 || ran.stdout.trim() == sent {
                        skipped += 1;
                    } else {
                        injected += 1;
                    }
                    assert_eq!(comparable(by_hand.pod), comparable(created.pod), "{name}");
                }
                Err(Refusal::Denied { sentence, .. }) => {
                    assert!(ran.code == 1 && ran.stdout.is_empty(), "{name}: {ran:?}");
                    assert!(ran.stderr.contains(&sentence), "{name}: {sentence}\n{}", ran.stderr);
                    denied += 1;
                }
                // The API server itself refuses a pod whose account is missing, before any webhook.
                Err(Refusal::Forbidden(_)) => refused += 1,
                Err(other) => panic!("{name}: {other}"),
            }
        }
    }
    assert!(
        injected > 80 && denied > 40 && skipped >= 4 && refused < 10,
        "{injected} injected, {denied} denied, {skipped} left as they are, {refused} refused by the API server"
    );
}
