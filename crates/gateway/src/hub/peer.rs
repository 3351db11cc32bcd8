//! A peer: one server, as one client has it. The session in the middle mediates every message; on its client's side
//! each request has a *ticket*, a number that stands for it with the server, so that the identifiers and progress
//! tokens of different requests never meet.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use http::HeaderMap;
use refmon_core::monitor::Route;
use refmon_core::record::Cause;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::{Parts, SUBSCRIPTION};
use crate::frame::Frame;
use crate::link::{Link, Reach, Spec};
use crate::message::{Kind, Message};
use crate::session::{Session, Terms};
use crate::trace::{self, TraceParent};
use crate::upstream::{Outbound, Upstream};

/// Messages before an answer that wait for the client to read them.
const EVENTS_MAX: usize = 64;

/// What comes before the answer to a request.
#[derive(Debug)]
pub(crate) enum Event {
    /// A notification, with the client's own identifiers in it.
    Notification(Vec<u8>),
    /// A request of a server up to 2025-11-25.
    Request(Message),
}

struct Ticket {
    events: mpsc::Sender<Event>,
    answer: oneshot::Sender<Message>,
    /// The client's own progress token, as it was spelled.
    progress: Option<Vec<u8>>,
    /// The client's own identifier, as it was spelled.
    /// Empty for a request of refmon's own.
    id: Vec<u8>,
    /// Whether a server may ask the client for something on the way.
    asks: bool,
}

#[derive(Default)]
struct Tickets {
    last: u64,
    open: BTreeMap<u64, Ticket>,
}

/// A server as one client has it.
pub(crate) struct Peer {
    session: Arc<Session>,
    link: Mutex<Link>,
    desk: Arc<Desk>,
    turns: Turns,
    /// One of the processes that the caller may have, if the server is one.
    _room: Option<OwnedSemaphorePermit>,
}

/// The client's side of the session.
struct Desk {
    session: Mutex<Weak<Session>>,
    tickets: Mutex<Tickets>,
    /// What belongs to no request, with the number of the server.
    unsolicited: mpsc::Sender<(usize, Event)>,
    index: usize,
    gone: AtomicBool,
}

/// Bytes of a message that is judged before anybody would notice, whatever is in it.
pub(crate) const SHORT: usize = 4 * 1024;

/// Whose turn it is to be judged: the caller's own, and everybody's.
#[derive(Debug, Clone)]
pub(crate) struct Turns {
    pub(crate) own: Arc<Semaphore>,
    pub(crate) all: Arc<Semaphore>,
    /// One long message of the caller at a time.
    pub(crate) long: Arc<Semaphore>,
    /// Server processes of the caller, and how many those may be.
    pub(crate) processes: Arc<Semaphore>,
    pub(crate) processes_max: usize,
    /// Room of the caller for answers that are not read yet.
    pub(crate) unread: Arc<Semaphore>,
}

/// A request under way. Dropped before its answer came, it is cancelled.
pub(crate) struct Exchange {
    desk: Arc<Desk>,
    pub(crate) ticket: u64,
    pub(crate) events: mpsc::Receiver<Event>,
    pub(crate) answer: oneshot::Receiver<Message>,
}

