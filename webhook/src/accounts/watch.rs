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

/// Objects a page: a page is the largest thing that the watch ever holds.
const PAGE: u32 = 100;
/// An outage is one line, then one an hour, however often the watch tries.
const QUIET: Duration = Duration::from_secs(3600);

impl Accounts {
    /// Follows every ServiceAccount of the cluster forever.
    pub(crate) async fn watch(self: Arc<Self>) {
        let api: Api<PartialObjectMeta<Object>> = Api::all(self.client.clone());
        let mut events = pin!(watcher(api, Config::default().page_size(PAGE)).default_backoff());
        let mut failing_since: Option<tokio::time::Instant> = None;
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    // `Init` only says that the watch tries again.
                    if !matches!(event, Event::Init) && failing_since.take().is_some() {
                        tracing::info!("the watch of ServiceAccounts works again");
                    }
                    self.apply(event);
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

    fn apply(&self, event: Event<PartialObjectMeta<Object>>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Init => known.listing_begins(),
            Event::InitApply(object) | Event::Apply(object) => known.apply(&object.metadata),
            Event::InitDone => {
                known.listing_ends();
                tracing::info!(accounts = known.len(), "ServiceAccounts with a client id are known");
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
