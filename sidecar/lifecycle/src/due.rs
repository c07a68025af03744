//! What follows from the state, whatever event brought it about: what is due, and when.

use crate::lifecycle::{Lifecycle, Phase};
use crate::preflight::Preflight;
use crate::questions::BUDGET;
use crate::removal::Removal;
use crate::sentences;
use crate::serving::{Serving, Task};
use crate::{Command, Outcome, Time, TokenId};
use azure_protocol::{AdoErrorKind, AdoRequest, Availability};
use contract::{Drain, Reason};
use std::time::Duration;

/// What is left of the two seconds after SIGTERM once the process has to be gone by itself.
const LAST_MOMENT: Duration = Duration::from_millis(1800);
/// How long before the end of the grace period the process ends by itself: the kubelet began to count before its hook reached
/// us (up to 3.5 s were measured on a machine with much to do), and counts in whole seconds.
pub(crate) const MARGIN: Duration = Duration::from_secs(4);
/// When to make a last attempt, before the deadline, where a server asked for a longer pause than is left.
pub(crate) const LAST_TRY: Duration = Duration::from_secs(2);
/// How long the first answer after SIGTERM may take.
const HASTY: Duration = Duration::from_millis(1500);
/// How long an answer usually may take.
const PATIENT: Duration = Duration::from_secs(10);
/// The same for the first checks: a failure has to be said within five seconds.
const PROMPT: Duration = Duration::from_millis(4500);
/// A question that has less time than this is not asked.
const LEAST_PATIENCE: Duration = Duration::from_millis(100);
/// How often the drain file is written anew while the agent container's hook waits: it waits for five seconds.
const BEAT: Duration = Duration::from_secs(1);

/// A question that should be asked.
pub(crate) struct Wanted {
    pub(crate) at: Time,
    question: AdoRequest,
    patience: Duration,
    /// Whether it needs a token; all but one do.
    with_token: bool,
}

/// What follows from the state, whatever event brought it about.
impl Lifecycle {
    /// Does everything that is due. Each step either changes the state so that it is no longer due, or does nothing.
    pub(crate) fn settle(&mut self) {
        if let Some(open) = &self.questions.open
            && open.give_up.is_some_and(|at| at <= self.now)
        {
            self.questions.open = None;
        }
        self.admit();
        self.exchange();
        self.write_file();
        self.finish();
        self.ask();
        self.drain();
        self.report();
        self.persist();
    }

    /// Lets the agent start once everything was checked and the token file is there.
    fn admit(&mut self) {
        if matches!(self.phase, Phase::Starting(Preflight::Passed)) && self.file.was_written {
            self.kept.admitted = true;
            self.forget_trouble();
            self.phase = Phase::Serving(Serving::new(&self.kept, &mut self.jitter, self.now));
        }
    }

    pub(crate) fn exchange_due(&self) -> Option<(Time, &'static str)> {
        match self.phase {
            Phase::Starting(_) | Phase::Serving(_) | Phase::Leaving(_) => {
                self.tenant().and_then(|_| self.token.due(&self.kept))
            }
            Phase::Refused(_) | Phase::Ended(_) => None,
        }
    }

    fn exchange(&mut self) {
        let is_due = self.exchange_due().is_some_and(|due| due.0 <= self.now);
        if let (true, Some(tenant)) = (is_due, self.tenant()) {
            let tenant = tenant.to_owned();
            self.token.asked(self.now);
            self.push(Command::RequestToken { tenant });
        }
    }

    pub(crate) fn file_due(&self) -> Option<(Time, TokenId)> {
        self.file.due(self.token.newest().map(|held| held.id))
    }

    fn write_file(&mut self) {
        if let Some((at, token)) = self.file_due()
            && at <= self.now
        {
            self.file.writing(token);
            self.push(Command::WriteTokenFile(token));
        }
    }

    /// What the agent container's hook is to read now.
    fn drain_state(&self) -> Drain {
        match &self.phase {
            Phase::Starting(_) | Phase::Serving(_) => Drain::Serving,
            Phase::Refused(_) if self.kept.leaving_since.is_none() => Drain::Serving,
            Phase::Leaving(removal) if removal.outcome().is_none() => Drain::Draining {
                beat: self.now.0.as_secs(),
            },
            Phase::Refused(_) | Phase::Leaving(_) | Phase::Ended(_) => Drain::Drained,
        }
    }

