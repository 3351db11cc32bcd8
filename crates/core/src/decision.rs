//! The ladder of decisions, and what climbs it.
//!
//! `Permit < Hold < Deny`, and several opinions combine with [`Ord::max`]: whoever adds an opinion can only make
//! the answer stricter. An [`Objection`] has no way to say yes. What a policy says is a [`Ruling`].

use crate::ids::{ApprovalKind, PolicyId};
use crate::reason::ReasonCode;

/// What is decided about a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Decision {
    /// The call may run.
    Permit,
    /// A person decides.
    Hold,
    /// The call does not run.
    Deny,
}

impl Decision {
    /// The decision's name in records and output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Permit => "permit",
            Self::Hold => "hold",
            Self::Deny => "deny",
        }
    }
}

/// Why a call must not run: a reason, and what would do instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Veto {
    /// The reason code.
    pub reason: ReasonCode,
    /// What would do instead, in words for the agent, never with a value of the call.
    pub expected: Option<String>,
}

impl From<ReasonCode> for Veto {
    fn from(reason: ReasonCode) -> Self {
        Self { reason, expected: None }
    }
}

/// What an inspector or a plugin may answer: an objection, never a consent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Objection {
    /// A person should look.
    Hold(ReasonCode),
    /// The call must not run.
    Deny(Veto),
}

impl Objection {
    /// The rung of the ladder that the objection asks for.
    #[must_use]
    pub const fn decision(&self) -> Decision {
        match self {
            Self::Hold(_) => Decision::Hold,
            Self::Deny(_) => Decision::Deny,
        }
    }
}

/// Something that must be done when a permitted call has run. A closed list: an enforcement point that does not
/// know an obligation denies the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Obligation {
    /// The agent learns that the call ran and how it ended, not what it returned.
    WithholdOutput,
}

impl Obligation {
    /// Every obligation.
    pub const ALL: [Self; 1] = [Self::WithholdOutput];

    /// The name in `@obligation("…")` and in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WithholdOutput => "withhold_output",
        }
    }

    /// Finds the obligation by its name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|obligation| obligation.as_str() == text)
    }
}

/// What the policy says about a call.
///
/// An approval that is granted already is part of the question ([`Grants`]), so a ruling of `Hold` names only
/// approvals that are missing and that together would suffice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ruling {
    /// The call may run, under these obligations.
    Permit {
        /// Permits that apply, and conditional forbids that a grant satisfied.
        policies: Vec<PolicyId>,
        /// What must be done with the result.
        obligations: Vec<Obligation>,
    },
    /// The call may run once all of these are approved.
    Hold {
        /// The conditional forbids that ask for the approvals.
        policies: Vec<PolicyId>,
        /// The approvals that are missing. Never empty.
        approvals: Vec<ApprovalKind>,
        /// How many people must approve, each by himself.
        approvers: u8,
        /// The policy's own words on why, for people.
        explanation: Option<String>,
    },
    /// The call must not run.
    Deny {
        /// Why.
        reason: ReasonCode,
        /// The forbids that apply; empty if nothing permits the call.
        policies: Vec<PolicyId>,
        /// The policy's own words on why, for people.
        explanation: Option<String>,
    },
}

impl Ruling {
    /// The rung of the ladder.
    #[must_use]
    pub const fn decision(&self) -> Decision {
        match self {
            Self::Permit { .. } => Decision::Permit,
            Self::Hold { .. } => Decision::Hold,
            Self::Deny { .. } => Decision::Deny,
        }
    }
}

/// Approvals that the monitor itself has verified for this very call. An argument or a claim of a caller never
/// becomes one. The monitor makes its own; others can only suppose some, for a judgement that mints nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants(Vec<ApprovalKind>);

impl Grants {
    /// No approval.
    #[must_use]
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// Approvals that nobody gave, for asking what would be decided if somebody had ([`crate::monitor::judge()`]).
    #[must_use]
    pub const fn supposed(approvals: Vec<ApprovalKind>) -> Self {
        Self(approvals)
    }

    pub(crate) const fn verified(approvals: Vec<ApprovalKind>) -> Self {
        Self(approvals)
    }

    /// The approvals.
    #[must_use]
    pub fn approvals(&self) -> &[ApprovalKind] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_decision() -> impl Strategy<Value = Decision> {
        prop_oneof![Just(Decision::Permit), Just(Decision::Hold), Just(Decision::Deny)]
    }

    proptest! {
        #[test]
        fn another_opinion_never_lowers_a_decision(a in any_decision(), b in any_decision(), c in any_decision()) {
            prop_assert!(a.max(b) >= a && a.max(b) >= b);
            prop_assert_eq!(a.max(b).max(c), a.max(b.max(c)));
        }
    }

    #[test]
    fn deny_is_the_top_of_the_ladder() {
        assert!(Decision::Permit < Decision::Hold && Decision::Hold < Decision::Deny);
        assert_eq!(Objection::Hold(ReasonCode::PolicyNoPermit).decision(), Decision::Hold);
    }
}
