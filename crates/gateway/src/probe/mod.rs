//! Asking a server what it offers, before there is a contract: for `refmon init` and `refmon contract`.
//!
//! Nothing is called. The answers are untrusted text: names, descriptions and annotations are claims. A command is
//! started and ended again; a server over HTTP is asked as `refmon serve` would, with the same guard and credentials.

mod child;
mod offer;
mod remote;

pub use offer::{Offer, ProbeError, ask};
