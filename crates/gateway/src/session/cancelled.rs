//! Requests that the client cancelled and the server has not answered.

use std::collections::HashMap;

use refmon_core::limits;
use refmon_core::ports::Moment;

/// How long a server may still answer a cancelled request: most never do.
const KEPT_US: u64 = 10 * 60 * 1_000_000;
/// How many there are before the old ones are looked for.
const MANY: usize = 256;

/// Identifiers that stay taken until the server has answered, or ten minutes have passed: otherwise a late answer would be
/// taken for that of another request.
#[derive(Debug, Default)]
pub(super) struct Cancelled(HashMap<String, u64>);

impl Cancelled {
    pub(super) fn insert(&mut self, id: String, now: Moment) {
        if self.0.len() >= MANY {
            self.0.retain(|_, since| now.unix_us.saturating_sub(*since) <= KEPT_US);
        }
        self.0.insert(id, now.unix_us);
    }

    /// Takes one out. Says whether it was there.
    pub(super) fn remove(&mut self, id: &str) -> bool {
        self.0.remove(id).is_some()
    }

    pub(super) fn contains(&self, id: &str) -> bool {
        self.0.contains_key(id)
    }

    /// Whether there are as many as there may be.
    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= limits::CALLS_CANCELLED_MAX
    }

    /// Forgets what is too old to be answered.
    pub(super) fn sweep(&mut self, now: Moment) {
        self.0.retain(|_, since| now.unix_us.saturating_sub(*since) <= KEPT_US);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_never_answers_is_forgotten_and_its_identifier_free_again() {
        let mut cancelled = Cancelled::default();
        let at = |minutes: u64| Moment { unix_us: minutes * 60_000_000, monotonic_ns: 0 };
        for number in 0..limits::CALLS_CANCELLED_MAX {
            cancelled.insert(number.to_string(), at(1));
        }
        assert!(cancelled.is_full());
        cancelled.sweep(at(11));
        assert!(cancelled.is_full() && cancelled.contains("7"), "ten minutes are not over");
        cancelled.sweep(at(12));
        assert!(!cancelled.is_full() && !cancelled.contains("7"));
        cancelled.insert("7".to_owned(), at(12));
        assert!(cancelled.remove("7") && !cancelled.remove("7"));
    }
}
