//! The sidecar's container: its process, the driver, and what it asks.

use super::{Container, Exit, Happening, Logged, Pod, settings_of};
use crate::world::ado::{Ado, failure};
use crate::world::plan::{AdoFault, EntraFault};
use azure_protocol::{AdoErrorKind, AdoRequest, EntraError, EntraErrorKind};
use contract::Drain;
use lifecycle::{Command, Event, Lifecycle, Outcome, TokenId};
use std::time::Duration;

impl Pod {
    pub(super) fn start_sidecar(&mut self) {
        if self.sidecar.is_some() || self.terminating.is_some() {
            return;
        }
        self.run += 1;
        self.alarm = None;
        self.sidecar_started = self.now;
        self.kill = None;
        self.terminated = None;
        let seed = self.plan.seed.wrapping_add(u64::from(self.run));
        self.sidecar = Some(Lifecycle::new(
            settings_of(&self.plan),
            self.snapshot.clone(),
            seed,
            self.time(),
        ));
        self.drain();
        self.listener_comes_back();
    }

    pub(super) fn tell(&mut self, event: Event) {
        let now = self.time();
        if let Some(sidecar) = &mut self.sidecar {
            self.log.push((self.now, Logged::Event(event.clone())));
            sidecar.handle(event, now);
            self.drain();
        }
    }

    pub(super) fn wake(&mut self) {
        let now = self.time();
        if let Some(sidecar) = &mut self.sidecar {
            sidecar.handle_timeout(now);
            self.drain();
        }
    }

    pub(super) fn drain(&mut self) {
        for _ in 0..20 {
            while let Some(command) = self.sidecar.as_mut().and_then(Lifecycle::poll_command) {
                self.log.push((self.now, Logged::Command(command.clone())));
                self.perform(command);
            }
            let now = self.time();
            let Some(sidecar) = &mut self.sidecar else { return };
            match sidecar.poll_timeout() {
                None => return,
                Some((due, _)) if due > now => {
                    let millis = u64::try_from((due.0 - now.0).as_nanos().div_ceil(1_000_000)).expect("a short run");
                    // One alarm: each further one would go on setting others.
                    if self
                        .alarm
                        .is_none_or(|alarm| alarm <= self.now || alarm > self.now + millis)
                    {
                        self.alarm = Some(self.now + millis);
                        self.after(millis, Happening::Wake(self.run));
                    }
                    return;
                }
                Some(_) => sidecar.handle_timeout(now),
            }
        }
        self.violations
            .push(format!("{}: a deadline that passed never goes away", self.now));
        self.sidecar = None;
    }

    pub(super) fn perform(&mut self, command: Command) {
        let run = self.run;
        match command {
            Command::RequestToken { .. } => {
                self.entra_requests.push(self.now);
                let (delay, event) = self.exchange();
                self.after(delay, Happening::ToSidecar(run, event));
            }
            Command::WriteTokenFile(token) => self.after(4, Happening::WriteFile(run, token)),
            Command::CallAdo {
                number,
                token,
                request,
                timeout,
            } => {
                self.ado_requests.push(self.now);
                let timeout = u64::try_from(timeout.as_millis()).expect("a short timeout");
                let way = 20 + self.draw(200);
                self.after(way, Happening::Arrive(run, number, request, token, timeout));
            }
            Command::WriteDrainFile(drain) => {
                let beats = matches!(drain, Drain::Draining { .. }) && drain != self.shown;
                self.shown = drain;
                if self.hook.is_some() && beats {
                    self.start_hook();
                }
                self.run_hook();
            }
            Command::Report(status) => {
                if status.agent_may_start && self.agent == Container::Waiting && self.admitted_at.is_none() {
                    self.admitted_at = Some(self.now);
                    self.after(900, Happening::StartAgent);
                }
                if self.plan.gateway.is_none()
                    && self.file.is_none()
                    && status.agent_may_start
                    && self.run == 1
                    && self.registrations == 0
                {
                    self.violations
                        .push(format!("{}: the agent may start without a token file", self.now));
                }
                self.statuses.push((self.now, status));
            }
            Command::Persist(snapshot) => self.snapshot = Some(snapshot),
            Command::Note { .. } => {}
            Command::OpenGate(gate) => self.open_gate(gate),
            Command::AnswerRegistration { number, answer } => self.answer_registration(number, answer),
            Command::Exit(outcome) => self.sidecar_ended(outcome),
        }
    }

