//! The open connections of a port, and which of them is closed when the limit is reached.
//!
//! Anybody who reaches the port can open connections and keep them. So every wait for a client has a deadline, and at the limit
//! a new connection is not refused: an existing one that does nothing is closed for it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::client::{Activity, Address, Client};
use crate::memory;
use crate::metrics::{Closed, Metrics, Port};

/// Within this time a handshake ends and a body arrives, also on slow networks.
const YOUNG: Duration = Duration::from_millis(250);
/// No well-behaved client pauses this long within a request: heads and bodies are sent, and responses read, in milliseconds.
const STALLED: Duration = Duration::from_secs(1);

/// The open connections of one port.
pub(crate) struct Connections {
    port: Port,
    limit: usize,
    metrics: Arc<Metrics>,
    open: Mutex<Open>,
}

/// The open connections by number, in the order in which they were accepted, and by address.
#[derive(Default)]
struct Open {
    clients: BTreeMap<u64, Arc<Client>>,
    addresses: HashMap<IpAddr, Arc<Address>>,
    /// How many of them were told to end.
    evicted: usize,
}

impl Open {
    fn add(&mut self, address: IpAddr) -> (u64, Arc<Client>) {
        let id = self.clients.last_key_value().map_or(0, |(id, _)| id + 1);
        let shared = self.addresses.entry(address);
        let client = Arc::new(Client::new(Arc::clone(shared.or_insert_with(|| Address::new(address)))));
        client.address.opened();
        self.clients.insert(id, Arc::clone(&client));
        (id, client)
    }

    fn remove(&mut self, id: u64) {
        let Some(client) = self.clients.remove(&id) else { return };
        self.evicted -= usize::from(client.is_evicted());
        if client.address.closed() == 0 {
            self.addresses.remove(&client.address.ip);
        }
    }

    /// Closes this connection for another one.
    fn evict(&mut self, client: &Client) {
        self.evicted += 1;
        client.evict();
    }
}

impl Connections {
    pub(crate) fn new(port: Port, limit: usize, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            port,
            limit,
            metrics,
            open: Mutex::default(),
        })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether evicted connections have to be gone before those that were admitted are served.
    pub(crate) fn is_beyond_limit(&self) -> bool {
        self.open().clients.len() > self.limit + memory::EVICTED
    }

    /// Registers a new connection. At the limit another one is closed for it; `None` if all of them are being answered.
    pub(crate) fn admit(self: &Arc<Self>, address: IpAddr, victims: &mut Victims) -> Option<Member> {
        let mut open = self.open();
        if open.clients.len() - open.evicted >= self.limit {
            let Some(victim) = victims.next(&open) else {
                self.metrics.closed(self.port, Closed::NoRoom);
                return None;
            };
            open.evict(&victim);
        }
        let (id, client) = open.add(address.to_canonical());
        Some(Member {
            id,
            client,
            connections: Arc::clone(self),
            is_served: AtomicBool::new(false),
        })
    }

    /// Closes a connection that holds a share of the memory budget while its client sends or reads slowly, or while the API
    /// server is asked; none if all of them are being worked on.
    pub(crate) fn evict_charged(&self) {
        let mut open = self.open();
        let now = Instant::now();
        let makes_us_wait = |client: &Client| {
            let (activity, since) = client.activity();
            client.is_charged() && (activity == Activity::LookingUp || now.saturating_duration_since(since) >= YOUNG)
        };
        if let Some(client) = victims(&open, now, makes_us_wait).next() {
            open.evict(&client);
        }
    }
}

/// Whom to close for the connections of one batch: looked for when the first of the batch needs room, and again only when another
/// address has the most connections by then, which those of the batch count for.
#[derive(Default)]
pub(crate) struct Victims(std::vec::IntoIter<Arc<Client>>);

impl Victims {
    fn next(&mut self, open: &Open) -> Option<Arc<Client>> {
        let most = open.addresses.values().map(|address| address.connections()).max();
        let is_next = |client: &Arc<Client>| !client.is_evicted() && Some(client.address.connections()) == most;
        self.0.next().filter(is_next).or_else(|| {
            self.0 = victims(open, Instant::now(), |_| true);
            self.0.next()
        })
    }
}

