//! Policies as they were written: Cedar text in, [`Rule`]s out.
//!
//! A policy has a name (`@id`), says why (`@reason`), and a `forbid` may say what would lift it:
//! `@approval("operator")` or `@obligation("withhold_output")`. An approval may need two people: `@approvers("2")`. Templates are refused: refmon has nobody who
//! would link them.

use std::path::{Path, PathBuf};

use cedar_policy_core::ast::{self, Effect, Expr, ExprKind, PolicyID, Var};
use cedar_policy_core::parser;
use miette::Diagnostic;
use refmon_core::decision::Obligation;
use refmon_core::ids::{ApprovalKind, PolicyId};
use refmon_core::limits;

use crate::lint::{Finding, Severity};
use crate::problem::{Lines, nearest};

/// Bytes of the text of one policy, beyond which a lint warns.
pub const POLICY_BYTES_MAX: usize = 10 * 1024;

/// What would lift a conditional `forbid`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Demand {
    /// The approval of a person.
    Approval(ApprovalKind),
    /// Something that is done when the call has run.
    Obligation(Obligation),
}

impl Demand {
    /// The text that `context.granted` contains when the demand is met.
    #[must_use]
    pub fn token(&self) -> String {
        match self {
            Self::Approval(kind) => format!("approval:{kind}"),
            Self::Obligation(obligation) => obligation.as_str().to_owned(),
        }
    }
}

/// One policy.
#[derive(Debug, Clone)]
pub struct Rule {
    id: PolicyId,
    reason: Option<String>,
    demand: Option<Demand>,
    approvers: u8,
    file: PathBuf,
    line: u32,
    column: u32,
    bytes: usize,
    policy: ast::Policy,
    reads_granted: bool,
}

impl Rule {
    /// The policy's `@id`.
    #[must_use]
    pub const fn id(&self) -> &PolicyId {
        &self.id
    }

    /// The policy's `@reason`.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// What would lift the policy, if it is a conditional `forbid`.
    #[must_use]
    pub const fn demand(&self) -> Option<&Demand> {
        self.demand.as_ref()
    }

    /// How many people must approve what the policy asks an approval for.
    #[must_use]
    pub const fn approvers(&self) -> u8 {
        self.approvers
    }

    /// The file that the policy is in.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The line that the policy begins in, from 1.
    #[must_use]
    pub const fn line(&self) -> u32 {
        self.line
    }

    /// Whether the policy is a `permit`.
    #[must_use]
    pub fn is_permit(&self) -> bool {
        self.policy.effect() == Effect::Permit
    }

