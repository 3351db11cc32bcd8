//! Contracts: what the operator says a tool is.
//!
//! A contract is data. It names the tool's effects, the scopes that a caller needs, what each argument means, and
//! the digest ([`Pin`]) of the definition it was made for. What a server says about its own tools (annotations)
//! never enters it by itself.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::digest::Pin;
use crate::facts::FactType;
use crate::ids::{Operation, Scope, ServerName};

/// What running a tool does to the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Effect {
    /// Reads.
    Read,
    /// Creates or changes something that can be undone.
    Write,
    /// Deletes or overwrites. Implies [`Effect::Write`].
    Destructive,
    /// Runs code or commands.
    Execute,
    /// Changes who may do what.
    Admin,
    /// Leaves the tenant: mail, HTTP, payment.
    External,
}

impl Effect {
    /// Every effect.
    pub const ALL: [Self; 6] = [Self::Read, Self::Write, Self::Destructive, Self::Execute, Self::Admin, Self::External];

    /// The effect's name in contracts, policies and records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Destructive => "destructive",
            Self::Execute => "execute",
            Self::Admin => "admin",
            Self::External => "external",
        }
    }

    /// Finds the effect by its name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|effect| effect.as_str() == text)
    }
}

/// The effects of a tool: at least one, sorted, with implied ones added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effects(Vec<Effect>);

impl Effects {
    /// Collects effects; `None` if there are none, for a tool without a stated effect is not understood.
    #[must_use]
    pub fn new(effects: impl IntoIterator<Item = Effect>) -> Option<Self> {
        let mut all: Vec<Effect> = effects.into_iter().collect();
        if all.contains(&Effect::Destructive) {
            all.push(Effect::Write);
        }
        all.sort();
        all.dedup();
        (!all.is_empty()).then_some(Self(all))
    }

    /// The effects, sorted.
    pub fn iter(&self) -> impl Iterator<Item = Effect> + '_ {
        self.0.iter().copied()
    }

    /// Whether the tool has the effect.
    #[must_use]
    pub fn contains(&self, effect: Effect) -> bool {
        self.0.contains(&effect)
    }

    /// Whether the tool may change files that it is given the path of.
    #[must_use]
    pub fn change_files(&self) -> bool {
        self.contains(Effect::Write) || self.contains(Effect::Admin)
    }

    /// Whether the tool reads and does nothing else.
    #[must_use]
    pub fn only_reads(&self) -> bool {
        self.0 == [Effect::Read]
    }
}

/// When a call of the tool waits for a person, whatever policy says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldMode {
    /// Every call waits for the approval `operator`, even where policy would permit it.
    Always,
    /// Policy decides.
    Policy,
    /// A call that would wait is denied instead.
    Never,
}

/// What an argument is to the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Who or where.
    Target,
    /// Which thing.
    Object,
    /// How much.
    Amount,
    /// What is written or sent.
    Content,
    /// What is asked.
    Query,
    /// Anything else.
    Other,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 6] = [Self::Target, Self::Object, Self::Amount, Self::Content, Self::Query, Self::Other];

    /// The role's name in contracts.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Target => "target",
            Self::Object => "object",
            Self::Amount => "amount",
            Self::Content => "content",
            Self::Query => "query",
            Self::Other => "other",
        }
    }
}

/// A number with four digits after the point, as its value times 10,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Decimal4(pub i64);

/// What an argument means, with the limits that the contract puts on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A path in a file system; see [`crate::kinds::path`].
    Path {
        /// Folders that the path must stay in, absolute and canonical. Empty: anywhere, and policy decides.
        roots: Vec<PathBuf>,
        /// The folder that the tool resolves relative paths from, absolute. Without one, relative paths are refused:
        /// servers differ in where they start.
        base: Option<PathBuf>,
    },
    /// A URL; see [`crate::kinds::url`].
    Url {
        /// Allowed schemes.
        schemes: Vec<String>,
        /// Allowed hosts: a host or any host below it. Empty: any, and policy decides.
        hosts: Vec<String>,
        /// Whether private, loopback, link-local and metadata addresses are allowed.
        private: bool,
    },
    /// A mail address; see [`crate::kinds::mail`].
    Email {
        /// Allowed domains: exact. Empty: any, and policy decides.
        domains: Vec<String>,
    },
    /// A domain name.
    Domain {
        /// Allowed domains: a domain or any below it. Empty: any, and policy decides.
        domains: Vec<String>,
    },
    /// An amount; see [`crate::kinds::amount`].
    Amount {
        /// The largest allowed amount.
        max: Option<Decimal4>,
    },
    /// A command line; see [`crate::kinds::command`].
    Command {
        /// Allowed programs. Empty: any, and policy decides.
        programs: Vec<String>,
    },
    /// SQL; see [`crate::kinds::sql`].
    Sql {
        /// Whether anything but reading is allowed.
        write: bool,
    },
    /// An identifier: letters, digits and `- _ . : / @ + =`, at most 256 bytes.
    Id,
    /// A date or a point in time (RFC 3339).
    When,
    /// Free text that the tool stores or sends.
    Content,
    /// Free text that the tool searches with.
    Query,
    /// A switch.
    Flag,
    /// Free text of no particular meaning.
    Text,
}

