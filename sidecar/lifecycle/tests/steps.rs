//! What the tests share: values, and a driver that does nothing by itself.

use azure_protocol::{AdoError, AdoErrorKind, AdoRequest, AdoResponse, Agent, AgentId, PoolId, ServerTime, Shortlist};
use contract::{Drain, Marker};
use lifecycle::{
    Admission, Command, Event, Gate, GatewayEvent, Handoff, Lifecycle, Outcome, Settings, Snapshot, Status, Time,
    TokenId,
};
use std::time::Duration;

pub(crate) const POOL: PoolId = PoolId(11);
/// The server's time at the machine's time zero.
pub(crate) const EPOCH: i64 = 1_700_000_000;

pub(crate) fn settings() -> Settings {
    Settings {
        agent_name: "agent-0".to_owned(),
        marker: marker("uid-0"),
        pool: "linux".to_owned(),
        url: "https://dev.azure.com/contoso".to_owned(),
        client_id: "client".to_owned(),
        tenant: Some("tenant".to_owned()),
        grace: Duration::from_secs(600),
        placeholder: false,
        handoff: Handoff::TokenFile,
    }
}

pub(crate) fn marker(uid: &str) -> Marker {
    Marker {
        cluster: "cluster".to_owned(),
        namespace: "namespace".to_owned(),
        pod: "agent-0".to_owned(),
        uid: uid.to_owned(),
    }
}

/// Our agent: online, idle, enabled.
pub(crate) fn agent(id: i64) -> Agent {
    Agent {
        id: AgentId(id),
        name: "agent-0".to_owned(),
        created: Some(ServerTime(EPOCH + 20)),
        enabled: true,
        online: true,
        assigned: Some(false),
        owner: Some(marker("uid-0").to_string()),
    }
}

pub(crate) fn failure(kind: AdoErrorKind) -> AdoError {
    AdoError {
        kind,
        detail: "seen".to_owned(),
        tenant: None,
    }
}

pub(crate) fn at(seconds: f64) -> Time {
    Time(Duration::from_secs_f64(seconds))
}

/// Feeds a machine step by step, and checks what it wants next.
pub(crate) struct Script {
    pub(crate) machine: Lifecycle,
    now: Time,
    commands: Vec<Command>,
    open: Vec<(u64, AdoRequest, Duration)>,
    exchanges: usize,
    asked: usize,
}

impl Script {
    pub(crate) fn new(settings: Settings, restored: Option<Snapshot>) -> Self {
        Self::start(Lifecycle::new(settings, restored, 42, at(0.0)), 0.0)
    }

    pub(crate) fn restored_at(settings: Settings, restored: Snapshot, seconds: f64) -> Self {
        Self::start(Lifecycle::new(settings, Some(restored), 42, at(seconds)), seconds)
    }

    fn start(machine: Lifecycle, seconds: f64) -> Self {
        let mut script = Self {
            machine,
            now: at(seconds),
            commands: Vec::new(),
            open: Vec::new(),
            exchanges: 0,
            asked: 0,
        };
        script.drain();
        script
    }

    fn drain(&mut self) {
        while let Some(command) = self.machine.poll_command() {
            if let Command::CallAdo {
                number,
                request,
                timeout,
                ..
            } = &command
            {
                self.open = vec![(*number, request.clone(), *timeout)];
                self.asked += 1;
            }
            if let Command::RequestToken { .. } = &command {
                self.exchanges += 1;
            }
            self.commands.push(command);
        }
    }

    /// From now on it is this late.
    pub(crate) fn at(&mut self, seconds: f64) -> &mut Self {
        self.now = at(seconds);
        self.machine.handle_timeout(self.now);
        self.drain();
        self
    }

    /// Goes to the next deadline that is not a heartbeat of the drain file.
    pub(crate) fn wait(&mut self) -> (Time, &'static str) {
        for _ in 0..10_000 {
            let (due, why) = self.machine.poll_timeout().expect("a deadline");
            self.now = self.now.max(due);
            self.machine.handle_timeout(self.now);
            self.drain();
            if why != "the drain file is written" {
                return (due, why);
            }
        }
        panic!("nothing but the drain file is due; {:?}", self.machine)
    }

    /// What the drain file says.
    pub(crate) fn shown(&self) -> Drain {
        let written = self.commands.iter().rev().find_map(|command| {
            let Command::WriteDrainFile(drain) = command else {
                return None;
            };
            Some(*drain)
        });
        written.expect("the drain file was written")
    }

    /// What the gateway works by.
    pub(crate) fn gate(&self) -> Gate {
        let opened = self.commands.iter().rev().find_map(|command| {
            let Command::OpenGate(gate) = command else { return None };
            Some(gate.clone())
        });
        opened.expect("the gateway got a gate")
    }

    /// The answer to this question, if it was given.
    pub(crate) fn answered(&self, question: u64) -> Option<Admission> {
        self.commands.iter().find_map(|command| {
            let Command::AnswerRegistration { number, answer } = command else {
                return None;
            };
            (*number == question).then(|| answer.clone())
        })
    }

