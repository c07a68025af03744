//! The machine: phases, and what each event and each deadline does to them.

use crate::backoff::Jitter;
use crate::file::File;
use crate::ownership::owner;
use crate::preflight::Preflight;
use crate::questions::{BUDGET, Open, Questions};
use crate::removal::{self, Removal, Surroundings};
use crate::sentences::{self, Trouble};
use crate::serving::{Serving, Task};
use crate::token::Token;
use crate::{
    AgentId, Answer, Command, Event, Failure, FailureKind, Outcome, Question, Refusal, ServerTime, Settings, Snapshot,
    Status, Time,
};
use contract::Reason;
use std::collections::VecDeque;
use std::time::Duration;

/// What is left of the two seconds after SIGTERM once the process has to be gone by itself.
const LAST_MOMENT: Duration = Duration::from_millis(1800);
/// How long before the end of the grace period the process ends by itself: the kubelet counts in whole seconds and began before us.
const MARGIN: Duration = Duration::from_millis(1500);
/// When to make a last attempt, before the deadline, where a server asked for a longer pause than is left.
const LAST_TRY: Duration = Duration::from_secs(2);
/// How long the first answer after SIGTERM may take.
const HASTY: Duration = Duration::from_millis(1500);
/// How long an answer usually may take.
const PATIENT: Duration = Duration::from_secs(10);
/// The same for the first checks: a failure has to be said within five seconds.
const PROMPT: Duration = Duration::from_millis(4500);
/// How long to go on waiting for an answer that is already on its way when SIGTERM comes.
const ON_ITS_WAY: Duration = Duration::from_millis(900);

/// Where the sidecar stands; see the diagram in the crate's documentation.
#[derive(Debug)]
pub(crate) enum Phase {
    /// The pod's settings can never work: nobody is asked for anything.
    Refused(Refusal),
    /// The first token, the first file and the checks; the agent may not start yet.
    Starting(Preflight),
    /// The agent may run; the token is kept fresh.
    Serving(Serving),
    /// The pod leaves: the agent is removed.
    Leaving(Removal),
    /// Nothing comes after this.
    Ended(Outcome),
}

/// The state machine of one sidecar.
#[derive(Debug)]
pub struct Lifecycle {
    pub(crate) settings: Settings,
    jitter: Jitter,
    /// When this run started.
    started: Time,
    /// The latest time that was passed in.
    pub(crate) now: Time,
    pub(crate) phase: Phase,
    pub(crate) kept: Snapshot,
    persisted: Option<Snapshot>,
    pub(crate) token: Token,
    pub(crate) file: File,
    pub(crate) questions: Questions,
    /// What is wrong with Azure DevOps, with the kind of failure where there was one.
    pub(crate) trouble: Option<(Option<FailureKind>, Trouble)>,
    last_try_made: bool,
    reported: Option<Status>,
    commands: VecDeque<Command>,
}

impl Lifecycle {
    /// A machine that starts at `now`. `restored` is what the previous run of this container persisted, if any; `seed`
    /// makes the jitter of this pod different from that of its siblings.
    pub fn new(settings: Settings, restored: Option<Snapshot>, seed: u64, now: Time) -> Self {
        let mut kept = restored.clone().unwrap_or_default();
        // While a pod terminates nothing is restarted. So a run that ended by itself, or one that outlived the grace,
        // belongs to a pod that lives on (its container was replaced): a new life begins.
        let outlived = kept
            .leaving_since
            .is_some_and(|since| now.since(since) > settings.grace.saturating_add(Duration::from_secs(60)));
        if kept.ended || outlived {
            kept.ended = false;
            kept.leaving_since = None;
        }
        let phase = match &settings.refusal {
            Some(refusal) => Phase::Refused(refusal.clone()),
            None if kept.leaving_since.is_some() && kept.admitted => Phase::Leaving(Removal::new(false, &kept)),
            None if kept.leaving_since.is_some() => Phase::Leaving(Removal::of_nothing("")),
            None if kept.admitted => Phase::Serving(Serving::new(&kept, &mut Jitter::new(seed), now)),
            None => Phase::Starting(Preflight::Role),
        };
        let mut lifecycle = Self {
            settings,
            jitter: Jitter::new(seed),
            started: now,
            now,
            phase,
            kept,
            persisted: restored,
            token: Token::default(),
            file: File::default(),
            questions: Questions::default(),
            trouble: None,
            last_try_made: false,
            reported: None,
            commands: VecDeque::new(),
        };
        lifecycle.settle();
        lifecycle
    }

