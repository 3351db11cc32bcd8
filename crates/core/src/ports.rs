//! The ports: what the core needs from the outside, each a small trait.
//!
//! An adapter answers or says why it cannot ([`Fault`]); the monitor turns every fault into a denial. No port
//! can permit a call.

use std::error::Error;
use std::fmt;

use crate::bundle::Tool;
use crate::caller::Caller;
use crate::contract::{Contract, Kind};
use crate::decision::{Grants, Objection, Ruling, Veto};
use crate::digest::Binding;
use crate::facts::Facts;
use crate::hold::HoldState;
use crate::ids::{ApprovalKind, GrantId, HoldId, Scope, SubjectHandle, TrajectoryId};
use crate::json::Json;
use crate::reason::ReasonCode;
use crate::record::{Commitment, Door, Record};

/// The answer could not be found out. It becomes a denial, never a permit.
#[derive(Debug)]
pub enum Fault {
    /// Something that we depend on failed.
    Unavailable {
        /// What failed, in a few words of ours.
        what: &'static str,
        /// The cause, for the operator only.
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// One of our own invariants is false. The monitor keeps denying.
    Breach(&'static str),
}

impl Fault {
    /// Something failed, without a further cause.
    #[must_use]
    pub const fn unavailable(what: &'static str) -> Self {
        Self::Unavailable { what, source: None }
    }

    /// Something failed, because of an error.
    pub fn caused(what: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unavailable { what, source: Some(source.into()) }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable { what, .. } => write!(f, "{what} is unavailable"),
            Self::Breach(what) => write!(f, "an invariant is broken: {what}"),
        }
    }
}

impl Error for Fault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unavailable { source, .. } => source.as_ref().map(|source| source.as_ref() as _),
            Self::Breach(_) => None,
        }
    }
}

/// A point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Moment {
    /// Microseconds since the Unix epoch, by the wall clock.
    pub unix_us: u64,
    /// Nanoseconds of a clock that only goes forward, from an arbitrary start.
    pub monotonic_ns: u64,
}

impl Moment {
    /// Microseconds from an earlier moment, by the monotonic clock.
    #[must_use]
    pub const fn micros_since(self, earlier: Self) -> u64 {
        self.monotonic_ns.saturating_sub(earlier.monotonic_ns) / 1_000
    }
}

/// Time.
pub trait Clock: Send + Sync {
    /// The present moment.
    fn now(&self) -> Moment;
}

/// Randomness fit for keys.
pub trait Entropy: Send + Sync {
    /// Fills the buffer.
    ///
    /// # Errors
    /// A fault if the operating system gives none.
    fn fill(&self, buffer: &mut [u8]) -> Result<(), Fault>;
}

/// Whether [`Journal::append`] waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Until the record survives a power cut.
    Durable,
    /// Not at all: the record is durable within 10 ms, or the journal becomes unhealthy.
    Queued,
}

/// The journal: evidence, durable before the tool runs.
pub trait Journal: Send + Sync {
    /// Appends a record. On `Ok` with [`Wait::Durable`] the record is on stable storage.
    ///
    /// # Errors
    /// A fault if the record may not be durable. The caller denies.
    fn append(&self, record: &Record, wait: Wait) -> Result<(), Fault>;
}

/// Keyed commitments to arguments and results, and handles for persons, so that evidence holds neither.
pub trait Commitments: Send + Sync {
    /// The random handle of the caller's user within the tenant: the same each time, until erased.
    ///
    /// # Errors
    /// A fault if the key store does not answer.
    fn subject(&self, caller: &Caller) -> Result<SubjectHandle, Fault>;

    /// Commits to bytes under the subject's key with a fresh salt: whoever lacks the key learns nothing, not even
    /// by guessing.
    ///
    /// # Errors
    /// A fault if the key store does not answer.
    fn commit(&self, caller: &Caller, bytes: &[u8]) -> Result<Commitment, Fault>;
}

