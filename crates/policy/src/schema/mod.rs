//! JSON Schema for the arguments of a tool, behind [`ArgumentSchema`].
//!
//! A tool's schema was written by a stranger and pinned by the operator. It is compiled once, with bounds, and
//! then decides about every call before policy does. JSON Schema 2020-12 is the default, as in the Model Context
//! Protocol; older drafts are followed where `$schema` declares them.
//!
//! Invariants:
//! - Nothing is fetched: every reference points into the schema itself, or the schema is refused.
//! - Patterns run on an engine with linear time. A pattern that needs look-around or back-references is refused.
//! - The work for one value is bounded: see [`bounds`].
//! - A mismatch names the place and the expectation, in words of the schema, never the value.
//!
//! Unless the contract says otherwise, properties that the schema does not declare are refused, in the object itself and in objects below it that are reached by plain `properties` and
//! `items`; what cannot be closed that way is reported ([`Schema::open`]).

pub mod bounds;
mod close;
mod expect;
pub(crate) mod walk;

use std::collections::BTreeSet;

use jsonschema::{PatternOptions, Validator};
use refmon_core::json::Json;
use refmon_core::limits;
use refmon_core::ports::{ArgumentSchema, Mismatch};
use serde_json::{Map, Number, Value};

pub use refmon_core::ports::UNDECLARED;

/// Bytes that a compiled pattern may take.
const PATTERN_BYTES_MAX: usize = 1024 * 1024;

/// Why a schema is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// The schema is not an object.
    #[error("the schema of the arguments must be an object")]
    NotObject,
    /// The schema is too large, too deep or has too many parts.
    #[error("the schema has {what}, and at most {most} are allowed; ask the tool's author for a smaller one")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// The bound.
        most: usize,
    },
    /// A reference does not point into the schema itself.
    #[error("the schema refers to `{0}`, which is not inside it; refmon fetches nothing, so inline the definition")]
    RemoteReference(String),
    /// A reference points to nothing.
    #[error("the schema refers to `{0}`, which does not exist in it")]
    DanglingReference(String),
    /// A part of the schema applies itself to the same value again.
    #[error("the schema applies itself to the same value without end, by `{0}`")]
    Endless(String),
    /// Checking one value could take work without reasonable bound.
    #[error(
        "checking a value against the schema could take unbounded work (too many alternatives refer to each other)"
    )]
    Explosive,
    /// The schema does not follow its meta-schema or has a pattern that is refused.
    #[error("the schema is not valid: {0}")]
    Invalid(String),
}

/// A compiled schema.
#[derive(Debug)]
pub struct Schema {
    validator: Validator,
    properties: BTreeSet<String>,
    open: Vec<String>,
}

impl Schema {
    /// Compiles a schema. With `undeclared`, properties that it does not declare are let through.
    ///
    /// # Errors
    /// [`SchemaError`] if the schema is refused.
    pub fn compile(schema: &Json<'_>, undeclared: bool) -> Result<Self, SchemaError> {
        if !matches!(schema, Json::Object(_)) {
            return Err(SchemaError::NotObject);
        }
        bounds::check(schema)?;
        let mut value = to_value(schema).ok_or_else(|| SchemaError::Invalid("a number is out of range".to_owned()))?;
        let open = if undeclared { Vec::new() } else { close::close(&mut value) };
        let validator = jsonschema::options()
            .offline()
            .with_pattern_options(
                PatternOptions::regex().size_limit(PATTERN_BYTES_MAX).dfa_size_limit(PATTERN_BYTES_MAX),
            )
            .build(&value)
            .map_err(|error| SchemaError::Invalid(error.to_string()))?;
        Ok(Self { validator, properties: walk::properties(schema), open })
    }

    /// The names of the top-level properties that the schema declares, in any of its alternatives.
    #[must_use]
    pub const fn properties(&self) -> &BTreeSet<String> {
        &self.properties
    }

    /// Objects that could not be closed against undeclared properties, as JSON pointers with the reason.
    #[must_use]
    pub fn open(&self) -> &[String] {
        &self.open
    }
}

impl ArgumentSchema for Schema {
    fn check(&self, arguments: &Json<'_>) -> Result<(), Mismatch> {
        let out_of_range =
            || Mismatch { pointer: String::new(), expected: "numbers within the range of 64 bits".to_owned() };
        let value = to_value(arguments).ok_or_else(out_of_range)?;
        if self.validator.is_valid(&value) {
            return Ok(());
        }
        // The first error in the order of the schema; an undeclared property goes before the others, for it
        // has a reason code of its own.
        let mut first = None;
        for error in self.validator.iter_errors(&value).take(64) {
            let found = expect::mismatch(&error);
            if found.expected.starts_with(UNDECLARED) {
                return Err(found);
            }
            first.get_or_insert(found);
        }
        Err(first.unwrap_or_else(|| Mismatch { pointer: String::new(), expected: "what the schema says".to_owned() }))
    }
}

/// Converts without loss for whole numbers; other numbers become the nearest double, as in every JSON Schema
/// validator. `None` for a number beyond 64 bits or without a finite double, and beyond the depth that
/// [`refmon_core::json`] allows.
pub(crate) fn to_value(json: &Json<'_>) -> Option<Value> {
    convert(json, limits::JSON_DEPTH_MAX.saturating_add(1))
}

fn convert(json: &Json<'_>, depth: usize) -> Option<Value> {
    let depth = depth.checked_sub(1)?;
    Some(match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => Value::Number(whole(number.as_str()).map_or_else(
            || Number::from_f64(number.as_f64()?).filter(|_| number.as_str().contains(['.', 'e', 'E'])),
            Some,
        )?),
        Json::Text(text) => Value::String(text.to_string()),
        Json::List(items) => Value::Array(items.iter().map(|item| convert(item, depth)).collect::<Option<_>>()?),
        Json::Object(members) => {
            let mut map = Map::new();
            for (key, value) in members {
                map.insert(key.to_string(), convert(value, depth)?);
            }
            Value::Object(map)
        }
    })
}

fn whole(text: &str) -> Option<Number> {
    text.parse::<i64>().map(Number::from).or_else(|_| text.parse::<u64>().map(Number::from)).ok()
}

#[cfg(test)]
mod tests;
