//! The metadata-only watch that fills the cache.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::ServiceAccount as Object;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{Config, Error, Event, watcher};

use super::{Accounts, Identity, Key};

/// Objects a page: a page is the largest thing that the watch ever holds.
const PAGE: u32 = 100;
/// An outage is one line, then one an hour, however often the watch tries.
const QUIET: Duration = Duration::from_secs(3600);

impl Accounts {
    /// Follows every ServiceAccount of the cluster for ever.
    pub(crate) async fn watch(self: Arc<Self>) {
        let api: Api<PartialObjectMeta<Object>> = Api::all(self.client.clone());
        let mut events = pin!(watcher(api, Config::default().page_size(PAGE)).default_backoff());
        let mut listing = BTreeMap::new();
        let mut failing_since: Option<tokio::time::Instant> = None;
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    // `Init` only says that the watch tries again.
                    if !matches!(event, Event::Init) && failing_since.take().is_some() {
                        tracing::info!("the watch of ServiceAccounts works again");
                    }
                    self.apply(event, &mut listing);
                }
                Err(error) => {
                    if failing_since.is_none_or(|since| since.elapsed() > QUIET) {
                        failing_since = Some(tokio::time::Instant::now());
                        tracing::warn!(
                            "ServiceAccounts cannot be watched; those that are known are still answered, others are read one by one: {}",
                            reason(&error)
                        );
                    }
                }
            }
        }
    }

    fn apply(&self, event: Event<PartialObjectMeta<Object>>, listing: &mut BTreeMap<Key, Identity>) {
        match event {
            Event::Init => listing.clear(),
            Event::InitApply(object) => {
                if let Some((key, Some(identity))) = entry(&object.metadata) {
                    listing.insert(key, identity);
                }
            }
            Event::InitDone => {
                tracing::info!(accounts = listing.len(), "ServiceAccounts with a client id are known");
                self.change(|known| *known = std::mem::take(listing));
            }
            Event::Apply(object) => match entry(&object.metadata) {
                Some((key, Some(identity))) => self.change(|known| {
                    known.insert(key, identity);
                }),
                Some((key, None)) => self.change(|known| {
                    known.remove(&key);
                }),
                None => {}
            },
            Event::Delete(object) => {
                if let Some((key, _)) = entry(&object.metadata) {
                    self.change(|known| {
                        known.remove(&key);
                    });
                }
            }
        }
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<Key, Identity>)) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut known);
        self.metrics.set_accounts(known.len());
    }
}

fn entry(metadata: &ObjectMeta) -> Option<(Key, Option<Identity>)> {
    let key = (metadata.namespace.clone()?, metadata.name.clone()?);
    Some((key, Identity::of(metadata)))
}

fn reason(error: &Error) -> String {
    match error {
        Error::InitialListFailed(error) | Error::WatchStartFailed(error) | Error::WatchFailed(error) => {
            crate::cluster::sentence(error)
        }
        Error::WatchError(status) => format!("the API server answered {}: {}", status.code, status.message),
        Error::NoResourceVersion => error.to_string(),
    }
}
