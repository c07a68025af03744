//! Two pods, one pool, and who else acts in it: as small as it can be, and cloned at every fork.

mod action;
mod acts;
mod effects;

pub(crate) use action::{Action, Pod};

use crate::steps::{marker, settings};
use azure_protocol::AdoRequest;
use contract::OutcomeReason;
use lifecycle::{
    Admission, Command, Event, Gate, GatewayEvent, Handoff, Jobs, Lifecycle, Outcome, Settings, Snapshot, Time, TokenId,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// The name that both pods want.
const NAME: &str = "agent-0";
/// How long an action takes, in seconds: within the time that a lookup is used, and so that three are not.
const ACTION: u64 = 2;
/// How long nothing happens, where nothing happens for a while: longer than every pace of registrations.
const WHILE: u64 = 70;
/// How long ago a leftover may have been seen offline when it is replaced, in seconds.
const SEEN: u64 = 6;

/// What is in the pool before the pods come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Before {
    Nothing,
    /// An offline agent of the name that both pods want.
    Leftover,
}

/// Whose an agent is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keeper {
    Pod(Pod),
    Person,
}

/// An agent in the pool.
#[derive(Debug, Clone)]
struct Registration {
    created: u64,
    keeper: Keeper,
    enabled: bool,
    online: bool,
    /// When it was offline last.
    offline_at: u64,
    has_job: bool,
    by_person: bool,
    /// Whose marker it carries.
    marker: Option<Pod>,
}

/// How far the start script is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Script {
    Idle,
    Registered(i64),
    Listening(i64),
}

/// A pod.
#[derive(Debug, Clone)]
struct Member {
    machine: Option<Lifecycle>,
    snapshot: Option<Snapshot>,
    open: Option<(u64, AdoRequest)>,
    /// Whether that was sent while a registration waited.
    registers: bool,
    /// When that was sent.
    sent: u64,
    gate: Option<Gate>,
    /// The question of `config.sh` that is not answered yet.
    asked: Option<u64>,
    begins: Option<u64>,
    /// A registration may be sent.
    may_post: bool,
    questions: u64,
    script: Script,
    /// Whether a registration was sent, as far as its sidecar knows, and not answered.
    is_unanswered: bool,
    /// Whether its sidecar was then shown an agent with the marker of the other one.
    is_in_doubt: bool,
    /// Whether its one job was seen.
    is_used: bool,
    is_terminated: bool,
    outcome: Option<Outcome>,
}

/// Everything.
#[derive(Debug, Clone)]
pub(crate) struct World {
    now: u64,
    jobs: Jobs,
    agents: BTreeMap<i64, Registration>,
    next_id: i64,
    members: [Member; 2],
    pub(crate) violations: Vec<String>,
}

fn uid(pod: Pod) -> &'static str {
    match pod {
        Pod::A => "uid-a",
        Pod::B => "uid-b",
    }
}

impl World {
    /// Both pods have passed their checks.
    pub(crate) fn new(jobs: Jobs, before: Before) -> Self {
        let member = Member {
            machine: None,
            snapshot: None,
            open: None,
            registers: false,
            sent: 0,
            gate: None,
            asked: None,
            begins: None,
            may_post: false,
            questions: 0,
            script: Script::Idle,
            is_unanswered: false,
            is_in_doubt: false,
            is_used: false,
            is_terminated: false,
            outcome: None,
        };
        let mut world = Self {
            now: 1_000,
            jobs,
            agents: BTreeMap::new(),
            next_id: 1,
            members: [member.clone(), member],
            violations: Vec::new(),
        };
        if before == Before::Leftover {
            let id = world.register(Keeper::Person, 10);
            world.agents.entry(id).and_modify(|agent| agent.offline_at = 1_000);
        }
        for pod in [Pod::A, Pod::B] {
            world.start(pod);
            for _ in 0..3 {
                world.answer(pod);
            }
        }
        // What the checks saw is old.
        world.pass(60);
        world
    }

    fn member(&mut self, pod: Pod) -> &mut Member {
        &mut self.members[pod as usize]
    }

    fn time(&self) -> Time {
        Time(Duration::from_secs(self.now))
    }

    fn register(&mut self, keeper: Keeper, created: u64) -> i64 {
        let id = self.next_id;
        self.next_id += 1;
        self.agents.insert(
            id,
            Registration {
                created,
                keeper,
                enabled: true,
                online: false,
                offline_at: created,
                has_job: false,
                by_person: false,
                marker: match keeper {
                    Keeper::Pod(pod) => Some(pod),
                    Keeper::Person => None,
                },
            },
        );
        id
    }

