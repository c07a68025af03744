//! The body of a request on its way to Azure DevOps.

use super::Shared;
use azure::OutgoingBody;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// How long a client may take for the next chunk.
const STALL: Duration = Duration::from_secs(30);

/// No body.
pub(super) fn none() -> OutgoingBody {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A complete body.
pub(super) fn whole(body: Vec<u8>) -> OutgoingBody {
    Full::new(Bytes::from(body))
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// A client's body, chunk by chunk.
pub(super) fn of(body: Incoming, shared: &Arc<Shared>) -> OutgoingBody {
    if body.is_end_stream() {
        return none();
    }
    let upload = Upload {
        body,
        shared: Arc::clone(shared),
        wait: Box::pin(tokio::time::sleep(STALL)),
        pause: None,
    };
    upload.boxed_unsync()
}

struct Upload {
    body: Incoming,
    shared: Arc<Shared>,
    wait: Pin<Box<Sleep>>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Some(pause) = &mut self.pause {
            std::task::ready!(pause.as_mut().poll(context));
            self.pause = None;
            self.wait.as_mut().reset(Instant::now() + STALL);
        }
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                let now = Instant::now();
                let length = frame.data_ref().map_or(0, Bytes::len);
                let until = self.shared.bytes.reserve(length, now);
                self.pause = until.map(|until| Box::pin(tokio::time::sleep_until(until)));
                self.wait.as_mut().reset(now + STALL);
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(end) => Poll::Ready(end.map(|result| result.map_err(Into::into))),
            Poll::Pending => {
                std::task::ready!(self.wait.as_mut().poll(context));
                Poll::Ready(Some(Err(io::Error::from(io::ErrorKind::TimedOut).into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
