//! Links: how messages reach a tool server and come back, for the HTTP gateway.
//!
//! A [`Spec`] says what a server is; [`crate::hub`] opens a link for each client that needs it, so that two callers
//! never share a server process or an upstream session. Sending never blocks: a link takes a message into a bounded
//! queue or fails. What comes back goes through [`crate::session::Session::from_server`] before anyone sees it.

mod child;
mod documents;
pub mod events;
mod guard;
mod remote;

use std::sync::{Arc, Weak};

use refmon_core::ids::ServerName;

pub(crate) use child::ChildLink;
pub use documents::Documents;
pub use guard::{AddressRefused, Reachable};
pub(crate) use remote::RemoteLink;
pub use remote::{Remote, RemoteError};

use crate::child::Launch;
use crate::session::Session;
use crate::upstream::Upstream;

/// One tool server of the gateway.
#[derive(Debug)]
pub struct Spec {
    /// Its name; tools are `name__tool` if there are several servers.
    pub name: ServerName,
    /// How it is reached.
    pub reach: Reach,
}

/// How a server is reached.
#[derive(Debug)]
pub enum Reach {
    /// A child process over standard streams.
    Command(Launch),
    /// MCP over HTTP.
    Remote(Remote),
}

/// An open link.
#[derive(Debug)]
pub(crate) enum Link {
    Child(ChildLink),
    Remote(Arc<RemoteLink>),
}

impl Link {
    /// The way to the server, for the session.
    pub(crate) fn upstream(&self) -> Box<dyn Upstream> {
        match self {
            Self::Child(child) => child.upstream(),
            Self::Remote(remote) => Box::new(Arc::clone(remote)),
        }
    }

    /// Begins to hand what comes back to the session. `gone` is called once when nothing more can come.
    pub(crate) fn listen(&mut self, session: Weak<Session>, gone: impl FnOnce() + Send + 'static) {
        match self {
            Self::Child(child) => child.listen(session, gone),
            Self::Remote(remote) => remote.listen(session),
        }
    }

    /// Closes the link. A child gets three seconds to end by itself.
    pub(crate) fn close(&mut self) {
        match self {
            Self::Child(child) => child.close(),
            Self::Remote(remote) => remote.close(),
        }
    }
}
