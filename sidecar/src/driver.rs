//! The loop: performs what the machine commands and tells it what happened. Nothing here decides anything.
//!
//! **Invariant:** this file has the only `select!` and the only `spawn`. **Invariant:** between the machine's deadlines
//! nothing wakes the process but an event.

use crate::ado::{self, Ado};
use crate::config::{Config, Remote};
use crate::drain_file::DrainFile;
use crate::entra::{Entra, Issued};
use crate::http::Http;
use crate::secret::Secret;
use crate::socket::{self, Visitor, Wish};
use crate::timer::Timer;
use crate::token_file::TokenFile;
use crate::{state, termination, times};
use anyhow::Context;
use azure_protocol::{AdoError, AdoErrorKind, AdoRequest, EntraError, EntraErrorKind};
use contract::{Drain, Reason};
use lifecycle::{Command, Event, Lifecycle, Outcome, Severity, Snapshot, Status, TokenId};
use rustix::rand::{GetRandomFlags, getrandom};
use std::collections::VecDeque;
use std::path::PathBuf;
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
    let listener = socket::bind(&config.state_dir)
        .with_context(|| format!("the socket in {} cannot be made", config.state_dir.display()))?;
    let timer = Timer::new().context("no timer can be made")?;
    let mut driver = Driver::new(config);
    let mut shutdown = pin!(shutdown);
    let mut told = false;
    let mut listen_again = Instant::now();
    loop {
        if let Some(outcome) = driver.perform() {
            return Ok(outcome);
        }
        let deadline = driver.machine.poll_timeout();
        tokio::select! {
            biased;
            () = &mut shutdown, if !told => {
                told = true;
                info!("told to terminate");
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
                    driver.tasks.spawn(async { Done::Came(socket::hear(stream).await) });
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
                driver.machine.handle_timeout(times::now());
            }
        }
    }
}

/// Something that was going on has ended.
enum Done {
    Exchanged(Result<Issued, EntraError>),
    Asked { number: u64, heard: ado::Heard },
    Came(Option<Visitor>),
    Left,
}

struct Driver {
    machine: Lifecycle,
    /// Whom to ask; nobody where the configuration is refused.
    remote: Option<(Arc<Entra>, Arc<Ado>)>,
    tokens: VecDeque<(TokenId, Secret)>,
    issued: u64,
    tasks: JoinSet<Done>,
    question: Option<AbortHandle>,
    token_file: Option<TokenFile>,
    drain_file: Option<DrainFile>,
    handoff_dir: PathBuf,
    token_file_mode: u32,
    state_dir: PathBuf,
    termination_log: PathBuf,
}

impl Driver {
    fn new(config: Config) -> Self {
        let restored = state::load(&config.state_dir).unwrap_or_else(|error| {
            warn!(%error, "the state of the previous run cannot be read");
            None
        });
        let mut seed = [0; 8];
        // Without randomness the jitter is less useful, and nothing else.
        let _ = getrandom(&mut seed, GetRandomFlags::empty());
        let remote = config.remote.map(|remote| {
            let Remote {
                url: _,
                organization,
                identity,
                trust,
                proxies,
            } = remote;
            let http = Arc::new(Http::new(trust, proxies));
            let ado = Ado::new(organization, Arc::clone(&http));
            (Arc::new(Entra::new(identity, http)), Arc::new(ado))
        });
        Self {
            machine: Lifecycle::new(config.settings, restored, u64::from_ne_bytes(seed), times::now()),
            remote,
            tokens: VecDeque::new(),
            issued: 0,
            tasks: JoinSet::new(),
            question: None,
            token_file: None,
            drain_file: None,
            handoff_dir: config.handoff_dir,
            token_file_mode: config.token_file_mode,
            state_dir: config.state_dir,
            termination_log: config.termination_log,
        }
    }

    fn tell(&mut self, event: Event) {
        self.machine.handle(event, times::now());
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
                } => self.ask(number, token, request, timeout),
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
                    termination::write(&self.termination_log, outcome.reason.into(), &outcome.sentence);
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
            Done::Asked { number, heard } => {
                debug!(number, result = ?heard.result, "answered");
                self.tell(Event::AdoResponded {
                    number,
                    result: heard.result,
                    retry_after: heard.retry_after,
                    date: heard.date,
                });
            }
            Done::Came(Some(visitor)) => {
                if visitor.wish == Wish::PreStop {
                    info!("the pod begins to leave");
                    self.tell(Event::PreStop);
                }
                let status = self.machine.status();
                self.tasks.spawn(async {
                    visitor.answer(status).await;
                    Done::Left
                });
            }
            Done::Came(None) | Done::Left => {}
        }
    }

    fn request_token(&mut self, tenant: String) {
        debug!(tenant, "a token is asked for");
        let remote = self.remote.as_ref().map(|(entra, _)| Arc::clone(entra));
        self.tasks.spawn(async move {
            Done::Exchanged(match remote {
                Some(entra) => entra.exchange(&tenant).await,
                None => Err(EntraError {
                    kind: EntraErrorKind::Refused,
                    detail: "nobody is asked while the configuration is refused".to_owned(),
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
            match TokenFile::open(&self.handoff_dir, self.token_file_mode) {
                Ok(file) => self.token_file = Some(file),
                Err(error) => {
                    let place = self.handoff_dir.display();
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
            Err(problem) => Event::TokenFileFailed(format!("{}: {problem}", self.handoff_dir.display())),
        });
    }

    fn write_drain_file(&mut self, drain: Drain) {
        if self.drain_file.is_none() {
            self.drain_file = match DrainFile::open(&self.handoff_dir, self.token_file_mode) {
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
        let directory = self.handoff_dir.display();
        match drain {
            Drain::Draining { .. } => debug!(%error, %directory, "the drain file cannot be written"),
            Drain::Serving | Drain::Drained => {
                warn!(%error, %directory, "the drain file cannot be written: SIGTERM does not wait for a running job");
            }
        }
    }

    fn ask(&mut self, number: u64, token: Option<TokenId>, question: AdoRequest, patience: Duration) {
        if let Some(open) = self.question.take() {
            open.abort();
        }
        debug!(number, ?question, ?patience, "asked");
        let secret = token.and_then(|id| self.token(id)).cloned();
        let remote = self.remote.as_ref().map(|(_, ado)| Arc::clone(ado));
        // Never ask without a token what is to be asked with one.
        let remote = remote.filter(|_| token.is_none() || secret.is_some());
        self.question = Some(self.tasks.spawn(async move {
            let heard = match remote {
                Some(ado) => ado.ask(&question, secret.as_ref(), patience).await,
                None => ado::Heard {
                    result: Err(AdoError::new(
                        AdoErrorKind::Unreachable,
                        "the token is no longer held, or the configuration is refused",
                    )),
                    retry_after: None,
                    date: None,
                },
            };
            Done::Asked { number, heard }
        }));
    }

    fn report(&self, status: &Status) {
        info!(reason = %status.reason, agent_may_start = status.agent_may_start, "{}", status.sentence);
        termination::write(&self.termination_log, status.reason, &status.sentence);
    }

    fn persist(&self, snapshot: Snapshot) {
        if let Err(error) = state::save(&self.state_dir, snapshot) {
            warn!(%error, directory = %self.state_dir.display(), "the state cannot be saved: a restart would forget it");
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
