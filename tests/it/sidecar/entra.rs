//! Every refusal of Entra, and the assertion.

use crate::pod::{Pod, SOON};
use azure_emulators::cluster_issuer::Mint;
use azure_emulators::entra::{EntraView, FederatedCredential};
use azure_emulators::faults::Fault;
use azure_emulators::world::{Settings, World};
use contract::Reason;
use std::time::Duration;
use tokio::task::JoinSet;

#[tokio::test(flavor = "multi_thread")]
async fn every_code_has_its_reason_and_is_named() {
    let mut rows = JoinSet::new();
    for (code, reason) in [
        (90055, Reason::EntraThrottled),
        (50196, Reason::EntraThrottled),
        (50033, Reason::EntraUnavailable),
        (70021, Reason::CredentialMissing),
        (700211, Reason::CredentialMissing),
        (700212, Reason::CredentialMissing),
        (700213, Reason::CredentialMissing),
        (7002137, Reason::CredentialMissing),
        (7002138, Reason::CredentialMissing),
        (50166, Reason::IssuerUnreachable),
        (90061, Reason::IssuerUnreachable),
        (700024, Reason::AssertionExpired),
        (700027, Reason::AssertionRejected),
        (7000272, Reason::AssertionRejected),
        (70023, Reason::AssertionTooLong),
        (700016, Reason::ApplicationUnknown),
        (7000112, Reason::ApplicationUnknown),
        (90002, Reason::TenantUnknown),
        (500011, Reason::ResourceUnknown),
        (53003, Reason::ConditionalAccess),
        (7000215, Reason::EntraRefused),
    ] {
        rows.spawn(async move {
            let world = World::start().await.expect("a world");
            world.entra.faults().always("POST **", Fault::Aadsts { code });
            let pod = Pod::new(&world);
            let mut sidecar = pod.start();
            let message = sidecar.says(reason).await;
            assert!(message.contains(&format!("AADSTS{code}")), "{message}");
            for part in [
                "trace id",
                "correlation id",
                "system:serviceaccount:agents:azp-agent",
                "api://AzureADTokenExchange",
                world.issuer.url(),
            ] {
                assert!(message.contains(part), "{part} is not in: {message}");
            }
            assert_eq!(pod.probe(), (false, message));
            assert!(pod.token().is_none());
            assert!(world.ado.view().requests.is_empty(), "nobody is asked without a token");
        });
    }
    while let Some(row) = rows.join_next().await {
        row.expect("the row holds");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sidecar_recovers_from_answers_that_are_not_entras() {
    let mut rows = JoinSet::new();
    for (fault, reason) in [
        (Fault::Reset, Reason::EntraUnreachable),
        (Fault::ProxyPage, Reason::EntraUnreachable),
        (Fault::Garbage, Reason::EntraUnreachable),
        (Fault::Truncate, Reason::EntraUnreachable),
        (Fault::Status { status: 403 }, Reason::EntraUnreachable),
        (Fault::Status { status: 502 }, Reason::EntraUnavailable),
        (
            Fault::Redirect {
                status: 307,
                location: "https://127.0.0.1:1/".to_owned(),
            },
            Reason::EntraUnreachable,
        ),
    ] {
        rows.spawn(async move {
            let world = World::start().await.expect("a world");
            world.entra.faults().always("POST **", fault);
            let pod = Pod::new(&world);
            let mut sidecar = pod.start();
            sidecar.says(reason).await;
            world.entra.faults().clear();
            sidecar.says(Reason::Ready).await;
        });
    }
    while let Some(row) = rows.join_next().await {
        row.expect("the row holds");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_federated_credential_that_comes_late_is_waited_for() {
    let settings = Settings {
        federated: false,
        ..Settings::default()
    };
    let world = World::with(settings).await.expect("a world");
    let pod = Pod::new(&world);
    let mut sidecar = pod.start();
    sidecar.says(Reason::CredentialMissing).await;
    let credential = FederatedCredential::for_service_account(world.issuer.url(), "agents", "azp-agent");
    world
        .entra
        .add_federated_credential(&world.agents.client_id, credential)
        .expect("added");
    sidecar.says(Reason::Ready).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_assertion_is_reported_and_a_replaced_one_is_read() {
    let world = World::start().await.expect("a world");
    let pod = Pod::new(&world);
    pod.project(" \n");
    let mut sidecar = pod.start();
    let message = sidecar.says(Reason::AssertionMissing).await;
    assert!(message.contains("assertion"), "{message}");
    pod.project(&format!("{}\n", world.assertion()));
    sidecar.says(Reason::Ready).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_assertion_is_named_with_its_expiry() {
    let world = World::start().await.expect("a world");
    let pod = Pod::new(&world);
    let old = Mint::new("agents", "azp-agent")
        .lifetime(Duration::from_secs(600))
        .issued_in(-7200);
    pod.project(&world.issuer.mint(&old));
    let mut sidecar = pod.start();
    let message = sidecar.says(Reason::AssertionExpired).await;
    assert!(message.contains("expires 20"), "{message}");
    assert_eq!(
        world.entra.view().exchanges.len(),
        1,
        "the file did not change, so there is no second try at once"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_off_by_an_hour_is_named() {
    let world = World::start().await.expect("a world");
    world.entra.clock().turn_back(Duration::from_secs(3600));
    world.entra.faults().always("POST **", Fault::Aadsts { code: 700_024 });
    let pod = Pod::new(&world);
    let mut sidecar = pod.start();
    let message = sidecar.says(Reason::AssertionExpired).await;
    assert!(message.contains("clock is 1 h 0 min ahead of"), "{message}");
    let seen = world
        .entra
        .wait_until("the exchange", SOON, |view| !view.requests.is_empty())
        .await;
    assert!(seen.expect("seen").requests.len() <= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_outage_has_no_effect_while_the_token_is_valid() {
    let world = World::start().await.expect("a world");
    // Refreshed after a minute at the earliest, with half a minute left.
    let lifetime = Duration::from_secs(100);
    world.entra.set_token_lifetime(&world.agents.client_id, Some(lifetime));
    let pod = Pod::new(&world);
    let mut sidecar = pod.start();
    sidecar.says(Reason::Ready).await;
    let token = pod.token().expect("a token");
    world.entra.faults().always("**", Fault::Reset);
    let tried = |view: &EntraView| view.requests.iter().filter(|request| request.fault.is_some()).count() >= 2;
    let waited = world.entra.wait_until("two attempts that fail", lifetime, tried).await;
    waited.unwrap_or_else(|late| panic!("{late}\n{}", pod.log()));
    assert_eq!(pod.token(), Some(token.clone()), "the old token is kept");
    let (may_start, line) = pod.probe();
    assert!(may_start, "{line}");
    assert!(
        pod.message().contains(Reason::EntraUnreachable.as_str()),
        "{}",
        pod.message()
    );
    world.entra.faults().clear();
    sidecar
        .eventually("the next token", |pod| pod.token().filter(|now| *now != token))
        .await;
    sidecar.says(Reason::Ready).await;
}
