//! `inject` against the examples of the webhook: what becomes of a manifest is what becomes of the pod.

use cli::inject::{
    Account, Accounts, Automount, Outcome, Purpose, Selectors, Verdict, World, injected, outcomes, settings,
};
use cli::manifest::{Document, documents};
use inject::{ClusterFacts, Decision, ServiceAccount, variable};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const CLIENT_ID: &str = "11111111-2222-3333-4444-555555555555";
const TENANT_ID: &str = "99999999-8888-7777-6666-555555555555";

/// One folder of `webhook/inject/testdata`.
struct Example(PathBuf);

impl Example {
    fn all() -> Vec<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../webhook/inject/testdata");
        let entries = std::fs::read_dir(folder).expect("testdata is there");
        let mut all: Vec<_> = entries
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.is_dir())
            .collect();
        all.sort();
        assert!(all.len() > 100, "{}", all.len());
        all.into_iter().map(Self).collect()
    }

    fn name(&self) -> String {
        self.0.file_name().expect("a name").to_string_lossy().into_owned()
    }

    fn text(&self, file: &str) -> Option<String> {
        std::fs::read_to_string(self.0.join(file)).ok()
    }

    fn json(&self, file: &str) -> Option<Value> {
        Some(serde_json::from_str(&self.text(file)?).expect("JSON"))
    }

    /// Whether it is about a request that no manifest leads to: another operation or resource.
    fn is_no_creation(&self) -> bool {
        let request = self.json("request.json").unwrap_or_default();
        ["operation", "group", "resource", "subresource"]
            .iter()
            .any(|key| !request[*key].is_null())
            || self
                .json("pod.json")
                .is_some_and(|pod| pod["kind"].as_str().is_some_and(|kind| kind != "Pod"))
    }

    fn manifest(&self) -> Value {
        let mut pod = self.json("pod.json").expect("a pod");
        pod["apiVersion"] = json!("v1");
        pod["kind"] = json!("Pod");
        pod
    }

    /// As the example says; the settings go through a ConfigMap.
    fn world(&self) -> World {
        let changes = self.json("settings.json").unwrap_or_default();
        let mut data = json!({variable("sidecar-image"): "registry.example/ado-agent-sidecar:0.1.0"});
        for (name, value) in changes.as_object().into_iter().flatten() {
            let name = if name == "ca-pem" { "ca-file" } else { name };
            data[variable(name)] = if name == "ca-file" {
                json!("/ca.pem")
            } else {
                value.clone()
            };
        }
        let map = json!({"kind": "ConfigMap", "metadata": {"name": settings::WEBHOOK}, "data": data});
        let ca = changes["ca-pem"].as_str().map(str::to_owned);
        let identity = match self.json("account.json") {
            None => ServiceAccount::Found {
                client_id: Some(CLIENT_ID.to_owned()),
                tenant_id: Some(TENANT_ID.to_owned()),
            },
            Some(Value::String(_)) => ServiceAccount::Missing,
            Some(account) => match account["unreadable"].as_str() {
                Some(why) => ServiceAccount::Unreadable(why.to_owned()),
                None => ServiceAccount::Found {
                    client_id: account["clientId"].as_str().map(str::to_owned),
                    tenant_id: account["tenantId"].as_str().map(str::to_owned),
                },
            },
        };
        let account = Account {
            identity,
            automount: Automount::No,
        };
        let request = self.json("request.json").unwrap_or_default();
        let namespace = request["namespace"].as_str().unwrap_or("agents").to_owned();
        World {
            settings: settings::Objects::among([&map]).settings(ca).expect("settings"),
            facts: ClusterFacts {
                id: "7c9e6679-7425-40de-944b-e07fc1f90ae7".to_owned(),
                native_sidecars: self
                    .json("cluster.json")
                    .is_none_or(|facts| facts["native_sidecars"] == true),
            },
            accounts: Accounts::of(&[], &namespace, account),
            namespaces: BTreeMap::new(),
            selectors: Selectors::Unknown,
            namespace,
            notes: Vec::new(),
        }
    }
}

fn only(value: &Value) -> Vec<Document> {
    documents("manifest.json", &value.to_string()).expect("JSON")
}

fn decided(outcome: &Outcome) -> &Decision {
    match &outcome.verdict {
        Verdict::Decided { decision, .. } => decision,
        Verdict::NotSent(sentence) => panic!("{sentence}"),
    }
}

