//! The open connections of a port: what each of them waits for, since when, and which has to go where there is no room.
//!
//! Whoever reaches the port can open connections and leave them. So a connection is never waited for without a deadline,
//! and at the limit it is not the newcomer that waits, but the one that keeps others out without doing anything.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::client::{Activity, Client};
use crate::metrics::{Closed, Metrics, Port};

/// Within it a handshake ends and a body arrives, also over slow lines.
const YOUNG: Duration = Duration::from_millis(250);
/// A client that is served stops for so long only on purpose: heads and bodies arrive, and answers are read, in milliseconds.
const STALLED: Duration = Duration::from_secs(1);

/// Handshakes of one address before everybody else gets a turn: together they take about as long as one costly review, and an API
/// server that opens a hundred connections at once has them soon.
const HANDSHAKES: usize = 8;

/// The open connections of one port.
pub(crate) struct Connections {
    port: Port,
    limit: usize,
    metrics: Arc<Metrics>,
    open: Mutex<Open>,
}

/// The open connections by number, in the order in which they came, and by address.
#[derive(Default)]
struct Open {
    clients: BTreeMap<u64, Arc<Client>>,
    addresses: HashMap<IpAddr, Address>,
}

/// What the connections of one address share.
struct Address {
    connections: usize,
    handshakes: Arc<Semaphore>,
}

impl Default for Address {
    fn default() -> Self {
        Self {
            connections: 0,
            handshakes: Arc::new(Semaphore::new(HANDSHAKES)),
        }
    }
}

impl Open {
    fn add(&mut self, address: IpAddr) -> (u64, Arc<Client>) {
        let id = self.clients.last_key_value().map_or(0, |(id, _)| id + 1);
        let of_address = self.addresses.entry(address).or_default();
        of_address.connections += 1;
        let client = Arc::new(Client::new(address, Arc::clone(&of_address.handshakes)));
        self.clients.insert(id, Arc::clone(&client));
        (id, client)
    }

