//! The loop: performs what the machine commands and tells it what happened. Nothing here decides anything.
//!
//! **Invariant:** this file has the only `select!` and the only `spawn`. **Invariant:** between the machine's deadlines
//! nothing wakes the process but an event.

use crate::config::{Config, Places, Remote};
use crate::drain_file::DrainFile;
use crate::socket::{self, Client, ClientCommand};
use crate::timer::Timer;
use crate::token_file::TokenFile;
use crate::{clock, state, termination};
use anyhow::Context;
use azure::{AdoReply, Issued, Secret};
use azure_protocol::{AdoRequest, EntraError, EntraErrorKind};
use contract::{Drain, Reason};
use lifecycle::{Command, Event, Lifecycle, Outcome, Severity, Snapshot, Status, TokenId};
use rustix::rand::{GetRandomFlags, getrandom};
use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;
use tracing::{debug, info, warn};

/// Tokens that are kept: the machine speaks of the newest, and of the one before while it is being replaced.
const TOKENS_KEPT: usize = 3;

/// Runs the sidecar until the machine ends it. The first time that `shutdown` is ready is SIGTERM.
///
/// # Errors
/// The state volume cannot be used at all. Everything else is the machine's business.
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> anyhow::Result<Outcome> {
    let state_dir = &config.places().state_dir;
    let listener =
        socket::bind(state_dir).with_context(|| format!("the socket in {} cannot be created", state_dir.display()))?;
    let timer = Timer::new().context("no timer can be created")?;
    let mut driver = Driver::new(config);
    let mut shutdown = pin!(shutdown);
    let mut is_terminating = false;
    let mut listen_again = Instant::now();
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
                driver.tell(Event::Terminate);
            }
            Some(done) = driver.tasks.join_next() => match done {
                Ok(done) => driver.done(done),
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                // A question that was given up.
                Err(_cancelled) => {}
            },
            accepted = socket::accept(&listener, listen_again) => match accepted {
                Ok(stream) => {
                    driver.tasks.spawn(async { Done::Came(socket::read(stream).await) });
                }
                Err(error) => {
                    warn!(%error, "a probe could not be accepted");
                    listen_again = Instant::now() + socket::PAUSE;
                }
            },
            removed = removed(driver.token_file.as_ref()) => match removed {
                Ok(()) => driver.tell(Event::TokenFileRemoved),
                Err(error) => {
                    warn!(%error, "the token file is no longer watched");
                    driver.token_file = None;
                }
            },
            waited = timer.until(deadline.map(|(at, _)| at)) => {
                waited.context("the timer failed")?;
                debug!(why = deadline.map(|(_, why)| why), "a deadline passed");
                driver.machine.handle_timeout(clock::now());
            }
        }
    }
}

/// Something that was going on has ended.
enum Done {
    Exchanged(Result<Issued, EntraError>),
    Called { number: u64, reply: AdoReply },
    Came(Option<Client>),
    Left,
}

struct Driver {
    machine: Lifecycle,
    /// None where the configuration is refused; the machine then commands no request.
    remote: Option<Remote>,
    tokens: VecDeque<(TokenId, Secret)>,
    issued: u64,
    tasks: JoinSet<Done>,
    call: Option<AbortHandle>,
    token_file: Option<TokenFile>,
    drain_file: Option<DrainFile>,
    places: Places,
}

impl Driver {
    fn new(config: Config) -> Self {
        let restored = state::load(&config.places().state_dir).unwrap_or_else(|error| {
            warn!(%error, "the state of the previous run cannot be read");
            None
        });
        let mut seed = [0; 8];
        // Without randomness the jitter is less useful, and nothing else.
        let _ = getrandom(&mut seed, GetRandomFlags::empty());
        let (seed, now) = (u64::from_ne_bytes(seed), clock::now());
        let (machine, remote, places) = match config {
            Config::Refused { refusal, places } => (Lifecycle::refused(refusal, restored, seed, now), None, places),
            Config::Ready {
                settings,
                remote,
                places,
            } => (Lifecycle::new(*settings, restored, seed, now), Some(remote), places),
        };
        Self {
            machine,
            remote,
            tokens: VecDeque::new(),
            issued: 0,
            tasks: JoinSet::new(),
            call: None,
            token_file: None,
            drain_file: None,
            places,
        }
    }

    fn tell(&mut self, event: Event) {
        self.machine.handle(event, clock::now());
    }

