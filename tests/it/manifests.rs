//! The manifests, rendered as a user renders them: every name, path and selector agrees with the others, with the contract
//! and with what the webhook does by default.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use contract::{INJECT_LABEL, SYSTEM_NAMESPACE, WEBHOOK_CONFIGURATION};
use serde_json::{Value, json};
use tests::kustomize::{find, render};
use tests::programs::repository;

#[path = "manifests/chart.rs"]
mod chart;
#[path = "manifests/deployment.rs"]
mod deployment;
#[path = "manifests/examples.rs"]
mod examples;
#[path = "manifests/keep.rs"]
mod keep;
#[path = "manifests/network.rs"]
mod network;
#[path = "manifests/restricted.rs"]
mod restricted;
#[path = "manifests/selector.rs"]
mod selector;
#[path = "manifests/supply.rs"]
mod supply;
#[path = "manifests/version.rs"]
mod version;

/// A kustomization of this folder, made for one test, that takes parts of the repository.
fn variant(resources: &[&str], components: &[&str], rest: &str) -> Vec<Value> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().canonicalize().expect("it exists");
    // kustomize wants relative paths.
    let up = "../".repeat(path.components().count() - 1);
    let top = repository().canonicalize().expect("it exists");
    let list = |paths: &[&str]| {
        let paths: Vec<_> = paths
            .iter()
            .map(|path| format!("{up}{}", top.join(path).display()).replace("//", "/"))
            .collect();
        json!(paths).to_string()
    };
    let text = format!(
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: {}\ncomponents: {}\n{rest}",
        list(resources),
        list(components)
    );
    std::fs::write(path.join("kustomization.yaml"), text).expect("the folder is writable");
    render(&path).expect("the variant renders")
}

