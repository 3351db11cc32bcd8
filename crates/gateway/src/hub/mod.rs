//! The hub: many servers behind one endpoint, each client with peers of its own.
//!
//! ```text
//! door ──▶ Client ──┬──▶ Peer ── Session ── Link ──▶ server
//!                   └──▶ Peer ── Session ── Link ──▶ server
//! ```
//!
//! A message is readdressed *before* it is judged: a tool's prefix is taken off, the client's identifier becomes a
//! ticket, and between protocol eras it is translated. The session judges what the server will get, and sends
//! those very bytes. Answers are readdressed after the monitor has released them.
//!
//! Up to 2025-11-25 a client is a protocol session, bound to the caller who began it; from 2026-07-28 on it is all
//! requests of one caller. No two callers share a peer: not a process, not an upstream session, not an identifier.

mod asked;
mod bridge;
mod client;
mod clients;
mod lists;
mod newer;
mod peer;
mod reach;
mod subscriptions;

pub(crate) use client::{Client, Out};
pub use clients::{Hub, Parts};
pub(crate) use peer::SHORT;

/// The key of `_meta` under which a notification says to which subscription it belongs (MCP 2026-07-28).
const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";
