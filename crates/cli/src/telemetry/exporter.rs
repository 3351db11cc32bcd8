//! The exporter: ended calls in, documents to the collector, in the background. What cannot be delivered is dropped and
//! counted; the operator is told when that begins and when it is over.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use refmon_gateway::link::Collector;
use tokio::sync::{mpsc, watch};

use super::otlp;
use super::spans::{Ended, Spans};
use crate::log::{Level, Log};

/// Calls in one document.
const BATCH_MAX: usize = 512;
/// How long a document waits for more calls.
const LINGER: Duration = Duration::from_secs(1);
/// How long what is left may take when the gateway ends.
const LAST: Duration = Duration::from_secs(5);

/// What the background task needs.
pub(super) struct Exporter {
    pub(super) ended: mpsc::Receiver<Ended>,
    pub(super) collector: Collector,
    pub(super) spans: Arc<Spans>,
}

impl Exporter {
    /// Exports until told to stop, and then what is left.
    pub(super) async fn run(mut self, log: Arc<Log>, mut stop: watch::Receiver<bool>) {
        let mut failing = false;
        loop {
            let mut batch = Vec::new();
            tokio::select! {
                biased;
                // A sender that is gone has nothing more to say than to stop.
                _told = stop.wait_for(|stop| *stop) => break,
                taken = self.ended.recv_many(&mut batch, BATCH_MAX) => if taken == 0 { return },
            }
            let more = async {
                loop {
                    let room = BATCH_MAX - batch.len();
                    if room == 0 || self.ended.recv_many(&mut batch, room).await == 0 {
                        return;
                    }
                }
            };
            tokio::select! {
                _full_or_late = tokio::time::timeout(LINGER, more) => {}
                _told = stop.wait_for(|stop| *stop) => {}
            }
            self.send(&batch, &log, &mut failing).await;
        }
        self.ended.close();
        let rest = async {
            let mut batch = Vec::new();
            while self.ended.recv_many(&mut batch, BATCH_MAX).await > 0 {
                self.send(&batch, &log, &mut failing).await;
                batch.clear();
            }
        };
        if tokio::time::timeout(LAST, rest).await.is_err() {
            log.tell(Level::Warn, "traces", "the last spans could not be exported in time");
        }
    }

    async fn send(&self, batch: &[Ended], log: &Log, failing: &mut bool) {
        let spans = batch.iter().map(Ended::spans).sum();
        let sent = self.collector.send(otlp::document(batch).to_string().into_bytes()).await;
        match sent {
            Ok(()) => {
                self.spans.exported.fetch_add(spans, Ordering::Relaxed);
                if std::mem::take(failing) {
                    log.tell(Level::Info, "traces", "spans are exported again");
                }
            }
            Err(error) => {
                self.spans.lost(spans);
                if !std::mem::replace(failing, true) {
                    log.tell(Level::Warn, "traces", &format!("spans cannot be exported, and are dropped: {error}"));
                }
            }
        }
    }
}
