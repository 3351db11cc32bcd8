//! The states of a call, as types. Each is made by the step before it and consumed by the step after it; none
//! can be copied, defaulted, parsed or built outside of the monitor.

use std::ops::Range;
use std::sync::Arc;

use super::judge::{Ask, Judgement};
use crate::bundle::Listing;
use crate::caller::Caller;
use crate::decision::Obligation;
use crate::ids::{CallId, HoldId, ServerName, TrajectoryId};
use crate::ports::Moment;
use crate::reason::ReasonCode;
use crate::record::{Door, Status};
use crate::untrusted::Untrusted;

/// What a door hands over: who asks, for what, and the bytes that would be sent.
///
/// The arguments are a range of the message itself. So what is judged is, byte for byte, what is sent.
#[derive(Debug)]
pub struct Proposal {
    pub(super) door: Door,
    pub(super) caller: Arc<Caller>,
    pub(super) trajectory: TrajectoryId,
    pub(super) server: ServerName,
    pub(super) ask: Ask,
    pub(super) listing: Arc<Listing>,
    pub(super) supported: &'static [Obligation],
    pub(super) arrived: Moment,
    pub(super) message: Untrusted<Vec<u8>>,
    arguments: Range<usize>,
    pub(super) beside: String,
}

/// Where a call comes from and goes to: the same for all calls of one session.
#[derive(Debug, Clone)]
pub struct Route {
    /// The door.
    pub door: Door,
    /// Who asks.
    pub caller: Arc<Caller>,
    /// The run of the agent.
    pub trajectory: TrajectoryId,
    /// The server.
    pub server: ServerName,
    /// Obligations that the door can carry out.
    pub supported: &'static [Obligation],
}

impl Proposal {
    /// Makes a proposal. `arguments` is the range of `message` that holds the arguments; an empty range stands
    /// for absent arguments, and so does a range outside of the message.
    #[must_use]
    pub fn new(
        route: &Route,
        ask: Ask,
        listing: Arc<Listing>,
        message: Vec<u8>,
        arguments: Range<usize>,
        arrived: Moment,
    ) -> Self {
        Self {
            door: route.door,
            caller: Arc::clone(&route.caller),
            trajectory: route.trajectory,
            server: route.server.clone(),
            ask,
            listing,
            supported: route.supported,
            arrived,
            message: Untrusted::new(message),
            arguments,
            beside: String::new(),
        }
    }

    /// Says what else of the message the server could act on, as text that is the same for the same content. It is not
    /// judged, but shown to the person who approves, and an approval is for this content only.
    #[must_use]
    pub fn beside(mut self, beside: String) -> Self {
        self.beside = beside;
        self
    }

    pub(super) fn arguments(&self) -> &[u8] {
        self.message.open().get(self.arguments.clone()).unwrap_or_default()
    }
}

/// The monitor's answer.
#[derive(Debug)]
#[must_use = "a verdict that is not looked at is a call that is not mediated"]
pub enum Verdict {
    /// The call may run.
    Permit(Authorized),
    /// A person decides.
    Hold(Held),
    /// The call does not run.
    Deny(Denied),
}

/// A permitted call, with the bytes that were judged. The only thing that an upstream accepts.
#[derive(Debug)]
#[must_use = "a permit that is not used leaves an attempt open"]
pub struct Authorized {
    pub(super) flight: InFlight,
    pub(super) message: Untrusted<Vec<u8>>,
    pub(super) reason: ReasonCode,
    pub(super) obligations: Vec<Obligation>,
}

impl Authorized {
    /// The call.
    #[must_use]
    pub const fn call(&self) -> CallId {
        self.flight.call
    }

    /// Why it may run.
    #[must_use]
    pub const fn reason(&self) -> ReasonCode {
        self.reason
    }

    /// What must be done with the result.
    #[must_use]
    pub fn obligations(&self) -> &[Obligation] {
        &self.obligations
    }

    /// Uses the permit up: the bytes to send, as they were judged, and the obligation to say what came back.
    pub fn dispatch(self) -> (Untrusted<Vec<u8>>, InFlight) {
        (self.message, self.flight)
    }
}

/// A call under way. It ends in [`Returned`] or in [`super::Monitor::abandon`].
#[derive(Debug)]
#[must_use = "a call under way must be finished or abandoned"]
pub struct InFlight {
    pub(super) call: CallId,
    pub(super) permitted: Moment,
    pub(super) side_effects: bool,
    pub(super) withhold: bool,
    pub(super) caller: Arc<Caller>,
}

