//! The stable numbers of every closed list in a record, in one table.
//!
//! A number is never changed or used again. A decoder that meets a number that is not here refuses the record:
//! it was written by a newer refmon, or by nobody. Reason codes bring their own numbers
//! ([`ReasonCode::number`]).

use refmon_core::caller::IdentityKind;
use refmon_core::decision::{Decision, Obligation};
use refmon_core::ids::Method;
use refmon_core::reason::ReasonCode;
use refmon_core::record::{Cause, Door, Resolved, Status};

/// A member of a closed list, by its stable number.
pub(crate) trait Numbered: Copy {
    /// The number in records.
    fn number(self) -> u64;
    /// Finds the member by its number.
    fn from_number(number: u64) -> Option<Self>;
}

macro_rules! numbers {
    ($($list:ident { $($member:ident = $number:literal,)* })*) => {$(
        impl Numbered for $list {
            fn number(self) -> u64 {
                match self { $(Self::$member => $number,)* }
            }

            fn from_number(number: u64) -> Option<Self> {
                match number { $($number => Some(Self::$member),)* _ => None }
            }
        }
    )*};
}

numbers! {
    IdentityKind { Local = 1, ApiKey = 2, Token = 3, Certificate = 4, Asserted = 5, }
    Decision { Permit = 1, Hold = 2, Deny = 3, }
    Obligation { WithholdOutput = 1, }
    Door { McpStdio = 1, Library = 2, McpHttp = 3, Access = 4, Calls = 5, }
    Status { Ok = 1, ToolError = 2, ProtocolError = 3, Cancelled = 4, InputRequired = 5, Malformed = 6, }
    Cause { Crash = 1, ServerGone = 2, SessionEnded = 3, NotSent = 4, NotReported = 5, }
    Resolved { Approved = 1, Denied = 2, }
    Method {
        ResourcesList = 1,
        ResourceTemplatesList = 2,
        ResourcesRead = 3,
        ResourcesSubscribe = 4,
        PromptsList = 5,
        PromptsGet = 6,
        CompletionComplete = 7,
        TasksGet = 8,
        TasksResult = 9,
        TasksList = 10,
        TasksCancel = 11,
        TasksUpdate = 12,
        SamplingCreateMessage = 13,
        ElicitationCreate = 14,
        RootsList = 15,
    }
}

impl Numbered for ReasonCode {
    fn number(self) -> u64 {
        Self::number(self).into()
    }

    fn from_number(number: u64) -> Option<Self> {
        Self::from_number(u16::try_from(number).ok()?)
    }
}

/// Kinds of records.
pub(crate) mod kind {
    pub(crate) const ATTEMPT: u8 = 1;
    pub(crate) const COMPLETION: u8 = 2;
    pub(crate) const INDETERMINATE: u8 = 3;
    pub(crate) const RESOLUTION: u8 = 4;
    pub(crate) const NOTICE: u8 = 5;
    pub(crate) const ACT: u8 = 6;
}

/// Ways to have asked for something.
pub(crate) mod asked {
    pub(crate) const KNOWN: u64 = 1;
    pub(crate) const UNKNOWN: u64 = 2;
    pub(crate) const UNNAMEABLE: u64 = 3;
}

/// Kinds of operations.
pub(crate) mod operation {
    pub(crate) const TOOL: u64 = 1;
    pub(crate) const METHOD: u64 = 2;
}

/// Deeds of people.
pub(crate) mod deed {
    pub(crate) const GRANTED: u64 = 1;
    pub(crate) const REVOKED: u64 = 2;
    pub(crate) const HALTED: u64 = 3;
    pub(crate) const RESUMED: u64 = 4;
}

/// Events of the monitor.
pub(crate) mod event {
    pub(crate) const STARTED: u64 = 1;
    pub(crate) const STOPPED: u64 = 2;
    pub(crate) const RECOVERED: u64 = 3;
    pub(crate) const ACTIVATED: u64 = 4;
    pub(crate) const REFUSED: u64 = 5;
    pub(crate) const QUARANTINED: u64 = 6;
    pub(crate) const HALTED: u64 = 7;
    pub(crate) const RESUMED: u64 = 8;
}
