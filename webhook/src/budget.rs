//! The memory for large bodies and answers: charged before it is taken, given back when it is freed.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::connections::{Activity, Client, Connections};
use crate::metrics::Metrics;

/// How long a request waits for others to be answered. Then the API server is told to come again, which it does within its
/// own time.
const WAIT: Duration = Duration::from_secs(1);

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

    /// Takes so many bytes for a client. Where they are not free, the client that holds some and has been waited for longest
    /// loses its connection. `None` where that did not help in time: all memory is in use for requests that wait for us.
    pub(crate) async fn charge(&self, bytes: usize, client: &Arc<Client>) -> Option<Charge> {
        let permits = u32::try_from(bytes).ok()?;
        let permit = match Arc::clone(&self.bytes).try_acquire_many_owned(permits) {
            Ok(permit) => permit,
            Err(_) => {
                client.set(Activity::Working);
                self.connections.evict_holder();
                let waiting = Arc::clone(&self.bytes).acquire_many_owned(permits);
                tokio::time::timeout(WAIT, waiting).await.ok()?.ok()?
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
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.client.release();
        let bytes = i64::try_from(self.bytes.num_permits()).unwrap_or_default();
        self.metrics.large_bodies(-bytes);
    }
}
