//! How a pod ended: what happened when, seen from outside. containerd's log says when it sent a signal and when a process
//! ended, the emulator when a request came, both on the machine's clock.

use crate::life::id_of;
use anyhow::{Context, Result, ensure};
use azure_emulators::clock::Timestamp;
use azure_emulators::recording::Record;
use serde_json::Value;

/// The request that removes an agent.
const REMOVAL: &str = "DELETE agents/{id}";

/// The end of a container.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stop {
    /// When SIGTERM was sent, if it was.
    pub(crate) told: Option<Timestamp>,
    /// When its first process ended.
    pub(crate) ended: Option<Timestamp>,
}

impl Stop {
    /// Finds the end of a container's newest run in containerd's log.
    pub(crate) fn find(log: &str, pod: &Value, container: &str) -> Self {
        let Some(id) = id_of(pod, container) else {
            return Self::default();
        };
        let mut stop = Self::default();
        for line in log.lines().filter(|line| line.contains(&id)) {
            if line.contains("msg=\"Stop container") {
                stop.told = stop.told.or_else(|| Timestamp::parse(between(line, "time=\"", "\"")?));
            }
            if line.contains("received container exit event") {
                stop.ended = stop.ended.or_else(|| exit_time(line));
            }
        }
        stop
    }
}

/// `… exited_at:{seconds:1788477940 nanos:92728290}`
fn exit_time(line: &str) -> Option<Timestamp> {
    let number = |name: &str| {
        let digits = line.split(name).nth(1)?;
        let end = digits.find(|letter: char| !letter.is_ascii_digit())?;
        digits[..end].parse::<i64>().ok()
    };
    Some(Timestamp(
        number("seconds:")? * 1000 + number("nanos:").unwrap_or_default() / 1_000_000,
    ))
}

fn between<'t>(text: &'t str, begin: &str, end: &str) -> Option<&'t str> {
    text.split_once(begin)?.1.split_once(end).map(|(inner, _)| inner)
}

/// How a pod ended.
#[derive(Clone, Debug)]
pub(crate) struct Ending {
    /// The pod's name.
    pub(crate) name: String,
    /// The pod as it was seen last.
    pub(crate) pod: Value,
    /// When its deletion was seen: the kubelet saw it at the same time.
    pub(crate) left: Option<Timestamp>,
    /// The agent's container.
    pub(crate) agent: Stop,
    /// The sidecar's.
    pub(crate) sidecar: Stop,
    /// containerd's log of that time, for other containers.
    pub(crate) others: String,
    /// Log of the sidecar.
    pub(crate) log: String,
    /// What the sidecar asked Azure DevOps.
    pub(crate) requests: Vec<Record>,
}

impl Ending {
    /// When the sidecar's log first said this.
    pub(crate) fn said(&self, words: &str) -> Option<Timestamp> {
        let line = self.log.lines().find(|line| line.contains(words))?;
        Timestamp::parse(line.split(' ').next()?)
    }

    /// When the sidecar was told by its preStop hook.
    pub(crate) fn warned(&self) -> Option<Timestamp> {
        self.said("the pod is terminating")
    }

    /// The word of the sidecar's last outcome; nothing where it was killed.
    pub(crate) fn outcome(&self) -> Option<&str> {
        let line = self.log.lines().rev().find(|line| line.contains("outcome="))?;
        line.split("outcome=").nth(1)?.split_whitespace().next()
    }

    /// The requests that removed an agent, or tried to.
    pub(crate) fn removals(&self) -> Vec<&Record> {
        let all = self.requests.iter();
        all.filter(|record| record.route == REMOVAL).collect()
    }

    /// How often an agent was removed with success.
    pub(crate) fn removed(&self) -> usize {
        self.requests.iter().filter(|record| is_removal(record)).count()
    }

    /// The pod must have ended with this outcome.
    pub(crate) fn must_be(&self, outcome: &str) -> Result<()> {
        ensure!(
            self.outcome() == Some(outcome),
            "pod {}: the outcome should be {outcome}, and is {:?}\n{}",
            self.name,
            self.outcome(),
            self.explain()
        );
        Ok(())
    }

    /// The removal must have come within the two seconds after the sidecar's SIGTERM that a kubelet grants in the worst case.
    /// Answers how long it took, in milliseconds; less than nothing where the hook was enough.
    pub(crate) fn removal_in_time(&self) -> Result<i64> {
        let told = self.sidecar.told.with_context(|| self.explain())?;
        let removal = self.requests.iter().find(|record| is_removal(record));
        let removal = removal.with_context(|| format!("nothing was removed\n{}", self.explain()))?;
        let took = removal.time.0 - told.0;
        ensure!(
            took <= 2000,
            "pod {}: the removal came {took} ms after SIGTERM\n{}",
            self.name,
            self.explain()
        );
        Ok(took)
    }

    /// Everything that explains it.
    pub(crate) fn explain(&self) -> String {
        format!(
            "pod {}: deletion {:?}, agent {:?}, sidecar {:?}, {:#}\nlog of the sidecar:\n{}{}",
            self.name,
            self.left,
            self.agent,
            self.sidecar,
            self.pod["status"],
            self.log,
            azure_emulators::recording::summary(&self.requests)
        )
    }
}

/// Whether a request has removed an agent.
pub(crate) fn is_removal(record: &Record) -> bool {
    record.route == REMOVAL && (200..300).contains(&record.status)
}

/// Seconds after a point in time, for a table; `-` where one of them is not known.
pub(crate) fn after(begin: Option<Timestamp>, time: Option<Timestamp>) -> String {
    match (begin, time) {
        (Some(begin), Some(time)) => format!("{:.2}", (time.0 - begin.0) as f64 / 1000.0),
        (None, _) | (_, None) => "-".to_owned(),
    }
}
