//! The example workloads: what a user copies has to work.

use contract::{
    AZP_POOL_VARIABLE, AZP_URL_VARIABLE, AZWI_CLIENT_ID_ANNOTATION, INJECT_LABEL, LABELS, POD_ANNOTATIONS, PREFIX,
    SECRET_VARIABLES,
};
use serde_json::{Value, json};
use tests::kustomize::{documents, find};
use tests::programs::repository;

use super::restricted;

const NAMESPACE: &str = "agents";

fn example(name: &str) -> Vec<Value> {
    documents(&format!("manifests/examples/{name}.yaml")).expect("the example is YAML")
}

fn all() -> Vec<Value> {
    let folder = repository().join("manifests/examples");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the folder exists")
        .map(|entry| entry.expect("it can be listed").path())
        .collect();
    files.sort();
    let names: Vec<_> = files
        .iter()
        .map(|file| file.file_stem().expect("a file name").to_string_lossy().into_owned())
        .collect();
    assert_eq!(
        names,
        [
            "deployment",
            "job",
            "keda-scaledjob",
            "keda-scaledobject",
            "keda-trigger-authentication",
            "networkpolicy"
        ]
    );
    names.iter().flat_map(|name| example(name)).collect()
}

/// Pod templates with the name of their owner.
pub(super) fn templates() -> Vec<(String, Value)> {
    all()
        .iter()
        .filter_map(|object| {
            let owner = format!("{} {}", object["kind"], object["metadata"]["name"]);
            ["/spec/template", "/spec/jobTargetRef/template"]
                .iter()
                .find_map(|path| object.pointer(path))
                .map(|template| (owner, template.clone()))
        })
        .collect()
}

/// Everything but the namespace lies in it, and every key of ours is one that the contract knows.
#[test]
fn every_key_is_known_and_every_namespace_opted_in() {
    let objects = all();
    let namespace = find(&objects, "Namespace", NAMESPACE).unwrap();
    assert_eq!(namespace["metadata"]["labels"][INJECT_LABEL], "true");
    for object in &objects {
        if object["kind"] != "Namespace" {
            assert_eq!(object["metadata"]["namespace"], NAMESPACE, "{object}");
        }
    }
    let known: Vec<_> = LABELS.iter().chain(POD_ANNOTATIONS).map(|entry| entry.name).collect();
    let mut seen = 0;
    for object in &objects {
        for key in keys(object).into_iter().filter(|key| key.starts_with(PREFIX)) {
            assert!(known.contains(&key.as_str()), "{key} in {}", object["kind"]);
            seen += 1;
        }
    }
    assert!(seen >= 4, "the namespace and three pod templates");
}

