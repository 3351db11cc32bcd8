//! The writing end of one boot: one batch at a time, into the active segment, and on into the next.
//!
//! One fault is survived: the segment is never written again, the next one is begun, and the batch that failed is
//! written there. After a failed synchronisation the kernel may have dropped the pages and a second one may claim
//! success, so the same file is never asked twice. A second fault ends the writer for good.
//!
//! INVARIANT: [`Writer::commit`] returns `Ok` only after the batch was synchronised to a file that is, at that
//! moment, still linked at the path where a reader will look for it, in a folder whose lock is still ours.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::chain;
use crate::disk::{Disk, DiskFile, Identity, write_all};
use crate::folder::{JournalError, LOCK, Marker, file_error};
use crate::ids::{BootId, NodeId};
use crate::record::Encoded;
use crate::segment::{self, HEADER_BYTES, Header, Origin, Position};
use crate::spare::{Spare, Spares, zero_filled};

/// Faults after which a writer gives up.
const FAULTS_MAX: u32 = 2;

/// A file that must stay at its path.
#[derive(Debug)]
struct Held {
    file: Box<dyn DiskFile>,
    path: PathBuf,
    identity: Identity,
}

impl Held {
    fn new(file: Box<dyn DiskFile>, path: PathBuf) -> Result<Self, JournalError> {
        let identity = file.identity().map_err(|error| file_error("examine", &path, error))?;
        Ok(Self { file, path, identity })
    }

    /// Fails if the file at the path is another one, or the open one has lost its name or gained one. While it is
    /// open no other file can have its inode, so looking at the path alone is enough.
    fn check(&self, disk: &dyn Disk) -> Result<(), JournalError> {
        let replaced = || JournalError::Replaced { path: self.path.clone() };
        match disk.identify(&self.path) {
            Ok(there) if there == self.identity => Ok(()),
            Ok(_) => Err(replaced()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(replaced()),
            Err(error) => Err(file_error("examine", &self.path, error)),
        }
    }
}

#[derive(Debug)]
struct Active {
    held: Held,
    number: u64,
    offset: u64,
    capacity: u64,
}

/// The writing end of one boot.
#[derive(Debug)]
pub(crate) struct Writer {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    node: NodeId,
    lock: Held,
    active: Active,
    /// Whether the active segment may not be written any more.
    poisoned: bool,
    at: Position,
    faults: u32,
    spares: Spares,
    buffer: Vec<u8>,
}

impl Writer {
    /// Makes a boot's folder, its lock and its first segment, and shows it to the others.
    pub(crate) fn create(
        disk: Arc<dyn Disk>,
        journal: &Path,
        node: NodeId,
        boot: BootId,
        first_segment_bytes: u64,
    ) -> Result<Self, JournalError> {
        let draft = journal.join(format!(".{boot}"));
        disk.create_folder(&draft).map_err(|error| file_error("create", &draft, error))?;
        let lock_path = draft.join(LOCK);
        let lock = disk.create(&lock_path).map_err(|error| file_error("create", &lock_path, error))?;
        match lock.try_lock() {
            Ok(true) => {}
            Ok(false) => return Err(JournalError::Replaced { path: lock_path }),
            Err(error) => return Err(file_error("lock", &lock_path, error)),
        }
        let header = Header {
            origin: Origin::First,
            node,
            boot,
            number: 1,
            first: 1,
            previous_end: 0,
            chain: chain::start(node, boot),
        };
        let bytes = header.to_bytes();
        let path = draft.join(segment::file_name(1));
        let file = zero_filled(disk.as_ref(), &path, &bytes, first_segment_bytes)?;
        let folder = journal.join(boot.to_string());
        let shown = disk.sync_folder(&draft).and_then(|()| disk.rename(&draft, &folder));
        shown.and_then(|()| disk.sync_folder(journal)).map_err(|error| file_error("create", &folder, error))?;
        let held = Held::new(file, folder.join(segment::file_name(1)))?;
        let active = Active { held, number: 1, offset: HEADER_BYTES as u64, capacity: first_segment_bytes };
        Ok(Self {
            spares: Spares::new(Arc::clone(&disk), folder.clone(), first_segment_bytes),
            lock: Held::new(lock, folder.join(LOCK))?,
            disk,
            folder,
            node,
            active,
            poisoned: false,
            at: Position { boot, counter: 1, chain: chain::segment(&bytes) },
            faults: 0,
            buffer: Vec::new(),
        })
    }

