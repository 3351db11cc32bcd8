//! The layout of a journal's folder.
//!
//! ```text
//! journal/node                 the node's identifier, 36 bytes of text
//! journal/<boot>/lock          locked exclusively while its process lives
//! journal/<boot>/000001.seg    segments
//! journal/<boot>/closed        a small marker: the boot was closed in order, or recovered; nothing left to do
//! journal/.<boot>              a folder in the making: nothing was ever recorded in it
//! ```
//!
//! INVARIANT: a boot's folder gets its name only once its lock is held and its first segment is durable. A visible
//! boot whose lock is free is therefore one whose process is gone.

use std::io;
use std::path::{Path, PathBuf};

use crate::disk::{Disk, write_all};
use crate::ids::{BootId, NodeId};
use crate::segment;

pub(crate) const LOCK: &str = "lock";
pub(crate) const CLOSED: &str = "closed";
pub(crate) const NODE: &str = "node";

/// A journal that cannot be opened, written or closed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// An operation on a file failed.
    #[error("cannot {action} `{path}`; {advice}")]
    File {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// What to do.
        advice: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file that the journal has open is not the one at its path any more.
    #[error("`{path}` was replaced or removed while the journal had it open; find out who did that, then restart")]
    Replaced {
        /// The path.
        path: PathBuf,
    },
    /// The node's identifier is not one.
    #[error("`{path}` does not hold a node identifier; restore it from the header of any segment")]
    Node {
        /// The path.
        path: PathBuf,
    },
    /// The journal gave up earlier.
    #[error("the journal stopped after a fault; look for the first error, mend its cause and restart")]
    Stopped,
    /// The record cannot be kept.
    #[error(transparent)]
    Record(#[from] crate::record::RecordError),
    /// No randomness, or no thread, was to be had.
    #[error("the operating system gives no {what}; raise the limits of this process and restart")]
    Exhausted {
        /// What is missing.
        what: &'static str,
    },
}

/// What to do about an error of the operating system.
pub(crate) fn file_error(action: &'static str, path: &Path, source: io::Error) -> JournalError {
    let advice = match source.kind() {
        io::ErrorKind::PermissionDenied => "let the user that runs refmon own the data folder",
        io::ErrorKind::ReadOnlyFilesystem => "mount the file system for writing, or choose another data folder",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free some space and restart",
        io::ErrorKind::NotFound => "check that the data folder exists",
        _ => "check the disk and the system's log",
    };
    JournalError::File { action, path: path.to_owned(), advice, source }
}

/// Lists the boots of a journal, oldest first. A journal that does not exist has none.
pub(crate) fn boots(names: Vec<String>) -> Vec<BootId> {
    let mut boots: Vec<BootId> = names.iter().filter_map(|name| BootId::parse(name)).collect();
    boots.sort_unstable();
    boots
}

/// The numbers of the segments among the names in a boot's folder, in order.
pub(crate) fn segments(names: &[String]) -> Vec<u64> {
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| segment::number_of(name)).collect();
    numbers.sort_unstable();
    numbers
}

/// Makes the journal's folder and its node identifier if need be.
pub(crate) fn prepare(disk: &dyn Disk, journal: &Path) -> Result<NodeId, JournalError> {
    match disk.create_folder(journal) {
        Ok(()) => {
            if let Some(parent) = journal.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                disk.sync_folder(parent).map_err(|error| file_error("make durable", parent, error))?;
            }
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(file_error("create the journal's folder", journal, error)),
    }
    node(disk, journal)
}

/// The node's identifier: the one that is there, or a new one. Two processes may start at once: a second name is
/// given to one file only, and both read that.
fn node(disk: &dyn Disk, journal: &Path) -> Result<NodeId, JournalError> {
    let path = journal.join(NODE);
    if let Some(node) = read_node(disk, &path)? {
        return Ok(node);
    }
    let node = NodeId::from_bytes(random()?);
    let draft = journal.join(format!(".node-{node}"));
    let written = disk.create(&draft).and_then(|file| {
        write_all(file.as_ref(), node.to_string().as_bytes(), 0)?;
        file.sync()?;
        match disk.link(&draft, &path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => disk.remove(&draft).and_then(|()| disk.sync_folder(journal)),
        }
    });
    written.map_err(|error| file_error("write", &path, error))?;
    read_node(disk, &path)?.ok_or(JournalError::Node { path })
}

fn read_node(disk: &dyn Disk, path: &Path) -> Result<Option<NodeId>, JournalError> {
    match disk.read(path) {
        Ok(bytes) => parse_node(&bytes).map(Some).ok_or_else(|| JournalError::Node { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(file_error("read", path, error)),
    }
}

/// Parses the file that names the node.
pub(crate) fn parse_node(bytes: &[u8]) -> Option<NodeId> {
    NodeId::parse(std::str::from_utf8(bytes).ok()?)
}

/// Random bytes of the operating system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], JournalError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| JournalError::Exhausted { what: "randomness" })?;
    Ok(bytes)
}

/// How a boot ended: the contents of its marker. With it nobody needs to read the segments of a closed boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marker {
    /// The number of the last segment.
    pub segment: u64,
    /// The offset in it at which the batches end.
    pub end: u64,
    /// The counter of the last record.
    pub last: u64,
    /// The chain value after the last batch.
    pub chain: [u8; 32],
}

impl Marker {
    const MAGIC: [u8; 8] = *b"rfmnend\n";
    const BYTES: usize = 68;

    /// Parses the contents of a marker file; any bytes may be given.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::BYTES] = bytes.try_into().ok()?;
        let (_, rest) = bytes.split_first_chunk::<8>()?;
        let (segment, rest) = rest.split_first_chunk::<8>()?;
        let (end, rest) = rest.split_first_chunk::<8>()?;
        let (last, rest) = rest.split_first_chunk::<8>()?;
        let marker = Self {
            segment: u64::from_le_bytes(*segment),
            end: u64::from_le_bytes(*end),
            last: u64::from_le_bytes(*last),
            chain: *rest.first_chunk()?,
        };
        (marker.to_bytes() == bytes).then_some(marker)
    }

    /// The marker as bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::BYTES);
        out.extend_from_slice(&Self::MAGIC);
        out.extend_from_slice(&self.segment.to_le_bytes());
        out.extend_from_slice(&self.end.to_le_bytes());
        out.extend_from_slice(&self.last.to_le_bytes());
        out.extend_from_slice(&self.chain);
        out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
        out
    }

    /// Writes the marker into a boot's folder, whole or not at all.
    pub(crate) fn write(&self, disk: &dyn Disk, folder: &Path) -> Result<(), JournalError> {
        let (draft, path) = (folder.join(".closed"), folder.join(CLOSED));
        let written = remove_if_there(disk, &draft).and_then(|()| disk.create(&draft)).and_then(|file| {
            write_all(file.as_ref(), &self.to_bytes(), 0)?;
            file.sync()?;
            disk.rename(&draft, &path)
        });
        written.map_err(|error| file_error("write", &path, error))
    }
}

pub(crate) fn remove_if_there(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    match disk.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_read_as_written_and_nothing_else_is_one() {
        let marker = Marker { segment: 1, end: 2, last: 3, chain: [4; 32] };
        let bytes = marker.to_bytes();
        assert_eq!(Marker::parse(&bytes), Some(marker));
        for index in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[index] ^= 1;
            assert_eq!(Marker::parse(&bytes), None, "byte {index}");
        }
        assert_eq!(Marker::parse(&[0; Marker::BYTES]), None);
        assert_eq!(Marker::parse(&bytes[..Marker::BYTES - 1]), None);
    }
}
