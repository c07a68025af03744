//! When each alert fires, and when it does not, as `promtool test rules` reads it. One scrape a minute.

use serde_json::{Value, json};

/// The tests of all alerts.
pub(crate) fn tests() -> Value {
    json!({
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "1m",
        "tests": [left_behind(), jobs_lost(), jobs_waiting(), pod_problem(), blind(), clash()],
    })
}

const POOL: &str = r#"organization="contoso",pool="linux""#;
const NAMESPACE: &str = r#"organization="contoso",pool="linux",namespace="agents""#;

fn series(name: &str, labels: &str, values: &str) -> Value {
    json!({"series": format!("{name}{{{labels}}}"), "values": values})
}

fn test(name: &str, series: &[Value], checks: &[Value]) -> Value {
    json!({"name": name, "interval": "1m", "input_series": series, "alert_rule_test": checks})
}

/// At this minute the alert fires once with these labels.
fn fires(alert: &str, minute: u32, labels: &Value, summary: &str) -> Value {
    let page = format!("{}monitoring.md#{}", DOCUMENTATION, alert.to_lowercase());
    json!({
        "alertname": alert,
        "eval_time": format!("{minute}m"),
        "exp_alerts": [{"exp_labels": labels, "exp_annotations": {"summary": summary, "runbook_url": page}}],
    })
}

const DOCUMENTATION: &str = "https://github.com/ado-agent-injector/ado-agent-injector/blob/main/docs/";

/// At this minute it does not.
fn is_quiet(alert: &str, minute: u32) -> Value {
    json!({"alertname": alert, "eval_time": format!("{minute}m"), "exp_alerts": []})
}

fn left_behind() -> Value {
    const ALERT: &str = "AdoAgentLeftBehind";
    let with = |state: &str| format!(r#"{NAMESPACE},state="{state}""#);
    let labels = json!({"organization": "contoso", "pool": "linux", "namespace": "agents", "state": "unproven", "severity": "warning"});
    test(
        "agents that stay, and such that only wait for their time",
        &[
            series("ado_agent_orphans", &with("waiting"), "3x100"),
            series("ado_agent_orphans", &with("due"), "2x20 0x80"),
            series("ado_agent_orphans", &with("unproven"), "0x20 2x40 0x40"),
        ],
        &[
            is_quiet(ALERT, 19),
            is_quiet(ALERT, 45),
            fires(
                ALERT,
                55,
                &labels,
                "2 agents of namespace agents stay in pool linux without a pod (unproven)",
            ),
            is_quiet(ALERT, 65),
        ],
    )
}

fn jobs_lost() -> Value {
    const ALERT: &str = "AdoAgentJobsLost";
    let labels = json!({"organization": "contoso", "pool": "linux", "namespace": "agents", "severity": "warning"});
    test(
        "a job that is lost, and a counter that begins anew",
        &[series("ado_agent_jobs_lost_total", NAMESPACE, "0x10 1x60 0x30")],
        &[
            is_quiet(ALERT, 10),
            fires(
                ALERT,
                15,
                &labels,
                "Jobs of namespace agents in pool linux were lost with their agent",
            ),
            is_quiet(ALERT, 60),
            is_quiet(ALERT, 90),
        ],
    )
}

fn jobs_waiting() -> Value {
    const ALERT: &str = "AdoAgentJobsWaiting";
    let state = r#"cicd_pipeline_task_run_state="queued""#;
    let labels = json!({"organization": "contoso", "pool": "linux", "severity": "warning"});
    test(
        "a queue that moves, and one that does not",
        &[
            series(
                "cicd_pipeline_task_run_active",
                &format!("{POOL},namespace=\"\",{state}"),
                "3x100",
            ),
            series(
                "cicd_pipeline_task_run_duration_seconds_count",
                &format!("{NAMESPACE},{state}"),
                "0+1x40 40x60",
            ),
        ],
        &[
            is_quiet(ALERT, 40),
            is_quiet(ALERT, 60),
            fires(
                ALERT,
                75,
                &labels,
                "3 jobs wait in pool linux, and none was given to an agent for 15 minutes",
            ),
        ],
    )
}

fn pod_problem() -> Value {
    const ALERT: &str = "AdoAgentPodProblem";
    let at = r#"namespace="agents",reason="pool-missing""#;
    let labels = json!({"namespace": "agents", "reason": "pool-missing", "severity": "warning"});
    test(
        "a problem that passes, and one that stays",
        &[series("ado_agent_problem_pods", at, "1x2 _x13 2x40")],
        &[
            is_quiet(ALERT, 12),
            is_quiet(ALERT, 24),
            fires(
                ALERT,
                30,
                &labels,
                "2 pods of namespace agents have a problem: pool-missing",
            ),
        ],
    )
}

fn blind() -> Value {
    const ALERT: &str = "AdoAgentSweepStopped";
    let labels = json!({"organization": "contoso", "pool": "linux", "cause": "blind", "severity": "critical"});
    test(
        "a pool that is not listed any more",
        &[series(
            "ado_agent_pool_listed_timestamp_seconds",
            POOL,
            "0+60x10 600x40",
        )],
        &[
            is_quiet(ALERT, 24),
            fires(
                ALERT,
                31,
                &labels,
                "Agents of pool linux are not swept: the pool was not listed for 21m 0s",
            ),
        ],
    )
}

fn clash() -> Value {
    const ALERT: &str = "AdoAgentSweepStopped";
    let labels = json!({"organization": "contoso", "pool": "linux", "namespace": "agents", "cause": "clash", "severity": "critical"});
    test(
        "two clusters with one ID",
        &[
            series("ado_agent_pool_listed_timestamp_seconds", POOL, "0+60x60"),
            series("ado_agent_cluster_clash", NAMESPACE, "0x10 1x50"),
        ],
        &[
            is_quiet(ALERT, 14),
            fires(
                ALERT,
                17,
                &labels,
                "Agents of pool linux are not swept: two clusters have one ID (namespace agents)",
            ),
        ],
    )
}
