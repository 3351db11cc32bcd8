//! Policies that can never matter, and effects that nothing guards.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use cedar_policy_core::ast::{
    ActionConstraint, BinaryOp, Effect, Expr, ExprKind, Literal, PrincipalConstraint,
    PrincipalOrResourceConstraint as Constraint, ResourceConstraint,
};

use super::text::is_false;
use super::{Finding, Severity};
use crate::compile::Compiled;
use crate::engine::index::Members;
use crate::engine::world::Names;
use crate::rule::{Demand, Rule, conjuncts};

/// Pairs of policies that are compared for shadowing.
const PAIRS_MAX: usize = 4_000_000;
/// Effects that want a guardrail.
const GUARDED: [&str; 2] = ["external", "destructive"];

pub(super) fn check(compiled: &Compiled, rules: &[Rule], findings: &mut Vec<Finding>) {
    let Ok((members, _)) = Names::new().and_then(|names| Members::new(compiled, &names)) else { return };
    let mut cache: HashMap<&ActionConstraint, Arc<BTreeSet<usize>>> = HashMap::new();
    let scoped: Vec<Scoped<'_>> = rules
        .iter()
        .map(|rule| {
            let constraint = rule.policy().action_constraint();
            let actions = cache.entry(constraint).or_insert_with(|| Arc::new(members.matching(constraint)));
            Scoped { rule, actions: Arc::clone(actions) }
        })
        .collect();
    for one in &scoped {
        dead(one, findings);
    }
    repeated(rules, findings);
    shadowed(&scoped, findings);
    unguarded(compiled, &scoped, findings);
}

/// A policy and the actions that its scope matches.
struct Scoped<'r> {
    rule: &'r Rule,
    actions: Arc<BTreeSet<usize>>,
}

impl Scoped<'_> {
    /// Whether the scope matches wherever the other's does.
    fn covers(&self, other: &Self) -> bool {
        let (mine, theirs) = (self.rule.policy(), other.rule.policy());
        let within = |mine: &Constraint, theirs: &Constraint| *mine == Constraint::Any || mine == theirs;
        within(mine.principal_constraint().as_inner(), theirs.principal_constraint().as_inner())
            && within(mine.resource_constraint().as_inner(), theirs.resource_constraint().as_inner())
            && other.actions.is_subset(&self.actions)
    }
}

fn dead(one: &Scoped<'_>, findings: &mut Vec<Finding>) {
    let rule = one.rule;
    let mut warn = |message: String| findings.push(Finding::of(rule, Severity::Warning, "dead", message));
    if one.actions.is_empty() {
        warn("no contract has an action that this policy is about".to_owned());
    }
    if let Some(uid) = rule.policy().principal_constraint().as_inner().get_euid() {
        let kind = uid.entity_type().to_string();
        let eid: &str = uid.eid().as_ref();
        if matches!(kind.as_str(), "Refmon::Agent" | "Refmon::User") && !eid.contains('/') {
            warn(format!("the principal cannot exist: it is named with its tenant, as `{kind}::\"tenant/{eid}\"`"));
        }
    }
    let parts = rule.body().map(conjuncts).unwrap_or_default();
    if parts.iter().any(|part| is_false(part)) {
        warn("a condition is `false`".to_owned());
    }
    let mut equal: HashMap<&Expr, &Literal> = HashMap::new();
    for (subject, literal) in parts.iter().filter_map(|part| equality(part)) {
        if equal.insert(subject, literal).is_some_and(|earlier| earlier != literal) {
            warn(format!("`{subject}` cannot equal two values at once"));
        }
    }
}

fn equality(part: &Expr) -> Option<(&Expr, &Literal)> {
    let ExprKind::BinaryApp { op: BinaryOp::Eq, arg1, arg2 } = part.expr_kind() else { return None };
    match (arg1.expr_kind(), arg2.expr_kind()) {
        (ExprKind::Lit(_), ExprKind::Lit(_)) => None,
        (_, ExprKind::Lit(literal)) => Some((arg1, literal)),
        (ExprKind::Lit(literal), _) => Some((arg2, literal)),
        _ => None,
    }
}

