//! A link to a child process. A thread of its own writes to it, so that a child that does not read blocks nobody.

use std::io::{self, BufReader, Write as _};
use std::process::{ChildStderr, ChildStdin, ChildStdout};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Weak};
use std::thread;

use crate::child::{Launch, Server};
use crate::credentials::Credentials;
use crate::frame::{self, Frame};
use crate::session::{Observer, Session};
use crate::stdio::read_errors;
use crate::upstream::{Outbound, Upstream};

/// Messages that wait for a child to read them.
const QUEUE_MESSAGES_MAX: usize = 256;
/// Bytes of messages that wait for a child to read them.
const QUEUE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A child process, and the queue of messages to it.
pub(crate) struct ChildLink {
    server: Option<Server>,
    streams: Option<(ChildStdout, ChildStderr)>,
    queue: Option<Queue>,
    observer: Arc<dyn Observer>,
    credentials: Arc<Credentials>,
}

impl ChildLink {
    /// Starts the child.
    pub(crate) fn start(
        launch: &Launch,
        observer: Arc<dyn Observer>,
        credentials: Arc<Credentials>,
    ) -> io::Result<Self> {
        let mut server = Server::start(launch)?;
        let (input, output, errors) = server.streams()?;
        let (sender, messages) = sync_channel(QUEUE_MESSAGES_MAX);
        let queue = Queue { sender, bytes: Arc::default() };
        let waiting = Arc::clone(&queue.bytes);
        thread::Builder::new().name("refmon-to-server".to_owned()).spawn(move || write(input, &messages, &waiting))?;
        let (server, streams, queue) = (Some(server), Some((output, errors)), Some(queue));
        Ok(Self { server, streams, queue, observer, credentials })
    }

    pub(crate) fn upstream(&self) -> Box<dyn Upstream> {
        Box::new(self.queue.clone().unwrap_or_else(Queue::closed))
    }

    pub(crate) fn listen(&mut self, session: Weak<Session>, gone: impl FnOnce() + Send + 'static) {
        let Some((output, errors)) = self.streams.take() else { return };
        thread::spawn(move || {
            let mut output = BufReader::with_capacity(64 * 1024, output);
            while let Ok(frame) = frame::read(&mut output) {
                let Some(session) = session.upgrade() else { break };
                if frame == Frame::End || session.from_server(frame).is_err() {
                    break;
                }
            }
            // Whoever is told of it and asks again at once must find another server.
            gone();
            if let Some(session) = session.upgrade() {
                session.server_gone();
            }
        });
        let (observer, credentials) = (Arc::clone(&self.observer), Arc::clone(&self.credentials));
        thread::spawn(move || read_errors(errors, &credentials, &mut |text| observer.notice(text)));
    }

    /// Closes the child's input and, in a thread of its own, waits for its end or brings it about.
    pub(crate) fn close(&mut self) {
        self.queue = None;
        let Some(mut server) = self.server.take() else { return };
        let observer = Arc::clone(&self.observer);
        thread::spawn(move || {
            if let Err(error) = server.wait() {
                observer.notice(&format!("a server process could not be waited for: {error}"));
            }
        });
    }
}

impl Drop for ChildLink {
    fn drop(&mut self) {
        self.close();
    }
}

impl std::fmt::Debug for ChildLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChildLink").field("server", &self.server).finish_non_exhaustive()
    }
}

/// Writes messages until the queue or the child is gone.
fn write(mut input: ChildStdin, messages: &Receiver<Vec<u8>>, waiting: &AtomicUsize) {
    while let Ok(message) = messages.recv() {
        waiting.fetch_sub(message.len(), Ordering::Relaxed);
        if input.write_all(&message).is_err() {
            return;
        }
    }
}

/// The queue of messages to a child. Its last sender's end closes the child's input.
#[derive(Clone)]
struct Queue {
    sender: SyncSender<Vec<u8>>,
    bytes: Arc<AtomicUsize>,
}

impl Queue {
    fn closed() -> Self {
        Self { sender: sync_channel(0).0, bytes: Arc::default() }
    }
}

impl Upstream for Queue {
    fn send(&self, message: Outbound) -> io::Result<()> {
        let mut bytes = message.into_bytes();
        bytes.push(b'\n');
        let length = bytes.len();
        if self.bytes.fetch_add(length, Ordering::Relaxed).saturating_add(length) > QUEUE_BYTES_MAX {
            self.bytes.fetch_sub(length, Ordering::Relaxed);
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the server does not read its messages"));
        }
        self.sender.try_send(bytes).map_err(|error| {
            self.bytes.fetch_sub(length, Ordering::Relaxed);
            match error {
                TrySendError::Full(_) => {
                    io::Error::new(io::ErrorKind::TimedOut, "the server does not read its messages")
                }
                TrySendError::Disconnected(_) => io::Error::from(io::ErrorKind::BrokenPipe),
            }
        })
    }
}
