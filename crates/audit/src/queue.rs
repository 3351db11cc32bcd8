//! Group commit: many callers, one write and one synchronisation.
//!
//! Records wait in batches. The first caller that waits for its batch becomes the **leader**: it takes the batches
//! in order, up to its own, and commits each for everybody in it. Callers that come meanwhile fill the next batch
//! and sleep on its **gate**, which is opened once; one of them is woken to lead it. A single caller therefore
//! never hands over to another thread.
//!
//! INVARIANT: records reach the writer in the order in which they were queued, each once. After the writer failed,
//! the queue is stopped: whatever waits fails, and so does whatever comes.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::folder::JournalError;
use crate::record::{ENVELOPE_HEAD_BYTES_MAX, Encoded};
use crate::writer::Writer;

/// Bytes of records after which a batch is full.
const BATCH_BYTES_FULL: usize = 512 * 1024;
/// Bytes of queued records after which nobody may leave without waiting.
const QUEUE_BYTES_FULL: usize = 8 * 1024 * 1024;
/// How long a record that nobody waits for may stay in memory before it is written.
const FLUSH_AFTER: Duration = Duration::from_millis(4);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signal {
    Wait,
    Lead,
    Durable,
    Failed,
}

#[derive(Debug)]
struct Gate {
    signal: Mutex<Signal>,
    changed: Condvar,
}

impl Gate {
    fn set(&self, signal: Signal) {
        *lock(&self.signal) = signal;
        if signal == Signal::Lead { self.changed.notify_one() } else { self.changed.notify_all() }
    }
}

#[derive(Debug)]
struct Batch {
    records: Vec<Encoded>,
    bytes: usize,
    /// Callers that wait for it, and will sleep on the gate unless they lead.
    waiting: usize,
    gate: Arc<Gate>,
}

impl Batch {
    fn new() -> Self {
        let gate = Arc::new(Gate { signal: Mutex::new(Signal::Wait), changed: Condvar::new() });
        Self { records: Vec::new(), bytes: 0, waiting: 0, gate }
    }
}

#[derive(Debug, Default)]
struct State {
    batches: VecDeque<Batch>,
    bytes: usize,
    /// Whether somebody leads, or was told to.
    led: bool,
    /// Whether the flusher has been asked to look.
    flush: bool,
    stopped: bool,
    closing: bool,
}

/// The records that are not durable yet, and the writer that makes them so.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    flusher: Condvar,
    writer: Mutex<Writer>,
}

impl Queue {
    pub(crate) fn new(writer: Writer) -> Self {
        Self { state: Mutex::default(), flusher: Condvar::new(), writer: Mutex::new(writer) }
    }

    /// Queues a record, and returns once it is durable.
    pub(crate) fn append_durable(&self, record: Encoded) -> Result<(), JournalError> {
        let mut state = lock(&self.state);
        let gate = state.push(record, true)?;
        if !state.led {
            state.led = true;
            drop(state);
            return self.lead(Some(&gate));
        }
        drop(state);
        self.wait(&gate)
    }

    /// Queues a record, and returns at once unless too much is queued.
    pub(crate) fn append_queued(&self, record: Encoded) -> Result<(), JournalError> {
        let mut state = lock(&self.state);
        if state.bytes > QUEUE_BYTES_FULL {
            drop(state);
            return self.append_durable(record);
        }
        let _gate = state.push(record, false)?;
        self.ask_flusher(&mut state);
        Ok(())
    }

    fn ask_flusher(&self, state: &mut State) {
        if !state.flush {
            state.flush = true;
            self.flusher.notify_one();
        }
    }