/// Connections that may be closed, in this order: those of the address with the most connections first, so that one client cannot
/// displace another by reconnecting; then by activity, then the one in it for longest.
fn victims(open: &Open, now: Instant, is_candidate: impl Fn(&Client) -> bool) -> std::vec::IntoIter<Arc<Client>> {
    let candidates = open
        .clients
        .values()
        .filter(|client| !client.is_evicted() && is_candidate(client));
    let mut ranked: Vec<_> = candidates
        .filter_map(|client| {
            let (activity, since) = client.activity();
            let rank = rank(activity, now.saturating_duration_since(since))?;
            Some(((Reverse(client.address.connections()), rank, since), client))
        })
        .collect();
    ranked.sort_by_key(|(key, _)| *key);
    let in_order: Vec<_> = ranked.into_iter().map(|(_, client)| Arc::clone(client)).collect();
    in_order.into_iter()
}

/// The lowest rank is closed first; `None`: never, since the wait is not the client's fault.
fn rank(activity: Activity, lasts: Duration) -> Option<u8> {
    match activity {
        Activity::NoRequest if lasts >= YOUNG => Some(0),
        Activity::Head | Activity::Receiving | Activity::Answering if lasts >= STALLED => Some(1),
        Activity::Idle => Some(2),
        Activity::NoRequest => Some(3),
        Activity::Head | Activity::Receiving => Some(4),
        Activity::LookingUp => Some(5),
        Activity::Working | Activity::Answering => None,
    }
}

/// The registration of an open connection, removed on drop.
pub(crate) struct Member {
    id: u64,
    client: Arc<Client>,
    connections: Arc<Connections>,
    is_served: AtomicBool,
}

impl Member {
    pub(crate) fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// It is served from now on.
    pub(crate) fn opened(&self) {
        self.is_served.store(true, Ordering::Relaxed);
        self.connections.metrics.opened(self.connections.port);
    }

