//! `testdata/`: one folder a case. `UPDATE_GOLDENS=1 cargo test -p inject` rewrites what is expected.

#![expect(clippy::disallowed_methods, reason = "the examples are files")]

use crate::case::{self, CLUSTER, CREATE};
use crate::{admission, invariants};
use inject::{ClusterFacts, Context, Decision, Inspection, Request};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What may lie beside `pod.json` and is written by the test.
const EXPECTED: [&str; 6] = [
    "patch.json",
    "pod.patched.json",
    "status.json",
    "warnings.txt",
    "skip.txt",
    "denied.txt",
];

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

fn cases() -> Vec<PathBuf> {
    let folder = std::fs::read_dir(testdata()).expect("testdata is there");
    let mut cases: Vec<PathBuf> = folder
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_dir())
        .collect();
    cases.sort();
    cases
}

fn json(case: &Path, name: &str) -> Option<Value> {
    let text = std::fs::read_to_string(case.join(name)).ok()?;
    Some(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}/{name}: {error}", case.display())))
}

/// JSON for reading: what fits on a line stands on one.
fn pretty(value: &Value) -> String {
    fn write(value: &Value, indent: usize, before: usize) -> String {
        let line = value.to_string();
        if indent + before + line.len() <= 120 {
            return line;
        }
        let pad = " ".repeat(indent + 2);
        let lines: Vec<String> = match value {
            Value::Object(members) => members
                .iter()
                .map(|(key, value)| format!("{pad}{}: {}", json!(key), write(value, indent + 2, key.len() + 4)))
                .collect(),
            Value::Array(items) => items
                .iter()
                .map(|item| format!("{pad}{}", write(item, indent + 2, 0)))
                .collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return line,
        };
        let (open, close) = if value.is_object() { ('{', '}') } else { ('[', ']') };
        format!("{open}\n{}\n{}{close}", lines.join(",\n"), " ".repeat(indent))
    }
    write(value, 0, 0) + "\n"
}

/// Decides as the webhook does and says in files what came out.
fn outcome(case: &Path) -> BTreeMap<&'static str, String> {
    let pod = json(case, "pod.json").unwrap_or_else(|| panic!("{}: pod.json is missing", case.display()));
    let settings = json(case, "settings.json").map_or_else(case::settings, |changes| case::settings_with(&changes));
    let cluster = match json(case, "cluster.json") {
        Some(facts) => &ClusterFacts {
            native_sidecars: facts["native_sidecars"] == true,
            ..CLUSTER.clone()
        },
        None => &*CLUSTER,
    };
    let context = Context {
        settings: &settings,
        cluster,
    };
    let changes = json(case, "request.json").unwrap_or_default();
    let text = |key: &str, default| changes[key].as_str().unwrap_or(default);
    let request = Request {
        namespace: text("namespace", CREATE.namespace),
        operation: text("operation", CREATE.operation),
        group: text("group", CREATE.group),
        resource: text("resource", CREATE.resource),
        subresource: text("subresource", CREATE.subresource),
    };
    let account = case::account(json(case, "account.json").as_ref());
    let decision = match (inject::inspect(&pod, &request, context), account) {
        (Inspection::Decided(decision), _) => decision,
        (Inspection::NeedsAccount(pending), Some(account)) => pending.decide(&account),
        (Inspection::NeedsAccount(_), None) => panic!("{}: nobody should ask for the ServiceAccount", case.display()),
    };
    match decision {
        Decision::Skip { reason, warnings } => {
            let mut files = BTreeMap::from([("skip.txt", format!("{reason}\n"))]);
            if !warnings.is_empty() {
                files.insert("warnings.txt", warnings.join("\n") + "\n");
            }
            files
        }
        Decision::Deny(denial) => BTreeMap::from([("denied.txt", format!("{denial}\n"))]),
        Decision::Inject(injection) => {
            let patched = invariants::check(&pod, &injection, &settings);
            admission::check(&patched, &settings);
            let status = patched["metadata"]["annotations"][contract::STATUS_ANNOTATION]
                .as_str()
                .expect("a status annotation");
            let mut files = BTreeMap::from([
                (
                    "patch.json",
                    pretty(&serde_json::from_slice(&injection.patch).expect("the patch is JSON")),
                ),
                ("pod.patched.json", pretty(&patched)),
                (
                    "status.json",
                    pretty(&serde_json::from_str(status).expect("the status is JSON")),
                ),
            ]);
            if !injection.warnings.is_empty() {
                files.insert("warnings.txt", injection.warnings.join("\n") + "\n");
            }
            files
        }
    }
}

#[test]
fn every_example_is_as_written() {
    let update = std::env::var_os("UPDATE_GOLDENS").is_some();
    let mut differences = Vec::new();
    for case in cases() {
        let outcome = outcome(&case);
        for name in EXPECTED {
            let path = case.join(name);
            let written = std::fs::read_to_string(&path).ok();
            if written.as_ref() == outcome.get(name) {
                continue;
            }
            match (update, outcome.get(name)) {
                (true, Some(text)) => std::fs::write(&path, text).expect("the file can be written"),
                (true, None) => std::fs::remove_file(&path).expect("the file can be removed"),
                (false, now) => differences.push(format!(
                    "{}:\n{}",
                    path.display(),
                    now.map_or("should not exist", String::as_str)
                )),
            }
        }
    }
    assert!(
        differences.is_empty(),
        "{} files differ (UPDATE_GOLDENS=1 writes them):\n{}",
        differences.len(),
        differences.join("\n")
    );
}

#[test]
fn the_list_of_examples_is_complete() {
    let readme = std::fs::read_to_string(testdata().join("README.md")).expect("testdata/README.md");
    let listed: Vec<&str> = readme
        .lines()
        .filter_map(|line| line.strip_prefix("- `")?.split_once('`').map(|(name, _)| name))
        .collect();
    let cases = cases();
    let names: Vec<&str> = cases
        .iter()
        .map(|case| case.file_name().and_then(|name| name.to_str()).expect("a name"))
        .collect();
    let mut sorted = listed.clone();
    sorted.sort_unstable();
    assert_eq!(
        sorted, names,
        "testdata/README.md lists exactly the folders of testdata"
    );
}
