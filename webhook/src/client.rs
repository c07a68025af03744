//! One connection: what it is doing, since when, and the deadline of that.

use std::future::{Future, pending, poll_fn};
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::metrics::Closed;
use crate::server::Timeouts;

/// How a flush of the stream went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flush {
    /// Everything was handed to the kernel.
    Done,
    /// The client has to read first.
    Pending,
}

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activity {
    /// No request yet; the TLS handshake counts as part of this.
    NoRequest,
    /// Between two requests.
    Idle,
    /// A part of a request's head has arrived.
    Head,
    /// The body is being read.
    Receiving,
    /// Waiting for the API server.
    LookingUp,
    /// Being worked on.
    Working,
    /// The client has not read all of its response yet.
    Answering,
}

/// TLS handshakes of one address before other tasks run. Where no other task waits, the next one follows at once, so that an API
/// server that opens a hundred connections has them soon.
pub(crate) const HANDSHAKES: usize = 1;

/// What the connections of one address share.
pub(crate) struct Address {
    pub(crate) ip: IpAddr,
    connections: AtomicUsize,
    /// Whether one of its connections has asked.
    has_asked: AtomicBool,
    /// Handshake permits.
    handshakes: Semaphore,
}

impl Address {
    pub(crate) fn new(ip: IpAddr) -> Arc<Self> {
        Arc::new(Self {
            ip,
            connections: AtomicUsize::new(0),
            has_asked: AtomicBool::new(false),
            handshakes: Semaphore::new(HANDSHAKES),
        })
    }

