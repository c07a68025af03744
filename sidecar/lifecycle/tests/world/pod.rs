//! A pod with a kubelet: the agent container with its start script, the sidecar with its restarts, and the clock.

use super::ado::{Ado, Keeper};
use super::plan::{AdoFault, End, EntraFault, Naming, OnTerm, Plan};
use crate::steps::{marker, settings};
use azure_protocol::{AdoRequest, EntraError, EntraErrorKind};
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
            Happening::Arrive(run, number, question, token, left) => self.arrive(run, number, &question, token, left),
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

    // The sidecar.

    fn start_sidecar(&mut self) {
        if self.sidecar.is_some() || self.leaving.is_some() {
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
    }

    fn tell(&mut self, event: Event) {
        let now = self.time();
        if let Some(sidecar) = &mut self.sidecar {
            self.log.push((self.now, Logged::Event(event.clone())));
            sidecar.handle(event, now);
            self.drain();
        }
    }

    fn wake(&mut self) {
        let now = self.time();
        if let Some(sidecar) = &mut self.sidecar {
            sidecar.handle_timeout(now);
            self.drain();
        }
    }

    fn drain(&mut self) {
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

    fn perform(&mut self, command: Command) {
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
                request: question,
                timeout: patience,
            } => {
                self.ado_requests.push(self.now);
                let patience = u64::try_from(patience.as_millis()).expect("a short patience");
                let way = 20 + self.draw(200);
                self.after(way, Happening::Arrive(run, number, question, token, patience));
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
                if self.file.is_none() && status.agent_may_start && self.run == 1 && self.registrations == 0 {
                    self.violations
                        .push(format!("{}: the agent may start without a token file", self.now));
                }
                self.statuses.push((self.now, status));
            }
            Command::Persist(snapshot) => self.snapshot = Some(snapshot),
            Command::Note { .. } => {}
            Command::Exit(outcome) => self.sidecar_ended(outcome),
        }
    }

    fn exchange(&mut self) -> (u64, Event) {
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

    fn write(&mut self, token: TokenId) {
        if self.draw(20) == 0 {
            return self.tell(Event::TokenFileFailed("no space".to_owned()));
        }
        self.file = Some(token);
        self.tell(Event::TokenFileWritten(token));
    }

    fn arrive(&mut self, run: u32, number: u64, question: &AdoRequest, token: Option<TokenId>, patience: u64) {
        let fault = self.ado_fault();
        let good = self.token_is_good(token);
        let before = self.ado.ours();
        let (result, retry_after) = self.ado.answer(question, good, fault, self.now);
        let way = 20 + self.draw(300);
        let is_late = matches!(fault, Some(AdoFault::Hang | AdoFault::LostAnswer)) || way > patience;
        let (delay, event) = if is_late {
            let result = Err(super::ado::failure(azure_protocol::AdoErrorKind::Unreachable));
            (patience, (result, None, None))
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
            && self.plan.image.ends_when_removed
        {
            self.after(3_000, Happening::AgentEnds(self.incarnation));
        }
    }

    fn sidecar_ended(&mut self, outcome: Outcome) {
        let ours = self.ado.ours();
        let busy = self.ado.has_job();
        self.exits.push(Exit {
            since_term: self.terminated.map_or(0, |at| self.now - at),
            outcome,
            at: self.now,
            agent_lives: self.leaving.is_none() || self.sidecar_lost,
            ours,
            busy,
            since_job: self.now - self.job_ended,
        });
        if self.terminated.is_none() {
            self.violations
                .push(format!("{}: it ended by itself before SIGTERM", self.now));
        }
        self.sidecar = None;
        if self.leaving.is_none() {
            self.after(1_000, Happening::StartSidecar);
        }
    }

    fn lose_sidecar(&mut self, restart_after: u64) {
        if self.sidecar.take().is_some() {
            self.run += 1;
            if self.leaving.is_none() {
                self.after(restart_after, Happening::StartSidecar);
            } else {
                self.sidecar_lost = true;
            }
        } else if self.exits.last().is_none_or(|exit| exit.agent_lives) {
            self.sidecar_lost |= self.leaving.is_some();
        }
    }

    /// Its image is edited in place: it is told to end while the pod lives.
    fn edit_sidecar(&mut self) {
        if self.leaving.is_some() || self.sidecar.is_none() {
            return;
        }
        self.tell(Event::PreStop);
        self.after(100, Happening::TerminateSidecar(self.run));
    }

    fn terminate_sidecar(&mut self) {
        if self.terminated.is_some() || self.sidecar.is_none() {
            return;
        }
        self.terminated = Some(self.now);
        // An edit just before the pod's deletion: SIGTERM comes before its turn, and no other sidecar comes after.
        self.sidecar_lost |= self.leaving.is_some() && matches!(self.agent, Container::Running { .. });
        let begun = self.leaving.unwrap_or(self.now);
        let kill = (self.now + 2_000).max(begun + self.real_grace * 1000);
        self.kill = Some(kill);
        self.after(kill - self.now, Happening::KillSidecar(self.run));
        self.tell(Event::Terminate);
    }

    fn kill_sidecar(&mut self) {
        if self.kill != Some(self.now) || self.sidecar.is_none() {
            return;
        }
        // The end of a grace that is shorter than the pod says comes as a surprise.
        if !self.is_cut_short {
            self.violations
                .push(format!("{}: it was killed, for it had not ended", self.now));
        }
        self.lose_sidecar(1_000);
    }

    // The agent container.

    fn start_agent(&mut self) {
        if self.leaving.is_some() || matches!(self.agent, Container::Running { .. }) {
            return;
        }
        self.incarnation += 1;
        self.agent = Container::Running { registered: None };
        self.after(
            self.plan.image.registers_after * 1000,
            Happening::Register(self.incarnation),
        );
    }

    fn register(&mut self) {
        let image = self.plan.image;
        let may = self.file.is_some_and(|token| self.token_is_good(Some(token)));
        if !may || self.ado_fault().is_some() {
            return self.agent_ends();
        }
        let name = match image.naming {
            Naming::Expected => "agent-0".to_owned(),
            Naming::Akin => "pool-agent-0-abc".to_owned(),
            Naming::Invented => "wonderful-tesla".to_owned(),
        };
        let owner = (!image.scrubs).then(|| marker("uid-0").to_string());
        let taken = self.ado.agents.values().any(|agent| agent.name == name && agent.online);
        if taken {
            return self.agent_ends();
        }
        let id = self.ado.register(&name, owner, Keeper::Pod, self.now);
        self.ado.agents.get_mut(&id).expect("just registered").online = true;
        self.registrations += 1;
        if self.leaving.is_some() && self.registrations == 1 {
            // Every look of at most 36 s finds it, and every second one where it took over an agent from before, or
            // invented its name. A restarted kubelet makes the sidecar begin again.
            let by_every_look = image.naming == Naming::Expected && !self.plan.left_over;
            let again = if self.plan.kubelet_restart.is_some() { 80_000 } else { 0 };
            let patience = again + if by_every_look { 40_000 } else { 80_000 };
            self.after(patience, Happening::OutOfService(id));
        }
        self.agent = Container::Running { registered: Some(id) };
        if image.deletes_file && self.file.take().is_some() {
            self.after(1, Happening::ToSidecar(self.run, Event::TokenFileRemoved));
        }
    }

    fn job(&mut self, index: usize) {
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
        }
    }

    fn job_ends(&mut self, id: i64, job: usize) {
        if let Some(agent) = self.ado.agents.get_mut(&id)
            && agent.job == Some(job)
        {
            agent.job = None;
            self.job_ended = self.now;
            if self.plan.image.once {
                self.script_ends();
            }
        }
    }

    fn term_agent(&mut self) {
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

    fn term_ends(&mut self) {
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
    fn script_ends(&mut self) {
        if let (OnTerm::End { removes: true, .. }, Container::Running { registered: Some(id) }) =
            (self.plan.image.on_term, self.agent)
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
    fn agent_dies(&mut self) {
        self.hook = None;
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

    fn agent_ends(&mut self) {
        self.agent_dies();
        if self.leaving.is_some() {
            self.after(200, Happening::TerminateSidecar(self.run));
        } else if self.plan.restarts {
            self.after(10_000, Happening::StartAgent);
        } else {
            // The pod is complete: the sidecar gets the whole grace. One that is just being restarted does not come back.
            self.leaving = Some(self.now);
            self.sidecar_lost = self.sidecar.is_none() || self.terminated.is_some();
            self.tell(Event::PreStop);
            self.after(100, Happening::TerminateSidecar(self.run));
        }
    }

    // The kubelet.

    fn delete_pod(&mut self) {
        if self.leaving.is_some() {
            return;
        }
        self.check_enabled();
        self.leaving = Some(self.now);
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
    fn start_hook(&mut self) {
        self.hook = Some(self.now);
        self.after(5_000, Happening::HookQuiet);
    }

    fn run_hook(&mut self) {
        let Some(since) = self.hook else { return };
        if self.shown == Drain::Drained || self.now >= since + 5_000 {
            self.hook = None;
            self.hook_returned = Some(self.now);
            self.term_agent();
        }
    }

    /// An agent that registered while the pod was leaving gets no more jobs.
    fn check_out_of_service(&mut self, id: i64) {
        let is_there = self.sidecar.is_some() && self.terminated.is_none() && !self.sidecar_lost;
        let may_get_jobs = self.ado.agents.get(&id).is_some_and(|agent| agent.enabled);
        if self.is_fair() && is_there && self.is_provable(id) && may_get_jobs {
            self.violations.push(format!(
                "{}: agent {id} came after the pod began to leave and is still in service",
                self.now
            ));
        }
    }

    /// Whether an answer can show that this agent is ours. One that a successor took over, or whose marker a job changed,
    /// is not; without a marker, one that took over an agent from before is nobody's.
    fn is_provable(&self, id: i64) -> bool {
        self.ado.agents.get(&id).is_some_and(|agent| {
            let is_marked = match &agent.owner {
                Some(owner) => *owner == marker("uid-0").to_string(),
                None => !self.plan.left_over,
            };
            agent.keeper == Keeper::Pod && is_marked
        })
    }

    fn is_fair(&self) -> bool {
        self.plan.ado.is_empty() && self.plan.entra.is_empty() && self.plan.sidecar_crashes.is_empty()
    }

    /// A sidecar that has been there for a while leaves no agent disabled but those that a person disabled.
    fn check_enabled(&mut self) {
        let is_there = self.sidecar.is_some() && self.terminated.is_none() && self.now > self.sidecar_started + 20_000;
        if !self.is_fair() || !is_there {
            return;
        }
        for id in self.ado.ours() {
            let agent = &self.ado.agents[&id];
            if !agent.enabled && agent.disabled_by_person.is_none() {
                self.violations
                    .push(format!("{}: agent {id} was left disabled", self.now));
            }
        }
    }

    fn grace_ends(&mut self) {
        if let Container::Running { .. } = self.agent {
            self.agent_dies();
        }
        self.terminate_sidecar();
    }

    /// The whole grace begins again; the agent gets no second SIGTERM.
    fn kubelet_restart(&mut self) {
        if self.leaving.is_none() || self.terminated.is_some() || self.plan.end != End::Deleted {
            return;
        }
        self.grace += 1;
        self.leaving = Some(self.now);
        self.tell(Event::PreStop);
        if self.hook.is_some() {
            self.start_hook();
        }
        self.after(self.real_grace * 1000, Happening::GraceEnds(self.grace));
    }
}
