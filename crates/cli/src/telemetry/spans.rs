//! Calls as spans: what is known of a call when it ends, gathered from its records.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use refmon_core::decision::Decision;
use refmon_core::ids::{CallId, Operation};
use refmon_core::ports::Entropy;
use refmon_core::record::{Asked, Attempt, Record};
use refmon_gateway::system::System;
use refmon_gateway::trace::{self, TraceParent};
use tokio::sync::mpsc;

use super::metrics::lock;

/// Calls under way whose spans are kept. More of them have none.
const OPEN_MAX: usize = 65_536;
/// Ended calls that wait to be exported. More of them are dropped and counted.
const QUEUE_MAX: usize = 4_096;
/// Spans of a call: the call, its decision, its record, and the server's work if it was permitted.
const SPANS: (u64, u64) = (3, 4);

/// A call that was asked for: nothing but what its record holds.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) parent: Option<TraceParent>,
    /// The trace, and the spans of the call, the decision, the record and the server's work.
    pub(super) trace: [u8; 16],
    pub(super) spans: [[u8; 8]; 4],
    pub(super) attempt: Box<Attempt>,
    /// Microseconds that the append took.
    pub(super) append_us: u64,
}

/// How a permitted call ended.
#[derive(Debug)]
pub(super) struct End {
    /// When the end was known, in microseconds since the epoch.
    pub(super) unix_us: u64,
    /// How long the server took, if it answered.
    pub(super) execute_us: Option<u64>,
    /// The status or the cause, as records have it.
    pub(super) how: &'static str,
    pub(super) released: bool,
}

/// A call that has ended. What was not permitted ends with its decision.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) begun: Begun,
    pub(super) end: Option<End>,
}

/// Spans under way, and the way to the exporter.
#[derive(Debug)]
pub(super) struct Spans {
    open: Mutex<HashMap<CallId, Begun>>,
    queue: mpsc::Sender<Ended>,
    pub(super) exported: AtomicU64,
    pub(super) dropped: AtomicU64,
}

impl Spans {
    /// Makes an empty one, and the queue's other end.
    pub(super) fn new() -> (Self, mpsc::Receiver<Ended>) {
        let (queue, ended) = mpsc::channel(QUEUE_MAX);
        (Self { open: Mutex::default(), queue, exported: AtomicU64::new(0), dropped: AtomicU64::new(0) }, ended)
    }

    /// Looks at a record that was appended. Never waits.
    pub(super) fn appended(&self, record: &Record, micros: u64) {
        match record {
            Record::Attempt(attempt) => self.attempted(attempt, micros),
            Record::Completion(end) => {
                let (unix_us, how, released) = (end.at.unix_us, end.status.as_str(), end.released);
                self.ended(end.call, End { unix_us, execute_us: Some(end.execute_us), how, released });
            }
            Record::Indeterminate(end) => {
                let (unix_us, how) = (end.at.unix_us, end.cause.as_str());
                self.ended(end.call, End { unix_us, execute_us: None, how, released: false });
            }
            Record::Resolution(_) | Record::Notice(_) | Record::Act(_) => {}
        }
    }

    fn attempted(&self, attempt: &Attempt, append_us: u64) {
        let mut random = [0u8; 48];
        let parent = trace::parent();
        if System::new().fill(&mut random).is_err() {
            return self.lost(SPANS.0);
        }
        let (own, rest) = random.split_at(16);
        let mut spans = [[0u8; 8]; 4];
        for (span, bytes) in spans.iter_mut().zip(rest.chunks_exact(8)) {
            span.copy_from_slice(bytes);
        }
        let mut trace = [0u8; 16];
        trace.copy_from_slice(own);
        let trace = parent.map_or(trace, |parent| parent.trace);
        let begun = Begun { parent, trace, spans, attempt: Box::new(attempt.clone()), append_us };
        if attempt.decision != Decision::Permit {
            return self.enqueue(Ended { begun, end: None });
        }
        let mut open = lock(&self.open);
        if open.len() < OPEN_MAX {
            open.insert(attempt.call, begun);
        } else {
            self.lost(SPANS.1);
        }
    }

    fn ended(&self, call: CallId, end: End) {
        let Some(begun) = lock(&self.open).remove(&call) else { return };
        self.enqueue(Ended { begun, end: Some(end) });
    }

