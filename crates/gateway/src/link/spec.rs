//! What a server is, and an open link to one.

use std::io;
use std::sync::{Arc, Weak};

use refmon_core::ids::ServerName;

use super::child::ChildLink;
use super::remote::{Remote, RemoteLink};
use crate::child::Launch;
use crate::credentials::Credentials;
use crate::session::{Observer, Session};
use crate::upstream::Upstream;

/// One tool server of the gateway.
#[derive(Debug)]
pub struct Spec {
    /// Its name; tools are `name__tool` if there are several servers.
    pub name: ServerName,
    /// How it is reached.
    pub reach: Reach,
    /// What it is given of the operator's, and may not show.
    pub credentials: Arc<Credentials>,
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
    /// Opens a link to a server: starts its process, or makes ready to ask it.
    pub(crate) fn open(
        spec: &Arc<Spec>,
        observer: &Arc<dyn Observer>,
        runtime: &tokio::runtime::Handle,
    ) -> io::Result<Self> {
        Ok(match &spec.reach {
            Reach::Command(launch) => {
                Self::Child(ChildLink::start(launch, Arc::clone(observer), Arc::clone(&spec.credentials))?)
            }
            Reach::Remote(_) => Self::Remote(RemoteLink::new(Arc::clone(spec), Arc::clone(observer), runtime.clone())),
        })
    }

    /// The way to the server, for the session.
    pub(crate) fn upstream(&self) -> Box<dyn Upstream> {
        match self {
            Self::Child(child) => child.upstream(),
            Self::Remote(remote) => Box::new(Arc::clone(remote)),
        }
    }

    /// Begins to hand what comes back to the session. `gone` is called once when
    /// nothing more can come, before those who wait are told.
    pub(crate) fn listen(&mut self, session: Weak<Session>, gone: impl FnOnce() + Send + 'static) {
        match self {
            Self::Child(child) => child.listen(session, gone),
            Self::Remote(remote) => remote.listen(session, gone),
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
