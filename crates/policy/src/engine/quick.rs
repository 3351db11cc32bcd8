//! Conditions that need no interpreter.
//!
//! Most conditions begin with comparisons of one attribute with one constant, and most policies in scope are
//! false by the first or second of them. These are found at load ([`Quick::of`]), their constants are evaluated
//! once, and a call only looks attributes up and compares.
//!
//! INVARIANT: a quick answer is Cedar's answer. The parts of a condition are taken in Cedar's order of
//! evaluation, each is decided by Cedar's own comparison or extension function, and wherever one could err (an
//! attribute that is absent, a value of another type) there is no quick answer and Cedar interprets the whole
//! condition. The differential tests and the self-check compare the results.

use cedar_policy_core::ast::{
    BinaryOp, Expr, ExprKind, ExtensionFunction, Literal, PartialValue, UnaryOp, Value, ValueKind, Var,
};
use cedar_policy_core::evaluator::binary_relation;
use cedar_policy_core::extensions::Extensions;
use smol_str::SmolStr;

use crate::compile::plan::Attributes;
use crate::rule::conjuncts;

/// The quick parts at the beginning of a condition.
#[derive(Debug)]
pub(super) struct Quick {
    tests: Vec<Test>,
    /// Whether the tests are the whole condition.
    complete: bool,
}

/// What can be looked up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attributed<'a> {
    pub(super) context: &'a Attributes,
    pub(super) principal: &'a Attributes,
}

#[derive(Debug)]
struct Test {
    negated: bool,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Has(Path, SmolStr),
    Compare(BinaryOp, Operand, Operand),
    Contains(Operand, Operand),
    Call(&'static ExtensionFunction, [Operand; 2]),
}

#[derive(Debug)]
enum Operand {
    Path(Path),
    Constant(Value),
}

#[derive(Debug)]
struct Path {
    of_principal: bool,
    attributes: Vec<SmolStr>,
}

impl Quick {
    /// Finds the quick parts of a condition. Without a condition, the answer is quick.
    pub(super) fn of(body: Option<&Expr>) -> Self {
        let parts = body.map(conjuncts).unwrap_or_default();
        let tests: Vec<Test> = parts.iter().map_while(|part| test(part)).collect();
        Self { complete: tests.len() == parts.len(), tests }
    }

    /// Whether the condition holds; `None` if Cedar must be asked.
    pub(super) fn holds(&self, attributes: Attributed<'_>) -> Option<bool> {
        for test in &self.tests {
            if test.holds(attributes)? == test.negated {
                return Some(false);
            }
        }
        self.complete.then_some(true)
    }
}

impl Test {
    /// Whether the test holds before it is negated; `None` if that could be an error.
    fn holds(&self, attributes: Attributed<'_>) -> Option<bool> {
        match &self.kind {
            Kind::Has(path, name) => match path.find(attributes)? {
                Found::Root(root) => Some(root.contains_key(name)),
                Found::Value(value) => match value.value_kind() {
                    ValueKind::Record(record) => Some(record.contains_key(name)),
                    ValueKind::Lit(_) | ValueKind::Set(_) | ValueKind::ExtensionValue(_) => None,
                },
            },
            Kind::Compare(op, left, right) => {
                let (left, right) = (left.value(attributes)?, right.value(attributes)?);
                flag(&binary_relation(*op, left, right, Extensions::all_available()).ok()?)
            }
            Kind::Contains(set, item) => match set.value(attributes)?.value_kind() {
                ValueKind::Set(set) => Some(set.contains(item.value(attributes)?)),
                ValueKind::Lit(_) | ValueKind::Record(_) | ValueKind::ExtensionValue(_) => None,
            },
            Kind::Call(function, [first, second]) => {
                let arguments = [first.value(attributes)?.clone(), second.value(attributes)?.clone()];
                match function.call(&arguments) {
                    Ok(PartialValue::Value(value)) => flag(&value),
                    Ok(PartialValue::Residual(_)) | Err(_) => None,
                }
            }
        }
    }
}

enum Found<'a> {
    Root(&'a Attributes),
    Value(&'a Value),
}

impl Path {
    fn find<'a>(&self, attributes: Attributed<'a>) -> Option<Found<'a>> {
        let root = if self.of_principal { attributes.principal } else { attributes.context };
        let Some((first, rest)) = self.attributes.split_first() else { return Some(Found::Root(root)) };
        let mut value = root.get(first)?;
        for name in rest {
            let ValueKind::Record(record) = value.value_kind() else { return None };
            value = record.get(name)?;
        }
        Some(Found::Value(value))
    }
}

impl Operand {
    fn value<'a>(&'a self, attributes: Attributed<'a>) -> Option<&'a Value> {
        match self {
            Self::Constant(value) => Some(value),
            Self::Path(path) => match path.find(attributes)? {
                Found::Value(value) => Some(value),
                Found::Root(_) => None,
            },
        }
    }
}

fn flag(value: &Value) -> Option<bool> {
    match value.value_kind() {
        ValueKind::Lit(Literal::Bool(value)) => Some(*value),
        ValueKind::Lit(_) | ValueKind::Set(_) | ValueKind::Record(_) | ValueKind::ExtensionValue(_) => None,
    }
}

