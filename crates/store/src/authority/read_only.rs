//! Read-only mode: whoever is in it can read and do nothing else.

use refmon_core::decision::Objection;
use refmon_core::ports::{Inspector, Question};
use refmon_core::reason::ReasonCode;

use super::Whom;

/// Denies every call whose contract has an effect beyond reading, to those who are meant.
#[derive(Debug)]
pub struct ReadOnly(Vec<Whom>);

impl ReadOnly {
    /// Puts callers into read-only mode: those that any of the rules means.
    #[must_use]
    pub const fn new(rules: Vec<Whom>) -> Self {
        Self(rules)
    }
}

impl Inspector for ReadOnly {
    fn examine(&self, question: &Question<'_>) -> Option<Objection> {
        let reads = question.tool.contract.effects.only_reads();
        let meant = !reads && self.0.iter().any(|rule| rule.includes(question.caller));
        meant.then(|| Objection::Deny(ReasonCode::ReadOnly.into()))
    }
}
