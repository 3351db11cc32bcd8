//! Held calls whose client listens until a person has decided.
//!
//! A client that asks for progress (MCP, utilities, progress) can be kept waiting: it is told now and then that the call
//! waits, which also keeps its connection alive. When the hold is decided the very bytes that were held are judged again, and
//! run by the approval of that hold or not at all. A client that goes away, cancels, or ends its session takes its call back;
//! the hold stays, and the identical call can be sent again.

use std::ops::Range;
use std::sync::Weak;
use std::time::{Duration, Instant};

use refmon_core::hold::HoldState;
use refmon_core::ids::HoldId;
use refmon_core::json::Strictness;
use refmon_core::monitor::{Ask, Held};

use super::client::Call;
use super::{Pending, Session, State};
use crate::message::{Id, Message, is_identifier};
use crate::reply::{Reply, Shape};
use crate::upstream::Outbound;

/// How often it is looked whether a hold was decided.
const LOOK: Duration = Duration::from_secs(1);
/// How often the client is told that its call still waits. Clients give up after a minute without a word, or later.
const WORD: Duration = Duration::from_secs(15);

/// A call that waits.
pub(super) struct Waiting {
    /// The hold, with the bytes that were judged; `None` once it was decided, while the call is judged again under its identifier.
    held: Option<Held>,
    ask: Ask,
    range: Range<usize>,
    id: Id,
    shape: Shape,
    /// The client's progress token, as it was spelled.
    token: Vec<u8>,
    since: Instant,
    told: Instant,
}

impl Session {
    /// Keeps a held call if its client listens and the terms allow it, or says that it is held.
    pub(super) fn hold(&self, held: Held, (ask, range): (Ask, Range<usize>), shape: Shape, id: &Id) {
        let Some(token) = self.token(&held) else { return self.answer_client(Reply::held(shape, id, &held)) };
        self.say(&token, held.hold(), Duration::ZERO);
        let (canonical, since) = (id.canonical.clone(), Instant::now());
        let waiting = Waiting { held: Some(held), ask, range, id: id.clone(), shape, token, since, told: since };
        let begin = {
            let mut state = self.state();
            state.from_client.insert(canonical, Pending::Held(Box::new(waiting)));
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

    /// The progress token of a client that may be kept waiting.
    fn token(&self, held: &Held) -> Option<Vec<u8>> {
        if self.terms.wait.is_zero() {
            return None;
        }
        let message = Message::parse(held.message().open().clone(), Strictness::Request).ok()?;
        message.members("_meta").value("progressToken").filter(|token| is_identifier(token)).map(<[u8]>::to_vec)
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
                Pending::Held(waiting) => Some((id.clone(), waiting.held.as_ref()?.hold())),
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
            if self.monitor.hold_state(&self.route.caller, hold) == Some(HoldState::Pending) {
                self.pass_time(&id, hold);
            } else {
                self.go_on(&id, hold);
            }
        }
        Attended::SomeWait
    }

    /// Tells the client that its call still waits, when it is time; gives the call back when it has waited long enough.
    fn pass_time(&self, id: &str, hold: HoldId) {
        let now = Instant::now();
        let mut state = self.state();
        let Some(waiting) = state.waiting(id, hold) else { return };
        let waited = now.saturating_duration_since(waiting.since);
        if waited >= self.terms.wait {
            let (shape, id, held) = (waiting.shape, waiting.id.clone(), waiting.held.take());
            state.from_client.remove(&id.canonical);
            drop(state);
            if let Some(held) = held {
                self.answer_client(Reply::held(shape, &id, &held));
            }
        } else if now.saturating_duration_since(waiting.told) >= WORD {
            waiting.told = now;
            let token = waiting.token.clone();
            drop(state);
            self.say(&token, hold, waited);
        }
    }

    /// Judges a call again whose hold was decided. Its identifier stays taken meanwhile.
    fn go_on(&self, id: &str, hold: HoldId) {
        let call = {
            let mut state = self.state();
            let Some(waiting) = state.waiting(id, hold) else { return };
            let Some(held) = waiting.held.take() else { return };
            let message = Message::parse(held.into_message().into_open(), Strictness::Request);
            message.ok().map(|message| Call {
                ask: waiting.ask.clone(),
                message,
                range: waiting.range.clone(),
                id: waiting.id.clone(),
                shape: waiting.shape,
                arrived: self.clock.now(),
            })
        };
        // An error of the stream to the server ends the session elsewhere.
        drop(call.map(|call| self.judge(call, Some(hold))));
        let mut state = self.state();
        if matches!(state.from_client.get(id), Some(Pending::Held(waiting)) if waiting.held.is_none()) {
            state.from_client.remove(id);
        }
    }

    fn say(&self, token: &[u8], hold: HoldId, waited: Duration) {
        drop(self.to_client.send(Outbound::reply(Reply::waits(token, hold, waited.as_secs()))));
    }
}

impl State {
    /// A call that waits for this hold.
    fn waiting(&mut self, id: &str, hold: HoldId) -> Option<&mut Waiting> {
        let Some(Pending::Held(waiting)) = self.from_client.get_mut(id) else { return None };
        waiting.held.as_ref().is_some_and(|held| held.hold() == hold).then_some(waiting)
    }
}

/// What looking at the calls that wait has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attended {
    SomeWait,
    NothingLeft,
}
