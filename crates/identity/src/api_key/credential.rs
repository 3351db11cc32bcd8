//! How a key is spelled.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use refmon_core::secret::Secret;
use zeroize::Zeroize as _;

/// What every key begins with, so that scanners of leaked secrets can find it.
pub(crate) const PREFIX: &str = "refmon_";
const ID_DIGITS: usize = 16;

/// The public part of a key: 16 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(u64);

impl KeyId {
    pub(super) const fn from_random(bytes: [u8; 8]) -> Self {
        Self(u64::from_be_bytes(bytes))
    }

    /// Parses the form that [`fmt::Display`] prints, and no other.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let whole = text.len() == ID_DIGITS && text.bytes().all(digit);
        u64::from_str_radix(text, 16).ok().filter(|_| whole).map(Self)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Parses a key. `None` for every spelling but the one that was issued.
pub(super) fn parse(text: &str) -> Option<(KeyId, Secret<[u8; 32]>)> {
    let (id, secret) = text.strip_prefix(PREFIX)?.split_at_checked(ID_DIGITS)?;
    let id = KeyId::parse(id)?;
    let mut bytes = [0; 32];
    let decoded = URL_SAFE_NO_PAD.decode_slice(secret.strip_prefix('_')?, &mut bytes);
    let secret = Secret::new(bytes);
    bytes.zeroize();
    (decoded == Ok(32)).then_some((id, secret))
}

/// Spells a key, for the one time that it is shown.
pub(super) fn print(id: KeyId, secret: &Secret<[u8; 32]>) -> Secret<String> {
    let encoded = Secret::new(URL_SAFE_NO_PAD.encode(secret.expose()));
    // One allocation, so that no part of the secret is left behind in an outgrown one.
    let mut text = String::with_capacity(PREFIX.len() + ID_DIGITS + 1 + encoded.expose().len());
    text.push_str(PREFIX);
    text.push_str(&id.to_string());
    text.push('_');
    text.push_str(encoded.expose());
    Secret::new(text)
}