    /// Performs every command that waits; the outcome where one of them ends the process.
    fn perform(&mut self) -> Option<Outcome> {
        while let Some(command) = self.machine.poll_command() {
            match command {
                Command::RequestToken { tenant } => self.request_token(tenant),
                Command::WriteTokenFile(token) => self.write_token_file(token),
                Command::WriteDrainFile(drain) => self.write_drain_file(drain),
                Command::CallAdo {
                    number,
                    token,
                    request,
                    timeout,
                } => self.call(number, token, request, timeout),
                Command::Report(status) => self.report(&status),
                Command::Persist(snapshot) => self.persist(snapshot),
                Command::Note {
                    severity,
                    reason,
                    sentence,
                } => note(severity, reason, &sentence),
                Command::Exit(outcome) => {
                    if outcome.is_clean() {
                        info!(outcome = %outcome.reason, "{}", outcome.sentence);
                    } else {
                        warn!(outcome = %outcome.reason, "{}", outcome.sentence);
                    }
                    termination::write(&self.places.termination_log, outcome.reason.into(), &outcome.sentence);
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
                self.tell(Event::TokenRefused(refusal));
            }
            Done::Called { number, reply } => {
                debug!(number, result = ?reply.result, "response");
                self.tell(Event::AdoResponded {
                    number,
                    result: reply.result,
                    retry_after: reply.retry_after,
                    date: reply.date,
                });
            }
            Done::Came(Some(client)) => {
                if client.command == ClientCommand::PreStop {
                    info!("the pod is terminating");
                    self.tell(Event::PreStop);
                }
                let status = self.machine.status();
                self.tasks.spawn(async {
                    client.answer(status).await;
                    Done::Left
                });
            }
            Done::Came(None) | Done::Left => {}
        }
    }

    fn request_token(&mut self, tenant: String) {
        debug!(tenant, "a token is asked for");
        let entra = self.remote.as_ref().map(|remote| Arc::clone(&remote.entra));
        self.tasks.spawn(async move {
            Done::Exchanged(match entra {
                Some(entra) => entra.exchange(&tenant).await,
                None => Err(EntraError {
                    kind: EntraErrorKind::Refused,
                    detail: "no request is sent while the configuration is refused".to_owned(),
                    retry_after: None,
                    assertion_changed: false,
                }),
            })
        });
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
        self.tell(Event::TokenIssued {
            token,
            lifetime: issued.lifetime,
            refresh_in: issued.refresh_in,
        });
    }

    fn token(&self, id: TokenId) -> Option<&Secret> {
        self.tokens
            .iter()
            .find(|(known, _)| *known == id)
            .map(|(_, token)| token)
    }

    fn write_token_file(&mut self, id: TokenId) {
        if self.token_file.is_none() {
            match TokenFile::open(&self.places.handoff_dir, self.places.token_file_mode) {
                Ok(file) => self.token_file = Some(file),
                Err(error) => {
                    let place = self.places.handoff_dir.display();
                    return self.tell(Event::TokenFileFailed(format!("{place}: {error}")));
                }
            }
        }
        let written = match (&self.token_file, self.token(id)) {
            (Some(file), Some(token)) => file.write(token).map_err(|error| error.to_string()),
            (None, _) | (_, None) => Err("the token is no longer held".to_owned()),
        };
        self.tell(match written {
            Ok(()) => Event::TokenFileWritten(id),
            Err(problem) => Event::TokenFileFailed(format!("{}: {problem}", self.places.handoff_dir.display())),
        });
    }

    fn write_drain_file(&mut self, drain: Drain) {
        if self.drain_file.is_none() {
            self.drain_file = match DrainFile::open(&self.places.handoff_dir, self.places.token_file_mode) {
                Ok(file) => Some(file),
                Err(error) => return self.drain_file_failed(drain, &error),
            };
        }
        if let Some(Err(error)) = self.drain_file.as_ref().map(|file| file.write(drain)) {
            self.drain_file_failed(drain, &error);
        }
    }

    /// Nobody can do more about it than the log says, once: a beat comes every second.
    fn drain_file_failed(&self, drain: Drain, error: &std::io::Error) {
        let directory = self.places.handoff_dir.display();
        match drain {
            Drain::Draining { .. } => debug!(%error, %directory, "the drain file cannot be written"),
            Drain::Serving | Drain::Drained => {
                warn!(%error, %directory, "the drain file cannot be written: SIGTERM does not wait for a running job");
            }
        }
    }

    fn call(&mut self, number: u64, token: Option<TokenId>, request: AdoRequest, timeout: Duration) {
        if let Some(open) = self.call.take() {
            open.abort();
        }
        debug!(number, ?request, ?timeout, "request");
        let secret = token.and_then(|id| self.token(id)).cloned();
        let azure_devops = self.remote.as_ref().map(|remote| Arc::clone(&remote.azure_devops));
        // Never send without a token what is to be sent with one.
        let azure_devops = azure_devops.filter(|_| token.is_none() || secret.is_some());
        self.call = Some(self.tasks.spawn(async move {
            let reply = match azure_devops {
                Some(azure_devops) => azure_devops.call(&request, secret.as_ref(), timeout).await,
                None => AdoReply::unreachable("the token is no longer held, or the configuration is refused"),
            };
            Done::Called { number, reply }
        }));
    }

    fn report(&self, status: &Status) {
        info!(reason = %status.reason, agent_may_start = status.agent_may_start, "{}", status.sentence);
        termination::write(&self.places.termination_log, status.reason, &status.sentence);
    }

    fn persist(&self, snapshot: Snapshot) {
        if let Err(error) = state::save(&self.places.state_dir, snapshot) {
            warn!(%error, directory = %self.places.state_dir.display(), "the state cannot be saved: a restart would forget it");
        }
    }
}

fn note(severity: Severity, reason: Reason, sentence: &str) {
    match severity {
        Severity::Info => info!(reason = %reason, "{sentence}"),
        Severity::Warning => warn!(reason = %reason, "{sentence}"),
    }
}

async fn removed(file: Option<&TokenFile>) -> std::io::Result<()> {
    match file {
        Some(file) => file.removed().await,
        None => std::future::pending().await,
    }
}
