//! The listener behind the gateway: its session, its polls, its jobs, and what readiness makes of them.

use super::{Container, POLL, Pod, RENEWAL, Step};
use azure_protocol::AgentId;
use contract::Reason;
use lifecycle::{Found, GatewayEvent, Jobs};

impl Pod {
    pub(super) fn open_session(&mut self) {
        let Container::Running { registered: Some(id) } = self.agent else {
            return;
        };
        if self.sidecar.is_none() {
            // The gateway is not there: it tries again.
            return self.step(15_000, Step::Session(self.incarnation));
        }
        let Some(agent) = self.ado.agents.get_mut(&id) else {
            // The gateway says so.
            return self.agent_ends();
        };
        agent.online = true;
        self.gateway.has_session = true;
        let agent = AgentId(id);
        self.saw(GatewayEvent::SessionOpened { agent });
        self.begin_polls(id);
    }

    fn begin_polls(&mut self, id: i64) {
        let agent = AgentId(id);
        self.gateway.polls = 2;
        self.saw(GatewayEvent::PollOpened { agent });
        self.saw(GatewayEvent::PollOpened { agent });
        self.step(POLL, Step::Poll(self.incarnation));
    }

    pub(super) fn poll(&mut self) {
        let Container::Running { registered: Some(id) } = self.agent else {
            return;
        };
        if !self.gateway.has_session || self.sidecar.is_none() || self.gateway.polls == 0 {
            return;
        }
        let agent = AgentId(id);
        let is_there = self.ado.agents.contains_key(&id);
        let found = match (self.ado_fault(), is_there) {
            (Some(_), _) => Found::Unknown,
            (None, true) => Found::Agent,
            (None, false) => Found::Nothing,
        };
        self.saw(GatewayEvent::PollAnswered { agent, found });
        if found == Found::Nothing {
            self.gateway.polls = 1;
            return self.step(50, Step::ListenerEnds(self.incarnation));
        }
        self.saw(GatewayEvent::PollOpened { agent });
        self.check_ready(true);
        self.step(POLL, Step::Poll(self.incarnation));
    }

    pub(in crate::world::pod) fn job_assigned(&mut self, id: i64, job: usize) {
        if self.plan.gateway.is_none() {
            return;
        }
        self.gateway.jobs += 1;
        if self.plan.gateway == Some(Jobs::One) && self.gateway.jobs > 1 && self.is_fair() {
            self.violations
                .push(format!("{}: a second job came to an agent with one", self.now));
        }
        let wait = 500 + self.draw(1_500);
        self.step(wait, Step::Renew(self.incarnation, id, job));
    }

    pub(super) fn renew(&mut self, id: i64, job: usize) {
        let runs = self.ado.agents.get(&id).is_some_and(|agent| agent.job == Some(job));
        if !runs {
            return;
        }
        if self.sidecar.is_some() && self.gateway.has_session {
            self.gateway.first_renewal = Some(self.gateway.first_renewal.unwrap_or(self.now));
            self.saw(GatewayEvent::JobRenewed { agent: AgentId(id) });
        }
        self.step(RENEWAL, Step::Renew(self.incarnation, id, job));
    }

    pub(in crate::world::pod) fn tell_job_ended(&mut self, id: i64) {
        if self.plan.gateway.is_some() && self.sidecar.is_some() {
            self.gateway.first_renewal = Some(self.gateway.first_renewal.unwrap_or(self.now));
        }
        let is_to_go = match self.plan.gateway {
            Some(Jobs::One) => self.gateway.first_renewal.is_some(),
            // Its hook may come late.
            Some(Jobs::Many) => self
                .sidecar
                .as_ref()
                .is_some_and(|sidecar| sidecar.status().reason == Reason::Draining),
            None => false,
        };
        // A sidecar that just starts has no token yet.
        if is_to_go && self.sidecar.is_some() && self.now > self.sidecar_started + 3_000 {
            // The machine does not trust a job's end just after Azure DevOps has said that it runs; the next check comes soon.
            let was_refused = self.ado.refused_removal.is_some_and(|at| self.now < at + 3_000);
            self.step(if was_refused { 4_000 } else { 1_000 }, Step::Gone(id));
        }
        self.saw(GatewayEvent::JobEnded { agent: AgentId(id) });
    }

    pub(super) fn check_gone(&mut self, id: i64) {
        let is_there = self.sidecar.is_some() && !self.sidecar_lost;
        if self.is_fair() && is_there && self.ado.agents.contains_key(&id) {
            self.violations.push(format!(
                "{}: agent {id} is still there though its job has ended",
                self.now
            ));
        }
    }

    /// What the readiness probe says of an agent that listens, or does not any more.
    fn check_ready(&mut self, expected: bool) {
        let (Some(sidecar), true) = (&self.sidecar, self.plan.gateway.is_some()) else {
            return;
        };
        let is_terminating = self.terminating.is_some() || self.terminated.is_some();
        let is_ready = sidecar.status().is_ready;
        if self.is_fair() && is_ready != expected && !(expected && is_terminating) && !self.gateway.was_edited {
            self.violations
                .push(format!("{}: ready: {is_ready}, listens: {expected}", self.now));
        }
    }

    /// The processes of the agent container are gone, and with them their connections.
    pub(in crate::world::pod) fn listener_dies(&mut self) {
        let Container::Running { registered: Some(id) } = self.agent else {
            return;
        };
        self.gateway.has_session = false;
        for _ in 0..std::mem::take(&mut self.gateway.polls) {
            self.saw(GatewayEvent::PollClosed { agent: AgentId(id) });
        }
        self.check_ready(false);
    }

    /// Another sidecar is there, and the listener polls again.
    pub(in crate::world::pod) fn listener_comes_back(&mut self) {
        if let (true, Container::Running { registered: Some(id) }) = (self.gateway.has_session, self.agent) {
            self.begin_polls(id);
        }
    }
}
