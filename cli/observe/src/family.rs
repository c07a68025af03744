//! The metrics by name, as `/metrics` and the reference have them.
//!
//! Names and labels follow OpenTelemetry's semantic conventions for CI/CD where those have one (`cicd.worker.count`,
//! `cicd.worker.state`, `cicd.pipeline.task.run.result`, `cicd.system.errors`), as Prometheus spells them. A job of an agent pool
//! is a *task run* there: `cicd.pipeline.run.*` is about whole runs of a pipeline, asks for the pipeline's name as a label, and
//! what is counted here are jobs. The conventions have no metrics of task runs yet, so ours are formed like those of runs.

/// Kind of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only rises.
    Counter,
    /// Rises and falls.
    Gauge,
    /// Counts observations by size.
    Histogram,
}

impl Kind {
    /// Prometheus' word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One metric, as it stands in `/metrics` and in the reference.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    /// Full name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it counts.
    pub help: &'static str,
}

impl Family {
    /// The name as the crate wants it, which adds a counter's `_total` itself; and without the full stop that it adds, too.
    pub(crate) fn base(&self) -> (&'static str, &'static str) {
        let name = match self.kind {
            Kind::Counter => self.name.strip_suffix("_total").unwrap_or(self.name),
            Kind::Gauge | Kind::Histogram => self.name,
        };
        (name, self.help.strip_suffix('.').unwrap_or(self.help))
    }
}

pub(crate) const WORKERS: Family = Family {
    name: "cicd_worker_count",
    kind: Kind::Gauge,
    labels: &["organization", "pool", "namespace", "owner", "cicd_worker_state"],
    help: "Agents of the pool, by owner (pod, gone: its pod is gone, placeholder, foreign: not of these namespaces) and state (available, busy, disabled, offline).",
};
pub(crate) const JOBS: Family = Family {
    name: "cicd_pipeline_task_run_active",
    kind: Kind::Gauge,
    labels: &["organization", "pool", "namespace", "cicd_pipeline_task_run_state"],
    help: "Jobs of the pool that have not ended, by state: queued, assigned (an agent was chosen), running. The namespace is the agent's.",
};
pub(crate) const JOB_SECONDS: Family = Family {
    name: "cicd_pipeline_task_run_duration_seconds",
    kind: Kind::Histogram,
    labels: &["organization", "pool", "namespace", "cicd_pipeline_task_run_state"],
    help: "Time that jobs spent in a state (queued, assigned, running), in seconds, observed when they left it.",
};
pub(crate) const JOB_RESULTS: Family = Family {
    name: "cicd_pipeline_task_run_results_total",
    kind: Kind::Counter,
    labels: &["organization", "pool", "namespace", "cicd_pipeline_task_run_result"],
    help: "Jobs that ended, by result: success, failure, error (abandoned by Azure DevOps, since its agent was lost), cancellation, skip, _OTHER.",
};
pub(crate) const LOST: Family = Family {
    name: "ado_agent_jobs_lost_total",
    kind: Kind::Counter,
    labels: &["organization", "pool", "namespace"],
    help: "Jobs that an agent of these namespaces had when it died: Azure DevOps abandoned them.",
};
pub(crate) const REGISTRATIONS: Family = Family {
    name: "ado_agent_registrations_total",
    kind: Kind::Counter,
    labels: &["organization", "pool", "namespace"],
    help: "Agents of pods that came into the pool.",
};
pub(crate) const REMOVALS: Family = Family {
    name: "ado_agent_removals_total",
    kind: Kind::Counter,
    labels: &["organization", "pool", "namespace", "by", "outcome"],
    help: "Removals of agents, by whom (image, sidecar, sweep) and outcome: of image and sidecar a reason of the family of outcomes; of the sweep removed, already-gone, failed.",
};
pub(crate) const ORPHANS: Family = Family {
    name: "ado_agent_orphans",
    kind: Kind::Gauge,
    labels: &["organization", "pool", "namespace", "state"],
    help: "Agents in the pool whose pod is gone, by state: waiting, due, assigned (a job is still assigned), clash (two clusters have one ID), unproven (not in the ledger).",
};
pub(crate) const CLASH: Family = Family {
    name: "ado_agent_cluster_clash",
    kind: Kind::Gauge,
    labels: &["organization", "pool", "namespace"],
    help: "1 while an online agent says that it is of this cluster and namespace and has no pod here: two clusters have one ID, and nothing of the namespace is removed.",
};
pub(crate) const PROBLEM_PODS: Family = Family {
    name: "ado_agent_problem_pods",
    kind: Kind::Gauge,
    labels: &["namespace", "reason"],
    help: "Pods whose sidecar has a problem, by reason.",
};
pub(crate) const REQUESTS: Family = Family {
    name: "ado_agent_requests_total",
    kind: Kind::Counter,
    labels: &["organization", "route", "code"],
    help: "Requests to Azure DevOps, by route and HTTP status (none: no answer).",
};
pub(crate) const THROTTLED: Family = Family {
    name: "ado_agent_throttled_seconds_total",
    kind: Kind::Counter,
    labels: &["organization"],
    help: "Time for which Azure DevOps asked to be left alone, in seconds.",
};
pub(crate) const LISTED: Family = Family {
    name: "ado_agent_pool_listed_timestamp_seconds",
    kind: Kind::Gauge,
    labels: &["organization", "pool"],
    help: "When agents and jobs of the pool were last listed completely, in seconds since 1970; 0: not yet.",
};
pub(crate) const ERRORS: Family = Family {
    name: "cicd_system_errors_total",
    kind: Kind::Counter,
    labels: &["cicd_system_component", "error_type"],
    help: "What the program could not do, by component (pool, sweep, events) and type of error.",
};
pub(crate) const POD: Family = Family {
    name: "ado_agent_pod",
    kind: Kind::Gauge,
    labels: &["organization", "pool", "namespace", "pod", "cicd_worker_state"],
    help: "1 for the pod of each agent, by state; only with --pod-metrics.",
};
pub(crate) const BUILD: Family = Family {
    name: "ado_agent_build_info",
    kind: Kind::Gauge,
    labels: &["version"],
    help: "Always 1; the version is a label.",
};

const ALL: [Family; 16] = [
    WORKERS,
    JOBS,
    JOB_SECONDS,
    JOB_RESULTS,
    LOST,
    REGISTRATIONS,
    REMOVALS,
    ORPHANS,
    CLASH,
    PROBLEM_PODS,
    REQUESTS,
    THROTTLED,
    LISTED,
    ERRORS,
    POD,
    BUILD,
];

/// Every metric, for the reference.
pub fn families() -> &'static [Family] {
    &ALL
}
