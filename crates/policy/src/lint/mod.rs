//! Lints: policies that would not do what they seem to do.
//!
//! An error stops the load, a warning does not. Everything here is decided by structure and by Cedar's strict
//! validator, without a solver, so a lint that is silent proves nothing.

mod grants;
mod reach;
mod text;
mod types;

use std::fmt;
use std::path::PathBuf;

use refmon_core::ids::PolicyId;

use crate::compile::Compiled;
use crate::packs;
use crate::problem::Problem;
use crate::rule::Rule;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing is loaded.
    Error,
    /// The bundle is loaded.
    Warning,
}

impl Severity {
    /// The name in output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// What a lint found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The name of the lint.
    pub rule: &'static str,
    /// The policy, if it has a name.
    pub policy: Option<PolicyId>,
    /// The file.
    pub file: PathBuf,
    /// The line, from 1; 0 if it is about no line in particular.
    pub line: u32,
    /// The column, from 1; 0 if it is about the line as a whole.
    pub column: u32,
    /// What is wrong, and what to do.
    pub message: String,
}

impl Finding {
    fn of(rule: &Rule, severity: Severity, lint: &'static str, message: impl Into<String>) -> Self {
        Self {
            severity,
            rule: lint,
            policy: Some(rule.id().clone()),
            file: rule.file().to_owned(),
            line: rule.line(),
            column: rule.column(),
            message: message.into(),
        }
    }

    /// The finding as a problem of its file.
    #[must_use]
    pub fn problem(&self) -> Problem {
        let policy = self.policy.as_ref().map(|policy| format!("policy `{policy}`: ")).unwrap_or_default();
        Problem {
            file: self.file.clone(),
            line: self.line,
            column: self.column,
            message: format!("{policy}{} [{}]", self.message, self.rule),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.severity.as_str(), self.problem())
    }
}

/// Looks at all policies. The findings are in the order of files and lines.
#[must_use]
pub fn check(compiled: &Compiled, rules: &[Rule]) -> Vec<Finding> {
    let mut findings = Vec::new();
    text::check(compiled, rules, &mut findings);
    grants::check(rules, &mut findings);
    types::check(compiled, rules, &mut findings);
    reach::check(compiled, rules, &mut findings);
    findings.retain(|finding| !expected_of_a_pack(finding));
    findings.sort_by(|a, b| (&a.file, a.line, a.column, a.rule).cmp(&(&b.file, b.line, b.column, b.rule)));
    findings
}

/// A pack speaks of all effects, whichever of them the contracts have. That is no mistake of the operator.
fn expected_of_a_pack(finding: &Finding) -> bool {
    let unused = matches!(finding.rule, "dead" | "confusable") && finding.severity == Severity::Warning;
    unused && packs::is_pack_file(&finding.file)
}

#[cfg(test)]
mod tests;