#[test]
fn a_manifest_becomes_what_the_webhook_makes_of_its_pod() {
    let (mut made, mut refused, mut left) = (0, 0, 0);
    for example in Example::all() {
        if example.is_no_creation() {
            left += 1;
            continue;
        }
        let mut manifest = example.manifest();
        if let Some(namespace) = manifest["metadata"]
            .as_object_mut()
            .and_then(|metadata| metadata.remove("namespace"))
        {
            assert!(namespace.is_string(), "{}", example.name());
        }
        let (documents, world) = (only(&manifest), example.world());
        let found = outcomes(&documents, &world, Purpose::Manual);
        let [outcome] = found.as_slice() else {
            // What has no spec is no pod for us; the webhook says so.
            assert!(
                example
                    .text("denied.txt")
                    .is_some_and(|text| text.contains("malformed")),
                "{}",
                example.name()
            );
            continue;
        };
        let decision = decided(outcome);
        if let Some(expected) = example.text("denied.txt") {
            let Decision::Deny(denial) = decision else {
                panic!("{}: {decision:?}", example.name())
            };
            assert_eq!(format!("{denial}\n"), expected, "{}", example.name());
            refused += 1;
            continue;
        }
        let warnings: String = decision
            .warnings()
            .iter()
            .map(|warning| format!("{warning}\n"))
            .collect();
        assert_eq!(
            warnings,
            example.text("warnings.txt").unwrap_or_default(),
            "{}",
            example.name()
        );
        let written: Value = serde_json::from_str(&injected(&documents, &found)).expect("JSON");
        match (example.text("skip.txt"), example.json("pod.patched.json")) {
            (Some(reason), None) => {
                assert_eq!(format!("{}\n", decision.reason()), reason, "{}", example.name());
                assert_eq!(written, manifest, "{}", example.name());
            }
            (None, Some(mut expected)) => {
                expected["apiVersion"] = json!("v1");
                expected["kind"] = json!("Pod");
                if let Some(metadata) = expected["metadata"].as_object_mut() {
                    metadata.remove("namespace");
                }
                assert_eq!(written, expected, "{}", example.name());
                made += 1;
            }
            (skip, pod) => panic!("{}: {skip:?} {pod:?}", example.name()),
        }
    }
    assert!(
        made > 80 && refused > 50 && left < 10,
        "{made} injected, {refused} refused, {left} left out"
    );
}

#[test]
fn what_was_injected_once_is_left_as_it_is_and_its_text_too() {
    for example in Example::all() {
        if example.is_no_creation() || example.json("pod.patched.json").is_none() {
            continue;
        }
        let pod = example.manifest();
        let template = json!({"metadata": pod["metadata"], "spec": pod["spec"]});
        let cron_job = json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "a", "namespace": "agents"},
            "spec": {"jobTemplate": {"spec": {"template": template}}}});
        let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "namespace": "agents"},
            "spec": {"template": template}});
        let list = json!({"apiVersion": "v1", "kind": "List", "items": [deployment, cron_job, {"kind": "Other"}]});
        let world = example.world();
        let documents_ = only(&list);
        let found = outcomes(&documents_, &world, Purpose::Manual);
        assert_eq!(found.len(), 2, "{}", example.name());
        let once = injected(&documents_, &found);
        assert_ne!(
            serde_json::from_str::<Value>(&once).expect("JSON"),
            list,
            "{}",
            example.name()
        );
        let again = documents("once.json", &once).expect("JSON");
        let found = outcomes(&again, &world, Purpose::Manual);
        assert!(
            found
                .iter()
                .all(|outcome| decided(outcome).reason() == "already-injected"),
            "{}: {found:?}",
            example.name()
        );
        assert_eq!(injected(&again, &found), once, "{}", example.name());
    }
}

#[test]
fn the_api_token_counts_unless_pod_or_account_decline_it() {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "labels": {"ado-agent.dev/inject": "true"}},
        "spec": {"containers": [{"name": "agent", "env": [{"name": "AZP_URL", "value": "https://dev.azure.com/contoso"}]}]}});
    let bare = Example::all()
        .into_iter()
        .find(|example| example.name() == "bare-pod")
        .expect("bare-pod");
    let is_isolated = |pod: &Value, automount: Automount| {
        let identity = ServiceAccount::Found {
            client_id: Some(CLIENT_ID.to_owned()),
            tenant_id: None,
        };
        let account = Account { identity, automount };
        let world = World {
            accounts: Accounts::of(&[], "agents", account),
            ..bare.world()
        };
        let documents = only(pod);
        let text = injected(&documents, &outcomes(&documents, &world, Purpose::Manual));
        let pod: Value = serde_json::from_str(&text).expect("JSON");
        let spec = pod["spec"].to_string();
        assert!(
            !spec.contains("kube-api-access"),
            "the volume is the API server's to add: {spec}"
        );
        let status = pod["metadata"]["annotations"]["ado-agent.dev/status"]
            .as_str()
            .expect("a status")
            .to_owned();
        serde_json::from_str::<Value>(&status).expect("JSON")["isolated"] == true
    };
    assert!(!is_isolated(&pod, Automount::Yes));
    assert!(is_isolated(&pod, Automount::No));
    for (flag, expected) in [(true, false), (false, true)] {
        let mut pod = pod.clone();
        pod["spec"]["automountServiceAccountToken"] = json!(flag);
        assert_eq!(is_isolated(&pod, Automount::Yes), expected);
        assert_eq!(is_isolated(&pod, Automount::No), expected);
    }
}
