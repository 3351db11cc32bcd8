//! Questions of servers that wait for the client's answer, and calls that wait for a newer client's retry. Both are
//! bounded in number and in time: what nobody answers is forgotten.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How long a question, or a call with one, waits for its answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(10 * 60);

/// Things that wait, each under the name that the client answers to.
#[derive(Debug)]
pub(super) struct Waiting<T> {
    max: usize,
    waiting: HashMap<String, Waits<T>>,
}

/// A thing that waits, and since when. Put back, it goes on waiting: its time does not begin anew.
#[derive(Debug)]
pub(super) struct Waits<T> {
    pub(super) what: T,
    since: Instant,
}

impl<T> Waits<T> {
    pub(super) const fn since(what: T, since: Instant) -> Self {
        Self { what, since }
    }

    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) > PATIENCE
    }
}

impl<T> Waiting<T> {
    pub(super) fn at_most(max: usize) -> Self {
        Self { max, waiting: HashMap::new() }
    }

    /// Takes note of something that waits. Says whether there was room for it.
    pub(super) fn put(&mut self, name: String, waits: Waits<T>) -> bool {
        let room = self.waiting.len() < self.max;
        if room {
            self.waiting.insert(name, waits);
        }
        room
    }

    /// Takes what waits under a name, if its time is not over and it is the one that is meant.
    pub(super) fn take(&mut self, name: &str, now: Instant, fits: impl FnOnce(&T) -> bool) -> Option<Waits<T>> {
        let found = self.waiting.get(name).is_some_and(|waits| !waits.is_over(now) && fits(&waits.what));
        if found { self.waiting.remove(name) } else { None }
    }

    /// Gives up what has waited too long.
    pub(super) fn sweep(&mut self, now: Instant) -> Vec<T> {
        let over = self.waiting.extract_if(|_, waits| waits.is_over(now));
        over.map(|(_, waits)| waits.what).collect()
    }

    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_answers_is_given_up_and_makes_room() {
        let (start, mut waiting) = (Instant::now(), Waiting::at_most(2));
        let later = start + Duration::from_secs(60);
        assert!(waiting.put("a".to_owned(), Waits::since(1, start)));
        assert!(waiting.put("b".to_owned(), Waits::since(2, later)));
        assert!(!waiting.put("c".to_owned(), Waits::since(3, later)), "there is no room");
        assert!(waiting.sweep(start + PATIENCE).is_empty());
        assert_eq!(waiting.sweep(later + PATIENCE), [1]);
        assert!(waiting.put("c".to_owned(), Waits::since(3, later)));
        assert!(waiting.take("a", later, |_| true).is_none());
        assert_eq!(waiting.take("b", later, |_| true).map(|waits| waits.what), Some(2));
    }

    #[test]
    fn what_is_put_back_has_no_more_time_than_before() {
        let (start, mut waiting) = (Instant::now(), Waiting::at_most(1));
        let nearly = start + PATIENCE;
        waiting.put("a".to_owned(), Waits::since((), start));
        assert!(waiting.take("a", nearly, |()| false).is_none(), "another request does not take it");
        let again = waiting.take("a", nearly, |()| true).unwrap();
        assert!(waiting.put("b".to_owned(), again));
        assert!(waiting.take("b", nearly + Duration::from_secs(1), |()| true).is_none());
        assert_eq!(waiting.sweep(nearly + Duration::from_secs(1)).len(), 1);
    }
}
