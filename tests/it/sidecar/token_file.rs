//! The token file as jobs and images treat it.

use crate::pod::{Pod, content};
use contract::Reason;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;
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

/// Needs an unprivileged mount namespace, for a volume of two pages.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_volume_is_said_and_recovered_from() {
    let allowed = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "true"])
        .status();
    assert!(
        allowed.is_ok_and(|status| status.success()),
        "this test needs unshare(1) and a mount namespace: run it as root, or allow unprivileged user namespaces"
    );
    let world = World::start().await.expect("a world");
    let pod = Pod::new(&world);
    let program = pod.command(&["run"]);
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c"]);
    command.arg("PATH=/usr/sbin:/usr/bin:/sbin:/bin mount -t tmpfs -o size=8k none \"$0\" && exec \"$1\" run");
    command.arg(pod.path("handoff")).arg(program.get_program()).env_clear();
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut sidecar = pod.spawn(command);
    sidecar.says(Reason::Ready).await;
    // The namespace is entered through the process.
    let inside = |path: std::path::PathBuf| {
        let root = format!("/proc/{}/root", sidecar.id());
        std::path::Path::new(&root).join(path.strip_prefix("/").expect("absolute"))
    };
    let (file, filler) = (inside(pod.token_file()), inside(pod.path("handoff/filler")));
    let directory = file.parent().expect("a directory").to_owned();
    let token = content(&file);
    std::fs::write(&filler, vec![0; 4096]).expect("the second page");
    let stolen = inside(pod.path("handoff/stolen"));
    std::fs::rename(&file, &stolen).expect("moved");
    sidecar
        .eventually("it says so", |pod| {
            pod.log().contains("token-file-failed").then_some(())
        })
        .await;
    assert_eq!(
        std::fs::read_dir(&directory).expect("listed").count(),
        0,
        "nothing half-made stays"
    );
    assert_eq!(content(&stolen), token, "the old token is intact");
    std::fs::remove_file(&filler).expect("removed");
    sidecar
        .eventually("it is written again", |_| (content(&file) == token).then_some(()))
        .await;
}
