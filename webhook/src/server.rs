//! Listeners, and how they end: on the first signal the webhook says that it is not ready and goes on answering, then it
//! closes what is open, and a deadline bounds both.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::connection::Service;
use crate::connections::Connections;
use crate::memory;

/// Bounds in time and number.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long a client may keep its connection to the TLS port waiting.
    pub timeouts: Timeouts,
    /// Between two requests on the plain port.
    pub plain_idle: Duration,
    /// Open connections on the TLS port; a newcomer takes the place of one that does nothing.
    pub connections: usize,
    /// Open connections on the plain port.
    pub plain_connections: usize,
    /// Bytes of large bodies and answers that are held at once.
    pub large_bodies: usize,
    /// Between two looks at the certificate pair.
    pub certificate_poll: Duration,
    /// From the first signal to the closed listener.
    pub drain_delay: Duration,
    /// From the closed listener to the end, whatever is still open.
    pub drain_deadline: Duration,
}

/// How long a client may keep a connection waiting.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// From the accepted connection to the complete head of the first request; TLS is agreed within it.
    pub first_request: Duration,
    /// For the head of a later request, from its first byte.
    pub head: Duration,
    /// From the head of a request to its complete body.
    pub body: Duration,
    /// For the client to read its answer.
    pub answer: Duration,
    /// Between two requests. Longer than the API server's own 90 s (Go's `IdleConnTimeout`), so that it is the one that
    /// closes and no review is lost on a connection that we are just closing.
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

/// Where the webhook is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Ready as far as certificate and cluster are.
    Serving,
    /// Not ready, still accepting; every answer asks the client to close.
    Draining,
    /// No longer accepting; connections end with what they are doing.
    Closing,
}

/// Serves a port until the phase is [`Phase::Closing`] and every connection has ended.
pub(crate) async fn run(service: Service, connections: Arc<Connections>, listener: TcpListener) {
    let service = Arc::new(service);
    let mut tasks = JoinSet::new();
    let mut phase = service.phase.clone();
    let mut accepted_in_a_row = 0;
    loop {
        let accepted = tokio::select! {
            _ = phase.wait_for(|phase| *phase == Phase::Closing) => break,
            Some(_) = tasks.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                if let Some(member) = connections.admit(address.ip()) {
                    let service = Arc::clone(&service);
                    tasks.spawn(async move { service.serve(stream, &member).await });
                }
                accepted_in_a_row += 1;
                if accepted_in_a_row == memory::ACCEPTED_AT_ONCE {
                    accepted_in_a_row = 0;
                    // Whoever was closed for them goes now, and a flood of newcomers does not keep others from being answered.
                    tokio::task::yield_now().await;
                }
            }
            Err(error) => {
                // For instance no file descriptor left: a moment later there may be one.
                tracing::error!("a connection could not be accepted: {error}");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
    // A client that comes now is refused at once, instead of waiting in the backlog for nobody.
    drop(listener);
    while tasks.join_next().await.is_some() {}
}
