//! Whether the credential that opened a stream still counts: it is looked at again for as long as the stream is open.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use refmon_core::caller::Caller;
use tokio::time::MissedTickBehavior;

use super::{Authenticate, Peer};

/// How often a credential is looked at again.
const AGAIN: Duration = Duration::from_secs(5);

/// Ends when the credential counts no more, or is somebody else's.
pub(super) type Standing = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The headers of a request that are its credential.
pub(super) fn credential(headers: &HeaderMap) -> HeaderMap {
    let mut own = HeaderMap::new();
    own.extend(headers.get_all(AUTHORIZATION).iter().map(|value| (AUTHORIZATION, value.clone())));
    own
}

/// The standing of a request's credential, or of its connection's certificate; `None` if there is neither, and so nothing
/// that could lapse.
pub(super) fn of(
    authenticate: &Arc<dyn Authenticate>,
    credential: HeaderMap,
    peer: &Arc<Peer>,
    caller: &Arc<Caller>,
) -> Option<Standing> {
    if credential.is_empty() && peer.certificate().is_none() {
        return None;
    }
    let peer = Arc::clone(peer);
    let (authenticate, caller) = (Arc::clone(authenticate), Arc::clone(caller));
    Some(Box::pin(async move {
        let mut again = tokio::time::interval(AGAIN);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        again.tick().await;
        loop {
            again.tick().await;
            match authenticate.authenticate(&credential, &peer).await {
                Ok(now) if same(&now, &caller) => {}
                Ok(_) | Err(_) => return,
            }
        }
    }))
}

fn same(one: &Caller, other: &Caller) -> bool {
    (one.tenant(), one.user(), one.agent(), one.scopes(), one.kind())
        == (other.tenant(), other.user(), other.agent(), other.scopes(), other.kind())
}
