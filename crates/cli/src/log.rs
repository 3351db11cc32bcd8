//! What `wrap` and `serve` tell the operator while they run, on standard error: a line of text for people, or one JSON
//! object a line for machines. There are some twenty events, so a writer does, without a framework for logs.
//!
//! Nothing of a call is told here but what stands in a notice: no argument, no result, no credential. Text of strangers is
//! escaped before it gets here, and everything beyond ASCII is escaped once more in JSON.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use clap::ValueEnum;
use refmon_core::ids::ServerName;
use refmon_core::ports::Clock;
use refmon_gateway::session::{Observed, Observer};
use refmon_gateway::system::System;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::output::{Output, ascii};
use crate::telemetry::Metrics;

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Format {
    // Comments, not documentation: the names say enough for the help.
    #[default]
    Text,
    Json,
}

/// How much an event matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Level {
    /// It is as it should be.
    #[default]
    Info,
    /// Somebody should look at it.
    Warn,
    /// Something does not work.
    Error,
}

/// `[log]` of `refmon.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    pub(crate) format: Format,
    /// The least that is told.
    pub(crate) level: Level,
}

/// Tells the operator.
pub(crate) struct Log {
    about: String,
    format: Format,
    least: Level,
    metrics: Option<Arc<Metrics>>,
    /// Servers that could not be reached when they were last needed.
    unreached: Mutex<BTreeSet<ServerName>>,
}

impl Log {
    /// Lines for people, about one server.
    pub(crate) fn about(server: &str) -> Self {
        Self::new(server, Format::Text, Level::Info, None)
    }

    pub(crate) fn new(about: &str, format: Format, least: Level, metrics: Option<Arc<Metrics>>) -> Self {
        Self { about: about.to_owned(), format, least, metrics, unreached: Mutex::default() }
    }

    /// Tells of an event.
    pub(crate) fn tell(&self, level: Level, event: &str, text: &str) {
        self.tell_of(level, event, text, &[]);
    }

    fn tell_of(&self, level: Level, event: &str, text: &str, more: &[(&str, &str)]) {
        if level < self.least {
            return;
        }
        let line = match self.format {
            Format::Text => format!("refmon[{}]: {text}", self.about),
            Format::Json => self.line(System::new().now().unix_us, level, event, text, more),
        };
        Output::new(false).say(&line);
    }

    fn line(&self, unix_us: u64, level: Level, event: &str, text: &str, more: &[(&str, &str)]) -> String {
        let time = i64::try_from(unix_us).ok().and_then(|micros| jiff::Timestamp::from_microsecond(micros).ok());
        let mut line = Map::new();
        line.insert("time".to_owned(), json!(time.map(|time| format!("{time:.6}"))));
        line.insert("level".to_owned(), json!(level.as_str()));
        line.insert("event".to_owned(), json!(event));
        line.insert("about".to_owned(), json!(self.about));
        line.extend(more.iter().map(|(key, value)| ((*key).to_owned(), json!(value))));
        line.insert("text".to_owned(), json!(text));
        ascii(&Value::Object(line).to_string())
    }
}

impl Level {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

impl Observer for Log {
    fn notice(&self, text: &str) {
        self.tell(Level::Warn, "notice", text);
    }

    fn quarantined(&self, observed: &Observed) {
        let why = if observed.contracted { "its definition has changed" } else { "no contract describes it" };
        let Observed { server, tool, .. } = observed;
        let text = format!(
            "the tool `{tool}` of `{server}` is quarantined: {why}; look at it with `refmon contract diff {server}`"
        );
        let more = [("server", server.as_str()), ("tool", tool.as_str())];
        self.tell_of(Level::Warn, "tool.quarantined", &text, &more);
    }

    fn reached(&self, server: &ServerName, yes: bool) {
        if let Some(metrics) = &self.metrics {
            metrics.reached(server, yes);
        }
        let mut unreached = self.unreached.lock().unwrap_or_else(PoisonError::into_inner);
        let more = [("server", server.as_str())];
        if !yes {
            unreached.insert(server.clone());
            drop(unreached);
            let text = format!("the server `{server}` could not be reached");
            self.tell_of(Level::Warn, "server.unreachable", &text, &more);
        } else if unreached.remove(server) {
            drop(unreached);
            self.tell_of(Level::Info, "server.reached", &format!("the server `{server}` is reached again"), &more);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_object_whatever_is_in_its_text() {
        let log = Log::new("serve", Format::Json, Level::Info, None);
        let text = "a \u{1b}[31m red\nline \u{202e}\u{7f} \" {\"level\":\"info\"}";
        let line = log.line(1_790_000_000_123_456, Level::Warn, "notice", text, &[("server", "one")]);
        assert!(line.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{line}");
        let parsed: Value = serde_json::from_str(&line).unwrap();
        let expected = json!({
            "time": "2026-09-21T14:13:20.123456Z", "level": "warn", "event": "notice", "about": "serve",
            "server": "one", "text": text,
        });
        assert_eq!(parsed, expected);
    }
}
