//! Zero-filled files, made ready before they are needed.
//!
//! Synchronising a file whose size does not change costs one flush of the device and no transaction of the file
//! system. So space is written ahead, in the background, from the moment the active segment is half full. Spares
//! have names that are no segment's name and hold nothing.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use crate::disk::{Disk, DiskFile, write_all};
use crate::folder::{JournalError, file_error, remove_if_there};

const MIB: u64 = 1024 * 1024;
/// Sizes of the segments after the first.
const LADDER: [u64; 3] = [4 * MIB, 16 * MIB, 64 * MIB];
const CHUNK_BYTES: usize = 256 * 1024;
static ZEROS: [u8; CHUNK_BYTES] = [0; CHUNK_BYTES];

/// A zero-filled file under a provisional name.
#[derive(Debug)]
pub(crate) struct Spare {
    pub(crate) file: Box<dyn DiskFile>,
    pub(crate) path: PathBuf,
    pub(crate) capacity: u64,
}

#[derive(Debug, Default)]
struct Shared {
    ready: Mutex<Option<Spare>>,
    abandon: AtomicBool,
}

#[derive(Debug)]
pub(crate) struct Spares {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    first_bytes: u64,
    shared: Arc<Shared>,
    worker: Option<JoinHandle<()>>,
    made: usize,
    prepared: usize,
}

impl Spares {
    pub(crate) fn new(disk: Arc<dyn Disk>, folder: PathBuf, first_bytes: u64) -> Self {
        Self { disk, folder, first_bytes, shared: Arc::default(), worker: None, made: 0, prepared: 0 }
    }

    /// Starts to make a spare if the active segment is half full and none is there.
    ///
    /// That it fails is no fault yet: the space may be there when it is needed.
    pub(crate) fn prepare_if_needed(&mut self, offset: u64, capacity: u64) {
        if offset.saturating_mul(2) < capacity || self.worker.is_some() {
            return;
        }
        let (disk, shared) = (Arc::clone(&self.disk), Arc::clone(&self.shared));
        let bytes = LADDER.get(self.prepared).or(LADDER.last()).map_or(MIB, |&bytes| bytes);
        // Tests and small disks choose small first segments; the others then grow from there.
        let capacity = bytes.min(self.first_bytes.saturating_mul(4 << (2 * self.prepared.min(3))));
        let path = self.next_path();
        self.prepared += 1;
        let work = move || {
            let made = fill(disk.as_ref(), &path, &[], capacity, Some(&shared.abandon));
            let mut ready = shared.ready.lock().unwrap_or_else(PoisonError::into_inner);
            *ready = made.ok().map(|file| Spare { file, path, capacity });
        };
        self.worker = thread::Builder::new().name("refmon-spare".to_owned()).spawn(work).ok();
    }

    /// A zero-filled file of at least so many bytes: the one that is ready, or a small one made now.
    pub(crate) fn take(&mut self, needed: u64) -> Result<Spare, JournalError> {
        if self.worker.as_ref().is_some_and(JoinHandle::is_finished) {
            self.join();
        }
        let ready = if self.worker.is_none() {
            self.shared.ready.lock().unwrap_or_else(PoisonError::into_inner).take()
        } else {
            None
        };
        if let Some(spare) = ready {
            if spare.capacity >= needed {
                return Ok(spare);
            }
            let _left = remove_if_there(self.disk.as_ref(), &spare.path).is_err();
        }
        let (path, capacity) = (self.next_path(), self.first_bytes.max(needed));
        let file = zero_filled(self.disk.as_ref(), &path, &[], capacity)?;
        Ok(Spare { file, path, capacity })
    }

    /// Stops the work in the background and takes away what was not used.
    pub(crate) fn discard(&mut self) {
        self.shared.abandon.store(true, Ordering::Relaxed);
        self.join();
        let spare = self.shared.ready.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(spare) = spare {
            let _left = remove_if_there(self.disk.as_ref(), &spare.path).is_err();
        }
    }

    fn join(&mut self) {
        if let Some(worker) = self.worker.take() {
            let _panicked = worker.join().is_err();
        }
    }

    fn next_path(&mut self) -> PathBuf {
        self.made += 1;
        self.folder.join(format!("spare-{}.new", self.made))
    }
}

/// Makes a durable file that begins with some bytes and goes on with zeros.
pub(crate) fn zero_filled(
    disk: &dyn Disk,
    path: &Path,
    head: &[u8],
    capacity: u64,
) -> Result<Box<dyn DiskFile>, JournalError> {
    fill(disk, path, head, capacity, None).map_err(|error| file_error("make room in", path, error))
}

fn fill(
    disk: &dyn Disk,
    path: &Path,
    head: &[u8],
    capacity: u64,
    abandon: Option<&AtomicBool>,
) -> std::io::Result<Box<dyn DiskFile>> {
    let file = disk.create(path)?;
    let filled = write_all(file.as_ref(), head, 0).and_then(|()| {
        let mut offset = head.len() as u64;
        while offset < capacity {
            if abandon.is_some_and(|abandon| abandon.load(Ordering::Relaxed)) {
                return Err(std::io::ErrorKind::Interrupted.into());
            }
            let bytes = usize::try_from(capacity - offset).map_or(CHUNK_BYTES, |left| left.min(CHUNK_BYTES));
            write_all(file.as_ref(), ZEROS.get(..bytes).unwrap_or_default(), offset)?;
            offset += bytes as u64;
        }
        file.sync()
    });
    match filled {
        Ok(()) => Ok(file),
        Err(error) => {
            let _left = remove_if_there(disk, path).is_err();
            Err(error)
        }
    }
}