fn folders(parent: &str) -> Vec<PathBuf> {
    let mut folders: Vec<_> = std::fs::read_dir(repository().join(parent))
        .expect("the folder exists")
        .map(|entry| entry.expect("it can be listed").path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    assert!(!folders.is_empty(), "nothing below {parent}");
    folders
}

/// Everything that can be installed: the base, each overlay, and the base with each component.
fn renderings() -> Vec<(String, Vec<Value>)> {
    let mut all = vec![(
        "base".to_owned(),
        render(&repository().join("manifests/base")).expect("the base renders"),
    )];
    for folder in folders("manifests/overlays") {
        all.push((name(&folder), render(&folder).expect("the overlay renders")));
    }
    for folder in folders("manifests/components") {
        let component = format!("manifests/components/{}", name(&folder));
        all.push((
            format!("base with {component}"),
            variant(&["manifests/base"], &[&component], ""),
        ));
    }
    all
}

fn name(path: &Path) -> String {
    path.file_name()
        .expect("a folder has a name")
        .to_string_lossy()
        .into_owned()
}

fn kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

fn webhook(objects: &[Value]) -> Value {
    let configuration = find(objects, "MutatingWebhookConfiguration", WEBHOOK_CONFIGURATION).expect("there is one");
    let webhooks = configuration["webhooks"].as_array().expect("a list");
    assert_eq!(webhooks.len(), 1);
    webhooks[0].clone()
}

fn deployment(objects: &[Value]) -> &Value {
    find(objects, "Deployment", "ado-agent-webhook").expect("there is one")
}

fn container(objects: &[Value]) -> &Value {
    let containers = deployment(objects)["spec"]["template"]["spec"]["containers"]
        .as_array()
        .expect("a list");
    assert_eq!(containers.len(), 1);
    &containers[0]
}

/// The settings that the Deployment gets from its ConfigMap.
fn settings(objects: &[Value]) -> BTreeMap<String, String> {
    let name = container(objects)["envFrom"][0]["configMapRef"]["name"]
        .as_str()
        .expect("a ConfigMap");
    let map = find(objects, "ConfigMap", name).expect("the ConfigMap that the Deployment names");
    assert_eq!(map["metadata"]["namespace"], SYSTEM_NAMESPACE);
    serde_json::from_value(map["data"].clone()).expect("strings")
}

/// The default of one of the webhook's flags.
fn default(flag: &str) -> String {
    webhook::config::reference()
        .into_iter()
        .find(|row| row.flag == flag)
        .unwrap_or_else(|| panic!("the webhook has no flag {flag}"))
        .default
}

fn port(address: &str) -> u64 {
    address
        .rsplit(':')
        .next()
        .and_then(|port| port.parse().ok())
        .unwrap_or_else(|| panic!("no port in {address}"))
}

#[test]
fn every_object_is_in_the_restricted_namespace() {
    const CLUSTER_SCOPED: &[&str] = &[
        "ClusterRole",
        "ClusterRoleBinding",
        "MutatingWebhookConfiguration",
        "Namespace",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    ];
    for (rendering, objects) in renderings() {
        for object in &objects {
            let kind = object["kind"].as_str().expect("a kind");
            let namespace = &object["metadata"]["namespace"];
            if CLUSTER_SCOPED.contains(&kind) {
                assert!(namespace.is_null(), "{rendering}: {object}");
            } else {
                assert_eq!(namespace, SYSTEM_NAMESPACE, "{rendering}: {object}");
            }
        }
        let namespace = find(&objects, "Namespace", SYSTEM_NAMESPACE).expect("there is one");
        let labels = namespace["metadata"]["labels"].as_object().expect("labels");
        assert_eq!(labels["pod-security.kubernetes.io/enforce"], "restricted");
        assert!(!labels.contains_key("control-plane"), "AKS keeps webhooks away");
        assert!(
            !labels.contains_key(INJECT_LABEL),
            "the webhook's own namespace never opts in"
        );
    }
}

#[test]
fn service_port_and_ca_lead_the_api_server_to_the_program() {
    for (rendering, objects) in renderings() {
        let webhook = webhook(&objects);
        let client = &webhook["clientConfig"]["service"];
        assert_eq!(client["path"], "/mutate");
        assert_eq!(client["namespace"], SYSTEM_NAMESPACE);
        let name = client["name"].as_str().expect("a name");

        let service = find(&objects, "Service", name).expect("the Service that the API server calls");
        let service_port = &service["spec"]["ports"][0];
        assert_eq!(service_port["port"], client["port"], "{rendering}");
        let https = ports(&objects)[service_port["targetPort"].as_str().expect("a named port")];
        assert_eq!(https, port(&default("--tls-address")), "{rendering}");
        assert!(default("--tls-address").starts_with("[::]:"), "both address families");

        let configuration =
            find(&objects, "MutatingWebhookConfiguration", WEBHOOK_CONFIGURATION).expect("there is one");
        let annotation = configuration["metadata"]["annotations"]["cert-manager.io/inject-ca-from"]
            .as_str()
            .expect("the CA is injected");
        let (namespace, certificate) = annotation.split_once('/').expect("NAMESPACE/NAME");
        assert_eq!(namespace, SYSTEM_NAMESPACE);
        let certificate =
            &find(&objects, "Certificate", certificate).expect("the Certificate of the annotation")["spec"];
        assert_eq!(
            certificate["dnsNames"],
            json!([format!("{name}.{SYSTEM_NAMESPACE}.svc")])
        );
        assert_eq!(
            volume(&objects, "tls")["secret"]["secretName"],
            certificate["secretName"]
        );
        let mount = &container(&objects)["volumeMounts"][0];
        assert_eq!(mount["name"], "tls");
        assert_eq!(mount["mountPath"], default("--tls-dir").as_str());
        assert!(mount["subPath"].is_null(), "a subPath never sees a renewal");
    }
}

/// Named ports of the container.
fn ports(objects: &[Value]) -> BTreeMap<String, u64> {
    container(objects)["ports"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|port| {
            let name = port["name"].as_str().expect("ports have names");
            (name.to_owned(), port["containerPort"].as_u64().expect("a number"))
        })
        .collect()
}

fn volume<'a>(objects: &'a [Value], name: &str) -> &'a Value {
    deployment(objects)["spec"]["template"]["spec"]["volumes"]
        .as_array()
        .expect("a list")
        .iter()
        .find(|volume| volume["name"] == name)
        .unwrap_or_else(|| panic!("no volume {name}"))
}

