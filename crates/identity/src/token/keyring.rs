//! The keys of one issuer over time.
//!
//! INVARIANT: whatever strangers send, an attempt to fetch begins at most once in [`limits::FETCH_PAUSE_SECONDS`].
//!
//! INVARIANT: a key that the issuer has withdrawn verifies nothing after the next fetch, and no key verifies anything
//! [`limits::KEYS_BELIEVED_SECONDS`] after the fetch that brought it.
//!
//! A fetch belongs to nobody: if whoever began it goes away (a client that hangs up), the next who needs keys continues
//! it. Otherwise a stranger could begin and give up each attempt, and keep everybody without keys.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};

use refmon_core::ports::Moment;
use tokio::sync::{Mutex, MutexGuard};

use crate::fetch::Fetch;
use crate::limits;
use crate::refused::{DocumentError, Why};

use super::compact::Header;
use super::key::KeySet;
use super::{Issuer, discovery};

/// Keys and when they came.
#[derive(Debug, Clone)]
struct Held {
    keys: Arc<KeySet>,
    came: Moment,
    /// Counts fetches that brought keys, so that what was concluded from old keys can be told from the rest.
    generation: u64,
}

type UnderWay = Pin<Box<dyn Future<Output = Result<KeySet, DocumentError>> + Send>>;

/// The attempts to fetch, one at a time.
#[derive(Default)]
struct Attempts {
    began: Option<Moment>,
    under_way: Option<UnderWay>,
    failed: Option<Arc<DocumentError>>,
}

impl fmt::Debug for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempts").field("began", &self.began).field("failed", &self.failed).finish_non_exhaustive()
    }
}

/// The keys of one issuer.
#[derive(Debug)]
pub(super) struct KeyRing {
    issuer: Arc<Issuer>,
    fetch: Arc<dyn Fetch>,
    held: RwLock<Option<Held>>,
    attempts: Mutex<Attempts>,
}

impl KeyRing {
    pub(super) fn new(issuer: Arc<Issuer>, fetch: Arc<dyn Fetch>) -> Self {
        Self { issuer, fetch, held: RwLock::default(), attempts: Mutex::default() }
    }

    /// The keys in which a token's key is to be looked for, and their generation: fetched anew if they are old, or if
    /// the token's key is not among them.
    pub(super) async fn keys_for(&self, header: &Header, now: Moment) -> Result<(Arc<KeySet>, u64), Why> {
        let held = self.believed(now);
        let known = held.as_ref().is_some_and(|held| held.keys.find(header).is_some());
        if known && let Some(held) = &held {
            if seconds(held.came, now) < limits::KEYS_FRESH_SECONDS {
                return Ok((Arc::clone(&held.keys), held.generation));
            }
            // Somebody else is fetching. Keys that are still believed do until then.
            let Ok(attempts) = self.attempts.try_lock() else {
                return Ok((Arc::clone(&held.keys), held.generation));
            };
            return self.refreshed(attempts, held.generation, now).await;
        }
        let generation = held.map_or(0, |held| held.generation);
        self.refreshed(self.attempts.lock().await, generation, now).await
    }

    /// The present generation of believed keys; 0 if there are none.
    pub(super) fn generation(&self, now: Moment) -> u64 {
        self.believed(now).map_or(0, |held| held.generation)
    }

    async fn refreshed(
        &self,
        mut attempts: MutexGuard<'_, Attempts>,
        seen: u64,
        now: Moment,
    ) -> Result<(Arc<KeySet>, u64), Why> {
        let newer = self.believed(now).is_some_and(|held| held.generation > seen);
        let pause = attempts.began.is_some_and(|began| seconds(began, now) < limits::FETCH_PAUSE_SECONDS);
        if !newer && (attempts.under_way.is_some() || !pause) {
            self.attempt(&mut attempts, now).await;
        }
        let held = self.believed(now);
        let held = held.ok_or_else(|| {
            let failed = attempts.failed.as_ref().map_or_else(|| Arc::new(DocumentError::Pause), Arc::clone);
            Why::Keys(failed)
        })?;
        Ok((held.keys, held.generation))
    }

    /// Makes an attempt or continues the one under way. It is put away only when it has come to its end.
    async fn attempt(&self, attempts: &mut Attempts, now: Moment) {
        if attempts.under_way.is_none() {
            let (fetch, issuer) = (Arc::clone(&self.fetch), Arc::clone(&self.issuer));
            attempts.under_way = Some(Box::pin(async move { discovery::keys(&*fetch, &issuer).await }));
            attempts.began = Some(now);
        }
        let Some(under_way) = &mut attempts.under_way else { return };
        let outcome = poll_fn(|context| under_way.as_mut().poll(context)).await;
        attempts.under_way = None;
        match outcome {
            Ok(keys) => {
                let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
                let generation = held.as_ref().map_or(0, |held| held.generation).saturating_add(1);
                // From when it began: the keys are not younger than the question.
                let came = attempts.began.unwrap_or(now);
                *held = Some(Held { keys: Arc::new(keys), came, generation });
                attempts.failed = None;
            }
            Err(error) => attempts.failed = Some(Arc::new(error)),
        }
    }

    fn believed(&self, now: Moment) -> Option<Held> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.clone().filter(|held| seconds(held.came, now) < limits::KEYS_BELIEVED_SECONDS)
    }
}

/// Seconds between moments by the clock that only goes forward.
fn seconds(earlier: Moment, now: Moment) -> u64 {
    now.micros_since(earlier) / 1_000_000
}
