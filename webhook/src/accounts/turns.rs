//! Whose turn it is to be read live. Whoever creates pods in one namespace can name accounts there that are not known, as
//! many as they like; they must not take the turns of other namespaces.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};

/// Live reads at once; more would let whoever reaches our port load the API server.
const AT_ONCE: usize = 8;
/// Of which one namespace has so many.
const OF_A_NAMESPACE: usize = 2;
/// Lookups of a namespace that wait or are read; a Deployment that starts is one, since its pods have the same account, but
/// nothing is remembered before the first answer.
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
    /// A place in the queue of a namespace; `None` where the queue is too long.
    pub(super) fn queue(&self, namespace: &str) -> Option<Place<'_>> {
        let mut namespaces = self.namespaces.lock().unwrap_or_else(PoisonError::into_inner);
        let own = namespaces
            .entry(namespace.into())
            .or_insert_with(|| Arc::new(Semaphore::new(OF_A_NAMESPACE)));
        // One is the map's.
        (Arc::strong_count(own) <= LONGEST_QUEUE).then(|| Place {
            turns: self,
            namespace: namespace.into(),
            own: Arc::clone(own),
        })
    }
}

/// A place in the queue of a namespace, until it is dropped.
pub(super) struct Place<'a> {
    turns: &'a Turns,
    namespace: Box<str>,
    own: Arc<Semaphore>,
}

impl Place<'_> {
    /// The permits of a read; the semaphores are never closed.
    pub(super) async fn turn(&self) -> [Option<SemaphorePermit<'_>>; 2] {
        let own = self.own.acquire().await.ok();
        [own, self.turns.all.acquire().await.ok()]
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut namespaces = self.turns.namespaces.lock().unwrap_or_else(PoisonError::into_inner);
        // This place's and the map's: nobody else waits.
        if Arc::strong_count(&self.own) == 2 {
            namespaces.remove(&self.namespace);
        }
    }
}
