//! Command lines.
//!
//! What a shell would do with text is not guessed: any character that means something to a shell makes the fact
//! `shell` true and leaves the program unknown. Without one, the words are separated by spaces and the first is
//! the program. An array of strings is taken as the words themselves, which no shell reads.

use super::{Answer, Unfit, text, unfit};
use crate::facts::{Fact, FactType};
use crate::json::Json;
use crate::reason::ReasonCode;

/// Facts of a command: `program` as spelled, or empty if a shell would decide, `words` after it, `shell`.
pub const FACTS: &[(&str, FactType)] =
    &[("program", FactType::Text), ("words", FactType::Long), ("shell", FactType::Flag)];

/// Everything that a POSIX shell does not take literally, and line ends.
const SHELL: &[char] = &[
    '|', '&', ';', '<', '>', '(', ')', '$', '`', '\\', '"', '\'', '*', '?', '[', ']', '#', '~', '=', '%', '{', '}',
    '!', '^', '\n', '\r', '\t',
];

pub(super) fn facts(value: &Json<'_>, programs: &[String]) -> Answer {
    let words: Option<Vec<&str>> = match value.as_list() {
        Some(items) => Some(items.iter().map(text::typed).collect::<Result<_, Unfit>>()?),
        None => {
            let line = text::lines(value, crate::limits::TYPED_ARGUMENT_BYTES_MAX)?;
            (!line.contains(SHELL)).then(|| line.split(' ').filter(|word| !word.is_empty()).collect())
        }
    };
    let shell = words.is_none();
    let words = words.unwrap_or_default();
    let program = words.first().copied().unwrap_or_default();
    if !shell && program.is_empty() {
        return Err(unfit(ReasonCode::KindMismatch, "a command that names a program"));
    }
    if !programs.is_empty() && !programs.iter().any(|allowed| allowed == program) {
        return Err(unfit(ReasonCode::ProgramRefused, "a program that the contract allows, without shell syntax"));
    }
    let count = i64::try_from(words.len().saturating_sub(1)).unwrap_or(i64::MAX);
    Ok([("program", Fact::Text(program.to_owned())), ("words", Fact::Long(count)), ("shell", Fact::Flag(shell))].into())
}
