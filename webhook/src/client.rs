//! One connection as the rest of the webhook sees it: what it is doing since when, and when it has kept us waiting for too long.

use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use crate::metrics::Closed;
use crate::server::Timeouts;

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

/// One connection, as the rest of the webhook sees it.
pub(crate) struct Client {
    pub(crate) address: IpAddr,
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
    pub(crate) fn new(address: IpAddr, handshakes: Arc<Semaphore>) -> Self {
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
        self.set_since(activity, Instant::now());
    }

    pub(crate) fn set_since(&self, activity: Activity, since: Instant) {
        *self.lock() = (activity, since);
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

    /// Whether it holds a part of the budget for large bodies.
    pub(crate) fn is_holder(&self) -> bool {
        self.holds.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn release(&self) {
        self.holds.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    /// One that is idle may end in good order, so that a request that is on its way is not lost where HTTP can help it.
    pub(crate) fn make_room(&self) {
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
