//! The simple kinds: identifiers, times, switches and free text.

use super::{Answer, text, unfit};
use crate::facts::{Fact, FactType};
use crate::json::Json;
use crate::limits;
use crate::reason::ReasonCode;

/// Facts of an identifier: `value`.
pub const ID_FACTS: &[(&str, FactType)] = &[("value", FactType::Text)];
/// Facts of a time: `unix` in seconds since 1970-01-01T00:00:00Z; a date stands for its first second in UTC.
pub const WHEN_FACTS: &[(&str, FactType)] = &[("unix", FactType::Long)];
/// Facts of free text: `bytes` and `lines`.
pub const FREE_FACTS: &[(&str, FactType)] = &[("bytes", FactType::Long), ("lines", FactType::Long)];
/// Facts of a switch: `value`.
pub const FLAG_FACTS: &[(&str, FactType)] = &[("value", FactType::Flag)];

pub(super) fn id(value: &Json<'_>) -> Answer {
    let whole = value.as_number().and_then(|number| number.as_i64()).map(|number| number.to_string());
    let id = match whole {
        Some(number) => number,
        None => text::typed(value)?.to_owned(),
    };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/@+=".contains(&byte);
    if id.is_empty() || id.len() > limits::ID_BYTES_MAX || !id.bytes().all(allowed) {
        return Err(unfit(ReasonCode::KindMismatch, "an identifier of letters, digits and `- _ . : / @ + =`"));
    }
    Ok([("value", Fact::Text(id))].into())
}

pub(super) fn flag(value: &Json<'_>) -> Answer {
    let value = value.as_bool().ok_or_else(|| unfit(ReasonCode::KindMismatch, "true or false"))?;
    Ok([("value", Fact::Flag(value))].into())
}

/// Free text is measured, not judged. Other values are measured in their canonical form.
pub(super) fn free(value: &Json<'_>) -> Answer {
    let canonical;
    let text = match value.as_text() {
        Some(text) => text,
        None => {
            canonical = value.canonical();
            &canonical
        }
    };
    let long = |count: usize| Fact::Long(i64::try_from(count).unwrap_or(i64::MAX));
    Ok([("bytes", long(text.len())), ("lines", long(text.lines().count()))].into())
}

pub(super) fn when(text: &str) -> Answer {
    let unix = unix_seconds(text)
        .ok_or_else(|| unfit(ReasonCode::KindMismatch, "a date (`2026-01-31`) or an RFC 3339 time with its offset"))?;
    Ok([("unix", Fact::Long(unix))].into())
}

/// Parses an RFC 3339 `full-date` or `date-time` (section 5.6). A calendar crate would be the core's heaviest
/// dependency for this one fixed format.
#[must_use]
pub fn unix_seconds(text: &str) -> Option<i64> {
    let (date, time) = match text.get(10..11) {
        None => (text, None),
        Some("T" | "t" | " ") => (text.get(..10)?, text.get(11..)),
        Some(_) => return None,
    };
    let [year, month, day] = fields(date, '-', [4, 2, 2])?;
    let leap = year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0);
    let days_in_month = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    if !(1..=days_in_month).contains(&day) {
        return None;
    }
    let midnight = days_from_civil(year, month, day).checked_mul(86_400)?;
    let Some(time) = time else { return Some(midnight) };
    midnight.checked_add(seconds_of_day(time)?)
}

fn seconds_of_day(time: &str) -> Option<i64> {
    let [hour, minute, second] = fields(time.get(..8)?, ':', [2, 2, 2])?;
    let mut rest = time.get(8..)?;
    if let Some(fraction) = rest.strip_prefix('.') {
        let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
        rest = fraction.get(digits..).filter(|_| digits > 0)?;
    }
    let offset = match rest {
        "Z" | "z" => 0,
        _ => {
            let sign = match rest.get(..1)? {
                "+" => 1,
                "-" => -1,
                _ => return None,
            };
            let [hours, minutes] = fields(rest.get(1..)?, ':', [2, 2])?;
            if hours > 23 || minutes > 59 {
                return None;
            }
            sign_times(sign, hours.checked_mul(3600)?.checked_add(minutes.checked_mul(60)?)?)
        }
    };
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    hour.checked_mul(3600)?.checked_add(minute.checked_mul(60)?)?.checked_add(second)?.checked_sub(offset)
}

const fn sign_times(sign: i64, value: i64) -> i64 {
    if sign < 0 { value.saturating_neg() } else { value }
}

/// Splits fixed-width decimal fields.
fn fields<const N: usize>(text: &str, separator: char, widths: [usize; N]) -> Option<[i64; N]> {
    let mut out = [0i64; N];
    let mut parts = text.split(separator);
    for (slot, width) in out.iter_mut().zip(widths) {
        let part = parts.next()?;
        if part.len() != width || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *slot = part.parse().ok()?;
    }
    parts.next().is_none().then_some(out)
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar, for a year of four digits.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let before_march = i64::from(month <= 2);
    let year = year.saturating_sub(before_march);
    let month = month.saturating_add(before_march.saturating_mul(12)).saturating_sub(3);
    let of_year = month.saturating_mul(153).saturating_add(2).div_euclid(5).saturating_add(day).saturating_sub(1);
    let leaps = year.div_euclid(4).saturating_sub(year.div_euclid(100)).saturating_add(year.div_euclid(400));
    year.saturating_mul(365).saturating_add(leaps).saturating_add(of_year).saturating_sub(719_468)
}
