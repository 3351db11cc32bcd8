//! One pass over the segments of one boot. Recovery, `verify` and `fsck` all see a boot through it.
//!
//! It checks frames, batches, headers, counters and the chain, and hands every record of every whole batch to a
//! visitor. Where something is damaged it says where and goes on behind the next whole trailer, so that one
//! flipped bit does not hide the rest.
//!
//! **A torn end and damage are told apart** by what follows. Only the last batch can be torn, because each one is
//! durable before the next begins. So if a whole trailer with later counters follows, the flaw is damage; if not,
//! it is a torn end, which includes damage to the very last batch: a boot by itself cannot show the difference.

use std::io;
use std::path::{Path, PathBuf};

use crate::chain::{self, BatchChain, Link};
use crate::disk::Disk;
use crate::finding::{Defect, Finding};
use crate::folder::{self, Marker};
use crate::frame::{self, Batch, BatchSeen, FrameFlaw, FrameKind, Seen};
use crate::ids::{BootId, NodeId};
use crate::segment::{self, HEADER_BYTES, Header, Origin};

/// Findings that are kept, per boot; the rest is counted.
const FINDINGS_MAX: usize = 1_000;

/// Where a record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    pub(crate) counter: u64,
}

/// Gets each record of a whole batch, and says what is wrong with it.
pub(crate) type Visit<'a> = dyn FnMut(Place, &[u8]) -> Option<Defect> + 'a;

/// What a pass saw.
#[derive(Debug)]
pub(crate) struct Walked {
    boot: BootId,
    /// The node in the first header.
    pub(crate) node: Option<NodeId>,
    /// Where the next batch would go.
    pub(crate) segment: u64,
    pub(crate) end: u64,
    pub(crate) counter: u64,
    pub(crate) chain: Link,
    pub(crate) closed: bool,
    /// Bytes from the end of the last whole batch to the last byte that is not zero.
    pub(crate) torn_bytes: u64,
    /// Whole envelopes behind the last whole batch, or behind a fault, in the order of their places.
    pub(crate) loose: Vec<Vec<u8>>,
    pub(crate) findings: Vec<Finding>,
    /// Findings that were not kept.
    pub(crate) findings_more: u64,
    pub(crate) segments: u64,
    pub(crate) batches: u64,
    pub(crate) bytes: u64,
}

/// A file that could not be read.
#[derive(Debug)]
pub(crate) struct Unreadable {
    pub(crate) path: PathBuf,
    pub(crate) source: io::Error,
}

pub(crate) fn read(disk: &dyn Disk, path: &Path) -> Result<Vec<u8>, Unreadable> {
    disk.read(path).map_err(|source| Unreadable { path: path.to_owned(), source })
}

pub(crate) fn list(disk: &dyn Disk, path: &Path) -> Result<Vec<String>, Unreadable> {
    disk.list(path).map_err(|source| Unreadable { path: path.to_owned(), source })
}

/// Passes over all segments of a boot. With the marker of a closed boot nothing at its end can pass for torn.
pub(crate) fn walk(
    disk: &dyn Disk,
    folder: &Path,
    boot: BootId,
    marker: Option<&Marker>,
    visit: &mut Visit<'_>,
) -> Result<Walked, Unreadable> {
    let mut walked = Walked::new(boot);
    let numbers = folder::segments(&list(disk, folder)?);
    let mut next = match numbers.first() {
        Some(&number) => Some((number, read(disk, &folder.join(segment::file_name(number)))?)),
        None => None,
    };
    let mut following = numbers.iter().skip(1);
    if next.is_none() {
        walked.find(1, 0, Defect::MissingSegment);
    }
    // What is known before a segment is what the one before it, or its own header, says.
    let mut known = Known::default();
    while let Some((number, bytes)) = next.take() {
        if let Some(&number) = following.next() {
            next = Some((number, read(disk, &folder.join(segment::file_name(number)))?));
        }
        known.begin(&mut walked, number, &bytes);
        let after = next.as_ref().map(|(_, bytes)| Header::parse(bytes).ok());
        let mut pass = Pass { walked: &mut walked, known: &mut known, visit, number, bytes: &bytes, at: HEADER_BYTES };
        match (after, marker) {
            (None, None) => pass.last(),
            (None, Some(marker)) => pass.bounded(marker.end, Behind::Nothing),
            (Some(Some(after)), _) => pass.bounded(after.previous_end, Behind::of(after.origin)),
            (Some(None), _) => pass.unbounded(),
        }
    }
    walked.counter = known.counter.unwrap_or(1);
    walked.chain = known.chain.unwrap_or_default();
    Ok(walked)
}

