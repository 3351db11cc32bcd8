//! Closing what crashed processes left open.
//!
//! A boot whose lock is free and that has no marker belongs to a process that is gone. Its log is walked to the
//! last whole batch. Then one more segment is written to it, in one piece and under a provisional name, and
//! renamed into place:
//!
//! 1. whole records behind the last whole batch, again. Nobody was told that they are durable, so their calls did
//!    not run; but that they were asked for is known, and dropping what is known is not for recovery to decide;
//! 2. an [`Indeterminate`] with [`Cause::Crash`] for every permitted attempt without an end, those of step 1
//!    included: the call may have run, wholly, in part or not at all;
//! 3. a notice that says how many those are and how many bytes behind the last batch no longer count.
//!
//! Nothing that was written is changed; only zeros are cut off. INVARIANT: a crash in the middle of recovery
//! leaves either nothing but a provisional file, which the next recovery takes away, or a closed log. So no call
//! is closed twice.
//!
//! A boot that is damaged in the middle is left alone and reported: what is missing may be the very end of a call.

use std::collections::BTreeMap;
use std::path::Path;

use refmon_core::decision::Decision;
use refmon_core::ids::{CallId, TenantId};
use refmon_core::ports::Clock;
use refmon_core::record::{Cause, Event, Indeterminate, Notice, Record};

use crate::chain;
use crate::disk::Disk;
use crate::finding::{Defect, Finding};
use crate::folder::{self, CLOSED, JournalError, LOCK, Marker, file_error};
use crate::ids::{BootId, NodeId};
use crate::record::{self, Encoded};
use crate::segment::{self, HEADER_BYTES, Header, Origin, Position};
use crate::spare::zero_filled;
use crate::walk::{self, Unreadable, Walked};

const DRAFT: &str = "recovery.new";
/// Bytes of records in one batch of a recovery.
const BATCH_BYTES: usize = 256 * 1024;

/// A boot that was closed by recovery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// The boot.
    pub boot: BootId,
    /// Attempts that became indeterminate.
    pub open: u64,
    /// Records behind the last whole batch that were kept.
    pub kept: u64,
    /// Bytes behind the last whole batch.
    pub torn_bytes: u64,
}

/// A boot that recovery left alone, because something in it was changed after it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damaged {
    /// The boot.
    pub boot: BootId,
    /// What is wrong, the first few findings.
    pub findings: Vec<Finding>,
}

#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) recovered: Vec<Recovered>,
    pub(crate) damaged: Vec<Damaged>,
}

impl From<Unreadable> for JournalError {
    fn from(Unreadable { path, source }: Unreadable) -> Self {
        file_error("read", &path, source)
    }
}

/// Recovers every boot of a journal that needs it.
pub(crate) fn recover_all(disk: &dyn Disk, journal: &Path, clock: &dyn Clock) -> Result<Found, JournalError> {
    let mut found = Found::default();
    for boot in folder::boots(walk::list(disk, journal)?) {
        let folder = journal.join(boot.to_string());
        if is_closed(disk, &folder)? {
            continue;
        }
        let lock_path = folder.join(LOCK);
        let lock = match disk.open(&lock_path) {
            Ok(lock) => lock,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let finding = Finding { boot, segment: 0, offset: 0, defect: Defect::LockMissing };
                found.damaged.push(Damaged { boot, findings: vec![finding] });
                continue;
            }
            Err(error) => return Err(file_error("open", &lock_path, error)),
        };
        let free = lock.try_lock().map_err(|error| file_error("lock", &lock_path, error))?;
        // Its process may have closed it between the first look and the lock.
        if !free || is_closed(disk, &folder)? {
            continue;
        }
        match recover(disk, &folder, boot, clock)? {
            Outcome::WasClosed => {}
            Outcome::Recovered(recovered) => found.recovered.push(recovered),
            Outcome::Damaged(damaged) => found.damaged.push(damaged),
        }
    }
    Ok(found)
}

