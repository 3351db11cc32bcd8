//! A CBOR reader that accepts one spelling of every value (RFC 8949, section 4.2.1).
//!
//! INVARIANT: whatever this reader accepts, the encoder writes back as the same bytes. A longer head than
//! necessary, an indefinite length, a float, a tag or an unexpected length is refused where it stands. General
//! readers accept all of those, so this one is written out: it is the format's second wall, and read for every
//! record that is verified.

use super::RecordError;
use super::numbers::Numbered;

type Result<T> = std::result::Result<T, RecordError>;

/// Items in a list of a record.
pub(crate) const LIST_ITEMS_MAX: u64 = 4_096;

/// The major types that a record uses (RFC 8949, section 3.1).
mod major {
    pub(super) const UINT: u8 = 0;
    pub(super) const BYTES: u8 = 2;
    pub(super) const TEXT: u8 = 3;
    pub(super) const ARRAY: u8 = 4;
}

const FALSE: u8 = 0xf4;
const TRUE: u8 = 0xf5;
const NULL: u8 = 0xf6;

pub(crate) struct Strict<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Strict<'b> {
    pub(crate) const fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    #[cold]
    pub(crate) fn refuse<T>(&self, at: usize, expected: &'static str) -> Result<T> {
        Err(RecordError::Malformed { offset: at, expected })
    }

    pub(crate) const fn position(&self) -> usize {
        self.at
    }

    fn take(&mut self, bytes: usize) -> Option<&'b [u8]> {
        let end = self.at.checked_add(bytes)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    /// The argument of an item's head, if it is of the major type and in its shortest form.
    #[inline]
    fn head(&mut self, major: u8) -> Option<u64> {
        let &first = self.bytes.get(self.at)?;
        if first >> 5 != major {
            return None;
        }
        let (width, least) = match first & 0x1f {
            argument @ 0..=23 => {
                self.at += 1;
                return Some(argument.into());
            }
            24 => (1, 24),
            25 => (2, 0x100),
            26 => (4, 0x1_0000),
            27 => (8, 0x1_0000_0000),
            _ => return None,
        };
        self.at += 1;
        let argument = self.take(width)?.iter().fold(0, |argument, &byte| argument << 8 | u64::from(byte));
        (argument >= least).then_some(argument)
    }

    pub(crate) fn uint(&mut self) -> Result<u64> {
        let at = self.at;
        self.head(major::UINT).map_or_else(|| self.refuse(at, "an unsigned integer in its shortest form"), Ok)
    }

    /// The head of an array.
    pub(crate) fn array(&mut self) -> Result<u64> {
        let at = self.at;
        self.head(major::ARRAY).map_or_else(|| self.refuse(at, "an array of definite length"), Ok)
    }

    /// An array of exactly so many items.
    pub(crate) fn tuple(&mut self, items: u64) -> Result<()> {
        let at = self.at;
        if self.array()? == items { Ok(()) } else { self.refuse(at, "an array of the length that its kind has") }
    }

    /// An array of items of one kind, bounded.
    pub(crate) fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let at = self.at;
        let items = self.array()?;
        if items > LIST_ITEMS_MAX {
            return self.refuse(at, "a list of at most 4096 items");
        }
        (0..items).map(|_| item(self)).collect()
    }

    pub(crate) fn text(&mut self, bytes_max: usize) -> Result<&'b str> {
        let at = self.at;
        let length = self.head(major::TEXT).and_then(|length| usize::try_from(length).ok());
        if let Some(length) = length.filter(|&length| length <= bytes_max)
            && let Some(bytes) = self.take(length)
            && let Ok(text) = std::str::from_utf8(bytes)
        {
            return Ok(text);
        }
        self.refuse(at, "a text of bounded length")
    }

    pub(crate) fn bytes<const N: usize>(&mut self) -> Result<[u8; N]> {
        let at = self.at;
        if self.head(major::BYTES) == Some(N as u64)
            && let Some(Ok(array)) = self.take(N).map(<[u8; N]>::try_from)
        {
            return Ok(array);
        }
        self.refuse(at, "a byte string of the length that its kind has")
    }

    pub(crate) fn boolean(&mut self) -> Result<bool> {
        let at = self.at;
        match self.take(1) {
            Some([FALSE]) => Ok(false),
            Some([TRUE]) => Ok(true),
            _ => self.refuse(at, "a boolean"),
        }
    }

    /// Takes a null, or lets the item be read.
    pub(crate) fn optional<T>(&mut self, item: impl FnOnce(&mut Self) -> Result<T>) -> Result<Option<T>> {
        if self.bytes.get(self.at) == Some(&NULL) {
            self.at += 1;
            return Ok(None);
        }
        item(self).map(Some)
    }

    /// A member of a closed list, by its number.
    pub(crate) fn member<T: Numbered>(&mut self) -> Result<T> {
        let at = self.at;
        let number = self.uint()?;
        T::from_number(number).map_or_else(|| self.refuse(at, "a number of its list"), Ok)
    }

    /// An integer that is written as exactly this value in this version.
    pub(crate) fn constant(&mut self, value: u64, expected: &'static str) -> Result<()> {
        let at = self.at;
        if self.uint()? == value { Ok(()) } else { self.refuse(at, expected) }
    }

    pub(crate) fn null(&mut self) -> Result<()> {
        let at = self.at;
        if self.take(1) == Some(&[NULL]) { Ok(()) } else { self.refuse(at, "null") }
    }

    pub(crate) fn end(&self) -> Result<()> {
        if self.at == self.bytes.len() { Ok(()) } else { self.refuse(self.at, "the end of the record") }
    }
}
