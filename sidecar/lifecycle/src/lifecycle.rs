//! The machine: what each event and each deadline does to it, and in which order what is due is settled.

use crate::calls::{Calls, Open};
use crate::context::Context;
use crate::delivery::Delivery;
use crate::phase::Phase;
use crate::preflight::Preflight;
use crate::schedule::next_request;
use crate::serving::{Registration, Serving};
use crate::status::View;
use crate::token::Token;
use crate::token_file::TokenFile;
use crate::{Command, Event, Outcome, Refusal, Settings, Snapshot, Status, Time};
use azure_protocol::AdoRequest;
use contract::{Drain, Marker};
use std::time::Duration;

/// How often the drain file is rewritten while the agent container's hook waits: it waits for five seconds.
const BEAT: Duration = Duration::from_secs(1);

/// The state machine of one sidecar.
#[derive(Debug)]
pub struct Lifecycle {
    context: Context,
    phase: Phase,
    token: Token,
    delivery: Delivery,
    calls: Calls,
    reported: Option<Status>,
    /// What the drain file was made to say last, and when.
    drain_written: Option<(Drain, Time)>,
}

impl Lifecycle {
    /// A machine that starts at `now`. `restored` is what the previous run of this container persisted, if any; `seed`
    /// makes the jitter of this pod different from that of its siblings.
    pub fn new(settings: Settings, restored: Option<Snapshot>, seed: u64, now: Time) -> Self {
        let mut context = Context::new(settings, restored, seed, now);
        let phase = match context.snapshot.draining_since {
            Some(_) if context.snapshot.admitted => Phase::draining(Registration::Unknown, &context),
            Some(_) => Phase::never_started(""),
            None if context.snapshot.admitted => Phase::Serving(Serving::new(&mut context)),
            None => Phase::Starting(Preflight::Role),
        };
        Self::with(context, phase)
    }

    /// A machine for a configuration that can never work (unknown contract version, Azure DevOps Server, host not allowed,
    /// …): it makes no request, does not allow the agent to start, and says so until SIGTERM.
    pub fn refused(refusal: Refusal, restored: Option<Snapshot>, seed: u64, now: Time) -> Self {
        // Nothing of them is used: there is nobody to ask and no agent to look for.
        let settings = Settings {
            agent_name: String::new(),
            marker: Marker {
                cluster: String::new(),
                namespace: String::new(),
                pod: String::new(),
                uid: String::new(),
            },
            pool: String::new(),
            url: String::new(),
            client_id: String::new(),
            tenant: None,
            grace: Duration::ZERO,
            placeholder: false,
        };
        let context = Context::new(settings, restored, seed, now);
        Self::with(context, Phase::Refused(refusal))
    }

    fn with(context: Context, phase: Phase) -> Self {
        let mut lifecycle = Self {
            context,
            phase,
            token: Token::default(),
            delivery: Delivery::TokenFile(TokenFile::default()),
            calls: Calls::default(),
            reported: None,
            drain_written: None,
        };
        lifecycle.settle();
        lifecycle
    }

    /// Something happened.
    pub fn handle(&mut self, event: Event, now: Time) {
        self.context.now = self.context.now.max(now);
        if self.has_ended() {
            return;
        }
        let now = self.context.now;
        let Context { snapshot, jitter, .. } = &mut self.context;
        let Delivery::TokenFile(token_file) = &mut self.delivery;
        match event {
            Event::TokenIssued {
                token,
                lifetime,
                refresh_in,
            } => {
                self.token.issued(token, lifetime, refresh_in, snapshot, jitter, now);
                // The request that was refused with the old token is sent at once with the new one.
                if self.calls.is_unauthorized() {
                    snapshot.ado_not_before = None;
                }
            }
            Event::TokenRefused(error) => self.token.refused(error, snapshot, jitter, now),
            Event::TokenFileWritten(token) => token_file.written(token),
            Event::TokenFileFailed(trouble) => token_file.failed(trouble, now),
            Event::TokenFileRemoved => token_file.removed(now),
            Event::AdoResponded {
                number,
                result,
                retry_after,
                date,
            } => {
                if let Some(open) = self.calls.close(number) {
                    self.context.learn_start(date);
                    match self.phase.receive(&open, result, &mut self.calls, &mut self.context) {
                        Ok(()) => self.calls.succeeded(&open.request, retry_after, &mut self.context),
                        Err(problem) => {
                            self.calls
                                .failed(&open.request, problem, retry_after, &mut self.context);
                            self.after_failure(&open);
                        }
                    }
                }
            }
            Event::PreStop => self.drain(),
            Event::Terminate => self.terminate(),
        }
        self.settle();
    }

