//! The agent container and its start script.

use super::{Container, Happening, Pod};
use crate::steps::marker;
use crate::world::ado::Keeper;
use crate::world::plan::{Naming, OnTerm};
use lifecycle::{Event, Jobs};

impl Pod {
    pub(super) fn start_agent(&mut self) {
        if self.terminating.is_some() || matches!(self.agent, Container::Running { .. }) {
            return;
        }
        self.incarnation += 1;
        self.agent = Container::Running { registered: None };
        self.after(
            self.plan.image.registers_after * 1000,
            Happening::Register(self.incarnation),
        );
    }

    pub(super) fn register(&mut self) {
        if self.plan.gateway.is_some() {
            return self.ask_to_register();
        }
        let image = self.plan.image;
        let may = self.file.is_some_and(|token| self.token_is_good(Some(token)));
        if !may || self.ado_fault().is_some() {
            return self.agent_ends();
        }
        let name = self.agent_name();
        let owner = (!image.scrubs).then(|| marker("uid-0").to_string());
        let taken = self.ado.agents.values().any(|agent| agent.name == name && agent.online);
        if taken {
            return self.agent_ends();
        }
        let id = self.ado.register(&name, owner, Keeper::Pod, self.now);
        self.ado.agents.get_mut(&id).expect("just registered").online = true;
        self.registrations += 1;
        if self.terminating.is_some() && self.registrations == 1 {
            // Every lookup within 36 s finds it, and every second one where it took over an agent from before, or
            // invented its name. A restarted kubelet makes the sidecar begin again.
            let by_every_lookup = image.naming == Naming::Expected && !self.plan.leftover;
            let again = if self.plan.kubelet_restart.is_some() { 80_000 } else { 0 };
            let timeout = again + if by_every_lookup { 40_000 } else { 80_000 };
            self.after(timeout, Happening::OutOfService(id));
        }
        self.agent = Container::Running { registered: Some(id) };
        if image.deletes_file && self.file.take().is_some() {
            self.after(1, Happening::ToSidecar(self.run, Event::TokenFileRemoved));
        }
    }

    pub(super) fn agent_name(&self) -> String {
        match self.plan.image.naming {
            Naming::Expected => "agent-0".to_owned(),
            Naming::Akin => "pool-agent-0-abc".to_owned(),
            // The gateway removes the one before; without it several would stay, of which one is provably ours.
            Naming::Invented if self.plan.gateway.is_some() => format!("wonderful-tesla-{}", self.incarnation),
            Naming::Invented => "wonderful-tesla".to_owned(),
        }
    }

    pub(super) fn job(&mut self, index: usize) {
        let Container::Running { registered: Some(id) } = self.agent else {
            return;
        };
        let Some(agent) = self.ado.agents.get_mut(&id) else {
            return;
        };
        if agent.online && agent.enabled && agent.job.is_none() && agent.keeper == Keeper::Pod {
            agent.job = Some(index);
            self.job_started = self.now;
            let length = self.plan.jobs[index].1 * 1000;
            self.after(length, Happening::JobEnds(self.incarnation, id, index));
            self.job_assigned(id, index);
        }
    }

    pub(super) fn job_ends(&mut self, id: i64, job: usize) {
        if let Some(agent) = self.ado.agents.get_mut(&id)
            && agent.job == Some(job)
        {
            agent.job = None;
            self.job_ended = self.now;
            self.tell_job_ended(id);
            if self.plan.image.once || self.plan.gateway == Some(Jobs::One) {
                self.script_ends();
            }
        }
    }

    pub(super) fn term_agent(&mut self) {
        match (self.agent, self.plan.image.on_term) {
            (Container::Running { .. }, OnTerm::End { after, .. }) => {
                self.after(after * 1000, Happening::TermEnds(self.incarnation));
            }
            (Container::Running { .. }, OnTerm::Ignore) => {}
            (Container::Waiting | Container::Ended, _) => {
                self.after(200, Happening::TerminateSidecar(self.run));
            }
        }
    }

    pub(super) fn term_ends(&mut self) {
        let OnTerm::End { waits, .. } = self.plan.image.on_term else {
            return;
        };
        let busy = match self.agent {
            Container::Running { registered: Some(id) } => {
                Some(id).filter(|id| self.ado.agents.get(id).is_some_and(|agent| agent.job.is_some()))
            }
            Container::Running { registered: None } | Container::Waiting | Container::Ended => None,
        };
        let has_job = busy.is_some();
        if waits && has_job {
            return self.after(5_000, Happening::TermEnds(self.incarnation));
        }
        // A job that came when SIGTERM was sent already is another matter.
        if has_job
            && self.is_fair()
            && !self.sidecar_lost
            && busy.is_some_and(|id| self.is_provable(id))
            && self.hook_returned.is_some_and(|at| self.job_started < at)
        {
            self.violations
                .push(format!("{}: SIGTERM ended a running job", self.now));
        }
        self.script_ends();
    }

    /// The script ends by itself, and may remove its agent as its last act.
    pub(super) fn script_ends(&mut self) {
        if let (OnTerm::End { removes: true, .. }, Container::Running { registered: Some(id) }) =
            (self.plan.image.on_term, self.agent)
            && !self.removes_through_the_gateway(id)
        {
            let may = self.file.is_some_and(|token| self.token_is_good(Some(token))) && self.ado_fault().is_none();
            let agent = self.ado.agents.get(&id);
            if may && agent.is_some_and(|agent| agent.keeper == Keeper::Pod && agent.job.is_none()) {
                self.ado.agents.remove(&id);
            }
        }
        self.agent_ends();
    }

    /// The process of the agent is gone: its session ends, its job keeps the lock for ten minutes.
    pub(super) fn agent_dies(&mut self) {
        self.hook = None;
        self.listener_dies();
        if let Container::Running { registered: Some(id) } = self.agent
            && let Some(agent) = self.ado.agents.get_mut(&id)
            && agent.keeper == Keeper::Pod
        {
            agent.online = false;
            if let Some(job) = agent.job {
                self.after(600_000, Happening::LockRunsOut(id, job));
            }
        }
        self.agent = Container::Ended;
        self.incarnation += 1;
    }

    pub(super) fn agent_ends(&mut self) {
        self.agent_dies();
        if self.terminating.is_some() {
            self.after(200, Happening::TerminateSidecar(self.run));
        } else if self.plan.restarts {
            self.after(10_000, Happening::StartAgent);
        } else {
            // The pod is complete: the sidecar gets the whole grace period. One that is just being restarted does not come back.
            self.terminating = Some(self.now);
            self.sidecar_lost = self.sidecar.is_none() || self.terminated.is_some();
            self.tell(Event::PreStop);
            self.after(100, Happening::TerminateSidecar(self.run));
        }
    }
}
