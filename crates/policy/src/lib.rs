//! Cedar behind refmon's policy port.
//!
//! An operator writes contracts (what a tool is) and policies (who may call it). This crate turns both into a
//! [`refmon_core::bundle::Bundle`], all or nothing: [`load`] reads the files, [`compile`] makes a strict Cedar
//! schema of the contracts, [`lint`] refuses policies that would not do what they seem to do, and [`engine`]
//! decides. [`explain`] says why.
//!
//! Invariants, each with its test:
//! - An error while evaluating any policy in scope denies. (The stock authorizer skips such a policy, so that a
//!   `forbid` that errs would permit.)
//! - An action that the contracts do not have is denied, and the hierarchy of actions comes from the same schema
//!   that the policies were checked against.
//! - Arguments become Cedar values by a plan that was compiled at load. Nothing in a call can become an entity.
//! - Facts are canonical; `like` on raw arguments is refused by a lint.
//! - What a policy demands (an approval, an obligation) is a conditional `forbid`, so it can only tighten.
#![cfg_attr(test, allow(clippy::allow_attributes, clippy::indexing_slicing, reason = "tests may index"))]

pub mod compile;
pub mod engine;
pub mod explain;
pub mod lint;
pub mod packs;
pub mod problem;
pub mod rule;
pub mod schema;
pub mod source;
#[cfg(test)]
mod testing;

pub use engine::{Engine, Options};
pub use explain::Explanation;
pub use problem::{LoadError, Problem};
pub use source::{Loaded, Report, Sources, load, load_with};