    fn enqueue(&self, ended: Ended) {
        let spans = ended.spans();
        if self.queue.try_send(ended).is_err() {
            self.lost(spans);
        }
    }

    pub(super) fn lost(&self, spans: u64) {
        self.dropped.fetch_add(spans, Ordering::Relaxed);
    }
}

impl Ended {
    /// How many spans the call has.
    pub(super) const fn spans(&self) -> u64 {
        if self.end.is_some() { SPANS.1 } else { SPANS.0 }
    }
}

impl Begun {
    /// The protocol method and the tool, if a contract knows them. What nobody has described has no name here: it would be
    /// a stranger's text.
    pub(super) fn operation(&self) -> (Option<&str>, Option<&str>) {
        match &self.attempt.asked {
            Asked::Known { operation: Operation::Tool(tool), .. } => (Some("tools/call"), Some(tool.as_str())),
            Asked::Known { operation: Operation::Method(method), .. } => (Some(method.as_str()), None),
            Asked::Unknown(_) => (Some("tools/call"), None),
            Asked::Unnameable => (None, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use refmon_core::caller::IdentityKind;
    use refmon_core::digest::BundleDigest;
    use refmon_core::ids::{AgentId, ServerName, SubjectHandle, TenantId, ToolName, TrajectoryId};
    use refmon_core::ports::Moment;
    use refmon_core::reason::ReasonCode;
    use refmon_core::record::{Completion, Door, Status};

    use super::*;

    fn attempt(call: [u8; 16], decision: Decision) -> Record {
        Record::Attempt(Box::new(Attempt {
            call: CallId::from_bytes(call),
            at: Moment { unix_us: 1_000, monotonic_ns: 0 },
            tenant: TenantId::parse("t").unwrap(),
            subject: SubjectHandle::from_bytes([1; 16]),
            identity: IdentityKind::Local,
            agent: AgentId::parse("a").unwrap(),
            trajectory: TrajectoryId::from_bytes([2; 16]),
            door: Door::McpHttp,
            server: ServerName::parse("one").unwrap(),
            asked: Asked::Unknown(ToolName::parse("x").unwrap()),
            decision,
            reason: ReasonCode::UnknownTool,
            policies: Vec::new(),
            grants: Vec::new(),
            asserted_by: None,
            approvals: Vec::new(),
            obligations: Vec::new(),
            bundle: BundleDigest::from_bytes([3; 32]),
            hold: None,
            arguments: None,
            argument_bytes: 0,
            argument_names: Vec::new(),
            decide_us: 5,
        }))
    }

    fn completion(call: [u8; 16]) -> Record {
        Record::Completion(Completion {
            call: CallId::from_bytes(call),
            at: Moment { unix_us: 2_000, monotonic_ns: 0 },
            tenant: TenantId::parse("t").unwrap(),
            status: Status::Ok,
            released: true,
            result: None,
            result_bytes: 0,
            execute_us: 7,
        })
    }

    #[test]
    fn what_does_not_fit_into_the_queue_is_dropped_and_counted() {
        let (spans, ended) = Spans::new();
        for _ in 0..QUEUE_MAX + 2 {
            spans.appended(&attempt([9; 16], Decision::Deny), 1);
        }
        assert_eq!(spans.dropped.load(Ordering::Relaxed), 2 * SPANS.0);
        assert_eq!(ended.len(), QUEUE_MAX);
        drop(ended);
        spans.appended(&attempt([9; 16], Decision::Hold), 1);
        assert_eq!(spans.dropped.load(Ordering::Relaxed), 3 * SPANS.0, "an exporter that is gone blocks nobody");
    }

    #[test]
    fn a_permitted_call_waits_for_its_own_end_and_is_kept_no_longer() {
        let (spans, mut ended) = Spans::new();
        spans.appended(&attempt([1; 16], Decision::Permit), 3);
        spans.appended(&completion([2; 16]), 1);
        assert!(ended.try_recv().is_err(), "that was the end of another call");
        spans.appended(&completion([1; 16]), 1);
        let call = ended.try_recv().unwrap();
        assert_eq!((call.begun.append_us, call.end.unwrap().execute_us), (3, Some(7)));
        spans.appended(&completion([1; 16]), 1);
        assert!(ended.try_recv().is_err() && lock(&spans.open).is_empty());
    }
}
