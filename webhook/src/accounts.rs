//! Which identity a ServiceAccount names: the one thing that a decision needs from the API server.
//!
//! A watch keeps two ids for every account with a client id; a lookup that finds none there reads the account live
//! before anything is denied. While the API server is away, the accounts that are known go on being answered.

mod known;
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
use tokio::sync::Semaphore;

use crate::cluster::sentence;
use crate::metrics::{Lookup, Metrics};
use known::Known;

/// Live reads at once; more would let whoever reaches our port load the API server.
const LIVE_READS: usize = 8;
/// How long the answer "no account" or "no client id" is kept.
const REMEMBERED: Duration = Duration::from_secs(2);
/// Misses that are kept; the names come from whoever asks.
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
    live_reads: Semaphore,
}

impl Accounts {
    /// Accounts of which none is known yet.
    pub(crate) fn new(client: Client, metrics: Arc<Metrics>) -> Self {
        Self {
            client,
            metrics,
            known: RwLock::default(),
            misses: Mutex::default(),
            live_reads: Semaphore::new(LIVE_READS),
        }
    }

    /// What is known of an account, at the latest at `deadline`. Where nothing else names a client id (`is_last_source`),
    /// an account without one is given a moment to get it.
    pub(crate) async fn find(
        &self,
        namespace: &str,
        name: &str,
        is_last_source: bool,
        deadline: Instant,
    ) -> ServiceAccount {
        let (account, lookup) = self.look_up(namespace, name, is_last_source, deadline).await;
        self.metrics.looked_up(lookup);
        account
    }

    async fn look_up(
        &self,
        namespace: &str,
        name: &str,
        is_last_source: bool,
        deadline: Instant,
    ) -> (ServiceAccount, Lookup) {
        let key = known::key(namespace, name);
        if let Some(account) = self.cached(&key) {
            return (account, Lookup::Cached);
        }
        if let Some(account) = self.remembered(&key) {
            return (account, Lookup::Remembered);
        }
        let budget = deadline.saturating_duration_since(Instant::now());
        match tokio::time::timeout(budget, self.read(namespace, name, is_last_source, deadline)).await {
            Ok(answer) => answer,
            Err(_) => {
                let text = format!(
                    "the API server did not answer within the {} ms of this request",
                    budget.as_millis()
                );
                (ServiceAccount::Unreadable(text), Lookup::Unreadable)
            }
        }
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
    async fn read(
        &self,
        namespace: &str,
        name: &str,
        is_last_source: bool,
        deadline: Instant,
    ) -> (ServiceAccount, Lookup) {
        let mut delays = RETRY_DELAYS.iter();
        loop {
            let answer = self.read_once(namespace, name).await;
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
                        ServiceAccount::Found { .. } | ServiceAccount::NotAsked => Lookup::Live,
                    };
                    self.remember(known::key(namespace, name), &answer);
                    return (answer, lookup);
                }
            }
        }
    }

    async fn read_once(&self, namespace: &str, name: &str) -> ServiceAccount {
        let Ok(_permit) = self.live_reads.acquire().await else {
            return ServiceAccount::Unreadable("the webhook is ending".to_owned());
        };
        let api: Api<PartialObjectMeta<Object>> = Api::namespaced(self.client.clone(), namespace);
        match api.get_opt(name).await {
            Ok(Some(object)) => found(&object.metadata),
            Ok(None) => ServiceAccount::Missing,
            Err(error) => ServiceAccount::Unreadable(sentence(&error)),
        }
    }
}
