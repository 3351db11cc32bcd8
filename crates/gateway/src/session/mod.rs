//! A session: one client, one server, every message between them mediated.
//!
//! Threads drive it from both directions ([`Session::from_client`], [`Session::from_server`]); a thread handles its
//! messages in order. The monitor is asked outside of the session's lock. A message the table lets pass goes on
//! as it came; a judged one goes on only with a permit; everything else is answered by refmon.

mod cancelled;
mod client;
mod listing;
mod server;
mod waiting;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use refmon_core::bundle::{Listing, Tool};
use refmon_core::decision::Obligation;
use refmon_core::digest::Pin;
use refmon_core::ids::{Operation, ServerName, ToolName};
use refmon_core::limits;
use refmon_core::monitor::{Ask, Denied, InFlight, Monitor, Outcome, Proposal, Returned, Route};
use refmon_core::ports::Clock;
use refmon_core::reason::ReasonCode;
use refmon_core::record::Cause;
use refmon_core::untrusted::Untrusted;

use crate::credentials::Credentials;
use crate::message::{Id, Read};
use crate::reply::{Reply, Shape};
use crate::upstream::{Outbound, Upstream};

pub use listing::Observed;

/// JSON-RPC error codes (JSON-RPC 2.0, section 5.1; MCP 2026-07-28).
mod code {
    pub(super) const PARSE: i64 = -32_700;
    pub(super) const INVALID_REQUEST: i64 = -32_600;
    pub(super) const METHOD_NOT_FOUND: i64 = -32_601;
    pub(super) const INTERNAL: i64 = -32_603;
    pub(super) const UNSUPPORTED_VERSION: i64 = -32_022;
}

/// What the people who run the session are told. Text of strangers in it has been escaped.
pub trait Observer: Send + Sync {
    /// Something happened that an operator should see.
    fn notice(&self, text: &str);
    /// The server lists tools that differ from their contracts.
    fn quarantined(&self, observed: &Observed);
    /// Somebody needed a server, and it could be reached or not.
    fn reached(&self, server: &ServerName, yes: bool) {
        if !yes {
            self.notice(&format!("the server `{server}` could not be reached"));
        }
    }
}

/// One client and one server.
pub struct Session {
    monitor: Arc<Monitor>,
    clock: Arc<dyn Clock>,
    route: Route,
    to_client: Box<dyn Upstream>,
    to_server: Box<dyn Upstream>,
    observer: Arc<dyn Observer>,
    terms: Terms,
    state: Mutex<State>,
    changed: Condvar,
    /// Held by the one caller that asks the server for its tools; the others wait for the answer.
    asking: Mutex<()>,
    me: Weak<Self>,
}

/// What a session keeps to, besides judgements.
#[derive(Debug, Clone, Default)]
pub struct Terms {
    /// What nothing from the server may show.
    pub credentials: Arc<Credentials>,
    /// Whether other callers are behind the same credential there: what the server keeps for one of them it keeps for all.
    pub shared: bool,
    /// How long a held call may wait for its person while its client listens. Afterwards, and if this is nothing, the client
    /// is told that it is held.
    pub wait: Duration,
}

/// Obligations that a session can carry out.
pub const SUPPORTED: &[Obligation] = &[Obligation::WithholdOutput];

#[derive(Default)]
struct State {
    from_client: HashMap<String, Pending>,
    from_server: HashMap<String, Pending>,
    /// Requests that the client cancelled.
    cancelled: cancelled::Cancelled,
    /// Those of them whose output the agent must not see.
    quiet: BTreeSet<String>,
    /// Whether the server made a task of a call whose output the agent must not see: its result is fetched by another request.
    kept_task: bool,
    tools: listing::Tools,
    quarantined: BTreeSet<(ToolName, Pin)>,
    server_gone: bool,
    /// Whether a thread looks after the calls that wait for a person.
    attended: bool,
    noise: Noise,
}

/// What an operator was told of a server's nonsense lately.
#[derive(Default)]
struct Noise {
    since: Option<Instant>,
    told: u32,
    kept: u64,
}

/// Things that an operator is told of one server's nonsense within [`NOISE`]; the rest is counted.
const NOISE_MAX: u32 = 16;
const NOISE: Duration = Duration::from_secs(10);

impl Noise {
    /// The text to tell, with how many were kept back before it; `None` if this one is kept back, too.
    fn tell(&mut self, text: &str, now: Instant) -> Option<String> {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= NOISE) {
            self.since = Some(now);
            self.told = 0;
        }
        if self.told >= NOISE_MAX {
            self.kept = self.kept.saturating_add(1);
            return None;
        }
        self.told = self.told.saturating_add(1);
        match std::mem::take(&mut self.kept) {
            0 => Some(text.to_owned()),
            kept => Some(format!("{text} ({kept} more of this kind were not told)")),
        }
    }
}

impl State {
    /// Takes a request that was sent to the server. What waits for a person has not been, and no server answers it.
    fn sent(&mut self, id: &str) -> Option<Pending> {
        if matches!(self.from_client.get(id), Some(Pending::Held(_))) {
            return None;
        }
        self.from_client.remove(id)
    }
}

/// A request that waits for its answer.
enum Pending {
    /// The monitor permitted it.
    Judged { flight: InFlight, shape: Shape },
    /// The monitor holds it, and its client listens until a person has decided.
    Held(Box<waiting::Waiting>),
    /// The table let it pass.
    Passed,
    /// The handshake.
    Handshake,
    /// `tools/list`.
    ToolList(listing::Asked),
    /// refmon's own `tools/list`.
    OwnListing,
}