impl Kind {
    /// Whether a value is only measured, and not parsed.
    #[must_use]
    pub const fn is_free(&self) -> bool {
        matches!(self, Self::Content | Self::Query | Self::Text | Self::Flag | Self::Amount { .. })
    }

    /// The kind's name in contracts.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Path { .. } => "path",
            Self::Url { .. } => "url",
            Self::Email { .. } => "email",
            Self::Domain { .. } => "domain",
            Self::Amount { .. } => "amount",
            Self::Command { .. } => "command",
            Self::Sql { .. } => "sql",
            Self::Id => "id",
            Self::When => "when",
            Self::Content => "content",
            Self::Query => "query",
            Self::Flag => "flag",
            Self::Text => "text",
        }
    }
}

/// Which argument a rule is about: member names from the root of the arguments, where `[]` stands for every
/// element of a list. Written `path`, `paths[]`, `edits[].newText`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ArgumentPath {
    text: String,
    steps: Vec<Step>,
}

/// One step of an [`ArgumentPath`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// A member of an object.
    Member(String),
    /// Every element of a list.
    Each,
}

impl ArgumentPath {
    /// Parses the path; `None` if it is empty or has an empty member.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut steps = Vec::new();
        for part in text.split('.') {
            let mut name = part;
            let mut each = 0usize;
            while let Some(shorter) = name.strip_suffix("[]") {
                name = shorter;
                each = each.saturating_add(1);
            }
            if name.is_empty() {
                return None;
            }
            steps.push(Step::Member(name.to_owned()));
            steps.extend(std::iter::repeat_n(Step::Each, each));
        }
        Some(Self { text: text.to_owned(), steps })
    }

    /// The path as the contract spells it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The steps from the root of the arguments.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Whether the path can stand for several values.
    #[must_use]
    pub fn is_many(&self) -> bool {
        self.steps.contains(&Step::Each)
    }
}

/// What the contract says about one argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArgumentRule {
    /// Which argument.
    pub path: ArgumentPath,
    /// What it means.
    pub kind: Kind,
    /// What it is to the call.
    pub role: Role,
}

impl ArgumentRule {
    /// The names and types of the facts that this rule yields: for a single value as listed by
    /// [`crate::kinds`], for several values their union, and always `count`.
    #[must_use]
    pub fn fact_types(&self) -> Vec<(&'static str, FactType)> {
        crate::kinds::fact_types(&self.kind, self.path.is_many())
    }
}

/// What the operator says about one operation of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contract {
    /// The server.
    pub server: ServerName,
    /// The operation.
    pub operation: Operation,
    /// The version of the server's contract file.
    pub version: u32,
    /// The definition that the contract was made for; `None` for a protocol method, which has none.
    pub pin: Option<Pin>,
    /// What running it does.
    pub effects: Effects,
    /// Scopes that a caller must hold, all of them.
    pub required_scopes: Vec<Scope>,
    /// When a call waits for a person.
    pub hold: HoldMode,
    /// Whether properties that the tool's schema does not declare are let through.
    pub undeclared: bool,
    /// What the arguments mean, by path.
    pub arguments: BTreeMap<ArgumentPath, ArgumentRule>,
}

impl Contract {
    /// The name of the policy action: `server/operation@version`.
    #[must_use]
    pub fn action(&self) -> String {
        format!("{}/{}@{}", self.server, self.operation, self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destructive_implies_write_and_nothing_is_not_a_contract() {
        let effects = Effects::new([Effect::Destructive]).unwrap();
        assert!(effects.contains(Effect::Write));
        assert!(!effects.only_reads());
        assert_eq!(Effects::new([]), None);
        assert!(!Effects::new([Effect::Read, Effect::External]).unwrap().only_reads());
    }

    #[test]
    fn an_argument_path_is_parsed_strictly() {
        let path = ArgumentPath::parse("edits[].newText").unwrap();
        assert_eq!(path.steps(), [Step::Member("edits".into()), Step::Each, Step::Member("newText".into())]);
        assert!(path.is_many());
        for text in ["", ".a", "a.", "a..b", "[]", "a.[]"] {
            assert_eq!(ArgumentPath::parse(text), None, "{text:?}");
        }
    }
}
