//! From policies that apply to a ruling: the fix-point over conditional forbids.
//!
//! A conditional `forbid` says what would lift it: `unless { context.granted.contains("approval:operator") }`.
//! `granted` starts with what the monitor has verified. If nothing but conditional forbids stands in the way of
//! a permit, what they demand is granted for the sake of argument and the question is asked again: another
//! forbid may appear, or the permit may stand. So an approval is offered exactly where it would suffice, and an
//! obligation is taken on exactly where it is demanded.
//!
//! Granting can only lift forbids (a lint sees to it that nothing else reads `granted`), so the order of policies
//! does not matter and the passes end; [`limits::FIXPOINT_PASSES_MAX`] bounds them all the same, and a question
//! that is not settled by then is denied.

use std::collections::BTreeSet;

use refmon_core::limits;

use crate::rule::Demand;

/// What one evaluation found, as numbers of policies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Evaluation {
    /// Permits that are satisfied.
    pub(crate) permits: Vec<u32>,
    /// Forbids that are satisfied.
    pub(crate) forbids: Vec<u32>,
    /// Policies that could not be evaluated.
    pub(crate) errors: Vec<u32>,
}

/// How the fix-point ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Settled {
    /// A policy could not be evaluated.
    Error(Vec<u32>),
    /// No permit is satisfied; with the forbids that are.
    NoPermit(Vec<u32>),
    /// A forbid that nothing lifts is satisfied.
    Forbidden(Vec<u32>),
    /// The permits stand once these demands are met; with the forbids that made them.
    Permitted {
        /// The permits.
        permits: Vec<u32>,
        /// The forbids that the demands lift.
        lifted: Vec<u32>,
        /// What must be met and was not granted before. Empty: the permits stand as things are.
        demands: BTreeSet<Demand>,
    },
}

/// Asks until the answer settles. `evaluate` is given the tokens that are granted and what it found before.
pub(crate) fn settle<'d>(
    granted: &BTreeSet<String>,
    demand: impl Fn(u32) -> Option<&'d Demand>,
    mut evaluate: impl FnMut(&BTreeSet<String>, Option<&Evaluation>) -> Evaluation,
) -> Settled {
    let mut tokens = granted.clone();
    let mut demands = BTreeSet::new();
    let mut lifted = Vec::new();
    let mut before: Option<Evaluation> = None;
    for _ in 0..limits::FIXPOINT_PASSES_MAX {
        let found = evaluate(&tokens, before.as_ref());
        if !found.errors.is_empty() {
            return Settled::Error(found.errors);
        }
        let plain: Vec<u32> = found.forbids.iter().copied().filter(|number| demand(*number).is_none()).collect();
        if !plain.is_empty() {
            return Settled::Forbidden(plain);
        }
        if found.permits.is_empty() {
            return Settled::NoPermit(found.forbids);
        }
        if found.forbids.is_empty() {
            return Settled::Permitted { permits: found.permits, lifted, demands };
        }
        let mut grew = false;
        for one in found.forbids.iter().filter_map(|number| demand(*number)) {
            grew |= tokens.insert(one.token());
            demands.insert(one.clone());
        }
        if !grew {
            // What they demand is granted, and still they forbid: nothing lifts them.
            return Settled::Forbidden(found.forbids);
        }
        lifted.extend(&found.forbids);
        before = Some(found);
    }
    Settled::Forbidden(lifted)
}