    /// When to write the drain file; never after SIGTERM, when no hook waits any more.
    pub(crate) fn drain_due(&self) -> Option<Time> {
        match &self.phase {
            Phase::Ended(_) => return None,
            Phase::Leaving(removal) if removal.terminated.is_some() => return None,
            Phase::Refused(_) | Phase::Starting(_) | Phase::Serving(_) | Phase::Leaving(_) => {}
        }
        match (self.drain_state(), self.shown) {
            (Drain::Draining { .. }, Some((Drain::Draining { .. }, at))) => Some(at.plus(BEAT)),
            (state, Some((shown, _))) if state == shown => None,
            (_, _) => Some(self.now),
        }
    }

    fn drain(&mut self) {
        if self.drain_due().is_some_and(|at| at <= self.now) {
            let state = self.drain_state();
            self.shown = Some((state, self.now));
            self.push(Command::WriteDrainFile(state));
        }
    }

    /// By when the process has to have ended; `None` before SIGTERM.
    pub(crate) fn deadline(&self) -> Option<Time> {
        let Phase::Leaving(removal) = &self.phase else {
            return None;
        };
        let terminated = removal.terminated?;
        let left = self.kept.leaving_since.unwrap_or(terminated);
        let grace = self.settings.grace.saturating_sub(MARGIN);
        Some(terminated.plus(LAST_MOMENT).max(left.plus(grace)))
    }

    /// Ends the process when nothing is left to do, or no time.
    fn finish(&mut self) {
        let Some(deadline) = self.deadline() else { return };
        let Phase::Leaving(removal) = &self.phase else { return };
        let outcome = match removal.outcome() {
            Some(outcome) => outcome.clone(),
            None if deadline <= self.now => self.outcome_at_the_deadline(removal),
            None => return,
        };
        self.end(outcome);
    }

    fn outcome_at_the_deadline(&self, removal: &Removal) -> Outcome {
        if let Some(outcome) = removal.outcome_before_verifying() {
            return outcome;
        }
        let is_busy = removal.target().is_some_and(|target| target.busy);
        let (reason, why) = match &self.trouble {
            _ if self.token.usable(self.now).is_none() => (Reason::LeftWithoutToken, self.why_no_token()),
            Some((Some(AdoErrorKind::Unauthorized), trouble)) => (Reason::LeftWithoutToken, trouble.sentence.clone()),
            Some((
                Some(
                    AdoErrorKind::Unreachable
                    | AdoErrorKind::UnexpectedResponse
                    | AdoErrorKind::Unavailable
                    | AdoErrorKind::Throttled,
                ),
                trouble,
            )) => (Reason::LeftUnreachable, trouble.sentence.clone()),
            Some((_, trouble)) => (Reason::LeftRefused, trouble.sentence.clone()),
            None if is_busy => (Reason::JobStillAssigned, sentences::job_still_assigned(&self.settings)),
            None => (Reason::LeftUnreachable, sentences::no_answer(&self.settings)),
        };
        let name = removal.target().map(|target| target.name.as_str());
        Outcome {
            reason,
            sentence: sentences::left(name, &self.settings, &why),
        }
    }

    fn why_no_token(&self) -> String {
        self.token_trouble()
            .map_or_else(sentences::no_token, |trouble| trouble.sentence)
    }

    pub(crate) fn end(&mut self, outcome: Outcome) {
        self.kept.ended = true;
        self.phase = Phase::Ended(outcome.clone());
        self.push(Command::Exit(outcome));
    }

    /// What should be asked next, and when; `None` while a question is open or nothing can be asked.
    pub(crate) fn wanted(&self) -> Option<Wanted> {
        if self.questions.open.is_some() {
            return None;
        }
        let earliest = self.now.max(self.kept.ado_not_before.unwrap_or_default());
        let (at, question) = if self.tenant().is_none() {
            match &self.phase {
                Phase::Starting(_) | Phase::Serving(_) => (earliest, AdoRequest::Tenant),
                Phase::Leaving(removal) if removal.outcome().is_none() => (earliest, AdoRequest::Tenant),
                Phase::Refused(_) | Phase::Leaving(_) | Phase::Ended(_) => return None,
            }
        } else {
            self.token.usable(self.now)?;
            self.wanted_of_phase(earliest)?
        };
        let at = self.not_after_last_try(at);
        let patience = self.patience(at);
        (patience >= LEAST_PATIENCE).then(|| Wanted {
            at,
            patience,
            with_token: question != AdoRequest::Tenant,
            question,
        })
    }

