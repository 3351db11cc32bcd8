//! Reaching servers: each is opened when it is first needed, in a task of its own, so that whoever waits for it may give
//! up while its handshake goes on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderMap;
use refmon_core::monitor::Route;
use refmon_core::record::Door;
use serde_json::json;
use tokio::task::AbortHandle;

use super::client::{Client, Era};
use super::peer::{Exchange, Peer};
use crate::link::{Reach, Spec};
use crate::message::{Kind, Message};
use crate::method::{NEWER, VERSIONS};
use crate::session::SUPPORTED;

/// How long a server may take for its handshake; package runners fetch and build before it.
const HANDSHAKE: Duration = Duration::from_secs(60);
/// How long a server may take to say whether it speaks the newer era. One of the older era may say nothing at all.
const PROBE: Duration = Duration::from_secs(8);
/// How long a server that could not be reached is left alone.
const REST: Duration = Duration::from_secs(2);
/// How long one server may take for its part of something that is put together from several.
pub(super) const PART: Duration = Duration::from_secs(20);
/// How long it may take if it was too slow lately, and how long that is remembered.
const SLOW: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// A server that has been reached.
pub(super) struct Connected {
    pub(super) peer: Arc<Peer>,
    pub(super) era: Era,
    /// What it answered in the handshake.
    pub(super) hello: Message,
    /// Whether the server was told that its client is ready.
    begun: AtomicBool,
    /// What a server of the newer era announces to a client of the older one, for as long as this lives.
    listening: Mutex<Option<AbortHandle>>,
}

impl Connected {
    /// Whether the server said that it has a capability.
    pub(super) fn offers(&self, capability: &str) -> bool {
        self.hello.members("capabilities").find(capability).is_some()
    }

    /// Whether clients can subscribe to its resources.
    pub(super) fn notifies(&self) -> bool {
        let resources = self.hello.members("capabilities").value("resources").map(<[u8]>::to_vec);
        let parsed = resources.and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok());
        parsed.is_some_and(|resources| resources["subscribe"] == true)
    }

    /// Takes the task that listens from now on; the one before ends.
    pub(super) fn listens(&self, task: AbortHandle) {
        let before = self.listening.lock().unwrap_or_else(PoisonError::into_inner).replace(task);
        if let Some(before) = before {
            before.abort();
        }
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        if let Some(task) = self.listening.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }
}

/// Why a server is not reached.
enum Why {
    /// It could not be started, or did not answer.
    Silent,
    /// It refused the handshake.
    Said(Message),
    /// The caller has as many server processes as one may have.
    Full(usize),
}

/// The place of one server.
#[derive(Default)]
pub(super) struct Place {
    slot: tokio::sync::Mutex<Slot>,
    /// When it was too slow for a list.
    slow: Mutex<Option<Instant>>,
}

#[derive(Default)]
struct Slot {
    connected: Option<Arc<Connected>>,
    /// When it could not be reached, and why.
    failed: Option<(Instant, Why)>,
}

impl Place {
    /// The server, if it is reached at this moment.
    pub(super) fn at_hand(&self) -> Option<Arc<Connected>> {
        let slot = self.slot.try_lock().ok()?;
        slot.connected.as_ref().filter(|connected| !connected.peer.is_gone()).map(Arc::clone)
    }

    /// Lets the server go. One that is being reached at this moment is let go by whoever reaches it.
    pub(super) fn close(&self) {
        if let Ok(mut slot) = self.slot.try_lock()
            && let Some(connected) = slot.connected.take()
        {
            connected.peer.close();
        }
    }
}

impl Client {
    /// A server, reached now or before. `None` if it cannot be.
    pub(super) async fn connected(self: &Arc<Self>, index: usize) -> Option<Arc<Connected>> {
        if let Some(connected) = self.places.get(index)?.at_hand() {
            return Some(connected);
        }
        let client = Arc::clone(self);
        let task = self.parts().runtime.spawn(async move {
            let ended = Arc::clone(&client);
            tokio::select! {
                connected = client.connect(index) => connected,
                // What was opened for a client that has ended is closed by being dropped.
                () = ended.ended() => None,
            }
        });
        task.await.ok().flatten()
    }

