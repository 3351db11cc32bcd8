//! Frames and batches: the bytes between a segment's header and its end.
//!
//! ```text
//! frame   = length u32 ‖ crc32c u32 ‖ kind u32 ‖ payload      little-endian; the checksum covers all but itself
//! batch   = record frame … ‖ trailer frame                    what one group commit wrote
//! trailer = first u64 ‖ last u64 ‖ count u32 ‖ chain [32]     kind `commit`, or `close` for the last batch of a boot
//! ```
//!
//! A record counts once the trailer of its batch is whole. Space that was never written is zero, and twelve zero
//! bytes are no frame: a kind of zero does not exist.
//!
//! Everything here takes `&[u8]`, accepts any bytes, never panics, and looks at each byte a bounded number of times.

use crate::record::ENVELOPE_BYTES_MAX;

/// Bytes before the payload of a frame.
pub(crate) const HEAD_BYTES: usize = 12;
/// Bytes in the payload of a trailer.
pub(crate) const TRAILER_BYTES: usize = 52;
/// Bytes in one batch with its trailer.
pub(crate) const BATCH_BYTES_MAX: usize = 768 * 1024;

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// An envelope.
    Record,
    /// The end of a batch.
    Commit,
    /// The end of the last batch of a boot.
    Close,
}

impl FrameKind {
    const fn number(self) -> u32 {
        match self {
            Self::Record => 1,
            Self::Commit => 2,
            Self::Close => 3,
        }
    }

    const fn from_number(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::Record),
            2 => Some(Self::Commit),
            3 => Some(Self::Close),
            _ => None,
        }
    }
}

/// Why bytes are not a frame or a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameFlaw {
    /// The checksum does not fit.
    #[error("the checksum of the frame does not fit its bytes")]
    Checksum,
    /// The kind does not exist.
    #[error("the kind of the frame does not exist")]
    Kind,
    /// The length is not possible for the kind, or reaches over the end of the file.
    #[error("the length of the frame is impossible")]
    Length,
    /// The batch is longer than any that is written.
    #[error("the batch has no end")]
    Endless,
}

/// One frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it holds.
    pub kind: FrameKind,
    /// Its payload.
    pub payload: &'a [u8],
}

impl Frame<'_> {
    /// Bytes that the frame takes up.
    #[must_use]
    pub const fn size(&self) -> usize {
        HEAD_BYTES + self.payload.len()
    }
}

/// What stands at the beginning of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen<'a> {
    /// A whole frame with a fitting checksum.
    Frame(Frame<'a>),
    /// Space that was never written, or nothing.
    Unwritten,
    /// The beginning of what may be a frame; more bytes are needed.
    Short,
    /// Something else.
    Flawed(FrameFlaw),
}

/// Looks at the frame at the beginning of any bytes.
#[must_use]
pub fn frame(bytes: &[u8]) -> Seen<'_> {
    let Some((head, rest)) = bytes.split_first_chunk::<HEAD_BYTES>() else {
        return if bytes.iter().all(|&byte| byte == 0) { Seen::Unwritten } else { Seen::Short };
    };
    let [l0, l1, l2, l3, c0, c1, c2, c3, k0, k1, k2, k3] = *head;
    if *head == [0; HEAD_BYTES] {
        return Seen::Unwritten;
    }
    let Some(kind) = FrameKind::from_number(u32::from_le_bytes([k0, k1, k2, k3])) else {
        return Seen::Flawed(FrameFlaw::Kind);
    };
    let Ok(length) = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])) else {
        return Seen::Flawed(FrameFlaw::Length);
    };
    let possible = match kind {
        FrameKind::Record => (1..=ENVELOPE_BYTES_MAX).contains(&length),
        FrameKind::Commit | FrameKind::Close => length == TRAILER_BYTES,
    };
    if !possible {
        return Seen::Flawed(FrameFlaw::Length);
    }
    let Some(payload) = rest.get(..length) else { return Seen::Short };
    if checksum([l0, l1, l2, l3], [k0, k1, k2, k3], payload) != u32::from_le_bytes([c0, c1, c2, c3]) {
        return Seen::Flawed(FrameFlaw::Checksum);
    }
    Seen::Frame(Frame { kind, payload })
}

fn checksum(length: [u8; 4], kind: [u8; 4], payload: &[u8]) -> u32 {
    let [a, b, c, d] = length;
    let [e, f, g, h] = kind;
    crc32c::crc32c_append(crc32c::crc32c(&[a, b, c, d, e, f, g, h]), payload)
}

/// Writes a frame whose payload is appended by `fill`, and gives back where the payload stands.
pub(crate) fn write(out: &mut Vec<u8>, kind: FrameKind, fill: impl FnOnce(&mut Vec<u8>)) -> std::ops::Range<usize> {
    let start = out.len();
    out.extend_from_slice(&[0; HEAD_BYTES]);
    fill(out);
    let payload = start + HEAD_BYTES..out.len();
    // INVARIANT: callers bound the payload by `ENVELOPE_BYTES_MAX`, far below 2^32.
    let length = (payload.len() as u32).to_le_bytes();
    let kind = kind.number().to_le_bytes();
    let sum = checksum(length, kind, out.get(payload.clone()).unwrap_or_default()).to_le_bytes();
    let head = out.iter_mut().skip(start);
    for (slot, byte) in head.zip(length.into_iter().chain(sum).chain(kind)) {
        *slot = byte;
    }
    payload
}

/// The end of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trailer {
    /// The counter of the batch's first record, or the next counter if it has none.
    pub first: u64,
    /// The counter of its last record; `first - 1` if it has none.
    pub last: u64,
    /// The number of its records.
    pub count: u32,
    /// The chain value after the batch.
    pub chain: [u8; 32],
}

