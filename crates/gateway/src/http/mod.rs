//! The HTTP doors: MCP over streamable HTTP at `/mcp`, in both eras, for callers that have been authenticated.
//!
//! ```text
//! connection ── bounded ──▶ Host, Origin ──▶ credential → Caller ──▶ header = body ──▶ hub::Client
//! ```
//!
//! HTTP/1.1 only. Nothing of a request is looked at before its `Host` and `Origin` are ones that this gateway is known
//! under, and no body is read before its caller is known; a page that somebody logs in at has a short one, for a few strangers
//! at a time. What is not MCP is asked of whoever is [`Beside`] it, for a caller that has been authenticated or for a visitor
//! whom a page knows.

mod beside;
mod body;
mod door;
mod entrance;
mod figures;
mod guard;
mod headers;
mod listener;
mod patient;
mod peer;
mod places;
mod room;
mod standing;
mod tls;

pub use beside::{Answering, Beside, Visiting};
pub use entrance::{Authenticate, Authenticated, Unauthenticated};
pub use figures::{Figures, Page};
pub use guard::Known;
pub use listener::{Doors, Listener};
pub use peer::Peer;
pub use tls::{Tls, TlsError, TlsFiles};
