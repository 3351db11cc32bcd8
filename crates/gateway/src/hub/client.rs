//! A client: who asks, in which era, and its peers.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderMap;
use refmon_core::caller::Caller;
use refmon_core::ids::TrajectoryId;
use refmon_core::json::Json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, mpsc, oneshot, watch};

use super::Parts;
use super::asked::{Waiting, Waits};
use super::bridge::{Parked, refusal};
use super::peer::{Event, Exchange, Peer, Turns};
use super::reach::Place;
use crate::link::Spec;
use crate::message::{Id, Kind, Message, id_of_refused};
use crate::reply::Reply;

/// Messages that belong to no request and wait for the client to read them.
const UNSOLICITED_MAX: usize = 256;
/// Requests of servers that wait for the client's answer.
const ASKED_MAX: usize = 1_024;
/// Calls of one client that wait for its answers.
const PARKED_MAX: usize = 64;

/// Bytes of answers that one person has not read yet, in [`UNREAD_UNIT`]s.
pub(super) const UNREAD_MAX: usize = 128 * 1024;
/// What they are counted in.
const UNREAD_UNIT: usize = 1024;
/// Bytes of an answer that is not counted.
const UNREAD_SMALL: usize = 64 * 1024;

/// Bytes that a client has not read, with the room that they take.
struct Unread {
    bytes: Vec<u8>,
    _room: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Unread {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Bytes that take room for as long as they are anywhere; the bytes again if there is none. What is small takes none.
fn unread(room: &Arc<Semaphore>, bytes: Vec<u8>) -> Result<Bytes, Vec<u8>> {
    if bytes.len() <= UNREAD_SMALL {
        return Ok(bytes.into());
    }
    let units = u32::try_from(bytes.len().div_ceil(UNREAD_UNIT)).unwrap_or(u32::MAX);
    match Arc::clone(room).try_acquire_many_owned(units) {
        Ok(room) => Ok(Bytes::from_owner(Unread { bytes, _room: room })),
        Err(_) => Err(bytes),
    }
}

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
    Event(Bytes),
    /// The answer.
    Last(Bytes),
}

/// Bytes of a level of logging, which is remembered. The protocol's own have nine at most.
pub(super) const LEVEL_BYTES_MAX: usize = 64;

/// Spans of a message, and what stands in their place.
pub(super) type Edits = Vec<(Range<usize>, Vec<u8>)>;

/// Who waits for the client's answer to a request.
enum Asked {
    /// A server, under the identifier that it gave.
    Server(Arc<Peer>, Vec<u8>),
    /// The bridge between the eras.
    Bridge(oneshot::Sender<Message>),
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
    pub(super) places: Vec<Place>,
    unsolicited: mpsc::Sender<(usize, Event)>,
    pub(super) stream: Arc<tokio::sync::Mutex<mpsc::Receiver<(usize, Event)>>>,
    /// Requests of servers, by the identifier that the client knows.
    asked: Mutex<Waiting<Asked>>,
    asked_last: AtomicU64,
    /// Requests of the client under way, by its identifier.
    under_way: Mutex<HashMap<String, (Arc<Peer>, u64)>>,
    used: Mutex<Instant>,
    /// Requests that are being served, whatever that takes: questions, several servers, streams.
    serving: AtomicUsize,
    /// Calls that wait for a newer client's answers, by handle.
    parked: Mutex<Waiting<Parked>>,
    /// What older servers announce to a newer client.
    pub(super) heard: broadcast::Sender<Vec<u8>>,
    pub(super) hearing: AtomicBool,
    /// How many streams of a newer client are for a resource of an older server.
    streams: Mutex<BTreeMap<(usize, String), usize>>,
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
        let places = servers.iter().map(|_| Place::default()).collect();
        Arc::new(Self {
            parts,
            servers,
            caller,
            trajectory,
            turns,
            closed: watch::channel(false).0,
            hello,
            ready: AtomicBool::new(false),
            places,
            unsolicited,
            stream: Arc::new(tokio::sync::Mutex::new(stream)),
            asked: Mutex::new(Waiting::at_most(ASKED_MAX)),
            asked_last: AtomicU64::new(0),
            under_way: Mutex::default(),
            used: Mutex::new(Instant::now()),
            serving: AtomicUsize::new(0),
            parked: Mutex::new(Waiting::at_most(PARKED_MAX)),
            heard: broadcast::channel(UNSOLICITED_MAX).0,
            hearing: AtomicBool::new(false),
            streams: Mutex::default(),
            log_level: Mutex::default(),
            subscribed: Mutex::default(),
        })
    }

