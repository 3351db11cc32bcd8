//! Records: what the journal keeps of every attempt.
//!
//! A record holds no argument, no result and no direct personal data: the person is a random handle
//! ([`SubjectHandle`]), arguments and results are keyed, salted commitments ([`Commitment`]). An [`Attempt`] is
//! durable before the tool runs; exactly one [`Completion`] or [`Indeterminate`] follows for each permitted one.
//! The encoding (deterministic CBOR) is `docs/reference/record.cddl`, implemented in `refmon-audit`.

use crate::caller::IdentityKind;
use crate::decision::{Decision, Obligation};
use crate::digest::{BundleDigest, Pin};
use crate::ids::{
    AgentId, ApprovalKind, CallId, GrantId, HoldId, Operation, PolicyId, Scope, ServerName, SubjectHandle, TenantId,
    ToolName, TrajectoryId,
};
use crate::ports::Moment;
use crate::reason::ReasonCode;

pub use crate::door::{Door, EnforcedBy};

/// HMAC-SHA-256 (RFC 2104) under a per-subject key over a random salt and the bytes committed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commitment {
    /// The salt, fresh for each commitment.
    pub salt: [u8; 16],
    /// The HMAC.
    pub mac: [u8; 32],
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A call was asked for, and decided.
    Attempt(Box<Attempt>),
    /// A permitted call came back.
    Completion(Completion),
    /// A permitted call never came back: it may have run, wholly, in part or not at all.
    Indeterminate(Indeterminate),
    /// A person or the clock decided on a hold.
    Resolution(Resolution),
    /// Something happened to the monitor itself.
    Notice(Notice),
    /// A person changed what callers of a tenant may do.
    Act(Box<Act>),
}

/// The host that named the caller of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asserter {
    /// The host's user, by handle.
    pub subject: SubjectHandle,
    /// The host's agent.
    pub agent: AgentId,
    /// How the host was authenticated.
    pub identity: IdentityKind,
}

/// What was asked for: as the contract names it, or as the agent spelled it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// An operation that the bundle knows.
    Known {
        /// The operation.
        operation: Operation,
        /// The version of its contract.
        version: u32,
        /// The pin of its definition.
        pin: Option<Pin>,
    },
    /// A tool that no contract describes, by a name that is an identifier.
    Unknown(ToolName),
    /// Something without a usable name. Its text is not recorded.
    Unnameable,
}

/// A call was asked for, and decided. Durable before anything else happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The call.
    pub call: CallId,
    /// When it arrived.
    pub at: Moment,
    /// The tenant.
    pub tenant: TenantId,
    /// The person, by handle.
    pub subject: SubjectHandle,
    /// How the caller was authenticated.
    pub identity: IdentityKind,
    /// The agent.
    pub agent: AgentId,
    /// The run of the agent.
    pub trajectory: TrajectoryId,
    /// The door.
    pub door: Door,
    /// The server.
    pub server: ServerName,
    /// What was asked for.
    pub asked: Asked,
    /// The decision.
    pub decision: Decision,
    /// Its reason.
    pub reason: ReasonCode,
    /// The policies that determined it.
    pub policies: Vec<PolicyId>,
    /// The approvals that are missing (a hold) or were used (an approved call).
    pub approvals: Vec<ApprovalKind>,
    /// What must be done with the result.
    pub obligations: Vec<Obligation>,
    /// The bundle in force.
    pub bundle: BundleDigest,
    /// The hold that the attempt made or was approved by.
    pub hold: Option<HoldId>,
    /// The commitment to the canonical arguments; `None` if they have no canonical form.
    pub arguments: Option<Commitment>,
    /// Their size as sent, in bytes.
    pub argument_bytes: u64,
    /// The names of the top-level arguments that the contract or the schema declares.
    pub argument_names: Vec<String>,
    /// Microseconds from arrival to the decision.
    pub decide_us: u64,
    /// The grants whose scopes the caller had beside those of the credential.
    pub grants: Vec<GrantId>,
    /// The host that named this caller; `None` if the caller brought a credential of its own.
    pub asserted_by: Option<Asserter>,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// The tool answered.
    Ok,
    /// The tool answered that it failed.
    ToolError,
    /// The server answered with a protocol error.
    ProtocolError,
    /// The agent cancelled the call before an answer came.
    Cancelled,
    /// The server asks for more input before it goes on (MCP `input_required`).
    InputRequired,
    /// The answer could not be read.
    Malformed,
}

