//! The operator's credentials of one server: nothing that comes from that server may show them.
//!
//! Servers repeat what they were sent: in error texts, in echoes of headers, in stack traces. What is looked for are the
//! values as they are, in JSON's escapes, and the parts of a header's value (`Bearer …`, the password in `Basic …`). A
//! server that means to give a credential away can write it otherwise; it has the credential already.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use refmon_core::secret::Secret;

/// Bytes, and different ones among them, below which a value is not looked for: it would be found in honest answers, and an agent
/// whose words come back could find it out by guessing, because what shows it is dropped.
const BYTES_MIN: (usize, usize) = (12, 8);
/// What stands for a credential in text for the operator.
const MASK: &str = "[credential]";

/// What is looked for.
#[derive(Debug, Default)]
pub struct Credentials(Vec<Secret<String>>);

impl Credentials {
    /// Takes values into keeping. A value of fewer than 12 bytes, or of fewer than 8 different ones, is not looked for.
    pub fn new(values: impl IntoIterator<Item = Secret<String>>) -> Self {
        let mut found: Vec<Secret<String>> = Vec::new();
        for value in values {
            let parts = value.expose().split_whitespace();
            let mut texts: Vec<Secret<String>> = parts.map(|part| Secret::new(part.to_owned())).collect();
            texts.extend(password(value.expose()));
            texts.push(value);
            for text in texts.into_iter().filter(|text| is_looked_for(text.expose())) {
                if !found.contains(&text) {
                    found.push(text);
                }
            }
        }
        // The longest first: a mask must not leave the rest of a longer one.
        found.sort_by_key(|text| std::cmp::Reverse(text.expose().len()));
        Self(found)
    }

    /// Whether a message shows one of them, as it is or in JSON's escapes.
    #[must_use]
    pub(crate) fn shown_in(&self, message: &[u8]) -> bool {
        let shown = |bytes: &[u8]| self.0.iter().any(|one| find(bytes, one.expose().as_bytes()));
        !self.0.is_empty() && (shown(message) || message.contains(&b'\\') && shown(&unescaped(message)))
    }

    /// A text for the operator, without them.
    #[must_use]
    pub(crate) fn masked(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, one| text.replace(one.expose(), MASK))
    }
}

/// The password of HTTP's basic scheme (RFC 7617).
fn password(header: &str) -> Option<Secret<String>> {
    let encoded = header.strip_prefix("Basic ").or_else(|| header.strip_prefix("basic "))?;
    let decoded = Secret::new(STANDARD.decode(encoded.trim()).ok()?);
    let text = std::str::from_utf8(decoded.expose()).ok()?;
    Some(Secret::new(text.split_once(':')?.1.to_owned()))
}

fn is_looked_for(text: &str) -> bool {
    let different = text.bytes().collect::<std::collections::BTreeSet<u8>>().len();
    text.len() >= BYTES_MIN.0 && different >= BYTES_MIN.1
}

fn find(bytes: &[u8], wanted: &[u8]) -> bool {
    memchr::memmem::find(bytes, wanted).is_some()
}

/// The bytes with JSON's escapes (RFC 8259, section 7) replaced by what they stand for, wherever they stand.
fn unescaped(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        let Some((&kind, after)) = tail.split_first().filter(|_| first == b'\\') else {
            plain.push(first);
            continue;
        };
        rest = after;
        match kind {
            b'b' => plain.push(8),
            b'f' => plain.push(12),
            b'n' => plain.push(b'\n'),
            b'r' => plain.push(b'\r'),
            b't' => plain.push(b'\t'),
            b'u' => {
                let digits = after.get(..4).and_then(|digits| std::str::from_utf8(digits).ok());
                // Half of a surrogate pair is left out: credentials are header values and words of an environment.
                let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).and_then(char::from_u32);
                let mut buffer = [0; 4];
                plain.extend(code.map(|code| code.encode_utf8(&mut buffer).as_bytes()).unwrap_or_default());
                rest = after.get(4..).unwrap_or_default();
            }
            other => plain.push(other),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> Credentials {
        Credentials::new(values.iter().map(|value| Secret::new((*value).to_owned())))
    }

    #[test]
    fn a_credential_is_found_as_it_is_in_escapes_and_without_its_scheme() {
        let known = of(&["Bearer canary/12345"]);
        for message in [
            "bad token Bearer canary/12345",
            r#"{"text":"canary/12345"}"#,
            r#"{"text":"canary\/12345"}"#,
            r#"{"text":"can\u0061ry\u002F12345"}"#,
        ] {
            assert!(known.shown_in(message.as_bytes()), "{message}");
        }
        for message in ["canary/1234", "Bearer x", r#"{"text":"\u00"}"#, "\\"] {
            assert!(!known.shown_in(message.as_bytes()), "{message}");
        }
        assert_eq!(known.masked("no: Bearer canary/12345!"), "no: [credential]!");
    }

    #[test]
    fn the_password_of_a_basic_credential_is_one() {
        let header = format!("Basic {}", STANDARD.encode("me:open-sesame-now"));
        assert!(of(&[&header]).shown_in(b"user me, password open-sesame-now"));
        assert!(!of(&[&header]).shown_in(b"user me"));
    }

    #[test]
    fn what_is_short_is_not_looked_for() {
        for value in ["short", "", "a b c", "12345678", "password123", "abababababababab"] {
            assert!(!of(&[value]).shown_in(format!("a text with {value} in it").as_bytes()), "{value}");
        }
        assert!(!Credentials::default().shown_in(b"anything"));
    }
}
