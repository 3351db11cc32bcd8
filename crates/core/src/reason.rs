//! Reason codes and remedies.
//!
//! A reason code is stable: it is never renumbered, renamed or reused. Agents branch on it, operators search for
//! it. A remedy says what would make a denied call acceptable. `docs/reference/reason-codes.md` is generated
//! from this table.

use std::fmt;

/// What would make a refused call acceptable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Remedy {
    /// Have a person approve the hold, then send the identical call again.
    AwaitApproval,
    /// Correct the arguments.
    CorrectArguments,
    /// Ask the operator for the missing scope.
    RequestScope,
    /// Ask the operator to give the missing scope for a time.
    RequestGrant,
    /// Ask the operator to allow this in a policy or a contract.
    AskOperator,
    /// Have earlier holds decided on, or wait until they are over.
    DecideEarlier,
    /// Try again later.
    RetryLater,
}

impl Remedy {
    /// The remedy's stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AwaitApproval => "await_approval",
            Self::CorrectArguments => "correct_arguments",
            Self::RequestScope => "request_scope",
            Self::RequestGrant => "request_grant",
            Self::AskOperator => "ask_operator",
            Self::DecideEarlier => "decide_earlier",
            Self::RetryLater => "retry_later",
        }
    }

    /// What to do, in one sentence.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::AwaitApproval => "have a person approve the hold, then send the identical call again",
            Self::CorrectArguments => "correct the arguments and call again",
            Self::RequestScope => "ask the operator for the missing scope",
            Self::RequestGrant => {
                "ask the operator for a grant of the scope for a time: `refmon grant add --user … --scope … --for 2h`"
            }
            Self::AskOperator => "ask the operator whether a contract or a policy should allow this",
            Self::DecideEarlier => "have the calls that wait decided on, or wait: a hold is over after ten minutes",
            Self::RetryLater => "try again later; the operator has been told",
        }
    }
}

macro_rules! reasons {
    ($($variant:ident = $number:literal $code:literal $sentence:literal [$($remedy:ident),*];)*) => {
        /// Why a call was permitted, held or denied.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u16)]
        pub enum ReasonCode {
            $(#[doc = $sentence] $variant = $number,)*
        }

        impl ReasonCode {
            /// Every reason code, in the order of its number.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The stable code, such as `policy.no-permit`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// The stable number in records.
            #[must_use]
            pub const fn number(self) -> u16 {
                match self { $(Self::$variant => $number,)* }
            }

            /// What the code means, in one sentence for people.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$variant => $sentence,)* }
            }

            /// What would make the call acceptable.
            #[must_use]
            pub const fn remedies(self) -> &'static [Remedy] {
                match self { $(Self::$variant => &[$(Remedy::$remedy),*],)* }
            }
        }
    };
}

