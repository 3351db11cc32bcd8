//! The journal: one process's evidence, behind the core's port.
//!
//! Opening it recovers what crashed processes left, then makes a folder for this one. Each process of a data
//! folder writes its own, so they never wait for each other.
//!
//! Guarantees: `append` with [`Wait::Durable`] returns `Ok` only if the record is on stable storage in a file that
//! is where readers look for it. After one fault the journal goes on in a new segment; after a second one, after a
//! replaced file or a lost lock every append fails until the journal is opened again. A journal that is dropped
//! writes what is queued and closes in order; one that is killed is closed by the next [`Journal::open`].
//!
//! Not guaranteed: a device that lies about flushing, or somebody with write access to the folder who rewrites all
//! of it. See [`crate::verify`].

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread::{self, JoinHandle};

use refmon_core::decision::Decision;
use refmon_core::ports::{self, Clock, Fault, Wait};
use refmon_core::record::Record;

use crate::disk::{Disk, RealDisk};
use crate::folder::{self, JournalError};
use crate::ids::BootId;
use crate::queue::Queue;
use crate::record::{self, RecordError};
use crate::recovery::{self, Damaged, Recovered};
use crate::writer::Writer;

/// Bytes of a boot's first segment. Small, because each start writes it whole.
const FIRST_SEGMENT_BYTES: u64 = 1024 * 1024;
/// The least that holds one record at its limit.
const FIRST_SEGMENT_BYTES_MIN: u64 = 4 * 1024;

/// How a journal is opened.
#[derive(Clone)]
pub struct Options {
    clock: Arc<dyn Clock>,
    disk: Arc<dyn Disk>,
    first_segment_bytes: u64,
}

impl Options {
    /// The usual options: the real disk, and a first segment of 1 MiB.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, disk: Arc::new(RealDisk), first_segment_bytes: FIRST_SEGMENT_BYTES }
    }

    /// Uses another disk.
    #[must_use]
    pub fn disk(mut self, disk: Arc<dyn Disk>) -> Self {
        self.disk = disk;
        self
    }

    /// Uses another size for the first segment; the later ones grow from it. At least 4 KiB.
    #[must_use]
    pub fn first_segment_bytes(mut self, bytes: u64) -> Self {
        self.first_segment_bytes = bytes.max(FIRST_SEGMENT_BYTES_MIN);
        self
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Options");
        shown.field("disk", &self.disk).field("first_segment_bytes", &self.first_segment_bytes).finish_non_exhaustive()
    }
}

/// What was found when a journal was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The folder that this process writes.
    pub boot: BootId,
    /// Boots that had not closed in order, and were closed.
    pub recovered: Vec<Recovered>,
    /// Boots that are damaged in the middle. They are left as they are: nobody can say what is missing.
    pub damaged: Vec<Damaged>,
}

/// A journal that is open for writing.
#[derive(Debug)]
pub struct Journal {
    queue: Arc<Queue>,
    flusher: Option<JoinHandle<()>>,
    boot: BootId,
    /// Permitted attempts less ends.
    open: AtomicI64,
}

impl Journal {
    /// Opens the journal in a folder, which is made if its parent exists, and recovers what others left.
    ///
    /// # Errors
    /// [`JournalError`] if the folder cannot be read and written, or a crashed boot cannot be closed.
    pub fn open(folder: &Path, options: &Options) -> Result<(Self, Opened), JournalError> {
        let disk = &options.disk;
        let node = folder::prepare(disk.as_ref(), folder)?;
        let found = recovery::recover_all(disk.as_ref(), folder, options.clock.as_ref())?;
        let boot = BootId::new(options.clock.now().unix_us / 1_000, folder::random()?);
        let writer = Writer::create(Arc::clone(disk), folder, node, boot, options.first_segment_bytes)?;
        let queue = Arc::new(Queue::new(writer));
        let flushed = Arc::clone(&queue);
        let flusher = thread::Builder::new().name("refmon-journal".to_owned()).spawn(move || flushed.flush());
        let flusher = flusher.map_err(|_| JournalError::Exhausted { what: "thread" })?;
        let journal = Self { queue, flusher: Some(flusher), boot, open: AtomicI64::new(0) };
        Ok((journal, Opened { boot, recovered: found.recovered, damaged: found.damaged }))
    }

    /// The folder that this process writes.
    #[must_use]
    pub const fn boot(&self) -> BootId {
        self.boot
    }

    /// Whether appends can still succeed.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        !self.queue.is_stopped()
    }

    /// Appends a record; the port's `append` with the journal's own error.
    ///
    /// # Errors
    /// [`JournalError`] if the record may not be durable.
    pub fn append(&self, record: &Record, wait: Wait) -> Result<(), JournalError> {
        let encoded = record::encode_body(record)?;
        match wait {
            Wait::Durable => self.queue.append_durable(encoded)?,
            Wait::Queued => self.queue.append_queued(encoded)?,
        }
        let step = match record {
            Record::Attempt(attempt) if attempt.decision == Decision::Permit => 1,
            Record::Completion(_) | Record::Indeterminate(_) => -1,
            Record::Attempt(_) | Record::Resolution(_) | Record::Notice(_) | Record::Act(_) => 0,
        };
        self.open.fetch_add(step, Ordering::Relaxed);
        Ok(())
    }

    /// Writes what is queued and closes the journal in order. Dropping it does the same, without an answer.
    ///
    /// While permitted calls have no end yet, nothing is closed: the next [`Journal::open`] makes them
    /// indeterminate, as after a crash.
    ///
    /// # Errors
    /// [`JournalError`] if that failed; the next [`Journal::open`] then recovers it.
    pub fn close(mut self) -> Result<(), JournalError> {
        self.shut()
    }

    fn shut(&mut self) -> Result<(), JournalError> {
        if !self.queue.begin_close() {
            return Ok(());
        }
        if let Some(flusher) = self.flusher.take() {
            let _panicked = flusher.join().is_err();
        }
        self.queue.close(self.open.load(Ordering::Relaxed) == 0)
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // Nobody is left to tell; the next open recovers a boot that is not closed.
        let _unclosed = self.shut().is_err();
    }
}

impl ports::Journal for Journal {
    fn append(&self, record: &Record, wait: Wait) -> Result<(), Fault> {
        Self::append(self, record, wait).map_err(|error| match error {
            JournalError::Record(error @ RecordError::TooLarge) => Fault::caused("a record of this size", error),
            error => Fault::caused("the journal", error),
        })
    }
}
