//! The token file as jobs and images treat it.

use crate::pod::{NAME, Pod, SOON, content, register};
use azure_emulators::world::World;
use contract::Reason;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_the_image_deletes_is_written_again() {
    let world = World::start().await.expect("a world");
    let pod = Pod::new(&world).set(contract::TOKEN_FILE_MODE_VARIABLE, "0640");
    let mut sidecar = pod.start();
    sidecar.says(Reason::Ready).await;
    let token = pod.token().expect("a token");
    std::fs::remove_file(pod.token_file()).expect("removed");
    let again = sidecar.eventually("the file is back", Pod::token).await;
    assert_eq!(again, token);
    let mode = std::fs::metadata(pod.token_file()).expect("there").permissions().mode();
    assert_eq!(mode & 0o7777, 0o640);
}

#[tokio::test(flavor = "multi_thread")]
async fn links_in_the_shared_volume_lead_nowhere() {
    let world = World::start().await.expect("a world");
    let pod = Pod::new(&world);
    let victim = pod.path("victim");
    let elsewhere = pod.path("elsewhere");
    std::fs::create_dir(&elsewhere).expect("made");
    std::fs::write(&victim, "precious").expect("written");
    symlink(&elsewhere, pod.path("handoff").join(contract::TOKEN_SUBDIRECTORY)).expect("planted");
    let mut sidecar = pod.start();
    sidecar.says(Reason::Ready).await;
    assert_eq!(
        std::fs::read_dir(&elsewhere).expect("listed").count(),
        0,
        "a link was followed"
    );
    std::fs::remove_file(pod.token_file()).expect("removed");
    let _ = symlink(&victim, pod.token_file());
    sidecar
        .eventually("a file again or still a link to something precious", |pod| {
            let link = std::fs::symlink_metadata(pod.token_file()).ok()?.is_symlink();
            (link || pod.token().is_some()).then_some(())
        })
        .await;
    assert_eq!(content(&victim), "precious");
}

/// `bench -- attack-sidecar` does it with a tenth of a processor.
#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_removals_in_the_shared_directory_delays_neither_probe_nor_removal() {
    let world = World::start().await.expect("a world");
    let pod = Pod::new(&world).set(contract::LOG_LEVEL_VARIABLE, "info");
    let mut sidecar = pod.start();
    sidecar.says(Reason::Ready).await;
    register(&world);
    let goes_on = Arc::new(AtomicBool::new(true));
    let (flag, token) = (Arc::clone(&goes_on), pod.token_file());
    let storm = std::thread::spawn(move || {
        let other = token.with_file_name("other");
        while flag.load(Ordering::Relaxed) {
            let _ = std::fs::write(&other, "");
            let _ = std::fs::remove_file(&other);
            let _ = std::fs::remove_file(&token);
        }
    });
    assert!(pod.probe().0);
    sidecar.terminate();
    assert_eq!(sidecar.end(SOON).await, 0, "{}", pod.log());
    goes_on.store(false, Ordering::Relaxed);
    storm.join().expect("no panic");
    assert!(world.pool.agent(NAME).is_none(), "{}", pod.message());
    assert!(pod.log().len() < 64 * 1024, "the log is short");
}
