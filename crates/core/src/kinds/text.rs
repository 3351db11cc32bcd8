//! Text that is read one way only.

use unicode_normalization::is_nfc;

use super::{Unfit, unfit};
use crate::json::Json;
use crate::limits;
use crate::reason::ReasonCode;

/// The text of a typed argument: one line, short, in normal form C, without invisible characters.
pub(super) fn typed<'j>(value: &'j Json<'_>) -> Result<&'j str, Unfit> {
    let text = lines(value, limits::TYPED_ARGUMENT_BYTES_MAX)?;
    if text.contains(['\n', '\r', '\t']) {
        return Err(unfit(ReasonCode::AmbiguousText, "one line without tabs"));
    }
    Ok(text)
}

/// Text that may have several lines.
pub(super) fn lines<'j>(value: &'j Json<'_>, bytes_max: usize) -> Result<&'j str, Unfit> {
    let text = value.as_text().ok_or_else(|| unfit(ReasonCode::KindMismatch, "a string"))?;
    if text.len() > bytes_max {
        return Err(unfit(ReasonCode::KindMismatch, format!("at most {bytes_max} bytes")));
    }
    if text.chars().any(is_deceptive) {
        return Err(unfit(ReasonCode::AmbiguousText, "no control, invisible or bidirectional characters"));
    }
    if is_nfc(text) { Ok(text) } else { Err(unfit(ReasonCode::AmbiguousText, "text in Unicode normal form C")) }
}

/// Whether a character shows nothing, shows something else, or changes the order of what is shown: control
/// characters but for line ends and tabs, and Unicode's default ignorables, which include the bidirectional
/// controls (UAX 9), zero-width characters, variation selectors and tags.
const fn is_deceptive(character: char) -> bool {
    matches!(character,
        '\0'..='\u{8}' | '\u{b}'..='\u{c}' | '\u{e}'..='\u{1f}' | '\u{7f}'..='\u{9f}'
        | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}
