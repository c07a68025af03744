//! The identity annotations of ServiceAccounts: the one thing that a decision needs from the API server.
//!
//! A watch caches client ID and tenant ID of every account that has a client ID. An account that is not in the cache is read
//! live before a pod is denied. While the API server is unreachable, cached accounts are still used.

mod known;
mod turns;
mod watch;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use contract::{AZWI_CLIENT_ID_ANNOTATION, AZWI_TENANT_ID_ANNOTATION};
use inject::ServiceAccount;
use k8s_openapi::api::core::v1::ServiceAccount as Object;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::PartialObjectMeta;
use kube::{Api, Client};

use crate::cluster::message;
use crate::metrics::{Lookup, Metrics};
use known::Known;
use turns::Turns;

/// How long the answer "no account" or "no client ID" is cached.
const MISS_TTL: Duration = Duration::from_secs(2);
/// Misses in the cache at most; whoever creates pods chooses the names.
const MOST_MISSES: usize = 1024;
/// Pauses before further reads: an account, or its annotation, that is applied together with the pod may arrive moments later.
const RETRY_DELAYS: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(300)];

fn annotation<'a>(metadata: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    let value = metadata.annotations.as_ref()?.get(key)?;
    (!value.is_empty()).then_some(value)
}

fn found(metadata: &ObjectMeta) -> ServiceAccount {
    ServiceAccount::Found {
        client_id: annotation(metadata, AZWI_CLIENT_ID_ANNOTATION).map(str::to_owned),
        tenant_id: annotation(metadata, AZWI_TENANT_ID_ANNOTATION).map(str::to_owned),
    }
}

/// What a decision needs from an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needed {
    /// The account, with a client ID or without: the operator's settings name one.
    Account,
    /// A client ID, which nothing else names.
    ClientId,
}

/// Lookup of ServiceAccounts.
pub(crate) struct Accounts {
    client: Client,
    metrics: Arc<Metrics>,
    known: RwLock<Known>,
    misses: Mutex<BTreeMap<String, (Instant, ServiceAccount)>>,
    turns: Turns,
}

impl Accounts {
    /// An empty cache.
    pub(crate) fn new(client: Client, metrics: Arc<Metrics>) -> Self {
        Self {
            client,
            metrics,
            known: RwLock::default(),
            misses: Mutex::default(),
            turns: Turns::default(),
        }
    }

    /// Looks an account up without asking the API server: in the watch's cache, then among the misses of the last seconds.
    pub(crate) fn known(&self, key: &Key) -> Option<ServiceAccount> {
        let (account, lookup) = match self.cached(&key.text) {
            Some(account) => (account, Lookup::Cached),
            None => (self.cached_miss(&key.text)?, Lookup::CachedMiss),
        };
        self.metrics.looked_up(lookup);
        Some(account)
    }

    /// Reads an account from the API server until `deadline`; again after a moment if it lacks what is needed.
    pub(crate) async fn read(&self, key: &Key, needed: Needed, deadline: Instant) -> ServiceAccount {
        let budget = deadline.saturating_duration_since(Instant::now());
        let reading = self.read_until(key, needed, deadline);
        let (account, lookup) = tokio::time::timeout(budget, reading).await.unwrap_or_else(|_| {
            let text = format!(
                "the API server did not answer within the {} ms of this request",
                budget.as_millis()
            );
            (ServiceAccount::Unreadable(text), Lookup::Unreadable)
        });
        self.metrics.looked_up(lookup);
        account
    }

    fn cached(&self, key: &str) -> Option<ServiceAccount> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(key)
    }

    fn cached_miss(&self, key: &str) -> Option<ServiceAccount> {
        let misses = self.misses.lock().unwrap_or_else(PoisonError::into_inner);
        misses
            .get(key)
            .filter(|(at, _)| at.elapsed() < MISS_TTL)
            .map(|(_, account)| account.clone())
    }

    fn cache_miss(&self, key: String, account: &ServiceAccount) {
        let mut misses = self.misses.lock().unwrap_or_else(PoisonError::into_inner);
        misses.retain(|_, (at, _)| at.elapsed() < MISS_TTL);
        if misses.len() < MOST_MISSES {
            misses.insert(key, (Instant::now(), account.clone()));
        }
    }

    async fn read_until(&self, key: &Key, needed: Needed, deadline: Instant) -> (ServiceAccount, Lookup) {
        let Some(place) = self.turns.join(key.namespace()) else {
            let text = "too many other ServiceAccounts of the namespace are being read".to_owned();
            return (ServiceAccount::Unreadable(text), Lookup::Unreadable);
        };
        let mut delays = RETRY_DELAYS.iter();
        loop {
            let turn = place.turn().await;
            let answer = self.read_once(key).await;
            drop(turn);
            if let ServiceAccount::Found { client_id, .. } = &answer
                && (client_id.is_some() || needed == Needed::Account)
            {
                return (answer, Lookup::Live);
            }
            match delays.next() {
                Some(delay) if Instant::now() + *delay * 2 < deadline => tokio::time::sleep(*delay).await,
                Some(_) | None => {
                    let lookup = match &answer {
                        ServiceAccount::Missing => Lookup::Missing,
                        ServiceAccount::Unreadable(_) => return (answer, Lookup::Unreadable),
                        ServiceAccount::Found { .. } => Lookup::Live,
                    };
                    self.cache_miss(key.text.clone(), &answer);
                    return (answer, lookup);
                }
            }
        }
    }

    async fn read_once(&self, key: &Key) -> ServiceAccount {
        let api: Api<PartialObjectMeta<Object>> = Api::namespaced(self.client.clone(), key.namespace());
        match api.get_opt(key.name()).await {
            Ok(Some(object)) => found(&object.metadata),
            Ok(None) => ServiceAccount::Missing,
            Err(error) => ServiceAccount::Unreadable(message(&error)),
        }
    }
}

/// Namespace and name of an account as one text, with a slash between that neither can have.
pub(crate) struct Key {
    text: String,
    namespace: usize,
}

impl Key {
    pub(crate) fn new(namespace: &str, name: &str) -> Self {
        Self {
            text: known::key(namespace, name),
            namespace: namespace.len(),
        }
    }

    fn namespace(&self) -> &str {
        &self.text[..self.namespace]
    }

    fn name(&self) -> &str {
        &self.text[self.namespace + 1..]
    }
}
