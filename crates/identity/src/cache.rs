//! Verified tokens, for a minute: a signature costs more than all other checks together.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use refmon_core::caller::Caller;
use refmon_core::ports::Moment;
use sha2::{Digest as _, Sha256};

use crate::limits;
use crate::token::Verified;

/// The digest of a token. The token itself is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TokenDigest([u8; 32]);

impl TokenDigest {
    pub(crate) fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }
}

#[derive(Debug)]
struct Entry {
    caller: Arc<Caller>,
    until_seconds: u64,
    came: Moment,
    /// Which verifier's keys, and which generation of them.
    origin: (usize, u64),
}

impl Entry {
    fn holds(&self, now: Moment) -> bool {
        // Both clocks: an expiry is a matter of the calendar, a minute is not.
        let seconds = now.micros_since(self.came) / 1_000_000;
        now.unix_us / 1_000_000 < self.until_seconds && seconds < limits::TOKEN_REMEMBERED_SECONDS
    }
}

/// Verified tokens. Only a token that was accepted takes a place, so strangers cannot push others out.
#[derive(Debug, Default)]
pub(crate) struct Remembered(Mutex<HashMap<TokenDigest, Entry>>);

impl Remembered {
    /// The caller of a token that was accepted a moment ago, unless its issuer's keys have changed since.
    pub(crate) fn find(
        &self,
        digest: &TokenDigest,
        now: Moment,
        generation: impl Fn(usize) -> Option<u64>,
    ) -> Option<Arc<Caller>> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.get(digest)?;
        let (verifier, made) = entry.origin;
        if entry.holds(now) && generation(verifier) == Some(made) {
            return Some(Arc::clone(&entry.caller));
        }
        entries.remove(digest);
        None
    }

    /// Remembers a token that was accepted, and gives back its caller.
    pub(crate) fn keep(&self, digest: TokenDigest, verifier: usize, verified: Verified, now: Moment) -> Arc<Caller> {
        let Verified { caller, until_seconds, generation } = verified;
        let caller = Arc::new(caller);
        let entry = Entry { caller: Arc::clone(&caller), until_seconds, came: now, origin: (verifier, generation) };
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= limits::TOKENS_REMEMBERED_MAX {
            entries.retain(|_, entry| entry.holds(now));
        }
        if entries.len() < limits::TOKENS_REMEMBERED_MAX {
            entries.insert(digest, entry);
        }
        caller
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}
