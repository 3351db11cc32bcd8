//! What is counted. Every label is of a closed set: servers of the configuration, decisions, reason codes, doors, ends.
//! Nothing that an agent, a tool, a person or a tenant can choose becomes a label.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use refmon_core::decision::Decision;
use refmon_core::ids::{CallId, ServerName};
use refmon_core::ports::Wait;
use refmon_core::reason::ReasonCode;
use refmon_core::record::{Attempt, Record};

use super::histogram::Histogram;

/// Calls under way that are remembered. More have no duration by server, and are counted all the same.
const OPEN_MAX: usize = 65_536;

/// The names of records' kinds, in the order of [`kind`].
pub(super) const KINDS: [&str; 6] = ["attempt", "completion", "indeterminate", "resolution", "notice", "act"];
/// How a call ended whose end could not be recorded.
const UNRECORDED: &str = "unrecorded";

/// Attempts are told apart by server, decision, reason and door.
pub(super) type Told = (usize, Decision, ReasonCode, &'static str);

/// Everything that is counted from when the process started.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(super) servers: Vec<Server>,
    pub(super) attempts: Mutex<BTreeMap<Told, u64>>,
    pub(super) ends: Mutex<BTreeMap<(usize, &'static str), u64>>,
    pub(super) decide: Histogram,
    /// Durable appends, and those that do not wait.
    pub(super) append: [Histogram; 2],
    pub(super) records: [AtomicU64; KINDS.len()],
    pub(super) unrecorded: AtomicU64,
    open: Mutex<HashMap<CallId, usize>>,
}

/// What is counted for a server.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) name: String,
    pub(super) execute: Histogram,
    /// 0: nobody needed it yet, 1: it could not be reached the last time, 2: it could.
    reached: AtomicU8,
}

impl Metrics {
    /// Begins at nothing, for the servers of the configuration.
    pub(crate) fn new(servers: &[&str]) -> Self {
        let server =
            |name: &&str| Server { name: (*name).to_owned(), execute: Histogram::default(), reached: AtomicU8::new(0) };
        Self {
            servers: servers.iter().map(server).collect(),
            attempts: Mutex::default(),
            ends: Mutex::default(),
            decide: Histogram::default(),
            append: Default::default(),
            records: Default::default(),
            unrecorded: AtomicU64::new(0),
            open: Mutex::default(),
        }
    }

    /// Counts a record that was appended, or could not be.
    pub(super) fn appended(&self, record: &Record, wait: Wait, micros: u64, ok: bool) {
        let waited = usize::from(wait == Wait::Queued);
        if let Some(histogram) = self.append.get(waited).filter(|_| ok) {
            histogram.observe(micros);
        }
        let counter = if ok { self.records.get(kind(record)) } else { Some(&self.unrecorded) };
        if let Some(counter) = counter {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        match record {
            Record::Attempt(attempt) if ok => self.attempted(attempt),
            Record::Completion(end) => {
                self.ended(end.call, Some(end.execute_us), if ok { end.status.as_str() } else { UNRECORDED });
            }
            Record::Indeterminate(end) => self.ended(end.call, None, if ok { end.cause.as_str() } else { UNRECORDED }),
            Record::Attempt(_) | Record::Resolution(_) | Record::Notice(_) | Record::Act(_) => {}
        }
    }

    fn attempted(&self, attempt: &Attempt) {
        self.decide.observe(attempt.decide_us);
        let server = self.server(attempt.server.as_str());
        let told = (server, attempt.decision, attempt.reason, attempt.door.as_str());
        *lock(&self.attempts).entry(told).or_default() += 1;
        if attempt.decision == Decision::Permit {
            let mut open = lock(&self.open);
            if open.len() < OPEN_MAX {
                open.insert(attempt.call, server);
            }
        }
    }

    fn ended(&self, call: CallId, execute_us: Option<u64>, end: &'static str) {
        let Some(server) = lock(&self.open).remove(&call) else { return };
        *lock(&self.ends).entry((server, end)).or_default() += 1;
        if let (Some(server), Some(micros)) = (self.servers.get(server), execute_us) {
            server.execute.observe(micros);
        }
    }

    /// Remembers whether a server could be reached.
    pub(crate) fn reached(&self, server: &ServerName, yes: bool) {
        if let Some(server) = self.servers.get(self.server(server.as_str())) {
            server.reached.store(if yes { 2 } else { 1 }, Ordering::Relaxed);
        }
    }

    /// The calls under way.
    pub(super) fn in_flight(&self) -> usize {
        lock(&self.open).len()
    }

    /// The place of a server, or one past the end.
    fn server(&self, name: &str) -> usize {
        self.servers.iter().position(|server| server.name == name).unwrap_or(self.servers.len())
    }
}

impl Server {
    /// Whether it could be reached the last time that somebody needed it.
    pub(super) fn up(&self) -> Option<bool> {
        match self.reached.load(Ordering::Relaxed) {
            0 => None,
            state => Some(state == 2),
        }
    }
}

fn kind(record: &Record) -> usize {
    match record {
        Record::Attempt(_) => 0,
        Record::Completion(_) => 1,
        Record::Indeterminate(_) => 2,
        Record::Resolution(_) => 3,
        Record::Notice(_) => 4,
        Record::Act(_) => 5,
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