impl Peer {
    /// Opens a link to a server and puts a session in front of it.
    pub(crate) fn open(
        parts: &Parts,
        (index, spec): (usize, &Arc<Spec>),
        route: Route,
        (turns, room): (Turns, Option<OwnedSemaphorePermit>),
        unsolicited: mpsc::Sender<(usize, Event)>,
    ) -> std::io::Result<Arc<Self>> {
        let mut link = Link::open(spec, &parts.observer, &parts.runtime)?;
        let desk = Arc::new(Desk {
            session: Mutex::default(),
            tickets: Mutex::default(),
            unsolicited,
            index,
            gone: AtomicBool::new(false),
        });
        let session = Session::new(
            Arc::clone(&parts.monitor),
            Arc::clone(&parts.clock),
            route,
            Box::new(ToClient(Arc::clone(&desk))),
            link.upstream(),
            Arc::clone(&parts.observer),
            Terms {
                credentials: Arc::clone(&spec.credentials),
                shared: matches!(spec.reach, Reach::Remote(_)),
                wait: parts.hold_wait,
            },
        );
        *desk.session.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&session);
        let watched = Arc::clone(&desk);
        link.listen(Arc::downgrade(&session), move || watched.gone.store(true, Ordering::Release));
        Ok(Arc::new(Self { session, link: Mutex::new(link), desk, turns, _room: room }))
    }

    /// Whether the server is gone. A new peer must be opened then.
    pub(crate) fn is_gone(&self) -> bool {
        self.desk.gone.load(Ordering::Acquire)
    }

    /// Says which protocol version was agreed on, for the headers of a remote server.
    pub(crate) fn agreed(&self, version: &str) {
        if let Link::Remote(remote) = &*self.link() {
            remote.agreed(version);
        }
    }

    /// Sends a request of the client, with a ticket for its identifier and progress token, and other spans replaced.
    pub(crate) async fn ask(
        &self,
        request: &Message,
        edits: Vec<(Range<usize>, Vec<u8>)>,
        headers: HeaderMap,
    ) -> Exchange {
        let parent = headers.get("traceparent");
        let parent = parent.and_then(|parent| TraceParent::parse(parent.to_str().ok()?));
        let token =
            request.members("_meta").value("progressToken").map(|token| (request.within(token), token.to_vec()));
        let asks = matches!(&request.kind, Kind::Request(method, _) if matches!(method.as_str(), "tools/call" | "prompts/get" | "resources/read"));
        let (place, progress) = token.unzip();
        let id = request.bytes.get(request.id.clone()).unwrap_or_default().to_vec();
        let (exchange, number) = self.ticket(progress, id, asks);
        let mut edits = edits;
        edits.extend([request.id.clone()].into_iter().chain(place).map(|span| (span, number.clone().into_bytes())));
        self.in_turn(request.with(edits), parent).await;
        exchange
    }

    /// Sends a request of refmon's own.
    pub(crate) async fn request(&self, method: &str, params: &str) -> Exchange {
        let (exchange, number) = self.ticket(None, Vec::new(), false);
        let text = format!(r#"{{"jsonrpc":"2.0","id":{number},"method":"{method}","params":{params}}}"#);
        self.in_turn(text.into_bytes(), None).await;
        exchange
    }

    fn ticket(&self, progress: Option<Vec<u8>>, id: Vec<u8>, asks: bool) -> (Exchange, String) {
        let ((events, received), (answer, answered)) = (mpsc::channel(EVENTS_MAX), oneshot::channel());
        let mut tickets = self.desk.tickets();
        tickets.last = tickets.last.saturating_add(1);
        let ticket = tickets.last;
        if !self.is_gone() {
            tickets.open.insert(ticket, Ticket { events, answer, progress, id, asks });
        }
        drop(tickets);
        (Exchange { desk: Arc::clone(&self.desk), ticket, events: received, answer: answered }, ticket.to_string())
    }

    /// Puts a request to the session when it is its turn: a caller has a bounded number of threads that may wait for the
    /// monitor or for a server's list of tools, and all callers together fewer than there are.
    async fn in_turn(&self, bytes: Vec<u8>, parent: Option<TraceParent>) {
        let _own = self.turns.own.acquire().await;
        if bytes.len() <= SHORT {
            let _all = self.turns.all.acquire().await;
            return trace::within(parent, || self.submit(bytes));
        }
        // What takes long to judge keeps no thread from those who wait for something else, and its sender waits in line.
        let _long = self.turns.long.acquire().await;
        let _all = self.turns.all.acquire().await;
        tokio::task::block_in_place(|| trace::within(parent, || self.submit(bytes)));
    }

    /// Puts a message of the client to the session. Waits while the monitor records; see [`Parts::monitor`].
    pub(crate) fn submit(&self, bytes: Vec<u8>) {
        if self.session.from_client(Frame::Line(bytes)).is_err() {
            self.close();
        }
    }

    /// Whether a request waits for a person.
    pub(crate) fn is_held(&self, ticket: u64) -> bool {
        self.session.is_held(&ticket.to_string())
    }

    /// Passes the client's cancellation of a request on. Nothing more will come for it.
    pub(crate) fn cancel(&self, ticket: u64, notice: &Message) {
        self.desk.tickets().open.remove(&ticket);
        let place = notice.span("requestId");
        self.submit(notice.with(vec![(place, ticket.to_string().into_bytes())]));
    }

    /// Ends everything: calls under way are indeterminate, the server is let go.
    pub(crate) fn close(&self) {
        self.desk.close();
        self.session.end(Cause::SessionEnded);
        self.link().close();
    }

    fn link(&self) -> MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.close();
    }
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peer").field("session", &self.session).finish_non_exhaustive()
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let open = self.desk.tickets().open.remove(&self.ticket).is_some();
        let session = self.desk.session.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        let (true, Some(session), Ok(runtime)) = (open, session, tokio::runtime::Handle::try_current()) else { return };
        let notice =
            json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": self.ticket } });
        runtime.spawn_blocking(move || drop(session.from_client(Frame::Line(notice.to_string().into_bytes()))));
    }
}

