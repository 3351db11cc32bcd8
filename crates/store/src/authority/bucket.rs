//! Token buckets in whole numbers.
//!
//! A bucket holds `amount` tokens and fills up from empty within its window, continuously. Time is counted in
//! units of a microsecond divided by `amount`: within one microsecond a bucket gains `amount` units, and one token
//! is as many units as the window has microseconds. So nothing is ever rounded, and a bucket is one number: the
//! time at which it is full again. A bucket that is full is not kept, for it is like one that never was used.

use std::collections::{BTreeMap, BTreeSet};

use refmon_core::limits;

/// How much, and how fast it comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    amount: u64,
    window_us: u64,
}

impl Allowance {
    /// So many per window. `None` for nothing at all, an empty window, or one above
    /// [`limits::BUDGET_WINDOW_SECONDS_MAX`].
    #[must_use]
    pub fn new(amount: u64, window_seconds: u64) -> Option<Self> {
        let fits = amount > 0 && (1..=limits::BUDGET_WINDOW_SECONDS_MAX).contains(&window_seconds);
        let window_us = window_seconds.checked_mul(1_000_000)?;
        fits.then_some(Self { amount, window_us })
    }

    /// The tokens of a full bucket.
    #[must_use]
    pub const fn amount(&self) -> u64 {
        self.amount
    }

    /// Seconds in which an empty bucket fills.
    #[must_use]
    pub const fn window_seconds(&self) -> u64 {
        self.window_us / 1_000_000
    }

    /// The units of so many tokens. At most 2^64 * 2^45, and all sums of few such values fit.
    const fn units(&self, tokens: u64) -> u128 {
        (tokens as u128).saturating_mul(self.window_us as u128)
    }

    /// A point in time in units.
    const fn time(&self, now_us: u64) -> u128 {
        (now_us as u128).saturating_mul(self.amount as u128)
    }

    /// The first microsecond at which so many units have passed.
    fn micros(&self, units: u128) -> u64 {
        u64::try_from(units.div_ceil(u128::from(self.amount))).unwrap_or(u64::MAX)
    }
}

/// Which bucket: a digest, so that every key has the same size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(pub [u8; 32]);

/// What a call takes from one bucket.
#[derive(Debug, Clone, Copy)]
pub struct Charge {
    /// The bucket.
    pub key: Key,
    /// Its size and speed.
    pub allowance: Allowance,
    /// How many tokens.
    pub cost: u64,
}

/// Why a call gets nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lack {
    /// Not before so many microseconds have passed.
    Wait(u64),
    /// It wants more than a full bucket of this many tokens holds.
    Never(u64),
}

/// All buckets that are not full, at most a fixed number.
#[derive(Debug)]
pub struct Buckets {
    full_at: BTreeMap<Key, (u128, u64)>,
    /// The same buckets in the order in which they are full again.
    order: BTreeSet<(u64, Key)>,
    latest_us: u64,
    max: usize,
}

impl Buckets {
    /// No bucket yet, and never more than `max`.
    #[must_use]
    pub const fn new(max: usize) -> Self {
        Self { full_at: BTreeMap::new(), order: BTreeSet::new(), latest_us: 0, max }
    }

    /// Looks whether all charges could be taken. Nothing is taken. Each bucket is charged at most once in a call.
    ///
    /// # Errors
    /// What is lacking: the longest wait of all charges.
    pub fn weigh(&mut self, charges: &[Charge], now_us: u64) -> Result<(), Lack> {
        let now_us = self.pass(now_us);
        let lacks = charges.iter().filter_map(|charge| self.debt(charge, now_us).err());
        if let Some(lack) = lacks.max() {
            return Err(lack);
        }
        let new = charges.iter().filter(|charge| !self.full_at.contains_key(&charge.key)).count();
        if self.full_at.len().saturating_add(new) > self.max {
            let first = self.order.first().map_or(0, |(full_us, _)| full_us.saturating_sub(now_us));
            return Err(Lack::Wait(first));
        }
        Ok(())
    }

    /// Takes all charges, or none.
    ///
    /// # Errors
    /// What is lacking, as [`Buckets::weigh`] says it.
    pub fn take(&mut self, charges: &[Charge], now_us: u64) -> Result<(), Lack> {
        self.weigh(charges, now_us)?;
        let now_us = self.pass(now_us);
        for charge in charges {
            let debt = self.debt(charge, now_us)?;
            let full = charge.allowance.time(now_us).saturating_add(debt);
            let full_us = charge.allowance.micros(full);
            if let Some((_, earlier)) = self.full_at.insert(charge.key, (full, full_us)) {
                self.order.remove(&(earlier, charge.key));
            }
            self.order.insert((full_us, charge.key));
        }
        Ok(())
    }

