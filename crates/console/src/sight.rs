//! What pages show, as plain data, and the port that it comes from.
//!
//! Strings here may be a stranger's. Pages show them through `text` only.

use std::collections::BTreeMap;

use refmon_core::caller::Caller;
use refmon_core::contract::Effect;
use refmon_core::hold::HoldState;
use refmon_core::ids::{CallId, HoldId};
use refmon_core::ports::Fault;
use refmon_core::record::Resolved;

pub use crate::pages::agents::{Asked, Key, Matrix, Met, Row, Verdict};
pub use crate::pages::budgets::{Budget, Budgets};
pub use crate::pages::call::{Life, Step, Tone};
pub use crate::pages::calls::{Call, CallQuery, Calls, PAGE, Place};
pub use crate::pages::health::{Health, Promise, Word};
pub use crate::pages::policies::{Explained, Files, Finding, Policies, Question, Rule, RuleKind};
pub use crate::pages::servers::{Change, Comparable, Compared, Server, Tool};

/// What a visitor may look at, by the scopes of this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Everything of the tenant (`refmon:view`).
    Tenant,
    /// Calls that wait: the visitor's own, and those that the visitor could decide on.
    Holds,
}

/// What a visitor could do, by the scopes of this moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights {
    /// What may be looked at.
    pub reach: Reach,
    /// The effects on which decisions could be made.
    pub decides: Vec<Effect>,
}

/// What a visitor is to a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The visitor may approve and deny.
    Decides,
    /// The visitor asked, holds the scopes, and may deny.
    Asked,
    /// The visitor asked, and may deny.
    AskedOnly,
}

/// A call that waits, or waited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Its identifier.
    pub id: HoldId,
    /// Its state.
    pub state: HoldState,
    /// What the visitor is to it.
    pub part: Part,
    /// Who asked; empty if that is not for the visitor.
    pub user: String,
    /// Through which agent.
    pub agent: String,
    /// How the caller was authenticated.
    pub identity: String,
    /// The host that named the caller: its user and agent.
    pub host: Option<(String, String)>,
    /// The door.
    pub door: String,
    /// The server.
    pub server: String,
    /// The tool or method.
    pub tool: String,
    /// The operation, as `server/operation@version`.
    pub action: String,
    /// What running it does.
    pub effects: Vec<Effect>,
    /// What it is aimed at.
    pub targets: Vec<String>,
    /// The rank, and what it means.
    pub risk: (u8, &'static str),
    /// The reason code.
    pub reason: String,
    /// Why it is held, in the words of the policy or of the reason.
    pub why: String,
    /// The policies that wanted it: name, place, reason.
    pub rules: Vec<(String, String, String)>,
    /// How many people must approve.
    pub needed: u8,
    /// How many have.
    pub approved: u8,
    /// Who decided what.
    pub decisions: Vec<Decision>,
    /// The canonical arguments; empty in a list, and once the hold is decided.
    pub arguments: String,
    /// When it was asked, in microseconds since the Unix epoch.
    pub placed_us: u64,
    /// When it or its approval expires.
    pub expires_us: u64,
}

/// What one person decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Who.
    pub user: String,
    /// What.
    pub resolved: Resolved,
    /// Why, in that person's words.
    pub reason: Option<String>,
    /// When.
    pub at_us: u64,
}

/// Calls that wait, with the same effects on the same targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The effects.
    pub effects: Vec<Effect>,
    /// The targets.
    pub targets: Vec<String>,
    /// How many.
    pub count: u64,
}

/// A page of the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// The holds, the highest rank first.
    pub holds: Vec<Hold>,
    /// How many are in each state.
    pub counts: BTreeMap<&'static str, u64>,
    /// Those that wait, put together.
    pub batches: Vec<Batch>,
    /// Where the next page begins.
    pub next: Option<String>,
    /// The time by which it is told how long something still waits.
    pub now_us: u64,
}

