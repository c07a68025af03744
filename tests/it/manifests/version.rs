//! `release/version`: a release whose version was forgotten somewhere, or is not newer than the last one, is not made.

use std::path::Path;
use std::process::Command;

use tests::programs::repository;

/// What the script reads, and itself.
const FILES: [&str; 7] = [
    "Cargo.toml",
    "docs/install.md",
    "manifests/base/kustomization.yaml",
    "manifests/chart/Chart.yaml",
    "manifests/overlays/production/kustomization.yaml",
    "release/common",
    "release/version",
];

/// A repository with one commit, of these files.
fn copy() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for file in FILES {
        let to = folder.path().join(file);
        std::fs::create_dir_all(to.parent().expect("a folder")).expect("it is made");
        std::fs::copy(repository().join(file), to).expect("it is copied");
    }
    git(folder.path(), &["init", "--quiet"]);
    git(folder.path(), &["add", "."]);
    git(folder.path(), &["commit", "--quiet", "--message=All"]);
    folder
}

fn git(folder: &Path, arguments: &[&str]) {
    let author = ["-c", "user.name=a", "-c", "user.email=a@example.com"];
    let output = Command::new("git")
        .args(author)
        .args(["-c", "commit.gpgsign=false", "-c", "tag.gpgsign=false"])
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("git can be started");
    assert!(output.status.success(), "{output:?}");
}

/// Puts a version in place of ours.
fn bump(folder: &Path, files: &[&str], version: &str) {
    for file in files {
        let path = folder.join(file);
        let text = std::fs::read_to_string(&path).expect("it is text");
        std::fs::write(&path, text.replace(env!("CARGO_PKG_VERSION"), version)).expect("it is written");
    }
}

fn check(folder: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(folder.join("release/version"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("it can be started");
    let said = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text").trim().to_owned();
    if output.status.success() {
        Ok(said(output.stdout))
    } else {
        Err(said(output.stderr))
    }
}

#[test]
fn every_place_that_was_forgotten_is_named() {
    let folder = copy();
    assert!(check(folder.path(), &[]).is_ok());
    bump(folder.path(), &FILES[..1], "90.1.0");
    let error = check(folder.path(), &[]).unwrap_err();
    for file in &FILES[1..5] {
        assert!(error.contains(&format!("{file}:")), "{file}: {error}");
    }
    for image in [
        "ado-agent-webhook:",
        "ado-agent-sidecar:",
        " ado-agent:",
        "appVersion: ",
    ] {
        assert!(error.contains(image), "{image}: {error}");
    }
    bump(folder.path(), &FILES[1..5], "90.1.0");
    assert_eq!(check(folder.path(), &[]).unwrap(), "90.1.0, after no release");
    let error = check(folder.path(), &["v90.1.1"]).unwrap_err();
    assert!(error.contains("the tag is v90.1.1"), "{error}");
}

#[test]
fn a_release_is_newer_than_the_last_and_a_candidate_older_than_its_release() {
    let folder = copy();
    let path = folder.path();
    for tag in ["v90.0.9", "v90.0.10"] {
        git(path, &["tag", tag]);
    }
    bump(path, &FILES[..5], "90.0.9-rc.2");
    let error = check(path, &[]).unwrap_err();
    assert!(error.contains("90.0.9-rc.2 is not newer than v90.0.10"), "{error}");

    let folder = copy();
    let path = folder.path();
    git(path, &["tag", "v90.1.0-rc.1"]);
    bump(path, &FILES[..5], "90.1.0");
    assert_eq!(check(path, &["v90.1.0"]).unwrap(), "90.1.0, after v90.1.0-rc.1");
    // Made again, from the same tag.
    git(path, &["tag", "v90.1.0"]);
    assert_eq!(check(path, &["v90.1.0"]).unwrap(), "90.1.0, after v90.1.0-rc.1");

    let folder = copy();
    let path = folder.path();
    git(path, &["tag", "v90.1.0"]);
    git(path, &["tag", "v90.1.0-rc.1"]);
    bump(path, &FILES[..5], "90.1.0-rc.2");
    let error = check(path, &[]).unwrap_err();
    assert!(error.contains("is not newer than v90.1.0"), "{error}");
}
