//! The bytes of a record: deterministic CBOR (RFC 8949, section 4.2.1), described by `docs/reference/record.cddl`.
//!
//! An **envelope** says where a record comes from (boot and counter, given by the journal), who enforced the
//! decision, what was captured, and holds the record as a fixed-order array. The bytes as written are what is
//! hashed and stored; nobody re-serialises to verify.
//!
//! INVARIANT: one record has one spelling. [`decode`] refuses every other one, so `encode(decode(bytes)) == bytes`
//! for all bytes that it accepts. It never panics and allocates no more than a small multiple of its input.
//!
//! Fields that later versions of refmon fill (sealed blobs, trace identifiers, other capture levels) have their
//! place already and one permitted value today; a decoder that does not know a value refuses it.

mod acts;
mod body;
mod numbers;
mod strict;

use refmon_core::record::Record;

use crate::ids::BootId;
use strict::Strict;

/// The version of the record format.
pub const VERSION: u64 = 1;
/// Bytes in one envelope.
pub const ENVELOPE_BYTES_MAX: usize = 64 * 1024;
/// Bytes that an envelope adds to its record at most.
pub(crate) const ENVELOPE_HEAD_BYTES_MAX: usize = 33;

const ENVELOPE_ITEMS: u8 = 9;
const ENFORCED_BY_REFMON: u64 = 0;
const CAPTURE_COMMITMENTS: u64 = 1;

/// A record that cannot be written or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The bytes are not the one spelling of a record.
    #[error("byte {offset} of the record should begin {expected}")]
    Malformed {
        /// The offset in the envelope.
        offset: usize,
        /// What belongs there.
        expected: &'static str,
    },
    /// The record has a version that this program does not know.
    #[error("record version {0} is unknown; read it with the refmon that wrote it or a newer one")]
    UnknownVersion(u64),
    /// The record has a kind that this program does not know.
    #[error("record kind {0} is unknown; read it with the refmon that wrote it or a newer one")]
    UnknownKind(u64),
    /// The record is too large to be kept.
    #[error(
        "the record is larger than {ENVELOPE_BYTES_MAX} bytes or has a list or a name that is too long; shorten the argument names of the tool"
    )]
    TooLarge,
}

/// A record with its origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The process that wrote it.
    pub boot: BootId,
    /// Its place among the records of that process, from 1 and without gaps.
    pub counter: u64,
    /// The record.
    pub record: Record,
}

/// A record as bytes, before it has a place in a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Encoded {
    pub(crate) kind: u8,
    pub(crate) body: Vec<u8>,
}

/// Encodes a record without its envelope.
pub(crate) fn encode_body(record: &Record) -> Result<Encoded, RecordError> {
    let (kind, body) = body::encode(record)?;
    if body.len() > ENVELOPE_BYTES_MAX - ENVELOPE_HEAD_BYTES_MAX {
        return Err(RecordError::TooLarge);
    }
    Ok(Encoded { kind, body })
}

/// Writes an envelope around an encoded record.
pub(crate) fn seal_into(out: &mut Vec<u8>, boot: BootId, counter: u64, kind: u8, body: &[u8]) {
    const ARRAY: u8 = 0x80;
    const BYTES_16: u8 = 0x50;
    const NULL: u8 = 0xf6;
    out.extend_from_slice(&[ARRAY | ENVELOPE_ITEMS, VERSION as u8, kind, BYTES_16]);
    out.extend_from_slice(boot.as_bytes());
    write_uint(out, counter);
    out.extend_from_slice(&[ENFORCED_BY_REFMON as u8, CAPTURE_COMMITMENTS as u8, NULL, ARRAY]);
    out.extend_from_slice(body);
}

/// Encodes an envelope.
///
/// # Errors
/// [`RecordError::TooLarge`] if the record is above a limit.
pub fn encode(envelope: &Envelope) -> Result<Vec<u8>, RecordError> {
    let encoded = encode_body(&envelope.record)?;
    let mut out = Vec::with_capacity(encoded.body.len() + ENVELOPE_HEAD_BYTES_MAX);
    seal_into(&mut out, envelope.boot, envelope.counter, encoded.kind, &encoded.body);
    Ok(out)
}

/// Decodes an envelope. Any bytes may be given.
///
/// # Errors
/// [`RecordError`] if the bytes are not the one spelling of a record of this version.
pub fn decode(bytes: &[u8]) -> Result<Envelope, RecordError> {
    let mut input = Strict::new(bytes);
    if bytes.len() > ENVELOPE_BYTES_MAX {
        return Err(RecordError::TooLarge);
    }
    let (kind, boot, counter) = envelope_head(&mut input)?;
    let record = body::decode(kind, &mut input)?;
    input.end()?;
    Ok(Envelope { boot, counter, record })
}

fn envelope_head(input: &mut Strict<'_>) -> Result<(u8, BootId, u64), RecordError> {
    let items = input.array()?;
    let version = input.uint()?;
    if version != VERSION {
        return Err(RecordError::UnknownVersion(version));
    }
    if items != u64::from(ENVELOPE_ITEMS) {
        return input.refuse(0, "an envelope of nine items");
    }
    let kind = input.uint()?;
    let kind = u8::try_from(kind).map_err(|_| RecordError::UnknownKind(kind))?;
    let boot = BootId::from_bytes(input.bytes()?);
    let counter = input.uint()?;
    input.constant(ENFORCED_BY_REFMON, "a known enforcement point")?;
    input.constant(CAPTURE_COMMITMENTS, "a known capture level")?;
    input.null()?;
    let at = input.position();
    if input.array()? != 0 {
        return input.refuse(at, "an empty list of sealed blobs");
    }
    Ok((kind, boot, counter))
}

fn write_uint(out: &mut Vec<u8>, value: u64) {
    let bytes = value.to_be_bytes();
    let (head, skip) = match value {
        0..=23 => return out.push(bytes[7]),
        24..=0xff => (24, 7),
        0x100..=0xffff => (25, 6),
        0x1_0000..=0xffff_ffff => (26, 4),
        _ => (27, 0),
    };
    out.push(head);
    out.extend(bytes.iter().skip(skip));
}
