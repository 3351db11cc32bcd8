//! Links: how messages reach a tool server and come back, for the HTTP gateway.
//!
//! A [`Spec`] says what a server is; [`crate::hub`] opens a link for each client that needs it, so that two callers
//! never share a server process or an upstream session. Sending never blocks: a link takes a message into a bounded
//! queue or fails. What comes back goes through [`crate::session::Session::from_server`] before anyone sees it.

mod child;
mod collector;
mod documents;
pub mod events;
mod guard;
pub(crate) mod message;
mod remote;
mod spec;

pub use collector::Collector;
pub use documents::Documents;
pub use guard::{AddressRefused, Reachable};
pub use remote::{Remote, RemoteError};
pub(crate) use spec::Link;
pub use spec::{Reach, Spec};
