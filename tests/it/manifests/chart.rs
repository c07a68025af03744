//! The chart renders what the kustomization renders, object for object, and refuses what it does not know.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use azure_emulators::tls::{Pair, client_config};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use contract::SYSTEM_NAMESPACE;
use serde_json::{Map, Value, json};
use tests::apiserver::webhook::service_name;
use tests::chart;
use tests::helm::{self, CHART, helm};
use tests::kustomize::{find, parse, render};
use tests::programs::repository;

use super::{settings, variant};

/// Objects by kind and name, but for what the two tools do otherwise: kustomize adds a hash to the ConfigMap's name, the chart
/// notes one in the pod template; the one has the Namespace, Helm is told where to install.
fn comparable(objects: &[Value]) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for object in objects {
        let mut object = object.clone();
        let kind = object["kind"].as_str().expect("a kind").to_owned();
        match kind.as_str() {
            "Namespace" => continue,
            "ConfigMap" => without_hash(&mut object["metadata"]["name"]),
            "Deployment" => {
                let template = &mut object["spec"]["template"];
                let container = &mut template["spec"]["containers"][0];
                without_hash(&mut container["envFrom"][0]["configMapRef"]["name"]);
                if let Some(annotations) = template["metadata"]["annotations"].as_object_mut() {
                    annotations.remove("checksum/settings");
                }
            }
            _ => {}
        }
        let name = format!("{kind} {}", object["metadata"]["name"].as_str().expect("a name"));
        assert!(all.insert(name.clone(), object).is_none(), "{name} is there twice");
    }
    all
}

fn without_hash(name: &mut Value) {
    for plain in ["ado-agent-webhook", "ado-agent-keep"] {
        if name.as_str().is_some_and(|name| name.starts_with(plain)) {
            *name = json!(plain);
        }
    }
}

/// Fails with the first field that differs.
fn same(kustomize: &[Value], values: &Value) {
    let chart = helm::render(values).unwrap_or_else(|error| panic!("{values}: {error:#}"));
    let (kustomize, chart) = (comparable(kustomize), comparable(&chart));
    let names = |all: &BTreeMap<String, Value>| all.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&chart), names(&kustomize), "{values}");
    for (name, expected) in &kustomize {
        assert_eq!(&chart[name], expected, "{name} with {values}");
    }
}

fn kustomized(folder: &str) -> Vec<Value> {
    render(&repository().join(folder)).expect("it renders")
}

#[test]
fn the_chart_without_values_is_the_base() {
    same(&kustomized("manifests/base"), &json!({}));
}

#[test]
fn values_stand_for_the_production_overlay() {
    let values = json!({
        "images": {
            "webhook": {"repository": "registry.example.com/platform/ado-agent-webhook"},
            "sidecar": {"repository": "registry.example.com/platform/ado-agent-sidecar"},
        },
        "settings": {"tenantId": "00000000-0000-0000-0000-000000000000", "gracePeriod": 7200},
        "replicas": 3,
        "topologySpread": "DoNotSchedule",
        "forgottenLabel": {"deny": true},
    });
    same(&kustomized("manifests/overlays/production"), &values);
}

#[test]
fn values_stand_for_the_components() {
    for (component, values) in [
        ("api-server-only", json!({"networkPolicy": {"apiServerOnly": true}})),
        ("failure-policy-ignore", json!({"failurePolicy": "Ignore"})),
        ("forgotten-label", json!({"forgottenLabel": {"deny": true}})),
    ] {
        let component = format!("manifests/components/{component}");
        same(&variant(&["manifests/base"], &[&component], ""), &values);
    }
}

#[test]
fn values_stand_for_keep() {
    let values = json!({"keep": {
        "enabled": true,
        "clientId": "00000000-0000-0000-0000-000000000002",
        "tenantId": "00000000-0000-0000-0000-000000000000",
        "url": "https://dev.azure.com/ORGANIZATION",
        "pools": "kubernetes",
        "namespaces": "agents",
    }});
    let component = "manifests/components/keep";
    same(&variant(&["manifests/base"], &[component], ""), &values);
}

#[test]
fn values_stand_for_images_by_digest() {
    let (first, second) = ("a".repeat(64), "b".repeat(64));
    let rest = format!(
        "configMapGenerator:\n  - name: ado-agent-images\n    namespace: {SYSTEM_NAMESPACE}\n    behavior: merge\n    \
         literals:\n      - webhook=registry.example.com/webhook:2@sha256:{first}\n      \
         - sidecar=registry.example.com/sidecar:3@sha256:{second}\n"
    );
    let kustomize = variant(&["manifests/base"], &["manifests/components/images"], &rest);
    let values = json!({"images": {
        "webhook": {"repository": "registry.example.com/webhook", "tag": "2", "digest": format!("sha256:{first}")},
        "sidecar": {"repository": "registry.example.com/sidecar", "tag": "3", "digest": format!("sha256:{second}")},
    }});
    same(&kustomize, &values);
}

