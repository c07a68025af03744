//! A pod with a kubelet: the agent container with its start script, the sidecar with its restarts, and the clock.

mod agent;
mod kubelet;
mod sidecar;

use super::ado::{Ado, Keeper};
use super::plan::{AdoFault, End, Plan};
use crate::steps::{marker, settings};
use azure_protocol::AdoRequest;
use contract::Drain;
use lifecycle::{Command, Event, Lifecycle, Outcome, Settings, Snapshot, Status, Time, TokenId};
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Debug, Clone)]
enum Happening {
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
    /// This agent registered after the pod began to leave: it may be given no more jobs.
    OutOfService(i64),
    Takeover,
    MarkerChanges,
    PersonDisables,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Container {
    Waiting,
    Running { registered: Option<i64> },
    Ended,
}

/// When the pod starts, in milliseconds.
pub(crate) const START: u64 = 100_000;

/// What the sidecar was told and what it did.
#[derive(Debug)]
#[expect(dead_code, reason = "shown when a run fails")]
pub(crate) enum Logged {
    Event(Event),
    Command(Command),
}

/// One end of the sidecar's process by itself.
#[derive(Debug, Clone)]
pub(crate) struct Exit {
    /// When, in milliseconds.
    pub(crate) at: u64,
    pub(crate) since_term: u64,
    pub(crate) outcome: Outcome,
    /// Whether the agent container may go on, so that an agent may register at any moment.
    pub(crate) agent_lives: bool,
    pub(crate) ours: Vec<i64>,
    pub(crate) busy: bool,
    /// How long ago a job of ours ended or lost its lock, in milliseconds.
    pub(crate) since_job: u64,
}

/// A run of one plan.
pub(crate) struct Pod {
    pub(crate) plan: Plan,
    pub(crate) now: u64,
    queue: BTreeMap<(u64, u64), Happening>,
    sequence: u64,
    random: u64,
    pub(crate) ado: Ado,
    tokens: BTreeMap<TokenId, u64>,
    sidecar: Option<Lifecycle>,
    run: u32,
    snapshot: Option<Snapshot>,
    pub(crate) file: Option<TokenId>,
    agent: Container,
    incarnation: u32,
    /// T0, in milliseconds.
    pub(crate) leaving: Option<u64>,
    /// The grace that the kubelet gives, in seconds, and whether that is less than the pod says.
    real_grace: u64,
    is_cut_short: bool,
    /// Counts graces: a restarted kubelet begins a new one.
    grace: u32,
    /// When the sidecar is killed, if it is told to end.
    kill: Option<u64>,
    pub(crate) terminated: Option<u64>,
    /// When the sidecar is woken next.
    alarm: Option<u64>,
    /// What the drain file says.
    shown: Drain,
    /// While the agent container's hook waits: when it last read something new.
    hook: Option<u64>,
    /// When the hook returned, so that the agent container got SIGTERM.
    pub(crate) hook_returned: Option<u64>,
    job_started: u64,
    job_ended: u64,
    sidecar_started: u64,
    pub(crate) exits: Vec<Exit>,
    pub(crate) admitted_at: Option<u64>,
    pub(crate) registrations: u32,
    pub(crate) ado_requests: Vec<u64>,
    pub(crate) entra_requests: Vec<u64>,
    pub(crate) violations: Vec<String>,
    pub(crate) statuses: Vec<(u64, Status)>,
    /// Whether the pod's end found no sidecar, or one that ended before the agent container.
    pub(crate) sidecar_lost: bool,
    pub(crate) log: Vec<(u64, Logged)>,
}

fn settings_of(plan: &Plan) -> Settings {
    Settings {
        grace: Duration::from_secs(plan.grace),
        tenant: plan.tenant_known.then(|| "tenant".to_owned()),
        ..settings()
    }
}

impl Pod {
    /// Runs the plan to its end, and a while longer.
    pub(crate) fn run(plan: &Plan) -> Self {
        let mut pod = Self {
            plan: plan.clone(),
            now: START,
            queue: BTreeMap::new(),
            sequence: 0,
            random: plan.seed,
            ado: Ado::default(),
            tokens: BTreeMap::new(),
            sidecar: None,
            run: 0,
            snapshot: None,
            file: None,
            agent: Container::Waiting,
            incarnation: 0,
            leaving: None,
            real_grace: plan.grace,
            is_cut_short: false,
            grace: 0,
            kill: None,
            terminated: None,
            alarm: None,
            shown: Drain::Serving,
            hook: None,
            hook_returned: None,
            job_started: 0,
            job_ended: 0,
            sidecar_started: 0,
            exits: Vec::new(),
            admitted_at: None,
            registrations: 0,
            ado_requests: Vec::new(),
            entra_requests: Vec::new(),
            violations: Vec::new(),
            statuses: Vec::new(),
            sidecar_lost: false,
            log: Vec::new(),
        };
        pod.prepare();
        let mut steps = 0_u32;
        while let Some(((at, _), happening)) = pod.queue.pop_first() {
            pod.now = at;
            pod.happen(happening);
            steps += 1;
            assert!(steps < 400_000, "the run does not end: {:?}", pod.plan);
        }
        pod
    }