    pub(super) fn caller(&self) -> &Caller {
        &self.caller
    }

    pub(super) fn shared_caller(&self) -> Arc<Caller> {
        Arc::clone(&self.caller)
    }

    pub(super) const fn trajectory(&self) -> TrajectoryId {
        self.trajectory
    }

    pub(super) const fn turns(&self) -> &Turns {
        &self.turns
    }

    pub(super) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    pub(super) fn has_ended(&self) -> bool {
        *self.closed.borrow()
    }

    pub(crate) const fn era(&self) -> Era {
        if self.hello.is_some() { Era::Legacy } else { Era::Modern }
    }

    /// Whether tools have their server's name in front.
    pub(super) fn several(&self) -> bool {
        self.servers.len() > 1
    }

    /// Whether nothing is under way, no stream is open, and nothing has come for so long.
    pub(super) fn is_idle(&self, now: Instant, limit: Duration) -> bool {
        // A newer client's announcements are read for as long as it is remembered.
        let streams = self.era() == Era::Legacy && self.stream.try_lock().is_err();
        !streams && self.serving.load(Ordering::Acquire) == 0 && now.saturating_duration_since(self.last_used()) > limit
    }

    pub(super) fn last_used(&self) -> Instant {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner)
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
    /// 2026-07-28 on is cancelled. What it takes up (`stay`) is given back when nothing is done for it any more.
    pub(crate) fn request(
        self: &Arc<Self>,
        message: Message,
        headers: HeaderMap,
        stay: impl Send + 'static,
    ) -> mpsc::Receiver<Out> {
        self.touch();
        let (out, received) = mpsc::channel(1);
        let client = Arc::clone(self);
        self.serving.fetch_add(1, Ordering::AcqRel);
        self.parts.runtime.spawn(async move {
            let serving = Serving(client);
            serving.0.serve(message, headers, &out).await;
            drop(stay);
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
            return self.begin_all();
        }
        // A server that is being reached at this moment has nothing that a notification could be about.
        for connected in self.places.iter().filter_map(Place::at_hand).filter(|known| known.era == Era::Legacy) {
            connected.peer.submit(message.bytes.clone());
        }
    }

    /// Takes an answer to a request. Says whether anybody waited for it.
    pub(crate) fn answer(&self, message: Message) -> bool {
        self.touch();
        let (Kind::Result(id) | Kind::Error(Some(id))) = &message.kind else { return false };
        let found = self.asked().take(&id.canonical, Instant::now(), |_| true);
        match found.map(|waits| waits.what) {
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
                    Event::Request(request) => client.asked_by(index, &request),
                };
                if let Some(bytes) = bytes
                    && out.send(Out::Event(bytes.into())).await.is_err()
                {
                    return;
                }
            }
        });
        Some(received)
    }

    fn asked_by(&self, index: usize, request: &Message) -> Option<Vec<u8>> {
        self.for_client(&self.places.get(index)?.at_hand()?.peer, request)
    }

    /// Ends every peer.
    pub(super) fn close(&self) {
        self.closed.send_replace(true);
        self.places.iter().for_each(Place::close);
        self.asked().clear();
        self.under_way().clear();
        self.parked().clear();
    }

    /// Gives up what the client did not answer in time.
    pub(super) fn sweep(&self, now: Instant) {
        // Calls that are dropped are cancelled.
        let parked = self.parked().sweep(now);
        let asked = self.asked().sweep(now);
        if parked.is_empty() && asked.is_empty() {
            return;
        }
        self.parts.runtime.spawn_blocking(move || {
            drop(parked);
            for asked in asked {
                if let Asked::Server(peer, spelled) = asked {
                    peer.submit(unanswered(&spelled));
                }
            }
        });
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
            return self.fail(message, &self.unreachable(index), out).await;
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
            self.last(restored, out).await;
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
                        // A newer client is asked by `input_required` only, which not every path here can wait for.
                        Event::Request(request) if self.era() == Era::Modern => {
                            peer.submit(refusal(&request));
                            None
                        }
                        Event::Request(request) => self.for_client(peer, &request),
                    };
                    if let Some(bytes) = bytes {
                        self.event(bytes, out).await;
                    }
                }
                answer = &mut exchange.answer => return answer.ok(),
                // What waits for a person must not run when nobody is there to see the answer.
                () = out.closed(), if self.era() == Era::Modern || peer.is_held(exchange.ticket) => return None,
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
        let room = self.asked().put(id.clone(), Waits::since(who, Instant::now()));
        room.then_some(id)
    }

    /// Sends an answer that has been released. Of what one person does not read there is a bounded amount: what is beyond it is
    /// dropped, and the client told.
    pub(super) async fn last(&self, answer: Vec<u8>, out: &mpsc::Sender<Out>) {
        let answer = unread(&self.turns.unread, answer).unwrap_or_else(|answer| {
            let text =
                "the answer does not fit beside those that you have not read yet; what you asked for has been done";
            Reply::protocol_error(id_of_refused(&answer).as_ref(), -32_603, text, None).into_bytes().into()
        });
        drop(out.send(Out::Last(answer)).await);
    }

    /// Sends what comes before an answer. A large one that does not fit beside what is unread is dropped.
    pub(super) async fn event(&self, event: Vec<u8>, out: &mpsc::Sender<Out>) {
        if let Ok(event) = unread(&self.turns.unread, event) {
            drop(out.send(Out::Event(event)).await);
        }
    }

    /// Answers a request with an error of refmon's own.
    pub(super) async fn fail(&self, message: &Message, text: &str, out: &mpsc::Sender<Out>) {
        let Kind::Request(_, id) = &message.kind else { return };
        let reply = Reply::protocol_error(Some(id), -32_603, text, None);
        drop(out.send(Out::Last(reply.into_bytes().into())).await);
    }

    /// Answers a request with a result of refmon's own.
    pub(super) async fn result(&self, id: &Id, result: &str, out: &mpsc::Sender<Out>) {
        let mut bytes = b"{\"jsonrpc\":\"2.0\",\"id\":".to_vec();
        bytes.extend_from_slice(&id.spelled);
        bytes.extend_from_slice(format!(",\"result\":{result}}}").as_bytes());
        self.last(bytes, out).await;
    }

    pub(super) fn parked(&self) -> MutexGuard<'_, Waiting<Parked>> {
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

    pub(super) fn streams(&self) -> MutexGuard<'_, BTreeMap<(usize, String), usize>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn subscribed(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.subscribed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn asked(&self) -> MutexGuard<'_, Waiting<Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn under_way(&self) -> MutexGuard<'_, HashMap<String, (Arc<Peer>, u64)>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is being served.
struct Serving(Arc<Client>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.touch();
        self.0.serving.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Tells a server that the client did not answer.
fn unanswered(id: &[u8]) -> Vec<u8> {
    let error = br#","error":{"code":-32603,"message":"the client did not answer in time"}}"#;
    [b"{\"jsonrpc\":\"2.0\",\"id\":", id, error].concat()
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("caller", &self.caller).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Found here: 300 answers of 8 MiB that nobody read.
    #[test]
    fn what_one_person_does_not_read_is_bounded_and_comes_back_when_it_was_read() {
        let room = Arc::new(Semaphore::new(1_024));
        let large = || vec![b'x'; 600 * 1_024];
        let first = unread(&room, large()).unwrap();
        let part = first.slice(7..);
        assert_eq!(unread(&room, large()), Err(large()), "what does not fit is given back");
        assert!(unread(&room, vec![b'x'; UNREAD_SMALL]).is_ok(), "what is small takes no room");
        drop(first);
        assert!(unread(&room, large()).is_err(), "a part of it is still to be written");
        drop(part);
        assert!(unread(&room, large()).is_ok());
    }
}
