//! What builds the product is named by content, not by a name that somebody can move.

use tests::kustomize::{documents, find, render};
use tests::programs::repository;

fn read(file: &str) -> String {
    std::fs::read_to_string(repository().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit())
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

/// What a workflow or a script installs to build a release is one version of it.
#[test]
fn tools_of_the_release_are_installed_in_one_version() {
    let mut seen = 0;
    for line in read("release/tools").lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("crate ") {
            let version = rest.split(' ').nth(1).unwrap_or_default();
            assert_eq!(version.split('.').count(), 3, "{line}");
            seen += 1;
        }
        if let Some((_, version)) = line.strip_prefix("go install ").and_then(|rest| rest.split_once('@')) {
            assert!(version.starts_with('v') && version.split('.').count() == 3, "{line}");
            seen += 1;
        }
    }
    assert!(seen >= 4, "only {seen} tools");
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

/// What makes the site here makes it where it is published.
#[test]
fn mdbook_has_one_version() {
    let run = read(".ci/run");
    let (_, site) = run.split_once("\nsite()").expect(".ci/run makes the site");
    let (_, rest) = site.split_once("version=").expect("it names the version");
    let version = rest.split_whitespace().next().unwrap_or_default();
    assert_eq!(version.split('.').count(), 3, "{version}");
    for file in [".github/workflows/pages.yml", "CONTRIBUTING.md", "tests/it/site.rs"] {
        let named: Vec<_> = read(file)
            .split("mdbook --version ")
            .skip(1)
            .map(|rest| {
                rest.trim_start()
                    .split(|letter: char| !letter.is_ascii_digit() && letter != '.')
                    .next()
                    .unwrap_or_default()
                    .to_owned()
            })
            .collect();
        assert_eq!(named, [version], "{file}");
    }
}

/// Whoever copies the policy gets one that fits what is released.
#[test]
fn the_policy_for_signed_sidecars_names_what_is_released() {
    let objects = documents("manifests/policies/signed-sidecar.yaml").expect("it is YAML");
    let base = render(&repository().join("manifests/base")).expect("the base renders");
    let image = super::settings(&base)["ADO_AGENT_WEBHOOK_SIDECAR_IMAGE"].clone();
    let (repository_of_image, _) = image.rsplit_once(':').expect("a tag");
    let rule = find(&objects, "ValidatingAdmissionPolicy", "ado-agent-sidecar-image").expect("there is one");
    let expression = rule["spec"]["validations"][0]["expression"].as_str().expect("a text");
    for part in [
        format!("c.name != '{}'", contract::SIDECAR_CONTAINER),
        format!("startsWith('{repository_of_image}:')"),
        format!("startsWith('{repository_of_image}@')"),
    ] {
        assert!(expression.contains(&part), "{expression}: {part}");
    }
    let policy = find(&objects, "ImageValidatingPolicy", "ado-agent-sidecar-signed").expect("there is one");
    assert_eq!(
        policy["spec"]["matchImageReferences"][0]["glob"],
        format!("{repository_of_image}*")
    );
    let identity = &policy["spec"]["attestors"][0]["cosign"]["keyless"]["identities"][0];
    let subject = identity["subjectRegExp"].as_str().expect("a text").replace('\\', "");
    let (_, workflow) = subject
        .split_once("/ado-agent-injector/ado-agent-injector/")
        .expect("our repository");
    let (workflow, tags) = workflow.split_once('@').expect("a reference");
    assert!(tags.starts_with("refs/tags/v"), "{tags}");
    assert!(read(workflow).contains("tags: [\"v"), "{workflow} is run for tags");
    assert!(read("docs/install.md").contains(&format!("{workflow}@refs/tags/v")));
}
