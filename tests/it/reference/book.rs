//! The pages as a book: all are in it, and what they show to copy works.

use super::images::decide;
use contract::INJECT_LABEL;
use inject::Decision;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use tests::kustomize::{documents, find, parse, render};
use tests::pages::{blocks, pages};
use tests::programs::repository;

const CONTENTS: &str = "SUMMARY.md";

#[test]
fn every_page_is_in_the_book_once() {
    let docs = repository().join("docs");
    let summary = std::fs::read_to_string(docs.join(CONTENTS)).expect("the book has a table of contents");
    let listed: Vec<PathBuf> = summary
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .map(|page| docs.join(page))
        .collect();
    let once: BTreeSet<&PathBuf> = listed.iter().collect();
    assert_eq!(once.len(), listed.len(), "a page is listed twice: {listed:#?}");
    let all = pages();
    let pages = all
        .iter()
        .filter(|page| page.starts_with(&docs) && !page.ends_with(CONTENTS));
    for page in pages {
        assert!(once.contains(page), "docs/{CONTENTS} does not list {}", page.display());
    }
    for page in listed {
        assert!(page.is_file(), "docs/{CONTENTS} lists {}", page.display());
    }
}

/// Every YAML document that a page shows, with the page.
fn shown() -> Vec<(String, Value)> {
    let mut shown = Vec::new();
    for page in pages() {
        let text = std::fs::read_to_string(&page).expect("it can be read");
        let name = page
            .strip_prefix(repository())
            .expect("it is ours")
            .display()
            .to_string();
        for block in blocks(&text).iter().filter(|block| block.language == "yaml") {
            let documents = parse(&block.text).unwrap_or_else(|error| panic!("{name}: {error}:\n{}", block.text));
            shown.extend(documents.into_iter().map(|document| (name.clone(), document)));
        }
    }
    assert!(shown.len() > 15, "only {} documents were found", shown.len());
    shown
}

/// A copy of what overlays are made of, and a folder beside the repository's own overlays.
fn overlay(folder: &Path) -> PathBuf {
    for part in ["manifests", "certs"] {
        copy(&repository().join(part), &folder.join(part));
    }
    let overlay = folder.join("manifests/overlays/page");
    std::fs::create_dir_all(&overlay).expect("the folder is writable");
    // What a page tells the reader to bring.
    std::fs::write(overlay.join("ca.crt"), "-----BEGIN CERTIFICATE-----\n").expect("the folder is writable");
    overlay
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("the folder is writable");
    for entry in std::fs::read_dir(from).expect("it can be listed") {
        let path = entry.expect("it can be listed").path();
        let target = to.join(path.file_name().expect("it has a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).expect("the folder is writable");
        }
    }
}

#[test]
fn every_overlay_on_a_page_renders() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let overlay = overlay(folder.path());
    let mut seen = BTreeSet::new();
    for (page, document) in shown() {
        let is_overlay = document["kind"] == "Kustomization"
            && document["apiVersion"]
                .as_str()
                .is_some_and(|version| version.starts_with("kustomize.config.k8s.io/"));
        if !is_overlay {
            continue;
        }
        // JSON is YAML.
        std::fs::write(overlay.join("kustomization.yaml"), document.to_string()).expect("it is writable");
        let objects = render(&overlay).unwrap_or_else(|error| panic!("{page}: {error:#}"));
        let webhook = find(&objects, "Deployment", "ado-agent-webhook").expect("the base is in it");
        match page.as_str() {
            "docs/platforms.md" => {
                let context = &webhook["spec"]["template"]["spec"]["securityContext"];
                assert_eq!(context["runAsNonRoot"], true);
                for assigned in ["runAsUser", "runAsGroup", "fsGroup"] {
                    assert!(context[assigned].is_null(), "{page}: {context}");
                }
            }
            "docs/network.md" => {
                let volumes = &webhook["spec"]["template"]["spec"]["volumes"];
                let name = volumes[1]["configMap"]["name"].as_str().unwrap_or_default();
                find(&objects, "ConfigMap", name).expect("the volume's ConfigMap is rendered");
            }
            _ => {}
        }
        seen.insert(page);
    }
    assert_eq!(seen.len(), 2, "{seen:?}");
}

/// The pod of a pod, of a workload, or of neither.
fn pod(document: &Value) -> Option<Value> {
    let template = ["/spec/template", "/spec/jobTargetRef/template"]
        .into_iter()
        .find_map(|path| document.pointer(path));
    let template = if document["kind"] == "Pod" {
        Some(document)
    } else {
        template
    }?;
    let asks = template["metadata"]["labels"][INJECT_LABEL] == "true";
    asks.then(|| json!({"metadata": template["metadata"], "spec": template["spec"]}))
}

#[test]
fn every_pod_on_a_page_gets_the_sidecar() {
    let mut seen = 0;
    for (page, document) in shown() {
        let Some(pod) = pod(&document) else { continue };
        let Decision::Inject(injection) = decide(&pod) else {
            panic!("{page}: {:?}: {pod}", decide(&pod));
        };
        // Of a page that says which pod is not isolated, and of no other.
        let isolation = injection
            .warnings
            .iter()
            .filter(|warning| warning.contains("is not isolated"));
        let others = injection.warnings.len() - isolation.clone().count();
        assert_eq!(others, 0, "{page}: {:?}", injection.warnings);
        let expected = usize::from(page == "docs/container-builds.md");
        assert_eq!(isolation.count(), expected, "{page}: {:?}", injection.warnings);
        if expected == 1 {
            let warning = &injection.warnings[0];
            assert!(
                warning.contains("privileged") && !warning.contains("capability"),
                "{warning}"
            );
        }
        seen += 1;
    }
    assert!(seen >= 2, "{seen}");
}

/// The page's diff, read as what stands there afterwards.
#[test]
fn what_migrating_changes_gives_an_agent() {
    let page = std::fs::read_to_string(repository().join("docs/migrate.md")).expect("the page");
    let blocks = blocks(&page);
    let diff = blocks
        .iter()
        .find(|block| block.language == "diff")
        .expect("it has a diff");
    let side = |wanted: char| -> String {
        let lines = diff.text.lines().filter(|line| line.starts_with([' ', wanted]));
        lines.map(|line| format!("{}\n", &line[1..])).collect()
    };
    let before = parse(&side('-')).expect("YAML");
    let after = parse(&side('+')).expect("YAML");
    assert!(pod(&before[0]).is_none(), "before, it does not ask");
    assert!(before[0].to_string().contains("AZP_TOKEN"));
    let pod = pod(&after[0]).expect("afterwards it asks");
    assert!(!pod.to_string().contains("secretKeyRef"), "{pod}");
    let decision = decide(&pod);
    assert!(
        matches!(&decision, Decision::Inject(injection) if injection.warnings.is_empty()),
        "{decision:?}"
    );
}

/// The quick start names the account that the Azure side trusts by default, and the examples' image.
#[test]
fn the_quick_start_fits_the_examples() {
    let page = std::fs::read_to_string(repository().join("docs/quick-start.md")).expect("the page");
    let objects = documents("manifests/examples/deployment.yaml").expect("it is YAML");
    let deployment = find(&objects, "Deployment", "azp-agent").expect("there is one");
    let image = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
        .as_str()
        .expect("an image");
    assert!(page.contains(&format!("IMAGE={image}\n")), "{image}");
    assert!(page.contains("NAMESPACE=agents ") && page.contains("create serviceaccount azp-agent\n"));
}
