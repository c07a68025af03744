//! The machine and the gateway: the events that it reports, the gate that it applies, and which registrations it admits.

use super::Lifecycle;
use crate::gateway::{ClosedReason, Gate, GatewayEvent, Jobs, Operation, RegistrationPhase, Traffic};
use crate::phase::Phase;
use crate::registration::{Registered, Registration, Remover};
use crate::serving::Sighting;
use crate::{Command, Time};
use azure_protocol::{AgentId, ServerTime};

impl Lifecycle {
    /// The gateway reports an event. Events of agents other than this pod's are ignored.
    pub(super) fn gateway_event(&mut self, event: GatewayEvent) {
        let now = self.context.now;
        let own = self.context.registered().map(|registered| registered.id);
        let Some(gateway) = &mut self.context.gateway else {
            return;
        };
        match event {
            GatewayEvent::RegistrationAsked { number, name } => self.context.asked(number, name, Operation::LookUp),
            GatewayEvent::RegistrationBegins { number, name } => self.context.asked(number, name, Operation::Register),
            GatewayEvent::Registered { id, created, name } => self.registered(id, created, name),
            GatewayEvent::RegistrationFailed(failure) => {
                if let Some(before) = gateway.admissions.failed(failure, now) {
                    self.context.snapshot.registration = before;
                }
                self.registration_changed();
            }
            GatewayEvent::Unregistered { id } if Some(id) == own => {
                self.context.registration_gone(Remover::Another);
                self.registration_changed();
            }
            GatewayEvent::SessionOpened { agent } if Some(agent) == own => self.session(true),
            GatewayEvent::SessionClosed { agent } if Some(agent) == own => {
                // A listener closes its session when its job is over.
                if gateway.is_busy() {
                    gateway.job_ended(now);
                    self.job_ended();
                }
                self.session(false);
            }
            GatewayEvent::PollOpened { agent } if Some(agent) == own => gateway.poll_opened(),
            GatewayEvent::PollAnswered { agent, found } if Some(agent) == own => {
                if let Some(is_online) = gateway.poll_answered(found) {
                    self.session(is_online);
                }
            }
            GatewayEvent::PollClosed { agent } if Some(agent) == own => gateway.poll_closed(),
            GatewayEvent::JobRenewed { agent } if Some(agent) == own => {
                gateway.job_renewed(now);
                self.job_runs();
            }
            GatewayEvent::JobEnded { agent } if Some(agent) == own => {
                gateway.job_ended(now);
                self.job_ended();
            }
            GatewayEvent::TokenRejected { token } => self.token.renew(Some(token)),
            GatewayEvent::Unregistered { .. }
            | GatewayEvent::SessionOpened { .. }
            | GatewayEvent::SessionClosed { .. }
            | GatewayEvent::PollOpened { .. }
            | GatewayEvent::PollAnswered { .. }
            | GatewayEvent::PollClosed { .. }
            | GatewayEvent::JobRenewed { .. }
            | GatewayEvent::JobEnded { .. } => {}
        }
    }

    fn registered(&mut self, id: AgentId, created: Option<ServerTime>, name: String) {
        if let Some(gateway) = &mut self.context.gateway {
            gateway.admissions.registered();
            gateway.reset();
        }
        self.context.snapshot.registration = Some(Registration::Known(Registered {
            id,
            created,
            name,
            is_online: false,
        }));
        self.registration_changed();
    }

    fn registration_changed(&mut self) {
        if let Phase::Removing(removal) = &mut self.phase {
            removal.registration_changed(&mut self.context);
        }
    }

    fn session(&mut self, is_online: bool) {
        if let Some(Registration::Known(registered)) = &mut self.context.snapshot.registration {
            registered.is_online = is_online;
        }
    }

    /// The lock of a job was renewed, so the assignment cannot be lost by disabling the agent.
    fn job_runs(&mut self) {
        if let Phase::Removing(removal) = &mut self.phase {
            removal.job_runs();
        }
        self.use_up();
    }

