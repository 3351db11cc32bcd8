//! A client: who asks, in which era, and its peers.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderMap;
use refmon_core::caller::Caller;
use refmon_core::ids::TrajectoryId;
use refmon_core::json::Json;
use refmon_core::monitor::Route;
use refmon_core::record::Door;
use serde_json::json;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::AbortHandle;

use super::Parts;
use super::bridge::Parked;
use super::peer::{Event, Exchange, Peer, Turns};
use crate::link::Spec;
use crate::message::{Id, Kind, Message};
use crate::reply::Reply;
use crate::session::SUPPORTED;

/// How long a server may take for its handshake; package runners fetch and build before it.
const HANDSHAKE: Duration = Duration::from_secs(60);
/// How long a server may take to say whether it speaks the newer era. One of the older era may say nothing at all.
const PROBE: Duration = Duration::from_secs(8);
/// How long a server that could not be reached is left alone.
const REST: Duration = Duration::from_secs(2);
/// Messages that belong to no request and wait for the client to read them.
const UNSOLICITED_MAX: usize = 256;
/// Bytes of a resource's URI, and resources, that an older client may subscribe to at a newer server.
const URI_BYTES_MAX: usize = 8 * 1024;
const SUBSCRIBED_MAX: usize = 256;
/// Requests of servers that wait for the client's answer.
const ASKED_MAX: usize = 1_024;

/// How a client or a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Era {
    /// Up to 2025-11-25: a handshake, sessions, requests of servers.
    Legacy,
    /// From 2026-07-28 on: each request stands for itself.
    Modern,
}

/// What goes to the client for one request.
#[derive(Debug)]
pub(crate) enum Out {
    /// A message before the answer.
    Event(Vec<u8>),
    /// The answer.
    Last(Vec<u8>),
}

/// Spans of a message, and what stands in their place.
pub(super) type Edits = Vec<(Range<usize>, Vec<u8>)>;

/// A server that has been reached.
pub(super) struct Connected {
    pub(super) peer: Arc<Peer>,
    pub(super) era: Era,
    /// What it answered in the handshake.
    pub(super) hello: Message,
    /// What a server of the newer era announces to a client of the older one, for as long as this lives.
    listening: Mutex<Option<AbortHandle>>,
}

impl Drop for Connected {
    fn drop(&mut self) {
        if let Some(task) = self.listening.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }
}

/// Who waits for the client's answer to a request.
enum Asked {
    /// A server, under the identifier that it gave.
    Server(Arc<Peer>, Vec<u8>),
    /// The bridge between the eras.
    Bridge(oneshot::Sender<Message>),
}

#[derive(Default)]
struct Slot {
    connected: Option<Arc<Connected>>,
    /// When it could not be reached, and what the server said.
    failed: Option<(Instant, Option<Message>)>,
}

/// One client.
pub(crate) struct Client {
    parts: Parts,
    pub(super) servers: Arc<[Arc<Spec>]>,
    caller: Arc<Caller>,
    trajectory: TrajectoryId,
    turns: Turns,
    /// Whether the client has ended: nothing is begun for it any more, and its streams end.
    closed: watch::Sender<bool>,
    /// The handshake of a client up to 2025-11-25.
    hello: Option<Message>,
    ready: AtomicBool,
    slots: Vec<tokio::sync::Mutex<Slot>>,
    unsolicited: mpsc::Sender<(usize, Event)>,
    stream: Arc<tokio::sync::Mutex<mpsc::Receiver<(usize, Event)>>>,
    /// Requests of servers, by the identifier that the client knows.
    asked: Mutex<HashMap<String, Asked>>,
    asked_last: AtomicU64,
    /// Requests of the client under way, by its identifier.
    under_way: Mutex<HashMap<String, (Arc<Peer>, u64)>>,
    used: Mutex<Instant>,
    /// Calls that wait for a newer client's answers, by handle.
    parked: Mutex<HashMap<String, Parked>>,
    /// What older servers announce to a newer client.
    heard: broadcast::Sender<Vec<u8>>,
    hearing: AtomicBool,
    /// The level and the resources that an older client asked for, on behalf of newer servers.
    log_level: Mutex<Option<String>>,
    subscribed: Mutex<BTreeSet<String>>,
}

