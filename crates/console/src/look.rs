//! What is drawn often: verdicts, effects, times. Colour never stands alone.

use jiff::Timestamp;
use maud::{Markup, html};
use refmon_core::contract::Effect;
use refmon_core::hold::HoldState;

use crate::pages::call::Tone;

/// A word with the colour of what it means.
pub(crate) fn badge(tone: Tone, word: &str) -> Markup {
    html! { span class={ "badge " (tone.as_str()) } { (word) } }
}

/// A decision as a word and a colour.
pub(crate) fn decision(word: &str) -> Markup {
    let tone = match word {
        "permit" => Tone::Permit,
        "hold" => Tone::Hold,
        "deny" => Tone::Deny,
        _ => Tone::Plain,
    };
    badge(tone, word)
}

/// The state of a hold as people say it.
pub(crate) fn state(state: HoldState) -> Markup {
    let (tone, word) = match state {
        HoldState::Pending => (Tone::Hold, "waits"),
        HoldState::Approved => (Tone::Permit, "approved"),
        HoldState::Denied => (Tone::Deny, "denied"),
        HoldState::Spent => (Tone::Permit, "has run"),
        HoldState::Expired => (Tone::Plain, "expired"),
    };
    badge(tone, word)
}

/// The rank of a hold.
pub(crate) fn risk((rank, words): (u8, &str)) -> Markup {
    let tone = match rank {
        40.. => Tone::Deny,
        30..40 => Tone::Hold,
        _ => Tone::Plain,
    };
    badge(tone, words)
}

/// The effects of a tool.
pub(crate) fn effects(effects: &[Effect]) -> Markup {
    html! { @for effect in effects { span.effect { (effect.as_str()) } " " } }
}

/// A time of the day in UTC, with the date where machines read it.
pub(crate) fn clock(unix_us: u64) -> Markup {
    html! { time datetime=(stamp(unix_us)) { (formatted(unix_us, "%H:%M")) " UTC" } }
}

/// A time to the second, with its date.
pub(crate) fn moment(unix_us: u64) -> Markup {
    html! { time datetime=(stamp(unix_us)) { (formatted(unix_us, "%Y-%m-%d %H:%M:%S")) } }
}

/// A time of the day to the millisecond.
pub(crate) fn precise(unix_us: u64) -> String {
    formatted(unix_us, "%H:%M:%S%.3f")
}

fn stamp(unix_us: u64) -> String {
    formatted(unix_us, "%Y-%m-%dT%H:%M:%SZ")
}

fn formatted(unix_us: u64, format: &str) -> String {
    let time = i64::try_from(unix_us).ok().and_then(|micros| Timestamp::from_microsecond(micros).ok());
    time.map_or_else(|| format!("{unix_us} µs"), |time| time.strftime(format).to_string())
}

/// How long, in words that are short.
pub(crate) fn span(us: u64) -> String {
    match us {
        0 => "at once".to_owned(),
        1..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{} ms", us / 1_000),
        1_000_000..60_000_000 => format!("{} s", us / 1_000_000),
        60_000_000..7_200_000_000 => format!("{} min", us / 60_000_000),
        _ => format!("{} h", us / 3_600_000_000),
    }
}

/// How long something still waits.
pub(crate) fn left(until_us: u64, now_us: u64) -> String {
    match until_us.checked_sub(now_us) {
        Some(us) if us >= 60_000_000 => format!("in {}", span(us)),
        Some(_) => "in less than a minute".to_owned(),
        None => "over".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short_and_never_fail() {
        assert_eq!(precise(1_700_000_000_123_456), "22:13:20.123");
        assert_eq!(
            clock(1_700_000_000_000_000).into_string(),
            "<time datetime=\"2023-11-14T22:13:20Z\">22:13 UTC</time>"
        );
        assert_eq!(precise(u64::MAX), format!("{} µs", u64::MAX));
        assert_eq!([span(5), span(5_000), span(5_000_000), span(300_000_000)], ["5 µs", "5 ms", "5 s", "5 min"]);
        assert_eq!((left(10, 5), left(5, 10)), ("in less than a minute".to_owned(), "over".to_owned()));
    }
}
