//! Reading a journal: everything in one order, following it, or one boot from a cursor on.
//!
//! The order is by time, then boot, then counter. The records of one boot always come in the order of their
//! counters: where a clock went back, a record counts as late as the one before it. So the order is the same each
//! time the same journal is read.
//!
//! A reader sees whole batches only. It checks checksums and the spelling of records, not the chain; that is what
//! [`crate::verify`] is for.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use crate::disk::RealDisk;
use crate::folder::{self, CLOSED};
use crate::ids::BootId;
use crate::record::{Envelope, RecordError};
use crate::segment::{HEADER_BYTES, HeaderFlaw};
use crate::stream::BootStream;
use crate::walk::{self, Unreadable};

use refmon_core::record::Record;

/// A place in a journal that cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// A file cannot be read.
    #[error("cannot read `{path}`; run this as the user that owns the data folder")]
    File {
        /// The path.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A segment's header is damaged.
    #[error("the header of `{path}` is damaged; `refmon audit verify` says how far the rest is whole")]
    Header {
        /// The path.
        path: PathBuf,
        /// What is wrong.
        source: HeaderFlaw,
    },
    /// Written bytes are damaged or missing.
    #[error("`{path}` is damaged at byte {offset}; `refmon audit verify` says how far the rest is whole")]
    Damaged {
        /// The path.
        path: PathBuf,
        /// The byte.
        offset: u64,
    },
    /// A record cannot be decoded.
    #[error("the record at byte {offset} of `{path}` cannot be read")]
    Record {
        /// The path.
        path: PathBuf,
        /// The byte at which its frame begins.
        offset: u64,
        /// What is wrong.
        source: RecordError,
    },
}

impl From<Unreadable> for ReadError {
    fn from(Unreadable { path, source }: Unreadable) -> Self {
        Self::File { path, source }
    }
}

/// A place between two records of one boot. Reading can go on from it at any later time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor {
    /// The boot.
    pub boot: BootId,
    /// The number of the segment.
    pub segment: u64,
    /// The offset in the segment.
    pub offset: u64,
    /// The counter of the next record.
    pub counter: u64,
}

impl Cursor {
    /// The place before the first record of a boot.
    #[must_use]
    pub const fn start(boot: BootId) -> Self {
        Self { boot, segment: 1, offset: HEADER_BYTES as u64, counter: 1 }
    }
}

/// A record as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The record with its origin.
    pub envelope: Envelope,
    /// The number of the segment that holds it.
    pub segment: u64,
    /// The offset of its frame there.
    pub offset: u64,
    /// The place behind it.
    pub next: Cursor,
}

/// Lists the boots of a journal, oldest first. A journal that does not exist has none.
///
/// # Errors
/// [`ReadError`] if the folder cannot be read.
pub fn boots(journal: &Path) -> Result<Vec<BootId>, ReadError> {
    match walk::list(&RealDisk, journal) {
        Ok(names) => Ok(folder::boots(names)),
        Err(error) if error.source.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// Reads one boot from a cursor on, up to what is durable now.
#[must_use]
pub fn since(journal: &Path, cursor: Cursor) -> Since {
    Since { stream: BootStream::new(journal, cursor), failed: false }
}

/// The records of one boot from a cursor on. It ends at the first error.
#[derive(Debug)]
pub struct Since {
    stream: BootStream,
    failed: bool,
}

impl Iterator for Since {
    type Item = Result<Entry, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.stream.next().transpose();
        self.failed = matches!(next, Some(Err(_)));
        next
    }
}

/// Reads all boots in one order.
///
/// # Errors
/// [`ReadError`] if the folder cannot be read.
pub fn records(journal: &Path) -> Result<Records, ReadError> {
    let mut waiting = boots(journal)?;
    waiting.reverse();
    Ok(Records { journal: journal.to_owned(), waiting, heads: BTreeMap::new() })
}

/// All records of a journal in one order. After an error it goes on with the other boots.
///
/// A boot is opened when the order comes to the time of its start, so that memory depends on how many processes
/// ran at once and not on how many there ever were.
#[derive(Debug)]
pub struct Records {
    journal: PathBuf,
    /// Boots that are not open yet, the oldest last.
    waiting: Vec<BootId>,
    heads: BTreeMap<(u64, BootId), (BootStream, Result<Entry, ReadError>)>,
}

impl Records {
    /// Puts the next record of a boot, or its error, in its place in the order.
    fn queue(&mut self, mut stream: BootStream, not_before: u64) {
        let Some(head) = stream.next().transpose() else { return };
        let time = head.as_ref().map_or(not_before, |entry| unix_us(&entry.envelope.record).max(not_before));
        self.heads.insert((time, stream.boot()), (stream, head));
    }
}

impl Iterator for Records {
    type Item = Result<Entry, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(&boot) = self.waiting.last() {
            if self.heads.first_key_value().is_some_and(|((time, _), _)| *time < boot.started_us()) {
                break;
            }
            self.waiting.pop();
            self.queue(BootStream::new(&self.journal, Cursor::start(boot)), boot.started_us());
        }
        let ((time, _), (stream, head)) = self.heads.pop_first()?;
        if head.is_ok() {
            self.queue(stream, time);
        }
        Some(head)
    }
}