    pub(super) fn exchange(&mut self) -> (u64, Event) {
        let refused = |kind, retry_after: Option<u64>| {
            Event::TokenRefused(EntraError {
                kind,
                detail: String::new(),
                retry_after: retry_after.map(Duration::from_secs),
                assertion_changed: kind == EntraErrorKind::AssertionExpired,
            })
        };
        match self.plan.entra_fault(self.second()) {
            Some(EntraFault::Hang) => (30_000, refused(EntraErrorKind::Unreachable, None)),
            Some(EntraFault::Refuse(kind, after)) => (80, refused(kind, after)),
            None => {
                let token = TokenId(u64::try_from(self.tokens.len()).expect("few tokens") + 1);
                self.tokens.insert(token, self.now + self.plan.lifetime * 1000);
                let issued = Event::TokenIssued {
                    token,
                    lifetime: Duration::from_secs(self.plan.lifetime),
                    refresh_in: None,
                };
                (100 + self.draw(400), issued)
            }
        }
    }

    pub(super) fn write(&mut self, token: TokenId) {
        if self.draw(20) == 0 {
            return self.tell(Event::TokenFileFailed("no space".to_owned()));
        }
        self.file = Some(token);
        self.tell(Event::TokenFileWritten(token));
    }

    pub(super) fn arrive(&mut self, run: u32, number: u64, request: &AdoRequest, token: Option<TokenId>, timeout: u64) {
        let fault = self.ado_fault();
        let good = self.token_is_good(token);
        let before = self.ado.ours();
        let (result, retry_after) = self.ado.answer(request, good, fault, self.now);
        let way = 20 + self.draw(300);
        let is_late = matches!(fault, Some(AdoFault::Hang | AdoFault::LostAnswer)) || way > timeout;
        let (delay, event) = if is_late {
            let result = Err(failure(AdoErrorKind::Unreachable));
            (timeout, (result, None, None))
        } else {
            let date = (!matches!(fault, Some(AdoFault::Reset | AdoFault::Html))).then(|| Ado::date(self.now));
            (way, (result, retry_after, date))
        };
        let (result, retry_after, date) = event;
        self.after(
            delay,
            Happening::ToSidecar(
                run,
                Event::AdoResponded {
                    number,
                    result,
                    retry_after,
                    date,
                },
            ),
        );
        if let Container::Running { registered: Some(id) } = self.agent
            && before.contains(&id)
            && !self.ado.agents.contains_key(&id)
            && self.plan.gateway.is_none()
            && self.plan.image.ends_when_removed
        {
            self.after(3_000, Happening::AgentEnds(self.incarnation));
        }
    }

    pub(super) fn sidecar_ended(&mut self, outcome: Outcome) {
        let ours = self.ado.ours();
        let busy = self.ado.has_job();
        self.exits.push(Exit {
            since_term: self.terminated.map_or(0, |at| self.now - at),
            outcome,
            at: self.now,
            agent_lives: self.terminating.is_none() || self.sidecar_lost,
            ours,
            busy,
            since_job: self.now - self.job_ended,
        });
        if self.terminated.is_none() {
            self.violations
                .push(format!("{}: it ended by itself before SIGTERM", self.now));
        }
        self.sidecar = None;
        self.gateway_is_gone();
        if self.terminating.is_none() {
            self.after(1_000, Happening::StartSidecar);
        }
    }

    pub(super) fn lose_sidecar(&mut self, restart_after: u64) {
        if self.sidecar.take().is_some() {
            self.run += 1;
            self.gateway_is_gone();
            if self.terminating.is_none() {
                self.after(restart_after, Happening::StartSidecar);
            } else {
                self.sidecar_lost = true;
            }
        } else if self.exits.last().is_none_or(|exit| exit.agent_lives) {
            self.sidecar_lost |= self.terminating.is_some();
        }
    }

    /// Its image is edited in place: it gets SIGTERM while the pod keeps running.
    pub(super) fn edit_sidecar(&mut self) {
        if self.terminating.is_some() || self.sidecar.is_none() {
            return;
        }
        self.gateway.was_edited = true;
        self.tell(Event::PreStop);
        self.after(100, Happening::TerminateSidecar(self.run));
    }

    pub(super) fn terminate_sidecar(&mut self) {
        if self.terminated.is_some() || self.sidecar.is_none() {
            return;
        }
        self.terminated = Some(self.now);
        // An edit just before the pod's deletion: SIGTERM comes before its turn, and no other sidecar comes after.
        self.sidecar_lost |= self.terminating.is_some() && matches!(self.agent, Container::Running { .. });
        let begun = self.terminating.unwrap_or(self.now);
        let kill = (self.now + 2_000).max(begun + self.real_grace * 1000);
        self.kill = Some(kill);
        self.after(kill - self.now, Happening::KillSidecar(self.run));
        self.tell(Event::Terminate);
    }

    pub(super) fn kill_sidecar(&mut self) {
        if self.kill != Some(self.now) || self.sidecar.is_none() {
            return;
        }
        // The end of a grace period that is shorter than the pod says comes as a surprise.
        if !self.is_cut_short {
            self.violations
                .push(format!("{}: it was killed, for it had not ended", self.now));
        }
        self.lose_sidecar(1_000);
    }
}