impl Walked {
    const fn new(boot: BootId) -> Self {
        Self {
            boot,
            node: None,
            segment: 0,
            end: 0,
            counter: 1,
            chain: [0; 32],
            closed: false,
            torn_bytes: 0,
            loose: Vec::new(),
            findings: Vec::new(),
            findings_more: 0,
            segments: 0,
            batches: 0,
            bytes: 0,
        }
    }

    fn find(&mut self, segment: u64, offset: u64, defect: Defect) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(Finding { boot: self.boot, segment, offset, defect });
        } else {
            self.findings_more += 1;
        }
    }
}

/// What the next header or batch has to fit to; `None` after damage.
#[derive(Debug, Default)]
struct Known {
    number: u64,
    counter: Option<u64>,
    chain: Option<Link>,
}

impl Known {
    /// Checks a segment's header against what is known, and takes over what it says.
    fn begin(&mut self, walked: &mut Walked, number: u64, bytes: &[u8]) {
        let first = self.number == 0;
        if number != self.number + 1 {
            walked.find(self.number + 1, 0, Defect::MissingSegment);
            (self.counter, self.chain) = (None, None);
        }
        self.number = number;
        walked.segments += 1;
        walked.bytes += bytes.len() as u64;
        (walked.segment, walked.end) = (number, HEADER_BYTES as u64);
        let header = match Header::parse(bytes) {
            Ok(header) => header,
            Err(flaw) => {
                (self.counter, self.chain) = (None, None);
                return walked.find(number, 0, Defect::Header(flaw));
            }
        };
        if number == 1 && first {
            (self.counter, self.chain) = (Some(1), Some(chain::start(header.node, walked.boot)));
        }
        let node = *walked.node.get_or_insert(header.node);
        if header.boot != walked.boot || header.number != number || header.node != node {
            walked.find(number, 0, Defect::ForeignSegment);
        }
        if (header.origin == Origin::First) != (number == 1) || walked.closed {
            walked.find(number, 0, Defect::ForeignSegment);
        }
        if self.chain.is_some_and(|chain| chain != header.chain) {
            walked.find(number, 0, Defect::Chain);
        }
        if self.counter.is_some_and(|counter| counter != header.first) {
            walked.find(number, 0, Defect::Counter);
        }
        let header_bytes = bytes.get(..HEADER_BYTES).unwrap_or_default();
        (self.counter, self.chain) = (Some(header.first), Some(chain::segment(header_bytes)));
    }
}

/// What may stand behind the point at which the batches of a segment end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Behind {
    /// Zeros.
    Nothing,
    /// What reached the disk of a batch that was written again in the next segment.
    Loose,
    /// What recovery has looked at already.
    Settled,
}

impl Behind {
    const fn of(origin: Origin) -> Self {
        match origin {
            Origin::First | Origin::Full => Self::Nothing,
            Origin::Fault => Self::Loose,
            Origin::Recovery => Self::Settled,
        }
    }
}

/// Where whole batches end, and why.
struct Stop {
    offset: usize,
    flaw: Option<FrameFlaw>,
}

