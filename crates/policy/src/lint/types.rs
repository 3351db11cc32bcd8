//! Cedar's strict validator, policy by policy.
//!
//! The validator checks a policy against every action of a schema, which is quadratic in a bundle. A policy is
//! therefore checked against a schema of the actions that its scope can match; for every other action its scope
//! is false and nothing is left to check. What fails is checked once more against the whole schema, whose answer
//! counts: a condition may name actions outside of its scope.

use std::collections::{BTreeSet, HashMap};

use cedar_policy_core::ast::{ActionConstraint, PolicySet};
use cedar_policy_core::validator::{ValidationError, ValidationMode, ValidationResult, ValidationWarning, Validator};
use miette::Diagnostic;

use super::{Finding, Severity};
use crate::compile::Compiled;
use crate::engine::index::Members;
use crate::engine::world::Names;
use crate::problem::{nearest, position};
use crate::rule::Rule;

pub(super) fn check(compiled: &Compiled, rules: &[Rule], findings: &mut Vec<Finding>) {
    let whole = Validator::new(compiled.schema().clone());
    let members = Names::new().and_then(|names| Members::new(compiled, &names)).map(|(members, _)| members).ok();
    let mut narrow: HashMap<BTreeSet<usize>, Option<Validator>> = HashMap::new();
    for rule in rules {
        let one = PolicySet::singleton(rule.policy().clone());
        let scope = rule.policy().action_constraint();
        let actions =
            members.as_ref().filter(|_| *scope != ActionConstraint::Any).map(|members| members.matching(scope));
        if let Some(actions) = actions.filter(|actions| !actions.is_empty()) {
            let validator = narrow.entry(actions).or_insert_with_key(|actions| {
                let actions: Vec<usize> = actions.iter().copied().collect();
                compiled.schema_of(&actions).ok().map(Validator::new)
            });
            if let Some(validator) = validator {
                let result = validator.validate(&one, ValidationMode::Strict);
                if result.validation_passed() {
                    warnings(rule, &result, findings);
                    continue;
                }
            }
        }
        let result = whole.validate(&one, ValidationMode::Strict);
        for error in result.validation_errors() {
            let mut finding = finding(rule, Severity::Error, "type", error);
            if let ValidationError::UnrecognizedActionId(unknown) = error {
                // Cedar names any action; the nearest one that a call has is more use.
                let actions: Vec<String> =
                    compiled.plans().iter().map(|plan| format!("Refmon::Action::\"{}\"", plan.action())).collect();
                let near = nearest(&unknown.actual_action_id, actions.iter().map(String::as_str));
                finding.message = format!("no contract has the action `{}`{near}", unknown.actual_action_id);
            }
            findings.push(finding);
        }
        warnings(rule, &result, findings);
    }
}

fn warnings(rule: &Rule, result: &ValidationResult, findings: &mut Vec<Finding>) {
    for warning in result.validation_warnings() {
        let lint = if matches!(warning, ValidationWarning::ImpossiblePolicy(_)) { "dead" } else { "confusable" };
        findings.push(finding(rule, Severity::Warning, lint, warning));
    }
}

fn finding(rule: &Rule, severity: Severity, lint: &'static str, diagnostic: &dyn Diagnostic) -> Finding {
    let help = diagnostic.help().map(|help| format!(" ({help})")).unwrap_or_default();
    let mut finding = Finding::of(rule, severity, lint, format!("{diagnostic}{help}"));
    let offset = diagnostic.labels().and_then(|mut labels| labels.next()).map(|label| label.offset());
    let source = rule.policy().loc().map(|loc| &loc.src);
    if let (Some(offset), Some(source)) = (offset, source) {
        (finding.line, finding.column) = position(source, offset);
    }
    finding
}
