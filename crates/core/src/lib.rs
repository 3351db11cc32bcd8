//! The trusted core of refmon, a reference monitor for tool-using AI agents.
//!
//! Everything that decides whether a tool call happens is in this crate, and nothing else is: no I/O, no
//! async, no clock, no randomness of its own. Those enter through [`ports`]. A call moves through types that
//! can only be made by the step before them:
//!
//! ```text
//! Proposal ──Monitor::submit──▶ Verdict::Permit(Authorized) ──dispatch──▶ InFlight ──returned──▶ Returned
//!                               Verdict::Hold(Held)                                                 │
//!                               Verdict::Deny(Denied)                       Released ◀──Monitor::finish
//! ```
//!
//! To read the core in the order of a call: [`json`] (one reading or none; a crate of its own), [`contract`] and [`kinds`] (what
//! the arguments mean), [`bundle`] (what is known about tools), [`monitor`] (the decision), [`record`] (the
//! evidence). The promises are numbered in `SPECIFICATION.md`, each with its test.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::wildcard_enum_match_arm)]
#![cfg_attr(
    test,
    allow(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::wildcard_enum_match_arm,
        clippy::allow_attributes,
        reason = "tests may index and add"
    )
)]

pub use refmon_json as json;

pub mod bundle;
pub mod caller;
pub mod contract;
pub mod decision;
pub mod digest;
mod door;
pub mod facts;
pub mod hold;
pub mod ids;
pub mod kinds;
pub mod limits;
pub mod monitor;
pub mod ports;
pub mod reason;
pub mod record;
pub mod secret;
pub mod untrusted;