    /// A deadline may have passed.
    pub fn handle_timeout(&mut self, now: Time) {
        self.context.now = self.context.now.max(now);
        self.settle();
    }

    /// When to call [`Self::handle_timeout`] next, and why; `None`: not before the next event.
    pub fn poll_timeout(&self) -> Option<(Time, &'static str)> {
        if self.has_ended() {
            return None;
        }
        let now = self.context.now;
        let newest = self.token.newest();
        let next = next_request(&self.phase, &self.calls, &self.token, &self.context);
        [
            self.exchange_due(),
            self.delivery.due(newest.map(|token| token.id)),
            self.drain_file_due().map(|at| (at, "the drain file is written")),
            next.map(|planned| (planned.at, "Azure DevOps is asked")),
            self.calls
                .give_up_at()
                .map(|at| (at, "a response is no longer waited for")),
            newest
                .map(|token| token.expires)
                .filter(|at| *at > now)
                .map(|at| (at, "the token expires")),
            self.phase
                .deadline()
                .map(|deadline| (deadline.at(), "the grace period ends")),
        ]
        .into_iter()
        .flatten()
        .min_by_key(|deadline| deadline.0)
    }

    /// The next thing to do; to be called until it is `None`.
    pub fn poll_command(&mut self) -> Option<Command> {
        self.context.next_command()
    }

    /// What the probe answers and the termination message says now.
    pub fn status(&self) -> Status {
        self.view().status()
    }

