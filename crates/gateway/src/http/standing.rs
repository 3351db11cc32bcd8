//! Whether the credential that opened a stream still counts: it is looked at again for as long as the stream is open.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use refmon_core::caller::Caller;
use tokio::time::MissedTickBehavior;

use super::Authenticate;

/// How often a credential is looked at again.
const AGAIN: Duration = Duration::from_secs(5);

/// Ends when the credential counts no more, or is somebody else's.
pub(super) type Standing = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The standing of a request's credential; `None` if there is none, and so nothing that could lapse.
pub(super) fn of(
    authenticate: &Arc<dyn Authenticate>,
    headers: &HeaderMap,
    loopback: bool,
    caller: &Arc<Caller>,
) -> Option<Standing> {
    let mut own = HeaderMap::new();
    own.extend(headers.get_all(AUTHORIZATION).iter().map(|value| (AUTHORIZATION, value.clone())));
    if own.is_empty() {
        return None;
    }
    let (authenticate, caller) = (Arc::clone(authenticate), Arc::clone(caller));
    Some(Box::pin(async move {
        let mut again = tokio::time::interval(AGAIN);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        again.tick().await;
        loop {
            again.tick().await;
            match authenticate.authenticate(&own, loopback).await {
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
