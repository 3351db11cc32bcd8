//! Argument kinds: what an argument means, and the facts that follow from its value.
//!
//! A contract gives an argument a kind. [`extract`] then refuses values that are not of that kind, that could be
//! read in two ways, or that break the contract's limits, and turns the others into typed facts. Text of a typed
//! kind must be in Unicode normal form C and free of control, zero-width, bidirectional and tag characters; free
//! content (`content`, `query`, `text`) is left alone.
//!
//! Where a rule stands for several values (`paths[]`), facts are merged to the worst case: texts become sets,
//! numbers the largest, flags the more dangerous one (all must be inside the roots; one private address is
//! enough).

pub mod amount;
pub mod command;
pub mod mail;
pub mod path;
pub mod plain;
pub mod sql;
mod text;
pub mod url;

use std::collections::BTreeMap;

use crate::contract::{ArgumentRule, Contract, Kind, Step};
use crate::facts::{ArgumentFacts, Fact, FactType, Facts};
use crate::json::{Json, pointer_token, same_ignoring_case};
use crate::limits;
use crate::ports::{Fault, Files};
use crate::reason::ReasonCode;

/// Why an argument is refused: a reason code, where, and what was expected there. Never the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The reason code.
    pub reason: ReasonCode,
    /// A JSON pointer into the arguments.
    pub pointer: String,
    /// What was expected there.
    pub expected: String,
}

/// Why facts could not be had.
#[derive(Debug)]
pub enum Obstacle {
    /// The value is refused.
    Refused(Refusal),
    /// We could not find out.
    Fault(Fault),
}

impl From<Fault> for Obstacle {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// What a kind says about one value: a reason code and what was expected, or a fault.
type Answer = Result<ArgumentFacts, Unfit>;

/// Why a value does not fit its kind.
#[derive(Debug)]
enum Unfit {
    Refused(ReasonCode, String),
    Fault(Fault),
}

fn unfit(reason: ReasonCode, expected: impl Into<String>) -> Unfit {
    Unfit::Refused(reason, expected.into())
}

/// The names and types of the facts of a kind, for one value or for several.
#[must_use]
pub fn fact_types(kind: &Kind, many: bool) -> Vec<(&'static str, FactType)> {
    let single = match kind {
        Kind::Path { .. } => path::FACTS,
        Kind::Url { .. } => url::FACTS,
        Kind::Email { .. } => mail::EMAIL_FACTS,
        Kind::Domain { .. } => mail::DOMAIN_FACTS,
        Kind::Amount { .. } => amount::FACTS,
        Kind::Command { .. } => command::FACTS,
        Kind::Sql { .. } => sql::FACTS,
        Kind::Id => plain::ID_FACTS,
        Kind::When => plain::WHEN_FACTS,
        Kind::Content | Kind::Query | Kind::Text => plain::FREE_FACTS,
        Kind::Flag => plain::FLAG_FACTS,
    };
    let merged = |fact| if many && fact == FactType::Text { FactType::Texts } else { fact };
    single.iter().map(|&(name, fact)| (name, merged(fact))).chain([("count", FactType::Long)]).collect()
}

/// Turns the arguments of a call into facts, by the contract's rules.
///
/// # Errors
/// The first refusal in the order of the rules, or a fault of the file system.
pub fn extract(contract: &Contract, arguments: &Json<'_>, files: &dyn Files) -> Result<Facts, Obstacle> {
    let mut facts = Facts::default();
    let (mut typed, mut paths) = (0usize, 0usize);
    for rule in contract.arguments.values() {
        let mut found = Vec::new();
        collect(arguments, rule.path.steps(), String::new(), &mut found)?;
        let mut merged: Option<ArgumentFacts> = None;
        let count = found.len();
        for (pointer, value) in found {
            typed = typed.saturating_add(if rule.kind.is_free() { 0 } else { value.as_text().map_or(0, str::len) });
            paths = paths.saturating_add(usize::from(matches!(rule.kind, Kind::Path { .. })));
            if typed > limits::TYPED_BYTES_MAX || paths > limits::PATHS_MAX {
                let (bytes, paths) = (limits::TYPED_BYTES_MAX, limits::PATHS_MAX);
                let expected = format!("at most {paths} paths, and {bytes} bytes of paths, URLs, SQL and the like");
                return Err(Obstacle::Refused(Refusal { reason: ReasonCode::KindMismatch, pointer, expected }));
            }
            let one = of_value(contract, rule, value, files).map_err(|unfit| match unfit {
                Unfit::Refused(reason, expected) => Obstacle::Refused(Refusal { reason, pointer, expected }),
                Unfit::Fault(fault) => Obstacle::Fault(fault),
            })?;
            let one = if rule.path.is_many() { one.into_iter().map(widen).collect() } else { one };
            merged = Some(match merged {
                None => one,
                Some(earlier) => merge(earlier, one),
            });
        }
        if let Some(mut merged) = merged.map(sorted) {
            merged.insert("count", Fact::Long(i64::try_from(count).unwrap_or(i64::MAX)));
            facts.insert(rule.path.as_str().to_owned(), merged);
        }
    }
    Ok(facts)
}

/// Finds every value that a rule's path stands for. A `null` is an absent argument.
fn collect<'j>(
    value: &'j Json<'j>,
    steps: &[Step],
    pointer: String,
    found: &mut Vec<(String, &'j Json<'j>)>,
) -> Result<(), Obstacle> {
    let shape = |pointer: &str, expected: &str| {
        Obstacle::Refused(Refusal {
            reason: ReasonCode::KindMismatch,
            pointer: pointer.to_owned(),
            expected: expected.to_owned(),
        })
    };
    if *value == Json::Null {
        return Ok(());
    }
    match steps.split_first() {
        None => {
            found.push((pointer, value));
            let over = found.len() > limits::ARGUMENT_VALUES_MAX;
            if over { Err(shape("", "fewer values")) } else { Ok(()) }
        }
        Some((Step::Member(name), rest)) => {
            if value.as_object().is_none() {
                return Err(shape(&pointer, "an object"));
            }
            // The tool's parser may ignore case, and find what this one does not.
            if value.as_object().unwrap_or_default().iter().any(|(key, _)| key != name && same_ignoring_case(key, name))
            {
                return Err(Obstacle::Refused(Refusal {
                    reason: ReasonCode::AmbiguousText,
                    pointer,
                    expected: format!("no key that differs from `{name}` in case only"),
                }));
            }
            let Some(member) = value.member(name) else { return Ok(()) };
            collect(member, rest, format!("{pointer}/{}", pointer_token(name)), found)
        }
        Some((Step::Each, rest)) => {
            let items = value.as_list().ok_or_else(|| shape(&pointer, "an array"))?;
            items
                .iter()
                .enumerate()
                .try_for_each(|(index, item)| collect(item, rest, format!("{pointer}/{index}"), found))
        }
    }
}