impl Trailer {
    /// Parses the payload of a trailer frame.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let (first, rest) = payload.split_first_chunk::<8>()?;
        let (last, rest) = rest.split_first_chunk::<8>()?;
        let (count, rest) = rest.split_first_chunk::<4>()?;
        let trailer = Self {
            first: u64::from_le_bytes(*first),
            last: u64::from_le_bytes(*last),
            count: u32::from_le_bytes(*count),
            chain: rest.try_into().ok()?,
        };
        (trailer.first.checked_add(trailer.count.into())? == trailer.last.checked_add(1)?).then_some(trailer)
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.first.to_le_bytes());
        out.extend_from_slice(&self.last.to_le_bytes());
        out.extend_from_slice(&self.count.to_le_bytes());
        out.extend_from_slice(&self.chain);
    }
}

/// A whole batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch<'a> {
    /// Its envelopes, each with the offset of its frame in the bytes.
    pub envelopes: Vec<(usize, &'a [u8])>,
    /// Its trailer.
    pub trailer: Trailer,
    /// Whether it is the last batch of the boot.
    pub close: bool,
    /// Bytes that it takes up.
    pub size: usize,
}

/// What stands at the beginning of some bytes, where a batch should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BatchSeen<'a> {
    /// A whole batch.
    Whole(Batch<'a>),
    /// Space that was never written, or nothing.
    Unwritten,
    /// Not a whole batch.
    Partial {
        /// Whole record frames before the flaw, with the offsets of their frames.
        envelopes: Vec<(usize, &'a [u8])>,
        /// The offset of what is wrong.
        offset: usize,
        /// What is wrong; `None` if the bytes end, or the written space does.
        flaw: Option<FrameFlaw>,
    },
}

/// Looks at the batch at the beginning of any bytes.
#[must_use]
pub fn batch(bytes: &[u8]) -> BatchSeen<'_> {
    let mut envelopes = Vec::new();
    let mut offset = 0;
    let flaw = loop {
        if offset > BATCH_BYTES_MAX {
            break Some(FrameFlaw::Endless);
        }
        let seen = match frame(bytes.get(offset..).unwrap_or_default()) {
            Seen::Frame(frame) => frame,
            Seen::Unwritten if envelopes.is_empty() => return BatchSeen::Unwritten,
            Seen::Unwritten | Seen::Short => break None,
            Seen::Flawed(flaw) => break Some(flaw),
        };
        if seen.kind == FrameKind::Record {
            envelopes.push((offset, seen.payload));
            offset += seen.size();
            continue;
        }
        let Some(trailer) = Trailer::parse(seen.payload) else { break Some(FrameFlaw::Length) };
        let close = seen.kind == FrameKind::Close;
        return BatchSeen::Whole(Batch { envelopes, trailer, close, size: offset + seen.size() });
    };
    BatchSeen::Partial { envelopes, offset, flaw }
}

/// Finds the next whole trailer frame at or after the beginning of any bytes: its offset, itself, and its end.
///
/// It is how damage in the middle is told from a torn end. A trailer cannot be smuggled into an envelope: its
/// counters have zero bytes and its checksum covers a value of the chain.
#[must_use]
pub fn find_trailer(bytes: &[u8]) -> Option<(usize, Trailer, usize)> {
    let mut from = 0;
    while let Some(rest) = bytes.get(from..) {
        let at = from + rest.iter().position(|&byte| usize::from(byte) == TRAILER_BYTES)?;
        if let Some(candidate) = bytes.get(at..)
            && let Seen::Frame(seen) = frame(candidate)
            && seen.kind != FrameKind::Record
            && let Some(trailer) = Trailer::parse(seen.payload)
        {
            return Some((at, trailer, at + seen.size()));
        }
        from = at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample(records: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        for record in records {
            write(&mut out, FrameKind::Record, |out| out.extend_from_slice(record));
        }
        let count = records.len() as u32;
        let trailer = Trailer { first: 7, last: 6 + u64::from(count), count, chain: [9; 32] };
        write(&mut out, FrameKind::Commit, |out| trailer.write(out));
        out
    }

    #[test]
    fn a_batch_is_read_as_written() {
        let bytes = sample(&[b"one", b"three"]);
        let BatchSeen::Whole(batch) = batch(&bytes) else { panic!("not whole") };
        assert_eq!(batch.envelopes, [(0, &b"one"[..]), (15, &b"three"[..])]);
        assert_eq!((batch.trailer.first, batch.trailer.last, batch.size), (7, 8, bytes.len()));
    }

    #[test]
    fn a_batch_cut_anywhere_is_not_whole() {
        let bytes = sample(&[b"one", b"three"]);
        for cut in 0..bytes.len() {
            assert!(!matches!(batch(&bytes[..cut]), BatchSeen::Whole(_)), "cut at {cut}");
        }
    }

    #[test]
    fn a_trailer_is_found_behind_garbage() {
        let mut bytes = vec![52, 0, 0, 0, 1, 52, 0, 0];
        let start = bytes.len();
        bytes.extend(sample(&[]));
        let (at, trailer, end) = find_trailer(&bytes).unwrap();
        assert_eq!((at, trailer.first, end), (start, 7, bytes.len()));
        assert!(find_trailer(&bytes[..end - 1]).is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_are_looked_at_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _seen = batch(&bytes);
            let _found = find_trailer(&bytes);
        }

        #[test]
        fn a_flipped_bit_is_seen(index in 0usize..1000, bit in 0u8..8) {
            let whole = sample(&[b"one", b"three"]);
            let mut bytes = whole.clone();
            let index = index % bytes.len();
            bytes[index] ^= 1 << bit;
            prop_assert!(!matches!(batch(&bytes), BatchSeen::Whole(_)));
        }
    }
}
