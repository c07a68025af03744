//! `ado-agent keep`: what it may do, what it is told, and that the program understands it.

use std::collections::BTreeSet;

use contract::SYSTEM_NAMESPACE;
use serde_json::{Value, json};
use tests::kustomize::find;
use tests::programs::program;

use super::{restricted, selector, variant};

pub(super) const NAME: &str = "ado-agent-keep";
const COMPONENT: &str = "manifests/components/keep";
/// Pieces of the ledger (`sweep::SHARDS`; the tests check that the program asks for these).
const LEDGER: [&str; 4] = [
    "ado-agent-ledger-0",
    "ado-agent-ledger-1",
    "ado-agent-ledger-2",
    "ado-agent-ledger-3",
];

fn objects() -> Vec<Value> {
    variant(&["manifests/base"], &[COMPONENT], "")
}

fn template(objects: &[Value]) -> &Value {
    &find(objects, "Deployment", NAME).expect("there is one")["spec"]["template"]
}

#[test]
fn it_may_read_pods_and_write_events_where_it_is_bound_and_its_ledger_and_nothing_else() {
    let objects = objects();
    let role = find(&objects, "Role", NAME).expect("there is one");
    assert_eq!(
        role["rules"],
        json!([{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": LEDGER, "verbs": ["get", "update"]}])
    );
    let pods = find(&objects, "ClusterRole", NAME).expect("there is one");
    assert_eq!(
        pods["rules"],
        json!([
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]},
            {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "get", "list", "patch", "watch"]},
            {"apiGroups": ["apps"], "resources": ["replicasets"], "verbs": ["get"]},
            {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get"]},
        ])
    );
    let bound: Vec<&Value> = objects
        .iter()
        .filter(|object| {
            object["kind"]
                .as_str()
                .is_some_and(|kind| kind.ends_with("RoleBinding"))
        })
        .filter(|object| object["subjects"][0]["name"] == NAME)
        .collect();
    assert_eq!(
        bound.len(),
        1,
        "the ClusterRole is bound by the operator, in the namespaces of agents"
    );
    assert_eq!(bound[0]["roleRef"]["kind"], "Role");
    assert_eq!(bound[0]["metadata"]["namespace"], SYSTEM_NAMESPACE);
    for name in LEDGER {
        let map = find(&objects, "ConfigMap", name).expect("a piece of the ledger");
        assert!(map.get("data").is_none(), "to apply it again must not empty it");
    }
}

#[test]
fn its_pod_is_restricted_and_its_token_is_for_entra() {
    let objects = objects();
    let template = template(&objects);
    assert_eq!(restricted::violations(&template["spec"]), [""; 0]);
    let container = &template["spec"]["containers"][0];
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(container["image"], "ghcr.io/ado-agent-injector/ado-agent:0.1.0");
    let token = &template["spec"]["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"];
    assert_eq!(token["audience"], contract::DEFAULT_AUDIENCE);
    let file = format!(
        "{}/{}",
        container["volumeMounts"][0]["mountPath"].as_str().expect("a path"),
        token["path"].as_str().expect("a path")
    );
    assert_eq!(
        container["env"][0],
        json!({"name": "AZURE_FEDERATED_TOKEN_FILE", "value": file})
    );
    let policy = &find(&objects, "NetworkPolicy", NAME).expect("there is one")["spec"];
    assert!(selector::selects(
        &policy["podSelector"],
        &template["metadata"]["labels"]
    ));
    assert_eq!(policy["policyTypes"], json!(["Ingress", "Egress"]));
    let webhook = &find(&objects, "Deployment", "ado-agent-webhook").expect("there is one")["spec"]["template"];
    assert!(
        !selector::selects(&policy["podSelector"], &webhook["metadata"]["labels"]),
        "the webhook's pods are not concerned"
    );
}

/// The program itself reads the arguments and variables of the manifest; without a cluster it gets no further.
#[test]
fn the_program_understands_its_settings() {
    let objects = objects();
    let container = &template(&objects)["spec"]["containers"][0];
    let name = container["envFrom"][0]["configMapRef"]["name"]
        .as_str()
        .expect("a ConfigMap");
    let settings = find(&objects, "ConfigMap", name).expect("the ConfigMap that the Deployment names");
    let settings = settings["data"].as_object().expect("settings");
    let run = |without: &str| {
        let variables = settings.iter().filter(|(key, _)| *key != without);
        let mut command = std::process::Command::new(program("ado-agent").expect("built"));
        command
            .env_clear()
            .args(
                container["args"]
                    .as_array()
                    .expect("arguments")
                    .iter()
                    .filter_map(Value::as_str),
            )
            .args(["--listen", "127.0.0.1:0", "--kubeconfig", "/nowhere"])
            .env("AZURE_FEDERATED_TOKEN_FILE", "/nowhere")
            .envs(variables.map(|(key, value)| (key, value.as_str().expect("a string"))));
        command.output().expect("it starts")
    };
    let ended = run("");
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("/nowhere cannot be read as a kubeconfig"), "{said}");
    // Each setting that it needs is missed.
    let needed: BTreeSet<&str> = ["ADO_AGENT_KEEP_URL", "ADO_AGENT_KEEP_POOLS"].into();
    for variable in needed {
        assert_eq!(run(variable).status.code(), Some(64), "without {variable}");
    }
}
