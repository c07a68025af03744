//! Broken in many ways: each is named, with what to do, and nothing that is whole is called broken beside it.

use azure_emulators::tls::Authority;
use contract::AZWI_CLIENT_ID_ANNOTATION;
use serde_json::json;

use crate::world::{ACCOUNT, Cluster, NAMESPACE, node};

/// Looks, and expects these to be wrong, in this order: group, reason, and words of sentence or fix.
pub(crate) async fn expect(cluster: &Cluster, wrong: &[(&str, &str, &str)]) {
    let said = cluster.check(&["-o", "json"]).await;
    let findings = said.findings();
    let bad: Vec<_> = findings.iter().filter(|finding| finding.level == "bad").collect();
    let found: Vec<_> = bad
        .iter()
        .map(|finding| (finding.group.as_str(), finding.reason.as_str()))
        .collect();
    let expected: Vec<_> = wrong.iter().map(|(group, reason, _)| (*group, *reason)).collect();
    assert_eq!(found, expected, "{findings:#?}\n{}", said.stderr);
    for (finding, (.., words)) in bad.iter().zip(wrong) {
        assert!(
            finding.sentence.contains(words) || finding.fix.contains(words),
            "{words:?} in {finding:#?}"
        );
    }
    assert_eq!(said.code, Some(1), "{}", said.stderr);
}

#[tokio::test]
async fn a_control_plane_without_native_sidecars() {
    let cluster = Cluster::start().await;
    cluster.api.set_minor_version("28+");
    let said = cluster.check(&["-o", "json", "--only", "cluster"]).await;
    assert_eq!(said.findings()[0].reason, "no-native-sidecars");
    assert_eq!(said.code, Some(1));
}

#[tokio::test]
async fn nodes_that_are_too_old() {
    let cluster = Cluster::start().await;
    cluster.api.put_object(&node("node-0", "v1.28.15"));
    expect(&cluster, &[("cluster", "node-too-old", "node-0")]).await;
}

#[tokio::test]
async fn a_webhook_that_is_not_installed() {
    let cluster = Cluster::start().await;
    cluster.api.unregister_webhook();
    // What the webhook's settings would say, nobody says now.
    let said = cluster
        .check(&["-o", "json", "--only", "webhook", "--only", "pod"])
        .await;
    let findings = said.findings();
    let bad: Vec<_> = findings.iter().filter(|finding| finding.level == "bad").collect();
    let reasons: Vec<_> = bad.iter().map(|finding| finding.reason.as_str()).collect();
    assert_eq!(reasons, ["webhook-missing", "not-injected"], "{findings:#?}");
    assert!(bad[0].fix.contains("kubectl apply -k manifests/base"), "{findings:#?}");
}

#[tokio::test]
async fn a_registration_that_somebody_changed() {
    let cluster = Cluster::start().await;
    cluster.api.change_object(
        "MutatingWebhookConfiguration",
        contract::WEBHOOK_CONFIGURATION,
        |object| {
            object["webhooks"][0]["objectSelector"] = json!({});
        },
    );
    expect(
        &cluster,
        &[("webhook", "webhook-changed", "pods without the label are selected")],
    )
    .await;
}

#[tokio::test]
async fn a_registration_that_sorts_behind_azwi() {
    let cluster = Cluster::start().await;
    let azwi = "azure-wi-webhook-mutating-webhook-configuration";
    cluster.api.put_object(
        &json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": azwi}, "webhooks": []}),
    );
    let said = cluster.check(&["-o", "json"]).await;
    assert_eq!(said.code, Some(0), "{}", said.stdout);
    let name = contract::WEBHOOK_CONFIGURATION;
    cluster
        .api
        .change_object("MutatingWebhookConfiguration", name, |object| {
            object["metadata"]["name"] = json!("zz-ado-agent-injector");
        });
    expect(&cluster, &[("webhook", "webhook-order", azwi)]).await;
}

