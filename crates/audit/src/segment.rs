//! Segments: numbered files of one boot, zero-filled ahead of use.
//!
//! A segment begins with a header of fixed size and goes on with batches ([`crate::frame`]). The header says why
//! the segment was begun and where the batches of the one before it end: after a fault nobody knows what reached
//! the disk behind that point, so it no longer counts, whatever is there.
//!
//! INVARIANT: a file with a segment's final name has a whole, durable header, because it gets its name only after
//! the header was synchronised. A damaged header is therefore damage, never a crash.

use crate::chain::Link;
use crate::frame::{self, BATCH_BYTES_MAX, FrameKind, HEAD_BYTES, TRAILER_BYTES, Trailer};
use crate::ids::{BootId, NodeId};
use crate::record::{self, Encoded};
use crate::{chain, record::ENVELOPE_HEAD_BYTES_MAX};

/// Bytes in a segment's header.
pub const HEADER_BYTES: usize = 128;
/// The version of the segment format.
pub const VERSION: u32 = 1;

const MAGIC: [u8; 8] = *b"rfmnseg\n";

/// Why a segment was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It is the first of its boot.
    First,
    /// The one before it was full. Nothing follows the batches there.
    Full,
    /// Writing to the one before it failed. What follows the batches there does not count.
    Fault,
    /// The boot ended without closing its journal. What follows the batches in the segment before does not count;
    /// records that were whole there are repeated here.
    Recovery,
}

impl Origin {
    const fn number(self) -> u32 {
        match self {
            Self::First => 1,
            Self::Full => 2,
            Self::Fault => 3,
            Self::Recovery => 4,
        }
    }

    const fn from_number(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::First),
            2 => Some(Self::Full),
            3 => Some(Self::Fault),
            4 => Some(Self::Recovery),
            _ => None,
        }
    }
}

/// A segment's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Why the segment was begun.
    pub origin: Origin,
    /// The data folder that it was written in.
    pub node: NodeId,
    /// The process that wrote it.
    pub boot: BootId,
    /// Its number, from 1 and without gaps.
    pub number: u64,
    /// The counter of its first record.
    pub first: u64,
    /// The offset in the segment before it at which the batches there end; 0 in the first.
    pub previous_end: u64,
    /// The chain value so far.
    pub chain: [u8; 32],
}

/// Why bytes are not a segment's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderFlaw {
    /// The file is too short or begins with something else.
    #[error("the file does not begin like a segment")]
    Magic,
    /// The version is unknown.
    #[error("segment version {0} is unknown; read it with a newer refmon")]
    Version(u32),
    /// The checksum does not fit, or a reserved byte is not zero.
    #[error("the header's checksum does not fit")]
    Checksum,
    /// The origin does not exist.
    #[error("the header's origin does not exist")]
    Origin,
}

impl Header {
    /// Parses the header at the beginning of any bytes.
    ///
    /// # Errors
    /// [`HeaderFlaw`] if it is not whole.
    pub fn parse(bytes: &[u8]) -> Result<Self, HeaderFlaw> {
        let header = bytes.first_chunk::<HEADER_BYTES>().ok_or(HeaderFlaw::Magic)?;
        let mut rest = Fields(header);
        if rest.take::<8>() != MAGIC {
            return Err(HeaderFlaw::Magic);
        }
        let version = u32::from_le_bytes(rest.take());
        if version != VERSION {
            return Err(HeaderFlaw::Version(version));
        }
        let origin = u32::from_le_bytes(rest.take());
        let parsed = Self {
            origin: Origin::from_number(origin).unwrap_or(Origin::First),
            node: NodeId::from_bytes(rest.take()),
            boot: BootId::from_bytes(rest.take()),
            number: u64::from_le_bytes(rest.take()),
            first: u64::from_le_bytes(rest.take()),
            previous_end: u64::from_le_bytes(rest.take()),
            chain: rest.take(),
        };
        if parsed.to_bytes() == *header {
            return Ok(parsed);
        }
        Err(if Origin::from_number(origin).is_none() { HeaderFlaw::Origin } else { HeaderFlaw::Checksum })
    }

