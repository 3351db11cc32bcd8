//! refmon's evidence: every attempt to call a tool is durable before the tool runs, and can be checked afterwards.
//!
//! | module | what it is for |
//! |---|---|
//! | [`record`] | the bytes of a record: deterministic CBOR, one spelling each |
//! | [`frame`], [`segment`] | the bytes of a file: frames, batches, headers |
//! | [`journal`] | writing: group commit, one fault survived, fail closed |
//! | [`recovery`] | closing what a crashed process left open, as *indeterminate*, never as *did not happen* |
//! | [`reader`] | reading: all boots in one order, following, from a cursor on |
//! | [`verify`], [`fsck`] | checking: what is whole, what is open, what was changed and where |
//! | [`commitments`] | keyed commitments and handles, so that evidence holds neither arguments nor persons |
//! | [`disk`] | the few file operations that writing needs, as a trait, so that tests can make each of them fail |
//!
//! The journal is the truth. Whatever else knows about records (an index, an export) can be rebuilt from it.
#![deny(clippy::indexing_slicing)]
#![cfg_attr(test, allow(clippy::indexing_slicing, clippy::allow_attributes, reason = "tests may index"))]

mod chain;
pub mod commitments;
pub mod disk;
pub mod finding;
mod folder;
pub mod frame;
pub mod fsck;
mod ids;
pub mod journal;
mod queue;
pub mod reader;
pub mod record;
pub mod recovery;
pub mod segment;
mod spare;
mod stream;
pub mod verify;
mod walk;
mod writer;

pub use folder::{JournalError, Marker};
pub use ids::{BootId, NodeId};
pub use journal::{Journal, Opened, Options};
