//! The strict JSON gate: bytes with exactly one reading, or none.
//!
//! Parsers disagree about JSON, and an agent that knows how can make the judge read one call and the tool
//! another (CVE-2026-27896 is one of a family). So before anything is judged, these are refused: duplicate keys
//! at any depth, keys with a NUL, invalid UTF-8, a byte order mark, lone surrogates, text after the value, and
//! nesting beyond [`JSON_DEPTH_MAX`]; in what an agent sends also keys of one object that differ only in
//! case ([`Strictness::Request`]). Numbers keep their text: nothing is rounded.
//!
//! Grammar: RFC 8259. [`Json::parse`] builds a tree, [`scan`] only checks, [`Members`] finds the members of an
//! object as spans of the original bytes, so that they can be passed on as they came. [`Json::canonical`] is the
//! one form that is hashed: RFC 8785, but integers are kept exact.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::wildcard_enum_match_arm)]
#![cfg_attr(
    test,
    allow(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::wildcard_enum_match_arm,
        clippy::allow_attributes,
        reason = "tests may index and add"
    )
)]

mod canonical;
mod keys;
mod members;
mod number;
mod scanner;

use std::borrow::Cow;
use std::fmt;

pub use members::{Member, Members};
pub use number::Number;

/// Nesting of JSON arrays and objects.
pub const JSON_DEPTH_MAX: usize = 128;
/// Members of one JSON object.
pub const JSON_MEMBERS_MAX: usize = 100_000;

/// A JSON value, borrowing from the bytes it was parsed from where it can.
#[derive(Debug, Clone, PartialEq)]
pub enum Json<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, as it was spelled.
    Number(Number<'a>),
    /// A string.
    Text(Cow<'a, str>),
    /// An array.
    List(Vec<Json<'a>>),
    /// An object: keys are unique, in the order they came.
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

/// How strict the gate is about keys that differ only in case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    /// What an agent sends: such keys are refused in every object.
    Request,
    /// What a server answers: its data may have them.
    Data,
    /// Nothing is asked of keys. Only to find out whose an answer is that has been refused already.
    Lenient,
}

/// Why bytes have no single reading as JSON, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// What is wrong.
    pub defect: Defect,
    /// The offset of the offending byte.
    pub offset: usize,
}

/// What is wrong with the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Defect {
    /// They do not follow the grammar.
    Syntax,
    /// They end in the middle of the value.
    Truncated,
    /// Something follows the value.
    Trailing,
    /// They are not UTF-8.
    Utf8,
    /// A string has a lone surrogate.
    Surrogate,
    /// An object has the same key twice.
    DuplicateKey,
    /// An object has two keys that differ only in case.
    CaseVariantKey,
    /// A key has a NUL.
    NulInKey,
    /// Arrays and objects nest too deep.
    Depth,
    /// An object has too many members.
    Members,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.defect {
            Defect::Syntax => "is not JSON (RFC 8259)",
            Defect::Truncated => "ends in the middle of a JSON value",
            Defect::Trailing => "has text after the JSON value",
            Defect::Utf8 => "is not UTF-8",
            Defect::Surrogate => "has a lone surrogate in a string",
            Defect::DuplicateKey => "has the same key twice in one object",
            Defect::CaseVariantKey => "has two keys in one object that differ only in case",
            Defect::NulInKey => "has a NUL in a key",
            Defect::Depth => "nests too deep",
            Defect::Members => "has too many members in one object",
        };
        write!(f, "the input {what} (at byte {})", self.offset)
    }
}

impl std::error::Error for Malformed {}

impl<'a> Json<'a> {
    /// Parses what an agent sends: [`Strictness::Request`].
    ///
    /// # Errors
    /// [`Malformed`] if the bytes have no single reading.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        Self::parse_with(bytes, Strictness::Request)
    }

    /// Parses at a given strictness.
    ///
    /// # Errors
    /// [`Malformed`] if the bytes have no single reading.
    pub fn parse_with(bytes: &'a [u8], strictness: Strictness) -> Result<Self, Malformed> {
        scanner::whole::<scanner::Tree>(bytes, strictness)
    }

    /// The member of an object, by exact key; `None` for another key or another kind of value.
    #[must_use]
    pub fn member(&self, key: &str) -> Option<&Self> {
        self.as_object()?.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// The members of an object, in the order they came.
    #[must_use]
    pub fn as_object(&self) -> Option<&[(Cow<'a, str>, Self)]> {
        if let Self::Object(members) = self { Some(members) } else { None }
    }

    /// The elements of an array.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Self]> {
        if let Self::List(items) = self { Some(items) } else { None }
    }

    /// The text of a string.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The value of `true` or `false`.
    #[must_use]
    pub const fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(value) = self { Some(*value) } else { None }
    }

    /// The number.
    #[must_use]
    pub const fn as_number(&self) -> Option<&Number<'a>> {
        if let Self::Number(number) = self { Some(number) } else { None }
    }

    /// The canonical form: RFC 8785 (keys sorted by UTF-16 code units, minimal escapes, no white space), but a
    /// number keeps all its digits, so that two values never share one form.
    #[must_use]
    pub fn canonical(&self) -> String {
        canonical::write(self)
    }

    /// The canonical form, but for numbers, which stay as they were spelled: `1` and `1.0` are one value to most
    /// programs and two to some.
    #[must_use]
    pub fn spelled(&self) -> String {
        canonical::spelled(self)
    }

    /// A JSON pointer (RFC 6901) to the first number that programs would read in different ways: a whole number
    /// beyond 64 bits, or a fraction that is not the shortest spelling of a double.
    #[must_use]
    pub fn ambiguous_number(&self) -> Option<String> {
        match self {
            Self::Null | Self::Bool(_) | Self::Text(_) => None,
            Self::Number(number) => (!number.is_exact()).then(String::new),
            Self::List(items) => items
                .iter()
                .enumerate()
                .find_map(|(index, item)| item.ambiguous_number().map(|rest| format!("/{index}{rest}"))),
            Self::Object(members) => members
                .iter()
                .find_map(|(key, value)| value.ambiguous_number().map(|rest| format!("/{}{rest}", pointer_token(key)))),
        }
    }
}

/// Escapes a key for a JSON pointer (RFC 6901, section 3).
#[must_use]
pub fn pointer_token(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// Checks that bytes have one reading, without building a tree.
///
/// # Errors
/// [`Malformed`] if they have none.
pub fn scan(bytes: &[u8], strictness: Strictness) -> Result<(), Malformed> {
    scanner::whole::<scanner::Check>(bytes, strictness)
}

/// Whether two keys are the same to a parser that ignores case: ASCII letters, and the two characters beyond
/// ASCII that fold to ASCII letters (U+017F long s, U+212A Kelvin sign).
#[must_use]
pub fn same_ignoring_case(left: &str, right: &str) -> bool {
    if left.is_ascii() && right.is_ascii() {
        return left.eq_ignore_ascii_case(right);
    }
    left.chars().map(folded).eq(right.chars().map(folded))
}

/// A character as a parser that ignores case sees it.
const fn folded(character: char) -> char {
    match character {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    }
}

const _: () = assert!(JSON_DEPTH_MAX < 1024, "the scanner recurses once per level");

#[cfg(test)]
mod tests;
