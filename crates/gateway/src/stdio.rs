//! A session over standard streams: this process's own on the client's side, a child's on the server's.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use refmon_core::monitor::{Monitor, Route};
use refmon_core::ports::Clock;
use refmon_core::record::Cause;
use refmon_core::untrusted::Shown;

use crate::child::Server;
use crate::credentials::Credentials;
use crate::frame::{self, Frame};
use crate::session::{Observer, Session, Terms};
use crate::upstream::Lines;

/// Bytes of the server's error output that are shown per line.
const STDERR_LINE_BYTES_MAX: usize = 4_096;

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The client closed its side.
    ByClient,
    /// The server ended, with this exit code if it has one.
    ByServer(Option<i32>),
}

/// Runs a session with a server until one side ends.
///
/// # Errors
/// An error of the operating system while the server is waited for.
pub fn run(
    monitor: &Arc<Monitor>,
    clock: &Arc<dyn Clock>,
    route: Route,
    (mut server, credentials): (Server, Arc<Credentials>),
    hold_wait: Duration,
    observer: &Arc<dyn Observer>,
) -> io::Result<Ended> {
    let (input, output, errors) = server.streams()?;
    let to_server = Arc::new(Closing::new(input));
    let session = Session::new(
        Arc::clone(monitor),
        Arc::clone(clock),
        route,
        Box::new(Lines::new(io::stdout())),
        Box::new(Lines::new(Shared(Arc::clone(&to_server)))),
        Arc::clone(observer),
        Terms { credentials: Arc::clone(&credentials), shared: false, wait: hold_wait },
    );
    let (ended, first_end) = std::sync::mpsc::channel();
    let ended = move |by_client: bool| match ended.send(by_client) {
        // Whoever ends second has no one left to tell.
        Ok(()) | Err(std::sync::mpsc::SendError(_)) => {}
    };
    let reader = {
        let (session, ended) = (Arc::clone(&session), ended.clone());
        std::thread::spawn(move || {
            from_server(&session, output);
            session.server_gone();
            ended(false);
        })
    };
    let shown = {
        let observer = Arc::clone(observer);
        std::thread::spawn(move || read_errors(errors, &credentials, &mut |text| observer.notice(text)))
    };
    {
        let session = Arc::clone(&session);
        // This thread may stay blocked on standard input when the server ends first; the process then exits.
        std::thread::spawn(move || {
            from_client(&session, io::stdin());
            ended(true);
        });
    }
    let by_client = first_end.recv().unwrap_or(true);
    to_server.close();
    let code = server.wait()?;
    drop(reader.join());
    drop(shown.join());
    session.end(if by_client { Cause::SessionEnded } else { Cause::ServerGone });
    Ok(if by_client { Ended::ByClient } else { Ended::ByServer(code) })
}

fn from_client(session: &Session, stream: impl Read) {
    let mut stream = BufReader::with_capacity(64 * 1024, stream);
    while let Ok(frame) = frame::read(&mut stream) {
        if frame == Frame::End || session.from_client(frame).is_err() {
            return;
        }
    }
}

fn from_server(session: &Session, stream: impl Read) {
    let mut stream = BufReader::with_capacity(64 * 1024, stream);
    while let Ok(frame) = frame::read(&mut stream) {
        if frame == Frame::End || session.from_server(frame).is_err() {
            return;
        }
    }
}

/// Reads the server's error output in short pieces, escaped and without credentials: it is a stranger's text.
pub(crate) fn read_errors(stream: impl Read, credentials: &Credentials, show: &mut dyn FnMut(&str)) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        let limit = u64::try_from(STDERR_LINE_BYTES_MAX).unwrap_or(u64::MAX);
        match stream.by_ref().take(limit).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = credentials.masked(&String::from_utf8_lossy(&line));
        let mut rest = text.trim_end();
        while !rest.is_empty() {
            let cut = rest.char_indices().nth(60).map_or(rest.len(), |(at, _)| at);
            let (piece, tail) = rest.split_at(cut);
            show(&format!("server: {}", Shown(piece)));
            rest = tail;
        }
    }
}

/// A writer that can be closed from another thread.
struct Closing<W>(std::sync::Mutex<Option<W>>);

impl<W: Write> Closing<W> {
    const fn new(writer: W) -> Self {
        Self(std::sync::Mutex::new(Some(writer)))
    }

    /// Closes the writer, unless another thread is blocked in writing to it: then the other end decides.
    fn close(&self) {
        if let Ok(mut writer) = self.0.try_lock() {
            *writer = None;
        }
    }
}

struct Shared<W>(Arc<Closing<W>>);

impl<W: Write> Write for Shared<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut writer = self.0.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        writer.as_mut().ok_or_else(|| io::Error::from(io::ErrorKind::BrokenPipe))?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
