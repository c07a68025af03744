//! The machine: what each event does to it, and when it wants to be called. `settle.rs` does what is due.

mod drain_file;
mod gateway;
mod settle;

use crate::calls::{Calls, Open};
use crate::context::Context;
use crate::delivery::Delivery;
use crate::phase::Phase;
use crate::preflight::Preflight;
use crate::schedule::next_request;
use crate::serving::{Serving, Sighting};
use crate::status::View;
use crate::token::Token;
use crate::token_file::TokenFile;
use crate::{Command, Event, Settings, Snapshot, Status, Time, TokenAge};
use azure_protocol::AdoRequest;
use contract::Drain;

/// The state machine of one sidecar.
#[derive(Debug, Clone)]
pub struct Lifecycle {
    context: Context,
    phase: Phase,
    token: Token,
    delivery: Delivery,
    calls: Calls,
    reported: Option<Status>,
    /// What was written to the drain file last, and when.
    drain_written: Option<(Drain, Time)>,
}

impl Lifecycle {
    /// A machine that starts at `now`. `restored` is what the previous run of this container persisted, if any; `seed`
    /// makes the jitter of this pod different from that of its siblings.
    pub fn new(settings: Settings, restored: Option<Snapshot>, seed: u64, now: Time) -> Self {
        let mut context = Context::new(settings, restored, seed, now);
        let phase = match context.snapshot.draining_since {
            Some(_) if context.snapshot.admitted => Phase::removing(Sighting::Unknown, &mut context),
            Some(_) => Phase::never_started(""),
            None if context.gateway.is_some() && context.snapshot.used => {
                Phase::removing(Sighting::Unknown, &mut context)
            }
            None if context.snapshot.admitted => Phase::Serving(Serving::new(&mut context)),
            None => Phase::Starting(Preflight::Role),
        };
        let delivery = match context.gateway {
            None => Delivery::TokenFile(TokenFile::default()),
            Some(_) => Delivery::Gateway,
        };
        let mut lifecycle = Self {
            context,
            phase,
            token: Token::default(),
            delivery,
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
            Event::TokenFileWritten(token) => self.delivery.written(token),
            Event::TokenFileFailed(trouble) => self.delivery.failed(trouble, now),
            Event::TokenFileRemoved => self.delivery.removed(now),
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
            Event::Gateway(event) => self.gateway_event(event),
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
            self.gateway_due(),
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

    /// The settings of its pod.
    pub fn settings(&self) -> &Settings {
        &self.context.settings
    }

    /// How old the access token is at `now`; `None` before the first one.
    pub fn token_age(&self, now: Time) -> Option<TokenAge> {
        self.token.age(now)
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
        if let (Phase::Serving(serving), AdoRequest::AgentByName(..)) = (&mut self.phase, &open.request)
            && self.context.gateway.is_none()
        {
            serving.lookup_failed(&mut self.calls, &mut self.context);
        }
    }

    /// The `preStop` hook, or SIGTERM without one. A second hook means that the kubelet was restarted and counts the grace period
    /// again; after SIGTERM only the first deadline is certain.
    fn drain(&mut self) {
        if self.phase.deadline().is_some() {
            return;
        }
        let is_again = self.context.is_terminating();
        self.context.snapshot.draining_since = Some(self.context.now);
        match &mut self.phase {
            Phase::NothingToRemove(_) | Phase::Ended(_) => return,
            Phase::Removing(removal) => {
                removal.begin_again(&mut self.context);
                if is_again {
                    return;
                }
            }
            Phase::Starting(_) => self.phase = Phase::never_started(&self.status().sentence),
            Phase::Serving(serving) => self.phase = Phase::removing(serving.sighting(), &mut self.context),
        }
        if self.context.gateway.is_some() {
            self.calls.give_up_lookup();
        }
        self.calls.reset_backoff(&mut self.context.snapshot);
        self.token.drain(self.context.now);
    }

    fn terminate(&mut self) {
        if self.context.snapshot.draining_since.is_none() {
            self.drain();
        }
        match &mut self.phase {
            Phase::NothingToRemove(outcome) => {
                let outcome = outcome.clone();
                return self.end(outcome);
            }
            Phase::Removing(removal) if removal.deadline().is_none() => {
                let budget_left = match self.token.usable(self.context.now) {
                    Some(_) => self.calls.budget_left(),
                    None => 0,
                };
                removal.terminate(budget_left, &mut self.context);
            }
            Phase::Removing(_) | Phase::Starting(_) | Phase::Serving(_) | Phase::Ended(_) => {}
        }
        // The first request after SIGTERM is sent without any pause; only two seconds may be left.
        self.calls.reset_backoff(&mut self.context.snapshot);
        if let Phase::Removing(removal) = &self.phase {
            self.calls
                .cut_short(self.context.now, |request| removal.stage.usefulness(request));
        }
    }
}