fn repeated(rules: &[Rule], findings: &mut Vec<Finding>) {
    type Key<'r> =
        (bool, PrincipalConstraint, &'r ActionConstraint, ResourceConstraint, Option<&'r Expr>, Option<&'r Demand>);
    let mut seen: Vec<(Key<'_>, &Rule)> = Vec::new();
    let mut by_hash: HashMap<u64, Vec<usize>> = HashMap::new();
    let state = std::hash::RandomState::new();
    for rule in rules {
        let policy = rule.policy();
        let key: Key<'_> = (
            policy.effect() == Effect::Permit,
            policy.principal_constraint(),
            policy.action_constraint(),
            policy.resource_constraint(),
            rule.body(),
            rule.demand(),
        );
        let hash = std::hash::BuildHasher::hash_one(&state, (key.0, &key.1, key.2, &key.3, key.4));
        let bucket = by_hash.entry(hash).or_default();
        let first = bucket.iter().filter_map(|index| seen.get(*index)).find(|(earlier, _)| *earlier == key);
        if let Some((_, first)) = first {
            let message = format!("the policy says the same as `{}`; remove one", first.id());
            findings.push(Finding::of(rule, Severity::Warning, "repeated", message));
            continue;
        }
        bucket.push(seen.len());
        seen.push((key, rule));
    }
}

fn shadowed(scoped: &[Scoped<'_>], findings: &mut Vec<Finding>) {
    let flat: Vec<&Scoped<'_>> = scoped.iter().filter(|one| one.rule.body().is_none()).collect();
    if flat.len().saturating_mul(scoped.len()) > PAIRS_MAX {
        return;
    }
    for one in scoped.iter().filter(|one| one.rule.is_permit() && !one.actions.is_empty()) {
        let others = || flat.iter().filter(|other| !std::ptr::eq(other.rule, one.rule) && other.covers(one));
        if let Some(forbid) = others().find(|other| !other.rule.is_permit()) {
            let message = format!("the permit never matters: `{}` forbids all of it", forbid.rule.id());
            findings.push(Finding::of(one.rule, Severity::Warning, "shadowed", message));
            continue;
        }
        // Of two flat permits with equal scope, `repeated` names one.
        let broader =
            |other: &&&Scoped<'_>| other.rule.is_permit() && (one.rule.body().is_some() || !one.covers(other));
        if let Some(permit) = others().find(broader) {
            let message = format!("the permit adds nothing: `{}` permits all of it", permit.rule.id());
            findings.push(Finding::of(one.rule, Severity::Warning, "shadowed", message));
        }
    }
}

fn unguarded(compiled: &Compiled, scoped: &[Scoped<'_>], findings: &mut Vec<Finding>) {
    let mut open: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let guarded: BTreeSet<usize> =
        scoped.iter().filter(|one| !one.rule.is_permit()).flat_map(|one| one.actions.iter().copied()).collect();
    for (index, plan) in compiled.plans().iter().enumerate().filter(|(index, _)| !guarded.contains(index)) {
        debug_assert!(index < compiled.plans().len());
        for effect in GUARDED.iter().filter(|effect| plan.effects().contains(effect)) {
            open.entry(effect).or_default().push(plan.action());
        }
    }
    for (effect, actions) in open {
        let first = actions.first().copied().unwrap_or_default();
        findings.push(Finding {
            severity: Severity::Warning,
            rule: "no-guardrail",
            policy: None,
            file: Path::new("policies").to_owned(),
            line: 0,
            column: 0,
            message: format!(
                "{} operations with the effect `{effect}` have no `forbid` at all, the first is `{first}`; add a guardrail, or the pack `baseline`",
                actions.len()
            ),
        });
    }
}