    /// Counts why the webhook closed it.
    pub(crate) fn closed(&self, reason: Closed) {
        self.connections.metrics.closed(self.connections.port, reason);
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.connections.open().remove(self.id);
        if self.is_served.load(Ordering::Relaxed) {
            self.connections.metrics.gone(self.connections.port);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::HANDSHAKES;
    use std::future::{Future, Ready, poll_fn, ready};
    use std::io;
    use std::pin::pin;
    use std::task::Poll;

    /// Clients by the last byte of their address, activity and its age in milliseconds; the index of the victim.
    #[track_caller]
    fn check(clients: &[(u8, Activity, u64)], expected: Option<u64>) {
        let now = Instant::now() + Duration::from_secs(60);
        let mut open = Open::default();
        for (address, activity, lasts) in clients {
            let (_, client) = open.add(IpAddr::from([10, 0, 0, *address]));
            client.set_since(*activity, now - Duration::from_millis(*lasts));
        }
        let found = victims(&open, now, |_| true).next();
        let expected = expected.map(|id| &open.clients[&id]);
        assert_eq!(found.as_ref().map(Arc::as_ptr), expected.map(Arc::as_ptr));
    }

    #[test]
    fn connections_are_closed_by_activity_and_then_by_age() {
        use Activity::{Answering, Head, Idle, LookingUp, NoRequest, Receiving, Working};
        check(&[(1, Idle, 9000), (1, NoRequest, 300), (1, NoRequest, 400)], Some(2));
        check(&[(1, Idle, 9000), (1, Receiving, 1500), (1, Head, 2000)], Some(2));
        check(&[(1, Idle, 9000), (1, Answering, 1500)], Some(1));
        check(&[(1, Idle, 10), (1, NoRequest, 200), (1, Idle, 20)], Some(2));
        check(&[(1, Receiving, 500), (1, NoRequest, 200)], Some(1));
        check(&[(1, LookingUp, 4000), (1, Receiving, 2)], Some(1));
        check(&[(1, LookingUp, 4000), (1, Working, 5000)], Some(0));
        check(&[(1, Answering, 500), (1, Working, 5000)], None);
        check(&[], None);
    }

    /// Connections of these addresses come in one batch, and one of those that are open is closed for each. How many each address has
    /// left of the open ones, by the last byte.
    fn left_after_a_batch(old: &[(u8, usize)], batch: &[u8]) -> BTreeMap<u8, usize> {
        let mut open = Open::default();
        let mut clients = Vec::new();
        for (address, count) in old {
            for _ in 0..*count {
                let client = open.add(IpAddr::from([10, 0, 0, *address])).1;
                client.set(Activity::Idle);
                clients.push((*address, client));
            }
        }
        let mut victims = Victims::default();
        for address in batch {
            let victim = victims.next(&open).unwrap();
            open.evict(&victim);
            open.add(IpAddr::from([10, 0, 0, *address]));
        }
        let mut left = BTreeMap::new();
        for (address, client) in clients {
            *left.entry(address).or_default() += usize::from(!client.is_evicted());
        }
        left
    }

    #[test]
    fn a_batch_closes_its_own_address_before_those_with_few_connections() {
        let all_of_the_first = left_after_a_batch(&[(1, 20), (2, 3)], &[1; 48]);
        assert_eq!(all_of_the_first, BTreeMap::from([(1, 0), (2, 3)]));
        let by_many = left_after_a_batch(&[(1, 20), (2, 3)], &[4, 5, 6, 7]);
        assert_eq!(by_many, BTreeMap::from([(1, 16), (2, 3)]));
    }

    #[test]
    fn an_address_that_gets_the_most_connections_within_a_batch_closes_its_own_from_then_on() {
        let left = left_after_a_batch(&[(1, 20), (2, 18)], &[2; 10]);
        assert_eq!(left, BTreeMap::from([(1, 17), (2, 11)]));
    }

    #[test]
    fn an_address_is_removed_with_its_last_connection() {
        let mut open = Open::default();
        let (first, _) = open.add(IpAddr::from([10, 0, 0, 1]));
        let (second, _) = open.add(IpAddr::from([10, 0, 0, 1]));
        open.remove(first);
        assert_eq!(open.addresses.len(), 1);
        open.remove(second);
        assert!(open.addresses.is_empty() && open.clients.is_empty());
    }

    #[tokio::test]
    async fn handshakes_of_one_address_do_not_delay_those_of_another() {
        let mut open = Open::default();
        let steps = Arc::new(Mutex::new(Vec::new()));
        let mut handshake = |address: u8| {
            let client = open.add(IpAddr::from([10, 0, 0, address])).1;
            let steps = Arc::clone(&steps);
            tokio::spawn(async move {
                // The expensive step happens before there is a future to poll.
                let answer = |()| {
                    steps.lock().unwrap().push(address);
                    ready(Ok(()))
                };
                client.handshake(|| ready(Ok(())), answer).await.unwrap();
            })
        };
        let mut tasks: Vec<_> = (0..HANDSHAKES + 2).map(|_| handshake(1)).collect();
        tasks.push(handshake(2));
        for task in tasks {
            task.await.unwrap();
        }
        let expected = [&[1; HANDSHAKES][..], &[2, 1, 1]].concat();
        assert_eq!(*steps.lock().unwrap(), expected);
    }

    #[tokio::test]
    async fn an_evicted_connection_takes_no_turn() {
        let mut open = Open::default();
        let [evicted, other] = [(); 2].map(|()| open.add(IpAddr::from([10, 0, 0, 1])).1);
        open.evict(&evicted);
        let read = || -> Ready<io::Result<()>> { panic!("its message is read") };
        let mut handshake = pin!(evicted.handshake(read, |()| ready(Ok(()))));
        let waits = poll_fn(|context| Poll::Ready(handshake.as_mut().poll(context).is_pending())).await;
        assert!(waits);
        other.handshake(|| ready(Ok(())), |()| ready(Ok(()))).await.unwrap();
    }

    /// The turn is for the expensive step, also where the message before it came in pieces.
    #[tokio::test]
    async fn a_message_in_pieces_neither_keeps_the_turn_nor_passes_it_by() {
        let mut open = Open::default();
        let [slow, other] = [(); 2].map(|()| open.add(IpAddr::from([10, 0, 0, 1])).1);
        let rest = Arc::new(tokio::sync::Notify::new());
        let steps = Arc::new(Mutex::new(Vec::new()));
        let slowly = tokio::spawn({
            let (rest, steps) = (Arc::clone(&rest), Arc::clone(&steps));
            async move {
                let message = || async {
                    rest.notified().await;
                    Ok(())
                };
                let answer = |()| {
                    steps.lock().unwrap().push("slow");
                    ready(Ok(()))
                };
                slow.handshake(message, answer).await
            }
        });
        tokio::task::yield_now().await;
        let answer = |()| async {
            steps.lock().unwrap().push("other");
            // The rest arrives while another one has the turn.
            rest.notify_one();
            tokio::task::yield_now().await;
            steps.lock().unwrap().push("other's end");
            Ok(())
        };
        other.handshake(|| ready(Ok(())), answer).await.unwrap();
        slowly.await.unwrap().unwrap();
        assert_eq!(*steps.lock().unwrap(), ["other", "other's end", "slow"]);
    }

    #[test]
    fn an_address_with_few_connections_keeps_them() {
        use Activity::{Idle, NoRequest, Working};
        check(&[(1, NoRequest, 4000), (2, Idle, 1), (2, Idle, 2)], Some(2));
        check(&[(1, NoRequest, 4000), (2, Working, 1), (2, Working, 2)], Some(0));
    }
}