impl Client {
    pub(super) fn new(
        parts: Parts,
        servers: Arc<[Arc<Spec>]>,
        caller: Arc<Caller>,
        trajectory: TrajectoryId,
        hello: Option<Message>,
        turns: Turns,
    ) -> Arc<Self> {
        let (unsolicited, stream) = mpsc::channel(UNSOLICITED_MAX);
        let slots = servers.iter().map(|_| tokio::sync::Mutex::default()).collect();
        Arc::new(Self {
            parts,
            servers,
            caller,
            trajectory,
            turns,
            closed: watch::channel(false).0,
            hello,
            ready: AtomicBool::new(false),
            slots,
            unsolicited,
            stream: Arc::new(tokio::sync::Mutex::new(stream)),
            asked: Mutex::default(),
            asked_last: AtomicU64::new(0),
            under_way: Mutex::default(),
            used: Mutex::new(Instant::now()),
            parked: Mutex::default(),
            heard: broadcast::channel(UNSOLICITED_MAX).0,
            hearing: AtomicBool::new(false),
            log_level: Mutex::default(),
            subscribed: Mutex::default(),
        })
    }

    pub(super) fn caller(&self) -> &Caller {
        &self.caller
    }

    pub(crate) const fn era(&self) -> Era {
        if self.hello.is_some() { Era::Legacy } else { Era::Modern }
    }

    /// Whether tools have their server's name in front.
    pub(super) fn several(&self) -> bool {
        self.servers.len() > 1
    }

    pub(super) fn is_idle(&self, now: Instant, limit: Duration) -> bool {
        let used = *self.used.lock().unwrap_or_else(PoisonError::into_inner);
        self.under_way().is_empty() && now.saturating_duration_since(used) > limit
    }

    pub(super) const fn parts(&self) -> &Parts {
        &self.parts
    }

    pub(super) const fn hello(&self) -> Option<&Message> {
        self.hello.as_ref()
    }

    pub(super) fn touch(&self) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Takes a request. What comes back for it can be received; when the receiver is dropped, a request from
    /// 2026-07-28 on is cancelled.
    pub(crate) fn request(self: &Arc<Self>, message: Message, headers: HeaderMap) -> mpsc::Receiver<Out> {
        self.touch();
        let (out, received) = mpsc::channel(1);
        let client = Arc::clone(self);
        self.parts.runtime.spawn(async move {
            client.serve(message, headers, &out).await;
            client.touch();
        });
        received
    }

    /// Takes a notification.
    pub(crate) async fn notify(self: &Arc<Self>, message: Message) {
        self.touch();
        let Kind::Notification(method) = &message.kind else { return };
        // From 2026-07-28 on a request is cancelled by closing its stream, and there is no handshake: what says otherwise
        // could only be about another client of the same caller.
        if self.era() == Era::Modern {
            return;
        }
        if method == "notifications/cancelled" {
            let id = message.value("requestId").and_then(|id| Json::parse(id).ok()).map(|id| id.canonical());
            let found = id.and_then(|id| self.under_way().remove(&id));
            if let Some((peer, ticket)) = found {
                peer.cancel(ticket, &message);
            }
            return;
        }
        if method == "notifications/initialized" {
            self.ready.store(true, Ordering::Release);
        }
        for slot in &self.slots {
            let connected = slot.lock().await.connected.as_ref().map(Arc::clone);
            match connected {
                Some(connected) if connected.era == self.era() => connected.peer.submit(message.bytes.clone()),
                Some(connected) if method == "notifications/initialized" => self.listen(&connected, Vec::new()),
                _ => {}
            }
        }
    }

    /// Takes an answer to a request. Says whether anybody waited for it.
    pub(crate) fn answer(&self, message: Message) -> bool {
        self.touch();
        let (Kind::Result(id) | Kind::Error(Some(id))) = &message.kind else { return false };
        let found = self.asked().remove(&id.canonical);
        match found {
            Some(Asked::Server(peer, spelled)) => peer.submit(message.with(vec![(message.id.clone(), spelled)])),
            // A bridge that has given up wants no answer.
            Some(Asked::Bridge(waits)) => drop(waits.send(message)),
            None => return false,
        }
        true
    }

