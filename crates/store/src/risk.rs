//! How much a held call deserves to be looked at first: a rank, computed from the contract and the facts alone.
//!
//! | what the tool does | rank |
//! |---|---|
//! | destroys, executes or administers | 40 |
//! | has effects outside of the tenant | 30 |
//! | writes | 20 |
//! | reads | 10 |
//!
//! To that come 2 if the tool does more than read and no target is known, and 1 if there are several targets. The rank
//! orders a queue and decides nothing.

use refmon_core::contract::{Effect, Effects};

/// A rank; the higher, the sooner it should be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Risk(u8);

impl Risk {
    /// The rank of a call with these effects on this many known targets.
    #[must_use]
    pub fn of(effects: &Effects, targets: usize) -> Self {
        let any = |some: &[Effect]| some.iter().any(|effect| effects.contains(*effect));
        let base: u8 = if any(&[Effect::Destructive, Effect::Execute, Effect::Admin]) {
            40
        } else if any(&[Effect::External]) {
            30
        } else if any(&[Effect::Write]) {
            20
        } else {
            10
        };
        Self(base.saturating_add(match targets {
            0 if !effects.only_reads() => 2,
            0 | 1 => 0,
            _ => 1,
        }))
    }

    /// The rank as a number.
    #[must_use]
    pub const fn rank(self) -> u8 {
        self.0
    }

    /// A rank as people read it.
    #[must_use]
    pub const fn words(rank: u8) -> &'static str {
        match (rank / 10, rank % 10) {
            (4.., 2) => "very high, target unknown",
            (4.., 1) => "very high, several targets",
            (4.., _) => "very high",
            (3, 2) => "high, target unknown",
            (3, 1) => "high, several targets",
            (3, _) => "high",
            (2, 2) => "medium, target unknown",
            (2, 1) => "medium, several targets",
            (2, _) => "medium",
            (1, _) => "low",
            _ => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_destroys_comes_before_what_leaves_the_tenant_before_what_writes_before_what_reads() {
        let risk = |effects: &[Effect], targets| Risk::of(&Effects::new(effects.iter().copied()).unwrap(), targets);
        let ranked = [
            risk(&[Effect::Read], 0),
            risk(&[Effect::Read], 2),
            risk(&[Effect::Write], 1),
            risk(&[Effect::Read, Effect::Write], 3),
            risk(&[Effect::Write], 0),
            risk(&[Effect::External, Effect::Write], 1),
            risk(&[Effect::External], 0),
            risk(&[Effect::Destructive], 1),
            risk(&[Effect::Admin], 0),
        ];
        assert!(ranked.is_sorted() && ranked.first() < ranked.last(), "{ranked:?}");
        assert_eq!(risk(&[Effect::Execute], 1), risk(&[Effect::Destructive], 1));
        assert!(ranked.iter().all(|risk| Risk::words(risk.rank()) != "unknown"));
        assert_eq!((Risk::words(0), Risk::words(42)), ("unknown", "very high, target unknown"));
    }
}
