//! The dashboard and the alerts of `manifests/monitoring`, and what they are tested with: the text that the programs expose.

pub mod exposition;
pub mod promql;

use crate::programs::repository;
use anyhow::{Context as _, Result};
use serde_json::Value;

/// A query of the dashboard or of an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Title of the panel, name of the variable or of the alert.
    pub name: String,
    /// PromQL.
    pub expression: String,
}

/// The dashboard's queries.
///
/// # Errors
/// The file cannot be read, or holds none.
pub fn dashboard() -> Result<Vec<Query>> {
    let dashboard = read("dashboard.json")?;
    let dashboard: Value = serde_json::from_str(&dashboard).context("the dashboard is no JSON")?;
    let panels = dashboard["panels"].as_array().context("the dashboard has no panels")?;
    let mut queries = Vec::new();
    for panel in panels {
        for target in panel["targets"].as_array().into_iter().flatten() {
            queries.push(Query {
                name: text(&panel["title"])?,
                expression: text(&target["expr"])?,
            });
        }
    }
    Ok(queries)
}

/// The dashboard's variables that are read from Prometheus, each with the selector and the label whose values it takes.
///
/// # Errors
/// The file cannot be read, or a variable is of another form.
pub fn variables() -> Result<Vec<(Query, String)>> {
    let dashboard = read("dashboard.json")?;
    let dashboard: Value = serde_json::from_str(&dashboard).context("the dashboard is no JSON")?;
    let variables = dashboard["templating"]["list"].as_array().context("no variables")?;
    let queried = variables.iter().filter(|variable| variable["type"] == "query");
    queried
        .map(|variable| {
            let definition = text(&variable["definition"])?;
            let inside = definition
                .strip_prefix("label_values(")
                .and_then(|rest| rest.strip_suffix(')'));
            let (expression, label) = inside
                .and_then(|inside| inside.rsplit_once(", "))
                .with_context(|| format!("{definition} is no label_values(SELECTOR, LABEL)"))?;
            let query = Query {
                name: text(&variable["name"])?,
                expression: expression.to_owned(),
            };
            Ok((query, label.to_owned()))
        })
        .collect()
}

/// The alert rules as Prometheus reads them from a file: what the PrometheusRule has as its spec.
///
/// # Errors
/// The file cannot be read.
pub fn rules() -> Result<Value> {
    let rule: Value = serde_saphyr::from_str(&read("prometheusrule.yaml")?).context("the rules are no YAML")?;
    Ok(rule["spec"].clone())
}

/// The alerts.
///
/// # Errors
/// The file cannot be read, or is of another form.
pub fn alerts() -> Result<Vec<Value>> {
    let rules = rules()?;
    let groups = rules["groups"].as_array().context("no groups")?.iter();
    Ok(groups
        .flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default())
        .collect())
}

/// What Grafana would send, with all values of all variables and a range of an hour.
pub fn filled(expression: &str) -> String {
    ["$organization", "$pool", "$namespace"]
        .iter()
        .fold(expression.to_owned(), |text, variable| text.replace(variable, ".*"))
        .replace("$__rate_interval", "5m")
        .replace("$__range", "1h")
}

fn read(file: &str) -> Result<String> {
    let path = repository().join("manifests/monitoring").join(file);
    std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}

fn text(value: &Value) -> Result<String> {
    Ok(value
        .as_str()
        .with_context(|| format!("{value} is no text"))?
        .to_owned())
}
