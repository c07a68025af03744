//! A small HTTP/1.1 server for the emulators: one handler, TLS or plain, and connections that can be broken on purpose.

mod body;
mod listen;
mod message;
mod multipart;

pub use body::Pace;
pub use listen::Listen;
pub use message::{Reply, Request};

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// No request to an emulator is larger.
const BODY_LIMIT: usize = 4 << 20;
/// Longer than any client's patience; shorter than forever.
const HANG: Duration = Duration::from_secs(900);

/// What a handler makes of a request.
#[derive(Debug)]
pub enum Answer {
    /// An answer.
    Reply(Reply),
    /// The connection is reset (RST) without an answer.
    Reset,
    /// No answer, ever.
    Hang,
    /// An answer (101) after which the connection speaks another protocol.
    Upgrade(Reply, Upgraded),
}

/// What becomes of a connection that was upgraded.
pub struct Upgraded(Box<dyn FnOnce(TokioIo<hyper::upgrade::Upgraded>) -> BoxedFuture + Send>);

type BoxedFuture = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

impl Upgraded {
    /// Hands the connection over.
    pub fn new<F: Future<Output = ()> + Send + 'static>(
        speak: impl FnOnce(TokioIo<hyper::upgrade::Upgraded>) -> F + Send + 'static,
    ) -> Self {
        Self(Box::new(move |connection| Box::pin(speak(connection))))
    }
}

impl std::fmt::Debug for Upgraded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Upgraded")
    }
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}

/// Answers requests.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request.
    fn answer(&self, request: Request) -> impl Future<Output = Answer> + Send;
}

/// A server that runs until it is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    /// Listens on an address (port 0: any free port) and answers with the handler; without `tls` in plain HTTP.
    pub async fn start(
        address: SocketAddr,
        tls: Option<Arc<rustls::ServerConfig>>,
        handler: Arc<impl Handler>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address)
            .await
            .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")))?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(accept(listener, tls.map(TlsAcceptor::from), handler));
        Ok(Self { address, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, handler: Arc<impl Handler>) {
    let mut connections = JoinSet::new();
    loop {
        // Out of file descriptors, or a client that has left: try again, but not in a busy loop.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        while connections.try_join_next().is_some() {}
        connections.spawn(connection(stream, tls.clone(), Arc::clone(&handler)));
    }
}

async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, handler: Arc<impl Handler>) {
    let _ = stream.set_nodelay(true);
    let Ok(socket) = stream.as_fd().try_clone_to_owned() else {
        return;
    };
    match tls {
        None => serve(stream, socket, "http", handler).await,
        Some(tls) => {
            let handshake = tokio::time::timeout(Duration::from_secs(10), tls.accept(stream)).await;
            // A client that does not trust us ends here; that is its right.
            if let Ok(Ok(stream)) = handshake {
                serve(stream, socket, "https", handler).await;
            }
        }
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    socket: OwnedFd,
    scheme: &'static str,
    handler: Arc<impl Handler>,
) {
    let reset = Arc::new(Notify::new());
    let service = hyper::service::service_fn(|mut request: hyper::Request<Incoming>| {
        let (handler, reset) = (Arc::clone(&handler), Arc::clone(&reset));
        async move {
            let upgrade = hyper::upgrade::on(&mut request);
            match one(request, scheme, &*handler).await {
                Answer::Reply(reply) => return Ok::<_, Infallible>(reply.into_response()),
                Answer::Upgrade(reply, speak) => {
                    tokio::spawn(async move {
                        if let Ok(connection) = upgrade.await {
                            (speak.0)(TokioIo::new(connection)).await;
                        }
                    });
                    return Ok(reply.into_response());
                }
                Answer::Reset => reset.notify_one(),
                Answer::Hang => {}
            }
            tokio::time::sleep(HANG).await;
            Ok(Reply::text(503, "the emulator gave up hanging").into_response())
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::select! {
        // How a client ends its connection is no concern of ours.
        _ = connection => {}
        () = reset.notified() => {
            let _ = rustix::net::sockopt::set_socket_linger(&socket, Some(Duration::ZERO));
        }
    }
}

async fn one(request: hyper::Request<Incoming>, scheme: &'static str, handler: &impl Handler) -> Answer {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_LIMIT).collect().await else {
        return Reply::text(413, "the body is too large or was cut off").into();
    };
    match Request::new(head, body.to_bytes(), scheme) {
        Some(request) => handler.answer(request).await,
        None => Reply::text(400, "Bad Request - Invalid Hostname").into(),
    }
}
