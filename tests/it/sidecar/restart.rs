//! A sidecar that is killed and started again in the same pod.

use crate::pod::{NAME, Pod, SOON, register};
use azure_emulators::faults::Fault;
use azure_emulators::world::World;
use contract::Reason;

#[tokio::test(flavor = "multi_thread")]
async fn the_token_file_outlives_a_crash_and_the_registration_is_adopted() {
    let world = World::start().await.expect("a world");
    let pod = Pod::new(&world);
    let mut sidecar = pod.start();
    sidecar.says(Reason::Ready).await;
    register(&world);
    let token = pod.token().expect("a token");
    sidecar.kill();
    assert_eq!(pod.token(), Some(token), "nothing touched it");
    let (may_start, line) = pod.probe();
    assert!(!may_start && line.contains("does not answer"), "{line}");
    let mut sidecar = pod.start();
    sidecar
        .eventually("the probe passes again", |pod| pod.probe().0.then_some(()))
        .await;
    sidecar.terminate();
    assert_eq!(sidecar.end(SOON).await, 0, "{}", pod.log());
    assert!(world.pool.agent(NAME).is_none(), "{}", pod.message());
}

#[tokio::test(flavor = "multi_thread")]
async fn backoff_survives_a_restart() {
    let world = World::start().await.expect("a world");
    world.entra.faults().always("POST **", Fault::Aadsts { code: 700_016 });
    let pod = Pod::new(&world);
    let mut sidecar = pod.start();
    sidecar.says(Reason::ApplicationUnknown).await;
    for _ in 0..3 {
        sidecar.kill();
        sidecar = pod.start();
        sidecar
            .eventually("it answers", |pod| {
                (!pod.probe().1.contains("does not answer")).then_some(())
            })
            .await;
    }
    assert_eq!(
        world.entra.view().requests.len(),
        1,
        "the pause of five minutes goes on"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_state_does_not_prevent_a_start() {
    let world = World::start().await.expect("a world");
    let pod = Pod::new(&world);
    std::fs::write(pod.path("state/state.json"), "{\"pool\":").expect("written");
    let mut sidecar = pod.start();
    sidecar.says(Reason::Ready).await;
    assert!(pod.log().contains("cannot be read"), "{}", pod.log());
}