    /// Something happened.
    pub fn handle(&mut self, event: Event, now: Time) {
        self.now = self.now.max(now);
        if matches!(self.phase, Phase::Ended(_)) {
            return;
        }
        match event {
            Event::TokenIssued {
                token,
                lifetime,
                refresh_in,
            } => {
                self.token
                    .issued(token, lifetime, refresh_in, &mut self.kept, &mut self.jitter, self.now);
                // What Azure DevOps refused the old token is worth asking with the new one at once.
                if self.is_refused_for_its_token() {
                    self.kept.ado_not_before = None;
                }
            }
            Event::TokenRefused(refusal) => {
                self.token.refused(refusal, &mut self.kept, &mut self.jitter, self.now);
            }
            Event::TokenFileWritten(token) => self.file.written(token),
            Event::TokenFileFailed(trouble) => self.file.failed(trouble, self.now),
            Event::TokenFileRemoved => self.file.removed(self.now),
            Event::Answer {
                number,
                result,
                retry_after,
                date,
            } => self.answered(number, result, retry_after, date),
            Event::PreStop => self.leave(),
            Event::Terminate => self.terminate(),
        }
        self.settle();
    }

    /// A deadline may have passed.
    pub fn handle_timeout(&mut self, now: Time) {
        self.now = self.now.max(now);
        if !matches!(self.phase, Phase::Ended(_)) {
            self.settle();
        }
    }

    /// When to call [`Self::handle_timeout`] next, and why; `None`: not before the next event.
    pub fn poll_timeout(&self) -> Option<(Time, &'static str)> {
        if matches!(self.phase, Phase::Ended(_)) {
            return None;
        }
        let give_up = self.questions.open.as_ref().and_then(|open| open.give_up);
        let expiry = self.token.newest().map(|held| held.expires);
        [
            self.exchange_due(),
            self.file_due().map(|(at, _)| (at, "the token file is written")),
            self.wanted().map(|wanted| (wanted.at, "Azure DevOps is asked")),
            give_up.map(|at| (at, "an answer is no longer waited for")),
            expiry.filter(|at| *at > self.now).map(|at| (at, "the token expires")),
            self.deadline().map(|at| (at, "the grace period ends")),
        ]
        .into_iter()
        .flatten()
        .min_by_key(|deadline| deadline.0)
    }

    /// The next thing to do; to be called until it is `None`.
    pub fn poll_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// The tenant that tokens are asked at, once it is known.
    pub(crate) fn tenant(&self) -> Option<&str> {
        self.settings.tenant.as_deref().or(self.kept.tenant.as_deref())
    }

    fn is_refused_for_its_token(&self) -> bool {
        matches!(&self.trouble, Some((Some(FailureKind::Unauthorized), _)))
    }

    /// The `preStop` hook, or SIGTERM without one.
    fn leave(&mut self) {
        self.kept.leaving_since = Some(self.now);
        let removal = match &self.phase {
            Phase::Refused(_) | Phase::Leaving(_) | Phase::Ended(_) => return,
            Phase::Starting(_) => {
                let why = self.status().sentence;
                Removal::of_nothing(&why)
            }
            Phase::Serving(serving) => Removal::new(serving.looked_in_vain, &self.kept),
        };
        self.phase = Phase::Leaving(removal);
        self.forget_trouble();
        self.token.leave(self.now);
    }

    fn terminate(&mut self) {
        if self.kept.leaving_since.is_none() {
            self.leave();
        }
        if let Phase::Refused(refusal) = &self.phase {
            let sentence = sentences::never_started(&refusal.sentence);
            return self.end(Outcome {
                reason: Reason::NeverRegistered,
                sentence,
            });
        }
        let verify = self.questions.asked < BUDGET && self.token.usable(self.now).is_some();
        self.with_removal(|removal, surroundings| {
            if removal.terminated.is_none() {
                removal.terminate(verify, surroundings);
            }
        });
        // The first question after SIGTERM goes out whatever was before; there may be two seconds only.
        self.forget_trouble();
        self.hurry();
        self.last_try_made = self
            .deadline()
            .is_none_or(|deadline| self.now.plus(LAST_TRY) >= deadline);
    }

