//! The token file as jobs and images treat it.

use crate::pod::{Pod, content};
use contract::Reason;
use std::os::unix::fs::{PermissionsExt, symlink};
use tests::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_the_image_deletes_comes_back() {
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
