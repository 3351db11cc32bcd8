//! Held calls whose client listens until a person has decided.
//!
//! A client that asks for progress (MCP, utilities, progress) can be kept waiting: it is told now and then that the call
//! waits, which also keeps its connection alive. When the hold is decided the very bytes that were held are judged again, and
//! run by the approval of that hold or not at all. A client that goes away, cancels, or ends its session takes its call back;
//! the hold stays, and the identical call can be sent again.

use std::io;
use std::ops::Range;
use std::sync::Weak;
use std::time::{Duration, Instant};

use refmon_core::ids::HoldId;
use refmon_core::json::Strictness;
use refmon_core::monitor::{Ask, Held};
use refmon_core::ports::Awaited;

use super::client::Call;
use super::{Pending, Session};
use crate::message::{Id, Message, is_identifier};
use crate::reply::{Reply, Shape};
use crate::upstream::Outbound;

/// How often it is looked whether a hold was decided.
const LOOK: Duration = Duration::from_secs(1);
/// How often the client is told that its call still waits. Clients give up after a minute without a word, or later.
const WORD: Duration = Duration::from_secs(15);

/// A call that may wait.
pub(super) struct Waiting {
    bytes: Vec<u8>,
    ask: Ask,
    range: Range<usize>,
    id: Id,
    shape: Shape,
    /// The client's progress token, as it was spelled.
    token: Vec<u8>,
    since: Instant,
    told: Instant,
    hold: Option<Held>,
}

impl Session {
    /// What is needed to keep a call for later, if its client listens and the terms allow it.
    pub(super) fn waiting(&self, call: &Call) -> Option<Waiting> {
        if self.terms.wait.is_zero() || call.message.span("_meta").is_empty() {
            return None;
        }
        let token = call.message.members("_meta").value("progressToken").filter(|token| is_identifier(token))?.to_vec();
        let Call { ask, message, range, id, shape, .. } = call;
        let (ask, range, id, since) = (ask.clone(), range.clone(), id.clone(), Instant::now());
        let bytes = message.bytes.clone();
        Some(Waiting { bytes, ask, range, id, shape: *shape, token, since, told: since, hold: None })
    }

    /// Keeps a held call while its client listens, or says that it is held.
    pub(super) fn hold(&self, waiting: Option<Waiting>, held: Held, shape: Shape, id: &Id) {
        let Some(waiting) = waiting else { return self.answer_client(Reply::held(shape, id, &held)) };
        self.say(&waiting.token, held.hold(), Duration::ZERO);
        let begin = {
            let mut state = self.state();
            let waiting = Waiting { hold: Some(held), ..waiting };
            state.from_client.insert(id.canonical.clone(), Pending::Held(Box::new(waiting)));
            !std::mem::replace(&mut state.attended, true)
        };
        if begin {
            let me = Weak::clone(&self.me);
            std::thread::spawn(move || {
                while let Some(session) = me.upgrade() {
                    if session.attend() == Attended::NothingLeft {
                        return;
                    }
                    drop(session);
                    std::thread::sleep(LOOK);
                }
            });
        }
    }

    /// Whether the request of this identifier waits for a person.
    pub(crate) fn is_held(&self, canonical: &str) -> bool {
        matches!(self.state().from_client.get(canonical), Some(Pending::Held(_)))
    }

    /// Looks once at every call that waits.
    fn attend(&self) -> Attended {
        let waiting: Vec<(String, HoldId)> = {
            let mut state = self.state();
            let held = state.from_client.iter().filter_map(|(id, pending)| match pending {
                Pending::Held(waiting) => Some((id.clone(), waiting.hold.as_ref()?.hold())),
                Pending::Judged { .. }
                | Pending::Passed
                | Pending::Handshake
                | Pending::ToolList(_)
                | Pending::OwnListing => None,
            });
            let held: Vec<_> = held.collect();
            state.attended = !held.is_empty();
            held
        };
        if waiting.is_empty() {
            return Attended::NothingLeft;
        }
        for (id, hold) in waiting {
            let pending = self.monitor.awaited(&self.route.caller, hold) == Awaited::Pending;
            let found = if pending { self.pass_time(&id, hold) } else { self.take_held(&id, hold) };
            match found {
                Some((waiting, Some(held))) if pending => {
                    self.answer_client(Reply::held(waiting.shape, &waiting.id, &held));
                }
                // An error of the stream to the server ends the session elsewhere.
                Some((waiting, _)) => drop(self.go_on(waiting, hold)),
                None => {}
            }
        }
        Attended::SomeWait
    }

    /// Tells the client that its call still waits, when it is time; gives the call back when it has waited long enough.
    fn pass_time(&self, id: &str, hold: HoldId) -> Option<(Waiting, Option<Held>)> {
        let now = Instant::now();
        let mut state = self.state();
        let Some(Pending::Held(waiting)) = state.from_client.get_mut(id) else { return None };
        let waited = now.saturating_duration_since(waiting.since);
        if waited >= self.terms.wait {
            drop(state);
            return self.take_held(id, hold);
        }
        if now.saturating_duration_since(waiting.told) >= WORD {
            waiting.told = now;
            let token = waiting.token.clone();
            drop(state);
            self.say(&token, hold, waited);
        }
        None
    }

    /// Takes a call that waits for this hold, so that nobody else goes on with it.
    fn take_held(&self, id: &str, hold: HoldId) -> Option<(Waiting, Option<Held>)> {
        let mut state = self.state();
        let same = |waiting: &Waiting| waiting.hold.as_ref().is_some_and(|held| held.hold() == hold);
        if !matches!(state.from_client.get(id), Some(Pending::Held(waiting)) if same(waiting)) {
            return None;
        }
        let Some(Pending::Held(mut waiting)) = state.from_client.remove(id) else { return None };
        let held = waiting.hold.take();
        Some((*waiting, held))
    }

    /// Judges a call again whose hold was decided.
    fn go_on(&self, waiting: Waiting, hold: HoldId) -> io::Result<()> {
        let Waiting { bytes, ask, range, id, shape, .. } = waiting;
        let Ok(message) = Message::parse(bytes, Strictness::Request) else { return Ok(()) };
        self.judge(Call { ask, message, range, id, shape, arrived: self.clock.now() }, Some(hold))
    }

    fn say(&self, token: &[u8], hold: HoldId, waited: Duration) {
        drop(self.to_client.send(Outbound::reply(Reply::waits(token, hold, waited.as_secs()))));
    }
}

/// What looking at the calls that wait has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attended {
    SomeWait,
    NothingLeft,
}
