//! The event loop: performs the machine's commands and reports what happened. It makes no decision itself.
//!
//! **Invariant:** this file and `local.rs` have every `select!` and every `spawn`. **Invariant:** between the machine's
//! deadlines nothing wakes the process but an event.

use crate::clock;
use crate::config::{Config, Places, Remote};
use crate::gateway::{self, Gateway};
use crate::local::Local;
use crate::socket::{Client, ClientCommand, Details};
use crate::timer::Timer;
use crate::token_file::TokenFile;
use anyhow::Context;
use azure::{AdoReply, Issued, Secret};
use azure_protocol::{AdoRequest, EntraError};
use contract::Reason;
use lifecycle::{
    Command, Event, Gate, GatewayEvent, Lifecycle, Outcome, Refusal, Refused, Settings, Severity, TokenId,
};
use rustix::rand::{GetRandomFlags, getrandom};
use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{AbortHandle, JoinSet};
use tracing::{debug, info, warn};

/// Tokens that are kept: the machine uses the newest, and the previous one while it is being replaced.
const TOKENS_KEPT: usize = 3;

/// Runs the sidecar until it ends itself. The first time that `shutdown` is ready is SIGTERM.
///
/// # Errors
/// The state volume cannot be used at all. Everything else is the machine's business.
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> anyhow::Result<Outcome> {
    match config {
        Config::Refused { refusal, places } => Ok(refuse(refusal, Local::open(places)?, shutdown).await),
        Config::Ready {
            settings,
            remote,
            places,
        } => drive(Driver::new(*settings, remote, places)?, shutdown).await,
    }
}

/// The configuration is refused: reports that until SIGTERM.
async fn refuse(refusal: Refusal, mut local: Local, shutdown: impl Future<Output = ()>) -> Outcome {
    let mut refused = Refused::new(refusal, local.restore(), clock::now());
    local.persist(refused.snapshot());
    local.write_drain_file(refused.drain());
    local.report(&refused.status());
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => {
                info!("received SIGTERM");
                let outcome = refused.terminate(clock::now());
                local.persist(refused.snapshot());
                local.report_outcome(&outcome);
                return outcome;
            }
            client = local.client() => {
                if client.command == ClientCommand::PreStop {
                    info!("the pod is terminating");
                    refused.pre_stop(clock::now());
                    local.persist(refused.snapshot());
                    local.write_drain_file(refused.drain());
                }
                local.answer(client, refused.status(), Details::default());
            }
        }
    }
}

async fn drive(mut driver: Driver, shutdown: impl Future<Output = ()>) -> anyhow::Result<Outcome> {
    let timer = Timer::new().context("no timer can be created")?;
    let mut shutdown = pin!(shutdown);
    let mut is_terminating = false;
    loop {
        if let Some(outcome) = driver.perform() {
            return Ok(outcome);
        }
        let deadline = driver.machine.poll_timeout();
        tokio::select! {
            biased;
            () = &mut shutdown, if !is_terminating => {
                is_terminating = true;
                info!("received SIGTERM");
                driver.handle(Event::Terminate);
            }
            Some(done) = driver.tasks.join_next() => match done {
                Ok(done) => driver.done(done),
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                // A canceled request.
                Err(_cancelled) => {}
            },
            client = driver.local.client() => driver.serve(client),
            Some(event) = next_event(driver.gateway.as_mut()) => driver.gateway_event(event),
            removed = driver.token_file.removed() => match removed {
                Ok(()) => driver.token_file_removed(),
                Err(error) => warn!(%error, "the token file is no longer watched"),
            },
            waited = timer.until(deadline.map(|(at, _)| at)) => {
                waited.context("the timer failed")?;
                debug!(why = deadline.map(|(_, why)| why), "a deadline passed");
                driver.machine.handle_timeout(clock::now());
            }
        }
    }
}

/// The gateway's next event; pending forever without a gateway.
async fn next_event(gateway: Option<&mut Gateway>) -> Option<GatewayEvent> {
    match gateway {
        Some(gateway) => gateway.next_event().await,
        None => std::future::pending().await,
    }
}