    fn prepare(&mut self) {
        for name in ["other-1", "other-2", "agent-00"] {
            let owner = (name != "other-1").then(|| marker("uid-of-another").to_string());
            let id = self.ado.register(name, owner, Keeper::Another, 1_000);
            self.ado.agents.get_mut(&id).expect("just registered").online = true;
        }
        if self.plan.left_over {
            self.ado.register(
                "agent-0",
                Some(marker("uid-before").to_string()),
                Keeper::Another,
                1_000,
            );
        }
        let plan = self.plan.clone();
        self.after(0, Happening::StartSidecar);
        let second = 1_000;
        let mut at = |seconds: u64, happening: Happening| self.after(seconds * second + 7, happening);
        for (index, (start, _)) in plan.jobs.iter().enumerate() {
            at(*start, Happening::Job(index));
        }
        for when in &plan.sidecar_crashes {
            at(*when, Happening::CrashSidecar);
        }
        for when in &plan.sidecar_edits {
            at(*when, Happening::EditSidecar);
        }
        for when in &plan.agent_kills {
            at(*when, Happening::KillAgent);
        }
        if let Some(when) = plan.takeover {
            at(when, Happening::Takeover);
        }
        if let Some(when) = plan.marker_changes {
            at(when, Happening::MarkerChanges);
        }
        if let Some(when) = plan.person_disables {
            at(when, Happening::PersonDisables);
        }
        match plan.end {
            End::Deleted | End::Forced => at(plan.end_at, Happening::DeletePod),
            End::NodeLost => at(plan.end_at, Happening::NodeLost),
        }
        if let Some(after) = plan.kubelet_restart {
            at(plan.end_at + after, Happening::KubeletRestart);
        }
    }

    fn after(&mut self, millis: u64, happening: Happening) {
        self.sequence += 1;
        self.queue.insert((self.now + millis, self.sequence), happening);
    }

    fn draw(&mut self, below: u64) -> u64 {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % below
    }

    fn time(&self) -> Time {
        Time(Duration::from_millis(self.now))
    }

    fn second(&self) -> u64 {
        self.now.saturating_sub(START) / 1000
    }

    fn ado_fault(&self) -> Option<AdoFault> {
        self.plan.ado_fault(self.second())
    }

    fn token_is_good(&self, token: Option<TokenId>) -> bool {
        token.is_some_and(|token| self.tokens.get(&token).is_some_and(|expires| self.now < *expires))
    }

    fn happen(&mut self, happening: Happening) {
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
                self.leaving = Some(self.leaving.unwrap_or(self.now));
                self.lose_sidecar(0);
                self.agent_dies();
            }
            Happening::KubeletRestart => self.kubelet_restart(),
            Happening::HookQuiet => self.run_hook(),
            Happening::OutOfService(id) => self.check_out_of_service(id),
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
