//! `refmon serve` as a real process, over real sockets, in front of real server processes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::allow_attributes,
    reason = "what surrounds a test may unwrap as the test does"
)]

#[path = "serve/gateway.rs"]
mod gateway;

#[path = "serve/attacks.rs"]
mod attacks;
#[path = "serve/bounds.rs"]
mod bounds;
#[path = "serve/bridges.rs"]
mod bridges;
#[path = "serve/callers.rs"]
mod callers;
#[path = "serve/console.rs"]
mod console;
#[path = "serve/eras.rs"]
mod eras;
#[path = "serve/grants.rs"]
mod grants;
#[path = "serve/halts.rs"]
mod halts;
#[path = "serve/holds.rs"]
mod holds;
#[path = "serve/hostile.rs"]
mod hostile;
#[path = "serve/issuers.rs"]
mod issuers;
#[path = "serve/metrics.rs"]
mod metrics;
#[path = "serve/newer_client.rs"]
mod newer_client;
#[path = "serve/older_client.rs"]
mod older_client;
#[path = "serve/operations.rs"]
mod operations;
#[path = "serve/tls.rs"]
mod tls;
#[path = "serve/traces.rs"]
mod traces;
#[path = "serve/upstreams.rs"]
mod upstreams;
#[path = "serve/waits.rs"]
mod waits;
#[path = "serve/webhook.rs"]
mod webhook;
