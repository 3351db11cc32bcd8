//! Packs: policies that are shipped with refmon.
//!
//! A pack is ordinary Cedar text, readable with `refmon policy show`, and can be overridden only by adding: a
//! `permit` of the operator opens more, a `forbid` closes more, and nothing switches a pack's `forbid` off.

use std::path::{Path, PathBuf};

/// A pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pack {
    /// The name in the configuration.
    pub name: &'static str,
    /// What it does, in one sentence.
    pub summary: &'static str,
    /// The policies.
    pub text: &'static str,
}

/// Every pack.
pub const ALL: &[Pack] = &[Pack {
    name: "baseline",
    summary: "permits tools that only read; destructive, execute and admin need the approval `operator`",
    text: include_str!("../packs/baseline.cedar"),
}];

/// What stands for a pack's file in findings and explanations: `pack baseline`.
#[must_use]
pub fn file(name: &str) -> PathBuf {
    PathBuf::from(format!("pack {name}"))
}

/// Whether a file of a finding is a pack.
#[must_use]
pub fn is_pack_file(path: &Path) -> bool {
    ALL.iter().any(|pack| path == file(pack.name))
}

/// Finds a pack by its name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Pack> {
    ALL.iter().find(|pack| pack.name == name)
}
