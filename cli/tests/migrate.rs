//! Migrations: `testdata/migrate`, one folder a case. `UPDATE_GOLDENS=1 cargo test -p cli --test migrate` writes what is expected anew.

use cli::inject::{Account, Accounts, Purpose, Selectors, Verdict, World, outcomes, settings};
use cli::manifest::workload::workloads;
use cli::manifest::{Document, documents};
use cli::migrate::{Choices, Migration, is_token, migrate, plan, written};
use inject::{ClusterFacts, Decision, ServiceAccount, variable};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/migrate")
}

fn cases() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder()).expect("testdata is there");
    let mut cases: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_dir())
        .collect();
    cases.sort();
    cases
}

fn name(case: &Path) -> String {
    case.file_name().expect("a name").to_string_lossy().into_owned()
}

fn choices() -> Choices {
    Choices {
        client_id: Some("11111111-2222-3333-4444-555555555555".to_owned()),
        keda_client_id: Some("66666666-7777-8888-9999-000000000000".to_owned()),
        namespace: "default".to_owned(),
        ..Choices::default()
    }
}

fn read(text: &str) -> Vec<Document> {
    documents("before.yaml", text).unwrap_or_else(|broken| panic!("{broken}"))
}

fn run(all: &[Document]) -> Migration {
    let values: Vec<Value> = all.iter().map(|document| document.value.clone()).collect();
    migrate(&values, &choices())
}

/// The names of the variables of every container of the workloads, with the workload's name.
fn variables(value: &Value) -> Vec<(String, String)> {
    let mut names = Vec::new();
    for workload in workloads(value) {
        let spec = &value.pointer(&workload.pod).expect("a template")["spec"];
        for list in ["initContainers", "containers"] {
            for container in spec[list].as_array().into_iter().flatten() {
                for entry in container["env"].as_array().into_iter().flatten() {
                    names.push((
                        workload.name.clone(),
                        entry["name"].as_str().unwrap_or_default().to_owned(),
                    ));
                }
            }
        }
    }
    names
}

/// What must be true of every migration.
fn check(what: &str, all: &[Document]) {
    let migration = run(all);
    let text = written(all, &migration);
    let said = plan(&migration, &choices());
    assert!(
        !said.contains("SECRET-VALUE") && !said.contains("U0VDUkVULVZBTFVFL"),
        "{what}: {said}"
    );
    let kept: Vec<&str> = migration
        .kept
        .iter()
        .map(|(workload, _)| workload.name.as_str())
        .collect();
    let after = read(&text);
    for (workload, variable) in after.iter().flat_map(|document| variables(&document.value)) {
        assert!(
            !is_token(&variable, &choices()) || kept.contains(&workload.as_str()),
            "{what}: {workload} still has {variable}"
        );
    }
    // Once is enough.
    let again = run(&after);
    assert!(
        again.changed.is_empty() && again.keda.is_empty() && again.added.is_empty(),
        "{what}: {again:?}"
    );
    assert_eq!(written(&after, &again), text, "{what}");
    // What was not changed is as it was.
    for (document, value) in all.iter().zip(&migration.values) {
        if value.as_ref() == Some(&document.value) {
            assert!(text.contains(document.text.trim_end()), "{what}: {}", document.text);
        }
    }
    accepted(what, &after, &migration);
}

/// The webhook injects what was changed.
fn accepted(what: &str, after: &[Document], migration: &Migration) {
    let map = json!({"kind": "ConfigMap", "metadata": {"name": settings::WEBHOOK},
        "data": {variable("sidecar-image"): "registry.example/ado-agent-sidecar:0.1.0"}});
    let account = ServiceAccount::Found {
        client_id: choices().client_id,
        tenant_id: None,
    };
    let world = World {
        settings: settings::Objects::among([&map]).settings(None).expect("settings"),
        facts: ClusterFacts {
            id: "cluster".to_owned(),
            native_sidecars: true,
        },
        accounts: Accounts::of(after, "default", Account::unknown(account)),
        namespaces: BTreeMap::new(),
        selectors: Selectors::Unknown,
        namespace: "default".to_owned(),
        notes: Vec::new(),
    };
    for outcome in outcomes(after, &world, Purpose::Manual) {
        let is_ours = migration.changed.iter().any(|changed| {
            changed.workload.kind == outcome.workload.kind && changed.workload.name == outcome.workload.name
        });
        let Verdict::Decided { decision, .. } = &outcome.verdict else {
            panic!("{what}: {outcome:?}")
        };
        assert_eq!(
            matches!(decision, Decision::Inject(_)),
            is_ours,
            "{what}: {} {decision:?}",
            outcome.workload.name
        );
    }
}

