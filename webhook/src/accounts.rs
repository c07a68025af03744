//! Which identity a ServiceAccount names: the one thing that a decision needs from the API server.
//!
//! A watch keeps two ids for every account with a client id; a lookup that finds none there reads the account live
//! before anything is denied. While the API server is away, the accounts that are known go on being answered.

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
const REMEMBERED: Duration = Duration::from_secs(2);
/// Misses that are cached; the names come from pods.
const MOST_REMEMBERED: usize = 1024;
/// An account that was applied together with its pod may be moments away (an account without client id: its annotation).
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

/// All accounts of the cluster, as far as a decision asks.
pub(crate) struct Accounts {
    client: Client,
    metrics: Arc<Metrics>,
    known: RwLock<Known>,
    misses: Mutex<BTreeMap<String, (Instant, ServiceAccount)>>,
    turns: Turns,
}

impl Accounts {
    /// Accounts of which none is known yet.
    pub(crate) fn new(client: Client, metrics: Arc<Metrics>) -> Self {
        Self {
            client,
            metrics,
            known: RwLock::default(),
            misses: Mutex::default(),
            turns: Turns::default(),
        }
    }

    /// What is known of an account without asking the API server: from the watch, or from a read of the last seconds that
    /// found nothing.
    pub(crate) fn known(&self, key: &Key) -> Option<ServiceAccount> {
        let (account, lookup) = match self.cached(&key.text) {
            Some(account) => (account, Lookup::Cached),
            None => (self.remembered(&key.text)?, Lookup::Remembered),
        };
        self.metrics.looked_up(lookup);
        Some(account)
    }

    /// Reads an account, at the latest until `deadline`. Where nothing else names a client id (`is_last_source`), an account
    /// without one is given a moment to get it.
    pub(crate) async fn read(&self, key: &Key, is_last_source: bool, deadline: Instant) -> ServiceAccount {
        let budget = deadline.saturating_duration_since(Instant::now());
        let reading = self.read_until(key, is_last_source, deadline);
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

    fn remembered(&self, key: &str) -> Option<ServiceAccount> {
        let misses = self.misses.lock().unwrap_or_else(PoisonError::into_inner);
        misses
            .get(key)
            .filter(|(at, _)| at.elapsed() < REMEMBERED)
            .map(|(_, account)| account.clone())
    }

    fn remember(&self, key: String, account: &ServiceAccount) {
        let mut misses = self.misses.lock().unwrap_or_else(PoisonError::into_inner);
        misses.retain(|_, (at, _)| at.elapsed() < REMEMBERED);
        if misses.len() < MOST_REMEMBERED {
            misses.insert(key, (Instant::now(), account.clone()));
        }
    }

    /// Reads the account live; one without client id, or none, is read again after a moment.
    async fn read_until(&self, key: &Key, is_last_source: bool, deadline: Instant) -> (ServiceAccount, Lookup) {
        let Some(place) = self.turns.queue(key.namespace()) else {
            let text = "too many other ServiceAccounts of the namespace are being read".to_owned();
            return (ServiceAccount::Unreadable(text), Lookup::Unreadable);
        };
        let mut delays = RETRY_DELAYS.iter();
        loop {
            let turn = place.turn().await;
            let answer = self.read_once(key).await;
            drop(turn);
            if let ServiceAccount::Found { client_id, .. } = &answer
                && (client_id.is_some() || !is_last_source)
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
                    self.remember(key.text.clone(), &answer);
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