    /// Makes a batch durable; with `close`, the last one.
    ///
    /// On an error nobody knows whether the batch is durable, and the writer must not be used again.
    pub(crate) fn commit(&mut self, records: &[Encoded], close: bool) -> Result<(), JournalError> {
        loop {
            if self.faults >= FAULTS_MAX {
                return Err(JournalError::Stopped);
            }
            match self.attempt(records, close) {
                Ok(()) => break,
                Err(error @ JournalError::Replaced { .. }) => {
                    self.faults = FAULTS_MAX;
                    return Err(error);
                }
                Err(error) => {
                    self.faults += 1;
                    if self.faults >= FAULTS_MAX {
                        return Err(error);
                    }
                }
            }
        }
        if !close {
            self.spares.prepare_if_needed(self.active.offset, self.active.capacity);
        }
        Ok(())
    }

    fn attempt(&mut self, records: &[Encoded], close: bool) -> Result<(), JournalError> {
        let needed = segment::batch_bytes(records) as u64;
        if self.poisoned || self.active.offset + needed > self.active.capacity {
            self.rotate(needed)?;
        }
        self.buffer.clear();
        let after = segment::write_batch(&mut self.buffer, self.at, records, close);
        // Until the batch is known to be durable and in place, the segment is in doubt.
        self.poisoned = true;
        let held = &self.active.held;
        let written = write_all(held.file.as_ref(), &self.buffer, self.active.offset);
        written.map_err(|error| file_error("write", &held.path, error))?;
        held.file.sync().map_err(|error| file_error("make durable", &held.path, error))?;
        held.check(self.disk.as_ref())?;
        self.lock.check(self.disk.as_ref())?;
        self.poisoned = false;
        self.active.offset += self.buffer.len() as u64;
        self.at = after;
        Ok(())
    }

    /// Begins the next segment. Its file gets its name after its header is durable.
    fn rotate(&mut self, needed: u64) -> Result<(), JournalError> {
        let number = self.active.number + 1;
        let header = Header {
            origin: if self.poisoned { Origin::Fault } else { Origin::Full },
            node: self.node,
            boot: self.at.boot,
            number,
            first: self.at.counter,
            previous_end: self.active.offset,
            chain: self.at.chain,
        };
        let bytes = header.to_bytes();
        let Spare { file, path: draft, capacity } = self.spares.take(needed + HEADER_BYTES as u64)?;
        let path = self.folder.join(segment::file_name(number));
        let begun = write_all(file.as_ref(), &bytes, 0).and_then(|()| file.sync());
        begun.and_then(|()| self.disk.rename(&draft, &path)).map_err(|error| file_error("begin", &path, error))?;
        // From here on the segment exists: it is the active one even if its name is not durable yet.
        let held = Held::new(file, path)?;
        self.active = Active { held, number, offset: HEADER_BYTES as u64, capacity };
        self.at.chain = chain::segment(&bytes);
        self.poisoned = true;
        self.disk.sync_folder(&self.folder).map_err(|error| file_error("make durable", &self.folder, error))?;
        self.poisoned = false;
        Ok(())
    }

    /// Writes the last batch, cuts off unused space, and marks the boot as closed.
    pub(crate) fn close(&mut self, records: &[Encoded]) -> Result<(), JournalError> {
        self.spares.discard();
        self.commit(records, true)?;
        // The space behind the last batch is zero; that it goes away is a courtesy.
        let _kept = self.active.held.file.truncate(self.active.offset).is_err();
        self.faults = FAULTS_MAX;
        let marker = Marker {
            segment: self.active.number,
            end: self.active.offset,
            last: self.at.counter - 1,
            chain: self.at.chain,
        };
        marker.write(self.disk.as_ref(), &self.folder)
    }

    pub(crate) fn has_stopped(&self) -> bool {
        self.faults >= FAULTS_MAX
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.spares.discard();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;

    #[test]
    fn a_lock_file_that_was_replaced_stops_the_writer() {
        let folder = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let node = crate::folder::prepare(disk.as_ref(), folder.path()).unwrap();
        let boot = BootId::from_bytes([7; 16]);
        let mut writer = Writer::create(disk, folder.path(), node, boot, 1 << 20).unwrap();
        writer.commit(&[], false).unwrap();
        let lock = folder.path().join(boot.to_string()).join(LOCK);
        std::fs::remove_file(&lock).unwrap();
        std::fs::write(&lock, b"").unwrap();
        assert!(matches!(writer.commit(&[], false), Err(JournalError::Replaced { path }) if path == lock));
        assert!(writer.has_stopped());
        assert!(matches!(writer.commit(&[], false), Err(JournalError::Stopped)));
    }
}