fn unix_us(record: &Record) -> u64 {
    match record {
        Record::Attempt(attempt) => attempt.at.unix_us,
        Record::Completion(completion) => completion.at.unix_us,
        Record::Indeterminate(end) => end.at.unix_us,
        Record::Resolution(resolution) => resolution.at.unix_us,
        Record::Notice(notice) => notice.at.unix_us,
        Record::Act(act) => act.at.unix_us,
    }
}

/// Follows a journal: records as they become durable, boots as they begin.
#[derive(Debug)]
pub struct Follower {
    journal: PathBuf,
    streams: BTreeMap<BootId, BootStream>,
    /// Boots that are closed and read to their end, or that failed.
    done: BTreeSet<BootId>,
    /// Errors that have not been reported yet.
    failed: Vec<ReadError>,
}

impl Follower {
    /// Follows from the first record on.
    #[must_use]
    pub fn from_start(journal: &Path) -> Self {
        Self { journal: journal.to_owned(), streams: BTreeMap::new(), done: BTreeSet::new(), failed: Vec::new() }
    }

    /// Follows from now on: boots that are closed already are passed over, what live ones have written is skipped.
    ///
    /// # Errors
    /// [`ReadError`] if the journal cannot be read.
    pub fn from_now(journal: &Path) -> Result<Self, ReadError> {
        let mut follower = Self::from_start(journal);
        for boot in boots(journal)? {
            if follower.is_closed(boot) {
                follower.done.insert(boot);
            }
        }
        while !follower.poll(4_096)?.is_empty() {}
        Ok(follower)
    }

    /// The records that became durable since the last time, at most about `limit`; none if there are none yet.
    ///
    /// Within one answer they are in the order of [`records`].
    ///
    /// # Errors
    /// [`ReadError`] if a boot cannot be read on. The others can: its error comes once, and the boot is left out.
    pub fn poll(&mut self, limit: usize) -> Result<Vec<Entry>, ReadError> {
        for boot in boots(&self.journal)? {
            if !self.done.contains(&boot) {
                let start = Cursor::start(boot);
                self.streams.entry(boot).or_insert_with(|| BootStream::new(&self.journal, start));
            }
        }
        let mut found = Vec::new();
        let mut ended = Vec::new();
        for (&boot, stream) in &mut self.streams {
            // Asked for before reading: what a boot wrote before it was marked as closed is then read.
            let closed = self.journal.join(boot.to_string()).join(CLOSED).exists();
            let mut time = 0;
            while found.len() < limit {
                match stream.next() {
                    Ok(Some(entry)) => {
                        time = unix_us(&entry.envelope.record).max(time);
                        found.push((time, entry));
                    }
                    Ok(None) => {
                        if closed {
                            ended.push(boot);
                        }
                        break;
                    }
                    Err(error) => {
                        ended.push(boot);
                        self.failed.push(error);
                        break;
                    }
                }
            }
        }
        for boot in ended {
            self.streams.remove(&boot);
            self.done.insert(boot);
        }
        // What was read from the others must not be lost: it comes first, an error the next time.
        if found.is_empty()
            && let Some(error) = self.failed.pop()
        {
            return Err(error);
        }
        found.sort_by_key(|(time, entry)| (*time, entry.envelope.boot, entry.envelope.counter));
        Ok(found.into_iter().map(|(_, entry)| entry).collect())
    }

    fn is_closed(&self, boot: BootId) -> bool {
        self.journal.join(boot.to_string()).join(CLOSED).exists()
    }
}
