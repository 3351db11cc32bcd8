//! What can be seen in one policy by itself.

use std::collections::HashMap;
use std::path::Path;

use cedar_policy_core::ast::{
    ActionConstraint, Expr, ExprKind, Literal, PrincipalOrResourceConstraint as Constraint, Var,
};

use super::{Finding, Severity};
use crate::compile::Compiled;
use crate::rule::{POLICY_BYTES_MAX, Rule};

pub(super) fn check(compiled: &Compiled, rules: &[Rule], findings: &mut Vec<Finding>) {
    let mut seen: HashMap<&str, (&Path, u32)> = HashMap::new();
    for rule in rules {
        if let Some((file, line)) = seen.insert(rule.id().as_str(), (rule.file(), rule.line())) {
            let message = format!("the name is taken by {}:{line}; every `@id` is unique", file.display());
            findings.push(Finding::of(rule, Severity::Error, "duplicate-id", message));
        }
        let mut warn = |lint, message: String| findings.push(Finding::of(rule, Severity::Warning, lint, message));
        if rule.reason().is_none() {
            warn(
                "no-reason",
                "say why with `@reason(\"…\")`: people read it when a call is refused or held".to_owned(),
            );
        }
        if rule.bytes() > POLICY_BYTES_MAX {
            warn("long", format!("the policy is longer than {POLICY_BYTES_MAX} bytes; split it"));
        }
        let policy = rule.policy();
        let anyone = *policy.principal_constraint().as_inner() == Constraint::Any;
        let anything = *policy.resource_constraint().as_inner() == Constraint::Any;
        if rule.is_permit() && anyone && anything && *policy.action_constraint() == ActionConstraint::Any {
            warn(
                "unscoped-permit",
                "the permit names no principal, action or resource; name at least the action".to_owned(),
            );
        }
        likes(compiled, rule, findings);
    }
}

fn likes(compiled: &Compiled, rule: &Rule, findings: &mut Vec<Finding>) {
    let matches = rule.body().into_iter().flat_map(Expr::subexpressions).filter_map(|expr| match expr.expr_kind() {
        ExprKind::Like { expr, .. } => Some(expr.as_ref()),
        _ => None,
    });
    for subject in matches {
        let path = attributes(subject);
        let (severity, message) = match path.as_deref() {
            Some(["facts", argument, "value"]) if is_url(compiled, argument) => (
                Severity::Error,
                "`like` on a whole URL also matches its path and query; compare `scheme`, `host` or `domain` instead",
            ),
            Some(["facts", _, _]) => continue,
            Some(["args", ..]) => (
                Severity::Error,
                "`like` on a raw argument matches spellings such as `/srv/../etc`; give the argument a kind and use its facts",
            ),
            Some(_) | None => {
                (Severity::Warning, "`like` is meant for canonical facts; compare with `==` or `contains`")
            }
        };
        findings.push(Finding::of(rule, severity, "raw-like", message));
    }
}

/// The attributes of the context that an expression reads, from the outside in.
fn attributes(expr: &Expr) -> Option<Vec<&str>> {
    match expr.expr_kind() {
        ExprKind::Var(Var::Context) => Some(Vec::new()),
        ExprKind::GetAttr { expr, attr } => {
            let mut path = attributes(expr)?;
            path.push(attr);
            Some(path)
        }
        _ => None,
    }
}

/// Whether the argument is a URL for some operation.
fn is_url(compiled: &Compiled, argument: &str) -> bool {
    compiled
        .plans()
        .iter()
        .any(|plan| plan.fact_names(argument).is_some_and(|mut names| names.any(|name| name == "host")))
}

/// Whether a part of a condition is the literal `false`.
pub(super) fn is_false(part: &Expr) -> bool {
    matches!(part.expr_kind(), ExprKind::Lit(Literal::Bool(false)))
}