impl Session {
    /// Makes a session.
    #[must_use]
    pub fn new(
        monitor: Arc<Monitor>,
        clock: Arc<dyn Clock>,
        route: Route,
        to_client: Box<dyn Upstream>,
        to_server: Box<dyn Upstream>,
        observer: Arc<dyn Observer>,
        terms: Terms,
    ) -> Arc<Self> {
        let (state, changed, asking) = (Mutex::default(), Condvar::new(), Mutex::default());
        Arc::new_cyclic(|me| {
            let me = Weak::clone(me);
            Self { monitor, clock, route, to_client, to_server, observer, terms, state, changed, asking, me }
        })
    }

    /// Ends one request whose answer will not come, because the way to the server failed: the client is told, and
    /// what was permitted is recorded as indeterminate. Anything else is left alone.
    pub fn lost(&self, id: &Id) {
        let pending = {
            let mut state = self.state();
            state.cancelled.remove(&id.canonical);
            state.from_client.remove(&id.canonical)
        };
        match pending {
            Some(Pending::OwnListing) => self.own_listing_failed(),
            Some(pending) => self.unanswered(id, pending),
            None => {}
        }
    }

    /// The server's tool of this name, if a contract describes it.
    pub(crate) fn tool(&self, name: &str) -> Option<Arc<Tool>> {
        let operation = Operation::Tool(ToolName::parse(name).ok()?);
        self.monitor.bundle().tool(&self.route.server, &operation).cloned()
    }

    fn unanswered(&self, id: &Id, pending: Pending) {
        let text = if matches!(pending, Pending::Held(_)) {
            "the tool server ended while the call waited for a person; it has not run"
        } else {
            "the tool server ended before it answered; the call may or may not have run"
        };
        self.answer_client(Reply::protocol_error(Some(id), code::INTERNAL, text, None));
        if let Pending::Judged { flight, .. } = pending {
            self.abandon(flight, Cause::ServerGone);
        }
    }

    /// Ends the session: every call under way is recorded as indeterminate.
    pub fn end(&self, cause: Cause) {
        let mut state = self.state();
        state.server_gone = true;
        let mut pending: Vec<Pending> = state.from_client.drain().map(|(_, pending)| pending).collect();
        pending.extend(state.from_server.drain().map(|(_, pending)| pending));
        drop(state);
        self.changed.notify_all();
        for pending in pending {
            if let Pending::Judged { flight, .. } = pending {
                self.abandon(flight, cause);
            }
        }
    }

    /// Tells the client that the server is gone: every request under way is answered with an error, and what was
    /// permitted is recorded as indeterminate.
    pub fn server_gone(&self) {
        let mut state = self.state();
        state.server_gone = true;
        let pending: Vec<(String, Pending)> = state.from_client.drain().collect();
        drop(state);
        self.changed.notify_all();
        for (canonical, pending) in pending {
            let id = Id { spelled: canonical.clone().into_bytes(), canonical };
            if !matches!(pending, Pending::OwnListing) {
                self.unanswered(&id, pending);
            }
        }
    }

    /// Tells the operator of a server's nonsense: a server can write more of it than anybody reads, or a disk holds.
    fn nonsense(&self, text: &str) {
        let told = self.state().noise.tell(text, Instant::now());
        if let Some(text) = told {
            self.observer.notice(&text);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn abandon(&self, flight: InFlight, cause: Cause) {
        if let Err(fault) = self.monitor.abandon(flight, cause) {
            self.observer.notice(&format!("the end of a call could not be recorded: {fault}"));
        }
    }

    /// A reply that cannot be delivered has no one left to read it; the reader of that side sees its end.
    fn answer_client(&self, reply: Reply) {
        drop(self.to_client.send(Outbound::reply(reply)));
    }

    /// Denies what the door itself refuses, and records it.
    fn refuse(&self, ask: Ask, reason: ReasonCode, bytes: Vec<u8>) -> Denied {
        let listing = Arc::new(Listing::default());
        let proposal = Proposal::new(&self.route, ask, listing, bytes, 0..0, self.clock.now());
        self.monitor.refuse(proposal, reason)
    }

    /// Records what came back and gives it to whom it is for, or says that it is withheld.
    fn finish(&self, returned: Returned, read: Read, (shape, id): (Shape, &Id), to: &dyn Upstream) {
        let message = match self.monitor.finish(returned) {
            Outcome::Released(released) => Outbound::released(released).known(read),
            Outcome::Withheld(withheld) => Outbound::reply(Reply::withheld(shape, id, &withheld)),
        };
        drop(to.send(message));
    }

    fn has_room(&self, state: &State) -> bool {
        let under_way = state.from_client.len().saturating_add(state.from_server.len());
        under_way < limits::CALLS_IN_FLIGHT_MAX && !state.cancelled.is_full()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("server", &self.route.server).finish_non_exhaustive()
    }
}

fn untrusted(bytes: Vec<u8>) -> Untrusted<Vec<u8>> {
    Untrusted::new(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_servers_nonsense_an_operator_is_told_some_and_how_much_more_there_was() {
        let (mut noise, begun) = (Noise::default(), Instant::now());
        let told: Vec<_> = (0..1_000).filter_map(|_| noise.tell("x", begun)).collect();
        assert_eq!((told.len(), told.iter().all(|text| text == "x")), (NOISE_MAX as usize, true));
        let later = noise.tell("x", begun + NOISE).unwrap();
        assert!(later.contains(&(1_000 - u64::from(NOISE_MAX)).to_string()), "{later}");
        assert_eq!(noise.tell("x", begun + NOISE), Some("x".to_owned()));
    }
}
