//! What is wrong with a file, and where.
//!
//! Loading is all or nothing, but it reports all that it can find in one go: a person who fixes a contract
//! should not have to run the program once per typing error.

use std::fmt;
use std::path::{Path, PathBuf};

/// One thing that is wrong with one file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1; 0 if the problem is the file as a whole.
    pub line: u32,
    /// The column in characters, from 1; 0 if the problem is the line as a whole.
    pub column: u32,
    /// What is wrong, and what to do next when that is known.
    pub message: String,
}

impl Problem {
    /// A problem with a file as a whole.
    #[must_use]
    pub fn whole(file: &Path, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line: 0, column: 0, message: message.into() }
    }

    /// A problem at a byte offset of the file's text.
    #[must_use]
    pub fn at(file: &Path, text: &str, offset: usize, message: impl Into<String>) -> Self {
        let (line, column) = position(text, offset);
        Self { file: file.to_owned(), line, column, message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if self.column > 0 {
            write!(f, ":{}", self.column)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Why nothing was loaded: every problem that was found, in the order of files and lines.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", join(.problems))]
pub struct LoadError {
    problems: Vec<Problem>,
}

impl LoadError {
    pub(crate) fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort();
        problems.dedup();
        Self { problems }
    }

    /// The problems, in the order of files and lines. Never empty.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

fn join(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// The line and column, both from 1, of a byte offset. An offset beyond the end is the end.
#[must_use]
pub fn position(text: &str, offset: usize) -> (u32, u32) {
    let mut line = 1u32;
    let mut column = 1u32;
    for (index, character) in text.char_indices() {
        if index >= offset {
            break;
        }
        if character == '\n' {
            line = line.saturating_add(1);
            column = 1;
        } else {
            column = column.saturating_add(1);
        }
    }
    (line, column)
}

/// The beginnings of lines, for texts in which many positions are asked for.
#[derive(Debug)]
pub(crate) struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    pub(crate) fn of(text: &'t str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(index, _)| index + 1);
        Self { text, starts: std::iter::once(0).chain(ends).collect() }
    }

    /// As [`position`], without reading the text from its beginning.
    pub(crate) fn position(&self, offset: usize) -> (u32, u32) {
        let line = self.starts.partition_point(|start| *start <= offset).max(1);
        let start = self.starts.get(line - 1).copied().unwrap_or(0);
        let column = self.text.get(start..offset).unwrap_or_default().chars().count() + 1;
        (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
    }
}

/// Says which of the known spellings is nearest, as the end of a message: ``; did you mean `x`?``, or all of
/// them if none is near and there are few.
#[must_use]
pub fn nearest<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let mut known: Vec<&str> = known.into_iter().collect();
    known.sort_unstable();
    known.dedup();
    let best = known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(&text.to_lowercase(), &candidate.to_lowercase()), *candidate))
        .min();
    match best {
        Some((distance, candidate)) if distance <= 1 + candidate.len() / 3 => format!("; did you mean `{candidate}`?"),
        Some(_) if known.len() <= 16 => format!("; known are `{}`", known.join("`, `")),
        Some(_) | None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_counts_lines_and_characters_from_one() {
        assert_eq!(position("ab\ncd", 0), (1, 1));
        assert_eq!(position("ab\ncd", 4), (2, 2));
        assert_eq!(position("äb", 2), (1, 2));
        assert_eq!(position("ab", 99), (1, 3));
    }

    #[test]
    fn an_index_of_lines_gives_the_same_positions() {
        let text = "ab\ncd\n\näx\n";
        let lines = Lines::of(text);
        for offset in (0..text.len()).filter(|offset| text.is_char_boundary(*offset)) {
            assert_eq!(lines.position(offset), position(text, offset), "{offset}");
        }
    }

    #[test]
    fn the_nearest_spelling_is_named_and_nothing_far_is_guessed() {
        assert_eq!(nearest("efects", ["effects", "hold"]), "; did you mean `effects`?");
        assert_eq!(nearest("zzzzzzzz", ["effects", "hold"]), "; known are `effects`, `hold`");
    }
}
