//! The gateway and the agent that goes through it: registration, session, polls, jobs, and what the gateway reports of them.

mod listener;

use super::{Container, Happening, Pod};
use crate::steps::marker;
use crate::world::ado::Keeper;
use crate::world::plan::AdoFault;
use azure_protocol::{AgentId, ServerTime};
use lifecycle::{Admission, Event, Gate, GatewayEvent, Jobs, RegistrationFailure, Traffic};
use std::collections::BTreeMap;

/// How long after the one before a poll is answered, in milliseconds.
const POLL: u64 = 50_000;
/// How often a lock is renewed.
const RENEWAL: u64 = 60_000;

/// What happens next.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    /// `config.sh` goes on after its lookup.
    Begin(u32),
    /// The registration reaches Azure DevOps, with this run of the sidecar.
    Post(u32, u32),
    /// `run.sh` opens a session.
    Session(u32),
    /// A poll is answered.
    Poll(u32),
    Renew(u32, i64, usize),
    /// Its job is over, which the sidecar knows: the agent is to be gone.
    Gone(i64),
    /// The listener has read that its agent is gone.
    ListenerEnds(u32),
}

/// What `config.sh` asked, and of which run of the container.
#[derive(Debug, Clone, Copy)]
enum Question {
    LookUp(u32),
    Register(u32),
    /// `config.sh remove`.
    Remove,
}

/// The gateway of the sidecar that runs, and the agent's end of it.
#[derive(Debug, Default)]
pub(crate) struct Gateway {
    gate: Option<Gate>,
    questions: BTreeMap<u64, Question>,
    last_question: u64,
    /// The name of the registration that was sent last.
    sent: String,
    /// Polls that this run of the sidecar knows of.
    polls: u32,
    /// Whether the agent has a session.
    has_session: bool,
    /// When the first job was seen.
    pub(crate) first_renewal: Option<u64>,
    /// Whether the sidecar got SIGTERM while the pod kept running: until it exits it takes the pod for a terminating one.
    pub(crate) was_edited: bool,
    /// How many jobs were assigned.
    pub(crate) jobs: usize,
    /// How many questions were asked.
    pub(crate) asked: usize,
}

impl Pod {
    fn saw(&mut self, event: GatewayEvent) {
        if self.plan.gateway.is_some() {
            self.tell(Event::Gateway(event));
        }
    }

    fn step(&mut self, millis: u64, step: Step) {
        self.after(millis, Happening::Gateway(step));
    }

    fn ask(&mut self, question: Question, event: impl FnOnce(u64) -> GatewayEvent) {
        self.gateway.last_question += 1;
        self.gateway.asked += 1;
        let number = self.gateway.last_question;
        self.gateway.questions.insert(number, question);
        self.saw(event(number));
    }

    fn is_shut(&self) -> bool {
        let only_polls = |gate: &Gate| gate.traffic == Traffic::OnlyPolls;
        self.sidecar.is_none() || self.gateway.gate.as_ref().is_none_or(only_polls)
    }

    /// `config.sh` looks its name up.
    pub(super) fn ask_to_register(&mut self) {
        if self.is_shut() {
            // A refused connection ends it.
            return self.agent_ends();
        }
        let name = self.agent_name();
        self.ask(Question::LookUp(self.incarnation), |number| {
            GatewayEvent::RegistrationAsked { number, name }
        });
    }

    pub(super) fn open_gate(&mut self, gate: Gate) {
        let ended = |id: i64| gate.ended.contains(&AgentId(id));
        if let Container::Running { registered: Some(id) } = self.agent
            && ended(id)
            && self.gateway.has_session
        {
            self.step(50, Step::ListenerEnds(self.incarnation));
        }
        self.gateway.gate = Some(gate);
    }

    pub(super) fn answer_registration(&mut self, number: u64, answer: Admission) {
        let Some(question) = self.gateway.questions.remove(&number) else {
            self.violations.push(format!(
                "{}: question {number} is answered, which was not asked",
                self.now
            ));
            return;
        };
        match (question, answer) {
            (Question::LookUp(incarnation), Admission::Go) if incarnation == self.incarnation => {
                self.step(1_500, Step::Begin(incarnation))
            }
            (Question::Register(incarnation), Admission::Go) => {
                let way = 20 + self.draw(400);
                self.step(way, Step::Post(incarnation, self.run));
            }
            (Question::LookUp(incarnation) | Question::Register(incarnation), Admission::Refused(_))
                if incarnation == self.incarnation =>
            {
                self.after(100, Happening::AgentEnds(incarnation));
            }
            (Question::Remove, Admission::Go) => self.remove_own(),
            (Question::LookUp(_) | Question::Register(_) | Question::Remove, _) => {}
        }
    }

    pub(super) fn gateway_step(&mut self, step: Step) {
        match step {
            Step::Begin(incarnation) if incarnation == self.incarnation => {
                if self.is_shut() {
                    return self.agent_ends();
                }
                let name = self.agent_name();
                self.gateway.sent.clone_from(&name);
                self.ask(Question::Register(incarnation), |number| {
                    GatewayEvent::RegistrationBegins { number, name }
                });
            }
            Step::Post(incarnation, run) => self.post(incarnation, run),
            Step::Session(incarnation) if incarnation == self.incarnation => self.open_session(),
            Step::Poll(incarnation) if incarnation == self.incarnation => self.poll(),
            Step::Renew(incarnation, id, job) if incarnation == self.incarnation => self.renew(id, job),
            Step::ListenerEnds(incarnation) if incarnation == self.incarnation && self.gateway.has_session => {
                self.gateway.has_session = false;
                self.after(500, Happening::AgentEnds(incarnation));
            }
            Step::Gone(id) => self.check_gone(id),
            Step::Begin(_) | Step::Session(_) | Step::Poll(_) | Step::Renew(..) | Step::ListenerEnds(_) => {}
        }
    }

