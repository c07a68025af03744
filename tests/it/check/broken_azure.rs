//! The same for what is outside the cluster: issuer, Entra, Azure DevOps, KEDA.

use super::broken::expect;
use crate::world::{ACCOUNT, Cluster, NAMESPACE};
use azure_emulators::ado::Role;
use azure_emulators::entra::FederatedCredential;
use azure_emulators::world::Settings;
use serde_json::json;

#[tokio::test]
async fn an_issuer_that_is_unreachable() {
    let cluster = Cluster::start().await;
    cluster.azure.issuer.set_reachable(false);
    expect(
        &cluster,
        &[
            ("issuer", "issuer-unreachable", "/.well-known/openid-configuration"),
            ("identity", "issuer-unreachable", "Entra cannot read"),
        ],
    )
    .await;
}

#[tokio::test]
async fn an_issuer_that_published_no_new_key() {
    let cluster = Cluster::start().await;
    cluster.azure.issuer.rotate_unpublished();
    expect(
        &cluster,
        &[
            ("issuer", "assertion-rejected", "kubectl get --raw /openid/v1/jwks"),
            ("identity", "assertion-rejected", "key"),
        ],
    )
    .await;
}

#[tokio::test]
async fn an_identity_without_a_federated_credential() {
    let cluster = Cluster::start().await;
    let client_id = &cluster.azure.agents.client_id;
    assert!(
        cluster
            .azure
            .entra
            .remove_federated_credential(client_id, &format!("{NAMESPACE}-{ACCOUNT}"))
    );
    let subject = "--subject system:serviceaccount:agents:azp-agent";
    expect(
        &cluster,
        &[
            ("identity", "credential-missing", subject),
            ("credentials", "credential-missing", "None of the 0"),
        ],
    )
    .await;
    for number in 0..20 {
        let credential =
            FederatedCredential::for_service_account("https://other.example", NAMESPACE, &format!("a{number}"));
        cluster
            .azure
            .entra
            .add_federated_credential(client_id, credential)
            .unwrap();
    }
    expect(
        &cluster,
        &[
            ("identity", "credential-missing", subject),
            ("credentials", "credentials-full", "All 20 are in use"),
        ],
    )
    .await;
}

#[tokio::test]
async fn an_identity_without_the_role_and_a_pool_that_does_not_exist() {
    let cluster = Cluster::start().await;
    cluster.set_role(Some(Role::Reader));
    expect(&cluster, &[("organization", "role-missing", "Security")]).await;
    cluster.set_role(Some(Role::Administrator));
    let said = cluster.check(&["-o", "json", "--only", "organization"]).await;
    assert_eq!(said.code, Some(0), "{}", said.stdout);
    let url = cluster.azure.organization_url();
    let ca = cluster.path("ca.pem");
    let arguments = [
        "check",
        "-o",
        "json",
        "-n",
        NAMESPACE,
        "--only",
        "organization",
        "--ca-file",
        &ca,
        "--url",
        &url,
        "--pool",
        "windows",
    ];
    let said = cluster.run(&arguments).await;
    let findings = said.findings();
    assert_eq!(findings[1].reason, "pool-missing", "{findings:#?}");
    assert!(findings[1].fix.contains("windows"), "{findings:#?}");
}

#[tokio::test]
async fn an_identity_that_is_not_a_user_and_an_organization_that_does_not_exist() {
    let cluster = Cluster::with(Settings {
        member: false,
        ..Settings::default()
    })
    .await;
    expect(&cluster, &[("organization", "identity-unknown", "/_settings/users")]).await;
    let url = cluster.azure.organization_url().replace("contoso", "fabrikam");
    let ca = cluster.path("ca.pem");
    let arguments = [
        "check",
        "-o",
        "json",
        "-n",
        NAMESPACE,
        "--only",
        "organization",
        "--ca-file",
        &ca,
        "--url",
        &url,
    ];
    let said = cluster.run(&arguments).await;
    assert_eq!(said.findings()[0].reason, "organization-missing", "{}", said.stdout);
}

#[tokio::test]
async fn a_keda_that_asks_with_a_token_or_with_nothing() {
    let cluster = Cluster::start().await;
    cluster.api.change_object("ScaledJob", "azp-agent", |object| {
        object["spec"]["triggers"][0]["metadata"]["personalAccessTokenFromEnv"] = json!("AZP_TOKEN");
    });
    expect(&cluster, &[("keda", "keda-token", "keda-trigger-authentication.yaml")]).await;
    cluster.api.change_object("ScaledJob", "azp-agent", |object| {
        object["spec"]["triggers"][0]["metadata"]
            .as_object_mut()
            .unwrap()
            .remove("personalAccessTokenFromEnv");
    });
    cluster.api.remove_object("TriggerAuthentication", "azp-agent");
    expect(&cluster, &[("keda", "keda-identity", "not there")]).await;
}
