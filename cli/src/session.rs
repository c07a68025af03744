//! A program's dealings with one organization: a token that is renewed in time, and no more requests than Azure DevOps likes.

use crate::organization::Organization;
use anyhow::anyhow;
use azure::Secret;
use azure_protocol::{AdoContext, AdoError, AdoErrorKind, Operation, ServerTime};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use sweep::Budget;

/// How long a response may take.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Requests of one identity in five minutes.
const REQUESTS: usize = 600;
/// Requests about one pool in five minutes, so that no pool takes the turns of the others.
const REQUESTS_OF_A_POOL: usize = 300;
/// How long to leave the service alone where it throttles and does not say for how long.
const PAUSE: Duration = Duration::from_secs(30);
/// A token is renewed this long before its end.
const RENEWAL: Duration = Duration::from_secs(300);

/// A request that was sent, for who counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// Name of the operation.
    pub operation: &'static str,
    /// Status of the response; `None`: there was none.
    pub status: Option<u16>,
    /// For how long the service asked to be left alone.
    pub retry_after: Option<Duration>,
}

/// What was asked for, and the server's clock.
#[derive(Debug)]
pub struct Asked<T> {
    /// The response.
    pub value: T,
    /// Its `Date`.
    pub date: Option<ServerTime>,
}

/// Why a request had no success.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It was not sent: the budget is used up, or the service asked for a pause.
    #[error("Azure DevOps is left alone for a while: it asked for a pause, or the budget of requests is used up")]
    Paused(Duration),
    /// There is no token for it.
    #[error("{0}")]
    NoToken(String),
    /// Azure DevOps refused it, or could not be reached.
    #[error("{sentence}")]
    Refused {
        /// What kind of error.
        error: AdoError,
        /// What it means for a person.
        sentence: String,
    },
}

impl Failure {
    /// The kind of Azure DevOps' error, if it is one.
    pub fn kind(&self) -> Option<AdoErrorKind> {
        match self {
            Self::Refused { error, .. } => Some(error.kind),
            Self::Paused(_) | Self::NoToken(_) => None,
        }
    }
}

/// Who is told of each request.
pub type Watcher = Box<dyn Fn(&Sent) + Send + Sync>;

/// See the module.
pub struct Session {
    organization: Organization,
    started: Instant,
    state: Mutex<State>,
    watcher: Option<Watcher>,
}

struct State {
    /// Of the identity.
    budget: Budget,
    /// Of each pool, by name.
    pools: BTreeMap<String, Budget>,
    token: Option<(Secret, Option<Instant>)>,
}

impl State {
    /// Takes a request out of the pool's budget and the identity's.
    fn take(&mut self, pool: &str, now: Duration) -> Result<(), Duration> {
        let of_the_pool = self.pools.entry(pool.to_owned());
        of_the_pool
            .or_insert_with(|| Budget::new(REQUESTS_OF_A_POOL))
            .take(now)?;
        self.budget.take(now)
    }
}

impl Session {
    /// With this organization. `watcher` is told of each request.
    pub fn new(organization: Organization, watcher: Option<Watcher>) -> Self {
        Self {
            organization,
            started: Instant::now(),
            state: Mutex::new(State {
                budget: Budget::new(REQUESTS),
                pools: BTreeMap::new(),
                token: None,
            }),
            watcher,
        }
    }

    /// The organization's URL.
    pub fn url(&self) -> &str {
        self.organization.url.as_str()
    }

    /// Performs an operation on a pool.
    ///
    /// # Errors
    /// Why it had no success. Nothing is tried again here.
    pub async fn ask<O: Operation>(&self, pool: &str, operation: &O) -> Result<Asked<O::Output>, Failure> {
        let token = self.token().await?;
        self.with(|state, now| state.take(pool, now)).map_err(Failure::Paused)?;
        let reply = (self.organization.client)
            .perform(operation, Some(&token), TIMEOUT)
            .await;
        if let Some(watcher) = &self.watcher {
            watcher(&Sent {
                operation: operation.name(),
                status: reply.status,
                retry_after: reply.retry_after,
            });
        }
        let throttled = matches!(&reply.result, Err(error) if error.kind == AdoErrorKind::Throttled);
        if let Some(pause) = reply.retry_after.or_else(|| throttled.then_some(PAUSE)) {
            self.with(|state, now| state.budget.pause(now, pause));
        }
        match reply.result {
            Ok(value) => Ok(Asked {
                value,
                date: reply.date,
            }),
            Err(error) => {
                if matches!(error.kind, AdoErrorKind::Unauthorized | AdoErrorKind::IdentityUnknown) {
                    // Another token may do better: a key was rotated, a role was given.
                    self.with(|state, _| state.token = None);
                }
                let context = AdoContext {
                    url: self.url(),
                    pool,
                    client_id: self.organization.client_id().unwrap_or("of the token"),
                    tenant: None,
                };
                let sentence = context.explain_operation(operation, &error).sentence;
                Err(Failure::Refused { error, sentence })
            }
        }
    }

    async fn token(&self) -> Result<Secret, Failure> {
        let known = self.with(|state, _| state.token.clone());
        if let Some((token, until)) = known
            && until.is_none_or(|until| Instant::now() < until)
        {
            return Ok(token);
        }
        let issued = self.organization.issue().await;
        let (token, lifetime) = issued.map_err(|error| Failure::NoToken(format!("{:#}", anyhow!(error))))?;
        let until = lifetime.map(|lifetime| Instant::now() + lifetime.saturating_sub(RENEWAL.min(lifetime / 2)));
        self.with(|state, _| state.token = Some((token.clone(), until)));
        Ok(token)
    }

    fn with<T>(&self, change: impl FnOnce(&mut State, Duration) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state, self.started.elapsed())
    }
}
