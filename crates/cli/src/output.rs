//! What people and programs see. Results go to standard output, everything else to standard error.

use std::io::{IsTerminal as _, Write as _};

use comfy_table::{ContentArrangement, Table, presets};
pub(crate) use refmon_core::untrusted::ascii;
use refmon_policy::LoadError;
use serde_json::{Value, json};

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Fine.
    Yes,
    /// The answer is no.
    No,
    /// The exit code of a wrapped server.
    Code(u8),
}

/// Text or JSON.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    pub(crate) json: bool,
}

impl Output {
    pub(crate) const fn new(json: bool) -> Self {
        Self { json }
    }

    /// Prints the result: JSON, or text.
    pub(crate) fn result(self, value: &Value, text: impl FnOnce() -> String) {
        let text = if self.json { ascii(&format!("{value:#}")) } else { text() };
        self.line(&text);
    }

    /// Prints one line of a stream of results: JSON on one line, or text.
    pub(crate) fn event(self, value: &Value, text: impl FnOnce() -> String) {
        let text = if self.json { ascii(&value.to_string()) } else { text() };
        self.line(&text);
    }

    /// A reader that went away is not an error.
    fn line(self, text: &str) {
        let mut out = std::io::stdout().lock();
        if writeln!(out, "{}", text.trim_end()).is_err() {
            std::process::exit(0);
        }
    }

    /// Says something that is not the result.
    pub(crate) fn say(self, text: &str) {
        let mut errors = std::io::stderr().lock();
        // Nobody is left to tell if standard error is closed.
        drop(writeln!(errors, "{text}"));
    }

    pub(crate) fn error(self, error: &anyhow::Error) {
        let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
        let mut parts: Vec<&str> = Vec::new();
        for cause in &causes {
            // A cause that the message before it quotes already says nothing new.
            if !parts.last().is_some_and(|last| last.contains(cause.as_str())) {
                parts.push(cause);
            }
        }
        if self.json {
            let problems = error.downcast_ref::<LoadError>().map(|load| {
                let one = |problem: &refmon_policy::Problem| json!({ "file": problem.file, "line": problem.line, "column": problem.column, "message": problem.message });
                load.problems().iter().map(one).collect::<Vec<_>>()
            });
            self.say(&json!({ "error": parts.join(": "), "problems": problems }).to_string());
        } else {
            self.say(&format!("refmon: {}", parts.join(": ")));
        }
    }
}

/// A table for people.
pub(crate) fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.iter().map(|text| text.to_uppercase()));
    for row in rows {
        table.add_row(row);
    }
    table.to_string().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// The decision with colour on a terminal.
pub(crate) fn coloured(decision: &str) -> String {
    if !std::io::stdout().is_terminal() {
        return decision.to_owned();
    }
    let code = match decision {
        "permit" => 32,
        "hold" => 33,
        _ => 31,
    };
    format!("\u{1b}[{code}m{decision}\u{1b}[0m")
}

/// A time in UTC, to the second (RFC 3339), from microseconds since the Unix epoch.
pub(crate) fn time(unix_us: u64) -> String {
    let micros = i64::try_from(unix_us).unwrap_or(i64::MAX);
    let seconds = jiff::Timestamp::from_microsecond(micros).map(|time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    seconds.unwrap_or_else(|_| format!("{unix_us} µs"))
}