    fn wanted_of_phase(&self, earliest: Time) -> Option<(Time, AdoRequest)> {
        let pool = self.kept.pool;
        let name = || self.settings.agent_name.clone();
        match &self.phase {
            Phase::Starting(preflight) => match pool {
                None => Some((earliest, AdoRequest::PoolByName(self.settings.pool.clone()))),
                Some(pool) => Some((earliest, preflight.question(pool, &self.settings)?)),
            },
            Phase::Serving(serving) => {
                let may_ask = self.questions.asked < BUDGET;
                let (at, task) = serving.task(&self.kept, may_ask)?;
                let question = match (pool, task) {
                    (None, _) => AdoRequest::PoolByName(self.settings.pool.clone()),
                    (Some(pool), Task::Check) => AdoRequest::AgentByName(pool, name()),
                    (Some(pool), Task::LookAtDisabled(id)) => AdoRequest::Agent(pool, id),
                    (Some(pool), Task::Enable(id)) => AdoRequest::SetAvailability(pool, id, Availability::Enabled),
                };
                Some((at.max(earliest), question))
            }
            Phase::Leaving(removal) => removal.question(pool, &self.settings, &self.kept, earliest),
            Phase::Refused(_) | Phase::Ended(_) => None,
        }
    }

    /// A pause that would outlast the pod is cut to one last attempt shortly before the end.
    fn not_after_last_try(&self, at: Time) -> Time {
        match self.deadline() {
            Some(deadline) if !self.last_try_made => at.min(Time(deadline.0.saturating_sub(LAST_TRY))).max(self.now),
            Some(_) | None => at,
        }
    }

    fn patience(&self, at: Time) -> Duration {
        match &self.phase {
            Phase::Starting(_) if self.kept.ado_failures == 0 => PROMPT,
            Phase::Refused(_) | Phase::Starting(_) | Phase::Serving(_) | Phase::Ended(_) => PATIENT,
            Phase::Leaving(removal) => match (removal.terminated, self.deadline()) {
                (Some(terminated), Some(deadline)) => {
                    let usual = if at.since(terminated) < LAST_TRY {
                        HASTY
                    } else {
                        PATIENT
                    };
                    usual.min(deadline.since(at))
                }
                (None, _) | (_, None) => PATIENT,
            },
        }
    }

    fn ask(&mut self) {
        let Some(wanted) = self.wanted() else { return };
        if wanted.at > self.now {
            return;
        }
        if let Some(deadline) = self.deadline() {
            self.last_try_made |= self.now.plus(LAST_TRY) >= deadline;
        }
        let Wanted {
            question,
            patience,
            with_token,
            ..
        } = wanted;
        let token = self.token.usable(self.now).filter(|_| with_token);
        let counts = !matches!(&self.phase, Phase::Leaving(removal) if removal.is_waiting());
        self.with_removal(|removal, surroundings| removal.asked(&question, surroundings));
        let number = self.questions.ask(question.clone(), token, counts, self.now);
        self.push(Command::CallAdo {
            number,
            token,
            request: question,
            timeout: patience,
        });
    }

    fn report(&mut self) {
        if matches!(self.phase, Phase::Ended(_)) {
            return;
        }
        let status = self.status();
        if self.reported.as_ref() != Some(&status) {
            self.reported = Some(status.clone());
            self.push(Command::Report(status));
        }
    }

    /// Queues a command; what it presupposes is persisted before it.
    fn push(&mut self, command: Command) {
        self.persist();
        self.commands.push_back(command);
    }

    fn persist(&mut self) {
        if self.persisted.as_ref() != Some(&self.kept) {
            self.persisted = Some(self.kept.clone());
            self.commands.push_back(Command::Persist(self.kept.clone()));
        }
    }
}