/// What an approval is asked for, and what the person who decides is shown.
#[derive(Debug)]
pub struct HoldRequest<'a> {
    /// The identifier that a new hold gets.
    pub id: HoldId,
    /// All that the approval will be bound to.
    pub binding: Binding,
    /// The approvals that are needed, all of them.
    pub approvals: &'a [ApprovalKind],
    /// How many people must approve.
    pub approvers: u8,
    /// What the tool is: its server, name and effects.
    pub contract: &'a Contract,
    /// The operation, as `server/operation@version`.
    pub action: &'a str,
    /// The canonical arguments, shown to the person who decides and wiped afterwards.
    pub arguments: &'a str,
    /// Why the call is held.
    pub explanation: &'a str,
    /// The reason code.
    pub reason: ReasonCode,
    /// What the call is aimed at, as far as its facts say.
    pub targets: &'a [String],
    /// The door.
    pub door: Door,
    /// The run of the agent.
    pub trajectory: TrajectoryId,
    /// When it is asked.
    pub now: Moment,
}

/// An approval for exactly one binding, not spent yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// The hold that was approved.
    pub hold: HoldId,
    /// What was approved.
    pub approvals: Vec<ApprovalKind>,
    /// By how many people.
    pub approvers: u8,
}

/// What became of a call that should wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placed {
    /// It waits in this hold.
    Waits(HoldId),
    /// A person has denied this very call, in this hold, which is not over.
    Denied(HoldId),
    /// There is no room: too many calls of this person or of the tenant wait.
    Full,
}

/// Holds and their approvals, per tenant.
pub trait Holds: Send + Sync {
    /// Finds an approval for this binding of this caller that is decided, not expired and not spent.
    ///
    /// # Errors
    /// A fault if the store does not answer.
    fn approved(&self, caller: &Caller, binding: &Binding, now: Moment) -> Result<Option<Approval>, Fault>;

    /// Stores a hold, or finds the one of the same binding that waits already or was denied and is not over.
    ///
    /// # Errors
    /// A fault if the store does not answer.
    fn place(&self, caller: &Caller, request: &HoldRequest<'_>) -> Result<Placed, Fault>;

    /// The state of a hold of the caller's tenant at this moment; `None` if there is no such hold.
    ///
    /// # Errors
    /// A fault if the store does not answer.
    fn state(&self, caller: &Caller, hold: HoldId, now: Moment) -> Result<Option<HoldState>, Fault>;

    /// Spends an approval: `true` for one caller only, `false` if it is gone.
    ///
    /// # Errors
    /// A fault if the store does not answer; the approval may be spent then.
    fn spend(&self, caller: &Caller, approval: &Approval, now: Moment) -> Result<bool, Fault>;
}

/// Scopes that a person gave a caller for a time, which has begun and is not over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeGrant {
    /// The grant.
    pub id: GrantId,
    /// What it adds to the scopes of the credential.
    pub scopes: Vec<Scope>,
}

/// Grants of scopes, per tenant. They can add scopes and nothing else: who the caller is, and what policy forbids,
/// stays.
pub trait ScopeGrants: Send + Sync {
    /// The grants of this caller that are in force at this moment.
    ///
    /// # Errors
    /// A fault if the store does not answer. The call is denied, even if it would need no grant.
    fn in_force(&self, caller: &Caller, now: Moment) -> Result<Vec<ScopeGrant>, Fault>;
}

/// No grants, for judgements of what a credential alone may do.
#[derive(Debug, Clone, Copy)]
pub struct NoGrants;

impl ScopeGrants for NoGrants {
    fn in_force(&self, _: &Caller, _: Moment) -> Result<Vec<ScopeGrant>, Fault> {
        Ok(Vec::new())
    }
}