/// Which holds are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueQuery {
    /// Of this state; of any, if there is none.
    pub state: Option<HoldState>,
    /// The rank, time and identifier that the page before ended with.
    pub after: Option<(u8, u64, HoldId)>,
}

/// What became of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decided {
    /// It counts, and is recorded.
    Done {
        /// The state that it led to.
        state: HoldState,
        /// How many people have approved.
        approved: u8,
        /// How many must.
        needed: u8,
    },
    /// The same person had decided so before.
    Unchanged,
    /// The hold is decided already, or over.
    NotPending(HoldState),
    /// Who asked cannot approve.
    SamePerson,
    /// There is no such hold for this visitor, or no longer.
    Missing,
}

/// What the console sees. Each question is about the tenant of the visitor, and is answered with what this visitor may see at
/// this moment: credential, roles and grants are looked at anew. No visitor is the person at the machine.
///
/// INVARIANT: a thing of another tenant, one that the visitor may not see, and none at all are `None` alike.
pub trait Sight: Send + Sync {
    /// What the visitor could do.
    ///
    /// # Errors
    /// A fault if the store does not answer.
    fn rights(&self, visitor: &Caller) -> Result<Rights, Fault>;

    /// A page of the queue.
    ///
    /// # Errors
    /// A fault if the store does not answer.
    fn queue(&self, visitor: &Caller, query: &QueueQuery) -> Result<Queue, Fault>;

    /// One hold, and the time by which it is told how long it still waits.
    ///
    /// # Errors
    /// A fault if the store does not answer.
    fn hold(&self, visitor: &Caller, id: HoldId) -> Result<Option<(Hold, u64)>, Fault>;

    /// Decides, durably and recorded when it returns.
    ///
    /// # Errors
    /// A fault if nothing was decided.
    fn decide(&self, visitor: &Caller, id: HoldId, resolved: Resolved, reason: Option<&str>) -> Result<Decided, Fault>;

    /// Calls of the tenant, the newest first.
    ///
    /// # Errors
    /// A fault if the journal cannot be read.
    fn calls(&self, visitor: &Caller, query: &CallQuery) -> Result<Calls, Fault>;

    /// One call's life.
    ///
    /// # Errors
    /// A fault if the journal cannot be read.
    fn life(&self, visitor: &Caller, id: CallId) -> Result<Option<Life>, Fault>;

    /// Who calls in the tenant, and what the one that is asked for may do.
    ///
    /// # Errors
    /// A fault if something does not answer.
    fn agents(&self, visitor: &Caller, asked: &Asked) -> Result<Matrix, Fault>;

    /// The servers and their tools.
    ///
    /// # Errors
    /// A fault if contracts cannot be read.
    fn servers(&self, visitor: &Caller) -> Result<Vec<Server>, Fault>;

    /// Asks a server what it lists now, and compares that with what its contract was made for. It calls no tool. `None` if
    /// there is no such server.
    ///
    /// # Errors
    /// A fault if another comparison is under way.
    fn compare(&self, visitor: &Caller, server: &str) -> Result<Option<Compared>, Fault>;

    /// The rules in force, and what lints say.
    ///
    /// # Errors
    /// A fault if policies cannot be read.
    fn policies(&self, visitor: &Caller) -> Result<Policies, Fault>;

    /// Judges a call that nobody makes. Nothing is recorded and nothing runs.
    ///
    /// # Errors
    /// A fault if something does not answer.
    fn explain(&self, visitor: &Caller, question: &Question) -> Result<Explained, Fault>;

    /// The budgets that count calls of the tenant.
    ///
    /// # Errors
    /// A fault if something does not answer.
    fn budgets(&self, visitor: &Caller) -> Result<Budgets, Fault>;

    /// What holds at this moment, and how that is known.
    ///
    /// # Errors
    /// A fault if something does not answer.
    fn health(&self, visitor: &Caller) -> Result<Health, Fault>;
}
