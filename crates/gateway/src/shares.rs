//! Shares: what each person has a bounded number of, whatever the credential and the agent.
//!
//! Whoever can have credentials made, or names an agent of one's own choice, has as many of those as one likes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use refmon_core::caller::Caller;
use refmon_core::ids::{TenantId, UserId};
use tokio::sync::Semaphore;

/// A bounded number of something for each person.
#[derive(Debug)]
pub(crate) struct Shares {
    max: usize,
    shares: Mutex<HashMap<(TenantId, UserId), Weak<Semaphore>>>,
}

impl Shares {
    /// So many for each.
    pub(crate) fn of_each(max: usize) -> Self {
        Self { max, shares: Mutex::default() }
    }

    /// How many each person has.
    pub(crate) const fn max(&self) -> usize {
        self.max
    }

    /// A person's share: the one that somebody holds already, or a new one.
    pub(crate) fn of(&self, caller: &Caller) -> Arc<Semaphore> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        let who = (caller.tenant().clone(), caller.user().clone());
        if let Some(share) = shares.get(&who).and_then(Weak::upgrade) {
            return share;
        }
        shares.retain(|_, share| share.strong_count() > 0);
        let own = Arc::new(Semaphore::new(self.max));
        shares.insert(who, Arc::downgrade(&own));
        own
    }
}
