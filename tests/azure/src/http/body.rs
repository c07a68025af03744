//! Response bodies that come at once, slowly, or not to their end.

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Sleep;

/// How a body is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pace {
    /// At once.
    #[default]
    AtOnce,
    /// In sixteen pieces over this time.
    Slow(Duration),
    /// Half of it, then the connection is closed.
    Truncated,
    /// All of it, then its last 64 KiB again and again.
    Endless,
}

/// What is repeated of an endless body, in bytes.
const TAIL: usize = 64 * 1024;

/// A body with its pace.
pub(super) struct Paced {
    rest: Bytes,
    tail: Bytes,
    length: usize,
    pace: Pace,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Paced {
    pub(super) fn new(content: Bytes, pace: Pace) -> Self {
        Self {
            length: content.len(),
            tail: content.slice(content.len().saturating_sub(TAIL)..),
            rest: content,
            pace,
            pause: None,
        }
    }
}

impl Body for Paced {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.rest.is_empty() {
            if self.pace != Pace::Endless || self.tail.is_empty() {
                return Poll::Ready(None);
            }
            self.rest = self.tail.clone();
        }
        let piece = match self.pace {
            Pace::AtOnce | Pace::Endless => self.length,
            Pace::Truncated if self.rest.len() < self.length => {
                // Time for what was sent so far to leave: an error at once would take the head with it.
                let pause = self
                    .pause
                    .get_or_insert_with(|| Box::pin(tokio::time::sleep(Duration::from_millis(50))));
                std::task::ready!(pause.as_mut().poll(context));
                return Poll::Ready(Some(Err(io::Error::other("the emulator truncates this body"))));
            }
            Pace::Truncated => self.length / 2,
            Pace::Slow(total) => {
                let pause = self
                    .pause
                    .get_or_insert_with(|| Box::pin(tokio::time::sleep(total / 16)));
                std::task::ready!(pause.as_mut().poll(context));
                self.pause = None;
                self.length.div_ceil(16)
            }
        };
        let piece = piece.clamp(1, self.rest.len());
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.pace != Pace::Endless
    }

    fn size_hint(&self) -> SizeHint {
        match self.pace {
            Pace::Endless => SizeHint::default(),
            Pace::AtOnce | Pace::Slow(_) | Pace::Truncated => SizeHint::with_exact(self.rest.len() as u64),
        }
    }
}
