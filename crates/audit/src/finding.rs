//! What can be wrong with a journal, and where.

use std::fmt;

use refmon_core::ids::CallId;

use crate::frame::FrameFlaw;
use crate::ids::BootId;
use crate::record::RecordError;
use crate::segment::{self, HeaderFlaw};

/// Something wrong, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The boot.
    pub boot: BootId,
    /// The number of the segment; 0 if it is about another file of the boot.
    pub segment: u64,
    /// The byte in the segment where it begins.
    pub offset: u64,
    /// What is wrong.
    pub defect: Defect,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { boot, segment, offset, defect } = self;
        match segment {
            0 => write!(f, "{boot}: {defect}"),
            _ => write!(f, "{boot}/{}: byte {offset}: {defect}", segment::file_name(*segment)),
        }
    }
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Defect {
    /// A segment between others, or the first, is not there.
    #[error("the segment is missing")]
    MissingSegment,
    /// A segment's header is not one.
    #[error("{0}")]
    Header(HeaderFlaw),
    /// A segment says that it belongs elsewhere.
    #[error("the segment belongs to another boot, node or place")]
    ForeignSegment,
    /// A frame is damaged in a place where later ones are whole.
    #[error("{0}")]
    Frame(FrameFlaw),
    /// Batches end before the point at which the next segment, or the marker, says that they do.
    #[error("written bytes are missing")]
    Missing,
    /// The chain does not lead here: something before was changed, taken out, put in or moved.
    #[error("the hash chain does not fit: a record before this point was changed, removed, added or moved")]
    Chain,
    /// Counters do not follow each other.
    #[error("the record counters do not follow each other")]
    Counter,
    /// A record cannot be read.
    #[error("{0}")]
    Record(RecordError),
    /// Something stands behind the point at which the batches of a full segment or of a closed boot end.
    #[error("bytes were written behind the end")]
    BehindEnd,
    /// The boot's lock file is gone, so nobody can tell whether its process lives.
    #[error("the lock file is missing; if no refmon runs, put an empty file named `lock` there")]
    LockMissing,
    /// The marker of a closed boot does not say what its segments say.
    #[error("the marker `closed` does not fit the segments")]
    Marker,
    /// The process ended without closing the journal, and nobody has recovered it yet.
    #[error("the boot was not closed ({torn_bytes} bytes behind its last batch); start refmon once to recover it")]
    NotClosed {
        /// Bytes behind the last whole batch.
        torn_bytes: u64,
    },
    /// A permitted call has no end although its boot is closed.
    #[error("call {0} was permitted and never ended")]
    Unended(CallId),
    /// A call ended that was not open: it was never permitted, or had ended before.
    #[error("call {0} ended without being open")]
    StrayEnd(CallId),
    /// A call was permitted a second time under the same identifier.
    #[error("call {0} was permitted twice")]
    Repeated(CallId),
}

impl Defect {
    /// Whether it cannot have come from a crash: somebody or something changed what was written.
    #[must_use]
    pub const fn is_violation(&self) -> bool {
        !matches!(self, Self::NotClosed { .. })
    }
}
