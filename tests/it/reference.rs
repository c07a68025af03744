//! The documentation that is tied to the code: the reference is up to date, the troubleshooting page knows every reason,
//! and no link or name in the documentation leads nowhere.

#[path = "reference/book.rs"]
mod book;
#[path = "reference/images.rs"]
mod images;
#[path = "reference/names.rs"]
mod names;
#[path = "reference/reasons.rs"]
mod reasons;
#[path = "reference/scorecard.rs"]
mod scorecard;

use std::collections::BTreeSet;
use std::path::Path;

use tests::chart;
use tests::pages::pages;
use tests::programs::repository;
use tests::reference::render;

fn read(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn the_reference_is_what_the_code_says() {
    is_rendered("docs/reference.md", &render());
}

/// A file that is rendered is what the code says; with `UPDATE_GOLDENS` it becomes that.
fn is_rendered(path: &str, rendered: &str) {
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        std::fs::write(repository().join(path), rendered).expect("the file is writable");
    }
    let written = read(path);
    let first = rendered
        .lines()
        .zip(written.lines().chain(std::iter::repeat("")))
        .find(|(rendered, written)| rendered != written);
    assert!(
        rendered == written,
        "{path} is out of date, first at {first:?}; refresh it: UPDATE_GOLDENS=1 cargo test -p tests --test reference"
    );
}

#[test]
fn the_charts_values_are_what_the_code_says() {
    is_rendered("manifests/chart/values.schema.json", &chart::schema());
    is_rendered("docs/chart.md", &chart::page().expect("values.yaml has every value"));
    let rows: BTreeSet<String> = chart::VALUES.iter().map(|row| row.path.to_owned()).collect();
    let paths = chart::default_paths().expect("values.yaml is an object");
    let paths: BTreeSet<String> = paths.into_iter().filter(|path| path != "settings").collect();
    assert_eq!(paths, rows, "values.yaml and the table have the same values");
}

#[test]
fn no_link_is_broken() {
    for page in pages() {
        let text = std::fs::read_to_string(&page).expect("the page can be read");
        let folder = page.parent().expect("a file lies in a folder");
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.starts_with("https://") || target.starts_with("mailto:") {
                continue;
            }
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = if path.is_empty() {
                page.clone()
            } else {
                folder.join(path)
            };
            assert!(file.exists(), "{}: {target}", page.display());
            if !anchor.is_empty() {
                assert!(anchors(&file).contains(anchor), "{}: {target}", page.display());
            }
        }
    }
}

#[test]
fn what_the_demo_says_about_a_script_refers_to_pages_that_are_there() {
    let text = [
        include_str!("../src/demo/script/findings.rs"),
        include_str!("../src/demo/script/failures.rs"),
    ]
    .concat();
    let is_of_link = |c: char| c.is_ascii_alphanumeric() || "/.-#".contains(c);
    let links = text.split(|c| !is_of_link(c)).filter(|word| word.starts_with("docs/"));
    let mut count = 0;
    for link in links.map(|link| link.trim_end_matches('.')) {
        let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
        let page = repository().join(path);
        assert!(page.is_file(), "{link}");
        assert!(anchor.is_empty() || anchors(&page).contains(anchor), "{link}");
        count += 1;
    }
    assert!(count > 8, "{count}");
}

/// The anchors that GitHub makes of a page's headings.
fn anchors(page: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(page).expect("the page can be read");
    text.lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| {
            line.trim_start_matches('#')
                .trim()
                .to_lowercase()
                .chars()
                .filter(|character| character.is_alphanumeric() || " -_".contains(*character))
                .map(|character| if character == ' ' { '-' } else { character })
                .collect()
        })
        .collect()
}

#[test]
fn the_documentation_names_only_what_exists() {
    let reference = render();
    for page in pages() {
        let text = std::fs::read_to_string(&page).expect("the page can be read");
        for prefix in [contract::PREFIX, "ADO_AGENT_", "ado_agent_", "cicd_"] {
            for name in words(&text, prefix) {
                assert!(
                    reference.contains(&name) || name.len() == prefix.len(),
                    "{}: {name} is in no table of docs/reference.md",
                    page.display()
                );
            }
        }
    }
}

