//! A CBOR reader that accepts one spelling of every value (RFC 8949, section 4.2.1).
//!
//! INVARIANT: whatever this reader accepts, the encoder writes back as the same bytes. A longer head than
//! necessary, an indefinite length, a float, a tag or an unexpected length is refused where it stands.

use minicbor::Decoder;
use minicbor::data::Type;

use super::RecordError;
use super::numbers::Numbered;

type Result<T> = std::result::Result<T, RecordError>;

/// Items in a list of a record.
pub(crate) const LIST_ITEMS_MAX: u64 = 4_096;

pub(crate) struct Strict<'b> {
    decoder: Decoder<'b>,
}

impl<'b> Strict<'b> {
    pub(crate) fn new(bytes: &'b [u8]) -> Self {
        Self { decoder: Decoder::new(bytes) }
    }

    pub(crate) fn refuse<T>(&self, at: usize, expected: &'static str) -> Result<T> {
        Err(RecordError::Malformed { offset: at, expected })
    }

    pub(crate) fn position(&self) -> usize {
        self.decoder.position()
    }

    pub(crate) fn uint(&mut self) -> Result<u64> {
        let at = self.position();
        match self.decoder.u64() {
            Ok(value) if self.position() - at == head_bytes(value) => Ok(value),
            _ => self.refuse(at, "an unsigned integer in its shortest form"),
        }
    }

    /// A definite array header.
    pub(crate) fn array(&mut self) -> Result<u64> {
        let at = self.position();
        match self.decoder.array() {
            Ok(Some(items)) if self.position() - at == head_bytes(items) => Ok(items),
            _ => self.refuse(at, "an array of definite length"),
        }
    }

    /// An array of exactly so many items.
    pub(crate) fn tuple(&mut self, items: u64) -> Result<()> {
        let at = self.position();
        if self.array()? == items { Ok(()) } else { self.refuse(at, "an array of the length that its kind has") }
    }

    /// An array of items of one kind, bounded.
    pub(crate) fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let at = self.position();
        let items = self.array()?;
        if items > LIST_ITEMS_MAX {
            return self.refuse(at, "a list of at most 4096 items");
        }
        (0..items).map(|_| item(self)).collect()
    }

    pub(crate) fn text(&mut self, bytes_max: usize) -> Result<&'b str> {
        let at = self.position();
        match self.decoder.str() {
            Ok(text) if text.len() <= bytes_max && self.position() - at == head_bytes(text.len() as u64) + text.len() => {
                Ok(text)
            }
            _ => self.refuse(at, "a text of bounded length"),
        }
    }

    pub(crate) fn bytes<const N: usize>(&mut self) -> Result<[u8; N]> {
        let at = self.position();
        if let Ok(bytes) = self.decoder.bytes()
            && self.position() - at == head_bytes(N as u64) + N
            && let Ok(array) = <[u8; N]>::try_from(bytes)
        {
            return Ok(array);
        }
        self.refuse(at, "a byte string of the length that its kind has")
    }

    pub(crate) fn boolean(&mut self) -> Result<bool> {
        let at = self.position();
        self.decoder.bool().or_else(|_| self.refuse(at, "a boolean"))
    }

    /// Takes a null, or lets the item be read.
    pub(crate) fn optional<T>(&mut self, item: impl FnOnce(&mut Self) -> Result<T>) -> Result<Option<T>> {
        if matches!(self.decoder.datatype(), Ok(Type::Null)) {
            let at = self.position();
            return if self.decoder.null().is_ok() { Ok(None) } else { self.refuse(at, "null") };
        }
        item(self).map(Some)
    }

    /// A member of a closed list, by its number.
    pub(crate) fn member<T: Numbered>(&mut self) -> Result<T> {
        let at = self.position();
        let number = self.uint()?;
        T::from_number(number).map_or_else(|| self.refuse(at, "a number of its list"), Ok)
    }

    /// An integer that is written as exactly this value in this version.
    pub(crate) fn constant(&mut self, value: u64, expected: &'static str) -> Result<()> {
        let at = self.position();
        if self.uint()? == value { Ok(()) } else { self.refuse(at, expected) }
    }

    pub(crate) fn null(&mut self) -> Result<()> {
        let at = self.position();
        self.decoder.null().or_else(|_| self.refuse(at, "null"))
    }

    pub(crate) fn end(&self) -> Result<()> {
        if self.position() == self.decoder.input().len() { Ok(()) } else { self.refuse(self.position(), "the end of the record") }
    }
}

/// Bytes of the shortest head that holds a value (RFC 8949, section 3).
const fn head_bytes(value: u64) -> usize {
    match value {
        0..=23 => 1,
        24..=0xff => 2,
        0x100..=0xffff => 3,
        0x1_0000..=0xffff_ffff => 5,
        _ => 9,
    }
}
