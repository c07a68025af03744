//! One whole story with recognisable secrets at the most talkative level: nothing of them is written anywhere.

use crate::network::{ConnectProxy, public};
use crate::pod::{SOON, content, register};
use azure_emulators::faults::Fault;
use azure_emulators::world::World;
use contract::Reason;

const PASSWORD: &str = "correct-horse-battery";

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_logged_saved_or_printed() {
    let world = World::start().await.expect("a world");
    let proxy = ConnectProxy::start(&[
        ("login.microsoftonline.com", world.entra.address()),
        ("dev.azure.com", world.ado.address()),
    ])
    .await;
    let url = "https://dev.azure.com/contoso";
    let pod = public(&world, url, &proxy.url(&format!("somebody:{PASSWORD}@")));
    let assertion = world.assertion();
    pod.project(&assertion);
    world.entra.faults().once("POST **", Fault::Garbage);
    world.ado.faults().once("GET **", Fault::Unauthorized);
    world.ado.faults().once("GET **", Fault::Status { status: 503 });
    let mut sidecar = pod.start();
    let mut said = sidecar.says(Reason::EntraUnreachable).await;
    world.ado.faults().clear();
    sidecar.says(Reason::Ready).await;
    let token = pod.token().expect("a token");
    register(&world);
    said.push_str(&pod.probe().1);
    said.push_str(&content(format!("/proc/{}/cmdline", sidecar.id()).as_ref()));
    said.push_str(&pod.pre_stop().1);
    sidecar.terminate();
    assert_eq!(sidecar.end(SOON).await, 0, "{}", pod.log());
    said.push_str(&pod.message());
    said.push_str(&pod.log());
    for file in std::fs::read_dir(pod.path("state")).expect("listed") {
        said.push_str(&content(&file.expect("an entry").path()));
    }
    assert!(
        pod.log().contains("DEBUG") && said.contains("\"pool\""),
        "there is something to look through: {said}"
    );
    let signature = |jwt: &str| jwt.rsplit('.').next().expect("a signature").to_owned();
    for (what, secret) in [
        ("the token", token.clone()),
        ("the token's signature", signature(&token)),
        ("the assertion", assertion.clone()),
        ("the assertion's signature", signature(&assertion)),
        ("the proxy's password", PASSWORD.to_owned()),
    ] {
        assert!(!said.contains(&secret), "{what} was written somewhere");
    }
}