/// A request to Entra or Azure DevOps that is done, with or without a response.
enum Done {
    Exchanged(Result<Issued, EntraError>),
    Called { number: u64, reply: AdoReply },
}

struct Driver {
    machine: Lifecycle,
    remote: Remote,
    local: Local,
    tokens: VecDeque<(TokenId, Secret)>,
    issued: u64,
    tasks: JoinSet<Done>,
    call: Option<AbortHandle>,
    token_file: TokenFile,
    /// Only with the handoff `gateway`.
    gateway: Option<Gateway>,
}

impl Driver {
    /// # Errors
    /// The state volume cannot be used, or another process has the gateway's port.
    fn new(settings: Settings, mut remote: Remote, places: Places) -> anyhow::Result<Self> {
        let mut seed = [0; 8];
        // Without randomness the jitter is less useful, and nothing else.
        let _ = getrandom(&mut seed, GetRandomFlags::empty());
        let mut token_file = TokenFile::new(&places.handoff_dir, places.token_file_mode);
        let local = Local::open(places)?;
        let open = |pod| open_gateway(pod, &local);
        let gateway = remote.gateway.take().map(open).transpose()?;
        if gateway.is_some() {
            write_ticket(&mut token_file);
        }
        Ok(Self {
            machine: Lifecycle::new(settings, local.restore(), u64::from_ne_bytes(seed), clock::now()),
            remote,
            local,
            tokens: VecDeque::new(),
            issued: 0,
            tasks: JoinSet::new(),
            call: None,
            token_file,
            gateway,
        })
    }

    fn handle(&mut self, event: Event) {
        self.machine.handle(event, clock::now());
    }

