//! What the chart's values may be: `values.schema.json` and `docs/chart.md`, rendered from one table and from the settings of
//! the webhook. The defaults are those of `values.yaml`.

mod table;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use crate::kustomize::parse;
use crate::programs::repository;
use crate::reference::{append_table, code};
pub use table::{Form, Row, VALUES};

/// Settings that the chart decides by itself: its other values, its mounts, its ports.
const DECIDED: [&str; 6] = [
    "sidecar-image",
    "ca-file",
    "tls-dir",
    "tls-address",
    "plain-address",
    "kubeconfig",
];

/// A setting of the webhook as a value of the chart.
#[derive(Debug, Clone)]
pub struct ChartSetting {
    /// Its name below `settings`: `gracePeriod`.
    pub name: String,
    /// The variable that it becomes.
    pub variable: String,
    /// The webhook's default, empty where there is none.
    pub default: String,
    /// What it means.
    pub help: String,
    /// What it may be.
    pub schema: Value,
}

/// Every setting of the webhook that the chart takes.
pub fn settings() -> Vec<ChartSetting> {
    webhook::config::reference()
        .into_iter()
        .filter_map(|row| {
            let flag = row.flag.trim_start_matches("--");
            (!DECIDED.contains(&flag)).then(|| ChartSetting {
                name: camel_case(flag),
                schema: schema_of(row.value),
                variable: row.variable,
                default: row.default,
                help: row.help,
            })
        })
        .collect()
}

/// `grace-period` is `gracePeriod` in a chart.
fn camel_case(flag: &str) -> String {
    let mut words = flag.split('-');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let (head, tail) = word.split_at(1);
        name + &head.to_ascii_uppercase() + tail
    })
}

/// What may stand for a value of the webhook's help texts. The webhook itself checks more, and says it in a sentence.
fn schema_of(value: &str) -> Value {
    match value {
        "BOOL" => json!({"type": "boolean"}),
        "SECONDS" => json!({"type": "integer", "minimum": 0}),
        // YAML reads 1 and 65532 as numbers.
        "QUANTITY" | "UID" => json!({"type": ["string", "integer"]}),
        "HANDOFF" => json!({"enum": contract::Handoff::ALL.map(contract::Handoff::as_str)}),
        "LEVEL" => json!({"enum": ["error", "warn", "info", "debug", "trace"]}),
        "FORMAT" => json!({"enum": ["text", "json"]}),
        "CHOICE" => json!({"enum": ["hide", "keep"]}),
        _ => json!({"type": "string"}),
    }
}

/// `manifests/chart/values.schema.json`.
pub fn schema() -> String {
    let mut top = object();
    top["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    top["title"] = json!("Values of the chart ado-agent-injector");
    // Helm hands it to every chart that another one depends on.
    top["properties"]["global"] = json!({"type": "object"});
    for row in VALUES {
        let mut schema = row.form.schema();
        schema["description"] = json!(row.help);
        insert(&mut top, row.path, schema);
    }
    let mut all = object();
    for setting in settings() {
        let mut schema = setting.schema;
        schema["description"] = json!(format!("{} ({})", setting.help, setting.variable));
        all["properties"][setting.name] = schema;
    }
    top["properties"]["settings"] = all;
    let mut text = serde_json::to_string_pretty(&top).expect("a value has a text");
    text.push('\n');
    text
}

/// An object that refuses what it does not know.
fn object() -> Value {
    json!({"type": "object", "additionalProperties": false, "properties": {}})
}

fn insert(schema: &mut Value, path: &str, what: Value) {
    match path.split_once('.') {
        None => schema["properties"][path] = what,
        Some((first, rest)) => {
            let inner = &mut schema["properties"][first];
            if inner.is_null() {
                *inner = object();
            }
            insert(inner, rest, what);
        }
    }
}

/// `values.yaml`.
///
/// # Errors
/// It cannot be read, or is no YAML.
pub fn defaults() -> Result<Value> {
    let file = repository().join("manifests/chart/values.yaml");
    let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let mut documents = parse(&text)?;
    documents.pop().context("values.yaml is empty")
}

/// Every path of `values.yaml` that ends in something other than an object of the table.
///
/// # Errors
/// As for [`defaults`].
pub fn default_paths() -> Result<Vec<String>> {
    fn walk(above: &str, values: &Map<String, Value>, paths: &mut Vec<String>) {
        for (name, value) in values {
            let path = format!("{above}{name}");
            match value {
                Value::Object(inner) if !VALUES.iter().any(|row| row.path == path) && path != "settings" => {
                    walk(&format!("{path}."), inner, paths);
                }
                Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::String(_)
                | Value::Array(_)
                | Value::Object(_) => paths.push(path),
            }
        }
    }
    let defaults = defaults()?;
    let mut paths = Vec::new();
    walk(
        "",
        defaults.as_object().context("values.yaml is an object")?,
        &mut paths,
    );
    Ok(paths)
}

const HEAD: &str = "\
# Values of the Helm chart

[install.md](install.md#helm) says how to install it. This page and the chart's `values.schema.json` are rendered from the code and
checked by a test; to change them, change the code and run `UPDATE_GOLDENS=1 cargo test -p tests --test reference`. A key that is not
here is refused, wherever it stands.
";

/// `docs/chart.md`.
///
/// # Errors
/// As for [`defaults`].
pub fn page() -> Result<String> {
    let defaults = defaults()?;
    let mut page = HEAD.to_owned();
    page.push_str("\n## Values\n\n");
    let mut table = Vec::new();
    for row in VALUES {
        let pointer = format!("/{}", row.path.replace('.', "/"));
        let default = defaults
            .pointer(&pointer)
            .with_context(|| format!("values.yaml has no {}", row.path))?;
        table.push(vec![
            code(row.path),
            row.form.words(),
            shown(default),
            row.help.to_owned(),
        ]);
    }
    append_table(&mut page, &["value", "form", "default", "meaning"], table.into_iter());
    page.push_str(
        "\n## Settings\n\nBelow `settings`: what the webhook's ConfigMap holds. What each means in full: \
         [reference.md](reference.md#settings-of-the-webhook).\n\n",
    );
    let all = settings().into_iter().map(|setting| {
        let default = match setting.default.as_str() {
            "" => String::new(),
            default => code(default),
        };
        vec![
            code(&format!("settings.{}", setting.name)),
            code(&setting.variable),
            default,
            setting.help,
        ]
    });
    append_table(&mut page, &["value", "variable", "default", "meaning"], all);
    Ok(page)
}

/// A default in a cell.
fn shown(default: &Value) -> String {
    match default {
        Value::String(text) if text.is_empty() => String::new(),
        Value::String(text) => code(text),
        Value::Array(list) if list.iter().any(Value::is_object) => "see `values.yaml`".to_owned(),
        Value::Object(fields) if fields.values().any(Value::is_object) => "see `values.yaml`".to_owned(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            code(&default.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{camel_case, settings};

    #[test]
    fn settings_have_the_names_that_charts_use() {
        assert_eq!(camel_case("allow-ca-config-map"), "allowCaConfigMap");
        assert_eq!(camel_case("url"), "url");
        let names: Vec<String> = settings().into_iter().map(|setting| setting.name).collect();
        assert!(names.contains(&"gracePeriod".to_owned()), "{names:?}");
        assert!(!names.contains(&"sidecarImage".to_owned()), "{names:?}");
    }
}