impl InFlight {
    /// Whether the agent must not see what comes back.
    #[must_use]
    pub const fn withholds(&self) -> bool {
        self.withhold
    }

    /// The call.
    #[must_use]
    pub const fn call(&self) -> CallId {
        self.call
    }

    /// What came back.
    pub const fn returned(self, message: Untrusted<Vec<u8>>, status: Status) -> Returned {
        Returned { flight: self, status, message: Some(message) }
    }

    /// The agent gave the call up before anything came back. It may have run.
    pub const fn cancelled(self) -> Returned {
        Returned { flight: self, status: Status::Cancelled, message: None }
    }
}

/// What came back, not yet recorded and not yet to be shown.
#[derive(Debug)]
#[must_use = "what came back must be recorded"]
pub struct Returned {
    pub(super) flight: InFlight,
    pub(super) status: Status,
    pub(super) message: Option<Untrusted<Vec<u8>>>,
}

impl Returned {
    /// The same, but not to be shown: what came back asks for something that was refused.
    pub const fn withheld(mut self) -> Self {
        self.flight.withhold = true;
        self
    }
}

/// How a call ended for the agent.
#[derive(Debug)]
#[must_use = "the agent waits for an answer"]
pub enum Outcome {
    /// The agent gets what came back.
    Released(Released),
    /// The agent does not.
    Withheld(Withheld),
}

/// What came back, recorded, for the agent to see.
#[derive(Debug)]
pub struct Released {
    pub(super) call: CallId,
    pub(super) message: Untrusted<Vec<u8>>,
}

impl Released {
    /// The call.
    #[must_use]
    pub const fn call(&self) -> CallId {
        self.call
    }

    /// The bytes for the agent, as they came.
    #[must_use]
    pub fn into_message(self) -> Untrusted<Vec<u8>> {
        self.message
    }
}

/// A call that ran, whose result the agent does not get.
#[derive(Debug)]
pub struct Withheld {
    pub(super) call: CallId,
    pub(super) status: Status,
    pub(super) reason: ReasonCode,
}

impl Withheld {
    /// The call.
    #[must_use]
    pub const fn call(&self) -> CallId {
        self.call
    }

    /// How it ended.
    #[must_use]
    pub const fn status(&self) -> Status {
        self.status
    }

    /// [`ReasonCode::AuditUnavailable`] if its end could not be recorded.
    #[must_use]
    pub const fn reason(&self) -> ReasonCode {
        self.reason
    }
}

/// A call that waits for a person.
#[derive(Debug)]
pub struct Held {
    pub(super) call: CallId,
    pub(super) hold: HoldId,
    pub(super) judgement: Judgement,
    pub(super) message: Untrusted<Vec<u8>>,
}

impl Held {
    /// The attempt.
    #[must_use]
    pub const fn call(&self) -> CallId {
        self.call
    }

    /// The bytes that were judged, for whoever keeps the call until it is decided. They are no permit to send them.
    #[must_use]
    pub const fn message(&self) -> &Untrusted<Vec<u8>> {
        &self.message
    }

    /// The same, when nothing else of the hold is needed any more.
    #[must_use]
    pub fn into_message(self) -> Untrusted<Vec<u8>> {
        self.message
    }

    /// The hold to approve.
    #[must_use]
    pub const fn hold(&self) -> HoldId {
        self.hold
    }

    /// What was decided, and why.
    #[must_use]
    pub const fn judgement(&self) -> &Judgement {
        &self.judgement
    }
}

/// A call that does not run.
#[derive(Debug)]
pub struct Denied {
    pub(super) call: Option<CallId>,
    pub(super) judgement: Judgement,
}

impl Denied {
    /// A denial that could not be recorded. Its reason says so, and nothing else is told.
    pub(super) fn unrecorded(judgement: Judgement) -> Self {
        Self { call: None, judgement: judgement.refused(ReasonCode::AuditUnavailable) }
    }

    /// The attempt; `None` if it could not be recorded.
    #[must_use]
    pub const fn call(&self) -> Option<CallId> {
        self.call
    }

    /// What was decided, and why.
    #[must_use]
    pub const fn judgement(&self) -> &Judgement {
        &self.judgement
    }
}