    /// The one job of a pod was seen: from its beginning, or at its end where the sidecar was not there before.
    fn use_up(&mut self) {
        let jobs = self.context.gateway.as_ref().map(|gateway| gateway.jobs);
        if jobs != Some(Jobs::One) {
            return;
        }
        // Also while the pod seems to terminate: it keeps running if only the sidecar was replaced.
        self.context.snapshot.used = true;
        if let Phase::Serving(_) = self.phase {
            self.phase = Phase::removing(Sighting::Unknown, &mut self.context);
        }
    }

    fn job_ended(&mut self) {
        self.use_up();
        if let Phase::Removing(removal) = &mut self.phase
            && removal.job_ended(&mut self.context)
        {
            self.calls.give_up_lookup();
        }
    }

    fn registration_phase(&self) -> RegistrationPhase {
        match &self.phase {
            Phase::Starting(_) => RegistrationPhase::NotReady,
            Phase::Serving(_) if self.token.usable(self.context.now).is_none() => RegistrationPhase::NotReady,
            Phase::Serving(_) => RegistrationPhase::Open,
            Phase::Removing(removal) if removal.is_removing() => RegistrationPhase::Removing,
            Phase::Removing(_) if !self.context.is_terminating() => RegistrationPhase::Closed(ClosedReason::Used),
            Phase::Removing(_) | Phase::NothingToRemove(_) | Phase::Ended(_) => {
                RegistrationPhase::Closed(ClosedReason::Terminating)
            }
        }
    }

    /// Sends the gateway what has changed, and answers who may register.
    pub(super) fn serve_gateway(&mut self) {
        self.open_gate();
        if self.context.gateway.is_none() {
            return;
        }
        let phase = self.registration_phase();
        let why_not = self.status().sentence;
        self.context.answer_questions(phase, &why_not);
        // With no request left to send, the failure of the last one is not a state to report.
        let is_idle = !self.calls.is_open() && self.phase.request(&self.context, 0, self.context.now).is_none();
        if is_idle && let Phase::Serving(_) = self.phase {
            self.calls.take_problem();
        }
    }

    pub(super) fn open_gate(&mut self) {
        if self.has_ended() {
            return;
        }
        let Some(gateway) = &self.context.gateway else { return };
        let is_admitted = self.context.snapshot.admitted;
        let gate = Gate {
            pool: self.context.snapshot.pool.filter(|_| is_admitted),
            token: self.token.usable(self.context.now).filter(|_| is_admitted),
            own: self.context.registered().map(|registered| registered.id),
            ended: gateway.ended(),
            traffic: match self.phase.deadline() {
                None => Traffic::All,
                Some(_) => Traffic::OnlyPolls,
            },
            sentence: self.status().sentence,
        };
        if gateway.gate.as_ref() == Some(&gate) {
            return;
        }
        if let Some(gateway) = &mut self.context.gateway {
            gateway.gate = Some(gate.clone());
        }
        self.context.push(Command::OpenGate(gate));
    }

    /// When the gateway or its status needs an update without an event, and why.
    pub(super) fn gateway_due(&self) -> Option<(Time, &'static str)> {
        let now = self.context.now;
        let gateway = self.context.gateway.as_ref()?;
        let answer = gateway.admissions.due(now).map(|at| (at, "a registration is answered"));
        let overdue = match &self.phase {
            Phase::Serving(serving) if self.context.snapshot.registration.is_none() => {
                Some(serving.registration_deadline()).filter(|at| *at > now)
            }
            Phase::Starting(_)
            | Phase::Serving(_)
            | Phase::Removing(_)
            | Phase::NothingToRemove(_)
            | Phase::Ended(_) => None,
        };
        let overdue = overdue.map(|at| (at, "an agent should have registered"));
        answer.into_iter().chain(overdue).min_by_key(|due| due.0)
    }
}