#[test]
fn the_certificate_chain_is_a_root_an_issuer_and_a_short_lived_leaf() {
    for (rendering, objects) in renderings() {
        let issuer = |spec: &Value| {
            let name = spec["issuerRef"]["name"].as_str().expect("an issuer");
            find(&objects, "Issuer", name).expect("the Issuer exists")["spec"].clone()
        };
        let leaf = &find(&objects, "Certificate", "ado-agent-webhook").expect("there is one")["spec"];
        assert_eq!(
            leaf["privateKey"],
            json!({"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"})
        );
        assert_eq!(
            (&leaf["duration"], &leaf["renewBefore"]),
            (&json!("2160h"), &json!("720h"))
        );
        assert!(
            leaf["usages"]
                .as_array()
                .expect("a list")
                .contains(&json!("server auth"))
        );

        let ca_secret = issuer(leaf)["ca"]["secretName"].clone();
        let root = kind(&objects, "Certificate")
            .into_iter()
            .find(|certificate| certificate["spec"]["secretName"] == ca_secret)
            .expect("the Certificate that fills the Issuer's secret");
        assert_eq!(root["spec"]["isCA"], true, "{rendering}");
        assert_eq!(root["spec"]["duration"], "87600h", "{rendering}");
        assert_eq!(issuer(&root["spec"]), json!({"selfSigned": {}}), "{rendering}");
    }
}

#[test]
fn the_webhook_configuration_sorts_before_azwis_and_has_the_expected_fields() {
    for (rendering, objects) in renderings() {
        let configuration =
            find(&objects, "MutatingWebhookConfiguration", WEBHOOK_CONFIGURATION).expect("there is one");
        assert!(WEBHOOK_CONFIGURATION < "azure-wi-webhook-mutating-webhook-configuration");
        for place in ["labels", "annotations"] {
            assert_eq!(configuration["metadata"][place]["admissions.enforcer/disabled"], "true");
        }
        let ignore = rendering.ends_with("failure-policy-ignore");
        let webhook = webhook(&objects);
        assert_eq!(webhook["name"], "inject.ado-agent.dev");
        assert_eq!(
            webhook["failurePolicy"],
            if ignore { "Ignore" } else { "Fail" },
            "{rendering}"
        );
        assert_eq!(webhook["reinvocationPolicy"], "IfNeeded");
        assert_eq!(webhook["matchPolicy"], "Equivalent");
        assert_eq!(webhook["sideEffects"], "None");
        assert_eq!(webhook["timeoutSeconds"], 5);
        assert_eq!(webhook["admissionReviewVersions"], json!(["v1"]));
        assert_eq!(webhook["rules"], pods_on_create());
        if ignore {
            assert_eq!(kind(&objects, "ValidatingAdmissionPolicy").len(), 1);
        }
    }
}

fn pods_on_create() -> Value {
    json!([{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"], "scope": "Namespaced"}])
}

#[test]
fn the_cluster_role_allows_exactly_three_reads() {
    for (rendering, objects) in renderings() {
        // `ado-agent keep` has rights of its own (keep.rs).
        let of_the_webhook = |object: &&Value| object["metadata"]["name"] != keep::NAME;
        let roles: BTreeSet<_> = objects
            .iter()
            .filter(of_the_webhook)
            .filter_map(|object| object["kind"].as_str())
            .filter(|kind| kind.contains("Role"))
            .collect();
        assert_eq!(
            roles,
            BTreeSet::from(["ClusterRole", "ClusterRoleBinding"]),
            "{rendering}"
        );
        let rules: Vec<_> = kind(&objects, "ClusterRole")
            .into_iter()
            .filter(of_the_webhook)
            .map(|role| role["rules"].clone())
            .collect();
        assert_eq!(
            rules,
            [json!([
                {"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["get", "list", "watch"]},
                {"apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["kube-system"], "verbs": ["get"]},
            ])],
            "{rendering}"
        );
        let binding = kind(&objects, "ClusterRoleBinding")[0];
        assert_eq!(
            binding["subjects"],
            json!([{"kind": "ServiceAccount", "name": "ado-agent-webhook", "namespace": SYSTEM_NAMESPACE}])
        );
        assert_eq!(
            deployment(&objects)["spec"]["template"]["spec"]["serviceAccountName"],
            "ado-agent-webhook"
        );
    }
}
