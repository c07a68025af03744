//! Listeners, and how they end: on the first signal the webhook says that it is not ready and goes on answering, then it
//! closes what is open, and a deadline bounds both.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::connection::{self, Patience};
use crate::metrics::Metrics;

/// Bounds in time and number.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// From the accepted connection to the agreed TLS.
    pub handshake: Duration,
    /// For the head of a request, from its first byte.
    pub head: Duration,
    /// Between two requests of a connection.
    pub idle: Duration,
    /// Open connections on the TLS port; more wait in the kernel's backlog.
    pub connections: usize,
    /// Between two looks at the certificate pair.
    pub certificate_poll: Duration,
    /// From the first signal to the closed listener.
    pub drain_delay: Duration,
    /// From the closed listener to the end, whatever is still open.
    pub drain_deadline: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(5),
            head: Duration::from_secs(10),
            idle: Duration::from_secs(120),
            connections: 1024,
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

/// One port.
pub(crate) struct Server {
    pub(crate) tls: Option<TlsAcceptor>,
    pub(crate) router: Router,
    pub(crate) limits: Limits,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) phase: watch::Receiver<Phase>,
}

impl Server {
    /// Serves until the phase is [`Phase::Closing`] and every connection has ended.
    pub(crate) async fn run(self, listener: TcpListener) {
        let server = Arc::new(self);
        let slots = Arc::new(Semaphore::new(server.limits.connections));
        let mut connections = JoinSet::new();
        let mut phase = server.phase.clone();
        loop {
            let accepted = tokio::select! {
                _ = phase.wait_for(|phase| *phase == Phase::Closing) => break,
                Some(_) = connections.join_next() => continue,
                accepted = accept(&listener, &slots) => accepted,
            };
            match accepted {
                Ok((stream, slot)) => {
                    let server = Arc::clone(&server);
                    connections.spawn(async move {
                        server.serve(stream).await;
                        drop(slot);
                    });
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
        while connections.join_next().await.is_some() {}
    }

    async fn serve(&self, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let (router, phase) = (self.router.clone(), self.phase.clone());
        let patience = Patience {
            head: Some(self.limits.head),
            idle: self.limits.idle,
        };
        let Some(tls) = &self.tls else {
            return connection::serve(stream, patience, router, phase).await;
        };
        let _held = self.metrics.connection();
        match tokio::time::timeout(self.limits.handshake, tls.accept(stream)).await {
            Ok(Ok(stream)) => {
                let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                let head = patience.head.filter(|_| !is_http2);
                connection::serve(stream, Patience { head, ..patience }, router, phase).await;
            }
            Ok(Err(error)) => {
                self.metrics.handshake_failed();
                tracing::debug!("a TLS handshake failed: {error}");
            }
            Err(_) => self.metrics.handshake_failed(),
        }
    }
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, Option<tokio::sync::OwnedSemaphorePermit>)> {
    let slot = Arc::clone(slots).acquire_owned().await.ok();
    let (stream, _) = listener.accept().await?;
    Ok((stream, slot))
}
