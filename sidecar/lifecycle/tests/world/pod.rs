//! A pod with a kubelet: the agent container with its start script, the sidecar with its restarts, and the clock.

mod agent;
mod gateway;
mod happening;
mod kubelet;
mod sidecar;

use super::ado::{Ado, Keeper};
use super::plan::{AdoFault, End, Plan};
use crate::steps::{marker, settings};
use contract::Drain;
use happening::Happening;
use lifecycle::{Command, Event, GatewayEvent, Handoff, Lifecycle, Outcome, Settings, Snapshot, Status, Time, TokenId};
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Container {
    Waiting,
    Running { registered: Option<i64> },
    Ended,
}

/// When the pod starts, in milliseconds.
pub(crate) const START: u64 = 100_000;

/// What the sidecar received and what it did.
#[derive(Debug)]
#[expect(dead_code, reason = "shown when a run fails")]
pub(crate) enum Logged {
    Event(Event),
    Command(Command),
}

impl Logged {
    /// Whether it is one of the polls, which come all the time.
    pub(crate) fn is_poll(&self) -> bool {
        matches!(
            self,
            Self::Event(Event::Gateway(
                GatewayEvent::PollOpened { .. } | GatewayEvent::PollAnswered { .. }
            ))
        )
    }
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
    pub(crate) terminating: Option<u64>,
    /// The grace period that the kubelet gives, in seconds, and whether that is less than the pod says.
    real_grace: u64,
    is_cut_short: bool,
    /// Counts graces: a restarted kubelet begins a new one.
    grace: u32,
    /// When the sidecar is killed, if it gets SIGTERM.
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
    pub(crate) gateway: gateway::Gateway,
    pub(crate) log: Vec<(u64, Logged)>,
}

fn settings_of(plan: &Plan) -> Settings {
    Settings {
        grace: Duration::from_secs(plan.grace),
        tenant: plan.tenant_known.then(|| "tenant".to_owned()),
        handoff: plan.gateway.map_or(Handoff::TokenFile, Handoff::Gateway),
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
            terminating: None,
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
            gateway: gateway::Gateway::default(),
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
        if self.plan.leftover {
            self.ado.register(
                "agent-0",
                Some(marker("uid-before").to_string()),
                Keeper::Another,
                1_000,
            );
        }
        let plan = self.plan.clone();
        self.ado.replaced_name = plan.gateway.map(|_| "agent-0");
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
        if let Some(when) = plan.removed_outside {
            at(when, Happening::RemovedOutside);
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
}
