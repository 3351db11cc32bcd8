//! The decision.
//!
//! Scopes are matched natively by an index, conditions are decided by plain comparisons where those suffice and by
//! Cedar's own evaluator otherwise, and what they demand is settled by a fix-point. The stock authorizer gives the
//! same answers, which tests show over many worlds and a sample of decisions shows at run time; it is linear in all
//! policies and skips a policy that errs, and is never asked for the decision itself.
//!
//! Invariants:
//! - Any error in any policy in scope denies; so does a context that cannot be built, an action that does not
//!   exist and an engine that once disagreed with the stock authorizer.
//! - What policies see comes from the monitor: the authenticated caller, verified approvals, facts and
//!   schema-checked arguments. No text of a call becomes an entity.
//! - The decision does not depend on the order of policies or files.

mod case;
mod fixpoint;
pub(crate) mod index;
mod oracle;
mod quick;
pub(crate) mod world;

use std::collections::BTreeSet;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use refmon_core::bundle::Tool;
use refmon_core::caller::Caller;
use refmon_core::decision::{Obligation, Ruling};
use refmon_core::ids::{ApprovalKind, PolicyId};
use refmon_core::ports::{Policy, Question};
use refmon_core::reason::ReasonCode;

pub(crate) use case::{Case, holds};
pub(crate) use fixpoint::{Evaluation, Settled};

use self::index::Index;
use self::oracle::Oracle;
use self::quick::Quick;
use self::world::{Names, World, Worlds};
use crate::compile::plan::Moments;
use crate::compile::{Compiled, Plan};
use crate::rule::{Demand, Rule};

/// How an engine runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// One decision in so many is compared with the stock authorizer; `None` switches that off.
    pub self_check: Option<NonZeroU64>,
}

impl Default for Options {
    fn default() -> Self {
        Self { self_check: NonZeroU64::new(10_000) }
    }
}

/// Why there is no engine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// Schema and policies do not go together.
    #[error("the policies cannot be put in force: {0}")]
    Schema(String),
    /// There are too many policies or actions.
    #[error("there are too many policies")]
    TooMany,
}

/// Policies in force.
#[derive(Debug)]
pub struct Engine {
    pub(crate) compiled: Compiled,
    pub(crate) rules: Vec<Rule>,
    /// The quick parts of each policy's condition.
    quick: Vec<Quick>,
    names: Names,
    index: Index,
    worlds: Worlds,
    moments: Moments,
    oracle: Oracle,
    options: Options,
    decisions: AtomicU64,
    evaluations: AtomicU64,
    unhealthy: AtomicBool,
}

impl Engine {
    /// Puts policies in force. They must have passed [`crate::lint`]; their order does not matter.
    ///
    /// # Errors
    /// [`EngineError`] if two policies have one name or the schema cannot be used.
    pub fn new(compiled: Compiled, mut rules: Vec<Rule>, options: Options) -> Result<Self, EngineError> {
        rules.sort_by(|a, b| a.id().cmp(b.id()));
        let names = Names::new()?;
        let index = Index::new(&compiled, &names, &rules)?;
        let oracle = Oracle::new(&rules)?;
        Ok(Self {
            compiled,
            quick: rules.iter().map(|rule| Quick::of(rule.body())).collect(),
            rules,
            names,
            index,
            worlds: Worlds::default(),
            moments: Moments::default(),
            oracle,
            options,
            decisions: AtomicU64::new(0),
            evaluations: AtomicU64::new(0),
            unhealthy: AtomicBool::new(false),
        })
    }

