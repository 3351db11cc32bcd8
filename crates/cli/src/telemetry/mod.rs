//! What `refmon serve` lets its operator watch: figures for Prometheus, traces for a collector.
//!
//! ```text
//! Monitor ──▶ Watched ──▶ Evidence (the journal)
//!                ├──▶ Metrics ──▶ /metrics, on a listener of its own
//!                └──▶ Spans ──▶ bounded queue ──▶ Exporter ──▶ collector
//! ```
//!
//! Everything is derived from the records that the monitor appends, after they were appended: so no call is missed, no
//! figure is about a call without evidence, and what a record does not hold (arguments, results, names of persons) cannot
//! get out here. Watching cannot deny, delay or permit anything: what does not fit into the queue is dropped and counted.

mod exporter;
mod figures;
mod histogram;
mod metrics;
mod otlp;
mod settings;
mod spans;
mod watched;

pub(crate) use metrics::Metrics;
pub(crate) use settings::Settings;
pub(crate) use watched::Telemetry;
