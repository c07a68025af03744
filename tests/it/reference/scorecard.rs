//! What SECURITY.md says of how the project is made.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use tests::kustomize::parse;
use tests::programs::repository;

#[test]
fn no_file_of_the_repository_is_a_program() {
    let output = Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(repository())
        .output()
        .expect("git can be started");
    assert!(output.status.success(), "{output:?}");
    let files = String::from_utf8(output.stdout).expect("names are UTF-8");
    let mut seen = 0;
    for file in files.split('\0').filter(|file| !file.is_empty()) {
        let Ok(bytes) = std::fs::read(repository().join(file)) else {
            continue; // removed, and not committed yet
        };
        // ELF, PE, Mach-O, Java, ar, WebAssembly, gzip, zip.
        let programs: [&[u8]; 8] = [
            b"\x7fELF",
            b"MZ",
            b"\xcf\xfa\xed\xfe",
            b"\xca\xfe\xba\xbe",
            b"!<arch>",
            b"\0asm",
            b"\x1f\x8b",
            b"PK\x03\x04",
        ];
        assert!(!programs.iter().any(|program| bytes.starts_with(program)), "{file}");
        seen += 1;
    }
    assert!(seen > 300, "{seen}");
}

/// Jobs that may do more than read, and why they have to; each waits for an environment, where maintainers may ask for a review.
const WRITERS: [(&str, &[&str], &str); 2] = [
    // Images and files, their signatures and attestations.
    (
        "release.yml: publish",
        &["attestations", "contents", "id-token", "packages"],
        "github.event_name == 'push' && github.ref_type == 'tag'",
    ),
    // The site; what it publishes comes from the job that it needs.
    (
        "pages.yml: deploy",
        &["id-token", "pages"],
        "github.ref == 'refs/heads/main'",
    ),
];

#[test]
fn workflows_have_no_more_rights_than_they_need() {
    let mut seen = 0;
    let mut writers = BTreeMap::new();
    for entry in std::fs::read_dir(repository().join(".github/workflows")).expect("the folder exists") {
        let path = entry.expect("it can be listed").path();
        let text = std::fs::read_to_string(&path).expect("it can be read");
        let name = path.file_name().expect("a file has a name").display();
        let workflow = parse(&text).unwrap_or_else(|error| panic!("{name}: {error}")).remove(0);
        let rights = &workflow["permissions"];
        assert!(
            rights.is_object() && writes(rights).is_empty(),
            "{name}: for all jobs {rights}; give a job what it needs beyond"
        );
        let jobs = workflow["jobs"].as_object().expect("a workflow has jobs");
        for (id, job) in jobs {
            let job_name = format!("{name}: {id}");
            assert!(job["timeout-minutes"].is_u64(), "{job_name} may run for hours");
            for step in job["steps"].as_array().expect("a job has steps") {
                let checks_out = step["uses"]
                    .as_str()
                    .is_some_and(|action| action.starts_with("actions/checkout@"));
                assert!(
                    !checks_out || step["with"]["persist-credentials"] == false,
                    "{job_name}: its token stays in .git"
                );
            }
            let rights = writes(&job["permissions"]);
            if !rights.is_empty() {
                assert!(!job["environment"].is_null(), "{job_name} writes, and asks nobody");
                let needed = job["needs"].as_str().map(|id| &jobs[id]["if"]);
                let condition = [Some(&job["if"]), needed].into_iter().flatten().find_map(Value::as_str);
                writers.insert(job_name, (rights, condition.unwrap_or_default().to_owned()));
            }
        }
        assert!(!text.contains("pull_request_target"), "{name}");
        for line in text.lines().filter(|line| line.contains("${{")) {
            let strangers = ["github.event.", "github.head_ref", "inputs."];
            assert!(
                !(line.contains("run:") && strangers.iter().any(|word| line.contains(word))),
                "{name}: what others write goes through a variable, not into a shell: {line}"
            );
        }
        seen += 1;
    }
    assert!(seen > 3, "{seen}");
    let expected = WRITERS.map(|(job, rights, condition)| {
        let rights = rights.iter().map(|right| (*right).to_owned()).collect();
        (job.to_owned(), (rights, condition.to_owned()))
    });
    assert_eq!(writers, BTreeMap::from(expected));
}

/// What these permissions let write. `write-all` is a text, and everything.
fn writes(permissions: &Value) -> BTreeSet<String> {
    match permissions {
        Value::Object(rights) => rights
            .iter()
            .filter(|(_, right)| *right != "read" && *right != "none")
            .map(|(name, _)| name.clone())
            .collect(),
        Value::Null => BTreeSet::new(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            BTreeSet::from([permissions.to_string()])
        }
    }
}

/// The site is main's: a push to it, or a person who starts the workflow for it.
#[test]
fn pages_are_published_from_main_only() {
    let text = std::fs::read_to_string(repository().join(".github/workflows/pages.yml")).expect("it can be read");
    let workflow = parse(&text).expect("it is YAML").remove(0);
    let events = workflow["on"].as_object().expect("it names events");
    let names: Vec<&String> = events.keys().collect();
    assert_eq!(names, ["push", "workflow_dispatch"]);
    assert_eq!(events["push"]["branches"], serde_json::json!(["main"]));
    let jobs = workflow["jobs"].as_object().expect("it has jobs");
    assert_eq!(jobs["deploy"]["needs"], "build");
    assert_eq!(jobs["deploy"]["environment"]["name"], "github-pages");
    let steps = jobs["build"]["steps"].as_array().expect("steps");
    let place = |what: &str| {
        let found = steps.iter().position(|step| {
            let said = [&step["run"], &step["uses"]];
            said.into_iter()
                .filter_map(Value::as_str)
                .any(|text| text.contains(what))
        });
        found.unwrap_or_else(|| panic!("no step has {what}"))
    };
    // Links are looked at before anybody sees them.
    assert!(place("--test site") < place("upload-pages-artifact"));
    let book = std::fs::read_to_string(repository().join("book.toml")).expect("it can be read");
    let folder = steps[place("upload-pages-artifact")]["with"]["path"]
        .as_str()
        .expect("a path");
    assert!(book.contains(&format!("build-dir = \"{folder}\"")), "{folder}");
}