#[tokio::test]
async fn a_ca_bundle_of_another_root() {
    let cluster = Cluster::start().await;
    cluster.register(Authority::new().pem());
    let said = cluster
        .check(&["-o", "json", "--only", "webhook", "--only", "pod"])
        .await;
    let findings = said.findings();
    let bad: Vec<_> = findings
        .iter()
        .filter(|finding| finding.level == "bad")
        .map(|finding| (finding.group.as_str(), finding.reason.as_str()))
        .collect();
    assert_eq!(
        bad,
        [("webhook", "ca-mismatch"), ("pod", "ca-mismatch")],
        "{findings:#?}"
    );
    cluster.register("");
    let said = cluster.check(&["-o", "json", "--only", "webhook"]).await;
    assert!(
        said.findings().iter().any(|finding| finding.reason == "ca-missing"),
        "{}",
        said.stdout
    );
}

#[tokio::test]
async fn a_webhook_that_has_died() {
    let mut cluster = Cluster::start().await;
    cluster.webhook.kill().await.unwrap();
    let said = cluster
        .check(&["-o", "json", "--only", "webhook", "--only", "pod"])
        .await;
    let findings = said.findings();
    let reasons: Vec<_> = findings
        .iter()
        .filter(|finding| finding.level == "bad")
        .map(|finding| finding.reason.as_str())
        .collect();
    assert_eq!(reasons, ["webhook-not-ready", "webhook-unreachable"], "{findings:#?}");
}

#[tokio::test]
async fn a_namespace_that_has_not_opted_in() {
    let cluster = Cluster::start().await;
    cluster.api.set_namespace(NAMESPACE, &[]);
    let said = cluster.check(&["-o", "json", "--only", "pod"]).await;
    let findings = said.findings();
    let reasons: Vec<_> = findings.iter().map(|finding| finding.reason.as_str()).collect();
    assert_eq!(reasons, ["namespace-not-labeled", "not-injected"], "{findings:#?}");
    assert!(
        findings[0]
            .fix
            .contains("kubectl label namespace agents ado-agent.dev/inject=true"),
        "{findings:#?}"
    );
}

#[tokio::test]
async fn an_account_without_a_client_id_or_with_a_wrong_one() {
    let cluster = Cluster::start().await;
    cluster.api.set_account(NAMESPACE, ACCOUNT, &[]);
    let said = cluster
        .check(&[
            "-o",
            "json",
            "--service-account",
            ACCOUNT,
            "--only",
            "pod",
            "--only",
            "identity",
        ])
        .await;
    let findings = said.findings();
    let reasons: Vec<_> = findings
        .iter()
        .filter(|finding| finding.level == "bad")
        .map(|finding| (finding.group.as_str(), finding.reason.as_str()))
        .collect();
    // The first is the webhook's own sentence.
    assert_eq!(
        reasons,
        [("pod", "no-identity"), ("identity", "no-identity")],
        "{findings:#?}"
    );
    cluster
        .api
        .set_account(NAMESPACE, ACCOUNT, &[(AZWI_CLIENT_ID_ANNOTATION, "azp-agents")]);
    let said = cluster.check(&["-o", "json", "--only", "pod"]).await;
    assert!(
        said.findings().iter().any(|finding| finding.reason == "bad-identity"),
        "{}",
        said.stdout
    );
}

#[tokio::test]
async fn a_person_who_may_not_create_pods() {
    let cluster = Cluster::start().await;
    cluster.api.refuse("POST /api/v1/namespaces/agents/pods");
    // Without the right to create pods nothing is known, and nothing is called wrong.
    let said = cluster.check(&["-o", "json", "--only", "pod"]).await;
    let findings = said.findings();
    assert_eq!(
        (findings[1].level.as_str(), findings[1].reason.as_str()),
        ("not-looked-at", "not-permitted"),
        "{findings:#?}"
    );
    assert_eq!(said.code, Some(0));
}
