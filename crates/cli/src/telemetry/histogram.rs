//! Durations, counted by how long they were.

use std::sync::atomic::{AtomicU64, Ordering};

/// The upper ends of all buckets but the last, in microseconds, and as they are written, in seconds.
const BOUNDS: [(u64, &str); 18] = [
    (50, "0.00005"),
    (100, "0.0001"),
    (250, "0.00025"),
    (500, "0.0005"),
    (1_000, "0.001"),
    (2_500, "0.0025"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (25_000, "0.025"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (250_000, "0.25"),
    (500_000, "0.5"),
    (1_000_000, "1"),
    (5_000_000, "5"),
    (15_000_000, "15"),
    (60_000_000, "60"),
    (300_000_000, "300"),
];

/// A histogram without locks. A reader may see a duration in its bucket before it is in the sum.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    sum_us: AtomicU64,
}

impl Histogram {
    /// Counts one duration.
    pub(super) fn observe(&self, micros: u64) {
        let at = BOUNDS.iter().position(|(bound, _)| micros <= *bound).unwrap_or(BOUNDS.len());
        if let Some(bucket) = self.buckets.get(at) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.sum_us.fetch_add(micros, Ordering::Relaxed);
    }

    /// Writes the samples, in the text format of Prometheus. `label` is empty or `name="value"`.
    pub(super) fn write(&self, page: &mut String, name: &str, label: &str) {
        let comma = if label.is_empty() { "" } else { "," };
        let bounds = BOUNDS.iter().map(|(_, bound)| *bound).chain(["+Inf"]);
        let mut count = 0;
        for (bound, bucket) in bounds.zip(&self.buckets) {
            count += bucket.load(Ordering::Relaxed);
            page.push_str(&format!("{name}_bucket{{{label}{comma}le=\"{bound}\"}} {count}\n"));
        }
        let sum = self.sum_us.load(Ordering::Relaxed);
        let braces = if label.is_empty() { String::new() } else { format!("{{{label}}}") };
        page.push_str(&format!("{name}_sum{braces} {}.{:06}\n", sum / 1_000_000, sum % 1_000_000));
        page.push_str(&format!("{name}_count{braces} {count}\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_add_up_and_their_ends_belong_to_them() {
        let histogram = Histogram::default();
        for micros in [0, 50, 51, 1_000_000, 300_000_001] {
            histogram.observe(micros);
        }
        let mut page = String::new();
        histogram.write(&mut page, "x_seconds", "server=\"one\"");
        for line in [
            "x_seconds_bucket{server=\"one\",le=\"0.00005\"} 2",
            "x_seconds_bucket{server=\"one\",le=\"0.0001\"} 3",
            "x_seconds_bucket{server=\"one\",le=\"0.5\"} 3",
            "x_seconds_bucket{server=\"one\",le=\"1\"} 4",
            "x_seconds_bucket{server=\"one\",le=\"300\"} 4",
            "x_seconds_bucket{server=\"one\",le=\"+Inf\"} 5",
            "x_seconds_sum{server=\"one\"} 301.000102",
            "x_seconds_count{server=\"one\"} 5",
        ] {
            assert!(page.lines().any(|found| found == line), "{line}\n{page}");
        }
        let seconds = |(micros, text): &(u64, &str)| (text.parse::<f64>().unwrap() * 1e6).round() as u64 == *micros;
        assert!(BOUNDS.iter().all(seconds) && BOUNDS.is_sorted());
    }
}
