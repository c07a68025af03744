//! Every odd answer of Azure DevOps before the agent may start: the same sentence everywhere, and recovery without help.

use crate::pod::{NAME, Pod, SOON};
use azure_emulators::ado::Role;
use azure_emulators::faults::Fault;
use azure_emulators::world::{Settings, World};
use contract::Reason;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

const ANYTHING: &str = "GET /_apis/distributedtask/**";

/// Starts a sidecar in this world and waits for the reason in message and probe; no agent may start.
async fn refused(world: &World, pod: &Pod, reason: Reason) -> String {
    let mut sidecar = pod.start();
    let message = sidecar.says(reason).await;
    let (may_start, line) = pod.probe();
    assert!(!may_start, "{line}");
    assert!(line.starts_with(reason.as_str()), "{line}");
    assert!(
        pod.log().contains(&message[reason.as_str().len() + 2..]),
        "the log says the same: {}",
        pod.log()
    );
    assert!(world.ado.view().requests.len() < 20, "no storm");
    message
}

#[tokio::test(flavor = "multi_thread")]
async fn unexpected_answers_have_their_reason_and_temporary_ones_are_recovered_from() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let location = format!("https://{}/", elsewhere.local_addr().expect("an address"));
    let redirect = |status| Fault::Redirect {
        status,
        location: location.clone(),
    };
    let throttle = |retry_after: &str| Fault::Throttle {
        retry_after: Some(retry_after.to_owned()),
    };
    let mut rows = JoinSet::new();
    for (fault, reason, passes) in [
        (Fault::SignInPage, Reason::TokenRefused, false),
        (Fault::SignInRedirect, Reason::TokenRefused, false),
        (Fault::Unauthorized, Reason::TokenRefused, false),
        (Fault::IdentityUnknown, Reason::IdentityUnknown, false),
        (Fault::PoolMissing, Reason::PoolMissing, false),
        (Fault::ProxyPage, Reason::AdoUnreachable, true),
        (Fault::Garbage, Reason::AdoUnreachable, true),
        (Fault::Truncate, Reason::AdoUnreachable, true),
        (Fault::Reset, Reason::AdoUnreachable, true),
        (redirect(301), Reason::AdoUnreachable, true),
        (redirect(307), Reason::AdoUnreachable, true),
        (Fault::Status { status: 503 }, Reason::AdoUnavailable, true),
        (Fault::Status { status: 500 }, Reason::AdoUnavailable, true),
        (Fault::Status { status: 404 }, Reason::OrganizationMissing, false),
        (throttle("1"), Reason::AdoThrottled, true),
    ] {
        rows.spawn(async move {
            let world = World::start().await.expect("a world");
            let pod = Pod::new(&world);
            world.ado.faults().always(ANYTHING, fault.clone());
            let mut sidecar = pod.start();
            let message = sidecar.says(reason).await;
            assert_eq!(pod.probe(), (false, message), "{fault:?}");
            if passes {
                world.ado.faults().clear();
                sidecar.says(Reason::Ready).await;
            }
        });
    }
    while let Some(row) = rows.join_next().await {
        row.expect("the row holds");
    }
    let arrived = tokio::time::timeout(std::time::Duration::from_millis(50), elsewhere.accept()).await;
    assert!(arrived.is_err(), "a redirect was followed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_setup_is_reported() {
    let defaults = Settings::default;
    let mut rows = JoinSet::new();
    for (settings, reason, named) in [
        (
            Settings {
                role: None,
                ..defaults()
            },
            Reason::PoolMissing,
            "linux",
        ),
        (
            Settings {
                role: Some(Role::Reader),
                ..defaults()
            },
            Reason::RoleMissing,
            "Administrator",
        ),
        (
            Settings {
                role: Some(Role::ServiceAccount),
                ..defaults()
            },
            Reason::RoleMissing,
            "Administrator",
        ),
        (
            Settings {
                member: false,
                ..defaults()
            },
            Reason::IdentityUnknown,
            "is not a user of",
        ),
    ] {
        rows.spawn(async move {
            let world = World::with(settings).await.expect("a world");
            let message = refused(&world, &Pod::new(&world), reason).await;
            assert!(message.contains(named), "{message}");
        });
    }
    rows.spawn(async {
        let world = World::start().await.expect("a world");
        let pod = Pod::new(&world).set(contract::POOL_VARIABLE, "no such pool");
        let message = refused(&world, &pod, Reason::PoolMissing).await;
        assert!(message.contains("no such pool"), "{message}");
    });
    while let Some(row) = rows.join_next().await {
        row.expect("the row holds");
    }
}

/// Start scripts configure with `--replace`, so what a pod before us left behind blocks nothing. (An agent of this name
/// that is online does; the machine's own tests have that case, since an emulated agent needs a key to come online.)
#[tokio::test(flavor = "multi_thread")]
async fn an_offline_agent_of_another_owner_does_not_block_the_start_and_stays() {
    let world = World::start().await.expect("a world");
    let earlier = std::time::Duration::from_secs(600);
    world.ado.clock().turn_back(earlier);
    world.pool.add_agent(NAME, &[]);
    world.ado.clock().advance(earlier);
    let pod = Pod::new(&world);
    let mut sidecar = pod.start();
    sidecar.says(Reason::Ready).await;
    sidecar.terminate();
    sidecar.end(SOON).await;
    assert!(world.pool.agent(NAME).is_some(), "{}", pod.message());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tenant_is_learned_from_the_organization_and_a_trailing_slash_is_no_matter() {
    let world = World::start().await.expect("a world");
    let pod = Pod::new(&world)
        .set(contract::AZURE_TENANT_ID_VARIABLE, "")
        .set(contract::URL_VARIABLE, format!("{}/", world.organization_url()));
    let mut sidecar = pod.start();
    sidecar.says(Reason::Ready).await;
    let exchanges = world.entra.view().exchanges;
    assert_eq!(exchanges[0].tenant, world.settings.tenant);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_success_with_retry_after_is_a_success() {
    let world = World::start().await.expect("a world");
    world
        .ado
        .faults()
        .always(ANYTHING, Fault::RetryAfterOnSuccess { seconds: 1 });
    let pod = Pod::new(&world);
    let mut sidecar = pod.start();
    sidecar.says(Reason::Ready).await;
    let view = world
        .ado
        .wait_until("requests", SOON, |view| !view.requests.is_empty())
        .await;
    assert!(view.expect("some").requests.len() <= 6);
}
