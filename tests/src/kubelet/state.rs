//! What is known of a pod: its containers, its phase, and everything that happened, with the time.

use super::sandbox::Process;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A pod's phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Its init containers have not all done their part.
    Pending,
    /// Its containers run.
    Running,
    /// Every main container ended with 0.
    Succeeded,
    /// A main container failed, or never ran.
    Failed,
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Exit code; 128 + the signal's number where a signal ended it.
    pub code: i32,
    /// What it left in its termination message file.
    pub message: String,
}

/// One container.
#[derive(Debug, Clone, Default)]
pub struct ContainerState {
    /// The main process, while it runs.
    pub process: Option<Process>,
    /// Whether its startup probe has passed (or it has none and runs).
    pub started: bool,
    /// Whether its readiness probe passes; `None` where it has none or was not asked yet.
    pub ready: Option<bool>,
    /// How often it was started again.
    pub restarts: u32,
    /// How it ended the last time.
    pub ended: Option<Ended>,
    /// Output of the last startup probe.
    pub probe: String,
}

/// Something that happened to a container of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Its main process was started.
    Started,
    /// Its environment could not be made; it is tried again.
    ConfigError(String),
    /// Its startup probe passed.
    ProbePassed,
    /// Its startup probe failed for the first time with this output.
    ProbeFailed(String),
    /// Its startup probe failed too often; the container is stopped.
    ProbeGaveUp,
    /// Its readiness probe passed, where it did not before.
    Ready,
    /// Its readiness probe failed with this output, where it did not before.
    NotReady(String),
    /// Its main process ended.
    Ended(Ended),
    /// It is started again after this pause.
    BackOff(Duration),
    /// Its `preStop` hook was started.
    HookStarted,
    /// Its `preStop` hook ended, or was cut off.
    HookEnded {
        /// Whether it was still running when its time was up.
        cut_off: bool,
    },
    /// SIGTERM was sent.
    Terminated {
        /// What is left until SIGKILL.
        patience: Duration,
    },
    /// SIGKILL was sent.
    Killed,
    /// The pod is being deleted (no container).
    Deleted {
        /// With this grace.
        grace: Duration,
    },
    /// The pod is over (no container).
    Over(Phase),
}

/// One line of a pod's history.
#[derive(Debug, Clone)]
pub struct Event {
    /// When.
    pub at: Instant,
    /// The container; empty for the pod itself.
    pub container: String,
    /// What.
    pub what: What,
}

/// Everything that is known of a pod.
#[derive(Debug, Clone)]
pub struct PodState {
    /// When the kubelet double saw it.
    pub since: Instant,
    /// Its phase.
    pub phase: Phase,
    /// Whether nothing of it runs any more.
    pub over: bool,
    /// Its containers by name.
    pub containers: BTreeMap<String, ContainerState>,
    /// What happened, in order.
    pub events: Vec<Event>,
}

impl PodState {
    pub(super) fn new() -> Self {
        Self {
            since: Instant::now(),
            phase: Phase::Pending,
            over: false,
            containers: BTreeMap::new(),
            events: Vec::new(),
        }
    }

    /// A container; a default one where it was not started yet.
    pub fn container(&self, name: &str) -> ContainerState {
        self.containers.get(name).cloned().unwrap_or_default()
    }

    /// The first event of a container (empty: the pod itself) that fits, as the time since the pod was seen.
    pub fn time_of(&self, container: &str, fits: impl Fn(&What) -> bool) -> Option<Duration> {
        self.events
            .iter()
            .find(|event| event.container == container && fits(&event.what))
            .map(|event| event.at.duration_since(self.since))
    }

    pub(super) fn record(&mut self, container: &str, what: What) {
        self.events.push(Event {
            at: Instant::now(),
            container: container.to_owned(),
            what,
        });
    }

    pub(super) fn of(&mut self, container: &str) -> &mut ContainerState {
        self.containers.entry(container.to_owned()).or_default()
    }
}
