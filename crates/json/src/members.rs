//! The members of an object as spans of the original bytes.

use std::borrow::Cow;

use super::{Json, Malformed, Strictness, scanner};

/// One member of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member<'a> {
    /// The key, decoded.
    pub key: Cow<'a, str>,
    /// The value, exactly as it was spelled, without surrounding white space.
    pub value: &'a [u8],
}

impl<'a> Member<'a> {
    /// Parses the value. It was scanned already, so this fails only under a stricter [`Strictness`].
    ///
    /// # Errors
    /// [`Malformed`] as for [`Json::parse_with`].
    pub fn json(&self, strictness: Strictness) -> Result<Json<'a>, Malformed> {
        Json::parse_with(self.value, strictness)
    }
}

/// The members of one object. The whole object has been through the gate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Members<'a> {
    members: Vec<Member<'a>>,
    /// The members of some of them, by index.
    deeper: Vec<(usize, Self)>,
}

impl<'a> Members<'a> {
    /// Scans an object that is the whole of the bytes.
    ///
    /// # Errors
    /// [`Malformed`] if the bytes have no single reading or are not an object ([`super::Defect::Syntax`] at 0).
    pub fn parse(bytes: &'a [u8], strictness: Strictness) -> Result<Self, Malformed> {
        Self::parse_deeper(bytes, strictness, &[])
    }

    /// The same, and in the same pass the members of those members with these keys that are objects.
    ///
    /// # Errors
    /// As [`Members::parse`].
    pub fn parse_deeper(bytes: &'a [u8], strictness: Strictness, keys: &[&str]) -> Result<Self, Malformed> {
        let mut found = Self::default();
        for (key, (text, inner)) in scanner::members(bytes, strictness, keys)? {
            if let Some(inner) = inner {
                let member = |(key, text): (Cow<'a, str>, &'a str)| Member { key, value: text.as_bytes() };
                let members = inner.into_iter().map(member).collect();
                found.deeper.push((found.members.len(), Self { members, deeper: Vec::new() }));
            }
            found.members.push(Member { key, value: text.as_bytes() });
        }
        Ok(found)
    }

    /// The members of a member for which [`Members::parse_deeper`] was asked; `None` if it is not an object.
    #[must_use]
    pub fn of(&self, key: &str) -> Option<&Self> {
        let index = self.members.iter().position(|member| member.key == key)?;
        self.deeper.iter().find(|(at, _)| *at == index).map(|(_, members)| members)
    }

    /// The member with this exact key.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<&Member<'a>> {
        self.members.iter().find(|member| member.key == key)
    }

    /// The value of a member, as it was spelled.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&'a [u8]> {
        self.find(key).map(|member| member.value)
    }

    /// The text of a member that is a string.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<Cow<'a, str>> {
        match Json::parse_with(self.value(key)?, Strictness::Data) {
            Ok(Json::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// All members, in the order they came.
    #[must_use]
    pub fn all(&self) -> &[Member<'a>] {
        &self.members
    }
}
