//! Serves one connection: TLS handshake, requests one after the other, and the end.
//!
//! HTTP/1.1 only, which is what API servers speak to webhooks (k8s.io/apiserver `pkg/util/webhook/client.go` sets it, so
//! that calls spread over the replicas). HTTP/2 would let one connection hold many requests and windows.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::http::Request;
use axum::http::header::{CONNECTION, HeaderValue};
use axum::response::Response;
use axum::{Router, body::Body};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::LazyConfigAcceptor;
use tower_service::Service as _;

use crate::client::{Activity, Client, Flush, InRequest};
use crate::connections::Member;
use crate::memory::{HTTP_BUFFER, TLS_BUFFER};
use crate::metrics::{Closed, Metrics};
use crate::server::{Phase, Timeouts};

/// What the connections of a port share.
pub(crate) struct Service {
    pub(crate) tls: Option<Arc<ServerConfig>>,
    pub(crate) router: Router,
    pub(crate) timeouts: Timeouts,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) phase: watch::Receiver<Phase>,
}

impl Service {
    /// Serves one connection until the client closes it, a deadline passes, it is evicted or the server closes.
    pub(crate) async fn serve(&self, stream: TcpStream, member: &Member) {
        let client = member.client();
        let is_established = AtomicBool::new(self.tls.is_none());
        let serving = async {
            let Some(tls) = &self.tls else {
                let _ = stream.set_nodelay(true);
                client.open();
                return self.requests(stream, client).await;
            };
            let handshake = async {
                // Whoever sends nothing takes no turn, and has no buffers.
                stream.readable().await?;
                let hello = || LazyConfigAcceptor::new(Acceptor::default(), stream);
                client
                    .handshake(hello, |hello| hello.into_stream(Arc::clone(tls)))
                    .await
            };
            match handshake.await {
                Ok(mut stream) => {
                    is_established.store(true, Ordering::Relaxed);
                    client.open();
                    let _ = stream.get_ref().0.set_nodelay(true);
                    stream.get_mut().1.set_buffer_limit(Some(TLS_BUFFER));
                    self.requests(stream, client).await
                }
                Err(error) => {
                    tracing::debug!("a TLS handshake failed: {error}");
                    None
                }
            }
        };
        let closed = tokio::select! {
            biased;
            closed = serving => closed,
            reason = client.must_close(&self.timeouts) => Some(reason),
        };
        if !is_established.load(Ordering::Relaxed) {
            self.metrics.handshake_failed();
        }
        if let Some(reason) = closed {
            member.closed(reason);
        }
    }

    /// Answers requests until the connection ends; why, if the webhook decided so.
    async fn requests(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        client: &Arc<Client>,
    ) -> Option<Closed> {
        let stream = TokioIo::new(Watched {
            stream,
            client: Arc::clone(client),
        });
        let service = service_fn(|request: Request<Incoming>| self.answer(request, client));
        let mut builder = http1::Builder::new();
        builder.max_buf_size(HTTP_BUFFER);
        let mut connection = pin!(builder.serve_connection(stream, service));
        let mut phase = self.phase.clone();
        let (result, closed) = tokio::select! {
            biased;
            result = connection.as_mut() => (result, None),
            () = client.finish_requested() => {
                connection.as_mut().graceful_shutdown();
                (connection.await, Some(Closed::Evicted))
            }
            () = until_closing(&mut phase) => {
                connection.as_mut().graceful_shutdown();
                (connection.await, None)
            }
        };
        if let Err(error) = result {
            tracing::debug!("a connection ended: {error}");
        }
        closed
    }

    fn answer(
        &self,
        mut request: Request<Incoming>,
        client: &Arc<Client>,
    ) -> impl Future<Output = Result<Response, Infallible>> + use<> {
        let in_request = Arc::new(InRequest::new(client));
        // A handler keeps it until the last byte of its response is read.
        request.extensions_mut().insert(Arc::clone(&in_request));
        let mut router = self.router.clone();
        let phase = self.phase.clone();
        async move {
            let mut answer = router.call(request.map(Body::new)).await?;
            in_request.0.set(Activity::Answering);
            if *phase.borrow() != Phase::Serving {
                // Otherwise an HTTP/1.1 client would go on using a connection to a terminating pod.
                answer
                    .headers_mut()
                    .insert(CONNECTION, HeaderValue::from_static("close"));
            }
            drop(in_request);
            Ok(answer)
        }
    }
}

/// The borrow of the phase that `wait_for` returns must not be held across an await.
async fn until_closing(phase: &mut watch::Receiver<Phase>) {
    let _ = phase.wait_for(|phase| *phase == Phase::Closing).await;
}

/// A stream that reports when a request begins and when a response is not read.
///
/// hyper's header timeout also runs while a keep-alive connection is idle, but an idle client may take minutes, and one in the
/// middle of a request's head only seconds.
struct Watched<S> {
    stream: S,
    client: Arc<Client>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let poll = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.client.received();
        }
        poll
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    /// Without this, hyper copies the response into a buffer of its own.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_flush(context);
        self.client.flushed(match poll {
            Poll::Ready(_) => Flush::Done,
            Poll::Pending => Flush::Pending,
        });
        poll
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
