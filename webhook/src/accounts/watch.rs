//! The metadata-only watch that fills the cache.

use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::ServiceAccount as Object;
use kube::Api;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{Config, Error, Event, watcher};

use super::Accounts;

/// Objects per page, which bounds the memory of a listing.
const PAGE: u32 = 100;
/// An outage is logged once, then once an hour, however often the watch is retried.
const QUIET: Duration = Duration::from_secs(3600);

impl Accounts {
    /// Watches the ServiceAccounts of the cluster forever.
    pub(crate) async fn watch(self: Arc<Self>) {
        let api: Api<PartialObjectMeta<Object>> = Api::all(self.client.clone());
        let mut events = pin!(watcher(api, Config::default().page_size(PAGE)).default_backoff());
        let mut failing_since: Option<tokio::time::Instant> = None;
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    // `Init` only means that the watch is retried.
                    if !matches!(event, Event::Init) && failing_since.take().is_some() {
                        tracing::info!("ServiceAccounts are watched again");
                    }
                    self.apply(event);
                }
                Err(error) => {
                    if failing_since.is_none_or(|since| since.elapsed() > QUIET) {
                        failing_since = Some(tokio::time::Instant::now());
                        tracing::warn!(
                            "ServiceAccounts cannot be watched; cached ones are still used, others are read one by one: {}",
                            reason(&error)
                        );
                    }
                }
            }
        }
    }

    fn apply(&self, event: Event<PartialObjectMeta<Object>>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Init => known.listing_begins(),
            Event::InitApply(object) | Event::Apply(object) => known.apply(&object.metadata),
            Event::InitDone => {
                known.listing_ends();
                tracing::info!(accounts = known.len(), "ServiceAccounts with a client ID are cached");
            }
            Event::Delete(object) => known.remove(&object.metadata),
        }
        self.metrics.set_accounts(known.len());
    }
}

fn reason(error: &Error) -> String {
    match error {
        Error::InitialListFailed(error) | Error::WatchStartFailed(error) | Error::WatchFailed(error) => {
            crate::cluster::message(error)
        }
        Error::WatchError(status) => format!("the API server answered {}: {}", status.code, status.message),
        Error::NoResourceVersion => error.to_string(),
    }
}
