//! The body of a response on its way to the client, read and changed on the way.

use super::Shared;
use azure_protocol::AgentId;
use bytes::Bytes;
use gateway::{Reader, Rewriter, Told};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use lifecycle::{Found, GatewayEvent, Traffic};
use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// How long Azure DevOps may take for the next chunk.
const STALL: Duration = Duration::from_secs(60);

/// The body that a client of the gateway gets.
pub(super) enum Relay {
    /// A complete body.
    Whole(Option<Bytes>),
    /// A body that is streamed from Azure DevOps.
    Passing(Box<Passing>),
}

impl Relay {
    pub(super) fn whole(body: impl Into<Bytes>) -> Self {
        let body = body.into();
        Self::Whole((!body.is_empty()).then_some(body))
    }
}

/// A response body that is streamed.
pub(super) struct Passing {
    body: Incoming,
    watch: Option<Watch>,
    rewriter: Option<Rewriter>,
    /// Ready when this kind of request is no longer served.
    ends: Pin<Box<dyn Future<Output = ()> + Send>>,
    shared: Arc<Shared>,
    wait: Pin<Box<Sleep>>,
    pause: Option<Pin<Box<Sleep>>>,
    is_over: bool,
}

/// What is read of a response, and which event is reported at its end.
pub(super) struct Watch {
    pub(super) reader: Reader,
    pub(super) poll: Option<OpenPoll>,
}

/// A poll that is open until it is answered, or its client disconnects.
pub(super) struct OpenPoll {
    agent: AgentId,
    shared: Arc<Shared>,
    is_answered: bool,
}

impl OpenPoll {
    pub(super) fn begin(agent: AgentId, shared: &Arc<Shared>) -> Self {
        shared.send_event(GatewayEvent::PollOpened { agent });
        Self {
            agent,
            shared: Arc::clone(shared),
            is_answered: false,
        }
    }

    pub(super) fn answered(mut self, found: Found) {
        self.is_answered = true;
        self.shared.send_event(GatewayEvent::PollAnswered {
            agent: self.agent,
            found,
        });
    }
}

impl Drop for OpenPoll {
    fn drop(&mut self) {
        if !self.is_answered {
            self.shared.send_event(GatewayEvent::PollClosed { agent: self.agent });
        }
    }
}

impl Watch {
    /// The answer is complete.
    pub(super) fn finish(self, shared: &Shared) {
        match self.reader.finish() {
            Told::Polled(found) => {
                if let Some(poll) = self.poll {
                    poll.answered(match found {
                        gateway::Found::Agent => Found::Agent,
                        gateway::Found::Nothing => Found::Nothing,
                        gateway::Found::Unknown => Found::Unknown,
                    });
                }
            }
            Told::SessionOpened { session, agent } => {
                super::lock(&shared.sessions).opened(&session, agent);
                shared.send_event(GatewayEvent::SessionOpened { agent });
            }
            Told::SessionClosed(session) => {
                let known = super::lock(&shared.sessions).closed(&session);
                if let Some(agent) = known.or_else(|| shared.worker()) {
                    shared.send_event(GatewayEvent::SessionClosed { agent });
                }
            }
            Told::Working => {
                if let Some(agent) = shared.worker() {
                    shared.send_event(GatewayEvent::JobRenewed { agent });
                }
            }
            Told::Finished => {
                if let Some(agent) = shared.worker() {
                    shared.send_event(GatewayEvent::JobEnded { agent });
                }
            }
            // `registration.rs` reports these.
            Told::Nothing
            | Told::Registered { .. }
            | Told::Removed
            | Told::RegistrationRefused
            | Told::RegistrationUnknown => {}
        }
    }
}

impl Passing {
    /// Passes it on; one without a body is at its end.
    pub(super) fn begin(body: Incoming, watch: Watch, rewriter: Option<Rewriter>, shared: &Arc<Shared>) -> Relay {
        if body.is_end_stream() {
            watch.finish(shared);
            return Relay::Whole(None);
        }
        let is_poll = watch.poll.is_some();
        let mut open = shared.open.clone();
        Relay::Passing(Box::new(Self {
            body,
            watch: Some(watch),
            rewriter,
            ends: Box::pin(async move {
                if is_poll {
                    return std::future::pending().await;
                }
                let _ = open.wait_for(|open| open.gate.traffic == Traffic::OnlyPolls).await;
            }),
            shared: Arc::clone(shared),
            wait: Box::pin(tokio::time::sleep(STALL)),
            pause: None,
            is_over: false,
        }))
    }

    /// What is passed on of a chunk.
    fn pass(&mut self, piece: Bytes) -> io::Result<Bytes> {
        if let Some(watch) = &mut self.watch {
            watch.reader.push(&piece);
        }
        let Some(rewriter) = &mut self.rewriter else {
            return Ok(piece);
        };
        let mut changed = Vec::with_capacity(piece.len());
        rewriter
            .push(&piece, &mut changed)
            .map_err(|gateway::Malformed| io::Error::from(io::ErrorKind::InvalidData))?;
        Ok(changed.into())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.is_over = true;
        if let Some(watch) = self.watch.take() {
            watch.finish(&self.shared);
        }
        match self.rewriter.take() {
            Some(rewriter) => rewriter
                .finish()
                .map_err(|gateway::Malformed| io::Error::from(io::ErrorKind::InvalidData)),
            None => Ok(()),
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Box<dyn Error + Send + Sync>>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        if let Some(pause) = &mut self.pause {
            std::task::ready!(pause.as_mut().poll(context));
            self.pause = None;
            self.wait.as_mut().reset(Instant::now() + STALL);
        }
        if self.ends.as_mut().poll(context).is_ready() {
            self.is_over = true;
            return Poll::Ready(Some(Err(io::Error::from(io::ErrorKind::ConnectionAborted).into())));
        }
        loop {
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => {
                    // Trailers belong to the connection.
                    let Ok(piece) = frame.into_data() else { continue };
                    let now = Instant::now();
                    let until = self.shared.bytes.reserve(piece.len(), now);
                    self.pause = until.map(|until| Box::pin(tokio::time::sleep_until(until)));
                    self.wait.as_mut().reset(now + STALL);
                    let passed = self.pass(piece)?;
                    // hyper does not poll again once the content length is reached.
                    if self.body.is_end_stream() {
                        self.finish()?;
                    }
                    if passed.is_empty() && !self.is_over {
                        continue;
                    }
                    return Poll::Ready(Some(Ok(passed)));
                }
                Poll::Ready(Some(Err(error))) => {
                    self.is_over = true;
                    return Poll::Ready(Some(Err(error.into())));
                }
                Poll::Ready(None) => {
                    self.finish()?;
                    return Poll::Ready(None);
                }
                Poll::Pending => {
                    std::task::ready!(self.wait.as_mut().poll(context));
                    self.is_over = true;
                    return Poll::Ready(Some(Err(io::Error::from(io::ErrorKind::TimedOut).into())));
                }
            }
        }
    }
}

impl Body for Relay {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match &mut *self {
            Self::Whole(body) => Poll::Ready(body.take().map(|body| Ok(Frame::data(body)))),
            Self::Passing(passing) => passing
                .poll(context)
                .map(|piece| piece.map(|piece| piece.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_none(),
            Self::Passing(passing) => passing.is_over,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => SizeHint::with_exact(body.as_ref().map_or(0, Bytes::len) as u64),
            Self::Passing(passing) if passing.rewriter.is_none() => passing.body.size_hint(),
            Self::Passing(_) => SizeHint::default(),
        }
    }
}
