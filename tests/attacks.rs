//! Known ways around a guard, each with the public place where it happened to somebody, against a real session with
//! the real policy engine. Only the streams, the journal and the server are scripted. They stay closed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::allow_attributes,
    reason = "what surrounds a test may unwrap as the test does"
)]

#[path = "attacks/approvals.rs"]
mod approvals;
#[path = "attacks/definitions.rs"]
mod definitions;
#[path = "attacks/disclosure.rs"]
mod disclosure;
#[path = "attacks/envelope.rs"]
mod envelope;
#[path = "attacks/identity.rs"]
mod identity;
#[path = "attacks/server.rs"]
mod server;
#[path = "attacks/stage.rs"]
mod stage;
mod support;
