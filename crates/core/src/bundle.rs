//! The bundle: contracts, definitions and policies that are in force together.
//!
//! A decision takes one bundle at its start and uses nothing else, so a reload can never mix two. The catalogue
//! of what servers list at present ([`Listing`]) is kept apart: a tool can be called only while its server lists
//! exactly the definition that the contract was made for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crate::contract::Contract;
use crate::digest::{BundleDigest, Hasher, Pin};
use crate::ids::{Operation, ServerName, ToolName};
use crate::json::Json;
use crate::ports::{ArgumentSchema, Policy};

/// An operation with its contract and the schema of its pinned definition.
pub struct Tool {
    /// What the operator says it is.
    pub contract: Contract,
    /// The name of its policy action.
    pub action: String,
    /// The compiled schema; `None` for a protocol method, whose parameters the protocol defines.
    pub schema: Option<Box<dyn ArgumentSchema>>,
    /// The top-level properties that schema or contract declare. Only these are named in records.
    pub properties: BTreeSet<String>,
    /// The arguments that its definition wants to see in headers.
    pub headers: Vec<Mirrored>,
}

/// An argument that a definition wants to see in a header as well (MCP 2026-07-28, custom headers from tool parameters).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirrored {
    /// The header's name behind `Mcp-Param-`, in lower case.
    pub header: String,
    /// The names of the members that lead to the argument.
    pub path: Vec<String>,
}

impl fmt::Debug for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tool").field("action", &self.action).finish_non_exhaustive()
    }
}

/// Contracts, definitions and policies that are in force together.
pub struct Bundle {
    digest: BundleDigest,
    tools: BTreeMap<(ServerName, Operation), Arc<Tool>>,
    policy: Box<dyn Policy>,
}

impl Bundle {
    /// Puts a bundle together. The digest must cover everything that can change a decision.
    #[must_use]
    pub fn new(digest: BundleDigest, tools: impl IntoIterator<Item = Tool>, policy: Box<dyn Policy>) -> Self {
        let tools = tools
            .into_iter()
            .map(|tool| ((tool.contract.server.clone(), tool.contract.operation.clone()), Arc::new(tool)))
            .collect();
        Self { digest, tools, policy }
    }

    /// The digest of the bundle.
    #[must_use]
    pub const fn digest(&self) -> BundleDigest {
        self.digest
    }

    /// Finds an operation of a server.
    #[must_use]
    pub fn tool(&self, server: &ServerName, operation: &Operation) -> Option<&Arc<Tool>> {
        self.tools.get(&(server.clone(), operation.clone()))
    }

    /// All operations.
    pub fn tools(&self) -> impl Iterator<Item = &Arc<Tool>> {
        self.tools.values()
    }

    /// The policy.
    #[must_use]
    pub fn policy(&self) -> &dyn Policy {
        self.policy.as_ref()
    }
}

impl fmt::Debug for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bundle").field("digest", &self.digest).field("tools", &self.tools.len()).finish_non_exhaustive()
    }
}

/// The pin of a tool definition: a digest over the canonical form of all its members but `_meta`, which servers
/// may change at will and agents do not read.
#[must_use]
pub fn pin(definition: &Json<'_>) -> Pin {
    let members = definition.as_object().unwrap_or_default();
    let kept = members.iter().filter(|(key, _)| key != "_meta").cloned().collect();
    let mut hasher = Hasher::new("refmon/pin/v1");
    hasher.part(Json::Object(kept).canonical().as_bytes());
    Pin::from_bytes(hasher.finish())
}

/// What a server lists at present: tool names and the pins of their definitions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    pins: BTreeMap<ToolName, Pin>,
}

impl Listing {
    /// Takes a complete list. A name that is listed twice is left out: which one would be called is not known.
    #[must_use]
    pub fn new(tools: impl IntoIterator<Item = (ToolName, Pin)>) -> Self {
        let mut pins = BTreeMap::new();
        let mut twice = BTreeSet::new();
        for (name, pin) in tools {
            if pins.insert(name.clone(), pin).is_some() {
                twice.insert(name);
            }
        }
        pins.retain(|name, _| !twice.contains(name));
        Self { pins }
    }

    /// Whether the server lists exactly the definition that the contract was made for. A protocol method has no
    /// definition and needs no listing.
    #[must_use]
    pub fn matches(&self, contract: &Contract) -> bool {
        match &contract.operation {
            Operation::Method(_) => true,
            Operation::Tool(name) => contract.pin.is_some() && self.pins.get(name) == contract.pin.as_ref(),
        }
    }

    /// All tools that are listed once, with their pins.
    pub fn pins(&self) -> impl Iterator<Item = (&ToolName, &Pin)> {
        self.pins.iter()
    }

    /// The pin of a listed tool.
    #[must_use]
    pub fn pin(&self, name: &ToolName) -> Option<Pin> {
        self.pins.get(name).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_that_is_listed_twice_is_not_listed() {
        let name = |text| ToolName::parse(text).unwrap();
        let pin = |byte| Pin::from_bytes([byte; 32]);
        let listing = Listing::new([(name("a"), pin(1)), (name("b"), pin(2)), (name("a"), pin(3))]);
        assert_eq!(listing.pin(&name("a")), None);
        assert_eq!(listing.pin(&name("b")), Some(pin(2)));
    }
}
