//! What the parts of the machine share: settings, what is persisted, time, jitter, and the commands that wait.

use crate::backoff::{self, Jitter};
use crate::deadline::Grace;
use crate::gateway::{Gateway, Handoff};
use crate::ownership::{Owner, owner};
use crate::registration::{Match, Registered, Registration, Remover, match_of};
use crate::sentences::{self, Problem};
use crate::{Command, Settings, Severity, Snapshot, Time};
use azure_protocol::{AdoError, AdoErrorKind, AdoRequest, Agent, ServerTime};
use contract::Reason;
use std::collections::VecDeque;
use std::time::Duration;

/// How long after the end of the grace period a run still belongs to a pod that terminates.
const OUTLIVED: Duration = Duration::from_secs(60);

/// What the parts of the machine share.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) settings: Settings,
    pub(crate) snapshot: Snapshot,
    pub(crate) jitter: Jitter,
    /// The gateway; `None` with another handoff.
    pub(crate) gateway: Option<Gateway>,
    /// The latest time that was passed in.
    pub(crate) now: Time,
    /// When this run started.
    started: Time,
    /// The server's time, and when it was learned.
    server: Option<(Time, ServerTime)>,
    persisted: Option<Snapshot>,
    commands: VecDeque<Command>,
}

impl Context {
    pub(crate) fn new(settings: Settings, restored: Option<Snapshot>, seed: u64, now: Time) -> Self {
        let snapshot = sanitized(restored.clone().unwrap_or_default(), settings.grace, now);
        Self {
            gateway: match settings.handoff {
                Handoff::TokenFile => None,
                Handoff::Gateway(jobs) => Some(Gateway::new(jobs, &snapshot, now)),
            },
            snapshot,
            settings,
            jitter: Jitter::new(seed),
            now,
            started: now,
            server: None,
            persisted: restored,
            commands: VecDeque::new(),
        }
    }

    /// The tenant that issues the tokens, once it is known.
    pub(crate) fn tenant(&self) -> Option<&str> {
        self.settings.tenant.as_deref().or(self.snapshot.tenant.as_deref())
    }

    /// The pod's grace period; counted from now where the pod does not terminate yet.
    pub(crate) fn grace(&self) -> Grace {
        Grace::new(self.snapshot.draining_since.unwrap_or(self.now), self.settings.grace)
    }

    /// Whether the pod terminates.
    pub(crate) fn is_terminating(&self) -> bool {
        self.snapshot.draining_since.is_some()
    }

    pub(crate) fn is_ours(&self, agent: &Agent) -> bool {
        match self.gateway {
            Some(_) => match_of(agent, &self.settings.marker, &self.snapshot) == Match::Ours,
            None => owner(agent, &self.settings, self.snapshot.started).is_ours(),
        }
    }

    /// Whether the agent may be the one that this pod registered without an answer.
    pub(crate) fn is_doubtful(&self, agent: &Agent) -> bool {
        self.gateway.is_some() && match_of(agent, &self.settings.marker, &self.snapshot) == Match::Doubtful
    }

    /// The name by which our agent is looked up.
    pub(crate) fn agent_name(&self) -> &str {
        self.snapshot
            .registration
            .as_ref()
            .map_or(&self.settings.agent_name, Registration::name)
    }

    /// The agent that registered through the gateway and is in the pool, as far as is known.
    pub(crate) fn registered(&self) -> Option<&Registered> {
        match &self.snapshot.registration {
            Some(Registration::Known(registered)) => Some(registered),
            Some(Registration::Begun { .. } | Registration::Gone { .. }) | None => None,
        }
    }

    /// Whether the agent that registered through the gateway has a session, and a process that polls it.
    pub(crate) fn is_listening(&self) -> bool {
        let has_disconnected = self.gateway.as_ref().is_some_and(Gateway::has_disconnected);
        self.registered().is_some_and(|registered| registered.is_online) && !has_disconnected
    }

    /// The agent that registered through the gateway is not in the pool any more.
    pub(crate) fn registration_gone(&mut self, by: Remover) {
        let Some(registered) = self.registered() else { return };
        let (id, name) = (registered.id, registered.name.clone());
        self.snapshot.registration = Some(Registration::Gone { id, name, by });
        self.snapshot.disabled = None;
        if let Some(gateway) = &mut self.gateway {
            gateway.gone(id);
        }
    }

    /// Remembers the agent that was proven ours, and says so where it was by name and age only.
    pub(crate) fn pin(&mut self, agent: &Agent) {
        if self.gateway.is_some() {
            if self.registered().is_none() {
                self.snapshot.registration = Some(Registration::Known(Registered {
                    id: agent.id,
                    created: agent.created,
                    name: agent.name.clone(),
                    is_online: agent.online,
                }));
            }
            return;
        }
        if self.snapshot.pinned.is_some_and(|pinned| pinned.0 == agent.id) {
            return;
        }
        if owner(agent, &self.settings, self.snapshot.started) == Owner::Adoptable {
            self.warn(Reason::Adopted, sentences::adopted(agent));
        }
        self.snapshot.pinned = Some((agent.id, agent.created));
    }

    /// Derives from the first `Date` header when this pod started by the server's clock.
    pub(crate) fn learn_start(&mut self, date: Option<ServerTime>) {
        self.server = date.map(|date| (self.now, date)).or(self.server);
        if let (None, Some(date)) = (self.snapshot.started, date) {
            let ago = i64::try_from(self.now.since(self.started).as_secs()).unwrap_or(i64::MAX);
            self.snapshot.started = Some(ServerTime(date.0.saturating_sub(ago)));
        }
    }

    /// The server's time now, once a response had it.
    pub(crate) fn server_now(&self) -> Option<ServerTime> {
        self.server.map(|(learned, date)| {
            let since = i64::try_from(self.now.since(learned).as_secs()).unwrap_or(i64::MAX);
            ServerTime(date.0.saturating_add(since))
        })
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

/// The snapshot without what no run since this boot can have written, and without the state of a termination that is over.
pub(crate) fn sanitized(mut snapshot: Snapshot, grace: Duration, now: Time) -> Snapshot {
    // Nothing began later than now, and no pause is that long.
    let longest = now.plus(backoff::MAX_PAUSE);
    for pause in [&mut snapshot.exchange_not_before, &mut snapshot.ado_not_before] {
        *pause = pause.map(|until| until.min(longest));
    }
    snapshot.draining_since = snapshot.draining_since.map(|since| since.min(now));
    // While a pod terminates the kubelet restarts nothing. So a run that ended by itself, or one that outlived the grace period,
    // belongs to a pod that keeps running (only this container was replaced): it starts over.
    let has_outlived = snapshot
        .draining_since
        .is_some_and(|since| now.since(since) > grace.saturating_add(OUTLIVED));
    if snapshot.ended || has_outlived {
        snapshot.ended = false;
        snapshot.draining_since = None;
    }
    snapshot
}
