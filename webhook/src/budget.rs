//! The memory for large bodies and answers: charged before it is taken, given back when it is freed.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::client::{Activity, Client};
use crate::connections::Connections;
use crate::metrics::Metrics;

/// How long a request waits for others to be answered. Then the API server is told to come again, which it does within its
/// own time.
const WAIT: Duration = Duration::from_secs(1);
/// Within it a closed connection has given its part back.
const NEXT_VICTIM: Duration = Duration::from_millis(10);

/// Bytes that all large bodies together may take.
pub(crate) struct Budget {
    bytes: Arc<Semaphore>,
    connections: Arc<Connections>,
    metrics: Arc<Metrics>,
}

/// A part of the budget, for as long as it is held.
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

    /// Takes so many bytes for a client. Where they are not free, those that hold some and keep us waiting lose their
    /// connections, one after the other. `None` where that did not help in time: all is in use for requests that wait for us.
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
        client.hold();
        Some(Charge {
            bytes: permit,
            metrics: Arc::clone(&self.metrics),
            client: Arc::clone(client),
        })
    }

    async fn make_room(&self, permits: u32) -> Option<OwnedSemaphorePermit> {
        let mut waiting = pin!(Arc::clone(&self.bytes).acquire_many_owned(permits));
        loop {
            self.connections.evict_holder();
            if let Ok(permit) = tokio::time::timeout(NEXT_VICTIM, waiting.as_mut()).await {
                return permit.ok();
            }
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.client.release();
        let bytes = i64::try_from(self.bytes.num_permits()).unwrap_or_default();
        self.metrics.large_bodies(-bytes);
    }
}
