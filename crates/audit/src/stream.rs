//! The records of one boot, from a cursor on.
//!
//! A stream ends where whole batches end, and can be asked again later: what was written meanwhile then follows.
//! It reads what is there now and keeps no lock.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::folder::{CLOSED, Marker};
use crate::frame::{self, BATCH_BYTES_MAX, BatchSeen};
use crate::ids::BootId;
use crate::reader::{Cursor, Entry, ReadError};
use crate::record;
use crate::segment::{self, HEADER_BYTES, Header};

/// Bytes read at once while following; enough for the batches of a quiet process.
const WINDOW_BYTES: usize = 64 * 1024;
/// Bytes read at once if a batch, or what follows, does not fit into the small window.
const WINDOW_BYTES_MAX: usize = BATCH_BYTES_MAX + 256 * 1024;

#[derive(Debug)]
pub(crate) struct BootStream {
    folder: PathBuf,
    cursor: Cursor,
    file: Option<File>,
    /// Where the batches of the current segment end, once the next segment says so.
    end: Option<u64>,
    window: Vec<u8>,
    ready: VecDeque<Entry>,
}

impl BootStream {
    pub(crate) fn new(journal: &Path, cursor: Cursor) -> Self {
        let folder = journal.join(cursor.boot.to_string());
        Self { folder, cursor, file: None, end: None, window: Vec::new(), ready: VecDeque::new() }
    }

    pub(crate) const fn boot(&self) -> BootId {
        self.cursor.boot
    }

    /// The next record, or `None` if no more is there now.
    ///
    /// After an error the stream stands where it stood; asking again gives the error again.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>, ReadError> {
        loop {
            if let Some(entry) = self.ready.pop_front() {
                return Ok(Some(entry));
            }
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// Reads on. Says whether anything came of it.
    fn fill(&mut self) -> Result<bool, ReadError> {
        // The end is asked for before the bytes are read: what is read before it then is what the writer stands by.
        if self.end.is_none() {
            self.end = self.next_header()?.map(|header| header.previous_end);
        }
        if let Some(end) = self.end
            && self.cursor.offset >= end
        {
            (self.file, self.end) = (None, None);
            self.cursor.segment += 1;
            self.cursor.offset = HEADER_BYTES as u64;
            return Ok(true);
        }
        let seen = self.read_on()?;
        if seen.progress {
            return Ok(true);
        }
        if !self.goes_on()? {
            return Ok(false);
        }
        // It may have gone on since the bytes were read; what says so is there before this second look at them.
        let seen = self.read_on()?;
        if seen.progress || self.end.is_none() && self.next_header()?.is_some() {
            return Ok(true);
        }
        Err(ReadError::Damaged { path: self.path(self.cursor.segment), offset: seen.stop })
    }

    fn read_on(&mut self) -> Result<Window, ReadError> {
        let size = if self.window.len() > WINDOW_BYTES { WINDOW_BYTES_MAX } else { WINDOW_BYTES };
        let seen = self.read(size)?;
        if !seen.progress && seen.more && size < WINDOW_BYTES_MAX { self.read(WINDOW_BYTES_MAX) } else { Ok(seen) }
    }

    /// Whether something says that batches go on here: the next segment's header, or the marker of a closed boot.
    fn goes_on(&self) -> Result<bool, ReadError> {
        let Cursor { segment, offset, .. } = self.cursor;
        if let Some(end) = self.end {
            return Ok(offset < end);
        }
        let path = self.folder.join(CLOSED);
        match std::fs::read(&path) {
            Ok(bytes) => {
                Ok(Marker::parse(&bytes).is_some_and(|marker| (segment, offset) < (marker.segment, marker.end)))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(ReadError::File { path, source }),
        }
    }

    fn read(&mut self, size: usize) -> Result<Window, ReadError> {
        let path = self.path(self.cursor.segment);
        let failed = |source| ReadError::File { path: path.clone(), source };
        let file = match self.file.take() {
            Some(file) => file,
            None => File::open(&path).map_err(failed)?,
        };
        let start = self.cursor.offset;
        // Nothing at or behind the end is a batch of this segment, whatever is there.
        let left = self.end.map_or(u64::MAX, |end| end.saturating_sub(start));
        self.window.resize(size.min(usize::try_from(left).unwrap_or(size)), 0);
        let bytes = read_full_at(&file, &mut self.window, start).map_err(failed)?;
        self.file = Some(file);
        let window = std::mem::take(&mut self.window);
        let seen = self.take_batches(window.get(..bytes).unwrap_or_default());
        self.window = window;
        seen
    }

    fn take_batches(&mut self, bytes: &[u8]) -> Result<Window, ReadError> {
        let start = self.cursor.offset;
        let mut at = 0;
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            match frame::batch(rest) {
                BatchSeen::Whole(batch) => {
                    let ends = batch.envelopes.iter().skip(1).map(|&(offset, _)| offset).chain([batch.size]);
                    for (&(offset, envelope), after) in batch.envelopes.iter().zip(ends) {
                        self.take(start + (at + offset) as u64, start + (at + after) as u64, envelope)?;
                    }
                    at += batch.size;
                    self.cursor.offset = start + at as u64;
                }
                BatchSeen::Unwritten => {
                    return Ok(Window { progress: at > 0, more: false, stop: start + at as u64 });
                }
                BatchSeen::Partial { offset, flaw, .. } => {
                    let stop = start + (at + offset) as u64;
                    return Ok(Window { progress: at > 0, more: flaw.is_none(), stop });
                }
            }
        }
    }

    fn take(&mut self, offset: u64, after: u64, bytes: &[u8]) -> Result<(), ReadError> {
        let segment = self.cursor.segment;
        let envelope =
            record::decode(bytes).map_err(|source| ReadError::Record { path: self.path(segment), offset, source })?;
        // After a fault a batch may stand in two segments; the second time it is the same.
        if envelope.counter < self.cursor.counter {
            return Ok(());
        }
        self.cursor.counter = envelope.counter.saturating_add(1);
        let next = Cursor { offset: after, ..self.cursor };
        self.ready.push_back(Entry { envelope, segment, offset, next });
        Ok(())
    }

    /// The header of the next segment, if there is one.
    fn next_header(&self) -> Result<Option<Header>, ReadError> {
        let path = self.path(self.cursor.segment + 1);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(ReadError::File { path, source }),
        };
        let mut bytes = [0; HEADER_BYTES];
        match file.read_exact_at(&mut bytes, 0) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
            Err(source) => return Err(ReadError::File { path, source }),
        }
        Header::parse(&bytes).map(Some).map_err(|source| ReadError::Header { path, source })
    }

    fn path(&self, segment: u64) -> PathBuf {
        self.folder.join(segment::file_name(segment))
    }
}

/// What one read came to.
struct Window {
    /// Whether there was a whole batch.
    progress: bool,
    /// Whether the bytes ended within a batch.
    more: bool,
    /// Where whole batches end.
    stop: u64,
}

fn read_full_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + filled as u64) {
            Ok(0) => break,
            Ok(bytes) => filled += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