#[test]
fn values_stand_for_resources_of_an_overlay() {
    let rest = "patches:\n  - patch: |-\n      apiVersion: apps/v1\n      kind: Deployment\n      metadata: {name: ado-agent-webhook, \
                namespace: ado-agent-system}\n      spec: {template: {spec: {containers: [{name: webhook, resources: {requests: \
                {cpu: 200m}, limits: {memory: 256Mi}}}]}}}\n";
    let kustomize = variant(&["manifests/base"], &[], rest);
    let values = json!({"resources": {"requests": {"cpu": "200m"}, "limits": {"memory": "256Mi"}}});
    same(&kustomize, &values);
}

#[test]
fn values_stand_for_a_private_ca() {
    let values = json!({"privateCa": {"configMap": "private-ca"}});
    same(&kustomized("tests/cluster/manifests/private-ca"), &values);
}

#[test]
fn the_namespace_can_be_rendered() {
    let objects = helm::render(&json!({"createNamespace": true})).expect("it renders");
    let base = kustomized("manifests/base");
    let namespace = |objects: &[Value]| {
        find(objects, "Namespace", SYSTEM_NAMESPACE)
            .expect("there is one")
            .clone()
    };
    assert_eq!(namespace(&objects), namespace(&base));
}

/// A value of its form that is not the default, and the text that the webhook reads.
fn sample(schema: &Value) -> Value {
    if let Some(words) = schema["enum"].as_array() {
        return words.last().expect("an enumeration has words").clone();
    }
    match &schema["type"] {
        Value::String(kind) if kind == "boolean" => json!(true),
        Value::String(kind) if kind == "integer" => json!(86_400_000),
        Value::String(kind) if kind == "string" => json!("a: \"b\", {c} #d"),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            json!(12_345_678)
        }
    }
}

#[test]
fn every_setting_of_the_webhook_reaches_its_variable() {
    let mut values = Map::new();
    let mut expected = BTreeMap::new();
    for setting in chart::settings() {
        let value = sample(&setting.schema);
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        expected.insert(setting.variable, text);
        values.insert(setting.name, value);
    }
    assert!(expected.len() > 25, "{expected:?}");
    let objects = helm::render(&json!({"settings": values})).expect("it renders");
    let mut found = settings(&objects);
    found.remove("ADO_AGENT_WEBHOOK_SIDECAR_IMAGE");
    assert_eq!(found, expected);
}

#[test]
fn a_changed_setting_rolls_the_webhook_out_and_nothing_else_does() {
    let checksum = |values: &Value| {
        let objects = helm::render(values).expect("it renders");
        super::deployment(&objects)["spec"]["template"]["metadata"]["annotations"]["checksum/settings"].clone()
    };
    let plain = checksum(&json!({}));
    assert_eq!(plain, checksum(&json!({"replicas": 5})));
    assert_ne!(plain, checksum(&json!({"settings": {"gracePeriod": 10}})));
    assert_ne!(plain, checksum(&json!({"images": {"sidecar": {"tag": "next"}}})));
}

fn refused(values: &Value) -> String {
    match helm::render(values) {
        Ok(_) => panic!("{values} was accepted"),
        Err(error) => format!("{error:#}"),
    }
}

#[test]
fn what_the_chart_does_not_know_is_refused_by_name() {
    for (values, word) in [
        (json!({"replica": 3}), "replica"),
        (json!({"settings": {"gracePeriode": 10}}), "gracePeriode"),
        (json!({"settings": {"sidecarImage": "x"}}), "sidecarImage"),
        (json!({"images": {"webhook": {"digset": ""}}}), "digset"),
        (json!({"networkPolicy": {"enabled": true}}), "enabled"),
        (json!({"failurePolicy": "Maybe"}), "failurePolicy"),
        (json!({"replicas": 0}), "replicas"),
        (json!({"images": {"sidecar": {"digest": "sha256:1"}}}), "digest"),
        (json!({"settings": {"gracePeriod": "1h"}}), "gracePeriod"),
        (json!({"certificates": {"source": "nobody"}}), "source"),
        (json!({"certificates": {"source": "secret"}}), "certificates.caBundle"),
        (json!({"keep": {"enabled": true}}), "keep.clientId"),
        (
            json!({"networkPolicy": {"apiServerOnly": true, "apiServerPeers": []}}),
            "apiServerPeers",
        ),
    ] {
        let error = refused(&values);
        assert!(error.contains(word), "{values}: {error}");
    }
    // What another chart hands down that depends on this one.
    helm::render(&json!({"global": {"anything": 1}})).expect("global is accepted");
}