    /// Gives up the open question, unless its answer is what we need and may still come in time.
    fn hurry(&mut self) {
        let Some(open) = &mut self.questions.open else { return };
        let Phase::Leaving(removal) = &self.phase else { return };
        let is_useful = match open.question {
            Question::Delete(..) => true,
            Question::AgentByName(..)
            | Question::Agents(_)
            | Question::Agent(..)
            | Question::Tenant
            | Question::Pool => removal.target().is_none(),
            Question::MayManage(_) | Question::SetEnabled(..) => false,
        };
        if is_useful && self.now.since(open.asked) < ON_ITS_WAY {
            open.give_up = Some(self.now.plus(ON_ITS_WAY));
        } else {
            self.questions.open = None;
        }
    }

    fn forget_trouble(&mut self) {
        self.trouble = None;
        self.questions.forgive(&mut self.kept);
    }

    fn answered(
        &mut self,
        number: u64,
        result: Result<Answer, Failure>,
        retry_after: Option<Duration>,
        date: Option<ServerTime>,
    ) {
        let Some(open) = self.questions.close(number) else {
            return;
        };
        if let (None, Some(date)) = (self.kept.started, date) {
            let ago = i64::try_from(self.now.since(self.started).as_secs()).unwrap_or(i64::MAX);
            self.kept.started = Some(ServerTime(date.0.saturating_sub(ago)));
        }
        let outcome = match self.take_answer(&open, result) {
            Ok(()) => Ok(()),
            Err(wrong) => Err(wrong),
        };
        match outcome {
            Ok(()) => {
                self.questions
                    .succeeded(&open.question, retry_after, &mut self.kept, &mut self.jitter, self.now);
                if !self.questions.is_failing() {
                    self.trouble = None;
                }
            }
            Err((kind, trouble)) => {
                self.questions
                    .failed(&open.question, retry_after, &mut self.kept, &mut self.jitter, self.now);
                if kind == Some(FailureKind::Unauthorized) {
                    self.token.renew(open.token);
                    if self.token.is_newer_than(open.token) {
                        self.kept.ado_not_before = None;
                    }
                }
                self.trouble = Some((kind, trouble));
                self.note_failed_check(&open.question);
            }
        }
    }

    /// What an answer means in this phase. `Err`: something is wrong, and the next question has to wait.
    fn take_answer(
        &mut self,
        open: &Open,
        result: Result<Answer, Failure>,
    ) -> Result<(), (Option<FailureKind>, Trouble)> {
        match (&open.question, result) {
            (Question::Tenant, Ok(Answer::Tenant(Some(tenant)))) => {
                self.kept.tenant = Some(tenant);
                Ok(())
            }
            (Question::Tenant, Ok(Answer::Tenant(None))) => Err((None, sentences::no_tenant(&self.settings))),
            (Question::Pool, Ok(Answer::Pool(Some(pool)))) => {
                self.kept.pool = Some(pool);
                Ok(())
            }
            (Question::Pool, Ok(Answer::Pool(None))) => {
                Err((Some(FailureKind::NotFound), sentences::pool_missing(&self.settings)))
            }
            (Question::Tenant | Question::Pool, Ok(_)) => Err(self.failed(open, sentences::odd_answer())),
            (Question::Tenant | Question::Pool, Err(failure)) => Err(self.failed(open, failure)),
            (_, result) => match &mut self.phase {
                Phase::Starting(_) => self.checked(open, result),
                Phase::Serving(_) => self.served(open, result),
                Phase::Leaving(_) => {
                    let mut taken = Ok(());
                    self.with_removal(|removal, surroundings| {
                        taken = removal.answered(&open.question, result, surroundings);
                    });
                    taken.map_err(|failure| self.failed(open, failure))
                }
                Phase::Refused(_) | Phase::Ended(_) => Ok(()),
            },
        }
    }

    /// An answer to a check before the agent may start.
    fn checked(&mut self, open: &Open, result: Result<Answer, Failure>) -> Result<(), (Option<FailureKind>, Trouble)> {
        let Phase::Starting(preflight) = &mut self.phase else {
            return Ok(());
        };
        let checked = match (&open.question, result) {
            (Question::MayManage(_), Ok(Answer::MayManage(may_manage))) => preflight.role(may_manage, &self.settings),
            (Question::AgentByName(..), Ok(Answer::Agents(agents))) => {
                preflight.name(&agents, &self.settings, &self.kept).map(|left_over| {
                    if left_over {
                        let sentence = sentences::name_left_over(&self.settings);
                        self.commands.push_back(Command::Note {
                            warning: false,
                            reason: Reason::NameTaken,
                            sentence,
                        });
                    }
                })
            }
            (_, Ok(_)) => return Err(self.failed(open, sentences::odd_answer())),
            (_, Err(failure)) => return Err(self.failed(open, failure)),
        };
        checked.map_err(|trouble| (None, trouble))
    }