#[test]
fn every_example_is_as_written() {
    let update = std::env::var_os("UPDATE_GOLDENS").is_some();
    let mut differences = Vec::new();
    for case in cases() {
        let before = std::fs::read_to_string(case.join("before.yaml")).expect("before.yaml");
        let all = read(&before);
        let migration = run(&all);
        for (file, now) in [
            ("after.yaml", written(&all, &migration)),
            ("plan.txt", plan(&migration, &choices())),
        ] {
            let path = case.join(file);
            if std::fs::read_to_string(&path).ok().as_ref() == Some(&now) {
                continue;
            }
            if update {
                std::fs::write(&path, now).expect("the file can be written");
            } else {
                differences.push(format!("{}:\n{now}", path.display()));
            }
        }
    }
    assert!(
        differences.is_empty(),
        "UPDATE_GOLDENS=1 writes them:\n{}",
        differences.join("\n")
    );
}

#[test]
fn examples_have_no_token_are_stable_and_the_webhook_takes_them() {
    for case in cases() {
        let before = std::fs::read_to_string(case.join("before.yaml")).expect("before.yaml");
        check(&name(&case), &read(&before));
    }
}

#[test]
fn the_list_of_examples_is_complete() {
    let readme = std::fs::read_to_string(folder().join("README.md")).expect("README.md");
    let listed: Vec<&str> = readme
        .lines()
        .filter_map(|line| line.strip_prefix("- `")?.split_once('`').map(|(name, _)| name))
        .collect();
    let names: Vec<String> = cases().iter().map(|case| name(case)).collect();
    assert_eq!(listed, names);
}

#[test]
fn a_client_id_that_nobody_named_is_asked_for() {
    let all = read(&std::fs::read_to_string(folder().join("keda-from-env/before.yaml")).expect("before.yaml"));
    let values: Vec<Value> = all.iter().map(|document| document.value.clone()).collect();
    let choices = Choices {
        namespace: "default".to_owned(),
        ..Choices::default()
    };
    let said = plan(&migrate(&values, &choices), &choices);
    assert!(
        said.contains("--client-id") && said.contains("--keda-client-id"),
        "{said}"
    );
}

/// An entry of `env` of an agent.
fn entry() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(vec![
        "AZP_URL",
        "AZP_TOKEN",
        "AZP_TOKEN_FILE",
        "AZP_CLIENTSECRET",
        "AZP_POOL",
        "VSTS_TOKEN",
        "AZDO_TOKEN",
        "AGENT_TOKEN",
        "OTHER",
        "VSTS_AGENT_INPUT_TOKEN",
        "AZP_AGENT_NAME",
        "AZP_PLACEHOLDER",
    ]);
    let source = prop_oneof![
        Just(json!({"value": "https://dev.azure.com/contoso"})),
        Just(json!({"value": "/run/token/token"})),
        Just(json!({"value": ""})),
        Just(json!({"valueFrom": {"secretKeyRef": {"name": "known", "key": "a"}}})),
        Just(json!({"valueFrom": {"secretKeyRef": {"name": "known", "key": "b"}}})),
        Just(json!({"valueFrom": {"secretKeyRef": {"name": "unknown", "key": "a"}}})),
        Just(json!({})),
    ];
    (name, source).prop_map(|(name, source)| {
        let mut entry = source;
        entry["name"] = json!(name);
        entry
    })
}

fn sources() -> impl Strategy<Value = Value> {
    let names = prop::sample::subsequence(vec!["known", "unknown", "tokens"], 0..=3);
    names.prop_map(|names| names.iter().map(|name| json!({"secretRef": {"name": name}})).collect())
}

proptest! {
    #[test]
    fn no_token_is_left_whatever_the_agents_look_like(
        pods in prop::collection::vec((prop::collection::vec(entry(), 0..6), sources(), any::<bool>()), 1..4),
    ) {
        let mut text = "\
            {\"apiVersion\": \"v1\", \"kind\": \"Secret\", \"metadata\": {\"name\": \"known\"}, \"data\": {\"a\": \"\", \"b\": \"\"}}\n---\n\
            {\"apiVersion\": \"v1\", \"kind\": \"Secret\", \"metadata\": {\"name\": \"tokens\"}, \"data\": {\"AZP_TOKEN\": \"\"}}\n"
            .to_owned();
        for (index, (env, sources, mounts)) in pods.into_iter().enumerate() {
            let mut container = json!({"name": "agent", "image": "i:1", "env": env, "envFrom": sources});
            let mut spec = json!({"serviceAccountName": "a"});
            if mounts {
                container["volumeMounts"] = json!([{"name": "token", "mountPath": "/run/token"}]);
                spec["volumes"] = json!([{"name": "token", "secret": {"secretName": "known"}}]);
            }
            spec["containers"] = json!([container]);
            let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": format!("p{index}")}, "spec": spec});
            text.push_str(&format!("---\n{pod}\n"));
        }
        let all = read(&text);
        let migration = run(&all);
        let after = read(&written(&all, &migration));
        for (workload, variable) in after.iter().flat_map(|document| variables(&document.value)) {
            prop_assert!(!is_token(&variable, &choices()), "{workload} still has {variable}");
        }
        let again = run(&after);
        prop_assert!(again.changed.is_empty(), "{:?}", again.changed);
        prop_assert_eq!(written(&after, &again), written(&all, &migration));
    }
}