/// The pass over one segment.
struct Pass<'a, 'v> {
    walked: &'a mut Walked,
    known: &'a mut Known,
    visit: &'a mut Visit<'v>,
    number: u64,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Pass<'a, '_> {
    /// A segment of which something else says where its batches end.
    fn bounded(&mut self, end: u64, behind: Behind) {
        let whole = self.bytes;
        let end = usize::try_from(end).ok().filter(|end| (HEADER_BYTES..=whole.len()).contains(end));
        let (written, rest) = end.and_then(|end| whole.split_at_checked(end)).unwrap_or((whole, &[]));
        self.bytes = written;
        let stop = self.batches(true);
        if self.at < written.len() {
            self.damage(&stop);
        } else if end.is_none() {
            self.find(written.len(), Defect::Missing);
        }
        if end.is_none() {
            (self.known.counter, self.known.chain) = (None, None);
        }
        match behind {
            Behind::Nothing => {
                if let Some(first) = rest.iter().position(|&byte| byte != 0) {
                    self.find(written.len() + first, Defect::BehindEnd);
                }
            }
            Behind::Loose => self.gather_loose(rest),
            Behind::Settled => {}
        }
    }

    /// A segment that is not the last, of which nothing says where its batches end.
    fn unbounded(&mut self) {
        let _stop = self.batches(true);
        (self.known.counter, self.known.chain) = (None, None);
    }

    /// The last segment of a boot that is not known to be closed: its end may be torn.
    fn last(&mut self) {
        let _stop = self.batches(false);
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some(last) = rest.iter().rposition(|&byte| byte != 0) else { return };
        if self.walked.closed {
            let first = rest.iter().position(|&byte| byte != 0).unwrap_or(0);
            return self.find(self.at + first, Defect::BehindEnd);
        }
        self.walked.torn_bytes = last as u64 + 1;
        self.gather_loose(rest);
    }

    /// Goes over batches to the end; where one is damaged, goes on behind the next whole trailer.
    ///
    /// Where the end may be torn, only a trailer of a *later* batch shows damage: the torn batch's own trailer may
    /// have reached the disk before the rest of it.
    fn batches(&mut self, own_trailer_counts: bool) -> Stop {
        loop {
            let stop = match frame::batch(self.bytes.get(self.at..).unwrap_or_default()) {
                BatchSeen::Whole(batch) => {
                    self.check(&batch);
                    if batch.close {
                        self.walked.closed = true;
                        return Stop { offset: self.at, flaw: None };
                    }
                    continue;
                }
                BatchSeen::Unwritten => Stop { offset: self.at, flaw: None },
                BatchSeen::Partial { offset, flaw, .. } => Stop { offset: self.at + offset, flaw },
            };
            if !self.skip_damage(&stop, own_trailer_counts) {
                return stop;
            }
        }
    }

    fn skip_damage(&mut self, stop: &Stop, own_trailer_counts: bool) -> bool {
        let mut from = self.at;
        while let Some(rest) = self.bytes.get(from..)
            && let Some((start, trailer, end)) = frame::find_trailer(rest)
        {
            let own = self.known.counter.is_some_and(|counter| trailer.first <= counter);
            if own && !own_trailer_counts {
                from += start + 1;
                continue;
            }
            self.damage(stop);
            self.at = from + end;
            self.walked.end = self.at as u64;
            self.known.counter = trailer.last.checked_add(1);
            self.known.chain = Some(trailer.chain);
            return true;
        }
        false
    }

    fn damage(&mut self, stop: &Stop) {
        self.find(stop.offset, stop.flaw.map_or(Defect::Missing, Defect::Frame));
    }

    fn check(&mut self, batch: &Batch<'_>) {
        let trailer = batch.trailer;
        let first = self.known.counter.unwrap_or(trailer.first);
        if trailer.first != first || trailer.count as usize != batch.envelopes.len() {
            self.find(self.at, Defect::Counter);
        }
        let mut chain = self.known.chain.map(|before| BatchChain::new(&before, trailer.first, trailer.count));
        for (counter, &(offset, envelope)) in (trailer.first..).zip(&batch.envelopes) {
            if let Some(chain) = &mut chain {
                chain.add(envelope);
            }
            let offset = self.at + offset;
            let place = Place { segment: self.number, offset: offset as u64, counter };
            if let Some(defect) = (self.visit)(place, envelope) {
                self.find(offset, defect);
            }
        }
        if chain.is_some_and(|chain| chain.finish() != trailer.chain) {
            self.find(self.at, Defect::Chain);
        }
        self.at += batch.size;
        self.walked.end = self.at as u64;
        self.walked.batches += 1;
        self.known.counter = trailer.last.checked_add(1);
        self.known.chain = Some(trailer.chain);
    }

    /// Keeps whole envelopes up to the first flaw.
    fn gather_loose(&mut self, mut bytes: &'a [u8]) {
        while let Seen::Frame(seen) = frame::frame(bytes) {
            if seen.kind == FrameKind::Record {
                self.walked.loose.push(seen.payload.to_vec());
            }
            bytes = bytes.get(seen.size()..).unwrap_or_default();
        }
    }

    fn find(&mut self, offset: usize, defect: Defect) {
        self.walked.find(self.number, offset as u64, defect);
    }
}