fn of_value(contract: &Contract, rule: &ArgumentRule, value: &Json<'_>, files: &dyn Files) -> Answer {
    match &rule.kind {
        Kind::Path { roots, base } => {
            let place = path::Place { roots, base: base.as_deref(), changes: contract.effects.change_files() };
            path::facts(text::typed(value)?, &place, files)
        }
        Kind::Url { schemes, hosts, private } => url::facts(text::typed(value)?, schemes, hosts, *private),
        Kind::Email { domains } => mail::email(text::typed(value)?, domains),
        Kind::Domain { domains } => mail::domain(text::typed(value)?, domains),
        Kind::Amount { max } => amount::facts(value, *max),
        Kind::Command { programs } => command::facts(value, programs),
        Kind::Sql { write } => sql::facts(text::lines(value, limits::SQL_BYTES_MAX)?, *write),
        Kind::Id => plain::id(value),
        Kind::When => plain::when(text::typed(value)?),
        Kind::Content | Kind::Query | Kind::Text => plain::free(value),
        Kind::Flag => plain::flag(value),
    }
}

fn widen((name, fact): (&'static str, Fact)) -> (&'static str, Fact) {
    if let Fact::Text(text) = fact { (name, Fact::Texts(vec![text])) } else { (name, fact) }
}

/// The facts with their texts in order, each once.
fn sorted(facts: ArgumentFacts) -> ArgumentFacts {
    let sorted = |fact| if let Fact::Texts(texts) = fact { Fact::texts(texts) } else { fact };
    facts.into_iter().map(|(name, fact)| (name, sorted(fact))).collect()
}

/// Merges to the worst case; texts are put in order afterwards. A flag is dangerous when true, but for `inside`.
fn merge(mut into: ArgumentFacts, other: ArgumentFacts) -> ArgumentFacts {
    let mut other: BTreeMap<_, _> = other;
    for (name, fact) in &mut into {
        let Some(second) = other.remove(name) else { continue };
        *fact = match (std::mem::replace(fact, Fact::Flag(false)), second) {
            (Fact::Flag(a), Fact::Flag(b)) => Fact::Flag(if *name == "inside" { a && b } else { a || b }),
            (Fact::Long(a), Fact::Long(b)) => Fact::Long(a.max(b)),
            (Fact::Decimal(a), Fact::Decimal(b)) => Fact::Decimal(a.max(b)),
            (Fact::Texts(mut a), Fact::Texts(b)) => {
                a.extend(b);
                Fact::Texts(a)
            }
            (first, _) => first,
        };
    }
    into
}

#[cfg(test)]
mod tests;
