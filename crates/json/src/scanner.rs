//! The scanner behind the gate: one recursive descent, used to build a tree or only to check.

use std::borrow::Cow;

use super::keys::Keys;
use super::{Defect, Json, Malformed, Number, Strictness};

/// What the scanner makes of the values it meets.
pub(super) trait Build<'a> {
    type Value;
    fn null() -> Self::Value;
    fn bool(value: bool) -> Self::Value;
    fn number(text: &'a str) -> Self::Value;
    fn text(text: Cow<'a, str>) -> Self::Value;
    fn list(items: Vec<Self::Value>) -> Self::Value;
    fn object(members: Vec<(Cow<'a, str>, Self::Value)>) -> Self::Value;
}

/// Builds a [`Json`].
pub(super) struct Tree;

impl<'a> Build<'a> for Tree {
    type Value = Json<'a>;
    fn null() -> Json<'a> {
        Json::Null
    }
    fn bool(value: bool) -> Json<'a> {
        Json::Bool(value)
    }
    fn number(text: &'a str) -> Json<'a> {
        Json::Number(Number::from_scanned(text))
    }
    fn text(text: Cow<'a, str>) -> Json<'a> {
        Json::Text(text)
    }
    fn list(items: Vec<Json<'a>>) -> Json<'a> {
        Json::List(items)
    }
    fn object(members: Vec<(Cow<'a, str>, Json<'a>)>) -> Json<'a> {
        Json::Object(members)
    }
}

/// Builds nothing. A `Vec<()>` does not allocate.
pub(super) struct Check;

impl<'a> Build<'a> for Check {
    type Value = ();
    fn null() {}
    fn bool(_: bool) {}
    fn number(_: &'a str) {}
    fn text(_: Cow<'a, str>) {}
    fn list(_: Vec<()>) {}
    fn object(_: Vec<(Cow<'a, str>, ())>) {}
}

/// Scans bytes that are one value and nothing else.
pub(super) fn whole<'a, B: Build<'a>>(bytes: &'a [u8], strictness: Strictness) -> Result<B::Value, Malformed> {
    alone(bytes, strictness, Scanner::value::<B>)
}

/// How a member was spelled, and its own members if they were asked for and it is an object.
pub(super) type Part<'a> = (&'a str, Option<Vec<(Cow<'a, str>, &'a str)>>);

/// Scans bytes that are one object, for its members and the members of those with the keys `deeper`.
pub(super) fn members<'a>(
    bytes: &'a [u8],
    strictness: Strictness,
    deeper: &[&str],
) -> Result<Vec<(Cow<'a, str>, Part<'a>)>, Malformed> {
    let part = |scanner: &mut Scanner<'a>, key: &str| {
        if scanner.peek() != Some(b'{') || !deeper.contains(&key) {
            return Ok((scanner.spelled()?, None));
        }
        let start = scanner.at;
        let inner = scanner.nested(|scanner| scanner.members(|scanner, _| scanner.spelled()))?;
        Ok((scanner.since(start), Some(inner)))
    };
    let found = alone(bytes, strictness, |scanner| match scanner.peek() {
        Some(b'{') => scanner.nested(|scanner| scanner.members(part)).map(Some),
        _ => scanner.value::<Check>().map(|()| None),
    })?;
    found.ok_or(Malformed { defect: Defect::Syntax, offset: 0 })
}

fn alone<'a, T>(
    bytes: &'a [u8],
    strictness: Strictness,
    value: impl FnOnce(&mut Scanner<'a>) -> Result<T, Malformed>,
) -> Result<T, Malformed> {
    let text =
        std::str::from_utf8(bytes).map_err(|error| Malformed { defect: Defect::Utf8, offset: error.valid_up_to() })?;
    let mut scanner = Scanner::new(text, strictness);
    scanner.space();
    let value = value(&mut scanner)?;
    scanner.space();
    if scanner.at == text.len() { Ok(value) } else { Err(scanner.bad(Defect::Trailing)) }
}

/// A position in text that is UTF-8 already.
struct Scanner<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    strictness: Strictness,
}

impl<'a> Scanner<'a> {
    const fn new(text: &'a str, strictness: Strictness) -> Self {
        Self { text, at: 0, depth: 0, strictness }
    }

    const fn bad(&self, defect: Defect) -> Malformed {
        Malformed { defect, offset: self.at }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    const fn step(&mut self) {
        self.at = self.at.saturating_add(1);
    }

    fn unexpected(&self) -> Malformed {
        self.bad(if self.peek().is_none() { Defect::Truncated } else { Defect::Syntax })
    }

    fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.peek() == Some(byte) {
            self.step();
            Ok(())
        } else {
            Err(self.unexpected())
        }
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.step();
        }
    }

    /// The text from `start` to here. Both ends are at ASCII bytes, so this cannot cut a character.
    fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    fn value<B: Build<'a>>(&mut self) -> Result<B::Value, Malformed> {
        match self.peek() {
            Some(b'{') => self.nested(|scanner| scanner.members(|scanner, _| scanner.value::<B>())).map(B::object),
            Some(b'[') => self.nested(Self::list::<B>),
            Some(b'"') => self.string().map(B::text),
            Some(b'-' | b'0'..=b'9') => self.number().map(B::number),
            Some(b't') => self.word("true", || B::bool(true)),
            Some(b'f') => self.word("false", || B::bool(false)),
            Some(b'n') => self.word("null", B::null),
            _ => Err(self.unexpected()),
        }
    }

    /// Scans a value for how it is spelled.
    fn spelled(&mut self) -> Result<&'a str, Malformed> {
        let start = self.at;
        self.value::<Check>()?;
        Ok(self.since(start))
    }

    fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T, Malformed>) -> Result<T, Malformed> {
        if self.depth >= crate::JSON_DEPTH_MAX {
            return Err(self.bad(Defect::Depth));
        }
        self.depth = self.depth.saturating_add(1);
        self.step();
        let value = inner(self)?;
        self.depth = self.depth.saturating_sub(1);
        Ok(value)
    }

    fn word<T>(&mut self, word: &str, value: impl FnOnce() -> T) -> Result<T, Malformed> {
        for byte in word.bytes() {
            self.expect(byte)?;
        }
        Ok(value())
    }

    fn list<B: Build<'a>>(&mut self) -> Result<B::Value, Malformed> {
        let mut items = Vec::new();
        self.space();
        if self.peek() == Some(b']') {
            self.step();
            return Ok(B::list(items));
        }
        loop {
            self.space();
            items.push(self.value::<B>()?);
            self.space();
            match self.peek() {
                Some(b',') => self.step(),
                _ => {
                    self.expect(b']')?;
                    return Ok(B::list(items));
                }
            }
        }
    }

    /// Scans the members of an object behind its brace; `value` scans each member's value.
    fn members<V>(
        &mut self,
        mut value: impl FnMut(&mut Self, &str) -> Result<V, Malformed>,
    ) -> Result<Vec<(Cow<'a, str>, V)>, Malformed> {
        let mut members: Vec<(Cow<'a, str>, V)> = Vec::new();
        self.space();
        if self.peek() == Some(b'}') {
            self.step();
            return Ok(members);
        }
        let mut keys = Keys::default();
        loop {
            self.space();
            let start = self.at;
            let key = self.key()?;
            if let Some(defect) = keys.clash(members.iter().map(|(known, _)| known.as_ref()), &key, self.strictness) {
                return Err(Malformed { defect, offset: start });
            }
            self.space();
            self.expect(b':')?;
            self.space();
            let value = value(self, &key)?;
            members.push((key, value));
            if members.len() > crate::JSON_MEMBERS_MAX {
                return Err(self.bad(Defect::Members));
            }
            self.space();
            match self.peek() {
                Some(b',') => self.step(),
                _ => {
                    self.expect(b'}')?;
                    return Ok(members);
                }
            }
        }
    }

    fn key(&mut self) -> Result<Cow<'a, str>, Malformed> {
        let start = self.at;
        let key = self.string()?;
        if key.contains('\0') && self.strictness != Strictness::Lenient {
            Err(Malformed { defect: Defect::NulInKey, offset: start })
        } else {
            Ok(key)
        }
    }

    fn string(&mut self) -> Result<Cow<'a, str>, Malformed> {
        self.expect(b'"')?;
        let start = self.at;
        let rest = self.text.as_bytes().get(start..).unwrap_or_default();
        let plain = rest.iter().position(|&byte| byte == b'"' || byte == b'\\' || byte < 0x20);
        self.at = start.saturating_add(plain.unwrap_or(rest.len()));
        if self.peek() == Some(b'"') {
            let text = self.since(start);
            self.step();
            return Ok(Cow::Borrowed(text));
        }
        let mut text = self.since(start).to_owned();
        loop {
            let start = self.at;
            match self.peek() {
                Some(b'"') => {
                    self.step();
                    return Ok(Cow::Owned(text));
                }
                Some(b'\\') => text.push(self.escape()?),
                Some(0x20..) => {
                    while matches!(self.peek(), Some(0x20..)) && !matches!(self.peek(), Some(b'"' | b'\\')) {
                        self.step();
                    }
                    text.push_str(self.since(start));
                }
                _ => return Err(self.unexpected()),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Malformed> {
        self.expect(b'\\')?;
        let byte = self.peek().ok_or_else(|| self.bad(Defect::Truncated))?;
        self.step();
        Ok(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode_escape(),
            _ => {
                self.at = self.at.saturating_sub(1);
                return Err(self.bad(Defect::Syntax));
            }
        })
    }

    fn unicode_escape(&mut self) -> Result<char, Malformed> {
        let start = self.at;
        let lone = Malformed { defect: Defect::Surrogate, offset: start };
        let first = self.hex4()?;
        let code = match first {
            0xd800..=0xdbff => {
                if self.expect(b'\\').and_then(|()| self.expect(b'u')).is_err() {
                    return Err(lone);
                }
                let second = self.hex4()?;
                let low = second.checked_sub(0xdc00).filter(|&low| low < 0x400).ok_or_else(|| lone.clone())?;
                let high = first.saturating_sub(0xd800);
                0x1_0000_u32.saturating_add((high << 10) | low)
            }
            other => other,
        };
        char::from_u32(code).ok_or(lone)
    }

    fn hex4(&mut self) -> Result<u32, Malformed> {
        let mut code = 0u32;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16)).ok_or_else(|| self.unexpected())?;
            code = (code << 4) | digit;
            self.step();
        }
        Ok(code)
    }

    fn digits(&mut self) -> Result<(), Malformed> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err(self.unexpected());
        }
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.step();
        }
        Ok(())
    }

    fn number(&mut self) -> Result<&'a str, Malformed> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.step();
        }
        if self.peek() == Some(b'0') {
            self.step();
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.step();
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.step();
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.step();
            }
            self.digits()?;
        }
        Ok(self.since(start))
    }
}
