//! Prometheus itself reads what the programs expose, the alerts, and every query of the dashboard. No cluster and no root; it needs
//! Go the first time.

mod rules;

use anyhow::{Context, Result, ensure};
use cluster::Layout;
use cluster::command::Interrupt;
use cluster::components;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use tests::monitoring::exposition::{both, read};
use tests::monitoring::{self, Query};

/// Scrapes a minute apart: so many before everything happens, and so many after.
const BEFORE: usize = 10;
const AFTER: usize = 20;

/// Prometheus would have no gauge end in `_count`; OpenTelemetry's conventions call this one so.
const OPENTELEMETRYS: &str = "cicd_worker_count ";

fn main() -> Result<()> {
    let layout = Layout::find()?;
    let say = |text: &str| {
        let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{text}\n").as_bytes());
    };
    let [built] = components::build([components::PROMTOOL], &layout, &Interrupt::default(), &say)?;
    let promtool = built.program("promtool");
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    fs::write(
        folder.join("rules.yaml"),
        serde_json::to_vec_pretty(&monitoring::rules()?)?,
    )?;
    for text in both() {
        scraped(&promtool, &text)?;
    }
    run(
        &promtool,
        folder,
        &["check", "rules", "--lint=all", "--lint-fatal", "rules.yaml"],
    )?;
    fs::write(folder.join("alerts.yaml"), serde_json::to_vec_pretty(&rules::tests())?)?;
    run(&promtool, folder, &["test", "rules", "alerts.yaml"])?;
    let queries = monitoring::dashboard()?;
    fs::write(
        folder.join("queries.yaml"),
        serde_json::to_vec_pretty(&answered(&queries))?,
    )?;
    run(&promtool, folder, &["test", "rules", "queries.yaml"])?;
    say(&format!(
        "promtool {}: {} queries and {} alerts are good",
        built.version,
        queries.len(),
        monitoring::alerts()?.len()
    ));
    Ok(())
}

/// The text parses, and its metrics are named as Prometheus likes it.
fn scraped(promtool: &Path, text: &str) -> Result<()> {
    let mut child = Command::new(promtool)
        .args(["check", "metrics", "--lint=all"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    std::io::Write::write_all(&mut child.stdin.take().context("a pipe")?, text.as_bytes())?;
    let output = child.wait_with_output()?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let mut complaints = said
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with(OPENTELEMETRYS));
    let complaint = complaints.next();
    ensure!(complaint.is_none(), "promtool check metrics: {said}");
    Ok(())
}

/// A test in which each query has to find something in what the programs expose.
fn answered(queries: &[Query]) -> Value {
    let [before, after] = both();
    let mut series: BTreeMap<String, (Option<String>, String)> = BTreeMap::new();
    for sample in read(&before) {
        series.insert(
            series_name(&sample.name, &sample.written),
            (Some(sample.value), "_".to_owned()),
        );
    }
    for sample in read(&after) {
        series.entry(series_name(&sample.name, &sample.written)).or_default().1 = sample.value;
    }
    let input: Vec<_> = series
        .into_iter()
        .map(|(name, (before, after))| {
            let mut values = String::new();
            let before = before.map_or_else(|| format!("_x{BEFORE}"), |value| format!("{value}x{BEFORE}"));
            let _ = write!(values, "{before} {after}x{AFTER}");
            json!({"series": name, "values": values})
        })
        .collect();
    let tests: Vec<_> = queries
        .iter()
        .map(|query| {
            json!({
                "expr": format!("count({}) > bool 0", monitoring::filled(&query.expression)),
                // Shortly after everything happened.
                "eval_time": format!("{}m", BEFORE + 3),
                "exp_samples": [{"labels": "{}", "value": 1}],
            })
        })
        .collect();
    json!({
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "name": "dashboard", "input_series": input, "promql_expr_test": tests}],
    })
}

fn series_name(name: &str, labels: &str) -> String {
    format!("{name}{{{labels}}}")
}

fn run(promtool: &Path, folder: &Path, arguments: &[&str]) -> Result<()> {
    let output = Command::new(promtool).args(arguments).current_dir(folder).output()?;
    ensure!(
        output.status.success(),
        "promtool {}:\n{}{}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
