//! Why a question was answered as it was, for operators.
//!
//! An explanation names values of arguments and conditions of policies. It is an oracle about the policies and
//! never goes to an agent, which gets a reason code and a remedy.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use cedar_policy_core::ast::{Expr, ExprKind, SlotEnv, UnaryOp, Value};
use cedar_policy_core::evaluator::Evaluator;
use refmon_core::decision::Ruling;
use refmon_core::facts::Fact;
use refmon_core::ids::PolicyId;
use refmon_core::ports::Question;
use refmon_core::reason::ReasonCode;

use crate::engine::{Case, Engine, holds, tokens};
use crate::rule::{Rule, conjuncts};

/// Bytes of a value or a condition that are shown.
const SHOWN_CHARS_MAX: usize = 400;

/// Why a question was answered as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The action.
    pub action: String,
    /// The answer.
    pub ruling: Ruling,
    /// The policies that determine it.
    pub policies: Vec<Determining>,
    /// If nothing permits: the permits that match by scope, each with the first condition that is not met.
    pub near_misses: Vec<NearMiss>,
    /// The facts that policies saw.
    pub facts: Vec<Read>,
}

/// A policy that determines an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Determining {
    /// Its name.
    pub id: PolicyId,
    /// Whether it permits.
    pub permits: bool,
    /// Its reason.
    pub reason: Option<String>,
    /// What lifts it.
    pub demands: Option<String>,
    /// Its file.
    pub file: PathBuf,
    /// Its line.
    pub line: u32,
    /// Why it could not be evaluated, if it could not.
    pub error: Option<String>,
}

/// A permit that matches by scope and is not satisfied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NearMiss {
    /// The permit.
    pub id: PolicyId,
    /// Its file.
    pub file: PathBuf,
    /// Its line.
    pub line: u32,
    /// How many of its conditions hold before the first that does not.
    pub met: usize,
    /// The first condition that is not met, as it is written.
    pub condition: String,
    /// What the condition read.
    pub read: Vec<Read>,
}

/// An attribute and its value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Read {
    /// The attribute, as a policy spells it.
    pub attribute: String,
    /// Its value; `(absent)` if there is none.
    pub value: String,
}

impl Engine {
    /// Answers a question and says why.
    #[must_use]
    pub fn explain(&self, question: &Question<'_>) -> Explanation {
        let granted = tokens(question.granted.approvals());
        let ruling = self.decide(question, &granted);
        let mut explanation = Explanation {
            action: question.tool.action.clone(),
            policies: Vec::new(),
            near_misses: Vec::new(),
            facts: facts(question),
            ruling,
        };
        let Some(case) = self.case(question) else { return explanation };
        let context = case.context(&granted);
        let evaluator = case.evaluator(&context);
        let (ids, reason) = match &explanation.ruling {
            Ruling::Permit { policies, .. } | Ruling::Hold { policies, .. } => (policies, None),
            Ruling::Deny { policies, reason, .. } => (policies, Some(*reason)),
        };
        let named = ids.iter().filter_map(|id| self.rules().iter().find(|rule| rule.id() == id));
        explanation.policies = named.map(|rule| determining(rule, &evaluator)).collect();
        if reason == Some(ReasonCode::PolicyNoPermit) {
            explanation.near_misses = near_misses(&case, &evaluator);
        }
        explanation
    }
}

fn determining(rule: &Rule, evaluator: &Evaluator<'_>) -> Determining {
    let error = rule.body().and_then(|body| evaluator.interpret(body, &SlotEnv::new()).err());
    Determining {
        id: rule.id().clone(),
        permits: rule.is_permit(),
        reason: rule.reason().map(str::to_owned),
        demands: rule.demand().map(crate::rule::Demand::token),
        file: rule.file().to_owned(),
        line: rule.line(),
        error: error.map(|error| short(&error.to_string())),
    }
}

/// The permits in scope that are not satisfied, the nearest first.
fn near_misses(case: &Case<'_>, evaluator: &Evaluator<'_>) -> Vec<NearMiss> {
    let mut misses: Vec<NearMiss> = Vec::new();
    for (_, rule) in case.in_scope().filter(|(_, rule)| rule.is_permit()) {
        let parts = rule.body().map(conjuncts).unwrap_or_default();
        let first = parts.iter().enumerate().find(|(_, part)| holds(evaluator, Some(part)) != Some(true));
        let Some((met, part)) = first else { continue };
        misses.push(NearMiss {
            id: rule.id().clone(),
            file: rule.file().to_owned(),
            line: rule.line(),
            met,
            condition: source(part),
            read: reads(part, evaluator),
        });
    }
    misses.sort_by(|a, b| b.met.cmp(&a.met).then_with(|| a.id.cmp(&b.id)));
    misses
}

