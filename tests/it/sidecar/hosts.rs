//! Tokens go nowhere but to the listed hosts.

use crate::pod::Pod;
use azure_emulators::world::World;
use contract::Reason;
use std::time::Duration;
use tokio::net::TcpListener;

/// A place that should never hear of us.
struct Elsewhere(TcpListener);

impl Elsewhere {
    async fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.expect("a port"))
    }

    fn port(&self) -> u16 {
        self.0.local_addr().expect("an address").port()
    }

    async fn heard_nothing(&self) {
        // A connection that was made waits in the queue, so there is no need to wait for one.
        let arrived = tokio::time::timeout(Duration::from_millis(20), self.0.accept()).await;
        assert!(arrived.is_err(), "a connection arrived");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organization_that_is_not_listed_gets_nothing() {
    let world = World::start().await.expect("a world");
    let elsewhere = Elsewhere::new().await;
    let port = elsewhere.port();
    for (url, list, reason) in [
        (
            format!("https://localhost:{port}/contoso"),
            "127.0.0.1",
            Reason::NotServices,
        ),
        (
            format!("https://127.0.0.1@localhost:{port}/contoso"),
            "127.0.0.1",
            Reason::BadUrl,
        ),
        (
            format!("https://localhost.:{port}/contoso"),
            "localhost",
            Reason::BadUrl,
        ),
        (
            format!("https://dev.azure.com.localhost:{port}/contoso"),
            "dev.azure.com",
            Reason::HostNotAllowed,
        ),
        (format!("http://localhost:{port}/contoso"), "localhost", Reason::BadUrl),
        (
            format!("https://localhost:{port}/tfs/DefaultCollection"),
            "localhost",
            Reason::NotServices,
        ),
        (
            format!("https://localhost\\@127.0.0.1:{port}/contoso"),
            "localhost",
            Reason::BadUrl,
        ),
    ] {
        let pod = Pod::new(&world)
            .set(contract::URL_VARIABLE, &url)
            .set(contract::ALLOWED_HOSTS_VARIABLE, list);
        let mut sidecar = pod.start();
        let message = sidecar.says(reason).await;
        assert_eq!(pod.probe(), (false, message), "{url}");
        sidecar.terminate();
        sidecar.end(crate::pod::SOON).await;
    }
    elsewhere.heard_nothing().await;
    assert!(
        world.entra.view().requests.is_empty(),
        "no token is asked for that could go nowhere"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_is_not_listed_gets_nothing() {
    let world = World::start().await.expect("a world");
    let elsewhere = Elsewhere::new().await;
    let port = elsewhere.port();
    for (authority, reason) in [
        (format!("https://localhost:{port}/"), Reason::HostNotAllowed),
        (format!("https://127.0.0.1.localhost:{port}/"), Reason::HostNotAllowed),
        (format!("http://127.0.0.1:{port}/"), Reason::BadConfiguration),
        (format!("https://127.0.0.1@localhost:{port}/"), Reason::BadConfiguration),
    ] {
        let pod = Pod::new(&world).set(contract::AZURE_AUTHORITY_HOST_VARIABLE, &authority);
        let mut sidecar = pod.start();
        sidecar.says(reason).await;
        assert!(!pod.probe().0, "{authority}");
    }
    elsewhere.heard_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_map_cannot_redirect_the_token() {
    let world = World::start().await.expect("a world");
    let elsewhere = Elsewhere::new().await;
    // What `envFrom` brings, as the webhook passes it on.
    let pod = Pod::new(&world).set(contract::URL_VARIABLE, "").set(
        "ADO_AGENT_URL_FROM_0",
        format!("https://localhost:{}/contoso", elsewhere.port()),
    );
    let mut sidecar = pod.start();
    sidecar.says(Reason::NotServices).await;
    elsewhere.heard_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_contract_lets_no_agent_start_and_ends_clean() {
    let world = World::start().await.expect("a world");
    let pod = Pod::new(&world).set(contract::CONTRACT_VARIABLE, "99");
    let mut sidecar = pod.start();
    let message = sidecar.says(Reason::ContractUnknown).await;
    assert!(message.contains("99"), "{message}");
    assert_eq!(pod.probe(), (false, message));
    sidecar.terminate();
    assert_eq!(sidecar.end(crate::pod::SOON).await, 0);
    assert!(world.entra.view().requests.is_empty() && world.ado.view().requests.is_empty());
}
