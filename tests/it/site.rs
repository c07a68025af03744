//! The site: mdBook builds it, and no link in it leads nowhere. `cargo test -p tests --test site`; needs mdbook
//! (`cargo install mdbook`) and jq, so `cargo test --workspace` leaves it out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use tests::programs::repository;

/// Where links to the repository's own files lead, as `book.toml` has it.
const FILES: &str = "https://github.com/ado-agent-injector/ado-agent-injector/blob/main/";

fn build(folder: &Path) {
    let output = Command::new("mdbook")
        .args(["build", "--dest-dir"])
        .arg(folder)
        .current_dir(repository())
        .output()
        .unwrap_or_else(|error| {
            panic!("mdbook cannot be started ({error}): cargo install --locked --debug --no-default-features --features search mdbook --version 0.5.4")
        });
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    for word in ["WARN", "ERROR"] {
        assert!(!said.contains(word), "{said}");
    }
}

/// The values of an attribute.
fn values<'a>(html: &'a str, attribute: &str) -> Vec<&'a str> {
    let start = format!(" {attribute}=\"");
    html.split(start.as_str())
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect()
}

fn html(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut pages = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("it can be listed") {
            let path = entry.expect("it can be listed").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "html") {
                let text = std::fs::read_to_string(&path).expect("mdBook writes UTF-8");
                pages.insert(path, text);
            }
        }
    }
    pages
}

#[test]
fn it_is_built_and_no_link_leads_nowhere() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    build(folder.path());
    let pages = html(folder.path());
    assert!(pages.len() > 20, "{:?}", pages.keys());
    let anchors: BTreeMap<&PathBuf, BTreeSet<&str>> = pages
        .iter()
        .map(|(path, html)| (path, values(html, "id").into_iter().collect()))
        .collect();
    let (mut within, mut repository_files) = (0, 0);
    for (page, html) in &pages {
        // Not a page of ours: its links are for wherever an unknown address was asked for.
        if page.ends_with("404.html") {
            continue;
        }
        for target in values(html, "href").into_iter().chain(values(html, "src")) {
            let place = format!("{}: {target}", page.display());
            if let Some(path) = target.strip_prefix(FILES) {
                let path = path.split('#').next().unwrap_or(path);
                assert!(repository().join(path).exists(), "{place}");
                repository_files += 1;
                continue;
            }
            if target.starts_with("https://") || target.starts_with("data:") || target.is_empty() {
                continue;
            }
            assert!(!target.contains(".md"), "{place}: a page that is not in the book");
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = if path.is_empty() {
                page.clone()
            } else {
                page.parent().expect("a file lies in a folder").join(path)
            };
            let file = file.canonicalize().unwrap_or_else(|error| panic!("{place}: {error}"));
            if !anchor.is_empty() {
                let found = anchors
                    .iter()
                    .find(|(page, _)| page.canonicalize().is_ok_and(|page| page == file));
                let (_, anchors) = found.unwrap_or_else(|| panic!("{place}: an anchor in no page"));
                assert!(anchors.contains(anchor), "{place}: no such anchor");
            }
            within += 1;
        }
    }
    assert!(
        within > 500 && repository_files > 20,
        "{within} links, {repository_files} into the repository"
    );
}

/// The pictures are drawings of their own: nothing is fetched, and both colors of the reader's screen are served.
#[test]
fn pictures_suit_light_and_dark() {
    let mut seen = 0;
    for entry in std::fs::read_dir(repository().join("docs/site")).expect("it can be listed") {
        let path = entry.expect("it can be listed").path();
        if path.extension().is_none_or(|extension| extension != "svg") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("SVG is text");
        let name = path.display();
        assert!(
            text.contains("prefers-color-scheme: dark") && text.contains("<title"),
            "{name}"
        );
        let addresses = text.matches("http").count();
        assert_eq!(addresses, 1, "{name}: the name space and nothing else");
        seen += 1;
    }
    assert_eq!(seen, 2);
}