    /// An answer while the agent may run.
    fn served(&mut self, open: &Open, result: Result<Answer, Failure>) -> Result<(), (Option<FailureKind>, Trouble)> {
        match (&open.question, result) {
            (Question::AgentByName(..), Ok(Answer::Agents(agents))) => {
                let ours = agents
                    .into_iter()
                    .find(|agent| owner(agent, &self.settings, self.kept.started).is_us());
                if let Some(agent) = &ours {
                    self.with_surroundings(|surroundings| removal::pin(agent, surroundings));
                }
                if let Phase::Serving(serving) = &mut self.phase {
                    serving.checked(ours.is_some(), &mut self.jitter, self.now);
                }
                Ok(())
            }
            (Question::Agent(_, id), Ok(Answer::Agents(agents))) => {
                let ours = agents
                    .iter()
                    .find(|agent| agent.id == *id && owner(agent, &self.settings, self.kept.started).is_us());
                self.enable(ours.filter(|agent| !agent.enabled).map(|agent| agent.id));
                Ok(())
            }
            (Question::SetEnabled(..), Ok(Answer::Done)) => {
                self.enable(None);
                Ok(())
            }
            (Question::Agent(..) | Question::SetEnabled(..), Err(failure)) if failure.kind == FailureKind::NotFound => {
                self.enable(None);
                Ok(())
            }
            (_, Ok(_)) => Err(self.failed(open, sentences::odd_answer())),
            (_, Err(failure)) => Err(self.failed(open, failure)),
        }
    }

    /// The agent that we disabled is to be enabled now; or, with `None`, there is none any more.
    fn enable(&mut self, agent: Option<AgentId>) {
        if let Phase::Serving(serving) = &mut self.phase {
            serving.proven_disabled = agent;
        }
        if agent.is_none() {
            self.kept.disabled = None;
        }
    }

    /// A look for the registration is not repeated and not worth a status: it is only noted.
    fn note_failed_check(&mut self, question: &Question) {
        let Phase::Serving(serving) = &mut self.phase else {
            return;
        };
        if !matches!(question, Question::AgentByName(..)) {
            return;
        }
        serving.check_failed(&mut self.jitter, self.now);
        if let Some((_, trouble)) = self.trouble.take() {
            let sentence = sentences::check_failed(&trouble);
            self.commands.push_back(Command::Note {
                warning: true,
                reason: trouble.reason,
                sentence,
            });
        }
    }

    fn failed(&mut self, open: &Open, failure: Failure) -> (Option<FailureKind>, Trouble) {
        let trouble = sentences::ask_failed(&self.settings, self.tenant(), &open.question, &failure);
        if failure.kind == FailureKind::NotFound {
            // Somebody may have made the pool anew: its name is looked up again.
            self.kept.pool = None;
        }
        if trouble.reason == Reason::TenantMismatch && self.settings.tenant.is_none() {
            self.kept.tenant = failure.tenant;
        }
        (Some(failure.kind), trouble)
    }

