//! What was seen of a script, as plain values.

use super::subject::Obstacle;
use std::collections::BTreeSet;
use std::time::Duration;

/// Everything that was seen in one run of the command.
#[derive(Debug, Clone, Default)]
pub(super) struct Observed {
    /// What the webhook said against the pod, if it denied it.
    pub(super) denied: Option<String>,
    /// The webhook's warnings.
    pub(super) warnings: Vec<String>,
    /// What is in the way of the script as an entry point.
    pub(super) obstacle: Option<Obstacle>,
    /// The interpreter that this machine lacks.
    pub(super) no_interpreter: Option<String>,
    /// Whether it was tried with the handoff `gateway`.
    pub(super) through_the_gateway: bool,
    /// Whether the script trades the federated token itself.
    pub(super) trades_the_federated_token: bool,
    /// Whether it looks for the managed identity of a virtual machine.
    pub(super) asks_the_machine: bool,
    /// The variable that it wants its token in, and the pod's command that puts it there: it did not start without.
    pub(super) command: Option<(&'static str, String)>,
    /// The first start.
    pub(super) start: Start,
    /// Its job, and the deletion afterwards.
    pub(super) idle: Option<Idle>,
    /// A deletion under a job.
    pub(super) busy: Option<Busy>,
    /// A deletion right after the start.
    pub(super) early: Option<Early>,
    /// A Job with `--once`.
    pub(super) once: Option<Once>,
    /// Host names that were asked for and are not here.
    pub(super) reached: BTreeSet<String>,
    /// Everything that the agent containers wrote.
    pub(super) log: String,
    /// The user that the script ran as.
    pub(super) user: u32,
    /// The grace period of the pods here.
    pub(super) grace: Duration,
}

/// A first start.
#[derive(Debug, Clone, Default)]
pub(super) struct Start {
    /// When its agent was online, from the start of its container on.
    pub(super) online: Option<Duration>,
    /// The agent's name.
    pub(super) agent: String,
    /// The name that the webhook gave.
    pub(super) wanted: String,
    /// Whether its agent carries the marker.
    pub(super) is_marked: bool,
    /// Whether an agent of it is in the pool at all.
    pub(super) is_registered: bool,
    /// How its container ended, where it did.
    pub(super) code: Option<i32>,
    /// Names of capabilities whose value is a token.
    pub(super) published: Vec<String>,
    /// How long it was waited for.
    pub(super) waited: Duration,
}

/// How a pod ended after it was deleted.
#[derive(Debug, Clone, Default)]
pub(super) struct End {
    /// When the pool no longer had the agent; `None`: it stayed.
    pub(super) pool_empty: Option<Duration>,
    /// When nothing of the pod ran any more.
    pub(super) over: Duration,
    /// Exit code of the agent container.
    pub(super) code: Option<i32>,
    /// Whether the agent container was killed at the end of the grace period.
    pub(super) killed: bool,
    /// The sidecar's last words.
    pub(super) last_words: String,
}

/// How a script takes its agent out of the pool by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OwnRemoval {
    /// It asked for it with a token that it had not used before.
    WithANewToken,
    /// It asked for it with a token that it had kept.
    WithAnOldToken,
    /// It did not ask for it.
    None,
}

/// A job, then a deletion while idle.
#[derive(Debug, Clone)]
pub(super) struct Idle {
    /// The result of the job; `None`: it had none in time.
    pub(super) result: Option<String>,
    /// Variables of the job whose value is a token.
    pub(super) secrets: Vec<String>,
    /// Who removed the agent; `None` where that cannot be told.
    pub(super) own_removal: Option<OwnRemoval>,
    /// Where in the agent container there was a token.
    pub(super) tokens: Vec<String>,
    /// The end.
    pub(super) end: End,
}

/// A deletion under a job.
#[derive(Debug, Clone)]
pub(super) struct Busy {
    /// The name of this pod's agent.
    pub(super) agent: String,
    /// How long the job takes.
    pub(super) takes: Duration,
    /// The result of the job; `None`: nobody finished it.
    pub(super) result: Option<String>,
    /// When it was finished.
    pub(super) finished: Option<Duration>,
    /// The end.
    pub(super) end: End,
}

/// A deletion right after the start of the agent container.
#[derive(Debug, Clone)]
pub(super) struct Early {
    /// How long the agent was online and could be given jobs while its pod was leaving.
    pub(super) open_for_jobs: Duration,
    /// The end.
    pub(super) end: End,
}

/// A Job with `--once`.
#[derive(Debug, Clone)]
pub(super) struct Once {
    /// Whether its agent came online.
    pub(super) is_online: bool,
    /// The result of the job.
    pub(super) result: Option<String>,
    /// How long after the job the pod ended by itself; `None`: it did not.
    pub(super) over: Option<Duration>,
    /// Exit code of the agent container.
    pub(super) code: Option<i32>,
    /// Whether the pool is empty afterwards.
    pub(super) pool_empty: bool,
}