    /// Azure DevOps gets the registration; the answer goes to the run of the sidecar that sent it.
    fn post(&mut self, incarnation: u32, run: u32) {
        let token = self.gateway.gate.as_ref().and_then(|gate| gate.token);
        let name = self.gateway.sent.clone();
        let fault = self.ado_fault();
        let is_taken = self.ado.agents.values().any(|agent| agent.name == name);
        let is_lost = matches!(fault, Some(AdoFault::LostAnswer | AdoFault::Hang));
        let is_made = match fault {
            None | Some(AdoFault::LostAnswer | AdoFault::RetryAfterOnSuccess(_)) => {
                !is_taken && self.token_is_good(token)
            }
            Some(_) => false,
        };
        if let (Some(at), Some(Jobs::One)) = (self.gateway.first_renewal, self.plan.gateway)
            && is_made
        {
            self.violations.push(format!(
                "{}: an agent registered after the one job was seen at {at}",
                self.now
            ));
        }
        // Then `config.sh` gets no answer either.
        let crashes = self.plan.crash_at_registration == Some(self.registrations + 1);
        let made = is_made.then(|| {
            let owner = (!self.plan.image.scrubs).then(|| marker("uid-0").to_string());
            let id = self.ado.register(&name, owner, Keeper::Pod, self.now);
            self.registrations += 1;
            if incarnation == self.incarnation
                && matches!(self.agent, Container::Running { .. })
                && !is_lost
                && !crashes
            {
                self.agent = Container::Running { registered: Some(id) };
                let wait = 2_000 + self.draw(4_000);
                self.step(wait, Step::Session(incarnation));
            }
            id
        });
        if self.ado.ours().len() > 1 {
            self.violations.push(format!("{}: two agents of one pod", self.now));
        }
        if made.is_some() && crashes {
            self.lose_sidecar(10_000);
            self.after(100, Happening::AgentEnds(incarnation));
        }
        if run != self.run {
            return;
        }
        match made {
            Some(id) if !is_lost => {
                let created = Some(ServerTime(self.ado.agents[&id].created));
                self.saw(GatewayEvent::Registered {
                    id: AgentId(id),
                    created,
                    name,
                });
            }
            Some(_) | None => {
                let failure = if is_lost {
                    RegistrationFailure::Unanswered
                } else {
                    RegistrationFailure::Refused
                };
                self.saw(GatewayEvent::RegistrationFailed(failure));
                self.after(100, Happening::AgentEnds(incarnation));
            }
        }
    }

    /// The sidecar ended: open requests get no answer.
    pub(super) fn gateway_is_gone(&mut self) {
        if self.plan.gateway.is_none() {
            return;
        }
        self.gateway.gate = None;
        self.gateway.polls = 0;
        for (_, question) in std::mem::take(&mut self.gateway.questions) {
            if let Question::LookUp(incarnation) | Question::Register(incarnation) = question {
                self.after(3_000, Happening::AgentEnds(incarnation));
            }
        }
    }

    /// `config.sh remove`, with the gateway: finds the pod's agent, or nothing.
    pub(super) fn removes_through_the_gateway(&mut self, _id: i64) -> bool {
        if self.plan.gateway.is_none() {
            return false;
        }
        if !self.is_shut() {
            let name = self.agent_name();
            self.ask(Question::Remove, |number| GatewayEvent::RegistrationAsked {
                number,
                name,
            });
        }
        true
    }

    fn remove_own(&mut self) {
        let gate = self.gateway.gate.clone();
        let Some((own, token)) = gate.and_then(|gate| gate.own.zip(gate.token)) else {
            return;
        };
        let is_idle = self.ado.agents.get(&own.0).is_some_and(|agent| agent.job.is_none());
        if is_idle && self.token_is_good(Some(token)) && self.ado_fault().is_none() {
            self.ado.agents.remove(&own.0);
            self.after(
                5,
                Happening::ToSidecar(self.run, Event::Gateway(GatewayEvent::Unregistered { id: own })),
            );
        }
    }

    /// Another pod of the same name: it waits for the name as ours would, and gets a new agent.
    pub(super) fn successor_registers(&mut self) {
        let holder = self.ado.agents.iter().find(|(_, agent)| agent.name == "agent-0");
        match holder.map(|(id, agent)| (*id, agent.online || agent.job.is_some())) {
            Some((_, true)) => return,
            Some((id, false)) => {
                self.ado.agents.remove(&id);
            }
            None => {}
        }
        let owner = Some(marker("uid-after").to_string());
        let id = self.ado.register("agent-0", owner, Keeper::Another, self.now);
        if let Some(agent) = self.ado.agents.get_mut(&id) {
            agent.online = true;
        }
    }

    /// A person, or a sweep, removes an agent of ours that has no job.
    pub(super) fn remove_outside(&mut self) {
        self.ado
            .agents
            .retain(|_, agent| agent.keeper != Keeper::Pod || agent.job.is_some());
    }
}
