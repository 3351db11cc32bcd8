//! Checking a journal offline: is everything there that was written, and does every call have its end?
//!
//! What a whole report shows: no byte of a whole batch was changed, no record was taken out, put in or moved, every
//! permitted call has exactly one end, and no call ended that was not permitted. Each finding names the segment
//! and the byte.
//!
//! What no self-contained log can show, and this one does not either:
//!
//! - that its **end was not cut off**. A whole boot can be deleted; the last batches of a boot that was not closed
//!   can be taken away, or damaged, and look like a crash. Of a closed boot the last batches *and* the marker must
//!   be changed together;
//! - that **all of it was not rewritten** by somebody who can write the folder: checksums and the chain have no key.
//!
//! Both take a head (counter and chain value) kept where the writer cannot reach it.
//! [`BootReport::last`] and [`BootReport::chain`] are that head.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use refmon_core::decision::Decision;
use refmon_core::ids::CallId;
use refmon_core::record::Record;

use crate::disk::{self, Disk, RealDisk};
use crate::finding::{Defect, Finding};
use crate::folder::{self, CLOSED, LOCK, Marker, NODE};
use crate::ids::{BootId, NodeId};
use crate::record;
use crate::walk::{self, Place, Unreadable, Walked};

/// Passes over a boot that is being written while it is read, before a finding is believed.
const LIVE_PASSES_MAX: usize = 3;

/// A journal that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read `{path}`; run this as the user that owns the data folder")]
pub struct VerifyError {
    /// The path.
    pub path: PathBuf,
    /// What the operating system said.
    pub source: std::io::Error,
}

impl From<Unreadable> for VerifyError {
    fn from(Unreadable { path, source }: Unreadable) -> Self {
        Self { path, source }
    }
}

/// How a boot stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BootState {
    /// Its process lives. Its last batch may be half written.
    Live,
    /// It was closed, in order or by recovery.
    Closed,
    /// Its process is gone and nobody has recovered it yet.
    NotClosed,
}

/// What was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records that are whole.
    pub intact: u64,
    /// Calls that were permitted and came back.
    pub completed: u64,
    /// Calls that were permitted and of which nobody knows how they ended.
    pub indeterminate: u64,
    /// Calls that were permitted and have no end yet, in boots that live or that nobody has recovered.
    pub open: u64,
    /// Attempts that were held or denied.
    pub refused: u64,
    /// Findings that no crash explains.
    pub violations: u64,
    /// Segments that were read.
    pub segments: u64,
    /// Group commits.
    pub batches: u64,
    /// Bytes in segments.
    pub bytes: u64,
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.intact += other.intact;
        self.completed += other.completed;
        self.indeterminate += other.indeterminate;
        self.open += other.open;
        self.refused += other.refused;
        self.violations += other.violations;
        self.segments += other.segments;
        self.batches += other.batches;
        self.bytes += other.bytes;
    }
}

/// What was found out about one boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootReport {
    /// The boot.
    pub boot: BootId,
    /// How it stands.
    pub state: BootState,
    /// The counter of its last record.
    pub last: u64,
    /// The chain value after its last batch.
    pub chain: [u8; 32],
    /// What was counted.
    pub counts: Counts,
    /// What is wrong; at most a thousand findings, all of which [`Counts::violations`] counts.
    pub findings: Vec<Finding>,
}

/// What was found out about a journal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Each boot, oldest first.
    pub boots: Vec<BootReport>,
    /// The sums.
    pub counts: Counts,
}

impl Report {
    /// Everything that is wrong.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.boots.iter().flat_map(|boot| &boot.findings)
    }

    /// Whether nothing was changed after it was written, as far as the journal itself can show.
    #[must_use]
    pub const fn is_intact(&self) -> bool {
        self.counts.violations == 0
    }
}

/// Verifies every boot of a journal. Changes nothing, and may run while the journal is written.
///
/// # Errors
/// [`VerifyError`] if a file cannot be read. What is read and wrong is a finding, not an error.
pub fn verify(journal: &Path) -> Result<Report, VerifyError> {
    let mut report = Report::default();
    let node = node(journal)?;
    for boot in folder::boots(walk::list(&RealDisk, journal)?) {
        let boot = verify_boot(journal, boot, node)?;
        report.counts.add(&boot.counts);
        report.boots.push(boot);
    }
    Ok(report)
}

