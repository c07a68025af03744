//! One connection: its bytes, its deadlines and its end.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::http::header::{CONNECTION, HeaderValue};
use axum::http::{Request, Version};
use axum::response::Response;
use axum::{Router, body::Body};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};
use tower_service::Service as _;

use crate::server::Phase;

/// Streams of one HTTP/2 connection at once.
const STREAMS: u32 = 100;

/// How long a connection may keep us waiting.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// For the head of a request, from its first byte on, and for the first request. `None` for HTTP/2, where bytes come
    /// between requests, too.
    pub(crate) head: Option<Duration>,
    /// Between two requests. Longer than the API server's own 90 s (Go's `IdleConnTimeout`), so that it is the one that
    /// closes and no review is lost on a connection that we are just closing.
    pub(crate) idle: Duration,
}

/// Serves one connection until the client closes it, a deadline passes or the server is closing.
pub(crate) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    patience: Patience,
    router: Router,
    mut phase: watch::Receiver<Phase>,
) {
    let in_flight = Arc::new(AtomicUsize::new(0));
    let stream = TokioIo::new(Timed::new(stream, patience, Arc::clone(&in_flight)));
    let answering = phase.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let busy = Busy::new(&in_flight);
        let mut router = router.clone();
        let answering = answering.clone();
        async move {
            let is_http1 = request.version() < Version::HTTP_2;
            let answer = router.call(request.map(Body::new)).await;
            let mut answer: Response = answer.unwrap_or_else(|never: Infallible| match never {});
            if is_http1 && *answering.borrow() != Phase::Serving {
                // An HTTP/1.1 client keeps using a connection to a terminating pod unless it is told not to.
                answer
                    .headers_mut()
                    .insert(CONNECTION, HeaderValue::from_static("close"));
            }
            drop(busy);
            Ok::<_, Infallible>(answer)
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http2().max_concurrent_streams(STREAMS);
    let mut connection = pin!(builder.serve_connection(stream, service));
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = until_closing(&mut phase) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(error, "a connection ended");
    }
}

/// Without the borrowed phase, which must not be held over an await.
async fn until_closing(phase: &mut watch::Receiver<Phase>) {
    let _ = phase.wait_for(|phase| *phase == Phase::Closing).await;
}

/// Counts a request as long as it is answered.
struct Busy(Arc<AtomicUsize>);

impl Busy {
    fn new(in_flight: &Arc<AtomicUsize>) -> Self {
        in_flight.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(in_flight))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stream that fails once the client has kept us waiting for too long.
///
/// hyper has one deadline for the head of a request that also runs while a connection is idle; an idle client deserves
/// minutes and a dripping one seconds. While a request is answered there is no deadline here: the handler has its own.
struct Timed<S> {
    stream: S,
    patience: Patience,
    in_flight: Arc<AtomicUsize>,
    waiting_for: WaitingFor,
    deadline: Pin<Box<Sleep>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum WaitingFor {
    Answer,
    Request,
    RestOfHead,
}

impl<S> Timed<S> {
    fn new(stream: S, patience: Patience, in_flight: Arc<AtomicUsize>) -> Self {
        let first = patience.head.unwrap_or(patience.idle);
        Self {
            stream,
            patience,
            in_flight,
            waiting_for: WaitingFor::RestOfHead,
            deadline: Box::pin(tokio::time::sleep(first)),
        }
    }

    fn wait(&mut self, what: WaitingFor, patience: Duration) {
        self.waiting_for = what;
        self.deadline.as_mut().reset(Instant::now() + patience);
    }

    fn bytes_came(&mut self) {
        if let (WaitingFor::Request, Some(head)) = (self.waiting_for, self.patience.head) {
            self.wait(WaitingFor::RestOfHead, head);
        }
    }

    /// Called where the stream has nothing for us: has it been too long?
    fn overdue(&mut self, context: &mut Context<'_>) -> bool {
        if self.in_flight.load(Ordering::Relaxed) > 0 {
            self.waiting_for = WaitingFor::Answer;
            return false;
        }
        if self.waiting_for == WaitingFor::Answer {
            self.wait(WaitingFor::Request, self.patience.idle);
        }
        self.deadline.as_mut().poll(context).is_ready()
    }

    fn or_overdue<T>(&mut self, poll: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        match poll {
            Poll::Pending if self.overdue(context) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending | Poll::Ready(_) => poll,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Timed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let poll = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.bytes_came();
        }
        self.or_overdue(poll, context)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.or_overdue(poll, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_flush(context);
        self.or_overdue(poll, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_shutdown(context);
        self.or_overdue(poll, context)
    }
}
