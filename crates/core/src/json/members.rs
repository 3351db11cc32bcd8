//! The members of an object as spans of the original bytes.

use std::borrow::Cow;

use super::scanner::Shallow;
use super::{Defect, Json, Malformed, Strictness, scanner};

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
pub struct Members<'a>(Vec<Member<'a>>);

impl<'a> Members<'a> {
    /// Scans an object that is the whole of the bytes.
    ///
    /// # Errors
    /// [`Malformed`] if the bytes have no single reading or are not an object ([`Defect::Syntax`] at 0).
    pub fn parse(bytes: &'a [u8], strictness: Strictness) -> Result<Self, Malformed> {
        let part = scanner::whole::<Shallow>(bytes, strictness)?;
        part.members.map(Self).ok_or(Malformed { defect: Defect::Syntax, offset: 0 })
    }

    /// The member with this exact key.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<&Member<'a>> {
        self.0.iter().find(|member| member.key == key)
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
        &self.0
    }
}
