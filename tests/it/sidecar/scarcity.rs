//! No space, no inodes, no file descriptors, a wrong clock, an invalid CA bundle: it is reported, and the agent is removed.

use crate::pod::{NAME, Pod, SOON, content, register};
use azure_emulators::tls::Authority;
use azure_emulators::world::World;
use contract::Reason;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use std::path::Path;
use std::time::Duration;
use tests::bench::process::Process;
use tokio::task::JoinSet;

/// Fills what is left of a file system: as many files as it takes, then as many bytes.
fn fill(folder: &Path) {
    for number in 0..64 {
        let file = folder.join(format!("filler-{number}"));
        if std::fs::write(&file, vec![0; 4096]).is_err() {
            return;
        }
    }
    panic!("{} does not get full", folder.display());
}

fn empty(folder: &Path) {
    for entry in std::fs::read_dir(folder).expect("listed").flatten() {
        if entry.file_name().to_string_lossy().starts_with("filler-") {
            std::fs::remove_file(entry.path()).expect("removed");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_handoff_volume_is_reported_and_recovered_from() {
    let mut rows = JoinSet::new();
    // Of bytes: the drain file, the token and one more page. Of inodes: the root and the directory, too.
    for options in ["size=12k", "nr_inodes=5"] {
        rows.spawn(async move {
            let world = World::start().await.expect("a world");
            let pod = Pod::new(&world);
            let mut sidecar = pod.start_on_tmpfs("handoff", options);
            sidecar.says(Reason::Ready).await;
            register(&world);
            let file = sidecar.inside(&pod.token_file());
            let volume = sidecar.inside(&pod.path("handoff"));
            let token = content(&file);
            assert!(!token.is_empty(), "{options}");
            fill(&volume);
            // It is to be written again.
            let stolen = volume.join("stolen");
            std::fs::rename(&file, &stolen).expect("moved");
            let said = |pod: &Pod| {
                let log = pod.log();
                (log.contains("token-file-failed") && log.contains("No space left on device")).then_some(())
            };
            sidecar.eventually("it says so", said).await;
            let directory = file.parent().expect("a directory");
            let left = std::fs::read_dir(directory).expect("listed").count();
            assert_eq!(left, 0, "{options}: nothing half-made stays");
            assert_eq!(content(&stolen), token, "{options}: the old token is intact");
            empty(&volume);
            sidecar
                .eventually("it is written again", |_| (content(&file) == token).then_some(()))
                .await;
            fill(&volume);
            sidecar.terminate();
            assert_eq!(sidecar.end(SOON).await, 0, "{options}: {}", pod.log());
            assert!(world.pool.agent(NAME).is_none(), "{options}: {}", pod.message());
        });
    }
    while let Some(row) = rows.join_next().await {
        row.expect("the row holds");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_state_volume_costs_only_the_saved_state() {
    let mut rows = JoinSet::new();
    // Of inodes: the root, the socket, the state and the next state.
    for options in ["size=8k", "nr_inodes=4"] {
        rows.spawn(async move {
            let world = World::start().await.expect("a world");
            let pod = Pod::new(&world);
            let mut sidecar = pod.start_on_tmpfs("state", options);
            sidecar.says(Reason::Ready).await;
            register(&world);
            fill(&sidecar.inside(&pod.path("state")));
            sidecar.terminate();
            assert_eq!(sidecar.end(SOON).await, 0, "{options}: {}", pod.log());
            assert!(world.pool.agent(NAME).is_none(), "{options}: {}", pod.message());
            assert!(
                pod.log().contains("the state cannot be saved"),
                "{options}: {}",
                pod.log()
            );
        });
    }
    while let Some(row) = rows.join_next().await {
        row.expect("the row holds");
    }
}

/// Only the sidecar mounts it, so this is somebody's configuration.
#[tokio::test(flavor = "multi_thread")]
async fn a_state_volume_without_a_socket_ends_the_sidecar_with_the_reason() {
    let world = World::start().await.expect("a world");
    let pod = Pod::new(&world);
    let mut sidecar = pod.start_on_tmpfs("state", "nr_inodes=1");
    assert_eq!(sidecar.end(SOON).await, 1);
    let log = pod.log();
    assert!(
        log.contains("the socket in") && log.contains("No space left on device"),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_in_the_state_volume_does_not_prevent_a_start() {
    let mut rows = JoinSet::new();
    let far = r#"{"exchange_not_before": 1e300, "ado_not_before": 1e300, "draining_since": -1, "exchange_failures": 4294967295}"#;
    for rubbish in [
        vec![b'{'; 32 << 20],
        vec![0xff; 100],
        b"[]".to_vec(),
        br#"{"pool": "linux"}"#.to_vec(),
        far.as_bytes().to_vec(),
    ] {
        rows.spawn(async move {
            let world = World::start().await.expect("a world");
            let pod = Pod::new(&world);
            std::fs::write(pod.path("state/state.json"), rubbish).expect("written");
            std::fs::create_dir(pod.path("state/state.json.old")).expect("made");
            let mut sidecar = pod.start();
            sidecar.says(Reason::Ready).await;
            register(&world);
            sidecar.terminate();
            assert_eq!(sidecar.end(SOON).await, 0, "{}", pod.log());
            assert!(world.pool.agent(NAME).is_none(), "{}", pod.message());
        });
    }
    while let Some(row) = rows.join_next().await {
        row.expect("the row holds");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_file_descriptors_it_waits_and_the_agent_is_removed_over_the_open_connection() {
    let world = World::start().await.expect("a world");
    let pod = Pod::new(&world);
    let mut sidecar = pod.start();
    sidecar.says(Reason::Ready).await;
    register(&world);
    let process = Process(sidecar.id());
    let id = Pid::from_raw(i32::try_from(sidecar.id()).expect("a process id")).expect("a process id");
    // The child has our limits.
    let usual = getrlimit(Resource::Nofile);
    let limit = |current| {
        let new = Rlimit { current, ..usual };
        prlimit(Some(id), Resource::Nofile, new).expect("a limit");
    };
    // Those that are open stay.
    limit(Some(3));
    let before = process.processor_time().expect("it runs");
    let (may_start, line) = pod.probe();
    assert!(!may_start && line.contains("does not answer"), "{line}");
    let said = |pod: &Pod| pod.log().contains("a probe could not be accepted").then_some(());
    sidecar.eventually("it says so", said).await;
    assert!(!pod.probe().0);
    let spent = process.processor_time().expect("it runs") - before;
    assert!(
        spent < Duration::from_millis(500),
        "{spent:?} for four seconds of waiting"
    );
    let times = pod.log().matches("a probe could not be accepted").count();
    assert!(times < 10, "said {times} times");
    // The file cannot be written again.
    std::fs::remove_file(pod.token_file()).expect("removed");
    let said = |pod: &Pod| {
        let log = pod.log();
        (log.contains("token-file-failed") && log.contains("Too many open files")).then_some(())
    };
    sidecar.eventually("it says so", said).await;
    limit(usual.current);
    sidecar.eventually("it is written again", Pod::token).await;
    sidecar
        .eventually("the probe passes again", |pod| pod.probe().0.then_some(()))
        .await;
    limit(Some(3));
    sidecar.terminate();
    assert_eq!(sidecar.end(SOON).await, 0, "{}", pod.log());
    assert!(world.pool.agent(NAME).is_none(), "{}", pod.message());
}

/// The sidecar's own timers do not look at the time of day; what it compares are times of the servers. The jumps are within
/// what the tokens' own times allow.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_does_not_prevent_the_removal() {
    let mut rows = JoinSet::new();
    for jump in [-240_000, 1_800_000] {
        rows.spawn(async move {
            let world = World::start().await.expect("a world");
            let pod = Pod::new(&world);
            let mut sidecar = pod.start();
            sidecar.says(Reason::Ready).await;
            for clock in [world.ado.clock(), world.entra.clock()] {
                clock.shift_millis(jump);
            }
            // Created before the sidecar started, or long after, by the server's clock.
            register(&world);
            assert!(pod.pre_stop().0);
            let gone = |view: &azure_emulators::ado::AdoView| view.agent("linux", NAME).is_none();
            let seen = world.ado.wait_until("the agent is gone", SOON, gone).await;
            seen.unwrap_or_else(|late| panic!("{jump}: {late}\n{}", pod.log()));
            sidecar.terminate();
            assert_eq!(sidecar.end(SOON).await, 0, "{jump}: {}", pod.log());
        });
    }
    while let Some(row) = rows.join_next().await {
        row.expect("the row holds");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_ca_bundle_is_reported_and_replaced_without_a_restart() {
    let key = "-----BEGIN PRIVATE KEY-----\nMIIBEzCBu6ADAgECAhRs\n-----END PRIVATE KEY-----\n";
    let broken = "-----BEGIN CERTIFICATE-----\nMIIBEzCBu6ADAgECAhRs\n-----END CERTIFICATE-----\n";
    const ANOTHER: &str = "invalid peer certificate";
    let mut rows = JoinSet::new();
    for (rubbish, named) in [
        (vec![0xff; 1 << 20], "holds no certificate"),
        (Vec::new(), "is empty"),
        (key.into(), "holds no certificate"),
        (broken.into(), "none of the 1 certificates"),
        (b"-----BEGIN CERTIFICATE-----\n".repeat(30_000), "is not PEM"),
        (vec![b'\n'; (1 << 20) + 1], "larger than 1 MiB"),
        (Authority::new().pem().into(), ANOTHER),
    ] {
        rows.spawn(async move {
            let world = World::start().await.expect("a world");
            let bundle_of = |pod: &Pod| pod.path("ca.crt");
            let pod = Pod::new(&world).set(contract::CA_PEM_VARIABLE, "");
            let bundle = bundle_of(&pod);
            std::fs::write(&bundle, &rubbish).expect("written");
            let pod = pod.set(contract::CA_FILE_VARIABLE, bundle.to_str().expect("text"));
            let mut sidecar = pod.start();
            let message = sidecar.says(Reason::EntraUnreachable).await;
            assert!(message.contains(named) && message.len() < 1500, "{named}: {message}");
            // One that is good beside one that is not.
            std::fs::write(&bundle, format!("{broken}{}", world.authority.pem())).expect("written");
            sidecar.says(Reason::Ready).await;
            assert!(pod.log().contains("1 of 2 certificates"), "{}", pod.log());
            register(&world);
            // What cannot be understood changes nothing. Another authority's certificate can, and is the user's will.
            if named != ANOTHER {
                std::fs::write(&bundle, &rubbish).expect("written");
            }
            sidecar.terminate();
            assert_eq!(sidecar.end(SOON).await, 0, "{named}: {}", pod.log());
            assert!(world.pool.agent(NAME).is_none(), "{named}: {}", pod.message());
        });
    }
    while let Some(row) = rows.join_next().await {
        row.expect("the row holds");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_ca_bundle_of_the_operator_is_a_bad_configuration() {
    let world = World::start().await.expect("a world");
    let pod = Pod::new(&world).set(contract::CA_PEM_VARIABLE, "no PEM");
    let mut sidecar = pod.start();
    let message = sidecar.says(Reason::BadConfiguration).await;
    assert!(message.contains("holds no certificate"), "{message}");
    sidecar.terminate();
    assert_eq!(sidecar.end(SOON).await, 0);
}