    /// How many buckets are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.full_at.len()
    }

    /// Whether every bucket is full.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.full_at.is_empty()
    }

    /// Lets time pass and forgets buckets that are full. Of two threads the later one may have looked at the clock
    /// earlier; time does not go back for that.
    fn pass(&mut self, now_us: u64) -> u64 {
        self.latest_us = self.latest_us.max(now_us);
        while let Some(&(full_us, key)) = self.order.first()
            && full_us <= self.latest_us
        {
            self.order.remove(&(full_us, key));
            self.full_at.remove(&key);
        }
        self.latest_us
    }

    /// What the bucket would lack of being full after the charge, in units.
    fn debt(&self, charge: &Charge, now_us: u64) -> Result<u128, Lack> {
        let Charge { key, allowance, cost } = charge;
        if *cost > allowance.amount {
            return Err(Lack::Never(allowance.amount));
        }
        let full = self.full_at.get(key).map_or(0, |(full, _)| *full);
        let debt = full.saturating_sub(allowance.time(now_us)).saturating_add(allowance.units(*cost));
        match debt.saturating_sub(allowance.units(allowance.amount)) {
            0 => Ok(debt),
            over => Err(Lack::Wait(allowance.micros(over))),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn key(byte: u8) -> Key {
        Key([byte; 32])
    }

    fn charge(byte: u8, amount: u64, window_seconds: u64, cost: u64) -> Charge {
        Charge { key: key(byte), allowance: Allowance::new(amount, window_seconds).unwrap(), cost }
    }

    #[test]
    fn a_bucket_gives_its_burst_and_then_one_token_in_its_time() {
        let mut buckets = Buckets::new(8);
        let one = [charge(1, 3, 10, 1)];
        for _ in 0..3 {
            assert_eq!(buckets.take(&one, 5), Ok(()));
        }
        // A third of ten seconds is not whole: the token is there at the first microsecond after it.
        assert_eq!(buckets.take(&one, 5), Err(Lack::Wait(3_333_334)));
        assert_eq!(buckets.take(&one, 5 + 3_333_333), Err(Lack::Wait(1)));
        assert_eq!(buckets.take(&one, 5 + 3_333_334), Ok(()));
        assert_eq!(buckets.weigh(&[charge(1, 3, 10, 4)], u64::MAX), Err(Lack::Never(3)));
    }

    #[test]
    fn nothing_is_taken_unless_all_is_taken_and_weighing_takes_nothing() {
        let mut buckets = Buckets::new(8);
        let (wide, narrow) = (charge(1, 2, 60, 1), charge(2, 1, 60, 1));
        assert_eq!(buckets.take(&[wide, narrow], 0), Ok(()));
        assert_eq!(buckets.take(&[wide, narrow], 0), Err(Lack::Wait(60_000_000)));
        for _ in 0..9 {
            assert_eq!(buckets.weigh(&[wide], 0), Ok(()));
        }
        assert_eq!(buckets.take(&[wide], 0), Ok(()));
        assert_eq!(buckets.take(&[wide], 0), Err(Lack::Wait(30_000_000)));
    }

    #[test]
    fn without_room_a_call_gets_nothing_until_a_bucket_is_full_again() {
        let mut buckets = Buckets::new(2);
        for byte in 1..=2 {
            assert_eq!(buckets.take(&[charge(byte, 2, 10, 1)], u64::from(byte)), Ok(()));
        }
        assert_eq!(buckets.take(&[charge(3, 2, 10, 1)], 2), Err(Lack::Wait(4_999_999)));
        assert_eq!(buckets.take(&[charge(1, 2, 10, 1)], 2), Ok(()), "a bucket that is kept can be used");
        // The second bucket is full again first, and gives its place up.
        assert_eq!(buckets.take(&[charge(3, 2, 10, 1)], 5_000_002), Ok(()));
        assert_eq!(buckets.len(), 2);
        assert_eq!(buckets.weigh(&[], 60_000_000), Ok(()));
        assert!(buckets.is_empty());
    }

    #[test]
    fn an_allowance_has_bounds_and_the_largest_one_can_be_counted() {
        assert_eq!(Allowance::new(0, 1), None);
        assert_eq!(Allowance::new(1, 0), None);
        assert_eq!(Allowance::new(1, limits::BUDGET_WINDOW_SECONDS_MAX + 1), None);
        let mut buckets = Buckets::new(1);
        let all = [charge(1, u64::MAX, limits::BUDGET_WINDOW_SECONDS_MAX, u64::MAX)];
        let late = u64::MAX / 1_000;
        assert_eq!(buckets.take(&all, late), Ok(()));
        assert_eq!(buckets.take(&all, late), Err(Lack::Wait(limits::BUDGET_WINDOW_SECONDS_MAX * 1_000_000)));
    }

    /// The naive bucket: a level that is filled up at every look, in units of a token divided by the window.
    struct Naive(BTreeMap<u8, (u128, u64)>);

    impl Naive {
        fn take(&mut self, byte: u8, amount: u64, window: u64, cost: u64, now: u64) -> bool {
            let (cap, one) = (u128::from(amount) * u128::from(window) * 1_000_000, u128::from(window) * 1_000_000);
            let (level, seen) = self.0.get(&byte).copied().unwrap_or((cap, now));
            let level = cap.min(level + u128::from(now - seen) * u128::from(amount));
            let wanted = u128::from(cost) * one;
            let enough = wanted <= level;
            self.0.insert(byte, (if enough { level - wanted } else { level }, now));
            enough
        }
    }

    proptest! {
        #[test]
        fn buckets_give_exactly_what_the_naive_ones_give(
            amounts in prop::array::uniform4((1..40u64, 1..20u64)),
            steps in prop::collection::vec((0..4u8, 0..45u64, prop_oneof![Just(0), 0..900_000u64, 0..30_000_000u64]), 1..200),
        ) {
            let (mut buckets, mut naive, mut now) = (Buckets::new(4), Naive(BTreeMap::new()), 7);
            for (byte, cost, wait) in steps {
                now += wait;
                let (amount, window) = amounts[usize::from(byte)];
                let given = buckets.take(&[charge(byte, amount, window, cost)], now);
                prop_assert_eq!(given.is_ok(), naive.take(byte, amount, window, cost, now));
                if let Err(Lack::Wait(us)) = given {
                    let again = [charge(byte, amount, window, cost)];
                    let copy = |at| Buckets { full_at: buckets.full_at.clone(), order: buckets.order.clone(), latest_us: now, max: 4 }.weigh(&again, at);
                    prop_assert!(copy(now + us - 1).is_err() && copy(now + us).is_ok(), "the wait is exact");
                }
                prop_assert!(buckets.len() <= 4 && buckets.len() == buckets.order.len());
            }
        }
    }
}
