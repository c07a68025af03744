//! The end of the pod: deletion, hooks, the grace period.

use super::{Container, Happening, Pod};
use crate::steps::marker;
use crate::world::ado::Keeper;
use crate::world::plan::End;
use contract::Drain;
use lifecycle::{Event, Jobs};

impl Pod {
    pub(super) fn delete_pod(&mut self) {
        if self.terminating.is_some() {
            return;
        }
        self.check_enabled();
        self.terminating = Some(self.now);
        self.sidecar_lost = self.sidecar.is_none() || self.terminated.is_some();
        // On a busy node the sidecar's hook comes late, and the other one does not wait for it.
        let late = if self.plan.end == End::Forced {
            0
        } else {
            self.plan.late
        };
        self.after(late, Happening::ToSidecar(self.run, Event::PreStop));
        if let Container::Running { .. } = self.agent {
            self.start_hook();
        } else {
            self.term_agent();
        }
        self.is_cut_short = self.plan.shortened.is_some() || self.plan.end == End::Forced;
        self.real_grace = self.plan.real_grace();
        self.after(self.real_grace * 1000, Happening::GraceEnds(self.grace));
    }

    /// The agent container's hook: returns at `drained`, or after five seconds without news.
    pub(super) fn start_hook(&mut self) {
        self.hook = Some(self.now);
        self.after(5_000, Happening::HookQuiet);
    }

    pub(super) fn run_hook(&mut self) {
        let Some(since) = self.hook else { return };
        if self.shown == Drain::Drained || self.now >= since + 5_000 {
            self.hook = None;
            self.hook_returned = Some(self.now);
            self.term_agent();
        }
    }

    /// An agent that registered while the pod was terminating gets no more jobs.
    pub(super) fn check_out_of_service(&mut self, id: i64) {
        let is_there = self.sidecar.is_some() && self.terminated.is_none() && !self.sidecar_lost;
        let may_get_jobs = self.ado.agents.get(&id).is_some_and(|agent| agent.enabled);
        if self.is_fair() && is_there && self.is_provable(id) && may_get_jobs {
            self.violations.push(format!(
                "{}: agent {id} came after the pod began to terminate and is still in service",
                self.now
            ));
        }
    }

    /// Whether an answer can show that this agent is ours. One that a successor took over, or whose marker a job changed,
    /// is not; without a marker, one that took over an agent from before belongs to no pod.
    pub(super) fn is_provable(&self, id: i64) -> bool {
        self.ado.agents.get(&id).is_some_and(|agent| {
            let is_marked = match &agent.owner {
                Some(owner) => *owner == marker("uid-0").to_string(),
                None => !self.plan.leftover,
            };
            agent.keeper == Keeper::Pod && is_marked
        })
    }

    pub(super) fn is_fair(&self) -> bool {
        self.plan.ado.is_empty() && self.plan.entra.is_empty() && self.plan.sidecar_crashes.is_empty()
    }

    /// A sidecar that has been there for a while leaves no agent disabled but those that a person disabled.
    pub(super) fn check_enabled(&mut self) {
        let is_there = self.sidecar.is_some() && self.terminated.is_none() && self.now > self.sidecar_started + 20_000;
        if !self.is_fair() || !is_there {
            return;
        }
        for id in self.ado.ours() {
            let agent = &self.ado.agents[&id];
            // One that has had its only job stays out of service.
            if !agent.enabled && agent.disabled_by_person.is_none() && self.plan.gateway != Some(Jobs::One) {
                self.violations
                    .push(format!("{}: agent {id} was left disabled", self.now));
            }
        }
    }

    pub(super) fn grace_ends(&mut self) {
        if let Container::Running { .. } = self.agent {
            self.agent_dies();
        }
        self.terminate_sidecar();
    }

    /// The whole grace period begins again; the agent gets no second SIGTERM.
    pub(super) fn kubelet_restart(&mut self) {
        if self.terminating.is_none() || self.terminated.is_some() || self.plan.end != End::Deleted {
            return;
        }
        self.grace += 1;
        self.terminating = Some(self.now);
        self.tell(Event::PreStop);
        if self.hook.is_some() {
            self.start_hook();
        }
        self.after(self.real_grace * 1000, Happening::GraceEnds(self.grace));
    }
}
