//! Limits, and the accept loop of a port. Shutdown: after the first signal the webhook is not ready but still answers, then it
//! stops accepting and closes connections; a deadline bounds both.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::connection::Service;
use crate::connections::{Connections, Member, Victims};
use crate::memory;
use crate::metrics::Closed;

/// Bounds in time and number.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long a client may keep its connection to the TLS port waiting.
    pub timeouts: Timeouts,
    /// Between two requests on the plain port.
    pub plain_idle: Duration,
    /// Open connections on the TLS port; at the limit a new one replaces one that does nothing.
    pub connections: usize,
    /// Open connections on the plain port.
    pub plain_connections: usize,
    /// The budget for large bodies and responses, in bytes.
    pub large_bodies: usize,
    /// How often the certificate pair is read.
    pub certificate_poll: Duration,
    /// From the first signal to the closed listener.
    pub drain_delay: Duration,
    /// From the closed listener to the end, whatever is still open.
    pub drain_deadline: Duration,
}

/// How long a client may keep a connection waiting.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// From accepting the connection to the complete head of the first request, including the TLS handshake.
    pub first_request: Duration,
    /// For the head of a later request, from its first byte.
    pub head: Duration,
    /// From the head of a request to its complete body.
    pub body: Duration,
    /// For the client to read the response.
    pub answer: Duration,
    /// Between two requests. Longer than the API server's own 90 s (Go's `IdleConnTimeout`), so that the API server closes first
    /// and never sends a review on a connection that is being closed here.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            timeouts: Timeouts {
                first_request: Duration::from_secs(5),
                head: Duration::from_secs(10),
                body: Duration::from_secs(5),
                answer: Duration::from_secs(10),
                idle: Duration::from_secs(120),
            },
            plain_idle: Duration::from_secs(5),
            connections: memory::CONNECTIONS,
            plain_connections: memory::PLAIN_CONNECTIONS,
            large_bodies: memory::LARGE_BODIES,
            certificate_poll: Duration::from_secs(5),
            drain_delay: Duration::from_secs(8),
            drain_deadline: Duration::from_secs(15),
        }
    }
}

/// Progress of the shutdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// No signal yet; ready if certificate and cluster are.
    Serving,
    /// Not ready, still accepting; every response carries `Connection: close`.
    Draining,
    /// No longer accepting; a connection ends after the request that it is serving.
    Closing,
}

/// Serves a port until the phase is [`Phase::Closing`] and every connection has ended.
///
/// A flood must not wait in the kernel's queue, where it delays everybody who comes after it and nobody can be told apart. So
/// connections are accepted by the batch: registered, and others evicted for them, at once; served when those are gone.
pub(crate) async fn run(service: Service, connections: Arc<Connections>, listener: TcpListener) {
    let service = Arc::new(service);
    let mut tasks = JoinSet::new();
    let mut phase = service.phase.clone();
    let mut batch = Vec::with_capacity(memory::ACCEPTED_AT_ONCE);
    loop {
        let accepted = tokio::select! {
            _ = phase.wait_for(|phase| *phase == Phase::Closing) => break,
            Some(_) = tasks.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let mut next = Some(accepted);
        let mut victims = Victims::default();
        while let Some(accepted) = next {
            match accepted {
                Ok((stream, address)) => {
                    let member = connections.admit(address.ip(), &mut victims);
                    batch.extend(member.map(|member| (stream, member)));
                }
                Err(error) => {
                    // For instance EMFILE: a moment later a descriptor may be free.
                    tracing::error!("a connection could not be accepted: {error}");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    break;
                }
            }
            let has_room = batch.len() < memory::ACCEPTED_AT_ONCE;
            next = if has_room { accept_now(&listener).await } else { None };
        }
        // Those that were evicted for others of the batch are closed before they begin.
        batch.retain(|(_, member): &(TcpStream, Member)| {
            let is_evicted = member.client().is_evicted();
            if is_evicted {
                member.closed(Closed::Evicted);
            }
            !is_evicted
        });
        // Evicted connections have to be gone before memory is spent on others.
        while connections.is_beyond_limit() {
            tasks.join_next().await;
        }
        for (stream, member) in batch.drain(..) {
            member.opened();
            let service = Arc::clone(&service);
            tasks.spawn(async move { service.serve(stream, &member).await });
        }
        // A flood of new connections does not delay those that are being answered.
        tokio::task::yield_now().await;
    }
    // A client that connects now is refused at once instead of waiting in the backlog in vain.
    drop(listener);
    while tasks.join_next().await.is_some() {}
}

/// A connection that waits to be accepted; `None`: none does.
async fn accept_now(listener: &TcpListener) -> Option<io::Result<(TcpStream, SocketAddr)>> {
    poll_fn(|context| match listener.poll_accept(context) {
        Poll::Ready(accepted) => Poll::Ready(Some(accepted)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
