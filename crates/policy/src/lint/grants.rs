//! `context.granted` has one use: to lift the `forbid` that demands it.
//!
//! The fix-point grants tokens for the sake of argument. If anything else read them, an approval could open what
//! nobody asked about, and the passes might not end.

use cedar_policy_core::ast::{BinaryOp, Expr, ExprKind, Literal, UnaryOp, Var};

use super::{Finding, Severity};
use crate::rule::{Rule, conjuncts, reads_granted};

pub(super) fn check(rules: &[Rule], findings: &mut Vec<Finding>) {
    for rule in rules {
        let parts = rule.body().map(conjuncts).unwrap_or_default();
        let (lifting, others): (Vec<&Expr>, Vec<&Expr>) = parts.into_iter().partition(|part| lifted_by(part).is_some());
        let token = rule.demand().map(crate::rule::Demand::token);
        let foreign = lifting.iter().filter_map(|part| lifted_by(part)).any(|found| Some(found) != token.as_deref());
        if foreign || others.iter().any(|part| reads_granted(part)) {
            let message = match &token {
                Some(token) => format!(
                    "here `context.granted` is read only by `unless {{ context.granted.contains(\"{token}\") }}`"
                ),
                None => {
                    "`context.granted` is read only by a `forbid` that says `@approval` or `@obligation`".to_owned()
                }
            };
            findings.push(Finding::of(rule, Severity::Error, "granted", message));
        } else if let Some(token) = token.filter(|_| lifting.is_empty()) {
            let message = format!("nothing lifts this: add `unless {{ context.granted.contains(\"{token}\") }}`");
            findings.push(Finding::of(rule, Severity::Error, "granted", message));
        }
    }
}

/// The token of `!context.granted.contains("token")`, which is what `unless` becomes.
fn lifted_by(part: &Expr) -> Option<&str> {
    let ExprKind::UnaryApp { op: UnaryOp::Not, arg } = part.expr_kind() else { return None };
    let ExprKind::BinaryApp { op: BinaryOp::Contains, arg1, arg2 } = arg.expr_kind() else { return None };
    let ExprKind::GetAttr { expr, attr } = arg1.expr_kind() else { return None };
    let ExprKind::Lit(Literal::String(token)) = arg2.expr_kind() else { return None };
    let granted = attr == "granted" && matches!(expr.expr_kind(), ExprKind::Var(Var::Context));
    granted.then_some(token.as_str())
}