    /// The header as bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; HEADER_BYTES] {
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.origin.number().to_le_bytes());
        out.extend_from_slice(self.node.as_bytes());
        out.extend_from_slice(self.boot.as_bytes());
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&self.first.to_le_bytes());
        out.extend_from_slice(&self.previous_end.to_le_bytes());
        out.extend_from_slice(&self.chain);
        out.resize(HEADER_BYTES - 4, 0);
        out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
        out.try_into().unwrap_or([0; HEADER_BYTES])
    }
}

struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    /// The next bytes, or zeros past the end; callers stay within the header.
    fn take<const N: usize>(&mut self) -> [u8; N] {
        match self.0.split_first_chunk::<N>() {
            Some((field, rest)) => {
                self.0 = rest;
                *field
            }
            None => [0; N],
        }
    }
}

/// The name of a segment's file.
#[must_use]
pub fn file_name(number: u64) -> String {
    format!("{number:06}.seg")
}

/// The number of a segment by the name of its file.
#[must_use]
pub fn number_of(name: &str) -> Option<u64> {
    let number = name.strip_suffix(".seg")?.parse().ok()?;
    (file_name(number) == name).then_some(number)
}

/// Where the next batch goes: counter and chain value so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Position {
    pub(crate) boot: BootId,
    pub(crate) counter: u64,
    pub(crate) chain: Link,
}

/// Bytes that a batch of these records takes up at most.
pub(crate) fn batch_bytes(records: &[Encoded]) -> usize {
    let frames = records.iter().map(|record| record.body.len() + ENVELOPE_HEAD_BYTES_MAX + HEAD_BYTES);
    frames.sum::<usize>() + HEAD_BYTES + TRAILER_BYTES
}

/// Writes a batch, and gives back the position after it.
pub(crate) fn write_batch(out: &mut Vec<u8>, at: Position, records: &[Encoded], close: bool) -> Position {
    // INVARIANT: a batch is bounded by `BATCH_BYTES_MAX`, so its count fits.
    debug_assert!(batch_bytes(records) <= BATCH_BYTES_MAX);
    let count = records.len() as u32;
    let mut chain = chain::BatchChain::new(&at.chain, at.counter, count);
    let mut counter = at.counter;
    for Encoded { kind, body } in records {
        let envelope =
            frame::write(out, FrameKind::Record, |out| record::seal_into(out, at.boot, counter, *kind, body));
        chain.add(out.get(envelope).unwrap_or_default());
        counter += 1;
    }
    let chain = chain.finish();
    let trailer = Trailer { first: at.counter, last: counter - 1, count, chain };
    let kind = if close { FrameKind::Close } else { FrameKind::Commit };
    frame::write(out, kind, |out| trailer.write(out));
    Position { boot: at.boot, counter, chain }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            origin: Origin::Fault,
            node: NodeId::from_bytes([1; 16]),
            boot: BootId::from_bytes([2; 16]),
            number: 3,
            first: 4,
            previous_end: 5,
            chain: [6; 32],
        }
    }

    #[test]
    fn a_header_is_read_as_written_and_every_flipped_bit_is_seen() {
        let bytes = header().to_bytes();
        assert_eq!(Header::parse(&bytes), Ok(header()));
        for index in 0..bytes.len() {
            for bit in 0..8 {
                let mut bytes = bytes;
                bytes[index] ^= 1 << bit;
                assert!(Header::parse(&bytes).is_err(), "byte {index}, bit {bit}");
            }
        }
        assert_eq!(Header::parse(&bytes[..127]), Err(HeaderFlaw::Magic));
    }

    #[test]
    fn a_segment_is_found_by_its_exact_name_only() {
        assert_eq!(number_of(&file_name(17)), Some(17));
        assert_eq!(number_of("1234567.seg"), Some(1_234_567));
        for name in ["17.seg", "000017.seg.new", "+00017.seg", "spare-1.new"] {
            assert_eq!(number_of(name), None, "{name}");
        }
    }
}
