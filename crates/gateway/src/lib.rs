//! refmon's doors to the Model Context Protocol: the only crate that can reach a tool server.
//!
//! A frame is read whole and bounded ([`frame`]), its envelope is parsed by the strict gate ([`message`]), its
//! method is looked up in one closed table ([`method`]), and the session ([`session`]) decides with the monitor
//! what becomes of it. What the table does not list is denied. What need not be read is passed on as the bytes it
//! came in. [`stdio`] runs a session between this process's own standard streams and a child process ([`child`]).
//!
//! The one way to a server is [`upstream::Upstream`], which takes either a monitor's permit
//! ([`refmon_core::monitor::Authorized`]) or a [`method::Cleared`] message, whose method acts on nothing.

pub mod child;
pub mod credentials;
pub mod definitions;
pub mod frame;
pub mod http;
pub mod hub;
pub mod link;
pub mod message;
pub mod method;
pub mod probe;
mod reply;
pub mod session;
mod shares;
pub mod stdio;
pub mod system;
pub mod trace;
pub mod upstream;
