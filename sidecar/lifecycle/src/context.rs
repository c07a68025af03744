//! What the parts of the machine share: settings, what is persisted, time, jitter, and the commands that wait.

use crate::backoff::{self, Jitter};
use crate::deadline::Grace;
use crate::ownership::{Owner, owner};
use crate::sentences::{self, Problem};
use crate::{Command, Settings, Severity, Snapshot, Time};
use azure_protocol::{AdoError, AdoErrorKind, AdoRequest, Agent, ServerTime};
use contract::Reason;
use std::collections::VecDeque;
use std::time::Duration;

/// How long after the end of the grace a run still belongs to a pod that terminates.
const OUTLIVED: Duration = Duration::from_secs(60);

/// What the parts of the machine share.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) settings: Settings,
    pub(crate) snapshot: Snapshot,
    pub(crate) jitter: Jitter,
    /// The latest time that was passed in.
    pub(crate) now: Time,
    /// When this run started.
    started: Time,
    persisted: Option<Snapshot>,
    commands: VecDeque<Command>,
}

impl Context {
    pub(crate) fn new(settings: Settings, restored: Option<Snapshot>, seed: u64, now: Time) -> Self {
        Self {
            snapshot: believed(restored.clone().unwrap_or_default(), settings.grace, now),
            settings,
            jitter: Jitter::new(seed),
            now,
            started: now,
            persisted: restored,
            commands: VecDeque::new(),
        }
    }

    /// The tenant that issues the tokens, once it is known.
    pub(crate) fn tenant(&self) -> Option<&str> {
        self.settings.tenant.as_deref().or(self.snapshot.tenant.as_deref())
    }

    /// The pod's grace; counted from now where the pod does not terminate yet.
    pub(crate) fn grace(&self) -> Grace {
        Grace::new(self.snapshot.draining_since.unwrap_or(self.now), self.settings.grace)
    }

    pub(crate) fn is_ours(&self, agent: &Agent) -> bool {
        owner(agent, &self.settings, self.snapshot.started).is_us()
    }

    /// Remembers the agent that was proven ours, and says so where it was by name and age only.
    pub(crate) fn pin(&mut self, agent: &Agent) {
        if self.snapshot.pinned.is_some_and(|pinned| pinned.0 == agent.id) {
            return;
        }
        if owner(agent, &self.settings, self.snapshot.started) == Owner::Adoptable {
            self.warn(Reason::Adopted, sentences::adopted(agent));
        }
        self.snapshot.pinned = Some((agent.id, agent.created));
    }

    /// The first `Date` header tells when this pod started by the server's clock.
    pub(crate) fn learn_start(&mut self, date: Option<ServerTime>) {
        if let (None, Some(date)) = (self.snapshot.started, date) {
            let ago = i64::try_from(self.now.since(self.started).as_secs()).unwrap_or(i64::MAX);
            self.snapshot.started = Some(ServerTime(date.0.saturating_sub(ago)));
        }
    }

    /// What a failed request means, and what it makes doubtful.
    pub(crate) fn problem(&mut self, request: &AdoRequest, error: AdoError) -> Problem {
        let trouble = sentences::request_failed(&self.settings, self.tenant(), request, &error);
        if error.kind == AdoErrorKind::NotFound {
            // The pool may have been created again: its name is looked up again.
            self.snapshot.pool = None;
        }
        if trouble.reason == Reason::TenantMismatch && self.settings.tenant.is_none() {
            self.snapshot.tenant = error.tenant;
        }
        Problem {
            kind: Some(error.kind),
            trouble,
        }
    }

    pub(crate) fn warn(&mut self, reason: Reason, sentence: String) {
        self.note(Severity::Warning, reason, sentence);
    }

    /// A line for the log that does not change the status.
    pub(crate) fn note(&mut self, severity: Severity, reason: Reason, sentence: String) {
        self.commands.push_back(Command::Note {
            severity,
            reason,
            sentence,
        });
    }

    /// Queues a command; what it presupposes is persisted before it.
    pub(crate) fn push(&mut self, command: Command) {
        self.persist();
        self.commands.push_back(command);
    }

    pub(crate) fn persist(&mut self) {
        if self.persisted.as_ref() != Some(&self.snapshot) {
            self.persisted = Some(self.snapshot.clone());
            self.commands.push_back(Command::Persist(self.snapshot.clone()));
        }
    }

    pub(crate) fn next_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }
}

/// What is believed of a snapshot: nothing that no run of this boot can have written, and nothing of an earlier life.
fn believed(mut snapshot: Snapshot, grace: Duration, now: Time) -> Snapshot {
    // Nothing began later than now, and no pause is that long.
    let longest = now.plus(backoff::LONGEST_PAUSE);
    for pause in [&mut snapshot.exchange_not_before, &mut snapshot.ado_not_before] {
        *pause = pause.map(|until| until.min(longest));
    }
    snapshot.draining_since = snapshot.draining_since.map(|since| since.min(now));
    // While a pod terminates nothing is restarted. So a run that ended by itself, or one that outlived the grace, belongs to a
    // pod that lives on (its container was replaced): a new life begins.
    let has_outlived = snapshot
        .draining_since
        .is_some_and(|since| now.since(since) > grace.saturating_add(OUTLIVED));
    if snapshot.ended || has_outlived {
        snapshot.ended = false;
        snapshot.draining_since = None;
    }
    snapshot
}