    fn wait(&self, gate: &Arc<Gate>) -> Result<(), JournalError> {
        let mut signal = lock(&gate.signal);
        loop {
            match *signal {
                Signal::Durable => return Ok(()),
                Signal::Failed => return Err(JournalError::Stopped),
                Signal::Lead => {
                    *signal = Signal::Wait;
                    drop(signal);
                    return self.lead(Some(gate));
                }
                Signal::Wait => signal = gate.changed.wait(signal).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// Commits batches in order until the one behind the gate is done, or all are. The caller has set `led`.
    fn lead(&self, until: Option<&Arc<Gate>>) -> Result<(), JournalError> {
        loop {
            let Some(batch) = lock(&self.state).pop() else {
                self.resign();
                return Ok(());
            };
            let committed = lock(&self.writer).commit(&batch.records, false);
            if let Err(error) = committed {
                self.stop();
                batch.gate.set(Signal::Failed);
                return Err(error);
            }
            let own = until.is_some_and(|gate| Arc::ptr_eq(gate, &batch.gate));
            if own {
                self.resign();
            }
            // Nobody sleeps on the gate of a batch that only its leader waits for.
            if batch.waiting > usize::from(own) {
                batch.gate.set(Signal::Durable);
            }
            if own {
                return Ok(());
            }
        }
    }

    /// Gives the lead to somebody who waits, to the flusher, or to nobody.
    fn resign(&self) {
        let mut state = lock(&self.state);
        let next = state.batches.iter().find(|batch| batch.waiting > 0).map(|batch| Arc::clone(&batch.gate));
        state.led = next.is_some();
        if next.is_none() && !state.batches.is_empty() {
            self.ask_flusher(&mut state);
        }
        drop(state);
        if let Some(gate) = next {
            gate.set(Signal::Lead);
        }
    }

    /// Fails everything that waits and everything that comes.
    fn stop(&self) {
        let mut state = lock(&self.state);
        state.stopped = true;
        state.led = false;
        state.bytes = 0;
        let batches = std::mem::take(&mut state.batches);
        drop(state);
        for batch in batches {
            batch.gate.set(Signal::Failed);
        }
    }

    /// Makes queued records durable until the queue closes. Runs in a thread of its own.
    pub(crate) fn flush(&self) {
        let mut state = lock(&self.state);
        while !state.closing && !state.stopped {
            if !state.flush {
                state = self.flusher.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            // Give others the time to come along; a durable append takes all that is queued with it.
            let (woken, _) = self.flusher.wait_timeout(state, FLUSH_AFTER).unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.flush = false;
            if !state.led && !state.batches.is_empty() && !state.closing {
                state.led = true;
                drop(state);
                // On an error the queue has stopped, and the next append says so.
                let _stopped = self.lead(None).is_err();
                state = lock(&self.state);
            }
        }
    }

    /// Turns new records away and ends [`Self::flush`]. Says whether this is the first time.
    pub(crate) fn begin_close(&self) -> bool {
        let mut state = lock(&self.state);
        let first = !state.closing;
        state.closing = true;
        self.flusher.notify_all();
        first
    }

    /// Writes what is queued, and closes the writer, or leaves that to recovery.
    ///
    /// INVARIANT: nobody leads. The journal that owns the queue is gone, and its flusher has ended.
    pub(crate) fn close(&self, in_order: bool) -> Result<(), JournalError> {
        let mut writer = lock(&self.writer);
        let mut last = Vec::new();
        while let Some(batch) = lock(&self.state).pop() {
            let before = std::mem::replace(&mut last, batch.records);
            if !before.is_empty() {
                writer.commit(&before, false)?;
            }
        }
        match (writer.has_stopped(), in_order) {
            (true, _) => Err(JournalError::Stopped),
            (false, true) => writer.close(&last),
            (false, false) if last.is_empty() => Ok(()),
            (false, false) => writer.commit(&last, false),
        }
    }

    pub(crate) fn is_stopped(&self) -> bool {
        lock(&self.state).stopped
    }
}

impl State {
    fn push(&mut self, record: Encoded, wait: bool) -> Result<Arc<Gate>, JournalError> {
        if self.stopped || self.closing {
            return Err(JournalError::Stopped);
        }
        let bytes = record.body.len() + ENVELOPE_HEAD_BYTES_MAX;
        if self.batches.back().is_none_or(|batch| batch.bytes + bytes > BATCH_BYTES_FULL) {
            self.batches.push_back(Batch::new());
        }
        let Some(batch) = self.batches.back_mut() else { return Err(JournalError::Stopped) };
        batch.records.push(record);
        batch.bytes += bytes;
        batch.waiting += usize::from(wait);
        self.bytes += bytes;
        Ok(Arc::clone(&batch.gate))
    }

    fn pop(&mut self) -> Option<Batch> {
        let batch = self.batches.pop_front()?;
        self.bytes = self.bytes.saturating_sub(batch.bytes);
        Some(batch)
    }
}

/// A panic of another thread while it held the lock leaves the value whole: every change here is one assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
