//! The machine: phases, and what each event and each deadline does to them.

use crate::backoff::{self, Jitter};
use crate::due::LAST_TRY;
use crate::file::File;
use crate::preflight::Preflight;
use crate::questions::{BUDGET, Questions};
use crate::removal::{Removal, Surroundings};
use crate::sentences::{self, Trouble};
use crate::serving::Serving;
use crate::token::Token;
use crate::{Command, Event, Outcome, Refusal, Settings, Snapshot, Status, Time};
use azure_protocol::{AdoErrorKind, AdoRequest};
use contract::{Drain, Reason};
use std::collections::VecDeque;
use std::time::Duration;

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
    Leaving(Box<Removal>),
    /// Nothing comes after this.
    Ended(Outcome),
}

/// The state machine of one sidecar.
#[derive(Debug)]
pub struct Lifecycle {
    pub(crate) settings: Settings,
    pub(crate) jitter: Jitter,
    /// When this run started.
    pub(crate) started: Time,
    /// The latest time that was passed in.
    pub(crate) now: Time,
    pub(crate) phase: Phase,
    pub(crate) kept: Snapshot,
    pub(crate) persisted: Option<Snapshot>,
    pub(crate) token: Token,
    pub(crate) file: File,
    pub(crate) questions: Questions,
    /// What is wrong with Azure DevOps, with the kind of failure where there was one.
    pub(crate) trouble: Option<(Option<AdoErrorKind>, Trouble)>,
    pub(crate) last_try_made: bool,
    pub(crate) reported: Option<Status>,
    /// What the drain file was made to say last, and when.
    pub(crate) shown: Option<(Drain, Time)>,
    pub(crate) commands: VecDeque<Command>,
}

impl Lifecycle {
    /// A machine that starts at `now`. `restored` is what the previous run of this container persisted, if any; `seed`
    /// makes the jitter of this pod different from that of its siblings.
    pub fn new(settings: Settings, restored: Option<Snapshot>, seed: u64, now: Time) -> Self {
        let mut kept = restored.clone().unwrap_or_default();
        // What no run of this boot can have written is not believed: nothing began later than now, and no pause is that long.
        let longest = now.plus(backoff::LONGEST);
        for pause in [&mut kept.exchange_not_before, &mut kept.ado_not_before] {
            *pause = pause.map(|until| until.min(longest));
        }
        kept.leaving_since = kept.leaving_since.map(|since| since.min(now));
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
            None if kept.leaving_since.is_some() && kept.admitted => {
                Phase::Leaving(Box::new(removal(false, &kept, &settings)))
            }
            None if kept.leaving_since.is_some() => Phase::Leaving(Box::new(Removal::of_nothing(""))),
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
            shown: None,
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
            Event::AdoResponded {
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
            self.drain_due().map(|at| (at, "the drain file is written")),
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
        matches!(&self.trouble, Some((Some(AdoErrorKind::Unauthorized), _)))
    }

    /// The `preStop` hook, or SIGTERM without one. A second hook means that the kubelet was restarted and counts the grace
    /// anew; after SIGTERM only the end that was promised first is sure.
    fn leave(&mut self) {
        if matches!(&self.phase, Phase::Leaving(removal) if removal.terminated.is_some()) {
            return;
        }
        self.kept.leaving_since = Some(self.now);
        let removal = match &mut self.phase {
            Phase::Refused(_) | Phase::Ended(_) => return,
            Phase::Leaving(removal) => return removal.begin_again(),
            Phase::Starting(_) => {
                let why = self.status().sentence;
                Removal::of_nothing(&why)
            }
            Phase::Serving(serving) => {
                let mut removal = removal(serving.looked_in_vain, &self.kept, &self.settings);
                removal.was_missed = serving.saw_nothing();
                removal
            }
        };
        self.phase = Phase::Leaving(Box::new(removal));
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
                reason: Reason::NeverSeen,
                sentence,
            });
        }
        let spare = match self.token.usable(self.now) {
            Some(_) => BUDGET.saturating_sub(self.questions.asked),
            None => 0,
        };
        self.with_removal(|removal, surroundings| {
            if removal.terminated.is_none() {
                removal.terminate(spare, surroundings);
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
            AdoRequest::Delete(..) => true,
            AdoRequest::AgentByName(..)
            | AdoRequest::Agents(..)
            | AdoRequest::Agent(..)
            | AdoRequest::Tenant
            | AdoRequest::PoolByName(_) => removal.target().is_none(),
            AdoRequest::MayManage(_) | AdoRequest::SetAvailability(..) => false,
        };
        if is_useful && self.now.since(open.asked) < ON_ITS_WAY {
            open.give_up = Some(self.now.plus(ON_ITS_WAY));
        } else {
            self.questions.open = None;
        }
    }

    pub(crate) fn forget_trouble(&mut self) {
        self.trouble = None;
        self.questions.forgive(&mut self.kept);
    }

    pub(crate) fn with_surroundings(&mut self, act: impl FnOnce(&mut Surroundings<'_>)) {
        self.with_phase(|_, surroundings| act(surroundings));
    }

    pub(crate) fn with_removal(&mut self, act: impl FnOnce(&mut Removal, &mut Surroundings<'_>)) {
        self.with_phase(|phase, surroundings| {
            if let Phase::Leaving(removal) = phase {
                act(removal, surroundings);
            }
        });
    }

    fn with_phase(&mut self, act: impl FnOnce(&mut Phase, &mut Surroundings<'_>)) {
        let mut warnings = Vec::new();
        act(
            &mut self.phase,
            &mut Surroundings {
                settings: &self.settings,
                kept: &mut self.kept,
                jitter: &mut self.jitter,
                warnings: &mut warnings,
                now: self.now,
            },
        );
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

/// What the end of a pod is whose agent was let start.
fn removal(invents_names: bool, kept: &Snapshot, settings: &Settings) -> Removal {
    if settings.placeholder {
        Removal::of_a_placeholder(settings)
    } else {
        Removal::new(invents_names, kept)
    }
}
