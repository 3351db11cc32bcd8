//! The page `/metrics`, in the text format of Prometheus (version 0.0.4).
//!
//! Written by hand: it is one loop over counters, and a library would bring a registry, a derive macro and label types for it.

use std::sync::atomic::Ordering;

use super::metrics::{KINDS, Metrics, lock};

/// The media type of the page.
pub(super) const KIND: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What is looked up when the page is asked for.
#[derive(Debug, Default)]
pub(super) struct Now {
    /// Sessions, and callers without one.
    pub(super) clients: (usize, usize),
    /// `None` if the store did not answer.
    pub(super) holds_waiting: Option<u64>,
    pub(super) journal_healthy: bool,
    /// Spans that were exported and dropped, if traces are on.
    pub(super) spans: Option<(u64, u64)>,
}

/// Writes the page.
pub(super) fn page(metrics: &Metrics, now: &Now) -> String {
    let mut page = Page(String::with_capacity(16 * 1024));
    page.head("refmon_build_info", "gauge", "The version that runs.");
    page.line("refmon_build_info", &format!("version=\"{}\"", env!("CARGO_PKG_VERSION")), 1);
    calls(metrics, &mut page);
    page.head("refmon_decide_seconds", "histogram", "From the arrival of a call to its decision.");
    metrics.decide.write(&mut page.0, "refmon_decide_seconds", "");
    page.head("refmon_execute_seconds", "histogram", "From a permit to the server's answer.");
    for server in &metrics.servers {
        server.execute.write(&mut page.0, "refmon_execute_seconds", &format!("server=\"{}\"", escaped(&server.name)));
    }
    page.head("refmon_journal_append_seconds", "histogram", "Appending a record; a durable one waits for the disk.");
    for (histogram, wait) in metrics.append.iter().zip(["durable", "queued"]) {
        histogram.write(&mut page.0, "refmon_journal_append_seconds", &format!("wait=\"{wait}\""));
    }
    journal(metrics, now, &mut page);
    page.head("refmon_clients", "gauge", "Clients: sessions up to 2025-11-25, callers from 2026-07-28 on.");
    page.line("refmon_clients", "era=\"session\"", now.clients.0 as u64);
    page.line("refmon_clients", "era=\"stateless\"", now.clients.1 as u64);
    page.head("refmon_server_up", "gauge", "Whether a server could be reached when somebody last needed it.");
    for (server, up) in metrics.servers.iter().filter_map(|server| Some((server, server.up()?))) {
        page.line("refmon_server_up", &format!("server=\"{}\"", escaped(&server.name)), u64::from(up));
    }
    if let Some(waiting) = now.holds_waiting {
        page.head("refmon_holds_waiting", "gauge", "Calls that wait for a person.");
        page.line("refmon_holds_waiting", "", waiting);
    }
    if let Some((exported, dropped)) = now.spans {
        page.head("refmon_spans_exported_total", "counter", "Spans that the collector took.");
        page.line("refmon_spans_exported_total", "", exported);
        page.head("refmon_spans_dropped_total", "counter", "Spans that did not get to the collector.");
        page.line("refmon_spans_dropped_total", "", dropped);
    }
    page.0
}

fn calls(metrics: &Metrics, page: &mut Page) {
    let server =
        |index: usize| metrics.servers.get(index).map_or_else(|| "other".to_owned(), |server| escaped(&server.name));
    page.head("refmon_calls_total", "counter", "Calls that were decided and recorded.");
    for ((index, decision, reason, door), count) in lock(&metrics.attempts).iter() {
        let labels = format!(
            "server=\"{}\",decision=\"{}\",reason=\"{}\",door=\"{door}\"",
            server(*index),
            decision.as_str(),
            reason.as_str()
        );
        page.line("refmon_calls_total", &labels, *count);
    }
    page.head("refmon_call_ends_total", "counter", "How permitted calls ended.");
    for ((index, end), count) in lock(&metrics.ends).iter() {
        page.line("refmon_call_ends_total", &format!("server=\"{}\",end=\"{end}\"", server(*index)), *count);
    }
    page.head("refmon_calls_in_flight", "gauge", "Permitted calls without an end yet.");
    page.line("refmon_calls_in_flight", "", metrics.in_flight() as u64);
}

fn journal(metrics: &Metrics, now: &Now, page: &mut Page) {
    page.head("refmon_journal_records_total", "counter", "Records that were appended.");
    for (counter, kind) in metrics.records.iter().zip(KINDS) {
        page.line("refmon_journal_records_total", &format!("kind=\"{kind}\""), counter.load(Ordering::Relaxed));
    }
    page.head(
        "refmon_journal_failures_total",
        "counter",
        "Records that could not be appended; their calls were denied.",
    );
    page.line("refmon_journal_failures_total", "", metrics.unrecorded.load(Ordering::Relaxed));
    page.head("refmon_journal_healthy", "gauge", "Whether records can be appended, and so calls be made.");
    page.line("refmon_journal_healthy", "", u64::from(now.journal_healthy));
}

struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.0.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    fn line(&mut self, name: &str, labels: &str, value: u64) {
        let braces = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        self.0.push_str(&format!("{name}{braces} {value}\n"));
    }
}

/// A label's value. Names of servers have nothing to escape today; the format should not depend on that.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_has_a_type_before_it_and_every_label_is_quoted() {
        let metrics = Metrics::new(&["one", "two"]);
        let text = page(&metrics, &Now { holds_waiting: Some(3), spans: Some((4, 5)), ..Now::default() });
        let mut types = Vec::new();
        for line in text.lines() {
            if let Some(typed) = line.strip_prefix("# TYPE ") {
                types.push(typed.split(' ').next().unwrap().to_owned());
            } else if !line.starts_with('#') {
                let (sample, value) = line.rsplit_once(' ').unwrap();
                let name = sample.split('{').next().unwrap();
                let last = types.last().unwrap();
                assert!(
                    name == last
                        || name
                            .strip_prefix(last.as_str())
                            .is_some_and(|end| ["_bucket", "_sum", "_count"].contains(&end)),
                    "{line}"
                );
                assert!(value.parse::<f64>().is_ok(), "{line}");
                assert_eq!(sample.matches('"').count() % 2, 0, "{line}");
            }
        }
        assert!(text.contains("refmon_holds_waiting 3\n") && text.contains("refmon_spans_dropped_total 5\n"), "{text}");
        assert!(!text.contains("refmon_server_up{"), "nobody needed a server yet: {text}");
        assert_eq!(escaped("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}