/// A path as the file system sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// Absolute, without `.`, `..` and symbolic links in the part that exists.
    pub canonical: String,
    /// The index of the root that contains it, by identity of folders (device and inode), not by spelling.
    pub root: Option<usize>,
    /// Whether something is there now.
    pub exists: bool,
    /// Whether it is one of refmon's own files, or in one of its folders. No contract can allow that.
    pub guarded: bool,
    /// Whether one of refmon's own files lies below it, so that whoever moves or removes it moves or removes that; or it is what
    /// refmon starts as a tool server. It may be read, and not changed.
    pub encloses: bool,
    /// Whether the way there leads through what is another thing to each process: `/proc/self`, `/dev/stdin`.
    pub personal: bool,
}

/// The file system, as far as judging a path needs it.
pub trait Files: Send + Sync {
    /// Resolves an absolute path against roots. The part that exists is resolved through symbolic links; the
    /// rest must be plain names.
    ///
    /// # Errors
    /// A fault if the path cannot be resolved (a loop, a folder that cannot be read, a name of a missing folder's
    /// parent).
    fn locate(&self, absolute: &str, roots: &[std::path::PathBuf]) -> Result<Location, Fault>;
}

/// The policy.
pub trait Policy: Send + Sync {
    /// Rules on a call. An error while evaluating is a denial, not an absent policy.
    fn rule(&self, question: &Question<'_>) -> Ruling;

    /// Whether some call of this tool by this caller could be permitted, at once or after an approval. Used to
    /// hide tools; it may err towards `true`, never towards `false`.
    fn conceivable(&self, caller: &Caller, tool: &Tool) -> bool;
}

/// What the policy is asked.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// For what.
    pub tool: &'a Tool,
    /// With what meaning of the arguments.
    pub facts: &'a Facts,
    /// The arguments themselves, validated against the schema.
    pub arguments: &'a Json<'a>,
    /// With which verified approvals.
    pub granted: &'a Grants,
    /// When.
    pub now: Moment,
}

/// A tool's compiled JSON Schema.
pub trait ArgumentSchema: Send + Sync {
    /// Checks arguments.
    ///
    /// # Errors
    /// Where the first mismatch is and what was expected there, without the value.
    fn check(&self, arguments: &Json<'_>) -> Result<(), Mismatch>;
}

/// How [`Mismatch::expected`] begins if a property is not declared. The monitor has a reason code of its own for it.
pub const UNDECLARED: &str = "no undeclared property";

/// Where arguments do not fit their schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// A JSON pointer (RFC 6901) into the arguments.
    pub pointer: String,
    /// What was expected there, in words of the schema, without the value.
    pub expected: String,
}

/// An inspector of calls: it may object, it cannot consent.
///
/// A judgement asks it more often than calls run (`refmon check` judges, and an approved call is judged twice), so
/// [`Inspector::examine`] must leave nothing behind. What a call uses up is taken in [`Inspector::take`].
pub trait Inspector: Send + Sync {
    /// Looks at who asks, before anything else is looked at. A veto here outranks every other reason.
    fn preclude(&self, _caller: &Caller, _now: Moment) -> Option<Veto> {
        None
    }

    /// Looks at a call that policy did not deny.
    fn examine(&self, question: &Question<'_>) -> Option<Objection>;

    /// Takes what a call uses up. The monitor asks once for each call, when nothing but the record stands between
    /// the call and its permit. What was taken stays taken, even if the call is then denied.
    ///
    /// # Errors
    /// A veto if there is not enough left. Of two calls that ask at the same time for the last of it, one gets it.
    fn take(&self, _call: &Imminent<'_>) -> Result<(), Veto> {
        Ok(())
    }
}

/// A call that is about to be permitted.
#[derive(Debug, Clone, Copy)]
pub struct Imminent<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// For what.
    pub tool: &'a Tool,
    /// With what meaning of the arguments.
    pub facts: &'a Facts,
    /// The size of the canonical arguments.
    pub argument_bytes: usize,
    /// When.
    pub now: Moment,
}

/// Names the kind in errors.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