    fn start(&mut self, pod: Pod) {
        let settings = Settings {
            agent_name: NAME.to_owned(),
            marker: marker(uid(pod)),
            handoff: Handoff::Gateway(self.jobs),
            ..settings()
        };
        let now = self.time();
        let member = self.member(pod);
        member.machine = Some(Lifecycle::new(settings, member.snapshot.clone(), 42, now));
        member.open = None;
        self.perform(pod);
        self.tell(
            pod,
            Event::TokenIssued {
                token: TokenId(1),
                lifetime: Duration::from_secs(86_400),
                refresh_in: None,
            },
        );
    }

    fn tell(&mut self, pod: Pod, event: Event) {
        let now = self.time();
        if let Some(machine) = &mut self.member(pod).machine {
            machine.handle(event, now);
        }
        self.perform(pod);
    }

    fn saw(&mut self, pod: Pod, event: GatewayEvent) {
        self.tell(pod, Event::Gateway(event));
    }

    fn perform(&mut self, pod: Pod) {
        while let Some(command) = self.member(pod).machine.as_mut().and_then(Lifecycle::poll_command) {
            match command {
                Command::CallAdo { number, request, .. } => {
                    let now = self.now;
                    let member = self.member(pod);
                    member.sent = now;
                    member.open = Some((number, request));
                    member.registers = member.begins.is_some();
                }
                Command::OpenGate(gate) => {
                    let ended: Vec<i64> = gate.ended.iter().map(|id| id.0).collect();
                    self.member(pod).gate = Some(gate);
                    if let Script::Registered(id) | Script::Listening(id) = self.member(pod).script
                        && ended.contains(&id)
                    {
                        self.member(pod).script = Script::Idle;
                    }
                }
                Command::AnswerRegistration { number, answer } => self.answered(pod, number, &answer),
                Command::Persist(snapshot) => self.member(pod).snapshot = Some(snapshot),
                Command::Exit(outcome) => self.exited(pod, outcome),
                Command::RequestToken { .. }
                | Command::WriteTokenFile(_)
                | Command::WriteDrainFile(_)
                | Command::Report(_)
                | Command::Note { .. } => {}
            }
        }
    }

    fn answered(&mut self, pod: Pod, number: u64, answer: &Admission) {
        let member = self.member(pod);
        if member.asked == Some(number) {
            member.asked = None;
        } else if member.begins == Some(number) {
            member.begins = None;
            member.may_post = *answer == Admission::Go;
        } else {
            self.violations.push(format!("{pod:?}: nobody asked question {number}"));
        }
    }

    fn exited(&mut self, pod: Pod, outcome: Outcome) {
        let stayed: Vec<i64> = self.kept_by(Keeper::Pod(pod));
        let has_job = stayed.iter().any(|id| self.agents[id].has_job);
        if outcome.is_clean() && !stayed.is_empty() {
            self.violations
                .push(format!("{pod:?} left {stayed:?} behind: {outcome:?}"));
        }
        let is_in_doubt = outcome.reason == OutcomeReason::LeftUnproven && self.members[pod as usize].is_in_doubt;
        if !outcome.is_clean() && !has_job && !is_in_doubt {
            self.violations
                .push(format!("{pod:?} had no agent to leave behind: {outcome:?}"));
        }
        let member = self.member(pod);
        member.machine = None;
        member.open = None;
        member.outcome = Some(outcome);
    }

    fn kept_by(&self, keeper: Keeper) -> Vec<i64> {
        let kept = self.agents.iter().filter(|(_, agent)| agent.keeper == keeper);
        kept.map(|(id, _)| *id).collect()
    }

    /// Time passes: deadlines come in their order.
    fn pass(&mut self, seconds: u64) {
        let until = self.now + seconds;
        while let Some((due, pod)) = self.next_deadline().filter(|(due, _)| *due <= until) {
            self.now = self.now.max(due);
            let now = self.time();
            if let Some(machine) = &mut self.member(pod).machine {
                machine.handle_timeout(now);
            }
            self.perform(pod);
        }
        self.now = until;
        for agent in self.agents.values_mut().filter(|agent| !agent.online) {
            agent.offline_at = until;
        }
    }

    /// The next deadline, in whole seconds.
    fn next_deadline(&self) -> Option<(u64, Pod)> {
        let due = |pod: Pod| {
            let (due, _) = self.members[pod as usize].machine.as_ref()?.poll_timeout()?;
            Some((due.0.as_secs() + u64::from(due.0.subsec_nanos() > 0), pod))
        };
        due(Pod::A).into_iter().chain(due(Pod::B)).min()
    }
}
