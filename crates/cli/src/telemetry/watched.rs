//! The journal, watched: every record goes to the real one first.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use anyhow::{Context as _, Result};
use refmon_core::ports::{Clock, Fault, Journal, Wait};
use refmon_core::record::Record;
use refmon_gateway::http::{Figures, Known, Listener, Page};
use refmon_gateway::hub::Hub;
use refmon_store::Stores;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::exporter::Exporter;
use super::figures::{self, Now};
use super::metrics::Metrics;
use super::spans::Spans;
use crate::home::{Assembled, Home};
use crate::log::Log;

/// What watches, as the configuration says.
pub(crate) struct Telemetry {
    metrics: Option<Arc<Metrics>>,
    spans: Option<Arc<Spans>>,
    exporter: Option<Exporter>,
}

/// The tasks that watch, to be ended after the last record.
pub(crate) struct Watching {
    tasks: Vec<JoinHandle<()>>,
    over: watch::Sender<bool>,
    /// Where the figures are.
    pub(crate) figures: Option<String>,
}

impl Telemetry {
    /// Builds what the configuration asks for; without it, nothing.
    pub(crate) fn new(home: &Home, metrics: Option<Arc<Metrics>>) -> Result<Self> {
        let Some(collector) = home.collector()? else { return Ok(Self { metrics, spans: None, exporter: None }) };
        let (spans, ended) = Spans::new();
        let spans = Arc::new(spans);
        let exporter = Exporter { ended, collector, spans: Arc::clone(&spans) };
        Ok(Self { metrics, spans: Some(spans), exporter: Some(exporter) })
    }

    /// Puts itself round the journal, if there is anything to watch for.
    pub(crate) fn round(&self, journal: Arc<dyn Journal>) -> Arc<dyn Journal> {
        let (metrics, spans) = (self.metrics.clone(), self.spans.clone());
        if metrics.is_none() && spans.is_none() { journal } else { Arc::new(Watched { journal, metrics, spans }) }
    }

    /// Opens the listener for figures, and begins to export.
    pub(crate) async fn begin(
        self,
        home: &Home,
        parts: &Assembled,
        hub: &Arc<Hub>,
        log: &Arc<Log>,
    ) -> Result<Watching> {
        let (over, stop) = watch::channel(false);
        let mut watching = Watching { tasks: Vec::new(), over, figures: None };
        if let (Some(metrics), Some(address)) = (self.metrics, home.config.listen.metrics) {
            let listener = Listener::open(address).await.with_context(|| {
                format!("cannot listen at {address}; choose another `[listen] metrics` or end who has it")
            })?;
            let bound = listener.address()?;
            let own = ["localhost", "127.0.0.1", "[::1]"].map(|host| format!("{host}:{}", bound.port()));
            let known = Known::new(own.into_iter().chain(home.config.listen.metrics_hosts.iter().cloned()));
            let page = page(metrics, self.spans, home.stores()?, parts, Arc::clone(hub));
            let journal = Arc::clone(&parts.journal);
            let ready = Arc::new(move || journal.is_healthy());
            let figures = Figures { known, page, kind: figures::KIND, ready };
            watching.tasks.push(tokio::spawn(figures.serve(listener, stop.clone())));
            watching.figures = Some(format!("http://{bound}/metrics"));
        }
        if let Some(exporter) = self.exporter {
            watching.tasks.push(tokio::spawn(exporter.run(Arc::clone(log), stop)));
        }
        Ok(watching)
    }
}

impl Watching {
    /// Ends what watches, after it has exported what is left.
    pub(crate) async fn end(self) {
        self.over.send_replace(true);
        for task in self.tasks {
            // A task that panicked has told so.
            drop(task.await);
        }
    }
}

fn page(metrics: Arc<Metrics>, spans: Option<Arc<Spans>>, stores: Stores, parts: &Assembled, hub: Arc<Hub>) -> Page {
    let (journal, clock) = (Arc::clone(&parts.journal), Arc::clone(&parts.clock));
    Arc::new(move || {
        let now = Now {
            clients: hub.clients(),
            holds_waiting: stores.holds_waiting(Clock::now(clock.as_ref())).ok(),
            journal_healthy: journal.is_healthy(),
            spans: spans
                .as_ref()
                .map(|spans| (spans.exported.load(Ordering::Relaxed), spans.dropped.load(Ordering::Relaxed))),
        };
        figures::page(&metrics, &now)
    })
}

/// The journal behind the port, and those who are told what was appended.
struct Watched {
    journal: Arc<dyn Journal>,
    metrics: Option<Arc<Metrics>>,
    spans: Option<Arc<Spans>>,
}

impl Journal for Watched {
    fn append(&self, record: &Record, wait: Wait) -> Result<(), Fault> {
        let began = Instant::now();
        let appended = self.journal.append(record, wait);
        let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        if let Some(metrics) = &self.metrics {
            metrics.appended(record, wait, micros, appended.is_ok());
        }
        if let Some(spans) = self.spans.as_ref().filter(|_| appended.is_ok()) {
            spans.appended(record, micros);
        }
        appended
    }
}