    fn remove(&mut self, id: u64) {
        let Some(client) = self.clients.remove(&id) else { return };
        if let Some(of_address) = self.addresses.get_mut(&client.address) {
            of_address.connections -= 1;
            if of_address.connections == 0 {
                self.addresses.remove(&client.address);
            }
        }
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

    /// Takes a new connection in. Where there is no room, another one is closed for it; `None` where all of them are being
    /// answered. The caller lets other tasks run after [`memory::ACCEPTED_AT_ONCE`], so that the closed ones are really gone.
    pub(crate) fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Member> {
        let mut open = self.open();
        let present = open.clients.values().filter(|client| !client.is_leaving()).count();
        if present >= self.limit {
            let Some(victim) = victim(&open, Instant::now(), |_| true) else {
                self.metrics.closed(self.port, Closed::NoRoom);
                return None;
            };
            victim.make_room();
        }
        let (id, client) = open.add(address.to_canonical());
        self.metrics.opened(self.port);
        Some(Member {
            id,
            client,
            connections: Arc::clone(self),
        })
    }

    /// Closes a connection that holds a part of the budget for large bodies and keeps us waiting for the rest, or holds it
    /// while the API server is asked; none where all of them wait for us.
    pub(crate) fn evict_holder(&self) {
        let open = self.open();
        let now = Instant::now();
        let keeps_us_waiting = |client: &Client| {
            let (activity, since) = client.activity();
            client.is_holder() && (activity == Activity::LookingUp || now.saturating_duration_since(since) >= YOUNG)
        };
        if let Some(client) = victim(&open, now, keeps_us_waiting) {
            client.make_room();
        }
    }
}

/// Whom to close: of the address with most connections first, so that one client cannot take the room of another, however
/// often it comes back; then by what the connection is doing, then by how long.
fn victim(open: &Open, now: Instant, is_candidate: impl Fn(&Client) -> bool) -> Option<&Arc<Client>> {
    let candidates = open
        .clients
        .values()
        .filter(|client| !client.is_leaving() && is_candidate(client));
    candidates
        .filter_map(|client| {
            let (activity, since) = client.activity();
            let rank = rank(activity, now.saturating_duration_since(since))?;
            let connections = open.addresses.get(&client.address)?.connections;
            Some(((Reverse(connections), rank, since), client))
        })
        .min_by_key(|(key, _)| *key)
        .map(|(_, client)| client)
}

/// The lower, the sooner it is closed; `None` for what is not the client's fault.
fn rank(activity: Activity, lasts: Duration) -> Option<u8> {
    match activity {
        Activity::NeverAsked if lasts >= YOUNG => Some(0),
        Activity::Head | Activity::Receiving | Activity::Answering if lasts >= STALLED => Some(1),
        Activity::Idle => Some(2),
        Activity::NeverAsked => Some(3),
        Activity::Head | Activity::Receiving => Some(4),
        Activity::LookingUp => Some(5),
        Activity::Working | Activity::Answering => None,
    }
}

/// A connection's place among the others, until it is dropped.
pub(crate) struct Member {
    id: u64,
    client: Arc<Client>,
    connections: Arc<Connections>,
}

impl Member {
    pub(crate) fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// Counts why we closed it.
    pub(crate) fn closed(&self, reason: Closed) {
        self.connections.metrics.closed(self.connections.port, reason);
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.connections.open().remove(self.id);
        self.connections.metrics.gone(self.connections.port);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Clients by address (the last part of it), activity and how many milliseconds that lasts; the position of the victim.
    #[track_caller]
    fn check(clients: &[(u8, Activity, u64)], expected: Option<u64>) {
        let now = Instant::now() + Duration::from_secs(60);
        let mut open = Open::default();
        for (address, activity, lasts) in clients {
            let (_, client) = open.add(IpAddr::from([10, 0, 0, *address]));
            client.set_since(*activity, now - Duration::from_millis(*lasts));
        }
        let found = victim(&open, now, |_| true).map(Arc::as_ptr);
        let expected = expected.map(|id| Arc::as_ptr(&open.clients[&id]));
        assert_eq!(found, expected);
    }

    #[test]
    fn the_one_that_keeps_us_waiting_without_reason_goes_first_and_among_equals_the_longest() {
        use Activity::{Answering, Head, Idle, LookingUp, NeverAsked, Receiving, Working};
        check(&[(1, Idle, 9000), (1, NeverAsked, 300), (1, NeverAsked, 400)], Some(2));
        check(&[(1, Idle, 9000), (1, Receiving, 1500), (1, Head, 2000)], Some(2));
        check(&[(1, Idle, 9000), (1, Answering, 1500)], Some(1));
        check(&[(1, Idle, 10), (1, NeverAsked, 200), (1, Idle, 20)], Some(2));
        check(&[(1, Receiving, 500), (1, NeverAsked, 200)], Some(1));
        check(&[(1, LookingUp, 4000), (1, Receiving, 2)], Some(1));
        check(&[(1, LookingUp, 4000), (1, Working, 5000)], Some(0));
        check(&[(1, Answering, 500), (1, Working, 5000)], None);
        check(&[], None);
    }

    #[test]
    fn an_address_is_forgotten_with_its_last_connection() {
        let mut open = Open::default();
        let (first, _) = open.add(IpAddr::from([10, 0, 0, 1]));
        let (second, _) = open.add(IpAddr::from([10, 0, 0, 1]));
        open.remove(first);
        assert_eq!(open.addresses.len(), 1);
        open.remove(second);
        assert!(open.addresses.is_empty() && open.clients.is_empty());
    }

    #[tokio::test]
    async fn the_handshakes_of_one_address_take_turns_and_those_of_another_do_not_wait_for_them() {
        let mut open = Open::default();
        let steps = Arc::new(Mutex::new(Vec::new()));
        let mut handshake = |address: u8| {
            let client = open.add(IpAddr::from([10, 0, 0, address])).1;
            let steps = Arc::clone(&steps);
            tokio::spawn(async move { client.agree(async { steps.lock().unwrap().push(address) }).await })
        };
        let mut tasks: Vec<_> = (0..HANDSHAKES + 2).map(|_| handshake(1)).collect();
        tasks.push(handshake(2));
        for task in tasks {
            task.await.unwrap();
        }
        let expected = [&[1; HANDSHAKES][..], &[2, 1, 1]].concat();
        assert_eq!(*steps.lock().unwrap(), expected);
    }

    #[test]
    fn an_address_with_few_connections_keeps_them() {
        use Activity::{Idle, NeverAsked, Working};
        check(&[(1, NeverAsked, 4000), (2, Idle, 1), (2, Idle, 2)], Some(2));
        check(&[(1, NeverAsked, 4000), (2, Working, 1), (2, Working, 2)], Some(0));
    }
}
