//! The two ways out of a session: to the server and to the client.
//!
//! An [`Outbound`] is made from a permit, from a released answer, from a cleared message or from an answer of
//! refmon's own, and from nothing else. So no byte leaves a session that was not mediated.

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use refmon_core::monitor::{Authorized, InFlight, Released};

use crate::message::{Message, MessageError, Read};
use crate::method::Cleared;
use crate::reply::Reply;

/// A message that may leave the session.
#[derive(Debug)]
pub struct Outbound {
    bytes: Vec<u8>,
    /// What was read of the bytes when they came, if they are still those.
    read: Option<Read>,
}

impl Outbound {
    /// A permitted call: the bytes that were judged, and the call that is now under way.
    pub fn permitted(permit: Authorized) -> (Self, InFlight) {
        let (message, flight) = permit.dispatch();
        (Self { bytes: message.into_open(), read: None }, flight)
    }

    /// A message whose method acts on nothing.
    #[must_use]
    pub fn cleared(message: Cleared) -> Self {
        Self { bytes: message.into_bytes(), read: None }
    }

    /// An answer that the monitor released.
    #[must_use]
    pub fn released(released: Released) -> Self {
        Self { bytes: released.into_message().into_open(), read: None }
    }

    /// The bytes, for a stream of lines. Line ends in JSON stand between its tokens only; in a stream of lines, what stands
    /// between two of them would be a message of its own, which nobody has judged.
    pub(crate) fn into_bytes(mut self) -> Vec<u8> {
        for byte in &mut self.bytes {
            if matches!(byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
        self.bytes
    }

    /// The message, for a way out that looks at it.
    pub(crate) fn into_message(self) -> Result<Message, MessageError> {
        Message::again(self.bytes, self.read)
    }

    /// The same, with what was read of these very bytes.
    pub(crate) fn known(self, read: Read) -> Self {
        Self { read: Some(read), ..self }
    }

    /// An answer of refmon's own.
    pub(crate) fn reply(reply: Reply) -> Self {
        Self { bytes: reply.into_bytes(), read: None }
    }
}

/// A peer that takes messages.
pub trait Upstream: Send + Sync {
    /// Sends one message whole.
    ///
    /// # Errors
    /// An error of the stream. The message may have been sent in part.
    fn send(&self, message: Outbound) -> io::Result<()>;
}

/// A stream of lines.
#[derive(Debug)]
pub struct Lines<W>(Mutex<W>);

impl<W: Write + Send> Lines<W> {
    /// Wraps a stream.
    pub const fn new(stream: W) -> Self {
        Self(Mutex::new(stream))
    }
}

impl<W: Write + Send> Upstream for Lines<W> {
    fn send(&self, message: Outbound) -> io::Result<()> {
        let mut message = message.into_bytes();
        message.push(b'\n');
        let mut stream = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        stream.write_all(&message)?;
        stream.flush()
    }
}