    /// Whether every decision that was compared agreed with the stock authorizer. Once `false`, it stays so, and
    /// every decision is a denial.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        !self.unhealthy.load(Ordering::Acquire)
    }

    /// How many conditions have been evaluated so far.
    #[must_use]
    pub fn evaluations(&self) -> u64 {
        self.evaluations.load(Ordering::Relaxed)
    }

    /// The policies in force, in the order of their names.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The compiled contracts.
    #[must_use]
    pub const fn compiled(&self) -> &Compiled {
        &self.compiled
    }

    /// Prepares a question: its world, plan and context.
    pub(crate) fn case<'e>(&'e self, question: &Question<'_>) -> Option<Case<'e>> {
        let (action, plan) = self.compiled.plan(&question.tool.action)?;
        let world = self.world(question.caller, action, plan)?;
        let now = self.moments.value(question.now).ok()?;
        let base = plan.context(question.facts, question.arguments, now).ok()?;
        Some(Case { engine: self, world, plan, base })
    }

    fn world(&self, caller: &Caller, action: usize, plan: &Plan) -> Option<Arc<World>> {
        let make = || World::new(&self.names, &self.index, &self.rules, caller, action, plan);
        self.worlds.of(caller, action, make).ok()
    }

    /// Settles a question that starts with these tokens.
    pub(crate) fn settle(&self, case: &Case<'_>, caller: &Caller, granted: &BTreeSet<String>) -> Settled {
        let number = self.decisions.fetch_add(1, Ordering::Relaxed);
        let checked = self.options.self_check.is_some_and(|every| number % every == 0);
        let mut agreed = true;
        let settled = fixpoint::settle(
            granted,
            |number| self.demand(number),
            |tokens, before| {
                let context = case.context(tokens);
                let found = case.evaluate(&context, before);
                agreed =
                    agreed && (!checked || self.oracle.agrees(self, &case.world, caller, case.plan, &context, &found));
                found
            },
        );
        if !agreed {
            self.unhealthy.store(true, Ordering::Release);
        }
        settled
    }

    fn demand(&self, number: u32) -> Option<&Demand> {
        self.rules.get(number as usize)?.demand()
    }

    /// Decides with these tokens granted.
    pub(crate) fn decide(&self, question: &Question<'_>, granted: &BTreeSet<String>) -> Ruling {
        if !self.is_healthy() {
            return failed(UNHEALTHY);
        }
        if self.compiled.plan(&question.tool.action).is_none() {
            return Ruling::Deny {
                reason: ReasonCode::PolicyNoPermit,
                policies: Vec::new(),
                explanation: Some("the bundle has no such action".to_owned()),
            };
        }
        let Some(case) = self.case(question) else {
            return failed("the arguments do not fit what policies were checked against");
        };
        let settled = self.settle(&case, question.caller, granted);
        if !self.is_healthy() {
            return failed(UNHEALTHY);
        }
        self.ruling(&case, settled, granted)
    }

    fn ruling(&self, case: &Case<'_>, settled: Settled, granted: &BTreeSet<String>) -> Ruling {
        let deny = |reason, numbers: &[u32]| Ruling::Deny {
            reason,
            policies: self.ids(numbers),
            explanation: self.explanation(numbers),
        };
        match settled {
            Settled::Error(numbers) => deny(ReasonCode::PolicyError, &numbers),
            Settled::NoPermit(_) => {
                Ruling::Deny { reason: ReasonCode::PolicyNoPermit, policies: Vec::new(), explanation: None }
            }
            Settled::Forbidden(numbers) => deny(ReasonCode::PolicyForbidden, &numbers),
            Settled::Permitted { permits, lifted, demands } => {
                let approvals: Vec<ApprovalKind> = demands.iter().filter_map(approval).collect();
                if !approvals.is_empty() {
                    let asking: Vec<u32> = lifted
                        .into_iter()
                        .filter(|number| matches!(self.demand(*number), Some(Demand::Approval(_))))
                        .collect();
                    let asked = asking.iter().filter_map(|number| self.rules.get(*number as usize));
                    return Ruling::Hold {
                        policies: self.ids(&asking),
                        approvals,
                        approvers: asked.map(Rule::approvers).max().unwrap_or(1),
                        explanation: self.explanation(&asking),
                    };
                }
                let mut numbers = permits;
                numbers.extend(lifted);
                match case.satisfied_by(granted) {
                    Ok(satisfied) => numbers.extend(satisfied),
                    Err(number) => return deny(ReasonCode::PolicyError, &[number]),
                }
                let obligations = demands.iter().filter_map(obligation).collect();
                Ruling::Permit { policies: self.ids(&numbers), obligations }
            }
        }
    }

    pub(crate) fn ids(&self, numbers: &[u32]) -> Vec<PolicyId> {
        let numbers: BTreeSet<u32> = numbers.iter().copied().collect();
        numbers.into_iter().filter_map(|number| self.rules.get(number as usize)).map(|rule| rule.id().clone()).collect()
    }

    fn explanation(&self, numbers: &[u32]) -> Option<String> {
        let rules = numbers.iter().filter_map(|number| self.rules.get(*number as usize));
        let mut reasons: Vec<&str> = rules.filter_map(Rule::reason).collect();
        reasons.sort_unstable();
        reasons.dedup();
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }
}

impl Policy for Engine {
    fn rule(&self, question: &Question<'_>) -> Ruling {
        self.decide(question, &tokens(question.granted.approvals()))
    }

    fn conceivable(&self, caller: &Caller, tool: &Tool) -> bool {
        let Some((action, plan)) = self.compiled.plan(&tool.action) else { return false };
        // What we cannot find out is conceivable: this only hides tools, it permits nothing.
        let Some(world) = self.world(caller, action, plan) else { return true };
        let rules = || world.rules.iter().filter_map(|number| self.rules.get(*number as usize));
        let permit = rules().any(Rule::is_permit);
        let never = rules().any(|rule| !rule.is_permit() && rule.body().is_none() && rule.demand().is_none());
        permit && !never
    }
}

/// The tokens of approvals.
pub(crate) fn tokens(approvals: &[ApprovalKind]) -> BTreeSet<String> {
    approvals.iter().map(|kind| Demand::Approval(kind.clone()).token()).collect()
}

fn approval(demand: &Demand) -> Option<ApprovalKind> {
    match demand {
        Demand::Approval(kind) => Some(kind.clone()),
        Demand::Obligation(_) => None,
    }
}

const fn obligation(demand: &Demand) -> Option<Obligation> {
    match demand {
        Demand::Approval(_) => None,
        Demand::Obligation(obligation) => Some(*obligation),
    }
}

const UNHEALTHY: &str = "the policy engine has disagreed with the stock authorizer; it denies until it is looked at";

fn failed(explanation: &str) -> Ruling {
    Ruling::Deny { reason: ReasonCode::PolicyError, policies: Vec::new(), explanation: Some(explanation.to_owned()) }
}

#[cfg(test)]
mod differential_tests;
#[cfg(test)]
mod fixpoint_tests;
#[cfg(test)]
mod tests;
