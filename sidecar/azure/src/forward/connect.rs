//! New connections of the gateway's client: through the proxy if there is one, with small buffers, a few at a time.

use crate::http::{Http, HttpError};
use http::Uri;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::rt::TokioIo;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tower_service::Service;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// What the kernel may hold of a connection in each direction, in bytes; it takes twice as much for itself (socket(7)). Else it
/// would let a download that nobody reads grow to several megabytes, which count against the container's memory.
pub(super) const KERNEL_BUFFER: usize = 32 * 1024;
/// Connections that are made at once: each costs a name, which one thread looks up for all, and a handshake.
const AT_ONCE: usize = 2;

type Plain = TokioIo<TcpStream>;

/// Makes connections.
#[derive(Clone)]
pub(super) struct Connect {
    http: Arc<Http>,
    turns: Arc<Semaphore>,
}

impl Connect {
    pub(super) fn new(http: Arc<Http>) -> Self {
        Self {
            http,
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    async fn open(self, to: Uri) -> Result<MaybeHttpsStream<MaybeHttpsStream<Plain>>, HttpError> {
        // Never closed.
        let _turn = self.turns.acquire().await.map_err(|_| HttpError::ConnectTimeout)?;
        let tls = self.http.tls()?;
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEP_ALIVE));
        tcp.set_recv_buffer_size(Some(KERNEL_BUFFER));
        tcp.set_send_buffer_size(Some(KERNEL_BUFFER));
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        // A proxy may be asked over TLS, too.
        let mut direct = HttpsConnector::from((tcp, Arc::clone(&tls)));
        let opening = async {
            match self.http.proxy_for(&to) {
                None => direct.call(to).await.map(MaybeHttpsStream::Http),
                Some((proxy, credential)) => {
                    let mut tunnel = Tunnel::new(proxy, direct);
                    if let Some(credential) = credential {
                        tunnel = tunnel.with_auth(credential);
                    }
                    HttpsConnector::from((tunnel, tls)).call(to).await
                }
            }
        };
        match tokio::time::timeout(CONNECT_TIMEOUT, opening).await {
            Ok(opened) => opened.map_err(HttpError::Connect),
            Err(_elapsed) => Err(HttpError::ConnectTimeout),
        }
    }
}

impl Service<Uri> for Connect {
    type Response = MaybeHttpsStream<MaybeHttpsStream<Plain>>;
    type Error = HttpError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        Box::pin(self.clone().open(to))
    }
}