reasons! {
    Permitted = 1 "permitted" "a policy permits the call and nothing forbids it" [];
    Approved = 2 "approved" "a person approved exactly this call" [];
    ContractHold = 10 "hold.contract" "the contract wants a person to decide on every call of this tool" [AwaitApproval];
    PolicyHold = 11 "hold.policy" "a policy wants a person to decide on this call" [AwaitApproval];
    InspectorHold = 12 "hold.inspector" "an inspector wants a person to decide on this call" [AwaitApproval];
    MalformedArguments = 20 "arguments.malformed" "the arguments are not JSON with exactly one reading" [CorrectArguments];
    SchemaMismatch = 21 "arguments.schema" "the arguments do not fit the tool's schema" [CorrectArguments];
    UndeclaredProperty = 22 "arguments.undeclared" "the arguments have a property that the tool's schema does not declare" [CorrectArguments, AskOperator];
    KindMismatch = 23 "arguments.kind" "an argument is not what the contract says it is" [CorrectArguments];
    AmbiguousText = 24 "arguments.ambiguous" "an argument has characters or a spelling that can be read in two ways" [CorrectArguments];
    OutsideRoots = 25 "arguments.outside-roots" "a path lies outside the folders that the contract allows" [CorrectArguments, AskOperator];
    HostRefused = 26 "arguments.host-refused" "a URL or a domain is not one that the contract allows" [CorrectArguments, AskOperator];
    PrivateAddress = 27 "arguments.private-address" "a URL points to a private, loopback, link-local or metadata address" [CorrectArguments, AskOperator];
    OverLimit = 28 "arguments.over-limit" "an amount is above the contract's limit" [CorrectArguments, AskOperator];
    WriteRefused = 29 "arguments.write-refused" "an SQL statement does more than read" [CorrectArguments, AskOperator];
    ProgramRefused = 30 "arguments.program-refused" "a command runs a program that the contract does not allow, or uses the shell" [CorrectArguments, AskOperator];
    GuardedPath = 31 "arguments.guarded-path" "a path leads to refmon's own configuration, policies or evidence" [CorrectArguments];
    UnknownTool = 40 "tool.unknown" "no contract allows this tool to be called" [AskOperator];
    UnknownMethod = 41 "method.unknown" "the protocol method is not one that refmon mediates or the contract allows" [AskOperator];
    Quarantined = 42 "tool.quarantined" "the tool's definition is not the one that its contract was made for" [AskOperator];
    MissingScope = 50 "scope.missing" "the caller lacks a scope that the tool requires" [RequestScope, RequestGrant];
    UnknownSubject = 51 "subject.unknown" "the subject is of a kind that refmon does not know, or its name is no identifier" [AskOperator];
    PolicyNoPermit = 60 "policy.no-permit" "no policy permits the call" [AskOperator];
    PolicyForbidden = 61 "policy.forbidden" "a policy forbids the call" [AskOperator];
    PolicyError = 62 "policy.error" "a policy could not be evaluated" [AskOperator];
    HoldRefused = 63 "policy.hold-refused" "the call would wait for a person, and its contract rules that out" [AskOperator];
    InspectorDenied = 64 "inspector.denied" "an inspector objects to the call" [AskOperator];
    ObligationUnsupported = 65 "policy.obligation-unsupported" "a policy demands something that this door cannot do" [AskOperator];
    ApprovalVoid = 70 "approval.void" "the approval was spent by another call or no longer suffices" [AwaitApproval];
    HoldsFull = 71 "holds.full" "too many calls of this person or of this tenant wait for a decision, or their arguments are too large" [DecideEarlier];
    ApprovalDenied = 72 "approval.denied" "a person has denied exactly this call, which stays denied until its hold is over" [AskOperator];
    ApprovalTimeout = 73 "approval.timeout" "nobody decided on this call in time, or the approval was not used in time" [AskOperator];
    TooManyCalls = 80 "limit.calls" "too many calls are under way" [RetryLater];
    DuplicateCall = 81 "limit.duplicate-id" "a call with this identifier is under way" [CorrectArguments];
    AuditUnavailable = 90 "audit.unavailable" "the attempt could not be recorded" [RetryLater];
    Unavailable = 91 "unavailable" "something that the decision depends on is not available" [RetryLater];
    Breach = 92 "unavailable.breach" "an invariant of the monitor is broken; it denies everything until it is looked at" [AskOperator];
    Halted = 100 "authority.halted" "the operator has halted all calls" [AskOperator, RetryLater];
    ReadOnly = 101 "authority.read-only" "only calls that do nothing but read are allowed at present" [AskOperator];
    Budget = 102 "authority.budget" "a budget of calls or of bytes is used up" [RetryLater];
}

impl ReasonCode {
    /// Finds a code by its number.
    #[must_use]
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.number() == number)
    }

    /// Finds a code by its name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text)
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_and_numbers_are_unique_and_found_again() {
        let names: BTreeSet<_> = ReasonCode::ALL.iter().map(|code| code.as_str()).collect();
        let numbers: BTreeSet<_> = ReasonCode::ALL.iter().map(|code| code.number()).collect();
        assert_eq!(names.len(), ReasonCode::ALL.len());
        assert_eq!(numbers.len(), ReasonCode::ALL.len());
        for &code in ReasonCode::ALL {
            assert_eq!(ReasonCode::from_number(code.number()), Some(code));
            assert_eq!(ReasonCode::parse(code.as_str()), Some(code));
        }
    }

    #[test]
    fn every_refusal_names_a_remedy() {
        for &code in ReasonCode::ALL {
            let consent = matches!(code, ReasonCode::Permitted | ReasonCode::Approved);
            assert_eq!(code.remedies().is_empty(), consent, "{code}");
        }
    }
}