fn is_closed(disk: &dyn Disk, folder: &Path) -> Result<bool, JournalError> {
    let path = folder.join(CLOSED);
    match disk.read(&path) {
        Ok(bytes) => Ok(Marker::parse(&bytes).is_some()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(file_error("read", &path, error)),
    }
}

enum Outcome {
    WasClosed,
    Recovered(Recovered),
    Damaged(Damaged),
}

/// What a boot that was not closed holds.
#[derive(Debug)]
pub(crate) struct Remains {
    pub(crate) walked: Walked,
    /// Whole records behind the last whole batch.
    pub(crate) kept: Vec<Encoded>,
    /// Permitted attempts without an end, in the order of their counters.
    pub(crate) open: Vec<(CallId, TenantId)>,
}

/// Walks a boot and finds what recovery would do. Changes nothing.
pub(crate) fn examine(disk: &dyn Disk, folder: &Path, boot: BootId) -> Result<Remains, Unreadable> {
    let mut calls = OpenCalls::default();
    let mut walked = walk::walk(disk, folder, boot, None, &mut |place, bytes| match record::decode(bytes) {
        Ok(envelope) if envelope.boot != boot || envelope.counter != place.counter => Some(Defect::Counter),
        Ok(envelope) => {
            calls.see(place.counter, &envelope.record);
            None
        }
        Err(error) => Some(Defect::Record(error)),
    })?;
    let mut kept = Vec::new();
    let mut next = walked.counter;
    for bytes in std::mem::take(&mut walked.loose) {
        // After a fault the same records may stand in two places. What does not follow on is not one of ours.
        if let Ok(envelope) = record::decode(&bytes)
            && envelope.boot == boot
            && envelope.counter == next
            && let Ok(encoded) = record::encode_body(&envelope.record)
        {
            calls.see(next, &envelope.record);
            kept.push(encoded);
            next += 1;
        }
    }
    Ok(Remains { walked, kept, open: calls.into_open() })
}

#[derive(Debug, Default)]
struct OpenCalls(BTreeMap<CallId, (u64, TenantId)>);

impl OpenCalls {
    fn see(&mut self, counter: u64, record: &Record) {
        match record {
            Record::Attempt(attempt) if attempt.decision == Decision::Permit => {
                self.0.insert(attempt.call, (counter, attempt.tenant.clone()));
            }
            Record::Completion(completion) => {
                self.0.remove(&completion.call);
            }
            Record::Indeterminate(end) => {
                self.0.remove(&end.call);
            }
            Record::Attempt(_) | Record::Resolution(_) | Record::Notice(_) | Record::Act(_) => {}
        }
    }

    fn into_open(self) -> Vec<(CallId, TenantId)> {
        let mut open: Vec<_> = self.0.into_iter().map(|(call, (counter, tenant))| (counter, call, tenant)).collect();
        open.sort_unstable_by_key(|&(counter, ..)| counter);
        open.into_iter().map(|(_, call, tenant)| (call, tenant)).collect()
    }
}

fn recover(disk: &dyn Disk, folder: &Path, boot: BootId, clock: &dyn Clock) -> Result<Outcome, JournalError> {
    clear_drafts(disk, folder)?;
    let remains = examine(disk, folder, boot)?;
    let walked = &remains.walked;
    let (Some(node), true) = (walked.node, walked.findings.is_empty()) else {
        let findings = walked.findings.iter().take(10).cloned().collect();
        return Ok(Outcome::Damaged(Damaged { boot, findings }));
    };
    if walked.closed {
        let (segment, end, last, chain) = (walked.segment, walked.end, walked.counter - 1, walked.chain);
        Marker { segment, end, last, chain }.write(disk, folder)?;
        return Ok(Outcome::WasClosed);
    }
    let records = closing_records(&remains, clock)?;
    let (bytes, marker) = closing_segment(walked, node, boot, &records);
    let (draft, path) = (folder.join(DRAFT), folder.join(segment::file_name(marker.segment)));
    let file = zero_filled(disk, &draft, &bytes, 0)?;
    drop(file);
    let placed = disk.rename(&draft, &path).and_then(|()| disk.sync_folder(folder));
    placed.map_err(|error| file_error("write", &path, error))?;
    marker.write(disk, folder)?;
    cut_zeros(disk, folder, walked);
    let (open, kept) = (remains.open.len() as u64, remains.kept.len() as u64);
    Ok(Outcome::Recovered(Recovered { boot, open, kept, torn_bytes: walked.torn_bytes }))
}

/// Takes away files under provisional names. They hold no record.
fn clear_drafts(disk: &dyn Disk, folder: &Path) -> Result<(), JournalError> {
    for name in walk::list(disk, folder)? {
        if name == DRAFT || (name.starts_with("spare-") && name.ends_with(".new")) {
            let path = folder.join(name);
            disk.remove(&path).map_err(|error| file_error("remove", &path, error))?;
        }
    }
    Ok(())
}

fn closing_records(remains: &Remains, clock: &dyn Clock) -> Result<Vec<Encoded>, JournalError> {
    let at = clock.now();
    let mut records = remains.kept.clone();
    for (call, tenant) in &remains.open {
        let end = Indeterminate { call: *call, at, tenant: tenant.clone(), cause: Cause::Crash };
        records.push(record::encode_body(&Record::Indeterminate(end))?);
    }
    let event = Event::Recovered { open: remains.open.len() as u64, torn_bytes: remains.walked.torn_bytes };
    records.push(record::encode_body(&Record::Notice(Notice { at, event }))?);
    Ok(records)
}

fn closing_segment(walked: &Walked, node: NodeId, boot: BootId, records: &[Encoded]) -> (Vec<u8>, Marker) {
    let header = Header {
        origin: Origin::Recovery,
        node,
        boot,
        number: walked.segment + 1,
        first: walked.counter,
        previous_end: walked.end,
        chain: walked.chain,
    };
    let mut out = header.to_bytes().to_vec();
    let mut at = Position { boot, counter: walked.counter, chain: chain::segment(&out) };
    debug_assert_eq!(out.len(), HEADER_BYTES);
    let mut rest = records;
    while !rest.is_empty() {
        let mut bytes = 0;
        let full = |record: &Encoded| {
            bytes += record.body.len();
            bytes > BATCH_BYTES
        };
        let items = rest.iter().position(full).unwrap_or(rest.len()).max(1);
        let (batch, later) = rest.split_at_checked(items).unwrap_or((rest, &[]));
        at = segment::write_batch(&mut out, at, batch, later.is_empty());
        rest = later;
    }
    let marker = Marker { segment: header.number, end: out.len() as u64, last: at.counter - 1, chain: at.chain };
    (out, marker)
}

/// Gives back the zero-filled space behind the last written byte. If it fails, the space stays.
fn cut_zeros(disk: &dyn Disk, folder: &Path, walked: &Walked) {
    let path = folder.join(segment::file_name(walked.segment));
    let cut = disk.open(&path).and_then(|file| file.truncate(walked.end + walked.torn_bytes));
    let _left = cut.is_err();
}