    /// What belongs to no request, on the one stream that carries it. `None` if that is open already.
    pub(crate) fn unsolicited(self: &Arc<Self>) -> Option<mpsc::Receiver<Out>> {
        let mut stream = Arc::clone(&self.stream).try_lock_owned().ok()?;
        let (out, received) = mpsc::channel(1);
        let client = Arc::clone(self);
        self.parts.runtime.spawn(async move {
            let mut closed = client.closed.subscribe();
            loop {
                let (index, event) = tokio::select! {
                    biased;
                    _ = closed.wait_for(|closed| *closed) => return,
                    event = stream.recv() => match event { Some(event) => event, None => return },
                    () = out.closed() => return,
                };
                client.touch();
                let bytes = match event {
                    Event::Notification(bytes) => Some(bytes),
                    Event::Request(request) => client.asked_by(index, &request).await,
                };
                if let Some(bytes) = bytes
                    && out.send(Out::Event(bytes)).await.is_err()
                {
                    return;
                }
            }
        });
        Some(received)
    }

    async fn asked_by(&self, index: usize, request: &Message) -> Option<Vec<u8>> {
        let connected = self.slots.get(index)?.lock().await.connected.as_ref().map(Arc::clone)?;
        self.for_client(&connected.peer, request)
    }

    /// Ends every peer.
    pub(super) fn close(&self) {
        self.closed.send_replace(true);
        for slot in &self.slots {
            if let Ok(mut slot) = slot.try_lock()
                && let Some(connected) = slot.connected.take()
            {
                connected.peer.close();
            }
        }
        self.asked().clear();
        self.under_way().clear();
        self.parked().clear();
    }

    /// Gives up calls whose client did not answer in time.
    pub(super) fn sweep(&self, now: Instant) {
        self.parked().retain(|_, parked| !parked.is_over(now));
    }

    // === servers ===

    /// A server, reached now or before. `None` if it cannot be.
    pub(super) async fn connected(&self, index: usize) -> Option<Arc<Connected>> {
        let mut slot = self.slots.get(index)?.lock().await;
        if let Some(connected) = slot.connected.as_ref().filter(|connected| !connected.peer.is_gone()) {
            return Some(Arc::clone(connected));
        }
        slot.connected = None;
        if *self.closed.borrow() {
            return None;
        }
        if slot.failed.as_ref().is_some_and(|(at, _)| at.elapsed() < REST) {
            return None;
        }
        let spec = self.servers.get(index)?;
        let said = match self.reach(index, spec).await {
            // The client may have ended while its server was reached; nothing would ever close the peer.
            Ok(_) if *self.closed.borrow() => return None,
            Ok(connected) => {
                let connected = Arc::new(connected);
                slot.connected = Some(Arc::clone(&connected));
                slot.failed = None;
                self.parts.observer.reached(&spec.name, true);
                return Some(connected);
            }
            Err(said) => said,
        };
        self.parts.observer.reached(&spec.name, false);
        slot.failed = Some((Instant::now(), said));
        None
    }

    /// What a server said when it could not be reached.
    pub(super) async fn refusal(&self, index: usize) -> Option<Vec<u8>> {
        let slot = self.slots.get(index)?.lock().await;
        slot.failed.as_ref().and_then(|(_, said)| said.as_ref()).map(|said| said.bytes.clone())
    }