    async fn connect(self: &Arc<Self>, index: usize) -> Option<Arc<Connected>> {
        let mut slot = self.places.get(index)?.slot.lock().await;
        if let Some(connected) = slot.connected.as_ref().filter(|connected| !connected.peer.is_gone()) {
            return Some(Arc::clone(connected));
        }
        slot.connected = None;
        if self.has_ended() || slot.failed.as_ref().is_some_and(|(at, _)| at.elapsed() < REST) {
            return None;
        }
        let spec = self.servers.get(index)?;
        let why = match self.reach(index, spec).await {
            // The client may have ended while its server was reached; nothing would ever close the peer.
            Ok(_) if self.has_ended() => return None,
            Ok(connected) => {
                let connected = Arc::new(connected);
                slot.connected = Some(Arc::clone(&connected));
                slot.failed = None;
                self.parts().observer.reached(&spec.name, true);
                if self.era() == Era::Modern || self.is_ready() {
                    self.begin(&connected);
                }
                return Some(connected);
            }
            Err(why) => why,
        };
        match why {
            Why::Full(max) => {
                let caller = self.caller().user();
                let text = format!(
                    "`{caller}` has {max} server processes already; `[listen] processes_per_caller` says how many"
                );
                self.parts().observer.notice(&text);
            }
            Why::Silent | Why::Said(_) => self.parts().observer.reached(&spec.name, false),
        }
        slot.failed = Some((Instant::now(), why));
        None
    }

    /// Says to every server that the client is ready, to those that are being reached as soon as they are.
    pub(super) fn begin_all(self: &Arc<Self>) {
        for index in 0..self.places.len() {
            if let Some(connected) = self.places.get(index).and_then(Place::at_hand) {
                self.begin(&connected);
            } else {
                let client = Arc::clone(self);
                self.parts().runtime.spawn(async move {
                    let Some(place) = client.places.get(index) else { return };
                    let connected = place.slot.lock().await.connected.as_ref().map(Arc::clone);
                    if let Some(connected) = connected {
                        client.begin(&connected);
                    }
                });
            }
        }
    }

