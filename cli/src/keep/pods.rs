//! The pods of the namespaces, from a watch. A pod that comes and goes between two rounds is kept until the ledger has it.

use super::{Never, Observer};
use crate::agent_pods::agent_pod;
use futures_util::{StreamExt as _, future};
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{Config, Event, watcher};
use kube::{Api, Client};
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Objects per page, which bounds the memory of a listing.
const PAGE: u32 = 200;
/// An outage is logged once, then once an hour, however often the watch is retried.
const QUIET: Duration = Duration::from_secs(3600);

/// The pods that carry our sidecar.
#[derive(Debug)]
pub struct PodCache {
    namespaces: Mutex<BTreeMap<String, Namespace>>,
}

#[derive(Debug, Default)]
struct Namespace {
    /// Whether it was listed as a whole once.
    is_listed: bool,
    pods: BTreeMap<String, sweep::Pod>,
    /// What a listing that is not complete yet has shown.
    arriving: BTreeMap<String, sweep::Pod>,
    /// Pods that are gone and may not be in the ledger yet.
    departed: BTreeMap<String, sweep::Pod>,
}

impl PodCache {
    /// Without pods.
    pub fn new(namespaces: &[String]) -> Self {
        let namespaces = namespaces.iter().map(|name| (name.clone(), Namespace::default()));
        Self {
            namespaces: Mutex::new(namespaces.collect()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Namespace>> {
        self.namespaces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Namespaces that were not listed yet.
    pub fn unlisted(&self) -> Vec<String> {
        let namespaces = self.lock();
        let unlisted = namespaces.iter().filter(|(_, namespace)| !namespace.is_listed);
        unlisted.map(|(name, _)| name.clone()).collect()
    }

    /// The pods that are there.
    pub fn pods(&self) -> Vec<sweep::Pod> {
        let namespaces = self.lock();
        namespaces
            .values()
            .flat_map(|namespace| namespace.pods.values().cloned())
            .collect()
    }

    /// The pods that are gone since they were last written into the ledger.
    pub fn departed(&self) -> Vec<sweep::Pod> {
        let namespaces = self.lock();
        namespaces
            .values()
            .flat_map(|namespace| namespace.departed.values().cloned())
            .collect()
    }

    /// These pods are in the ledger.
    pub fn written(&self, pods: &[sweep::Pod]) {
        let mut namespaces = self.lock();
        for pod in pods {
            if let Some(namespace) = namespaces.get_mut(&pod.namespace) {
                namespace.departed.remove(&pod.uid);
            }
        }
    }

    fn apply(&self, name: &str, event: Event<Pod>, observers: &[Arc<dyn Observer>]) {
        let mut namespaces = self.lock();
        let Some(namespace) = namespaces.get_mut(name) else {
            return;
        };
        match event {
            Event::Init => namespace.arriving.clear(),
            Event::InitApply(raw) => {
                if let Some(pod) = agent_pod(&raw) {
                    observers.iter().for_each(|observer| observer.pod(&raw));
                    namespace.arriving.insert(pod.uid.clone(), pod);
                }
            }
            Event::InitDone => {
                let before = std::mem::replace(&mut namespace.pods, std::mem::take(&mut namespace.arriving));
                namespace.is_listed = true;
                let gone = before.into_iter().filter(|(uid, _)| !namespace.pods.contains_key(uid));
                let gone: Vec<_> = gone.collect();
                for (uid, _) in &gone {
                    observers.iter().for_each(|observer| observer.pod_gone(uid));
                }
                namespace.departed.extend(gone);
            }
            Event::Apply(raw) => {
                if let Some(pod) = agent_pod(&raw) {
                    observers.iter().for_each(|observer| observer.pod(&raw));
                    namespace.pods.insert(pod.uid.clone(), pod);
                }
            }
            Event::Delete(raw) => {
                let uid = raw.metadata.uid.clone().unwrap_or_default();
                if let Some(pod) = namespace.pods.remove(&uid) {
                    // Its last status may have come with this.
                    observers.iter().for_each(|observer| observer.pod(&raw));
                    observers.iter().for_each(|observer| observer.pod_gone(&uid));
                    namespace.departed.insert(uid, pod);
                }
            }
        }
    }
}

/// Watches all namespaces, forever.
pub(super) async fn watch(client: &Client, cache: &PodCache, observers: &[Arc<dyn Observer>]) -> Never {
    let names: Vec<String> = cache.lock().keys().cloned().collect();
    future::join_all(names.iter().map(|name| watch_one(client, cache, name, observers))).await;
    // There is at least one namespace, and no watch ends.
    future::pending().await
}

async fn watch_one(client: &Client, cache: &PodCache, namespace: &str, observers: &[Arc<dyn Observer>]) {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let mut events = pin!(watcher(api, Config::default().page_size(PAGE)).default_backoff());
    let mut failing_since: Option<Instant> = None;
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                if !matches!(event, Event::Init) && failing_since.take().is_some() {
                    tracing::info!(namespace, "pods are watched again");
                }
                cache.apply(namespace, event, observers);
            }
            Err(error) => {
                if failing_since.is_none_or(|since| since.elapsed() > QUIET) {
                    failing_since = Some(Instant::now());
                    tracing::warn!(namespace, "pods cannot be watched: {error}");
                }
            }
        }
    }
}
