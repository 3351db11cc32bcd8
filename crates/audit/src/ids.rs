//! Names of the things a journal is made of.
//!
//! A *node* is one data folder, a *boot* is one process that wrote to it. Both are random, so that the records of
//! many machines can be put together without renaming anything.

use std::fmt;

macro_rules! uuid {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; 16]);

        impl $name {
            /// Takes the 16 bytes of the identifier.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The 16 bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }

            /// Parses exactly the form that [`fmt::Display`] prints: a UUID in lower case.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                if !text.is_ascii() || text.len() != 36 {
                    return None;
                }
                let number = u128::from_str_radix(&text.replace('-', ""), 16).ok()?;
                let id = Self(number.to_be_bytes());
                (id.to_string() == text).then_some(id)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let n = u128::from_be_bytes(self.0);
                let (a, b, c) = (n >> 96, (n >> 80) & 0xffff, (n >> 64) & 0xffff);
                write!(f, "{a:08x}-{b:04x}-{c:04x}-{:04x}-{:012x}", (n >> 48) & 0xffff, n & 0xffff_ffff_ffff)
            }
        }
    )*};
}

uuid! {
    /// One process that writes, or wrote, a folder of segments. A UUID version 7: it carries the time of its start.
    BootId;
    /// One data folder.
    NodeId;
}

impl BootId {
    /// Makes a UUID version 7 (RFC 9562, section 5.7) from the time and random bytes.
    #[must_use]
    pub fn new(unix_ms: u64, random: [u8; 10]) -> Self {
        let low = random.iter().fold(0u128, |n, &byte| (n << 8) | u128::from(byte));
        let time = (u128::from(unix_ms) & 0xffff_ffff_ffff) << 80;
        let random = low & 0x0fff_3fff_ffff_ffff_ffff;
        Self((time | random | (0x7 << 76) | (0x8 << 60)).to_be_bytes())
    }

    /// When the boot began, in microseconds since the Unix epoch, to the millisecond.
    #[must_use]
    pub fn started_us(&self) -> u64 {
        u64::try_from(u128::from_be_bytes(self.0) >> 80).unwrap_or(0).saturating_mul(1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_prints_parses_and_knows_its_start() {
        let boot = BootId::new(0x0123_4567_89ab, [0xff; 10]);
        assert_eq!(boot.to_string(), "01234567-89ab-7fff-bfff-ffffffffffff");
        assert_eq!(BootId::parse(&boot.to_string()), Some(boot));
        assert_eq!(boot.started_us(), 0x0123_4567_89ab * 1_000);
        for text in [
            "",
            "01234567-89AB-7fff-bfff-ffffffffffff",
            "0123456-789ab-7fff-bfff-ffffffffffff",
            "+1234567-89ab-7fff-bfff-ffffffffffff",
        ] {
            assert_eq!(BootId::parse(text), None, "{text:?}");
        }
    }
}
