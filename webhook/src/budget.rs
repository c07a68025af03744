//! The memory budget for large bodies and responses: charged before a buffer is allocated, released when it is freed.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::client::{Activity, Client};
use crate::connections::Connections;
use crate::metrics::Metrics;

/// How long a request waits for memory. After that the API server is asked to retry, which it does within the timeout of its
/// call.
const WAIT: Duration = Duration::from_secs(1);
/// Pause between two evictions: by then an evicted connection has released its share.
const EVICTION_PAUSE: Duration = Duration::from_millis(10);

/// Memory that all large bodies and responses share.
pub(crate) struct Budget {
    bytes: Arc<Semaphore>,
    connections: Arc<Connections>,
    metrics: Arc<Metrics>,
}

/// A share of the budget, released on drop.
pub(crate) struct Charge {
    bytes: OwnedSemaphorePermit,
    metrics: Arc<Metrics>,
    client: Arc<Client>,
}

impl Budget {
    pub(crate) fn new(bytes: usize, connections: Arc<Connections>, metrics: Arc<Metrics>) -> Self {
        let bytes = Arc::new(Semaphore::new(bytes));
        Self {
            bytes,
            connections,
            metrics,
        }
    }

    /// Takes `bytes` for a client. While they are not free, connections that hold a share and make us wait are closed, one after
    /// the other. `None` if that did not free enough in time: the rest is in use for requests that are being worked on.
    pub(crate) async fn charge(&self, bytes: usize, client: &Arc<Client>) -> Option<Charge> {
        let permits = u32::try_from(bytes).ok()?;
        let permit = match Arc::clone(&self.bytes).try_acquire_many_owned(permits) {
            Ok(permit) => permit,
            Err(_) => {
                client.set(Activity::Working);
                tokio::time::timeout(WAIT, self.make_room(permits)).await.ok()??
            }
        };
        self.metrics.large_bodies(i64::from(permits));
        client.add_charge();
        Some(Charge {
            bytes: permit,
            metrics: Arc::clone(&self.metrics),
            client: Arc::clone(client),
        })
    }

    async fn make_room(&self, permits: u32) -> Option<OwnedSemaphorePermit> {
        let mut waiting = pin!(Arc::clone(&self.bytes).acquire_many_owned(permits));
        loop {
            self.connections.evict_charged();
            if let Ok(permit) = tokio::time::timeout(EVICTION_PAUSE, waiting.as_mut()).await {
                return permit.ok();
            }
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.client.remove_charge();
        let bytes = i64::try_from(self.bytes.num_permits()).unwrap_or_default();
        self.metrics.large_bodies(-bytes);
    }
}
