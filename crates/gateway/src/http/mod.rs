//! The HTTP doors: MCP over streamable HTTP at `/mcp`, in both eras, for callers that have been authenticated.
//!
//! ```text
//! connection ── bounded ──▶ Host, Origin ──▶ credential → Caller ──▶ header = body ──▶ hub::Client
//! ```
//!
//! HTTP/1.1 only. Nothing of a request is looked at before its `Host` and `Origin` are ones that this gateway is known
//! under, and no body is read before its caller is known. TLS is a reverse proxy's job for now.

mod body;
mod door;
mod guard;
mod headers;
mod listener;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use http::HeaderMap;
use refmon_core::caller::Caller;

pub use guard::Known;
pub use listener::{Doors, Listener};

/// A credential that is none. What the client is told says no more than that.
#[derive(Debug)]
pub struct Unauthenticated {
    /// The value of `WWW-Authenticate` (RFC 6750, section 3; RFC 9728, section 5.1).
    pub challenge: String,
}

/// What an authentication comes to.
pub type Authenticated<'a> = Pin<Box<dyn Future<Output = Result<Arc<Caller>, Unauthenticated>> + Send + 'a>>;

/// Turns a credential into a caller, or into nothing.
pub trait Authenticate: Send + Sync {
    /// Looks at the headers of a request. `loopback` says that it came from this machine.
    fn authenticate<'a>(&'a self, headers: &'a HeaderMap, loopback: bool) -> Authenticated<'a>;

    /// The protected resource metadata (RFC 9728), if there is an issuer.
    fn metadata(&self) -> Option<String>;
}
