//! Numbers keep their text.

use std::fmt;

/// A JSON number, as it was spelled.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Number<'a>(&'a str);

/// A decimal value: digits without leading and trailing zeros, times ten to a power.
#[derive(PartialEq, Eq)]
struct Scaled {
    negative: bool,
    digits: String,
    exponent: i64,
}

impl<'a> Number<'a> {
    pub(super) const fn from_scanned(text: &'a str) -> Self {
        Self(text)
    }

    /// The number as it was spelled.
    #[must_use]
    pub const fn as_str(&self) -> &'a str {
        self.0
    }

    /// The value, if it is whole and fits 64 bits with sign. `1.0` and `1e3` are whole.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        if let Ok(value) = self.0.parse::<i64>() {
            return Some(value);
        }
        self.times_ten_to(0)
    }

    /// The value, if it is whole and fits 64 bits without sign.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        self.0.parse::<u64>().ok().or_else(|| u64::try_from(self.as_i64()?).ok())
    }

    /// The value times 10,000, if it has at most four digits after the point and fits (Cedar `decimal`).
    #[must_use]
    pub fn as_decimal4(&self) -> Option<i64> {
        self.times_ten_to(4)
    }

    /// The nearest double.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        self.0.parse::<f64>().ok().filter(|value| value.is_finite())
    }

    /// Whether programs read the same value: a whole number between -(2^53 - 1) and 2^53 - 1 that is spelled as one (RFC 7493,
    /// section 2.2), or a number that equals the shortest spelling of the nearest double.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        if !self.0.contains(['.', 'e', 'E']) {
            return self.0.parse::<i64>().is_ok_and(|value| value.unsigned_abs() < 1 << 53);
        }
        let Some(double) = self.as_f64() else { return false };
        match (scaled(self.0), scaled(&format!("{double:e}"))) {
            (Some(ours), Some(theirs)) => ours == theirs,
            _ => false,
        }
    }

    /// The canonical spelling: laid out as ECMAScript does (RFC 8785, section 3.2.2.3), but with every digit that
    /// was given; all digits for a number spelled whole; `0` for every zero.
    pub(super) fn canonical(&self) -> String {
        let Some(value) = scaled(self.0) else { return self.0.to_owned() };
        if value.digits.is_empty() {
            return "0".to_owned();
        }
        let sign = if value.negative { "-" } else { "" };
        let length = i64::try_from(value.digits.len()).unwrap_or(i64::MAX);
        let point = length.saturating_add(value.exponent);
        let whole = value.exponent >= 0;
        let spelled_whole = !self.0.contains(['.', 'e', 'E']);
        let body = if whole && (point <= 21 || spelled_whole) {
            let zeros = usize::try_from(value.exponent).unwrap_or_default();
            format!("{}{}", value.digits, "0".repeat(zeros))
        } else if point > 0 && point <= 21 {
            let (before, after) = value.digits.split_at(usize::try_from(point).unwrap_or_default());
            format!("{before}.{after}")
        } else if point > -6 && point <= 0 {
            let zeros = usize::try_from(point.saturating_neg()).unwrap_or_default();
            format!("0.{}{}", "0".repeat(zeros), value.digits)
        } else {
            let power = point.saturating_sub(1);
            let power = if power < 0 { power.to_string() } else { format!("+{power}") };
            let (first, rest) = value.digits.split_at(1);
            if rest.is_empty() { format!("{first}e{power}") } else { format!("{first}.{rest}e{power}") }
        };
        format!("{sign}{body}")
    }

    fn times_ten_to(&self, power: i64) -> Option<i64> {
        let value = scaled(self.0)?;
        if value.digits.is_empty() {
            return Some(0);
        }
        let zeros = u32::try_from(value.exponent.checked_add(power)?).ok()?;
        if zeros > 19 {
            return None;
        }
        let digits: i128 = value.digits.parse().ok()?;
        let magnitude = digits.checked_mul(10i128.checked_pow(zeros)?)?;
        let signed = if value.negative { magnitude.checked_neg()? } else { magnitude };
        i64::try_from(signed).ok()
    }
}

impl fmt::Debug for Number<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Reads a decimal spelling exactly. `None` if its exponent is absurd.
fn scaled(text: &str) -> Option<Scaled> {
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let exponent: i64 =
        exponent.strip_prefix('+').unwrap_or(exponent).parse().ok().filter(|e: &i64| e.abs() < 1_000_000)?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let exponent = exponent.checked_sub(i64::try_from(fraction.len()).ok()?)?;
    let trimmed = digits.trim_end_matches('0');
    let cut = i64::try_from(digits.len().checked_sub(trimmed.len())?).ok()?;
    let digits = trimmed.trim_start_matches('0').to_owned();
    let zero = digits.is_empty();
    Some(Scaled { negative: negative && !zero, digits, exponent: if zero { 0 } else { exponent.checked_add(cut)? } })
}
