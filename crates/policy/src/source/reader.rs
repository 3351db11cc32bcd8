//! Reading TOML with positions: each helper takes what it can and notes what it cannot.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::problem::{Problem, nearest};

/// A value with its position.
pub(super) type Value<'a> = Spanned<DeValue<'a>>;

/// A TOML text that is being read, and the problems so far.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    file: &'a Path,
    text: &'a str,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(file: &'a Path, text: &'a str) -> Self {
        Self { file, text, problems: Vec::new() }
    }

    /// Parses the text; what does not follow the grammar becomes problems.
    pub(super) fn table(&mut self) -> Option<DeTable<'a>> {
        match DeTable::parse(self.text) {
            Ok(table) => Some(table.into_inner()),
            Err(error) => {
                let offset = error.span().map_or(0, |span| span.start);
                self.note(offset, error.message().to_lowercase());
                None
            }
        }
    }

    pub(super) fn note(&mut self, offset: usize, message: impl Into<String>) {
        self.problems.push(Problem::at(self.file, self.text, offset, message));
    }

    pub(super) fn finish<T>(self, value: Option<T>) -> Result<T, Vec<Problem>> {
        match value {
            Some(value) if self.problems.is_empty() => Ok(value),
            Some(_) | None => Err(self.problems),
        }
    }

    /// Notes every key that is not known.
    pub(super) fn only(&mut self, table: &DeTable<'a>, known: &[&str], what: &str) {
        for (key, _) in table {
            if !known.contains(&key.get_ref().as_ref()) {
                let hint = nearest(key.get_ref(), known.iter().copied());
                self.note(key.span().start, format!("{what} has no key `{}`{hint}", key.get_ref()));
            }
        }
    }

    /// A key that must be there.
    pub(super) fn required<'t>(
        &mut self,
        table: &'t DeTable<'a>,
        key: &str,
        offset: usize,
        what: &str,
    ) -> Option<&'t Value<'a>> {
        let value = table.get(key);
        if value.is_none() {
            self.note(offset, format!("{what} needs `{key}`"));
        }
        value
    }

    pub(super) fn text<'t>(&mut self, value: &'t Value<'a>, key: &str) -> Option<&'t str> {
        let text = value.get_ref().as_str();
        if text.is_none() {
            self.wrong(value, key, "text");
        }
        text
    }

    pub(super) fn flag(&mut self, value: &Value<'a>, key: &str) -> Option<bool> {
        let flag = value.get_ref().as_bool();
        if flag.is_none() {
            self.wrong(value, key, "`true` or `false`");
        }
        flag
    }

    pub(super) fn number(&mut self, value: &Value<'a>, key: &str) -> Option<u32> {
        let number = value
            .get_ref()
            .as_integer()
            .and_then(|integer| u32::from_str_radix(integer.as_str(), integer.radix()).ok())
            .filter(|number| *number > 0);
        if number.is_none() {
            self.wrong(value, key, "a whole number from 1");
        }
        number
    }

    pub(super) fn subtable<'t>(&mut self, value: &'t Value<'a>, key: &str) -> Option<&'t DeTable<'a>> {
        let table = value.get_ref().as_table();
        if table.is_none() {
            self.wrong(value, key, "a table");
        }
        table
    }

    /// A list of texts, each with its offset.
    pub(super) fn texts<'t>(&mut self, value: &'t Value<'a>, key: &str) -> Option<Vec<(&'t str, usize)>> {
        let Some(items) = value.get_ref().as_array() else {
            self.wrong(value, key, "a list of texts");
            return None;
        };
        let mut texts = Vec::new();
        for item in items.iter() {
            texts.push((self.text(item, key)?, item.span().start));
        }
        Some(texts)
    }

    fn wrong(&mut self, value: &Value<'a>, key: &str, expected: &str) {
        let found = value.get_ref().type_str();
        self.note(value.span().start, format!("`{key}` must be {expected}, not a TOML {found}"));
    }
}
