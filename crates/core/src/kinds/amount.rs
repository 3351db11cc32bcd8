//! Amounts: decimal numbers with at most four digits after the point, as a JSON number or as text (`"12.50"`).

use super::{Answer, text, unfit};
use crate::contract::Decimal4;
use crate::facts::{Fact, FactType};
use crate::json::Json;
use crate::reason::ReasonCode;

/// Facts of an amount: `value`, `negative`.
pub const FACTS: &[(&str, FactType)] = &[("value", FactType::Decimal), ("negative", FactType::Flag)];

pub(super) fn facts(value: &Json<'_>, max: Option<Decimal4>) -> Answer {
    let wrong = || unfit(ReasonCode::KindMismatch, "an amount with at most four digits after the point");
    let amount = match value.as_number() {
        Some(number) => number.as_decimal4(),
        None => parse(text::typed(value)?).map(|Decimal4(amount)| amount),
    };
    let amount = amount.ok_or_else(wrong)?;
    if max.is_some_and(|Decimal4(max)| amount.unsigned_abs() > max.unsigned_abs()) {
        return Err(unfit(ReasonCode::OverLimit, "an amount within the contract's limit"));
    }
    Ok([("value", Fact::Decimal(amount)), ("negative", Fact::Flag(amount < 0))].into())
}

/// Parses a plain decimal: an optional minus, digits, and up to four digits after a point. No exponent, no group
/// separators, no currency sign.
#[must_use]
pub fn parse(text: &str) -> Option<Decimal4> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !plain(whole) || !plain(fraction) || fraction.len() > 4 {
        return None;
    }
    let magnitude: i64 = format!("{whole}{fraction:0<4}").parse().ok()?;
    Some(Decimal4(if digits.len() < text.len() { magnitude.checked_neg()? } else { magnitude }))
}