    /// It has one connection more.
    pub(crate) fn opened(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// It has one connection less; how many are left.
    pub(crate) fn closed(&self) -> usize {
        self.connections.fetch_sub(1, Ordering::Relaxed) - 1
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

/// State of a connection that its tasks and the eviction share.
pub(crate) struct Client {
    pub(crate) address: Arc<Address>,
    activity: Mutex<(Activity, Instant)>,
    /// Requests whose response is not yet fully sent; with pipelining there can be more than one.
    requests: AtomicUsize,
    /// Number of shares of the memory budget that it holds.
    charges: AtomicUsize,
    evicted: AtomicBool,
    /// Whether a request may come, and nothing of one has.
    is_untouched: AtomicBool,
    close: Notify,
    finish: Notify,
}

impl Client {
    pub(crate) fn new(address: Arc<Address>) -> Self {
        Self {
            address,
            activity: Mutex::new((Activity::NoRequest, Instant::now())),
            requests: AtomicUsize::new(0),
            charges: AtomicUsize::new(0),
            evicted: AtomicBool::new(false),
            is_untouched: AtomicBool::new(false),
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
        self.set_since(activity, Instant::now());
    }

    pub(crate) fn set_since(&self, activity: Activity, since: Instant) {
        *self.lock() = (activity, since);
    }

    /// Bytes were received; between two requests they begin the next one's head.
    pub(crate) fn received(&self) {
        let mut activity = self.lock();
        if activity.0 == Activity::Idle || (activity.0 == Activity::NoRequest && self.is_spare()) {
            *activity = (Activity::Head, Instant::now());
        }
        self.is_untouched.store(false, Ordering::Relaxed);
    }

    /// The stream was flushed, or could not be: rustls accepts the end of a response before it is sent.
    pub(crate) fn flushed(&self, flush: Flush) {
        let mut activity = self.lock();
        match activity.0 {
            Activity::Idle if flush == Flush::Pending => *activity = (Activity::Answering, Instant::now()),
            Activity::Answering if flush == Flush::Done && self.requests.load(Ordering::Relaxed) == 0 => {
                *activity = (Activity::Idle, Instant::now());
            }
            Activity::NoRequest
            | Activity::Idle
            | Activity::Head
            | Activity::Receiving
            | Activity::LookingUp
            | Activity::Working
            | Activity::Answering => {}
        }
    }

    /// Requests may come: the TLS handshake is over, or there is none.
    pub(crate) fn open(&self) {
        self.is_untouched.store(true, Ordering::Relaxed);
    }

    /// Whether it is a connection in reserve: Go's HTTP client, and so an API server, dials for each request of a burst, and keeps
    /// what it did not need. The first request on such a connection is not tried again if it is closed at that moment
    /// (net/http `shouldRetryRequest`), and a pod would be refused.
    fn is_spare(&self) -> bool {
        self.is_untouched.load(Ordering::Relaxed) && self.address.has_asked.load(Ordering::Relaxed)
    }

    /// It holds one more share of the memory budget.
    pub(crate) fn add_charge(&self) {
        self.charges.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether it holds a share of the memory budget.
    pub(crate) fn is_charged(&self) -> bool {
        self.charges.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn remove_charge(&self) {
        self.charges.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn is_evicted(&self) -> bool {
        self.evicted.load(Ordering::Relaxed)
    }

    /// Closes the connection for another one. An idle one is closed gracefully, so that a request on its way may still be
    /// answered.
    pub(crate) fn evict(&self) {
        self.evicted.store(true, Ordering::Relaxed);
        if self.activity().0 == Activity::Idle {
            self.finish.notify_one();
        } else {
            self.close.notify_one();
        }
    }

    /// Performs the TLS handshake: reads the client's first message, and answers it. The answer, a key exchange and a signature,
    /// costs more than everything after it, including a review; so the connections of one address take that step one after the
    /// other, and other tasks run in between. `answer` may already take it: rustls does when it is given its configuration.
    pub(crate) async fn handshake<M, R, H, S>(
        &self,
        read: impl FnOnce() -> R,
        answer: impl FnOnce(M) -> H,
    ) -> io::Result<S>
    where
        R: Future<Output = io::Result<M>>,
        H: Future<Output = io::Result<S>>,
    {
        let mut turn = self.turn().await;
        let mut reading = pin!(read());
        let message = match poll_once(reading.as_mut()).await {
            Poll::Ready(message) => message?,
            Poll::Pending => {
                // Whoever sends it in pieces does not keep the turn meanwhile.
                drop(turn);
                let message = reading.await?;
                turn = self.turn().await;
                message
            }
        };
        let mut handshake = pin!(answer(message));
        let first = poll_once(handshake.as_mut()).await;
        tokio::task::yield_now().await;
        drop(turn);
        match first {
            Poll::Ready(stream) => stream,
            Poll::Pending => handshake.await,
        }
    }

    /// Waits for its turn among the connections of its address.
    async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed; if it were, the handshake would only be less fair.
        let turn = self.address.handshakes.acquire().await.ok();
        if self.is_evicted() {
            // The one that is evicted is the one that has waited longest, so its turn comes just then. It is closed elsewhere.
            drop(turn);
            return pending().await;
        }
        turn
    }

    /// Waits until the connection is to be closed gracefully.
    pub(crate) async fn finish_requested(&self) {
        self.finish.notified().await;
    }

    /// Waits until a deadline of the client has passed, or the connection is evicted.
    pub(crate) async fn must_close(&self, timeouts: &Timeouts) -> Closed {
        loop {
            let now = Instant::now();
            let deadline = self.deadline(timeouts);
            if let Some((at, reason)) = deadline
                && at <= now
            {
                return reason;
            }
            // The next activity's deadline is at least this far away, so a change of activity need not wake this task.
            let soonest = now + timeouts.head.min(timeouts.answer);
            let next = deadline.map_or(soonest, |(at, _)| at.min(soonest));
            tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                () = self.close.notified() => return Closed::Evicted,
            }
        }
    }

    /// Lookup and decision have deadlines of their own, in the handler. So has the body, but hyper does not poll the handler while
    /// responses to earlier requests are unread.
    fn deadline(&self, timeouts: &Timeouts) -> Option<(Instant, Closed)> {
        let (activity, since) = self.activity();
        match activity {
            Activity::NoRequest if self.is_spare() => Some((since + timeouts.idle, Closed::Idle)),
            Activity::NoRequest => Some((since + timeouts.first_request, Closed::NoRequest)),
            // Its graceful end is overdue.
            Activity::Idle if self.is_evicted() => Some((since, Closed::Evicted)),
            Activity::Idle => Some((since + timeouts.idle, Closed::Idle)),
            Activity::Head => Some((since + timeouts.head, Closed::SlowHead)),
            Activity::Receiving => Some((since + timeouts.body + timeouts.answer, Closed::Unread)),
            Activity::Answering => Some((since + timeouts.answer, Closed::Unread)),
            Activity::LookingUp | Activity::Working => None,
        }
    }
}

/// Polls a future once.
async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
}

/// A request from its head to the last byte of its response, when the connection becomes idle.
pub(crate) struct InRequest(pub(crate) Arc<Client>);

impl InRequest {
    pub(crate) fn new(client: &Arc<Client>) -> Self {
        client.requests.fetch_add(1, Ordering::Relaxed);
        client.address.has_asked.store(true, Ordering::Relaxed);
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