    fn view(&self) -> View<'_> {
        View {
            context: &self.context,
            phase: &self.phase,
            token: &self.token,
            delivery: &self.delivery,
            calls: &self.calls,
        }
    }

    fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended(_))
    }

    fn after_failure(&mut self, open: &Open) {
        let is_unauthorized = self.calls.is_unauthorized();
        if is_unauthorized {
            self.token.renew(open.token);
        }
        if is_unauthorized && self.token.is_newer_than(open.token) {
            self.context.snapshot.ado_not_before = None;
        }
        if let (Phase::Serving(serving), AdoRequest::AgentByName(..)) = (&mut self.phase, &open.request) {
            serving.look_failed(&mut self.calls, &mut self.context);
        }
    }

    /// The `preStop` hook, or SIGTERM without one. A second hook means that the kubelet was restarted and counts the grace
    /// again; after SIGTERM only the end that was promised first is sure.
    fn drain(&mut self) {
        if self.phase.deadline().is_some() {
            return;
        }
        self.context.snapshot.draining_since = Some(self.context.now);
        self.phase = match &mut self.phase {
            Phase::Refused(_) | Phase::NothingToRemove(_) | Phase::Ended(_) => return,
            Phase::Draining(removal) => return removal.begin_again(),
            Phase::Starting(_) => Phase::never_started(&self.status().sentence),
            Phase::Serving(serving) => Phase::draining(serving.registration(), &self.context),
        };
        self.calls.forgive(&mut self.context.snapshot);
        self.token.drain(self.context.now);
    }

    fn terminate(&mut self) {
        if self.context.snapshot.draining_since.is_none() {
            self.drain();
        }
        if let Phase::Refused(refusal) = &self.phase {
            self.phase = Phase::never_started(&refusal.sentence);
        }
        match &mut self.phase {
            Phase::NothingToRemove(outcome) => {
                let outcome = outcome.clone();
                return self.end(outcome);
            }
            Phase::Draining(removal) if removal.deadline().is_none() => {
                let spare = match self.token.usable(self.context.now) {
                    Some(_) => self.calls.spare(),
                    None => 0,
                };
                removal.terminate(spare, &mut self.context);
            }
            Phase::Refused(_) | Phase::Draining(_) | Phase::Starting(_) | Phase::Serving(_) | Phase::Ended(_) => {}
        }
        // The first request after SIGTERM goes out whatever was before; there may be two seconds only.
        self.calls.forgive(&mut self.context.snapshot);
        if let Phase::Draining(removal) = &self.phase {
            self.calls
                .hurry(self.context.now, |request| removal.stage.usefulness(request));
        }
    }

    /// Does everything that is due. What is due follows from the state alone, whatever event brought it about; each step
    /// either changes the state so that it is no longer due, or does nothing.
    ///
    /// The order matters. A request that was given up makes room for the next one. The agent is admitted before anything is
    /// asked, so that a look for it is scheduled and not another check. Token and delivery come before Azure DevOps, since
    /// they do not depend on it. The end comes before a request that would have no time, and before the drain file and the
    /// status, which say what the removal has become. Whatever a command presupposes is persisted before it; what is left is
    /// persisted last.
    fn settle(&mut self) {
        if self.has_ended() {
            return;
        }
        self.calls.give_up_overdue(self.context.now);
        self.admit();
        self.exchange();
        self.deliver();
        self.finish();
        self.ask();
        self.write_drain_file();
        self.report();
        self.context.persist();
    }

    /// Lets the agent start once everything was checked and what it waits for is delivered.
    fn admit(&mut self) {
        if matches!(self.phase, Phase::Starting(Preflight::Passed)) && self.delivery.is_delivered() {
            self.context.snapshot.admitted = true;
            self.calls.forgive(&mut self.context.snapshot);
            self.phase = Phase::Serving(Serving::new(&mut self.context));
        }
    }

    fn exchange_due(&self) -> Option<(Time, &'static str)> {
        let is_possible = self.phase.needs_token() && self.context.tenant().is_some();
        self.token.due(&self.context.snapshot).filter(|_| is_possible)
    }

    fn exchange(&mut self) {
        let is_due = self.exchange_due().is_some_and(|due| due.0 <= self.context.now);
        if let (true, Some(tenant)) = (is_due, self.context.tenant()) {
            let tenant = tenant.to_owned();
            self.token.request(self.context.now);
            self.context.push(Command::RequestToken { tenant });
        }
    }

    fn deliver(&mut self) {
        let newest = self.token.newest().map(|token| token.id);
        if let Some(command) = self.delivery.begin(newest, self.context.now) {
            self.context.push(command);
        }
    }

    /// Ends the process when nothing is left to do, or no time.
    fn finish(&mut self) {
        let Phase::Draining(removal) = &self.phase else { return };
        let Some(deadline) = removal.deadline() else { return };
        let outcome = match removal.stage.outcome() {
            Some(outcome) => outcome.clone(),
            None if deadline.has_passed(self.context.now) => self.view().outcome_at_the_deadline(removal),
            None => return,
        };
        self.end(outcome);
    }

    fn end(&mut self, outcome: Outcome) {
        self.context.snapshot.ended = true;
        self.phase = Phase::Ended(outcome.clone());
        self.context.push(Command::Exit(outcome));
    }

    fn ask(&mut self) {
        let now = self.context.now;
        let planned = next_request(&self.phase, &self.calls, &self.token, &self.context);
        let Some(planned) = planned.filter(|planned| planned.at <= now) else {
            return;
        };
        let charge = self.phase.charge();
        if let Phase::Draining(removal) = &mut self.phase {
            removal.sent(&planned.request, &mut self.context);
        }
        let number = self.calls.send(planned.request.clone(), planned.token, charge, now);
        self.context.push(Command::CallAdo {
            number,
            token: planned.token,
            request: planned.request,
            timeout: planned.timeout,
        });
    }

    /// When to write the drain file; never after SIGTERM, when no hook waits any more.
    fn drain_file_due(&self) -> Option<Time> {
        if self.has_ended() || self.phase.deadline().is_some() {
            return None;
        }
        match (self.phase.drain(&self.context), self.drain_written) {
            (Drain::Draining { .. }, Some((Drain::Draining { .. }, at))) => Some(at.plus(BEAT)),
            (drain, Some((written, _))) if drain == written => None,
            (_, _) => Some(self.context.now),
        }
    }

    fn write_drain_file(&mut self) {
        if self.drain_file_due().is_some_and(|at| at <= self.context.now) {
            let drain = self.phase.drain(&self.context);
            self.drain_written = Some((drain, self.context.now));
            self.context.push(Command::WriteDrainFile(drain));
        }
    }

    fn report(&mut self) {
        if self.has_ended() {
            return;
        }
        let status = self.status();
        if self.reported.as_ref() != Some(&status) {
            self.reported = Some(status.clone());
            self.context.push(Command::Report(status));
        }
    }
}