    async fn reach(&self, index: usize, spec: &Arc<Spec>) -> Result<Connected, Option<Message>> {
        let route = Route {
            door: Door::McpHttp,
            caller: Arc::clone(&self.caller),
            trajectory: self.trajectory,
            server: spec.name.clone(),
            supported: SUPPORTED,
        };
        let peer = Peer::open(&self.parts, (index, spec), route, self.turns.clone(), self.unsolicited.clone())
            .map_err(|error| {
                self.parts.observer.notice(&format!("the server `{}` does not start: {error}", spec.name));
                None
            })?;
        let (era, hello) = self.handshake(&peer).await?;
        if let Some(version) = hello.text("protocolVersion").filter(|_| era == Era::Legacy) {
            peer.agreed(&version);
        }
        if era == Era::Legacy && (self.era() == Era::Modern || self.ready.load(Ordering::Acquire)) {
            peer.submit(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#.to_vec());
        }
        Ok(Connected { peer, era, hello, listening: Mutex::default() })
    }

    /// Finds out in which era a server speaks: first that of the client, then the other one.
    async fn handshake(&self, peer: &Arc<Peer>) -> Result<(Era, Message), Option<Message>> {
        let own = match &self.hello {
            Some(hello) => answered(peer.ask(hello, Vec::new(), HeaderMap::new()).await, HANDSHAKE).await,
            None => answered(peer.request("server/discover", &discovery()).await, PROBE).await,
        };
        let refused = match own {
            Some(Ok(hello)) => return Ok((self.era(), hello)),
            Some(Err(refused)) => Some(refused),
            None if self.era() == Era::Legacy => return Err(None),
            None => None,
        };
        let other = match self.era() {
            Era::Legacy => {
                answered(
                    peer.request("server/discover", &format!("{{\"_meta\":{{{}}}}}", self.envelope())).await,
                    HANDSHAKE,
                )
                .await
            }
            Era::Modern => answered(peer.request("initialize", &introduction()).await, HANDSHAKE).await,
        };
        match other {
            Some(Ok(hello)) => Ok((if self.era() == Era::Legacy { Era::Modern } else { Era::Legacy }, hello)),
            // What the server said to the client's own handshake tells more.
            _ => Err(refused),
        }
    }

    // === one request, one server ===

    /// Sends a request to one server and passes on what comes back, the answer changed by `finish`.
    pub(super) async fn relay(
        self: &Arc<Self>,
        index: usize,
        message: &Message,
        edits: Edits,
        headers: HeaderMap,
        out: &mpsc::Sender<Out>,
    ) {
        let Some(connected) = self.connected(index).await else {
            return self.fail(message, "the tool server cannot be reached", out).await;
        };
        match (self.era(), connected.era) {
            (Era::Modern, Era::Legacy) => return self.to_older(&connected, message, edits, out).await,
            (Era::Legacy, Era::Modern) => return self.to_newer(&connected, message, edits, out).await,
            (Era::Legacy, Era::Legacy) | (Era::Modern, Era::Modern) => {}
        }
        let mut exchange = connected.peer.ask(message, edits, headers).await;
        let Kind::Request(_, id) = &message.kind else { return };
        self.under_way().insert(id.canonical.clone(), (Arc::clone(&connected.peer), exchange.ticket));
        let answer = self.follow(&connected.peer, &mut exchange, out).await;
        self.under_way().remove(&id.canonical);
        if let Some(answer) = answer {
            let restored = answer.with(vec![(answer.id.clone(), id.spelled.clone())]);
            drop(out.send(Out::Last(restored)).await);
        }
    }

    /// Passes on what comes before the answer, and gives the answer.
    pub(super) async fn follow(
        &self,
        peer: &Arc<Peer>,
        exchange: &mut Exchange,
        out: &mpsc::Sender<Out>,
    ) -> Option<Message> {
        loop {
            tokio::select! {
                biased;
                Some(event) = exchange.events.recv() => {
                    let bytes = match event {
                        Event::Notification(bytes) => Some(bytes),
                        Event::Request(request) => self.for_client(peer, &request),
                    };
                    if let Some(bytes) = bytes {
                        drop(out.send(Out::Event(bytes)).await);
                    }
                }
                answer = &mut exchange.answer => return answer.ok(),
                () = out.closed(), if self.era() == Era::Modern => return None,
            }
        }
    }

    /// A server's request with an identifier that no other server's has.
    fn for_client(&self, peer: &Arc<Peer>, request: &Message) -> Option<Vec<u8>> {
        let spelled = request.bytes.get(request.id.clone())?.to_vec();
        let id = self.remember(Asked::Server(Arc::clone(peer), spelled))?;
        Some(request.with(vec![(request.id.clone(), id.into_bytes())]))
    }

    /// An identifier for a request to the client whose answer the bridge waits for.
    pub(super) fn ask_client(&self, waits: oneshot::Sender<Message>) -> Option<String> {
        self.remember(Asked::Bridge(waits))
    }

    fn remember(&self, who: Asked) -> Option<String> {
        let id = format!("\"refmon-{}\"", self.asked_last.fetch_add(1, Ordering::Relaxed));
        let mut asked = self.asked();
        if asked.len() >= ASKED_MAX {
            return None;
        }
        asked.insert(id.clone(), who);
        Some(id)
    }

    /// Answers a request with an error of refmon's own.
    pub(super) async fn fail(&self, message: &Message, text: &str, out: &mpsc::Sender<Out>) {
        let Kind::Request(_, id) = &message.kind else { return };
        let reply = Reply::protocol_error(Some(id), -32_603, text, None);
        drop(out.send(Out::Last(reply.into_bytes())).await);
    }

    /// Answers a request with a result of refmon's own.
    pub(super) async fn result(&self, id: &Id, result: &str, out: &mpsc::Sender<Out>) {
        let mut bytes = b"{\"jsonrpc\":\"2.0\",\"id\":".to_vec();
        bytes.extend_from_slice(&id.spelled);
        bytes.extend_from_slice(format!(",\"result\":{result}}}").as_bytes());
        drop(out.send(Out::Last(bytes)).await);
    }

    pub(super) fn parked(&self) -> MutexGuard<'_, HashMap<String, Parked>> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn log_level(&self) -> MutexGuard<'_, Option<String>> {
        self.log_level.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the client has ended.
    pub(super) async fn ended(&self) {
        let mut closed = self.closed.subscribe();
        // The sender is this very client's.
        let _ended = closed.wait_for(|closed| *closed).await.is_ok();
    }

    pub(super) fn unsolicited_sender(&self) -> mpsc::Sender<(usize, Event)> {
        self.unsolicited.clone()
    }

    /// What older servers announce. The first one who listens lets the announcements flow.
    pub(super) fn hear(self: &Arc<Self>) -> broadcast::Receiver<Vec<u8>> {
        let heard = self.heard.subscribe();
        if !self.hearing.swap(true, Ordering::AcqRel) {
            let (stream, client) = (Arc::clone(&self.stream), Arc::downgrade(self));
            self.parts.runtime.spawn(async move {
                let mut stream = stream.lock().await;
                while let Some((_, event)) = stream.recv().await {
                    let Some(client) = client.upgrade() else { return };
                    if let Event::Notification(bytes) = event {
                        // Nobody may be listening just now.
                        let _listeners = client.heard.send(bytes).unwrap_or_default();
                    }
                }
            });
        }
        heard
    }

    /// Takes note of a resource that an older client wants to hear of, and listens anew.
    /// Says whether there was room for it.
    pub(super) fn subscribe(self: &Arc<Self>, connected: &Arc<Connected>, wanted: bool, uri: String) -> bool {
        let mut subscribed = self.subscribed.lock().unwrap_or_else(PoisonError::into_inner);
        if wanted && (uri.len() > URI_BYTES_MAX || subscribed.len() >= SUBSCRIBED_MAX) {
            return false;
        }
        let _changed = if wanted { subscribed.insert(uri) } else { subscribed.remove(&uri) };
        let uris = subscribed.iter().cloned().collect();
        drop(subscribed);
        self.listen(connected, uris);
        true
    }

    fn listen(self: &Arc<Self>, connected: &Arc<Connected>, uris: Vec<String>) {
        let task = self.listen_to_newer(connected, uris);
        let before = connected.listening.lock().unwrap_or_else(PoisonError::into_inner).replace(task);
        if let Some(before) = before {
            before.abort();
        }
    }

    fn asked(&self) -> MutexGuard<'_, HashMap<String, Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn under_way(&self) -> MutexGuard<'_, HashMap<String, (Arc<Peer>, u64)>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The answer to a handshake: a result, or what else the server said. `None` if it said nothing in time.
async fn answered(mut exchange: Exchange, limit: Duration) -> Option<Result<Message, Message>> {
    let answer = tokio::time::timeout(limit, &mut exchange.answer).await.ok()?.ok()?;
    Some(if matches!(answer.kind, Kind::Result(_)) { Ok(answer) } else { Err(answer) })
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

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("caller", &self.caller).finish_non_exhaustive()
    }
}
