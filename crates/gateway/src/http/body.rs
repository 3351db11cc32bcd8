//! Bodies: requests read whole and bounded, answers as JSON or as a stream of events.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use refmon_core::limits;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Interval, MissedTickBehavior};

use super::standing::Standing;
use crate::hub::Out;

/// How long a client may take to send a body.
const BODY: Duration = Duration::from_secs(30);
/// How often a quiet stream says that it is alive.
const ALIVE: Duration = Duration::from_secs(15);

/// Why a body could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyError {
    TooLarge,
    TooSlow,
    Broken,
}

/// Reads a body of at most one frame, in bounded time.
pub(super) async fn read(body: Incoming) -> Result<Vec<u8>, BodyError> {
    read_at_most(body, limits::FRAME_BYTES_MAX).await
}

/// Reads a body of at most so many bytes, in bounded time.
pub(super) async fn read_at_most(body: Incoming, max: usize) -> Result<Vec<u8>, BodyError> {
    if body.size_hint().lower() > max as u64 {
        return Err(BodyError::TooLarge);
    }
    let collected = tokio::time::timeout(BODY, Limited::new(body, max).collect()).await;
    match collected {
        Ok(Ok(collected)) => Ok(collected.to_bytes().to_vec()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(BodyError::TooLarge),
        Ok(Err(_)) => Err(BodyError::Broken),
        Err(_) => Err(BodyError::TooSlow),
    }
}

/// The body of an answer.
pub(super) enum Answer {
    /// One piece.
    Whole(Option<Bytes>),
    /// What somebody beside MCP answers.
    Beside(UnsyncBoxBody<Bytes, Infallible>, Option<Arc<OwnedSemaphorePermit>>),
    /// Server-sent events (WHATWG HTML, section 9.2).
    Events {
        first: Option<Out>,
        rest: mpsc::Receiver<Out>,
        over: bool,
        alive: Interval,
        standing: Option<Standing>,
        room: Option<Arc<OwnedSemaphorePermit>>,
    },
}

impl Answer {
    pub(super) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::Whole(Some(bytes.into()))
    }

    pub(super) fn empty() -> Self {
        Self::Whole(None)
    }

    /// A stream of events that begins with one that has come already.
    pub(super) fn events(first: Option<Out>, rest: mpsc::Receiver<Out>) -> Self {
        let mut alive = tokio::time::interval(ALIVE);
        alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        alive.reset();
        Self::Events { first, rest, over: false, alive, standing: None, room: None }
    }
}

impl Answer {
    /// Ends a stream of events when its credential counts no more.
    pub(super) fn while_standing(self, standing: impl FnOnce() -> Option<Standing>) -> Self {
        match self {
            Self::Whole(bytes) => Self::Whole(bytes),
            Self::Beside(body, room) => Self::Beside(body, room),
            Self::Events { first, rest, over, alive, standing: _, room } => {
                Self::Events { first, rest, over, alive, standing: standing(), room }
            }
        }
    }

    /// Keeps room for as long as a stream is open.
    pub(super) fn keeping(self, permit: Arc<OwnedSemaphorePermit>) -> Self {
        match self {
            Self::Whole(bytes) => Self::Whole(bytes),
            Self::Beside(body, _) => Self::Beside(body, Some(permit)),
            Self::Events { first, rest, over, alive, standing, room: _ } => {
                Self::Events { first, rest, over, alive, standing, room: Some(permit) }
            }
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let (first, rest, over, alive, standing) = match self.get_mut() {
            Self::Beside(body, _) => return Pin::new(body).poll_frame(context),
            Self::Whole(bytes) => return Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Events { first, rest, over, alive, standing, room: _ } => (first, rest, over, alive, standing),
        };
        if !*over && standing.as_mut().is_some_and(|standing| standing.as_mut().poll(context).is_ready()) {
            *over = true;
            // Whoever writes to the stream sees that nobody reads it.
            rest.close();
        }
        if *over {
            return Poll::Ready(None);
        }
        let next = match first.take() {
            Some(out) => Some(out),
            None => match rest.poll_recv(context) {
                Poll::Ready(out) => out,
                Poll::Pending if alive.poll_tick(context).is_ready() => {
                    return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b":\n\n")))));
                }
                Poll::Pending => return Poll::Pending,
            },
        };
        alive.reset();
        Poll::Ready(next.map(|out| {
            *over = matches!(out, Out::Last(_));
            let (Out::Event(bytes) | Out::Last(bytes)) = out;
            Ok(Frame::data(event(bytes)))
        }))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Beside(body, _) => body.is_end_stream(),
            Self::Events { over, .. } => *over,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Beside(body, _) => body.size_hint(),
            Self::Events { .. } => SizeHint::default(),
        }
    }
}

/// A message as an event, which takes its room for as long as it is anywhere. Line ends in JSON stand between its tokens only,
/// and would end the event's line.
fn event(message: Bytes) -> Bytes {
    let mut event = Vec::with_capacity(message.len().saturating_add(24));
    event.extend_from_slice(b"event: message\ndata: ");
    event.extend(message.iter().map(|&byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }));
    event.extend_from_slice(b"\n\n");
    Bytes::from_owner(Framed { event, _message: message })
}

struct Framed {
    event: Vec<u8>,
    _message: Bytes,
}

impl AsRef<[u8]> for Framed {
    fn as_ref(&self) -> &[u8] {
        &self.event
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_with_line_ends_is_one_event() {
        assert_eq!(
            event(Bytes::from_static(b"{\n \"a\":\r\n\"b\\n\"}")),
            Bytes::from_static(b"event: message\ndata: {  \"a\":  \"b\\n\"}\n\n")
        );
    }
}
