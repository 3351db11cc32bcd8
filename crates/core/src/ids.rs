//! Identifiers: one newtype per kind of thing, each with a private field and one parser.
//!
//! An identifier is never empty, never longer than [`limits::ID_BYTES_MAX`], and consists of printable ASCII
//! without quotes, backslashes and spaces, so that it can stand in a log line, a policy or a path of the
//! journal without escaping. Tool names come from strangers and follow the same rule; a tool whose name does
//! not parse is never listed and cannot be called.

use std::fmt;

use crate::limits;

/// An identifier that could not be parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdError {
    /// The identifier is empty.
    Empty,
    /// The identifier is longer than [`limits::ID_BYTES_MAX`].
    TooLong,
    /// A byte is outside the allowed alphabet.
    Alphabet,
}

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "an identifier must not be empty",
            Self::TooLong => "an identifier must be at most 256 bytes long",
            Self::Alphabet => {
                "an identifier consists of ASCII letters, digits and `! # $ % & ( ) * + , - . / : ; < = > ? @ [ ] ^ _ { | } ~`"
            }
        })
    }
}

impl std::error::Error for IdError {}

fn parse(text: &str) -> Result<Box<str>, IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > limits::ID_BYTES_MAX {
        return Err(IdError::TooLong);
    }
    let allowed = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'\\' | b'`');
    if text.bytes().all(allowed) { Ok(text.into()) } else { Err(IdError::Alphabet) }
}

macro_rules! identifier {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Box<str>);

        impl $name {
            /// Parses the identifier.
            ///
            /// # Errors
            /// [`IdError`] if the text is empty, too long or outside the alphabet.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                parse(text).map(Self)
            }

            /// The identifier as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

identifier! {
    /// A tenant: the unit that never meets another one.
    TenantId;
    /// A person, as the identity provider names them.
    UserId;
    /// An agent: the program that asks.
    AgentId;
    /// A tool server, as the operator names it in the configuration.
    ServerName;
    /// A tool, as its server names it.
    ToolName;
    /// A scope that a caller holds and a tool requires.
    Scope;
    /// A policy, by its `@id`.
    PolicyId;
    /// A kind of approval, such as `operator`.
    ApprovalKind;
}

macro_rules! random_id {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; 16]);

        impl $name {
            /// Makes an identifier from its 16 bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// A UUID version 7 (RFC 9562, section 5.7) from Unix milliseconds and random bytes.
            #[must_use]
            pub fn uuid_v7(unix_ms: u64, random: [u8; 10]) -> Self {
                let [_, _, t0, t1, t2, t3, t4, t5] = unix_ms.to_be_bytes();
                let [r0, r1, r2, r3, r4, r5, r6, r7, r8, r9] = random;
                Self([
                    t0, t1, t2, t3, t4, t5,
                    0x70 | (r0 & 0x0f), r1,
                    0x80 | (r2 & 0x3f), r3, r4, r5, r6, r7, r8, r9,
                ])
            }

            /// Parses the form that [`fmt::Display`] prints (RFC 9562, section 4), in lower or upper case.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                parse_uuid(text).map(Self)
            }

            /// The 16 bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                for (index, byte) in self.0.iter().enumerate() {
                    if matches!(index, 4 | 6 | 8 | 10) {
                        f.write_str("-")?;
                    }
                    write!(f, "{byte:02x}")?;
                }
                Ok(())
            }
        }
    )*};
}

fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let bytes = text.as_bytes();
    if bytes.len() != 36 {
        return None;
    }
    let mut digits = Vec::with_capacity(32);
    for (index, &byte) in bytes.iter().enumerate() {
        match index {
            8 | 13 | 18 | 23 if byte == b'-' => {}
            8 | 13 | 18 | 23 => return None,
            _ => digits.push(u8::try_from(char::from(byte).to_digit(16)?).ok()?),
        }
    }
    let mut out = [0u8; 16];
    for (slot, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        if let [high, low] = pair {
            *slot = (high << 4) | low;
        }
    }
    Some(out)
}

random_id! {
    /// One attempt to call a tool.
    CallId;
    /// A call that waits for a person, and the approval that may come of it.
    HoldId;
    /// Scopes that a person gave for a time.
    GrantId;
    /// One run of an agent, whose reads accumulate.
    TrajectoryId;
    /// A random name for a person in the evidence. Who it stands for is kept elsewhere and can be erased.
    SubjectHandle;
}