/// `cargo run --bin NAME`, `cargo test --test NAME` and paths of the repository in backquotes.
#[test]
fn commands_and_paths_in_the_documentation_exist() {
    let packages = [
        "release/image",
        "cli",
        "tests",
        "tests/agent",
        "tests/azure",
        "tests/cluster",
        "sidecar",
        "webhook",
    ];
    let programs: String = packages
        .iter()
        .map(|package| read(&format!("{package}/Cargo.toml")))
        .collect();
    let mut files = pages();
    files.extend(["Justfile", ".ci/run"].map(|file| repository().join(file)));
    let mut seen = 0;
    for file in files {
        let text = std::fs::read_to_string(&file).expect("it can be read");
        for flag in ["--bin ", "--test "] {
            for rest in text.split(flag).skip(1) {
                let name: String = rest
                    .chars()
                    .take_while(|character| character.is_ascii_alphanumeric() || "-_".contains(*character))
                    .collect();
                assert!(
                    programs.contains(&format!("\nname = \"{name}\"\n")),
                    "{}: there is no {flag}{name}",
                    file.display()
                );
                seen += 1;
            }
        }
        let tops = [
            "certs/",
            "cli/",
            "docs/",
            "manifests/",
            "release/",
            "sidecar/",
            "tests/",
            "webhook/",
        ];
        for path in text.split('`').skip(1).step_by(2) {
            let plain = path
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte));
            if plain && tops.iter().any(|top| path.starts_with(top)) {
                assert!(
                    repository().join(path).exists(),
                    "{}: there is no {path}",
                    file.display()
                );
                seen += 1;
            }
        }
    }
    assert!(seen > 20, "only {seen} commands and paths were found");
}

/// Each promise of the security page names tests that exist.
#[test]
fn every_promise_is_held_by_a_test() {
    let page = read("docs/security.md");
    let (_, promises) = page
        .split_once("## What is promised")
        .expect("docs/security.md says what is promised");
    let (promises, _) = promises.split_once("\n## ").expect("another section follows");
    let sources = sources();
    let mut rows = 0;
    for row in promises.lines().filter(|line| line.starts_with("| ")).skip(2) {
        let cell = row.split('|').nth(2).unwrap_or_default();
        let tests: Vec<_> = cell
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|name| name.contains('_'))
            .collect();
        assert!(!tests.is_empty(), "no test: {row}");
        for test in tests {
            assert!(
                sources.contains(&format!("fn {test}(")),
                "there is no test {test}: {row}"
            );
        }
        rows += 1;
    }
    assert!(rows > 5, "only {rows} promises were found");
}

/// So does each line of the table of what a job can take.
#[test]
fn what_a_job_can_take_is_said_by_tests() {
    let page = read("docs/security.md");
    let (_, table) = page.split_once("## What a job can take").expect("the section");
    let (table, _) = table.split_once("\n## ").expect("another section follows");
    let sources = sources();
    let mut names = BTreeSet::new();
    for row in table.lines().filter(|line| line.starts_with("| ")).skip(2) {
        let cells = row.split('`').skip(1).step_by(2);
        let tests: Vec<_> = cells.filter(|name| name.contains('_')).collect();
        assert!(row.contains("yes") || !tests.is_empty(), "no test: {row}");
        for test in &tests {
            let is_a_test = sources.contains(&format!("fn {test}(")) || sources.contains(&format!("{test}: \""));
            assert!(is_a_test, "there is no test {test}: {row}");
        }
        names.extend(tests);
    }
    assert!(names.len() > 8, "{names:?}");
}

/// The sources of the tests that the security page names.
fn sources() -> String {
    let mut sources = String::new();
    for folder in [
        "tests/it",
        "webhook/inject/tests/it",
        "sidecar/lifecycle/tests",
        "sidecar/gateway/tests",
    ] {
        collect(&repository().join(folder), &mut sources);
    }
    sources
}

/// The text of every file below a folder.
fn collect(folder: &Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).expect("it can be listed") {
        let path = entry.expect("it can be listed").path();
        if path.is_dir() {
            collect(&path, text);
        } else {
            text.push_str(&std::fs::read_to_string(&path).unwrap_or_default());
        }
    }
}

/// Every word of a text that starts with the prefix.
fn words(text: &str, prefix: &str) -> BTreeSet<String> {
    text.match_indices(prefix)
        .map(|(start, _)| {
            text[start..]
                .chars()
                .enumerate()
                .take_while(|(at, character)| {
                    *at < prefix.len() || character.is_ascii_alphanumeric() || "-_".contains(*character)
                })
                .map(|(_, character)| character)
                .collect::<String>()
        })
        .map(|name| name.trim_end_matches('-').to_owned())
        .collect()
}