    pub(crate) const fn column(&self) -> u32 {
        self.column
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The policy as Cedar parsed it, named by its `@id`. For tools that compare engines; Cedar's core has no
    /// stable interface.
    #[must_use]
    pub const fn policy(&self) -> &ast::Policy {
        &self.policy
    }

    pub(crate) fn body(&self) -> Option<&Expr> {
        self.policy.non_scope_constraints()
    }

    /// Whether the outcome can change with `context.granted`.
    pub(crate) const fn depends_on_grants(&self) -> bool {
        self.reads_granted
    }
}

/// What a policy file has.
#[derive(Debug, Default)]
pub struct Parsed {
    /// The policies that have a name.
    pub rules: Vec<Rule>,
    /// What is wrong with the others.
    pub findings: Vec<Finding>,
}

/// Parses a policy file. What cannot be parsed becomes findings; this never fails otherwise.
#[must_use]
pub fn parse_policies(file: &Path, text: &str) -> Parsed {
    let mut parsed = Parsed::default();
    let lines = &Lines::of(text);
    let set = match parser::parse_policyset(text) {
        Ok(set) => set,
        Err(errors) => {
            for error in errors.iter() {
                let offset = error.labels().and_then(|mut labels| labels.next()).map_or(0, |label| label.offset());
                let help = error.help().map(|help| format!(" ({help})")).unwrap_or_default();
                parsed.findings.push(finding(file, lines, offset, "syntax", format!("{error}{help}")));
            }
            return parsed;
        }
    };
    for template in set.templates() {
        let offset = template.loc().map_or(0, parser::Loc::start);
        let message = "templates are not supported: write the principal or the resource out";
        parsed.findings.push(finding(file, lines, offset, "template", message.to_owned()));
    }
    let mut policies: Vec<&ast::Policy> = set.static_policies().collect();
    policies.sort_by_key(|policy| policy.loc().map(parser::Loc::start));
    for policy in policies {
        match rule(file, lines, policy) {
            Ok(rule) => parsed.rules.push(rule),
            Err(findings) => parsed.findings.extend(findings),
        }
    }
    parsed
}

fn rule(file: &Path, lines: &Lines<'_>, policy: &ast::Policy) -> Result<Rule, Vec<Finding>> {
    let offset = policy.loc().map_or(0, parser::Loc::start);
    let mut findings = Vec::new();
    let mut wrong = |rule, message: String| findings.push(finding(file, lines, offset, rule, message));
    let mut annotations = Annotations::default();
    for (key, value) in policy.annotations() {
        let value = value.as_ref();
        match key.as_ref() {
            "id" => match PolicyId::parse(value) {
                Ok(id) => annotations.id = Some(id),
                Err(error) => wrong("id", format!("`@id(\"{}\")`: {error}", value.escape_debug())),
            },
            "reason" if value.trim().is_empty() => wrong("reason", "`@reason` must say why".to_owned()),
            "reason" => annotations.reason = Some(value.to_owned()),
            "approval" => match ApprovalKind::parse(value) {
                Ok(kind) => annotations.demands.push(Demand::Approval(kind)),
                Err(error) => wrong("demand", format!("`@approval` must name a kind of approval: {error}")),
            },
            "obligation" => match Obligation::parse(value) {
                Some(obligation) => annotations.demands.push(Demand::Obligation(obligation)),
                None => {
                    let hint = nearest(value, Obligation::ALL.map(Obligation::as_str));
                    wrong("demand", format!("`{}` is not an obligation{hint}", value.escape_debug()));
                }
            },
            "approvers" => match value.parse::<u8>() {
                Ok(number @ 1..=limits::APPROVERS_MAX) if value.len() == 1 => annotations.approvers = Some(number),
                Ok(_) | Err(_) => {
                    wrong("demand", "`@approvers` says how many people must approve: `1` or `2`".to_owned())
                }
            },
            other => {
                let hint = nearest(other, ["id", "reason", "approval", "approvers", "obligation"]);
                wrong("annotation", format!("`@{other}` has no meaning{hint}"));
            }
        }
    }
    if !policy.annotations().any(|(key, _)| key.as_ref() == "id") {
        wrong("id", "the policy needs a name: add `@id(\"…\")` before it".to_owned());
    }
    if annotations.demands.len() > 1 {
        wrong("demand", "a policy can demand one thing: write one `forbid` per approval or obligation".to_owned());
    }
    if !annotations.demands.is_empty() && policy.effect() == Effect::Permit {
        let message = "`@approval` and `@obligation` belong to a `forbid`: another permit would go around them here";
        wrong("demand", message.to_owned());
    }
    if annotations.approvers.is_some() && !matches!(annotations.demands.as_slice(), [Demand::Approval(_)]) {
        wrong("demand", "`@approvers` belongs to an `@approval`: add `@approval(\"…\")`".to_owned());
    }
    match annotations.id {
        Some(id) if findings.is_empty() => {
            let (line, column) = lines.position(offset);
            Ok(Rule {
                policy: policy.new_id(PolicyID::from_string(id.as_str())),
                id,
                reason: annotations.reason,
                demand: annotations.demands.pop(),
                approvers: annotations.approvers.unwrap_or(1),
                file: file.to_owned(),
                line,
                column,
                bytes: policy.loc().map_or(0, |loc| loc.end().saturating_sub(loc.start())),
                reads_granted: policy.non_scope_constraints().is_some_and(reads_granted),
            })
        }
        Some(_) | None => Err(findings),
    }
}

#[derive(Default)]
struct Annotations {
    id: Option<PolicyId>,
    reason: Option<String>,
    demands: Vec<Demand>,
    approvers: Option<u8>,
}

fn finding(file: &Path, lines: &Lines<'_>, offset: usize, rule: &'static str, message: String) -> Finding {
    let (line, column) = lines.position(offset);
    Finding { severity: Severity::Error, rule, policy: None, file: file.to_owned(), line, column, message }
}

/// Whether an expression reads `context.granted`, or the context as a whole.
pub(crate) fn reads_granted(body: &Expr) -> bool {
    let whole = |expr: &Expr| matches!(expr.expr_kind(), ExprKind::Var(Var::Context));
    // Every `context` that is not the left side of an attribute other than `granted` counts.
    let contexts = body.subexpressions().filter(|expr| whole(expr)).count();
    let harmless = body.subexpressions().filter(|expr| match expr.expr_kind() {
        ExprKind::GetAttr { expr, attr } | ExprKind::HasAttr { expr, attr } => attr != "granted" && whole(expr),
        ExprKind::ExtHasAttr { expr, attrs } => attrs.first() != "granted" && whole(expr),
        _ => false,
    });
    contexts != harmless.count()
}

/// The parts of a condition that must all hold, in the order of evaluation.
pub(crate) fn conjuncts(body: &Expr) -> Vec<&Expr> {
    let mut parts = Vec::new();
    let mut waiting = vec![body];
    while let Some(next) = waiting.pop() {
        if let ExprKind::And { left, right } = next.expr_kind() {
            waiting.extend([right.as_ref(), left.as_ref()]);
        } else {
            parts.push(next);
        }
    }
    parts
}