    /// Says once that the client is ready: to a server of the older era by its notification, to one of the newer era by
    /// listening to what it announces.
    fn begin(self: &Arc<Self>, connected: &Arc<Connected>) {
        if connected.begun.swap(true, Ordering::AcqRel) {
            return;
        }
        match (self.era(), connected.era) {
            (_, Era::Legacy) => {
                connected.peer.submit(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#.to_vec());
            }
            (Era::Legacy, Era::Modern) => self.listen_again(connected),
            (Era::Modern, Era::Modern) => {}
        }
    }

    /// What a server said when it could not be reached.
    pub(super) async fn refusal(&self, index: usize) -> Option<Vec<u8>> {
        let slot = self.places.get(index)?.slot.lock().await;
        match &slot.failed {
            Some((_, Why::Said(said))) => Some(said.bytes.clone()),
            _ => None,
        }
    }

    /// Why a server could not be reached, for the client.
    pub(super) fn unreachable(&self, index: usize) -> String {
        let slot = self.places.get(index).and_then(|place| place.slot.try_lock().ok());
        match slot.as_ref().and_then(|slot| slot.failed.as_ref()) {
            Some((_, Why::Full(max))) => {
                format!("you have {max} server processes already, as many as one caller may have; end a session first")
            }
            _ => "the tool server cannot be reached".to_owned(),
        }
    }

    // === servers of which a list waits for several ===

    /// What a server has for something that is put together from several, if it has it in time. One that was too slow
    /// lately gets less time, so that it holds up the others once and not each time.
    pub(super) async fn in_time<T>(&self, index: usize, part: impl Future<Output = Option<T>>) -> Option<T> {
        let (place, spec) = (self.places.get(index)?, self.servers.get(index)?);
        let slow = || place.slow.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = if slow().is_some_and(|at| at.elapsed() < SLOW.1) { SLOW.0 } else { PART };
        let found = tokio::time::timeout(limit, part).await;
        match &found {
            Ok(Some(_)) => *slow() = None,
            Ok(None) => {}
            Err(_) if limit == PART => {
                *slow() = Some(Instant::now());
                let (name, seconds) = (&spec.name, PART.as_secs());
                self.parts().observer.notice(&format!(
                    "the server `{name}` took longer than {seconds} seconds; lists do without it until it is faster"
                ));
            }
            Err(_) => {}
        }
        found.ok().flatten()
    }

    // === the handshake ===

    async fn reach(&self, index: usize, spec: &Arc<Spec>) -> Result<Connected, Why> {
        let route = Route {
            door: Door::McpHttp,
            caller: self.shared_caller(),
            trajectory: self.trajectory(),
            server: spec.name.clone(),
            supported: SUPPORTED,
        };
        let turns = self.turns().clone();
        let room = match &spec.reach {
            Reach::Command(_) => {
                Some(Arc::clone(&turns.processes).try_acquire_owned().map_err(|_| Why::Full(turns.processes_max))?)
            }
            Reach::Remote(_) => None,
        };
        let peer = Peer::open(self.parts(), (index, spec), route, (turns, room), self.unsolicited_sender()).map_err(
            |error| {
                self.parts().observer.notice(&format!("the server `{}` does not start: {error}", spec.name));
                Why::Silent
            },
        )?;
        let (era, hello) = self.handshake(&peer).await?;
        if let Some(version) = hello.text("protocolVersion").filter(|_| era == Era::Legacy) {
            peer.agreed(&version);
        }
        Ok(Connected { peer, era, hello, begun: AtomicBool::new(false), listening: Mutex::default() })
    }

    /// Finds out in which era a server speaks: first that of the client, then the other one.
    async fn handshake(&self, peer: &Arc<Peer>) -> Result<(Era, Message), Why> {
        let own = match self.hello() {
            Some(hello) => answered(peer.ask(hello, Vec::new(), HeaderMap::new()).await, HANDSHAKE).await,
            None => answered(peer.request("server/discover", &discovery()).await, PROBE).await,
        };
        let refused = match own {
            Some(Ok(hello)) if says(&hello, self.era()) => return Ok((self.era(), hello)),
            Some(Ok(_)) => Why::Silent,
            Some(Err(refused)) => Why::Said(refused),
            None if self.era() == Era::Legacy => return Err(Why::Silent),
            None => Why::Silent,
        };
        let era = if self.era() == Era::Legacy { Era::Modern } else { Era::Legacy };
        let other = match self.era() {
            Era::Legacy => {
                let params = format!("{{\"_meta\":{{{}}}}}", self.envelope());
                answered(peer.request("server/discover", &params).await, HANDSHAKE).await
            }
            Era::Modern => answered(peer.request("initialize", &introduction()).await, HANDSHAKE).await,
        };
        match other {
            Some(Ok(hello)) if says(&hello, era) => Ok((era, hello)),
            // What the server said to the client's own handshake tells more.
            _ => Err(refused),
        }
    }
}

/// The answer to a handshake: a result, or what else the server said. `None` if it said nothing in time.
async fn answered(mut exchange: Exchange, limit: Duration) -> Option<Result<Message, Message>> {
    let answer = tokio::time::timeout(limit, &mut exchange.answer).await.ok()?.ok()?;
    Some(if matches!(answer.kind, Kind::Result(_)) { Ok(answer) } else { Err(answer) })
}

/// Whether the answer to a handshake says that the server speaks this era. Some servers answer every method with something.
fn says(hello: &Message, era: Era) -> bool {
    let legacy = |version: &str| version < NEWER && VERSIONS.contains(&version);
    match era {
        Era::Legacy => hello.text("protocolVersion").is_some_and(|version| legacy(&version)),
        Era::Modern => {
            let versions = hello.value("supportedVersions").and_then(|list| serde_json::from_slice(list).ok());
            versions.is_some_and(|versions: Vec<String>| versions.iter().any(|version| version == NEWER))
        }
    }
}

/// The parameters of refmon's own `initialize`, on behalf of clients whose abilities are told with each request: what
/// one of them lacks is refused when a server asks for it.
fn introduction() -> String {
    json!({
        "protocolVersion": "2025-11-25",
        "capabilities": { "elicitation": { "form": {}, "url": {} }, "sampling": {}, "roots": {} },
        "clientInfo": { "name": "refmon", "version": env!("CARGO_PKG_VERSION") },
    })
    .to_string()
}

/// The parameters of refmon's own `server/discover`.
fn discovery() -> String {
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": { "name": "refmon", "version": env!("CARGO_PKG_VERSION") },
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    json!({ "_meta": meta }).to_string()
}
