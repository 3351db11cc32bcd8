//! Typed facts: what policy sees of the arguments.
//!
//! A contract says what an argument means, and [`crate::kinds`] turns the value into facts: the canonical path
//! and its root, the host of a URL and whether it is private, the domains of mail addresses. Policies compare
//! these, never raw text.

use std::collections::BTreeMap;

/// One fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// True or false.
    Flag(bool),
    /// A whole number.
    Long(i64),
    /// A decimal number with four digits after the point, as its value times 10,000 (Cedar `decimal`).
    Decimal(i64),
    /// Text.
    Text(String),
    /// A set of texts, sorted, without repetition.
    Texts(Vec<String>),
}

impl Fact {
    /// A set of texts.
    #[must_use]
    pub fn texts(items: impl IntoIterator<Item = String>) -> Self {
        let mut items: Vec<String> = items.into_iter().collect();
        items.sort();
        items.dedup();
        Self::Texts(items)
    }
}

/// The type of a [`Fact`], for the compiler of policy schemas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FactType {
    /// [`Fact::Flag`]
    Flag,
    /// [`Fact::Long`]
    Long,
    /// [`Fact::Decimal`]
    Decimal,
    /// [`Fact::Text`]
    Text,
    /// [`Fact::Texts`]
    Texts,
}

/// The facts of one argument, by name. The names and types are exactly those of
/// [`crate::contract::ArgumentRule::fact_types`].
pub type ArgumentFacts = BTreeMap<&'static str, Fact>;

/// The facts of a call: by argument, as the contract spells it. An absent argument has no entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts(BTreeMap<String, ArgumentFacts>);

impl Facts {
    /// Adds the facts of one argument.
    pub(crate) fn insert(&mut self, argument: String, facts: ArgumentFacts) {
        self.0.insert(argument, facts);
    }

    /// The facts of one argument, or `None` if the call does not have it.
    #[must_use]
    pub fn of(&self, argument: &str) -> Option<&ArgumentFacts> {
        self.0.get(argument)
    }

    /// All facts, by argument.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &ArgumentFacts)> {
        self.0.iter().map(|(name, facts)| (name.as_str(), facts))
    }
}