impl Status {
    /// The status's name in records and output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ToolError => "tool-error",
            Self::ProtocolError => "protocol-error",
            Self::Cancelled => "cancelled",
            Self::InputRequired => "input-required",
            Self::Malformed => "malformed",
        }
    }
}

/// A permitted call came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// The call.
    pub call: CallId,
    /// When.
    pub at: Moment,
    /// The tenant.
    pub tenant: TenantId,
    /// How it ended.
    pub status: Status,
    /// Whether the agent was given the result.
    pub released: bool,
    /// The commitment to the result as sent.
    pub result: Option<Commitment>,
    /// Its size as sent, in bytes.
    pub result_bytes: u64,
    /// Microseconds from the permit to the answer.
    pub execute_us: u64,
}

/// Why nobody knows how a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The monitor stopped in between; found when the journal was next opened.
    Crash,
    /// The server ended or closed its output.
    ServerGone,
    /// The session with the agent ended.
    SessionEnded,
    /// The call could not be handed to the server whole.
    NotSent,
    /// The call ran elsewhere, if it ran, and nobody said how it ended.
    NotReported,
}

impl Cause {
    /// The cause's name in records and output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::ServerGone => "server-gone",
            Self::SessionEnded => "session-ended",
            Self::NotSent => "not-sent",
            Self::NotReported => "not-reported",
        }
    }
}

/// A permitted call never came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Indeterminate {
    /// The call.
    pub call: CallId,
    /// When that was found.
    pub at: Moment,
    /// The tenant.
    pub tenant: TenantId,
    /// Why.
    pub cause: Cause,
}

/// How a hold ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Resolved {
    /// A person approved it. It may run once as many people as are needed have.
    Approved,
    /// A person denied it.
    Denied,
}

impl Resolved {
    /// The name in records and output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Denied => "denied",
        }
    }
}

/// A person decided on a hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// The hold.
    pub hold: HoldId,
    /// When.
    pub at: Moment,
    /// The tenant.
    pub tenant: TenantId,
    /// How.
    pub resolved: Resolved,
    /// Who decided, by handle.
    pub by: SubjectHandle,
    /// Whether the one who approved is the one who asked (possible at the machine only).
    pub self_approved: bool,
    /// As what, and as which of how many; `None` in records from before that was written down.
    pub share: Option<Share>,
}

/// One person's part in a decision on a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// How the person was authenticated.
    pub identity: IdentityKind,
    /// Which approval this is, from 1; of a denial, which it would have been.
    pub number: u8,
    /// How many are needed.
    pub needed: u8,
}

/// A person changed what callers of a tenant may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// When.
    pub at: Moment,
    /// The tenant.
    pub tenant: TenantId,
    /// Who, by handle.
    pub by: SubjectHandle,
    /// How that person was authenticated.
    pub identity: IdentityKind,
    /// What was done.
    pub deed: Deed,
}

/// What a person did for a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// Gave scopes for a time.
    Granted {
        /// The grant.
        grant: GrantId,
        /// To whom, by handle.
        to: SubjectHandle,
        /// Through which agent only; any if there is none.
        agent: Option<AgentId>,
        /// The scopes.
        scopes: Vec<Scope>,
        /// The end, in microseconds since the Unix epoch.
        until_us: u64,
        /// The commitment to the reason, whose text is kept with the grant.
        reason: Commitment,
    },
    /// Took a grant back before its end.
    Revoked {
        /// The grant.
        grant: GrantId,
    },
    /// Halted the tenant's calls.
    Halted,
    /// Ended the tenant's halt.
    Resumed,
}

/// Something happened to the monitor itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// When.
    pub at: Moment,
    /// What.
    pub event: Event,
}

/// What happened to the monitor itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It started, with this bundle.
    Started(BundleDigest),
    /// It stopped in order.
    Stopped,
    /// A journal that was not closed in order was closed: this many attempts were open, and a torn tail of this
    /// many bytes was cut.
    Recovered {
        /// Attempts that became indeterminate.
        open: u64,
        /// Bytes after the last whole batch.
        torn_bytes: u64,
    },
    /// A new bundle is in force.
    Activated(BundleDigest),
    /// A new bundle was refused; this one stays in force.
    Refused(BundleDigest),
    /// A tool's definition is not the one its contract was made for.
    Quarantined {
        /// The server.
        server: ServerName,
        /// The tool.
        tool: ToolName,
    },
    /// A person halted all calls.
    Halted {
        /// Who, by handle.
        by: SubjectHandle,
    },
    /// A person ended the halt.
    Resumed {
        /// Who, by handle.
        by: SubjectHandle,
    },
}
