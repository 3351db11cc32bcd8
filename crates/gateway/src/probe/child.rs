//! Asking a command over its standard streams.

use std::io::{self, BufReader, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use refmon_core::json::Strictness;
use serde_json::Value;

use super::offer::{self, Offer, ProbeError, Wire, refusal};
use crate::child::{Launch, Server};
use crate::credentials::Credentials;
use crate::frame::{self, Frame};
use crate::message::{Kind, Message};

/// How long a server may take for one answer.
const ANSWER_WAIT: Duration = Duration::from_secs(60);
/// Messages that are read while waiting for one answer.
const MESSAGES_MAX: usize = 1_000;

/// Starts a server, asks it, and ends it.
pub(super) fn ask(launch: &Launch, mut errors_to: impl FnMut(&str) + Send + 'static) -> Result<Offer, ProbeError> {
    let mut server = Server::start(launch)?;
    let (input, output, errors) = server.streams()?;
    let (sender, messages) = channel();
    std::thread::spawn(move || {
        let mut output = BufReader::new(output);
        while let Ok(Frame::Line(line)) = frame::read(&mut output) {
            // A line that is no message is not an answer.
            let Ok(message) = Message::parse(line, Strictness::Data) else { continue };
            if sender.send(message).is_err() {
                return;
            }
        }
    });
    std::thread::spawn(move || crate::stdio::read_errors(errors, &Credentials::default(), &mut errors_to));
    let mut streams = Streams { input, messages };
    let offer = offer::of(&mut streams);
    drop(streams);
    server.wait()?;
    offer
}

struct Streams<W> {
    input: W,
    messages: Receiver<Message>,
}

impl<W: Write> Streams<W> {
    fn send(&mut self, message: &Value) -> io::Result<()> {
        writeln!(self.input, "{message}")?;
        self.input.flush()
    }
}

impl<W: Write> Wire for Streams<W> {
    fn notify(&mut self, message: &Value) -> Result<(), ProbeError> {
        Ok(self.send(message)?)
    }

    fn request(&mut self, method: &'static str, number: u64, message: &Value) -> Result<Message, ProbeError> {
        self.send(message)?;
        for _ in 0..MESSAGES_MAX {
            let message = self.messages.recv_timeout(ANSWER_WAIT).map_err(|error| match error {
                RecvTimeoutError::Timeout => ProbeError::Silent(method),
                RecvTimeoutError::Disconnected => ProbeError::Ended(method),
            })?;
            match &message.kind {
                Kind::Result(id) | Kind::Error(Some(id)) if id.canonical == number.to_string() => return Ok(message),
                _ => {
                    if let Some(refused) = refusal(&message) {
                        self.send(&refused)?;
                    }
                }
            }
        }
        Err(ProbeError::Silent(method))
    }
}
