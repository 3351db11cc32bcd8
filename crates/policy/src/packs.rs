//! Packs: policies that are shipped with refmon.
//!
//! A pack is ordinary Cedar text, readable with `refmon policy show`, and can be overridden only by adding: a
//! `permit` of the operator opens more, a `forbid` closes more, and nothing switches a pack's `forbid` off.

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

/// Finds a pack by its name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Pack> {
    ALL.iter().find(|pack| pack.name == name)
}
