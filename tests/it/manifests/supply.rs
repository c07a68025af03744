//! What builds the product is named by content, not by a name that somebody can move.

use tests::programs::repository;

fn read(file: &str) -> String {
    std::fs::read_to_string(repository().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[test]
fn images_are_built_from_bases_by_digest() {
    for file in ["webhook/Dockerfile", "sidecar/Dockerfile"] {
        let text = read(file);
        let bases: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("FROM ")).collect();
        assert_eq!(bases.len(), 2, "{file}");
        for base in bases.into_iter().filter(|base| *base != "scratch") {
            let digest = base.split_once("@sha256:").map(|(_, rest)| rest);
            let digest = digest.and_then(|rest| rest.split(' ').next()).unwrap_or_default();
            assert!(is_hex(digest, 64), "{file}: {base}");
            let channel = read("rust-toolchain.toml");
            let version = base
                .split_once("rust:")
                .and_then(|(_, rest)| rest.split_once('-'))
                .map(|(version, _)| version);
            let version = version.unwrap_or_else(|| panic!("{file}: no version of Rust in {base}"));
            assert!(
                channel.contains(&format!("\"{version}")),
                "{file}: {base}, but {channel}"
            );
        }
    }
}

#[test]
fn actions_are_used_by_commit_with_the_version_beside_it() {
    let mut seen = 0;
    for entry in std::fs::read_dir(repository().join(".github/workflows")).expect("the folder exists") {
        let path = entry.expect("it can be listed").path();
        let text = std::fs::read_to_string(&path).expect("a workflow is text");
        for line in text.lines().filter(|line| line.contains("uses:")) {
            let (_, commit) = line.split_once('@').unwrap_or_default();
            let (commit, version) = commit.split_once(" # v").unwrap_or_default();
            assert!(is_hex(commit, 40) && !version.is_empty(), "{}: {line}", path.display());
            seen += 1;
        }
    }
    assert!(seen >= 5, "only {seen} actions");
}

/// A tool that judges our dependencies is the same one everywhere.
#[test]
fn cargo_deny_has_one_version() {
    let run = read(".ci/run");
    let version = run
        .split_once("version=")
        .and_then(|(_, rest)| rest.split_whitespace().next())
        .expect(".ci/run names the version");
    assert!(
        read(".github/workflows/advisories.yml").contains(&format!("cargo-deny --version {version}\n")),
        "the workflow and .ci/run name different versions"
    );
}