/// Every key of an object, at any depth.
fn keys(value: &Value) -> Vec<String> {
    match value {
        Value::Object(map) => map
            .iter()
            .flat_map(|(key, value)| std::iter::once(key.clone()).chain(keys(value)))
            .collect(),
        Value::Array(list) => list.iter().flat_map(keys).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

#[test]
fn every_pod_asks_for_the_sidecar_holds_no_secret_and_is_restricted() {
    let objects = all();
    let templates = templates();
    assert_eq!(templates.len(), 3);
    for (owner, template) in templates {
        assert_eq!(template["metadata"]["labels"][INJECT_LABEL], "true", "{owner}");
        let spec = &template["spec"];
        assert_eq!(restricted::violations(spec), [""; 0], "{owner}");
        assert_eq!(spec["automountServiceAccountToken"], false, "{owner}");
        let account = spec["serviceAccountName"].as_str().unwrap();
        let account = find(&objects, "ServiceAccount", account).unwrap();
        assert_eq!(account["automountServiceAccountToken"], false);
        assert!(account["metadata"]["annotations"][AZWI_CLIENT_ID_ANNOTATION].is_string());
        let map = spec["containers"][0]["envFrom"][0]["configMapRef"]["name"]
            .as_str()
            .unwrap();
        let data = &find(&objects, "ConfigMap", map).unwrap()["data"];
        for variable in [AZP_URL_VARIABLE, AZP_POOL_VARIABLE] {
            assert!(data[variable].is_string(), "{owner}: {variable}");
        }
        let text = template.to_string();
        for secret in SECRET_VARIABLES {
            assert!(!text.contains(&format!("{secret:?}")), "{owner}: {secret}");
        }
    }
    assert!(super::kind(&objects, "Secret").is_empty());
}

#[test]
fn a_job_runs_one_agent_once() {
    let job = example("job").remove(0);
    let scaled = example("keda-scaledjob").remove(0);
    for spec in [&job["spec"], &scaled["spec"]["jobTargetRef"]] {
        assert_eq!(spec["backoffLimit"], 0);
        assert_eq!(spec["template"]["spec"]["restartPolicy"], "Never");
        assert_eq!(spec["template"]["spec"]["containers"][0]["args"], json!(["--once"]));
    }
}

#[test]
fn keda_asks_for_the_same_pool_with_an_identity_of_its_own() {
    let objects = all();
    let data = &find(&objects, "ConfigMap", "azp-agent").unwrap()["data"];
    let url = data[AZP_URL_VARIABLE].as_str().unwrap();
    assert!(
        !url.ends_with('/'),
        "KEDA takes the organization from what follows the last slash"
    );
    let account = find(&objects, "ServiceAccount", "azp-agent").unwrap();
    let agents = &account["metadata"]["annotations"][AZWI_CLIENT_ID_ANNOTATION];

    for (kind, name) in [("ScaledJob", "keda-scaledjob"), ("ScaledObject", "keda-scaledobject")] {
        let object = example(name).remove(0);
        assert_eq!(object["kind"], kind);
        let trigger = &object["spec"]["triggers"][0];
        assert_eq!(trigger["type"], "azure-pipelines");
        let metadata = &trigger["metadata"];
        assert_eq!(metadata["poolName"], data[AZP_POOL_VARIABLE], "{kind}");
        assert_eq!(metadata["organizationURLFromEnv"], AZP_URL_VARIABLE, "{kind}");
        assert_eq!(metadata["fetchUnfinishedJobsOnly"], "true");
        assert_eq!(metadata["scaleOnInFlight"], "true");
        assert!(metadata["jobsToFetch"].is_null(), "KEDA refuses it beside parent");
        assert_eq!(object["spec"]["minReplicaCount"], 0);
        let parent = metadata["parent"].as_str().unwrap();
        assert_eq!(tests::provisioning::default_of("placeholder"), parent);
        assert!(
            metadata.as_object().unwrap().values().all(Value::is_string),
            "KEDA's metadata are strings"
        );

        let name = trigger["authenticationRef"]["name"].as_str().unwrap();
        let identity = &find(&objects, "TriggerAuthentication", name).unwrap()["spec"]["podIdentity"];
        assert_eq!(identity["provider"], "azure-workload");
        assert_ne!(
            &identity["identityId"], agents,
            "KEDA only reads and gets an identity of its own"
        );
    }
    let job = &example("keda-scaledjob")[0]["spec"];
    assert_eq!(
        job["scalingStrategy"]["strategy"], "default",
        "the strategy for counts with jobs in flight"
    );
    assert_eq!(job["rollout"]["strategy"], "gradual");
    let target = example("keda-scaledobject")[0]["spec"]["scaleTargetRef"]["name"].clone();
    find(&example("deployment"), "Deployment", target.as_str().unwrap()).unwrap();
}

/// The webhook takes every example as it is, with the settings of every overlay, and what comes out is still restricted.
#[test]
fn every_example_is_injected_and_stays_restricted() {
    for (rendering, objects) in super::renderings() {
        let settings = super::settings(&objects);
        let config = webhook::config::Config::read(["ado-agent-webhook".to_owned()], |key| settings.get(key).cloned())
            .unwrap_or_else(|error| panic!("{rendering}: {error}"));
        for (owner, template) in templates() {
            let pod = json!({
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"generateName": "azp-agent-", "labels": template["metadata"]["labels"]},
                "spec": template["spec"],
            });
            let patched =
                inject(&pod, &config.settings).unwrap_or_else(|denied| panic!("{rendering}, {owner}: {denied}"));
            assert_eq!(
                restricted::violations(&patched["spec"]),
                [""; 0],
                "{rendering}, {owner}"
            );
            let sidecar = &patched["spec"]["initContainers"][0];
            assert_eq!(sidecar["name"], contract::SIDECAR_CONTAINER);
            assert_eq!(
                sidecar["image"],
                settings["ADO_AGENT_WEBHOOK_SIDECAR_IMAGE"].as_str(),
                "{rendering}"
            );
        }
    }
}

/// What the webhook makes of a pod in the examples' namespace, or its denial.
fn inject(pod: &Value, settings: &inject::Settings) -> Result<Value, String> {
    let request = inject::Request::create_pod(NAMESPACE);
    let cluster = inject::ClusterFacts {
        id: "cluster".to_owned(),
        native_sidecars: true,
    };
    let context = inject::Context {
        settings,
        cluster: &cluster,
    };
    let inject::Inspection::NeedsAccount(pending) = inject::inspect(pod, &request, context) else {
        panic!("the identity of an example is its ServiceAccount's");
    };
    assert_eq!(pending.account(), "azp-agent");
    let account =
        find(&all(), "ServiceAccount", "azp-agent").expect("the examples have the account")["metadata"]["annotations"]
            .clone();
    let annotation = |key: &str| account[key].as_str().map(str::to_owned);
    let account = inject::ServiceAccount::Found {
        client_id: annotation(AZWI_CLIENT_ID_ANNOTATION),
        tenant_id: annotation(contract::AZWI_TENANT_ID_ANNOTATION),
    };
    match pending.decide(&account) {
        inject::Decision::Inject(injection) => {
            let mut patched = pod.clone();
            let patch: json_patch::Patch = serde_json::from_slice(&injection.patch).expect("a JSON Patch");
            json_patch::patch(&mut patched, &patch).expect("the patch applies");
            assert_eq!(injection.warnings, [""; 0], "an example gives nothing to warn about");
            Ok(patched)
        }
        inject::Decision::Skip { reason, .. } => Err(reason.to_string()),
        inject::Decision::Deny(denial) => Err(denial.to_string()),
    }
}
