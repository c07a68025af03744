//! `manifests/monitoring`: dashboard and alerts name only what the programs expose, and every alert has its page. Whether the
//! queries do what they should, `cargo test -p cluster --test promtool` asks Prometheus itself.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tests::monitoring::exposition::{Sample, both, read};
use tests::monitoring::promql::names;
use tests::monitoring::{Query, alerts, dashboard, variables};
use tests::programs::repository;

/// What Prometheus and the queries add.
const ADDED: [&str; 1] = ["cause"];

fn samples() -> Vec<Sample> {
    both().iter().flat_map(|text| read(text)).collect()
}

fn queries() -> Vec<Query> {
    let alerts = alerts().expect("the rules can be read").into_iter();
    let alerts = alerts.map(|alert| Query {
        name: alert["alert"].as_str().expect("a name").to_owned(),
        expression: alert["expr"].as_str().expect("an expression").to_owned(),
    });
    let variables = variables().expect("the dashboard can be read").into_iter();
    let mut all = dashboard().expect("the dashboard can be read");
    all.extend(variables.map(|(query, _)| query));
    all.extend(alerts);
    assert!(all.len() > 30, "{}", all.len());
    all
}

#[test]
fn every_query_names_metrics_labels_and_words_that_are_exposed() {
    let mut exposed: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for sample in samples() {
        let labels = exposed.entry(sample.name).or_default();
        for (label, value) in sample.labels {
            labels.entry(label).or_default().insert(value);
        }
    }
    for Query { name, expression } in queries() {
        let found = names(&expression);
        assert!(!found.selectors.is_empty(), "{name}: {expression}");
        let mut known: BTreeSet<&str> = ADDED.into();
        for selector in &found.selectors {
            let labels = exposed.get(&selector.metric);
            let labels = labels.unwrap_or_else(|| panic!("{name}: nothing exposes {}", selector.metric));
            known.extend(labels.keys().map(String::as_str));
            for (label, operator, value) in &selector.matchers {
                let values = labels.get(label);
                let values = values.unwrap_or_else(|| panic!("{name}: {} has no label {label}", selector.metric));
                assert!(
                    operator == "=~" || operator == "!~" || values.contains(value),
                    "{name}: {label} of {} is never {value}",
                    selector.metric
                );
            }
        }
        for label in &found.labels {
            assert!(known.contains(label.as_str()), "{name}: no metric of it has {label}");
        }
    }
}

#[test]
fn every_variable_takes_a_label_that_its_metric_has() {
    let samples = samples();
    for (query, label) in variables().expect("the dashboard can be read") {
        let metric = &names(&query.expression).selectors[0].metric;
        let has = samples
            .iter()
            .any(|sample| sample.name == *metric && sample.labels.contains_key(&label));
        assert!(has, "{metric} has no {label}");
    }
}

#[test]
fn a_legend_shows_only_labels_that_its_query_leaves() {
    let text =
        std::fs::read_to_string(repository().join("manifests/monitoring/dashboard.json")).expect("the dashboard");
    let dashboard: Value = serde_json::from_str(&text).expect("JSON");
    let targets = dashboard["panels"].as_array().expect("panels").iter();
    let targets = targets.flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let mut seen = 0;
    for target in targets {
        let grouped = names(target["expr"].as_str().expect("a query")).labels;
        let legend = target["legendFormat"].as_str().expect("a legend");
        for label in legend.split("{{").skip(1).filter_map(|rest| rest.split("}}").next()) {
            assert!(grouped.iter().any(|grouped| grouped == label), "{target}");
            seen += 1;
        }
    }
    assert!(seen > 10, "{seen}");
}

#[test]
fn every_alert_has_a_page_with_what_to_do() {
    let page = std::fs::read_to_string(repository().join("docs/monitoring.md")).expect("docs/monitoring.md");
    let alerts = alerts().expect("the rules can be read");
    assert_eq!(alerts.len(), 5);
    for alert in alerts {
        let name = alert["alert"].as_str().expect("a name");
        let url = alert["annotations"]["runbook_url"].as_str().expect("a runbook");
        let expected = format!("{}monitoring.md#{}", cli::problem::DOCUMENTATION, name.to_lowercase());
        assert_eq!(url, expected);
        assert!(
            page.contains(&format!("\n### {name}\n")),
            "docs/monitoring.md has no {name}"
        );
        let severity = alert["labels"]["severity"].as_str();
        assert!(matches!(severity, Some("warning" | "critical")), "{name}");
    }
}

#[test]
fn no_series_names_a_pod_unless_it_was_asked_for() {
    let metrics = observe::Metrics::default();
    metrics.requested("contoso", "list-agents", Some(200));
    for family in observe::families()
        .iter()
        .filter(|family| family.name != "ado_agent_pod")
    {
        for label in family.labels {
            assert_ne!(*label, "pod", "{}", family.name);
        }
    }
    assert!(!metrics.render().contains("ado_agent_pod{"));
}

#[test]
fn both_programs_are_scraped_and_their_labels_win() {
    let objects = tests::kustomize::render(&repository().join("manifests/monitoring")).expect("it renders");
    let find = |kind: &str| {
        let found = objects.iter().find(|object| object["kind"] == kind);
        found.unwrap_or_else(|| panic!("there is no {kind}"))
    };
    let monitor = &find("PodMonitor")["spec"];
    assert_eq!(monitor["podMetricsEndpoints"][0]["honorLabels"], true);
    let selected = &monitor["selector"]["matchExpressions"][0];
    for file in [
        "manifests/base/deployment.yaml",
        "manifests/components/keep/deployment.yaml",
    ] {
        let text = std::fs::read_to_string(repository().join(file)).expect("it can be read");
        let deployment: Value = serde_saphyr::from_str(&text).expect("YAML");
        let pod = &deployment["spec"]["template"];
        let name = &pod["metadata"]["labels"][selected["key"].as_str().expect("a label")];
        let wanted = selected["values"].as_array().expect("values");
        assert!(wanted.contains(name), "{file}: {name}");
        let ports = pod["spec"]["containers"][0]["ports"].as_array().expect("ports");
        let port = &monitor["podMetricsEndpoints"][0]["port"];
        assert!(ports.iter().any(|found| found["name"] == *port), "{file}");
        assert_eq!(
            monitor["namespaceSelector"]["matchNames"][0],
            deployment["metadata"]["namespace"]
        );
    }
    let dashboard = find("ConfigMap");
    assert_eq!(dashboard["metadata"]["labels"]["grafana_dashboard"], "1");
    assert!(dashboard["data"]["dashboard.json"].is_string());
    // Kubernetes takes no object of more than 1 MiB, and `kubectl apply` keeps a copy in an annotation of 256 KiB at most.
    assert!(dashboard.to_string().len() < 200_000);
}
