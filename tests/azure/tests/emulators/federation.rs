//! Entra: federated credentials, and the issuers whose keys they rest on.

use crate::Answer;
use crate::entra::{HOUR, code, exchange};
use azure_emulators::cluster_issuer::Mint;
use azure_emulators::entra::{CredentialRefused, FederatedCredential};
use azure_emulators::world::{Settings, World};
use std::time::Duration;

#[tokio::test]
async fn issuer_subject_and_audience_must_match_the_federated_credential_exactly() {
    let world = World::start().await.unwrap();
    let url = world.issuer.url().to_owned();
    let right = || Mint::new("agents", "azp-agent");
    let cases = [
        (right().issuer(&format!("{url}/")), 700_211),
        (Mint::new("agents", "azp-agent2"), 700_213),
        (Mint::new("Agents", "azp-agent"), 7_002_138),
        (right().audience("api://azureadtokenexchange"), 700_212),
        (right().audience("api://AKSIdentityBinding"), 700_212),
        (right().forged(), 7_000_272),
        (right().issued_in(-7200), 700_024),
        (right().issued_in(3600), 700_024),
        (right().lifetime(25 * HOUR + Duration::from_secs(1)), 70_023),
    ];
    for (mint, expected) in cases {
        let answer = exchange(&world, &world.issuer.mint(&mint)).await;
        assert_eq!(code(&answer), expected, "{}", answer.body);
    }
    exchange(&world, &world.issuer.mint(&right().lifetime(25 * HOUR)))
        .await
        .ok();

    assert!(
        world
            .entra
            .remove_federated_credential(&world.agents.client_id, "agents-azp-agent")
    );
    let answer = exchange(&world, &world.assertion()).await;
    assert_eq!((code(&answer), answer.status), (70_021, 401));
    assert_eq!(answer.body["error"], "invalid_client");
}

#[tokio::test]
async fn the_issuer_is_asked_for_its_keys_and_again_for_a_key_that_is_new() {
    let world = World::start().await.unwrap();
    exchange(&world, &world.assertion()).await.ok();
    exchange(&world, &world.assertion()).await.ok();
    assert_eq!(world.issuer.fetched(), 1);

    world.issuer.rotate();
    exchange(&world, &world.assertion()).await.ok();
    assert_eq!(world.issuer.fetched(), 2);

    let careless = World::start().await.unwrap();
    careless.issuer.rotate_unpublished();
    assert_eq!(code(&exchange(&careless, &careless.assertion()).await), 7_000_272);
    careless.issuer.publish_current_only();
    exchange(&careless, &careless.assertion()).await.ok();
}

#[tokio::test]
async fn an_issuer_that_cannot_be_reached_or_trusted_is_named() {
    let world = World::start().await.unwrap();
    world.issuer.set_reachable(false);
    let answer = exchange(&world, &world.assertion()).await;
    assert_eq!(code(&answer), 50_166);
    assert!(
        answer.body["error_description"]
            .as_str()
            .unwrap()
            .contains(world.issuer.url())
    );

    world.entra.pin_issuer(world.issuer.url(), &world.issuer.key_set());
    exchange(&world, &world.assertion()).await.ok();

    let world = World::start().await.unwrap();
    world
        .entra
        .trust_issuers(&[azure_emulators::tls::Authority::new().pem()])
        .unwrap();
    assert_eq!(code(&exchange(&world, &world.assertion()).await), 50_166);
}

#[tokio::test]
async fn a_new_federated_credential_is_unknown_for_a_while_and_there_are_twenty_at_most() {
    let world = World::with(Settings {
        federated: false,
        ..Settings::default()
    })
    .await
    .unwrap();
    let (entra, client) = (&world.entra, &world.agents.client_id);
    let credential = |account: &str| FederatedCredential::for_service_account(world.issuer.url(), "agents", account);
    entra.set_propagation(Duration::from_secs(600));
    entra.add_federated_credential(client, credential("azp-agent")).unwrap();
    assert_eq!(code(&exchange(&world, &world.assertion()).await), 70_021);
    entra.clock().advance(Duration::from_secs(700));
    world.issuer.clock().advance(Duration::from_secs(700));
    exchange(&world, &world.assertion()).await.ok();

    for number in 1..20 {
        entra
            .add_federated_credential(client, credential(&format!("a{number}")))
            .unwrap();
    }
    let refused = entra.add_federated_credential(client, credential("one-more"));
    assert_eq!(refused, Err(CredentialRefused::Limit));
    let refused = entra.add_federated_credential(client, credential("a1"));
    assert_eq!(refused, Err(CredentialRefused::Exists));
}

#[tokio::test]
async fn graph_writes_federated_credentials_one_after_the_other() {
    let world = World::start().await.unwrap();
    world.entra.set_write_time(HOUR);
    let token = world
        .entra
        .mint_token_for(&world.admin, "https://graph.microsoft.com", HOUR);
    let client = world.client();
    let base = format!("{}/v1.0", world.authority_url());
    assert_eq!(Answer::of(client.get(format!("{base}/applications"))).await.status, 401);

    let filter = format!("{base}/applications?$filter=appId eq '{}'", world.agents.client_id);
    let found = Answer::of(client.get(filter).bearer_auth(&token)).await.ok();
    let id = found["value"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(id, world.agents.registration_id);

    let url = format!("{base}/applications/{id}/federatedIdentityCredentials");
    let credential = |name: &str| {
        serde_json::json!({
            "name": name, "issuer": world.issuer.url(), "subject": name, "audiences": ["api://AzureADTokenExchange"],
        })
    };
    let post = |name: &str| Answer::of(client.post(&url).bearer_auth(&token).json(&credential(name)));
    assert_eq!(post("b").await.status, 201);
    assert_eq!(post("c").await.status, 409);
    let listed = Answer::of(client.get(&url).bearer_auth(&token)).await.ok();
    assert_eq!(listed["value"].as_array().unwrap().len(), 2);
    assert_eq!(
        Answer::of(client.delete(format!("{url}/b")).bearer_auth(&token))
            .await
            .status,
        204
    );
}