impl Desk {
    fn tickets(&self) -> MutexGuard<'_, Tickets> {
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.gone.store(true, Ordering::Release);
        self.tickets().open.clear();
    }

    /// Takes what the session has for the client. What a client does not read in time is dropped, but for answers.
    fn take(&self, message: Outbound) {
        let Ok(message) = message.into_message() else { return };
        match &message.kind {
            Kind::Result(id) | Kind::Error(Some(id)) => {
                let ticket = id.canonical.parse().ok().and_then(|number: u64| self.tickets().open.remove(&number));
                if let Some(ticket) = ticket {
                    // A client that is gone needs no answer.
                    drop(ticket.answer.send(message));
                }
            }
            Kind::Error(None) => {}
            Kind::Request(..) => self.pass(self.newest(), Event::Request(message)),
            Kind::Notification(method) => {
                let (ticket, restored) = self.restored(method, &message);
                self.pass(ticket, Event::Notification(restored.unwrap_or(message.bytes)));
            }
        }
    }

    /// Whose a notification is, and the notification with that client's own identifiers in it.
    fn restored(&self, method: &str, message: &Message) -> (Option<u64>, Option<Vec<u8>>) {
        let number = |value: &[u8]| std::str::from_utf8(value).ok()?.parse::<u64>().ok();
        let meta = message.members("_meta");
        let subscription = meta.value(SUBSCRIPTION);
        let progress = message.value("progressToken").filter(|_| method == "notifications/progress");
        let tickets = self.tickets();
        if let Some((value, ticket)) = subscription.and_then(|value| Some((value, number(value)?))) {
            // A request of refmon's own has no other identifier than its ticket.
            let open = tickets.open.get(&ticket).filter(|open| !open.id.is_empty());
            return (Some(ticket), open.map(|open| message.with(vec![(message.within(value), open.id.clone())])));
        }
        if let Some((value, ticket)) = progress.and_then(|value| Some((value, number(value)?))) {
            let token = tickets.open.get(&ticket).and_then(|open| open.progress.clone());
            return (Some(ticket), token.map(|token| message.with(vec![(message.within(value), token)])));
        }
        drop(tickets);
        let related = method == "notifications/message";
        (related.then(|| self.newest()).flatten(), None)
    }

    /// The newest request on which a server may speak to its client.
    fn newest(&self) -> Option<u64> {
        self.tickets().open.iter().rev().find(|(_, ticket)| ticket.asks).map(|(number, _)| *number)
    }

    fn pass(&self, ticket: Option<u64>, event: Event) {
        let events = ticket.map(|ticket| self.tickets().open.get(&ticket).map(|open| open.events.clone()));
        let full = match events {
            // What belongs to a request that has ended belongs to nobody.
            Some(None) => return,
            Some(Some(events)) => events.try_send(event).err().map(mpsc::error::TrySendError::into_inner),
            None => self.unsolicited.try_send((self.index, event)).err().map(|error| error.into_inner().1),
        };
        if let Some(Event::Request(request)) = full {
            self.nobody_answers(&request);
        }
    }

    /// Tells the server that its request reaches nobody.
    fn nobody_answers(&self, request: &Message) {
        let Some(session) = self.session.lock().unwrap_or_else(PoisonError::into_inner).upgrade() else { return };
        let id = String::from_utf8_lossy(request.bytes.get(request.id.clone()).unwrap_or_default()).into_owned();
        let answer = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32603,"message":"the client does not listen for requests"}}}}"#
        );
        // The session's own lock may be held by this thread's caller.
        std::thread::spawn(move || drop(session.from_client(Frame::Line(answer.into_bytes()))));
    }
}

/// The session's way to the client.
struct ToClient(Arc<Desk>);

impl Upstream for ToClient {
    fn send(&self, message: Outbound) -> std::io::Result<()> {
        self.0.take(message);
        Ok(())
    }
}
