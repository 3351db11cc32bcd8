//! refmon's HTTP APIs beside MCP: they answer, and execute nothing.
//!
//! | module | what it is for |
//! |---|---|
//! | [`server`] | which path is whose; a request with its caller in, an answer out |
//! | [`halts`] | `/v1/halts`: the kill switch of the caller's tenant |
//! | [`problem`] | errors (RFC 9457) |
//!
//! Whoever listens (the gateway) has checked `Host` and `Origin`, has read the body within its bound, and has made a
//! [`Caller`](refmon_core::caller::Caller) of the credential; this crate sees no credential and no socket. Bodies of
//! answers are streams, so that pages that go on can come from here.
//!
//! INVARIANT: the tenant is the caller's. No path, header or body names one.
#![deny(clippy::indexing_slicing)]
#![cfg_attr(test, allow(clippy::indexing_slicing, clippy::allow_attributes, reason = "tests may index"))]

pub mod halts;
pub mod problem;
pub mod server;

pub use halts::{Halt, Halts};
pub use server::{Body, Server};
