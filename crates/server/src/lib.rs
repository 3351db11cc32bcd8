//! refmon's HTTP APIs beside MCP: they answer, and execute nothing.
//!
//! | module | what it is for |
//! |---|---|
//! | [`server`] | which path is whose; a request with its caller in, an answer out |
//! | [`halts`] | `/v1/halts`: the kill switch of the caller's tenant |
//! | [`holds`] | `/v1/holds`: calls that wait for a person |
//! | `access`, `search` | `/access/v1/…`: OpenID AuthZEN 1.0, for hosts that ask before they act |
//! | `calls` | `/v1/calls`: for hosts that run calls themselves and say how they ended |
//! | `decisions`, `host` | from a question to a proposal; who may be named |
//! | [`directory`] | what the operator says of subjects and resources |
//! | `shape`, `bodies`, `answers`, [`openapi`] | bodies as tables: checked, and made into an OpenAPI document |
//! | [`problem`] | errors (RFC 9457) |
//!
//! Whoever listens (the gateway) has checked `Host` and `Origin`, has read the body within its bound, and has made a
//! [`Caller`](refmon_core::caller::Caller) of the credential; this crate sees no credential and no socket. Bodies of
//! answers are streams, so that pages that go on can come from here.
//!
//! INVARIANT: the tenant is the caller's. No path, header or body names one. Another user is named by a `Host` only, which
//! is a caller with the scope for it, and gets nothing that the host lacks.
#![deny(clippy::indexing_slicing)]
#![cfg_attr(test, allow(clippy::indexing_slicing, clippy::allow_attributes, reason = "tests may index"))]

mod access;
mod answers;
mod bodies;
mod calls;
pub mod decisions;
pub mod directory;
pub mod halts;
pub mod holds;
pub mod host;
pub mod openapi;
pub mod problem;
mod search;
pub mod server;
mod shape;
mod verdict;

pub use decisions::{Parts, Servers};
pub use directory::{Directory, Known};
pub use halts::{Halt, Halts};
pub use holds::Holds;
pub use server::{Body, Server};
