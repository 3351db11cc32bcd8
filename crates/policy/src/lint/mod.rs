//! x
use std::path::PathBuf;
use refmon_core::ids::PolicyId;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing is loaded.
    Error,
    /// The bundle is loaded.
    Warning,
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
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1.
    pub column: u32,
    /// What is wrong and what to do.
    pub message: String,
}
