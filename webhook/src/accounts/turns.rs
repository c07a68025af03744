//! Limits live reads per namespace and in total: whoever creates pods in a namespace can name any number of accounts that are
//! not in the cache, and must not delay other namespaces by that.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};

/// Live reads at once, so that nobody can load the API server through the webhook.
const AT_ONCE: usize = 8;
/// Live reads at once of one namespace.
const OF_A_NAMESPACE: usize = 2;
/// Lookups of a namespace that wait or are being read. The pods of a Deployment share an account, but all of them look it up
/// until the first answer is cached.
const LONGEST_QUEUE: usize = 64;

pub(super) struct Turns {
    all: Semaphore,
    namespaces: Mutex<BTreeMap<Box<str>, Arc<Semaphore>>>,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            all: Semaphore::new(AT_ONCE),
            namespaces: Mutex::default(),
        }
    }
}

impl Turns {
    /// Joins the queue of a namespace; `None` if it is full.
    pub(super) fn join(&self, namespace: &str) -> Option<Place<'_>> {
        let mut namespaces = self.namespaces.lock().unwrap_or_else(PoisonError::into_inner);
        let own = namespaces
            .entry(namespace.into())
            .or_insert_with(|| Arc::new(Semaphore::new(OF_A_NAMESPACE)));
        // One reference is the map's.
        (Arc::strong_count(own) <= LONGEST_QUEUE).then(|| Place {
            turns: self,
            namespace: namespace.into(),
            own: Arc::clone(own),
        })
    }
}

/// A place in the queue of a namespace, given up on drop.
pub(super) struct Place<'a> {
    turns: &'a Turns,
    namespace: Box<str>,
    own: Arc<Semaphore>,
}

impl Place<'_> {
    /// Waits for the permits of a read; the semaphores are never closed.
    pub(super) async fn turn(&self) -> [Option<SemaphorePermit<'_>>; 2] {
        let own = self.own.acquire().await.ok();
        [own, self.turns.all.acquire().await.ok()]
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut namespaces = self.turns.namespaces.lock().unwrap_or_else(PoisonError::into_inner);
        // This place's reference and the map's: the queue is empty.
        if Arc::strong_count(&self.own) == 2 {
            namespaces.remove(&self.namespace);
        }
    }
}
