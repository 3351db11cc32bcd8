//! The entrance: who a credential is. The adapter that knows is given from outside.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use http::HeaderMap;
use refmon_core::caller::Caller;

use super::Peer;

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
    /// Looks at the headers of a request, and at the other end of its connection.
    fn authenticate<'a>(&'a self, headers: &'a HeaderMap, peer: &'a Peer) -> Authenticated<'a>;

    /// The protected resource metadata (RFC 9728), if there is an issuer.
    fn metadata(&self) -> Option<String>;
}