/// What a call asks for: a tool, or a protocol method that acts by itself (reading a resource, sampling).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// `tools/call` with this name.
    Tool(ToolName),
    /// Another method of the protocol, such as `resources/read`.
    Method(Method),
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tool(name) => name.fmt(f),
            Self::Method(method) => method.fmt(f),
        }
    }
}

/// A method of the Model Context Protocol that is judged like a tool. A closed list: another method has no
/// value of this type and therefore cannot be permitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Method {
    /// `resources/list`
    ResourcesList,
    /// `resources/templates/list`
    ResourceTemplatesList,
    /// `resources/read`
    ResourcesRead,
    /// `resources/subscribe`
    ResourcesSubscribe,
    /// `prompts/list`
    PromptsList,
    /// `prompts/get`
    PromptsGet,
    /// `completion/complete`
    CompletionComplete,
    /// `tasks/get`
    TasksGet,
    /// `tasks/result`
    TasksResult,
    /// `tasks/list`
    TasksList,
    /// `tasks/cancel`
    TasksCancel,
    /// `tasks/update`
    TasksUpdate,
    /// `sampling/createMessage`, asked by a server
    SamplingCreateMessage,
    /// `elicitation/create`, asked by a server
    ElicitationCreate,
    /// `roots/list`, asked by a server
    RootsList,
}

impl Method {
    /// Every method that is judged.
    pub const ALL: [Self; 15] = [
        Self::ResourcesList,
        Self::ResourceTemplatesList,
        Self::ResourcesRead,
        Self::ResourcesSubscribe,
        Self::PromptsList,
        Self::PromptsGet,
        Self::CompletionComplete,
        Self::TasksGet,
        Self::TasksResult,
        Self::TasksList,
        Self::TasksCancel,
        Self::TasksUpdate,
        Self::SamplingCreateMessage,
        Self::ElicitationCreate,
        Self::RootsList,
    ];

    /// The method's name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ResourcesList => "resources/list",
            Self::ResourceTemplatesList => "resources/templates/list",
            Self::ResourcesRead => "resources/read",
            Self::ResourcesSubscribe => "resources/subscribe",
            Self::PromptsList => "prompts/list",
            Self::PromptsGet => "prompts/get",
            Self::CompletionComplete => "completion/complete",
            Self::TasksGet => "tasks/get",
            Self::TasksResult => "tasks/result",
            Self::TasksList => "tasks/list",
            Self::TasksCancel => "tasks/cancel",
            Self::TasksUpdate => "tasks/update",
            Self::SamplingCreateMessage => "sampling/createMessage",
            Self::ElicitationCreate => "elicitation/create",
            Self::RootsList => "roots/list",
        }
    }

    /// Finds the method by its exact name on the wire.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == text)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_never_empty_long_or_strange() {
        assert_eq!(TenantId::parse(""), Err(IdError::Empty));
        assert_eq!(TenantId::parse(&"a".repeat(257)), Err(IdError::TooLong));
        for text in ["a b", "a\n", "a\"", "ä", "a\u{0}", "a\\b", "a`b"] {
            assert_eq!(ToolName::parse(text), Err(IdError::Alphabet), "{text:?}");
        }
        assert_eq!(ToolName::parse("read_text-file.v2/x").unwrap().as_str(), "read_text-file.v2/x");
    }

    #[test]
    fn a_uuid_prints_and_parses_and_carries_its_time() {
        let id = CallId::uuid_v7(0x0123_4567_89ab, [0xff; 10]);
        assert_eq!(id.to_string(), "01234567-89ab-7fff-bfff-ffffffffffff");
        assert_eq!(CallId::parse(&id.to_string()), Some(id));
        for text in [
            "",
            "01234567-89ab-7fff-bfff-fffffffffff",
            "01234567089ab-7fff-bfff-ffffffffffff",
            "g1234567-89ab-7fff-bfff-ffffffffffff",
        ] {
            assert_eq!(CallId::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn only_listed_methods_have_a_value() {
        for method in Method::ALL {
            assert_eq!(Method::parse(method.as_str()), Some(method));
        }
        assert_eq!(Method::parse("Resources/read"), None);
        assert_eq!(Method::parse("tools/call"), None);
    }
}
