//! Responses of servers, made of any bytes: a line with the status, a line for each header, an empty line, the body.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame};
use reqwest::Response;

/// A body that arrives in pieces of one length.
struct Pieces {
    rest: Bytes,
    length: usize,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let length = self.length.min(self.rest.len());
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(length)))))
    }
}

/// The response; `None` where the bytes are none.
fn response(bytes: &[u8], length: usize) -> Option<Response> {
    let end = bytes.windows(2).position(|pair| pair == b"\n\n")?;
    let mut lines = std::str::from_utf8(&bytes[..end]).ok()?.lines();
    let mut builder = http::Response::builder().status(lines.next()?.parse::<u16>().ok()?);
    for line in lines {
        let (name, value) = line.split_once(": ")?;
        builder = builder.header(name, value);
    }
    let rest = Bytes::copy_from_slice(&bytes[end + 2..]);
    let body = reqwest::Body::wrap(Pieces { rest, length });
    Some(builder.body(body).ok()?.into())
}

/// What is read must not depend on how the body arrives. Gives the outcome; `None` where the bytes are no response.
pub fn read<T: std::fmt::Debug + PartialEq, F: Future<Output = T>>(
    bytes: &[u8],
    read: impl Fn(Response) -> F,
) -> Option<T> {
    let outcome = |length| {
        let mut reading = pin!(read(response(bytes, length)?));
        let mut context = Context::from_waker(Waker::noop());
        // The whole body is there; between two pieces others may have their turn.
        let polled = (0..=bytes.len()).find_map(|_| match reading.as_mut().poll(&mut context) {
            Poll::Ready(outcome) => Some(outcome),
            Poll::Pending => None,
        });
        Some(polled.expect("it ends with the body"))
    };
    let whole = outcome(usize::MAX)?;
    for length in [1, 7] {
        assert_eq!(outcome(length).as_ref(), Some(&whole), "in pieces of {length}");
    }
    Some(whole)
}
