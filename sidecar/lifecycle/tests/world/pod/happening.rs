//! What happens in a run, and who takes it.

use super::{Container, Pod, gateway};
use crate::steps::marker;
use crate::world::ado::Keeper;
use azure_protocol::AdoRequest;
use lifecycle::{Event, TokenId};

#[derive(Debug, Clone)]
pub(super) enum Happening {
    Wake(u32),
    ToSidecar(u32, Event),
    WriteFile(u32, TokenId),
    Arrive(u32, u64, AdoRequest, Option<TokenId>, u64),
    StartSidecar,
    CrashSidecar,
    EditSidecar,
    TerminateSidecar(u32),
    KillSidecar(u32),
    StartAgent,
    Register(u32),
    TermEnds(u32),
    AgentEnds(u32),
    KillAgent,
    Job(usize),
    JobEnds(u32, i64, usize),
    LockRunsOut(i64, usize),
    DeletePod,
    GraceEnds(u32),
    NodeLost,
    KubeletRestart,
    /// The agent container's hook may have waited long enough.
    HookQuiet,
    /// This agent registered after the pod began to terminate: it may be given no more jobs.
    OutOfService(i64),
    Takeover,
    MarkerChanges,
    PersonDisables,
    RemovedOutside,
    Gateway(gateway::Step),
}

impl Pod {
    pub(super) fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Wake(run) if run == self.run => self.wake(),
            Happening::ToSidecar(run, event) if run == self.run => self.tell(event),
            Happening::WriteFile(run, token) if run == self.run => self.write(token),
            Happening::Wake(_) | Happening::ToSidecar(..) | Happening::WriteFile(..) => {}
            Happening::Arrive(run, number, request, token, left) => self.arrive(run, number, &request, token, left),
            Happening::StartSidecar => self.start_sidecar(),
            Happening::CrashSidecar => self.lose_sidecar(10_000),
            Happening::EditSidecar => self.edit_sidecar(),
            Happening::TerminateSidecar(run) if run == self.run => self.terminate_sidecar(),
            Happening::KillSidecar(run) if run == self.run => self.kill_sidecar(),
            Happening::TerminateSidecar(_) | Happening::KillSidecar(_) => {}
            Happening::StartAgent => self.start_agent(),
            Happening::Register(incarnation) if incarnation == self.incarnation => self.register(),
            Happening::TermEnds(incarnation) if incarnation == self.incarnation => self.term_ends(),
            Happening::AgentEnds(incarnation) if incarnation == self.incarnation => self.agent_ends(),
            Happening::JobEnds(incarnation, id, job) if incarnation == self.incarnation => self.job_ends(id, job),
            Happening::Register(_) | Happening::TermEnds(_) | Happening::AgentEnds(_) | Happening::JobEnds(..) => {}
            Happening::KillAgent => {
                if let Container::Running { .. } = self.agent {
                    self.agent_ends();
                }
            }
            Happening::Job(index) => self.job(index),
            Happening::LockRunsOut(id, job) => {
                if let Some(agent) = self.ado.agents.get_mut(&id)
                    && agent.job == Some(job)
                {
                    agent.job = None;
                    self.job_ended = self.now;
                }
            }
            Happening::DeletePod => self.delete_pod(),
            Happening::GraceEnds(grace) if grace == self.grace => self.grace_ends(),
            Happening::GraceEnds(_) => {}
            Happening::NodeLost => {
                self.terminating = Some(self.terminating.unwrap_or(self.now));
                self.lose_sidecar(0);
                self.agent_dies();
            }
            Happening::KubeletRestart => self.kubelet_restart(),
            Happening::HookQuiet => self.run_hook(),
            Happening::OutOfService(id) => self.check_out_of_service(id),
            Happening::Gateway(step) => self.gateway_step(step),
            Happening::RemovedOutside => self.remove_outside(),
            Happening::Takeover if self.plan.gateway.is_some() => self.successor_registers(),
            Happening::Takeover => {
                let id = self.ado.register(
                    "agent-0",
                    Some(marker("uid-after").to_string()),
                    Keeper::Another,
                    self.now,
                );
                self.ado.agents.get_mut(&id).expect("just registered").online = true;
            }
            Happening::MarkerChanges => {
                for id in self.ado.ours() {
                    if let Some(agent) = self.ado.agents.get_mut(&id) {
                        agent.owner = Some(marker("uid-of-another").to_string());
                    }
                }
            }
            Happening::PersonDisables => {
                for agent in self.ado.agents.values_mut().filter(|agent| agent.enabled) {
                    agent.enabled = false;
                    agent.disabled_by_person = Some(self.now);
                }
            }
        }
    }
}
