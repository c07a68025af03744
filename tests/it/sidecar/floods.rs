//! Answers of any size: they cost little memory, and the agent is removed all the same.
//!
//! The sidecar may use 32 MiB. Whoever holds the agent's key chooses how much it says of itself. `bench -- attack` has more of
//! each, under the limits as shipped.

use crate::pod::{NAME, Pod, SOON, Sidecar, register};
use azure_emulators::faults::{Fault, Flood};
use azure_emulators::world::World;
use contract::Reason;
use std::time::Duration;
use tests::bench::process::Process;
use tokio::task::JoinSet;

/// The most that a sidecar may ever have had in memory, in MiB. A debug build has about 11 at rest, most of it its own file.
const MOST: f64 = 20.0;

const AGENTS: &str = "* /_apis/distributedtask/pools/*/agents/**";
const EVERYTHING: &str = "**";

fn peak(sidecar: &Sidecar<'_>) -> f64 {
    Process(sidecar.id()).memory().expect("it runs").peak
}

async fn removed_at_t0(world: &World, pod: &Pod, what: &str) {
    assert!(pod.pre_stop().0, "{what}");
    let gone = |view: &azure_emulators::ado::AdoView| view.agent("linux", NAME).is_none();
    let seen = world.ado.wait_until("the agent is gone", SOON, gone).await;
    seen.unwrap_or_else(|late| panic!("{what}: {late}\n{}", pod.log()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_is_removed_however_much_azure_devops_answers() {
    let mut rows = JoinSet::new();
    for (route, of) in [
        (AGENTS, Flood::Capabilities { count: 330_000 }),
        (AGENTS, Flood::Agents { count: 30_000 }),
        (EVERYTHING, Flood::Nesting { depth: 2 << 20 }),
    ] {
        rows.spawn(async move {
            let world = World::start().await.expect("a world");
            let pod = Pod::new(&world).set(contract::LOG_LEVEL_VARIABLE, "debug");
            let mut sidecar = pod.start();
            sidecar.says(Reason::Ready).await;
            register(&world);
            world.ado.faults().always(route, Fault::Flood { of });
            removed_at_t0(&world, &pod, &format!("{of:?}")).await;
            let peak = peak(&sidecar);
            println!("{of:?}: {peak:.1} MiB at most");
            assert!(peak < MOST, "{of:?}: {peak} MiB");
            world.ado.faults().clear();
            sidecar.terminate();
            assert_eq!(sidecar.end(SOON).await, 0, "{}", pod.log());
        });
    }
    while let Some(row) = rows.join_next().await {
        row.expect("the row holds");
    }
}

/// An image that invents names is searched in the list of all agents.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_with_a_generated_name_is_found_in_a_list_of_any_length() {
    let world = World::start().await.expect("a world");
    let pod = Pod::new(&world).set(contract::LOG_LEVEL_VARIABLE, "debug");
    let mut sidecar = pod.start();
    sidecar.says(Reason::Ready).await;
    let name = format!("{NAME}-invented");
    let owner = tests::lone_sidecar::owner(NAME);
    world.pool.add_agent(&name, &[(contract::OWNER_VARIABLE, &owner)]);
    let list = "GET /_apis/distributedtask/pools/*/agents";
    let of = Flood::Agents { count: 30_000 };
    world.ado.faults().always(list, Fault::Flood { of });
    assert!(pod.pre_stop().0);
    let gone = |view: &azure_emulators::ado::AdoView| view.agent("linux", &name).is_none();
    let seen = world.ado.wait_until("the agent is gone", SOON, gone).await;
    seen.unwrap_or_else(|late| panic!("{late}\n{}", pod.log()));
    let peak = peak(&sidecar);
    println!("a list of 30,000: {peak:.1} MiB at most");
    assert!(peak < MOST, "{peak} MiB");
    world.ado.faults().clear();
    sidecar.terminate();
    assert_eq!(sidecar.end(SOON).await, 0, "{}", pod.log());
}

/// Nothing can be learned of an answer that never ends, or of one that is not what was asked for.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_cannot_be_understood_ends_with_its_reason() {
    let mut rows = JoinSet::new();
    for of in [
        Flood::Endless,
        Flood::Compressed,
        Flood::Strings { length: 8 << 20 },
        Flood::Page {
            status: 200,
            length: 32 << 20,
        },
        Flood::Page {
            status: 403,
            length: 32 << 20,
        },
    ] {
        rows.spawn(async move {
            let world = World::start().await.expect("a world");
            let pod = Pod::new(&world)
                .set(contract::LOG_LEVEL_VARIABLE, "debug")
                .set(contract::GRACE_SECONDS_VARIABLE, "10");
            let mut sidecar = pod.start();
            sidecar.says(Reason::Ready).await;
            register(&world);
            world.ado.faults().always(AGENTS, Fault::Flood { of });
            assert!(pod.pre_stop().0);
            let tried = |view: &azure_emulators::ado::AdoView| view.requests.len() >= 5;
            let seen = world.ado.wait_until("it was tried", SOON, tried).await;
            seen.unwrap_or_else(|late| panic!("{of:?}: {late}\n{}", pod.log()));
            let (_, line) = pod.probe();
            assert!(line.len() < 2000, "{of:?}: {} bytes", line.len());
            let peak = peak(&sidecar);
            println!("{of:?}: {peak:.1} MiB at most");
            assert!(peak < MOST, "{of:?}: {peak} MiB");
            sidecar.terminate();
            assert_eq!(sidecar.end(SOON).await, 1, "{of:?}\n{}", pod.log());
            let message = pod.message();

            assert!(message.starts_with("left-"), "{of:?}: {message}");
            assert!(pod.log().len() < 64 * 1024, "{of:?}: the log is short");
        });
    }
    while let Some(row) = rows.join_next().await {
        row.expect("the row holds");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_of_entra_is_reported_and_recovered_from() {
    let mut rows = JoinSet::new();
    for (of, refused) in [
        (Flood::Endless, true),
        (Flood::Compressed, true),
        (Flood::Strings { length: 8 << 20 }, true),
        (
            Flood::Page {
                status: 400,
                length: 32 << 20,
            },
            true,
        ),
        (
            Flood::Page {
                status: 200,
                length: 32 << 20,
            },
            true,
        ),
        (Flood::Nesting { depth: 1 << 20 }, false),
    ] {
        rows.spawn(async move {
            let world = World::start().await.expect("a world");
            let pod = Pod::new(&world).set(contract::LOG_LEVEL_VARIABLE, "debug");
            world.entra.faults().always("POST **", Fault::Flood { of });
            let mut sidecar = pod.start();
            if refused {
                let told = |pod: &Pod| Some(pod.message()).filter(|message| message.starts_with("entra-unreachable: "));
                // Half a minute is what an answer of Entra's may take.
                let message = sidecar.eventually_within(2 * SOON, "it says so", told).await;
                assert!(message.len() < 2000, "{of:?}: {message}");
                let peak = peak(&sidecar);
                println!("{of:?}: {peak:.1} MiB at most");
                assert!(peak < MOST, "{of:?}: {peak} MiB");
                world.entra.faults().clear();
            }
            sidecar.says(Reason::Ready).await;
        });
    }
    while let Some(row) = tokio::time::timeout(Duration::from_secs(120), rows.join_next())
        .await
        .expect("in time")
    {
        row.expect("the row holds");
    }
}