    /// Performs all pending commands; returns the outcome if one of them ends the process.
    fn perform(&mut self) -> Option<Outcome> {
        while let Some(command) = self.machine.poll_command() {
            match command {
                Command::RequestToken { tenant } => self.request_token(tenant),
                Command::WriteTokenFile(token) => self.write_token_file(token),
                Command::WriteDrainFile(drain) => self.local.write_drain_file(drain),
                Command::CallAdo {
                    number,
                    token,
                    request,
                    timeout,
                } => self.call(number, token, request, timeout),
                Command::OpenGate(gate) => self.open_gate(gate),
                Command::AnswerRegistration { number, answer } => {
                    debug!(number, ?answer, "registration");
                    if let Some(gateway) = &self.gateway {
                        gateway.answer(number, answer);
                    }
                }
                Command::Report(status) => self.local.report(&status),
                Command::Persist(snapshot) => self.local.persist(snapshot),
                Command::Note {
                    severity,
                    reason,
                    sentence,
                } => note(severity, reason, &sentence),
                Command::Exit(outcome) => {
                    self.local.report_outcome(&outcome);
                    return Some(outcome);
                }
            }
        }
        None
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Exchanged(Ok(issued)) => self.issued(issued),
            Done::Exchanged(Err(refusal)) => {
                debug!(kind = ?refusal.kind, detail = refusal.detail, "no token");
                self.handle(Event::TokenRefused(refusal));
            }
            Done::Called { number, reply } => {
                debug!(number, result = ?reply.result, "response");
                self.handle(Event::AdoResponded {
                    number,
                    result: reply.result,
                    retry_after: reply.retry_after,
                    date: reply.date,
                });
            }
        }
    }

    fn serve(&mut self, client: Client) {
        if client.command == ClientCommand::PreStop {
            info!("the pod is terminating");
            self.handle(Event::PreStop);
        }
        let settings = self.machine.settings();
        let details = Details {
            organization: Some(settings.url.clone()),
            pool: Some(settings.pool.clone()),
            agent: Some(settings.agent_name.clone()),
            token: self.machine.token_age(clock::now()),
        };
        self.local.answer(client, self.machine.status(), details);
    }

    fn token_file_removed(&mut self) {
        match self.gateway {
            Some(_) => write_ticket(&mut self.token_file),
            None => self.handle(Event::TokenFileRemoved),
        }
    }

    fn open_gate(&self, gate: Gate) {
        debug!(?gate, "the gateway applies a new gate");
        if let Some(gateway) = &self.gateway {
            let token = gate.token.and_then(|id| held(&self.tokens, id)).cloned();
            gateway.open(gate, token);
        }
    }

    fn gateway_event(&mut self, event: GatewayEvent) {
        debug!(?event, "event of the gateway");
        self.handle(Event::Gateway(event));
    }

    fn request_token(&mut self, tenant: String) {
        debug!(tenant, "requesting a token");
        let entra = Arc::clone(&self.remote.entra);
        self.tasks
            .spawn(async move { Done::Exchanged(entra.exchange(&tenant).await) });
    }

    fn issued(&mut self, issued: Issued) {
        self.issued += 1;
        let token = TokenId(self.issued);
        debug!(
            token = token.0,
            lifetime = issued.lifetime.as_secs(),
            "a token was issued"
        );
        self.tokens.push_back((token, issued.token));
        while self.tokens.len() > TOKENS_KEPT {
            self.tokens.pop_front();
        }
        self.handle(Event::TokenIssued {
            token,
            lifetime: issued.lifetime,
            refresh_in: issued.refresh_in,
        });
    }

    fn write_token_file(&mut self, id: TokenId) {
        let written = match held(&self.tokens, id) {
            Some(token) => self.token_file.write(token).map_err(|error| error.to_string()),
            None => Err("the token is no longer held".to_owned()),
        };
        self.handle(match written {
            Ok(()) => Event::TokenFileWritten(id),
            Err(problem) => Event::TokenFileFailed(format!("{}: {problem}", self.token_file.volume().display())),
        });
    }

    fn call(&mut self, number: u64, token: Option<TokenId>, request: AdoRequest, timeout: Duration) {
        if let Some(open) = self.call.take() {
            open.abort();
        }
        debug!(number, ?request, ?timeout, "request");
        let secret = token.and_then(|id| held(&self.tokens, id)).cloned();
        // A request that needs a token is never sent without one.
        let is_sendable = token.is_none() || secret.is_some();
        let azure_devops = Arc::clone(&self.remote.azure_devops);
        self.call = Some(self.tasks.spawn(async move {
            let reply = if is_sendable {
                azure_devops.call(&request, secret.as_ref(), timeout).await
            } else {
                AdoReply::unreachable("the token is no longer held")
            };
            Done::Called { number, reply }
        }));
    }
}

/// For images that read their token from a file. The ticket is not a secret, so the machine has nothing to decide about it.
fn write_ticket(token_file: &mut TokenFile) {
    if let Err(error) = token_file.write(&Secret::new(contract::TICKET.to_owned())) {
        let place = token_file.volume().display();
        warn!(%error, %place, "the ticket cannot be written: an image that reads it from a file will not start");
    }
}

fn open_gateway(pod: Box<gateway::Pod>, local: &Local) -> anyhow::Result<Gateway> {
    let port = pod.port;
    Gateway::start(*pod).map_err(|error| {
        let sentence = format!(
            "the gateway cannot listen on 127.0.0.1:{port}: let no container of the pod use that port, or name another with the \
             annotation {}",
            contract::GATEWAY_PORT_ANNOTATION
        );
        local.report_failure(Reason::GatewayFailed, &format!("{sentence}: {error}"));
        anyhow::Error::from(error).context(sentence)
    })
}

fn held(tokens: &VecDeque<(TokenId, Secret)>, id: TokenId) -> Option<&Secret> {
    tokens.iter().find(|(known, _)| *known == id).map(|(_, token)| token)
}

fn note(severity: Severity, reason: Reason, sentence: &str) {
    match severity {
        Severity::Info => info!(reason = %reason, "{sentence}"),
        Severity::Warning => warn!(reason = %reason, "{sentence}"),
    }
}
