//! The decision API as hosts use it: over real sockets, against a real `refmon serve`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::allow_attributes,
    dead_code,
    reason = "what surrounds a test may unwrap as the test does, and not every suite needs all of the gateway under test"
)]

#[path = "serve/gateway.rs"]
mod gateway;
#[path = "decisions/site.rs"]
mod site;

#[path = "decisions/calls.rs"]
mod calls;
#[path = "decisions/certification.rs"]
mod certification;
#[path = "decisions/interop.rs"]
mod interop;
#[path = "decisions/misuse.rs"]
mod misuse;
#[path = "decisions/profiles.rs"]
mod profiles;