#[test]
fn kubelets_that_hang_jobs_are_refused() {
    for version in ["1.29.0", "1.32.13"] {
        let error = helm::render_for(version, &json!({})).expect_err("too old");
        assert!(format!("{error:#}").contains("kubeVersion"), "{error:#}");
    }
    for version in ["1.33.0", "1.34.4-gke.1", "1.37.2"] {
        helm::render_for(version, &json!({})).unwrap_or_else(|error| panic!("{version}: {error:#}"));
    }
}

#[test]
fn a_certificate_of_the_operators_own_needs_no_cert_manager() {
    let values = json!({"certificates": {"source": "secret", "secretName": "mine", "caBundle": "PEM"}});
    let objects = helm::render(&values).expect("it renders");
    assert!(!objects.iter().any(|object| {
        object["apiVersion"]
            .as_str()
            .is_some_and(|version| version.starts_with("cert-manager.io"))
    }));
    assert!(
        super::kind(&objects, "Secret").is_empty(),
        "the Secret is there already"
    );
    assert_eq!(super::volume(&objects, "tls")["secret"]["secretName"], "mine");
    assert_eq!(super::webhook(&objects)["clientConfig"]["caBundle"], "UEVN");
    let configuration = super::kind(&objects, "MutatingWebhookConfiguration")[0];
    let annotations = configuration["metadata"]["annotations"]
        .as_object()
        .expect("annotations");
    assert!(!annotations.contains_key("cert-manager.io/inject-ca-from"));
}

#[test]
fn the_chart_has_the_version_of_the_programs_and_names_their_images() {
    let text = std::fs::read_to_string(repository().join(CHART).join("Chart.yaml")).expect("the chart has one");
    let about = parse(&text).expect("YAML").remove(0);
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(about["version"], version);
    assert_eq!(about["appVersion"], version);
    let images = about["annotations"]["artifacthub.io/images"].as_str().expect("a text");
    let images = parse(images).expect("YAML").remove(0);
    let base = settings(&kustomized("manifests/base"));
    assert_eq!(images[1]["image"], base["ADO_AGENT_WEBHOOK_SIDECAR_IMAGE"].as_str());
    assert_eq!(
        images[0]["image"],
        super::container(&kustomized("manifests/base"))["image"]
    );
}

#[test]
fn helm_finds_nothing_to_object_to() {
    let output = helm(&["lint", "--strict", CHART, "--kube-version=1.37.0"], &json!({})).expect("helm can be started");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("1 chart(s) linted, 0 chart(s) failed"), "{said}");
}

#[test]
fn a_certificate_that_helm_makes_is_one_that_the_api_server_accepts() {
    let objects = helm::render(&json!({"certificates": {"source": "helm"}})).expect("it renders");
    let secret = find(&objects, "Secret", "ado-agent-webhook-tls").expect("the pair");
    let text = |value: &Value| {
        let bytes = BASE64_STANDARD.decode(value.as_str().expect("a text")).expect("base64");
        String::from_utf8(bytes).expect("PEM is text")
    };
    let pair = Pair {
        certificate: text(&secret["data"]["tls.crt"]),
        key: text(&secret["data"]["tls.key"]),
    };
    let bundle = text(&super::webhook(&objects)["clientConfig"]["caBundle"]);
    assert_eq!(bundle, text(&secret["data"]["ca.crt"]));
    let configuration = client_config(&[&bundle]).expect("the bundle is a root");

    // As the API server does it, but for the network.
    let name = service_name().try_into().expect("a name");
    let mut client = rustls::ClientConnection::new(Arc::new(configuration), name).expect("a client");
    let mut server = rustls::ServerConnection::new(pair.server_config()).expect("a server");
    while client.is_handshaking() || server.is_handshaking() {
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).expect("memory takes it");
        server.read_tls(&mut bytes.as_slice()).expect("memory gives it");
        server.process_new_packets().expect("the client says nothing wrong");
        let mut bytes = Vec::new();
        server.write_tls(&mut bytes).expect("memory takes it");
        client.read_tls(&mut bytes.as_slice()).expect("memory gives it");
        client.process_new_packets().expect("the certificate is accepted");
    }
    // And the webhook reads it, for about ten years.
    let provider = rustls::crypto::ring::default_provider();
    let read = webhook::tls::Pair::read(
        Path::new("tls"),
        pair.certificate.as_bytes(),
        pair.key.as_bytes(),
        &provider,
    );
    let left = read.expect("a pair").not_after() - now();
    assert!((3600..3700).contains(&(left / 86_400)), "{left} s are left");
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    i64::try_from(since.expect("after 1970").as_secs()).expect("this century")
}
