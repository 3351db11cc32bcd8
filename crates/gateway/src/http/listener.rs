//! The listener: connections in, each bounded in number, size and time; and an end that loses nothing.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use super::door::Gate;
use super::patient::Patient;
use super::places::Places;
use super::room::Room;
use super::{Authenticate, Beside, Known, Peer, Tls};
use crate::hub::Hub;

/// Connections at the same time. The next one waits until another has ended.
const CONNECTIONS_MAX: usize = 8_192;
/// Bytes of a request's head.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// How long a client may take to send the head of a request, and be idle before it; and how long where many others come from
/// the same place.
const HEAD: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(2));
/// How long requests under way may take to end when the gateway does.
const DRAIN: Duration = Duration::from_secs(10);
/// How long a client may read nothing of what is written to it.
const READ: Duration = Duration::from_secs(30);
/// How often idle clients are looked for.
const SWEEP: Duration = Duration::from_secs(30);

/// What the doors open to.
pub struct Doors {
    /// The clients and their servers.
    pub hub: Arc<Hub>,
    /// The names under which the gateway is known.
    pub known: Known,
    /// Who a credential is.
    pub authenticate: Arc<dyn Authenticate>,
    /// Whether calls can be recorded, and so made.
    pub ready: Arc<dyn Fn() -> bool + Send + Sync>,
    /// Who answers what is not MCP.
    pub beside: Option<Arc<dyn Beside>>,
}

/// A socket that is listened to.
#[derive(Debug)]
pub struct Listener {
    pub(super) socket: TcpListener,
    tls: Option<Arc<Tls>>,
}

impl Listener {
    /// Opens a socket.
    ///
    /// # Errors
    /// An error of the operating system, such as an address that is in use.
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        Ok(Self { socket: TcpListener::bind(address).await?, tls: None })
    }

    /// Speaks TLS, and nothing else, at the socket.
    #[must_use]
    pub fn with_tls(mut self, tls: Tls) -> Self {
        self.tls = Some(Arc::new(tls));
        self
    }

    /// The address that is listened at, with the port that was chosen if it was 0.
    ///
    /// # Errors
    /// An error of the operating system.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves until told to stop. Then no connection is accepted any more, requests under way get ten seconds, and
    /// every client's servers are let go.
    pub async fn serve(self, doors: Doors, mut stop: watch::Receiver<bool>) {
        let hub = Arc::clone(&doors.hub);
        let Doors { hub: clients, known, authenticate, ready, beside } = doors;
        let gate = Arc::new(Gate { hub: clients, known, authenticate, ready, beside, room: Room::default() });
        let (graceful, room) = (GracefulShutdown::new(), Arc::new(Semaphore::new(connections_max())));
        let places = Arc::new(Places::default());
        let mut sweep = tokio::time::interval(SWEEP);
        while !*stop.borrow() {
            let accepted = async {
                let permit = Arc::clone(&room).acquire_owned().await;
                (permit, self.socket.accept().await)
            };
            let (permit, connection) = tokio::select! {
                accepted = accepted => accepted,
                _ = sweep.tick() => {
                    hub.sweep();
                    continue;
                }
                // A sender that is gone has nothing more to say than to stop.
                changed = stop.changed() => match changed { Ok(()) => continue, Err(_) => break },
            };
            let (Ok(permit), Ok((stream, from))) = (permit, connection) else {
                // Out of descriptors, most likely; others will be given back.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            // Half of all: who stands behind one proxy, or on this machine, shares it.
            let Some(counted) = places.enter(from.ip(), connections_max().div_ceil(2)) else { continue };
            // Without it, small events wait for the client's acknowledgement of the one before.
            drop(stream.set_nodelay(true));
            let (gate, tls, watcher) = (Arc::clone(&gate), self.tls.clone(), graceful.watcher());
            let loopback = from.ip().is_loopback();
            let head = if counted.crowded { HEAD.1 } else { HEAD.0 };
            tokio::spawn(async move {
                match tls {
                    None => speak(stream, Peer::plain(loopback), gate, (watcher, head)).await,
                    Some(tls) => {
                        if let Some((stream, peer)) = tls.accept(stream, loopback).await {
                            speak(stream, peer, gate, (watcher, head)).await;
                        }
                    }
                }
                drop((permit, counted));
            });
        }
        drop(self.socket);
        drop(tokio::time::timeout(DRAIN, graceful.shutdown()).await);
        hub.close();
    }
}

/// Speaks HTTP over a connection until it ends.
async fn speak<S>(stream: S, peer: Peer, gate: Arc<Gate>, (watcher, head): (Watcher, Duration))
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let peer = Arc::new(peer);
    let service = service_fn(move |request| {
        let (gate, peer) = (Arc::clone(&gate), Arc::clone(&peer));
        async move { Ok::<_, Infallible>(gate.handle(request, &peer).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(head).max_buf_size(HEAD_BYTES_MAX);
    // What goes wrong with a connection is the client's to notice.
    drop(watcher.watch(http.serve_connection(TokioIo::new(Patient::new(stream, READ)), service)).await);
}

/// Half of the files that this process may open: the other half is for servers, their streams and the journal.
fn connections_max() -> usize {
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    files
        .and_then(|files| usize::try_from(files / 2).ok())
        .map_or(CONNECTIONS_MAX, |half| half.clamp(16, CONNECTIONS_MAX))
}

impl std::fmt::Debug for Doors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Doors").field("hub", &self.hub).field("known", &self.known).finish_non_exhaustive()
    }
}
