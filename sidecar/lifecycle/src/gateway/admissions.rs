//! Who may register, and when.
//!
//! ```text
//!  looked up by name:  is the name free, or this pod's? ─────────────────────────────────► go
//!  registration:       no agent of this pod listens ─ the previous one, or a leftover of
//!                      the name, is removed ─ a minute since the last ─ persisted ────────► go
//!  anything else, and whatever takes longer than HOLD ────────────────────────────────────► refused, with a sentence
//! ```
//!
//! One registration at a time: a job can ask as often as it likes, and harms its own pod only.

mod actions;
mod answers;

use super::{Admission, RegistrationFailure};
use crate::context::Context;
use crate::registration::Registration;
use crate::sentences::{self};
use crate::{Command, Time};
use azure_protocol::{AdoRequest, AgentId, PoolId};
use std::collections::VecDeque;
use std::time::Duration;

/// How long a question may wait for its answer; the agent's HTTP client waits 100 s.
const HOLD: Duration = Duration::from_secs(55);
/// How many questions may wait.
const MAX_WAITING: usize = 16;
/// Minimum time from one registration to the next.
const INTERVAL: Duration = Duration::from_secs(60);
/// The same after one that failed: the agent repeats it after 11 to 18 s.
const AFTER_FAILURE: Duration = Duration::from_secs(5);
/// How young an agent is that may not have begun to listen yet, in seconds.
const YOUNG_SECONDS: i64 = 600;
/// A request to Azure DevOps for this may be made every ten seconds, six at once.
const PACE: Duration = Duration::from_secs(10);
const BURST: u32 = 6;

/// What a question asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    LookUp,
    Register,
}

/// A question that waits for its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Question {
    number: u64,
    name: String,
    operation: Operation,
    until: Time,
}

/// The state of the pod, as far as a registration depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RegistrationPhase {
    /// Nothing can be asked of Azure DevOps (yet).
    NotReady,
    Open,
    /// The agent is being removed.
    Removing,
    /// Nothing registers any more.
    Closed(ClosedReason),
}

/// Why nothing registers any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClosedReason {
    Terminating,
    Used,
}

/// What a lookup by name has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    name: String,
    at: Time,
    holder: Holder,
}

/// Who has a name, apart from this pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holder {
    Nobody,
    /// An earlier agent, which is offline.
    Leftover(AgentId),
    Another,
}

/// What became of a registration that was never answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unanswered {
    NotChecked,
    /// A lookup found no such agent.
    NotMade,
    /// A lookup at that time found an agent that may be the registered one.
    Doubtful(Time),
}

/// What a question needs.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Action {
    Answer(Admission),
    Ask(AdoRequest),
    Wait(Option<Time>),
}

/// The questions that wait, and what is known to answer them.
#[derive(Debug, Clone)]
pub(crate) struct Admissions {
    waiting: VecDeque<Question>,
    /// While a registration is sent and not answered: the previous one.
    in_flight: Option<Option<Registration>>,
    not_before: Time,
    seen: Option<Seen>,
    unanswered: Unanswered,
    /// Whether the removal of the previous agent was answered with 404, which is trusted only after a listing.
    is_doubtful: bool,
    /// When the requests so far would have been sent at an even pace.
    even: Time,
}

impl Admissions {
    pub(super) fn new(now: Time) -> Self {
        Self {
            waiting: VecDeque::new(),
            in_flight: None,
            not_before: now,
            seen: None,
            unanswered: Unanswered::NotChecked,
            is_doubtful: false,
            even: now,
        }
    }

    pub(crate) fn is_in_flight(&self) -> bool {
        self.in_flight.is_some()
    }

    fn record(&mut self, name: &str, holder: Holder, now: Time) {
        self.seen = Some(Seen {
            name: name.to_owned(),
            at: now,
            holder,
        });
    }

    /// It was answered: this is the agent.
    pub(crate) fn registered(&mut self) {
        self.in_flight = None;
    }

    /// It got no response, or was refused; returns the previous registration where no agent was created.
    pub(crate) fn failed(&mut self, failure: RegistrationFailure, now: Time) -> Option<Option<Registration>> {
        let before = self.in_flight.take()?;
        self.not_before = now.plus(AFTER_FAILURE);
        match failure {
            RegistrationFailure::Unanswered => None,
            RegistrationFailure::Refused => Some(before),
        }
    }

