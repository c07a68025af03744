//! What the gateway has seen of this pod's agent in this run of the container.

use super::admissions::Admissions;
use super::{Found, Gate, Jobs};
use crate::registration::Registration;
use crate::{Snapshot, Time};
use azure_protocol::AgentId;
use std::collections::VecDeque;
use std::time::Duration;

/// How many removed agents the gateway is told about.
const MAX_ENDED: usize = 8;
/// How long Azure DevOps holds a job's lock after its last renewal (ten minutes, by the agent's source), and a minute more.
const LOCK: Duration = Duration::from_secs(660);
/// How long after a job's end a refused removal is tried again soon: the end had not propagated yet.
const JUST_ENDED: Duration = Duration::from_secs(30);

/// The gateway, as the machine knows it.
#[derive(Debug, Clone)]
pub(crate) struct Gateway {
    pub(crate) jobs: Jobs,
    pub(crate) admissions: Admissions,
    /// The rules that the gateway applies now.
    pub(crate) gate: Option<Gate>,
    /// Removed agents of this pod.
    ended: VecDeque<AgentId>,
    /// How many polls of our agent are open.
    polls: u32,
    /// Whether the client of the last one disconnected: its process is gone, with or without its session.
    disconnected: bool,
    job: Job,
}

/// What the gateway has seen of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Job {
    Unseen,
    /// It was running then.
    Runs(Time),
    /// It ended then.
    Ended(Time),
}

impl Gateway {
    pub(crate) fn new(jobs: Jobs, snapshot: &Snapshot, now: Time) -> Self {
        Self {
            jobs,
            admissions: Admissions::new(now),
            gate: None,
            ended: match snapshot.registration {
                Some(Registration::Gone { id, .. }) => VecDeque::from([id]),
                Some(Registration::Begun { .. } | Registration::Known(_)) | None => VecDeque::new(),
            },
            polls: 0,
            disconnected: false,
            job: Job::Unseen,
        }
    }

    /// Another agent registered, or this one is gone: forgets what was seen.
    pub(crate) fn reset(&mut self) {
        self.polls = 0;
        self.disconnected = false;
        self.job = Job::Unseen;
    }

    pub(crate) fn gone(&mut self, agent: AgentId) {
        self.reset();
        self.ended.retain(|ended| *ended != agent);
        self.ended.push_back(agent);
        if self.ended.len() > MAX_ENDED {
            self.ended.pop_front();
        }
    }

    pub(crate) fn ended(&self) -> Vec<AgentId> {
        self.ended.iter().copied().collect()
    }

    pub(crate) fn poll_opened(&mut self) {
        self.polls = self.polls.saturating_add(1);
        self.disconnected = false;
    }

    /// The client of a poll disconnected.
    pub(crate) fn poll_closed(&mut self) {
        self.polls = self.polls.saturating_sub(1);
        self.disconnected = self.polls == 0;
    }

    pub(crate) fn has_disconnected(&self) -> bool {
        self.disconnected
    }

    /// A poll was answered; whether the agent has a session, if the response says so.
    pub(crate) fn poll_answered(&mut self, found: Found) -> Option<bool> {
        self.polls = self.polls.saturating_sub(1);
        match found {
            Found::Agent => Some(true),
            Found::Nothing => Some(false),
            Found::Unknown => None,
        }
    }

    /// Whether a listener waits for jobs just now. Between two polls of a running one it may seem not to.
    pub(crate) fn is_polled(&self) -> bool {
        self.polls > 0
    }

    pub(crate) fn job_renewed(&mut self, now: Time) {
        self.job = Job::Runs(now);
    }

    pub(crate) fn job_ended(&mut self, now: Time) {
        self.job = Job::Ended(now);
    }

    pub(crate) fn is_busy(&self) -> bool {
        matches!(self.job, Job::Runs(_))
    }

    pub(crate) fn has_just_ended(&self, now: Time) -> bool {
        matches!(self.job, Job::Ended(at) if now.since(at) < JUST_ENDED)
    }

    /// When the job's lock has run out, if the listener is dead and does not renew it any more.
    pub(crate) fn lock_runs_out(&self, now: Time) -> Time {
        match self.job {
            Job::Runs(renewed) => renewed.plus(LOCK),
            Job::Unseen | Job::Ended(_) => now.plus(LOCK),
        }
    }
}