fn test(part: &Expr) -> Option<Test> {
    if let ExprKind::UnaryApp { op: UnaryOp::Not, arg } = part.expr_kind() {
        let inner = test(arg)?;
        return Some(Test { negated: !inner.negated, kind: inner.kind });
    }
    let kind = match part.expr_kind() {
        ExprKind::HasAttr { expr, attr } => Kind::Has(path(expr)?, attr.clone()),
        ExprKind::BinaryApp { op: op @ (BinaryOp::Eq | BinaryOp::Less | BinaryOp::LessEq), arg1, arg2 } => {
            Kind::Compare(*op, operand(arg1)?, operand(arg2)?)
        }
        ExprKind::BinaryApp { op: BinaryOp::Contains, arg1, arg2 } => Kind::Contains(operand(arg1)?, operand(arg2)?),
        ExprKind::ExtensionFunctionApp { fn_name, args } => {
            let [first, second] = args.as_slice() else { return None };
            let function = Extensions::all_available().func(fn_name).ok()?;
            Kind::Call(function, [operand(first)?, operand(second)?])
        }
        _ => return None,
    };
    Some(Test { negated: false, kind })
}

fn operand(expr: &Expr) -> Option<Operand> {
    constant(expr).map(Operand::Constant).or_else(|| path(expr).map(Operand::Path))
}

/// A literal, a set of constants, or an extension function of constants that does not err.
fn constant(expr: &Expr) -> Option<Value> {
    match expr.expr_kind() {
        ExprKind::Lit(literal) => Some(Value::from(literal.clone())),
        ExprKind::Set(items) => Some(Value::set(items.iter().map(constant).collect::<Option<Vec<_>>>()?, None)),
        ExprKind::ExtensionFunctionApp { fn_name, args } => {
            let arguments: Vec<Value> = args.iter().map(constant).collect::<Option<_>>()?;
            match Extensions::all_available().func(fn_name).ok()?.call(&arguments) {
                Ok(PartialValue::Value(value)) => Some(value),
                Ok(PartialValue::Residual(_)) | Err(_) => None,
            }
        }
        _ => None,
    }
}

fn path(expr: &Expr) -> Option<Path> {
    match expr.expr_kind() {
        ExprKind::Var(Var::Context) => Some(Path { of_principal: false, attributes: Vec::new() }),
        ExprKind::Var(Var::Principal) => Some(Path { of_principal: true, attributes: Vec::new() }),
        ExprKind::GetAttr { expr, attr } => {
            let mut path = path(expr)?;
            path.attributes.push(attr.clone());
            Some(path)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many parts of a condition are quick, and whether all are.
    fn parts(condition: &str) -> (usize, bool) {
        let parsed =
            crate::testing::rules(&format!("@id(\"p\") permit(principal, action, resource) when {{ {condition} }};"));
        let quick = Quick::of(parsed.rules[0].body());
        (quick.tests.len(), quick.complete)
    }

    #[test]
    fn ordinary_comparisons_are_quick_and_all_else_is_left_to_cedar() {
        for quick in [
            "context.args has n && context.args.n == 5",
            "context.facts has a && context.facts.a.value.lessThan(decimal(\"1.5\"))",
            "!(principal.scopes.contains(\"s\")) && context.args.n < 3",
            "[\"a\", \"b\"].contains(context.args.n) && context.now > datetime(\"2026-01-01\")",
        ] {
            assert_eq!(parts(quick), (2, true), "{quick}");
        }
        assert_eq!(parts("context.args has n && principal in resource && context.args.n == 5"), (1, false));
        assert_eq!(parts("context.args has n || true"), (0, false));
        assert_eq!(parts("context.args.n.lessThan(decimal(\"x\"))"), (0, false));
    }

    #[test]
    fn where_cedar_could_err_there_is_no_quick_answer() {
        let context = Attributes::from([
            ("n".into(), Value::from(5)),
            ("r".into(), crate::compile::plan::record(Attributes::from([("x".into(), Value::from(1))]))),
        ]);
        let principal = Attributes::new();
        let attributes = Attributed { context: &context, principal: &principal };
        let holds = |condition: &str| {
            let parsed = crate::testing::rules(&format!(
                "@id(\"p\") permit(principal, action, resource) when {{ {condition} }};"
            ));
            Quick::of(parsed.rules[0].body()).holds(attributes)
        };
        for unknown in [
            "context.z == 1",
            "context.n < \"a\"",
            "context.n has x",
            "context.n.contains(1)",
            "context.r.x.y == 1",
            "context.n",
            "principal == context.n",
        ] {
            assert_eq!(holds(unknown), None, "{unknown}");
        }
        assert_eq!(holds("context.n == 5 && context.z == 1"), None);
        assert_eq!(holds("context.n == 6 && context.z == 1"), Some(false));
        assert_eq!(holds("context.n == \"5\""), Some(false));
        assert_eq!(holds("context.r has x && context.r.x == 1 && !(context has z) && context.n <= 5"), Some(true));
    }
}