    /// When the next answer is due without an event.
    pub(crate) fn due(&self, now: Time) -> Option<Time> {
        let timeout = self.waiting.iter().map(|question| question.until).min();
        let registers = self
            .waiting
            .iter()
            .any(|question| question.operation == Operation::Register);
        let next = Some(self.not_before).filter(|at| registers && *at > now);
        timeout.into_iter().chain(next).min()
    }

    /// When a request may be sent at the earliest.
    fn pace(&self) -> Time {
        Time(self.even.0.saturating_sub(PACE * (BURST - 1)))
    }

    fn sent(&mut self, now: Time) {
        self.even = self.even.max(now).plus(PACE);
    }
}

impl Context {
    fn admissions(&mut self) -> Option<&mut Admissions> {
        self.gateway.as_mut().map(|gateway| &mut gateway.admissions)
    }

    /// The checks before the start found no agent of our name.
    pub(crate) fn name_is_free(&mut self) {
        let (name, now) = (self.settings.agent_name.clone(), self.now);
        if let Some(admissions) = self.admissions() {
            admissions.record(&name, Holder::Nobody, now);
        }
    }

    /// A question arrives.
    pub(crate) fn asked(&mut self, number: u64, name: String, operation: Operation) {
        let until = self.now.plus(HOLD);
        let Some(admissions) = self.admissions() else { return };
        if admissions.waiting.len() >= MAX_WAITING {
            return self.answer(number, Admission::Refused(sentences::too_many_registrations()));
        }
        admissions.waiting.push_back(Question {
            number,
            name,
            operation,
            until,
        });
    }

    fn answer(&mut self, number: u64, answer: Admission) {
        self.push(Command::AnswerRegistration { number, answer });
    }

    /// Answers what can be answered; `why_not` is the refusal of those that have waited too long.
    pub(crate) fn answer_questions(&mut self, phase: RegistrationPhase, why_not: &str) {
        let mut next = 0;
        while let Some(question) = self.question(next) {
            let answer = match self.next_action(&question, phase) {
                Action::Answer(answer) => answer,
                Action::Ask(_) | Action::Wait(_) if question.until > self.now => {
                    next += 1;
                    continue;
                }
                Action::Ask(_) | Action::Wait(_) => Admission::Refused(why_not.to_owned()),
            };
            if let Some(admissions) = self.admissions() {
                admissions.waiting.remove(next);
            }
            if (question.operation, &answer) == (Operation::Register, &Admission::Go) {
                self.begin_registration(question.name);
            }
            self.answer(question.number, answer);
        }
    }

    fn question(&self, index: usize) -> Option<Question> {
        self.gateway.as_ref()?.admissions.waiting.get(index).cloned()
    }

    fn begin_registration(&mut self, name: String) {
        let begun = Registration::Begun {
            name,
            since: self.server_now(),
        };
        let before = self.snapshot.registration.replace(begun);
        let now = self.now;
        if let Some(admissions) = self.admissions() {
            admissions.in_flight = Some(before);
            admissions.not_before = now.plus(INTERVAL);
            admissions.seen = None;
            admissions.unanswered = Unanswered::NotChecked;
        }
    }

    /// The next request that a question, or a registration that was never answered, needs while the pod serves; and when.
    pub(crate) fn admission_request(&self) -> Option<(Time, AdoRequest)> {
        let admissions = &self.gateway.as_ref()?.admissions;
        let asked = admissions.waiting.iter().find_map(|question| {
            if let Action::Ask(request) = self.next_action(question, RegistrationPhase::Open) {
                Some((admissions.pace(), request))
            } else {
                None
            }
        });
        asked.or_else(|| Some((Time::default(), self.settling()?)))
    }

    /// Such a request goes out.
    pub(crate) fn admission_sent(&mut self) {
        let now = self.now;
        if let Some(admissions) = self.admissions() {
            admissions.sent(now);
        }
    }

    /// The lookup that settles a registration that was never answered.
    fn settling(&self) -> Option<AdoRequest> {
        let admissions = &self.gateway.as_ref()?.admissions;
        match &self.snapshot.registration {
            Some(Registration::Begun { name, .. })
                if !admissions.is_in_flight() && admissions.unanswered == Unanswered::NotChecked =>
            {
                Some(self.in_the_pool(|pool| AdoRequest::AgentByName(pool, name.clone())))
            }
            Some(_) | None => None,
        }
    }

    /// A request in our pool; without a pool its name is looked up first.
    fn in_the_pool(&self, request: impl FnOnce(PoolId) -> AdoRequest) -> AdoRequest {
        match self.snapshot.pool {
            Some(pool) => request(pool),
            None => AdoRequest::PoolByName(self.settings.pool.clone()),
        }
    }
}