/// A condition as it is written, or as Cedar prints it. What stands in `unless` is shown with its negation.
fn source(part: &Expr) -> String {
    let snippet = |expr: &Expr| expr.source_loc().and_then(|loc| loc.snippet()).map(str::to_owned);
    let negated = match part.expr_kind() {
        ExprKind::UnaryApp { op: UnaryOp::Not, arg } => Some(arg.as_ref()),
        _ => None,
    };
    let written = match (negated, snippet(part)) {
        (Some(_), Some(text)) if text.starts_with('!') => text,
        (Some(inner), _) => format!("!({})", snippet(inner).unwrap_or_else(|| inner.to_string())),
        (None, text) => text.unwrap_or_else(|| part.to_string()),
    };
    short(&written.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// The attributes that a condition reads, with their values.
fn reads(part: &Expr, evaluator: &Evaluator<'_>) -> Vec<Read> {
    let mut inner: BTreeSet<String> = BTreeSet::new();
    let mut found: BTreeSet<Read> = BTreeSet::new();
    for expr in part.subexpressions() {
        let Some(attribute) = path(expr) else { continue };
        if let ExprKind::GetAttr { expr: below, .. } | ExprKind::HasAttr { expr: below, .. } = expr.expr_kind() {
            inner.extend(path(below));
        }
        let value = match (expr.expr_kind(), evaluator.interpret(expr, &SlotEnv::new())) {
            (ExprKind::GetAttr { .. }, Ok(value)) => show(&value),
            (ExprKind::GetAttr { .. }, Err(_)) => "(absent)".to_owned(),
            _ => continue,
        };
        found.insert(Read { attribute, value });
    }
    // `context.facts` is not worth showing where `context.facts["path"].root` is.
    found.into_iter().filter(|read| !inner.contains(&read.attribute)).collect()
}

fn path(expr: &Expr) -> Option<String> {
    match expr.expr_kind() {
        ExprKind::Var(variable) => Some(variable.to_string()),
        ExprKind::GetAttr { expr, attr } => {
            let plain = attr.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            let below = path(expr)?;
            Some(if plain { format!("{below}.{attr}") } else { format!("{below}[{attr:?}]") })
        }
        _ => None,
    }
}

fn show(value: &Value) -> String {
    short(&value.to_string())
}

fn short(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(SHOWN_CHARS_MAX)
        .flat_map(|c| if c.is_control() { c.escape_unicode().collect() } else { vec![c] })
        .collect();
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}

fn facts(question: &Question<'_>) -> Vec<Read> {
    let mut all = Vec::new();
    for (argument, facts) in question.facts.iter() {
        for (name, fact) in facts {
            let value = match fact {
                Fact::Flag(value) => value.to_string(),
                Fact::Long(value) => value.to_string(),
                Fact::Decimal(value) => {
                    let sign = if *value < 0 { "-" } else { "" };
                    format!("{sign}{}.{:04}", value.unsigned_abs() / 10_000, value.unsigned_abs() % 10_000)
                }
                Fact::Text(value) => format!("{:?}", short(value)),
                Fact::Texts(values) => format!("{:?}", values.iter().map(|value| short(value)).collect::<Vec<_>>()),
            };
            all.push(Read { attribute: format!("context.facts[{argument:?}].{name}"), value });
        }
    }
    all
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.action, self.ruling.decision().as_str())?;
        match &self.ruling {
            Ruling::Permit { obligations, .. } => {
                for obligation in obligations {
                    write!(f, ", with the obligation `{}`", obligation.as_str())?;
                }
            }
            Ruling::Hold { approvals, approvers, .. } => {
                let names: Vec<&str> = approvals.iter().map(|kind| kind.as_str()).collect();
                write!(f, ", until `{}` is approved", names.join("` and `"))?;
                if *approvers > 1 {
                    write!(f, " by {approvers} people")?;
                }
            }
            Ruling::Deny { reason, .. } => write!(f, " ({reason}: {})", reason.sentence())?,
        }
        writeln!(f)?;
        for policy in &self.policies {
            let verb = if policy.permits { "permits" } else { "forbids" };
            write!(f, "  {} {verb} ({}:{})", policy.id, policy.file.display(), policy.line)?;
            if let Some(reason) = &policy.reason {
                write!(f, ": {reason}")?;
            }
            if let Some(error) = &policy.error {
                write!(f, "; it could not be evaluated: {error}")?;
            }
            writeln!(f)?;
        }
        for miss in &self.near_misses {
            writeln!(
                f,
                "  {} would permit ({}:{}), but not: {}",
                miss.id,
                miss.file.display(),
                miss.line,
                miss.condition
            )?;
            for read in &miss.read {
                writeln!(f, "      {} = {}", read.attribute, read.value)?;
            }
        }
        if !self.facts.is_empty() {
            writeln!(f, "  facts:")?;
        }
        for read in &self.facts {
            writeln!(f, "      {} = {}", read.attribute, read.value)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
