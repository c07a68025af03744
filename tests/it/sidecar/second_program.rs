//! A second program uses the client that the sidecar uses: the example of the crate `azure`.

use crate::pod::{NAME, Pod, register};
use azure_emulators::world::World;
use std::process::{Command, Output};
use tests::programs::example;

async fn list_agents(world: &World, pod: &Pod, pool: &str) -> Output {
    let ca = pod.path("ca.crt");
    std::fs::write(&ca, world.authority.pem()).expect("written");
    let mut command = Command::new(example("list_agents").expect("built"));
    command
        .args([
            &world.organization_url(),
            pool,
            &world.settings.tenant,
            &world.agents.client_id,
        ])
        .arg(pod.path("assertion/assertion"))
        .arg(world.authority_url())
        .arg(ca)
        .env_clear();
    let output = tokio::task::spawn_blocking(move || command.output());
    output.await.expect("no panic").expect("started")
}

#[tokio::test(flavor = "multi_thread")]
async fn it_lists_the_agents_of_a_pool() {
    let world = World::start().await.expect("a world");
    let pod = Pod::new(&world);
    let id = register(&world);
    let output = list_agents(&world, &pod, &world.settings.pool).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        format!("{id}\t{NAME}\tonline=false\n")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_what_the_sidecar_says_of_a_pool_that_does_not_exist() {
    let world = World::start().await.expect("a world");
    let pod = Pod::new(&world);
    let output = list_agents(&world, &pod, "no-such-pool").await;
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("Pool \\\"no-such-pool\\\" does not exist at"), "{said}");
}