/// The node by its file; `None` in the inner option if the file does not name one.
fn node(journal: &Path) -> Result<Option<NodeId>, VerifyError> {
    let path = journal.join(NODE);
    match RealDisk.read(&path) {
        Ok(bytes) => Ok(folder::parse_node(&bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(VerifyError { path, source }),
    }
}

fn verify_boot(journal: &Path, boot: BootId, node: Option<NodeId>) -> Result<BootReport, VerifyError> {
    let folder = journal.join(boot.to_string());
    let mut report = pass(&folder, boot, node)?;
    // A writer is faster than a reader: what looks damaged may have been half written a moment ago.
    for _ in 1..LIVE_PASSES_MAX {
        if report.state != BootState::Live || report.findings.is_empty() {
            break;
        }
        report = pass(&folder, boot, node)?;
    }
    Ok(report)
}

fn pass(folder: &Path, boot: BootId, node: Option<NodeId>) -> Result<BootReport, VerifyError> {
    let state = state(folder)?;
    let marker = marker(folder)?;
    let mut calls = Calls::default();
    let known = marker.as_ref().and_then(|marker| marker.as_ref().ok());
    let mut walked = walk::walk(&RealDisk, folder, boot, known, &mut |place, bytes| calls.see(boot, place, bytes))?;
    let mut findings = std::mem::take(&mut walked.findings);
    let damaged = !findings.is_empty();
    let mut find = |defect| findings.push(Finding { boot, segment: 0, offset: 0, defect });
    match &marker {
        Some(Ok(marker)) if fits(marker, &walked) => {}
        Some(_) => find(Defect::Marker),
        None => {}
    }
    if node.is_none() || walked.node.is_some_and(|there| Some(there) != node) {
        find(Defect::ForeignSegment);
    }
    if state == BootState::NotClosed {
        find(Defect::NotClosed { torn_bytes: walked.torn_bytes });
    }
    // Where records are missing, an end without its attempt says nothing new.
    calls.settle(boot, state, damaged, &mut findings);
    let violations = findings.iter().filter(|finding| finding.defect.is_violation()).count() as u64;
    let counts = Counts {
        violations: violations + walked.findings_more,
        segments: walked.segments,
        batches: walked.batches,
        bytes: walked.bytes,
        ..calls.counts
    };
    Ok(BootReport { boot, state, last: walked.counter.saturating_sub(1), chain: walked.chain, counts, findings })
}

fn fits(marker: &Marker, walked: &Walked) -> bool {
    let there = (walked.segment, walked.end, walked.counter.saturating_sub(1), walked.chain);
    walked.closed && there == (marker.segment, marker.end, marker.last, marker.chain)
}

pub(crate) fn state(folder: &Path) -> Result<BootState, VerifyError> {
    // The lock first: a boot that closes between the two looks is then seen as closed, not as crashed.
    let lock = folder.join(LOCK);
    if disk::is_locked(&lock).map_err(|source| VerifyError { path: lock, source })? {
        return Ok(BootState::Live);
    }
    Ok(if marker(folder)?.is_some() { BootState::Closed } else { BootState::NotClosed })
}

/// The marker of a boot, if it has one, and whether it can be read.
fn marker(folder: &Path) -> Result<Option<Result<Marker, ()>>, VerifyError> {
    let path = folder.join(CLOSED);
    match RealDisk.read(&path) {
        Ok(bytes) => Ok(Some(Marker::parse(&bytes).ok_or(()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(VerifyError { path, source }),
    }
}

/// The calls of one boot, paired with their ends. A call never outlives its process.
#[derive(Debug, Default)]
struct Calls {
    open: HashMap<CallId, Place>,
    stray: Vec<(Place, Defect)>,
    counts: Counts,
}

impl Calls {
    fn see(&mut self, boot: BootId, place: Place, bytes: &[u8]) -> Option<Defect> {
        let envelope = match record::decode(bytes) {
            Ok(envelope) => envelope,
            Err(error) => return Some(Defect::Record(error)),
        };
        if envelope.boot != boot || envelope.counter != place.counter {
            return Some(Defect::Counter);
        }
        self.counts.intact += 1;
        match &envelope.record {
            Record::Attempt(attempt) if attempt.decision == Decision::Permit => {
                if self.open.insert(attempt.call, place).is_some() {
                    self.stray.push((place, Defect::Repeated(attempt.call)));
                }
            }
            Record::Attempt(_) => self.counts.refused += 1,
            Record::Completion(completion) => {
                self.counts.completed += 1;
                self.end(place, completion.call);
            }
            Record::Indeterminate(end) => {
                self.counts.indeterminate += 1;
                self.end(place, end.call);
            }
            Record::Resolution(_) | Record::Notice(_) | Record::Act(_) => {}
        }
        None
    }

    fn end(&mut self, place: Place, call: CallId) {
        if self.open.remove(&call).is_none() {
            self.stray.push((place, Defect::StrayEnd(call)));
        }
    }

    fn settle(&mut self, boot: BootId, state: BootState, damaged: bool, findings: &mut Vec<Finding>) {
        let mut unended: Vec<(Place, Defect)> = Vec::new();
        match state {
            BootState::Live | BootState::NotClosed => self.counts.open += self.open.len() as u64,
            BootState::Closed => {
                unended.extend(self.open.drain().map(|(call, place)| (place, Defect::Unended(call))));
            }
        }
        if damaged {
            return;
        }
        unended.append(&mut self.stray);
        unended.sort_unstable_by_key(|(place, _)| place.counter);
        findings.extend(unended.into_iter().map(|(place, defect)| Finding {
            boot,
            segment: place.segment,
            offset: place.offset,
            defect,
        }));
    }
}