    /// The gateway saw this.
    pub(crate) fn saw(&mut self, event: GatewayEvent) -> &mut Self {
        self.event(Event::Gateway(event))
    }

    pub(crate) fn event(&mut self, event: Event) -> &mut Self {
        self.machine.handle(event, self.now);
        self.drain();
        self
    }

    /// A token was requested; it is issued.
    pub(crate) fn exchange(&mut self, id: u64, lifetime: u64) {
        assert!(self.requested_token() > 0, "a token is requested: {:?}", self.commands);
        self.exchanges = 0;
        self.event(Event::TokenIssued {
            token: TokenId(id),
            lifetime: Duration::from_secs(lifetime),
            refresh_in: None,
        });
    }

    pub(crate) fn requested_token(&self) -> usize {
        self.exchanges
    }

    /// This token is to be written; it is.
    pub(crate) fn write(&mut self, id: u64) {
        assert!(
            self.commands.contains(&Command::WriteTokenFile(TokenId(id))),
            "token {id} is to be written: {:?}",
            self.commands
        );
        self.event(Event::TokenFileWritten(TokenId(id)));
    }

    fn take(&mut self, request: &AdoRequest) -> u64 {
        let (number, asked, _) = self
            .open
            .pop()
            .unwrap_or_else(|| panic!("{request:?} is to be asked, but nothing is; {:?}", self.machine));
        assert_eq!(&asked, request);
        self.open.clear();
        number
    }

    /// This request is open; it is answered.
    pub(crate) fn answer(&mut self, request: &AdoRequest, answer: AdoResponse) {
        let number = self.take(request);
        self.reply(number, Ok(answer), None);
    }

    /// These requests are sent one after the other; each gets its response.
    pub(crate) fn expect(&mut self, exchanges: impl IntoIterator<Item = (AdoRequest, AdoResponse)>) {
        for (request, response) in exchanges {
            self.answer(&request, response);
        }
    }

    /// The pool's agents are to be listed; they are.
    pub(crate) fn list(&mut self, agents: &[Agent]) {
        self.list_and_pause(agents, None);
    }

    /// They are, and a pause is asked for.
    pub(crate) fn list_and_pause(&mut self, agents: &[Agent], pause: Option<Duration>) {
        let Some(AdoRequest::Agents(POOL, criteria)) = self.open().cloned() else {
            panic!(
                "the agents are to be listed, but {:?} is asked; {:?}",
                self.open(),
                self.machine
            );
        };
        let mut shortlist = Shortlist::new(criteria);
        for agent in agents {
            shortlist.offer(agent.clone());
        }
        let number = self.number();
        self.open.clear();
        self.reply(number, Ok(AdoResponse::Shortlist(shortlist)), pause);
    }

    /// This request is open; it fails.
    pub(crate) fn fail(&mut self, request: &AdoRequest, failure: AdoError, retry_after: Option<Duration>) {
        let number = self.take(request);
        self.reply(number, Err(failure), retry_after);
    }

    /// It is answered, and a pause is asked for.
    pub(crate) fn answer_and_pause(&mut self, request: &AdoRequest, answer: AdoResponse, pause: Duration) {
        let number = self.take(request);
        self.reply(number, Ok(answer), Some(pause));
    }

    pub(crate) fn now(&self) -> Time {
        self.now
    }

    /// Number of the open request.
    pub(crate) fn number(&self) -> u64 {
        self.open.last().expect("a request is open").0
    }

    /// Patience of the open request.
    pub(crate) fn timeout(&self) -> Duration {
        self.open.last().expect("a request is open").2
    }

    pub(crate) fn reply(&mut self, number: u64, result: Result<AdoResponse, AdoError>, retry_after: Option<Duration>) {
        let date = ServerTime(EPOCH + i64::try_from(self.now.0.as_secs()).expect("a short test"));
        self.event(Event::AdoResponded {
            number,
            result,
            retry_after,
            date: Some(date),
        });
    }

    pub(crate) fn open(&self) -> Option<&AdoRequest> {
        self.open.last().map(|(_, request, _)| request)
    }

    pub(crate) fn status(&self) -> Status {
        self.machine.status()
    }

    pub(crate) fn requests(&self) -> usize {
        self.asked
    }

    pub(crate) fn commands(&self) -> &[Command] {
        &self.commands
    }

    /// It has ended.
    pub(crate) fn exit(&self) -> Outcome {
        match self.commands.last() {
            Some(Command::Exit(outcome)) => outcome.clone(),
            other => panic!("it is to end, but the last command is {other:?}; {:?}", self.machine),
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.commands.last(), Some(Command::Exit(_)))
    }

    /// What was persisted last.
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.commands
            .iter()
            .rev()
            .find_map(|command| {
                if let Command::Persist(snapshot) = command {
                    Some(snapshot.clone())
                } else {
                    None
                }
            })
            .expect("something was persisted")
    }
}
