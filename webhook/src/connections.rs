//! The open connections of a port: what each of them waits for, since when, and which has to go where there is no room.
//!
//! Whoever reaches the port can open connections and leave them. So a connection is never waited for without a deadline,
//! and at the limit it is not the newcomer that waits, but the one that keeps others out without doing anything.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use crate::metrics::{Closed, Metrics, Port};
use crate::server::Timeouts;

/// Within it a handshake ends and a body arrives, also over slow lines.
const YOUNG: Duration = Duration::from_millis(250);
/// A client that is served stops for so long only on purpose: heads and bodies arrive, and answers are read, in milliseconds.
const STALLED: Duration = Duration::from_secs(1);

/// Handshakes of one address before everybody else gets a turn: together they take about as long as one costly review, and an API
/// server that opens a hundred connections at once has them soon.
const HANDSHAKES: usize = 8;

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activity {
    /// From its first moment to its first request; TLS is a part of it.
    NeverAsked,
    /// Between two requests.
    Idle,
    /// Bytes of the head of a request have come, the rest not yet.
    Head,
    /// The body is on its way.
    Receiving,
    /// Waits for the API server, not for the client.
    LookingUp,
    /// Waits for us.
    Working,
    /// The client has not read all of its answer yet.
    Answering,
}

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
            let is_holder = client.holds.load(Ordering::Relaxed) > 0;
            is_holder && (activity == Activity::LookingUp || now.saturating_duration_since(since) >= YOUNG)
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

/// One connection, as the rest of the webhook sees it.
pub(crate) struct Client {
    address: IpAddr,
    /// The permits of all connections of the address.
    handshakes: Arc<Semaphore>,
    activity: Mutex<(Activity, Instant)>,
    /// Requests that are not answered to the last byte: a client may send the next one before it has read the answer.
    requests: AtomicUsize,
    /// How many parts of the budget for large bodies it holds.
    holds: AtomicUsize,
    leaving: AtomicBool,
    close: Notify,
    finish: Notify,
}

impl Client {
    fn new(address: IpAddr, handshakes: Arc<Semaphore>) -> Self {
        Self {
            address,
            handshakes,
            activity: Mutex::new((Activity::NeverAsked, Instant::now())),
            requests: AtomicUsize::new(0),
            holds: AtomicUsize::new(0),
            leaving: AtomicBool::new(false),
            close: Notify::new(),
            finish: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, (Activity, Instant)> {
        self.activity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn activity(&self) -> (Activity, Instant) {
        *self.lock()
    }

    pub(crate) fn set(&self, activity: Activity) {
        *self.lock() = (activity, Instant::now());
    }

    /// Bytes came: between two requests they are the head of the next one.
    pub(crate) fn bytes_came(&self) {
        let mut activity = self.lock();
        if activity.0 == Activity::Idle {
            *activity = (Activity::Head, Instant::now());
        }
    }

    /// Whether bytes of an answer wait for the client: TLS takes the last ones before they are sent.
    pub(crate) fn unsent(&self, is_unsent: bool) {
        let mut activity = self.lock();
        match activity.0 {
            Activity::Idle if is_unsent => *activity = (Activity::Answering, Instant::now()),
            Activity::Answering if !is_unsent && self.requests.load(Ordering::Relaxed) == 0 => {
                *activity = (Activity::Idle, Instant::now());
            }
            Activity::NeverAsked
            | Activity::Idle
            | Activity::Head
            | Activity::Receiving
            | Activity::LookingUp
            | Activity::Working
            | Activity::Answering => {}
        }
    }

    /// It holds one part of the budget for large bodies more.
    pub(crate) fn hold(&self) {
        self.holds.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn release(&self) {
        self.holds.fetch_sub(1, Ordering::Relaxed);
    }

    fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    /// One that is idle may end in good order, so that a request that is on its way is not lost where HTTP can help it.
    fn make_room(&self) {
        self.leaving.store(true, Ordering::Relaxed);
        if self.activity().0 == Activity::Idle {
            self.finish.notify_one();
        } else {
            self.close.notify_one();
        }
    }

    /// Agrees on TLS. The first step of that costs more than all that follows, a review included; so the connections of one
    /// address take it in turns, and between two of them everybody else is served.
    pub(crate) async fn agree<H: Future>(&self, handshake: H) -> H::Output {
        let mut handshake = pin!(handshake);
        // It is never closed; and without a turn the handshake would only be less fair.
        let turn = self.handshakes.acquire().await.ok();
        let first = poll_fn(|context| Poll::Ready(handshake.as_mut().poll(context))).await;
        tokio::task::yield_now().await;
        drop(turn);
        match first {
            Poll::Ready(agreed) => agreed,
            Poll::Pending => handshake.await,
        }
    }

    /// Until it is asked to end in good order.
    pub(crate) async fn is_to_finish(&self) {
        self.finish.notified().await;
    }

    /// Until the client has kept us waiting for too long, or its connection has to make room at once.
    pub(crate) async fn must_end(&self, timeouts: &Timeouts) -> Closed {
        loop {
            let now = Instant::now();
            let deadline = self.deadline(timeouts);
            if let Some((at, reason)) = deadline
                && at <= now
            {
                return reason;
            }
            // What it does next has a deadline at least so far away, so nothing has to be told when that begins.
            let soonest = now + timeouts.head.min(timeouts.answer);
            let next = deadline.map_or(soonest, |(at, _)| at.min(soonest));
            tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                () = self.close.notified() => return Closed::Evicted,
            }
        }
    }

    /// While a review is looked up and decided, its handler has deadlines of its own. It has one for the body, too, but hyper
    /// does not run it as long as answers to earlier requests are not read.
    fn deadline(&self, timeouts: &Timeouts) -> Option<(Instant, Closed)> {
        let (activity, since) = self.activity();
        match activity {
            Activity::NeverAsked => Some((since + timeouts.first_request, Closed::NeverAsked)),
            // It should have ended in good order by now.
            Activity::Idle if self.is_leaving() => Some((since, Closed::Evicted)),
            Activity::Idle => Some((since + timeouts.idle, Closed::Idle)),
            Activity::Head => Some((since + timeouts.head, Closed::SlowHead)),
            Activity::Receiving => Some((since + timeouts.body + timeouts.answer, Closed::Unread)),
            Activity::Answering => Some((since + timeouts.answer, Closed::Unread)),
            Activity::LookingUp | Activity::Working => None,
        }
    }
}

/// A request from its head to the last byte of its answer: then its connection is idle.
pub(crate) struct InRequest(pub(crate) Arc<Client>);

impl InRequest {
    pub(crate) fn new(client: &Arc<Client>) -> Self {
        client.requests.fetch_add(1, Ordering::Relaxed);
        client.set(Activity::Receiving);
        Self(Arc::clone(client))
    }
}

impl Drop for InRequest {
    fn drop(&mut self) {
        if self.0.requests.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.set(Activity::Idle);
        }
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
            *client.lock() = (*activity, now - Duration::from_millis(*lasts));
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