    fn with_surroundings(&mut self, act: impl FnOnce(&mut Surroundings<'_>)) {
        let mut warnings = Vec::new();
        act(&mut Surroundings {
            settings: &self.settings,
            kept: &mut self.kept,
            jitter: &mut self.jitter,
            warnings: &mut warnings,
            now: self.now,
        });
        self.warn(warnings);
    }

    fn with_removal(&mut self, act: impl FnOnce(&mut Removal, &mut Surroundings<'_>)) {
        let mut warnings = Vec::new();
        if let Phase::Leaving(removal) = &mut self.phase {
            act(
                removal,
                &mut Surroundings {
                    settings: &self.settings,
                    kept: &mut self.kept,
                    jitter: &mut self.jitter,
                    warnings: &mut warnings,
                    now: self.now,
                },
            );
        }
        self.warn(warnings);
    }

    fn warn(&mut self, warnings: Vec<(Reason, String)>) {
        for (reason, sentence) in warnings {
            self.commands.push_back(Command::Note {
                warning: true,
                reason,
                sentence,
            });
        }
    }
}

/// A question that should be asked.
struct Wanted {
    at: Time,
    question: Question,
    patience: Duration,
    /// Whether it needs a token; all but one do.
    with_token: bool,
}

/// What follows from the state, whatever event brought it about.
impl Lifecycle {
    /// Does everything that is due. Each step either changes the state so that it is no longer due, or does nothing.
    fn settle(&mut self) {
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
        self.report();
        self.persist();
    }

    /// Lets the agent start once everything was checked and the token file is there.
    fn admit(&mut self) {
        if matches!(self.phase, Phase::Starting(Preflight::Passed)) && self.file.was_written {
            self.kept.admitted = true;
            self.phase = Phase::Serving(Serving::new(&self.kept, &mut self.jitter, self.now));
        }
    }

    fn exchange_due(&self) -> Option<(Time, &'static str)> {
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

    fn file_due(&self) -> Option<(Time, crate::TokenId)> {
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

    /// By when the process has to have ended; `None` before SIGTERM.
    fn deadline(&self) -> Option<Time> {
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
            return outcome.clone();
        }
        let is_busy = removal.target().is_some_and(|target| target.busy);
        let (reason, why) = match &self.trouble {
            _ if self.token.usable(self.now).is_none() => (Reason::LeftWithoutToken, self.why_no_token()),
            Some((Some(FailureKind::Unauthorized), trouble)) => (Reason::LeftWithoutToken, trouble.sentence.clone()),
            Some((
                Some(
                    FailureKind::Unreachable | FailureKind::Garbled | FailureKind::Unavailable | FailureKind::Throttled,
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

    fn end(&mut self, outcome: Outcome) {
        self.kept.ended = true;
        self.phase = Phase::Ended(outcome.clone());
        self.push(Command::Exit(outcome));
    }

    /// What should be asked next, and when; `None` while a question is open or nothing can be asked.
    fn wanted(&self) -> Option<Wanted> {
        if self.questions.open.is_some() {
            return None;
        }
        let earliest = self.now.max(self.kept.ado_not_before.unwrap_or_default());
        let (at, question) = if self.tenant().is_none() {
            match &self.phase {
                Phase::Starting(_) | Phase::Serving(_) => (earliest, Question::Tenant),
                Phase::Leaving(removal) if removal.outcome().is_none() => (earliest, Question::Tenant),
                Phase::Refused(_) | Phase::Leaving(_) | Phase::Ended(_) => return None,
            }
        } else {
            self.token.usable(self.now)?;
            self.wanted_of_phase(earliest)?
        };
        let at = self.not_after_last_try(at);
        Some(Wanted {
            at,
            patience: self.patience(at),
            with_token: question != Question::Tenant,
            question,
        })
    }

    fn wanted_of_phase(&self, earliest: Time) -> Option<(Time, Question)> {
        let pool = self.kept.pool;
        let name = || self.settings.agent_name.clone();
        match &self.phase {
            Phase::Starting(preflight) => match pool {
                None => Some((earliest, Question::Pool)),
                Some(pool) => Some((earliest, preflight.question(pool, &self.settings)?)),
            },
            Phase::Serving(serving) => {
                let may_ask = self.questions.asked < BUDGET;
                let (at, task) = serving.task(&self.kept, may_ask)?;
                let question = match (pool, task) {
                    (None, _) => Question::Pool,
                    (Some(pool), Task::Check) => Question::AgentByName(pool, name()),
                    (Some(pool), Task::LookAtDisabled(id)) => Question::Agent(pool, id),
                    (Some(pool), Task::Enable(id)) => Question::SetEnabled(pool, id, true),
                };
                Some((at.max(earliest), question))
            }
            Phase::Leaving(removal) => {
                // A search that is made again is one of those that are merely useful.
                if removal.outcome().is_some() && self.questions.asked.saturating_add(2) > BUDGET {
                    return None;
                }
                match pool {
                    Some(pool) => removal.question(pool, &self.settings, earliest),
                    None if removal.outcome().is_some() => None,
                    None => Some((earliest, Question::Pool)),
                }
            }
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
        if wanted.at > self.now || wanted.patience.is_zero() {
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
        let counts = !matches!(&self.phase, Phase::Leaving(removal) if removal.is_waiting_for_job());
        self.with_removal(|removal, surroundings| removal.asked(&question, surroundings));
        let number = self.questions.ask(question.clone(), token, counts, self.now);
        self.push(Command::Ask {
            number,
            token,
            question,
            patience,
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
