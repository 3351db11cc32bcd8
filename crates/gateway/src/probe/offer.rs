//! The conversation with a server, whatever the way to it.

use std::io;

use refmon_core::json::{Members, Strictness};
use refmon_core::limits;
use serde_json::{Value, json};

use super::{child, remote};
use crate::definitions::{Definition, Page};
use crate::link::Reach;
use crate::message::{Kind, Message};

/// Pages of one list.
const PAGES_MAX: usize = 64;

/// Why a server could not be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// The server does not start or does not take messages.
    #[error("the server cannot be started or spoken to")]
    Io(#[from] io::Error),
    /// The server did not answer in time.
    #[error("the server did not answer `{0}` within 60 seconds")]
    Silent(&'static str),
    /// The server ended.
    #[error("the server ended before it answered `{0}`; run the command by itself to see why")]
    Ended(&'static str),
    /// The server answered with something else.
    #[error("the server's answer to `{0}` is not what MCP says it should be")]
    Answer(&'static str),
    /// There is no way to the server's URL.
    #[error("the server cannot be reached at its `url`")]
    Unreachable(#[source] io::Error),
    /// The server wants another credential, or one at all.
    #[error("the server turns this away with HTTP status {0}: it wants a credential in a header, or another one")]
    Credential(u16),
    /// What answers at the URL is something else.
    #[error("what answers at the `url` does not speak MCP over HTTP: status {status}, {kind}")]
    NotMcp {
        /// The status of its answer.
        status: u16,
        /// The media type of its answer.
        kind: String,
    },
}

/// What a server offers.
#[derive(Debug)]
pub struct Offer {
    /// Its tools.
    pub tools: Vec<Definition>,
    /// The names of its capabilities, such as `resources`.
    pub capabilities: Vec<String>,
    /// The protocol version it speaks.
    pub version: String,
}

/// Asks a server for its capabilities and tools. A command is started for it, and ended; what it writes to its standard
/// error goes to `errors_to`.
///
/// # Errors
/// [`ProbeError`] says at which step it failed.
pub fn ask(reach: &Reach, errors_to: impl FnMut(&str) + Send + 'static) -> Result<Offer, ProbeError> {
    match reach {
        Reach::Command(launch) => child::ask(launch, errors_to),
        Reach::Remote(server) => remote::ask(server),
    }
}

/// The way to a server.
pub(super) trait Wire {
    /// Sends a notification.
    fn notify(&mut self, message: &Value) -> Result<(), ProbeError>;
    /// Sends a request and gives its answer. What the server asks meanwhile is refused.
    fn request(&mut self, method: &'static str, number: u64, message: &Value) -> Result<Message, ProbeError>;
}

/// The refusal of whatever a server asks.
pub(super) fn refusal(request: &Message) -> Option<Value> {
    let Kind::Request(_, id) = &request.kind else { return None };
    let id: Value = serde_json::from_str(&id.canonical).unwrap_or_default();
    Some(json!({ "jsonrpc": "2.0", "id": id, "error": { "code": -32_601, "message": "not offered" } }))
}

/// Asks for everything over a way.
pub(super) fn of(wire: &mut impl Wire) -> Result<Offer, ProbeError> {
    Asking { wire, number: 0, meta: None }.offer()
}

struct Asking<'w, W> {
    wire: &'w mut W,
    number: u64,
    /// `_meta` of every request, from 2026-07-28 on.
    meta: Option<Value>,
}

impl<W: Wire> Asking<'_, W> {
    fn offer(&mut self) -> Result<Offer, ProbeError> {
        let client = json!({ "name": "refmon", "version": env!("CARGO_PKG_VERSION") });
        // Servers list some tools only to clients that can be asked; what they then ask is answered with an error.
        let can = json!({ "elicitation": {}, "sampling": {}, "roots": {} });
        let hello = json!({ "protocolVersion": "2025-11-25", "capabilities": can, "clientInfo": client });
        let first = match self.request("initialize", hello) {
            Ok(first) if matches!(first.kind, Kind::Result(_)) => Ok(first),
            Ok(_) => Err(None),
            // A server from 2026-07-28 on may refuse the older handshake in any words.
            Err(error @ ProbeError::NotMcp { .. }) => Err(Some(error)),
            Err(error) => return Err(error),
        };
        let answer = match first {
            Ok(first) => {
                self.wire.notify(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }))?;
                first
            }
            Err(refused) => {
                self.meta = Some(json!({
                    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                    "io.modelcontextprotocol/clientInfo": client,
                    "io.modelcontextprotocol/clientCapabilities": can,
                }));
                let discovered = self.request("server/discover", json!({}));
                discovered.map_err(|error| refused.unwrap_or(error))?
            }
        };
        let capabilities = answer.value("capabilities").ok_or(ProbeError::Answer("initialize"))?;
        let capabilities =
            Members::parse(capabilities, Strictness::Data).map_err(|_| ProbeError::Answer("initialize"))?;
        let version = answer.text("protocolVersion").unwrap_or_else(|| "2026-07-28".to_owned());
        let names: Vec<String> = capabilities.all().iter().map(|member| member.key.to_string()).collect();
        let tools = if names.iter().any(|name| name == "tools") { self.tools()? } else { Vec::new() };
        Ok(Offer { tools, capabilities: names, version })
    }

    fn tools(&mut self) -> Result<Vec<Definition>, ProbeError> {
        let (mut tools, mut cursor) = (Vec::new(), None::<String>);
        for _ in 0..PAGES_MAX {
            let params = cursor.take().map_or_else(|| json!({}), |cursor| json!({ "cursor": cursor }));
            let answer = self.request("tools/list", params)?;
            let page = Page::read(&answer).ok_or(ProbeError::Answer("tools/list"))?;
            tools.extend(page.tools);
            if page.next.is_none() || tools.len() > limits::TOOLS_MAX {
                return Ok(tools);
            }
            cursor = page.next;
        }
        Err(ProbeError::Answer("tools/list"))
    }

    fn request(&mut self, method: &'static str, mut params: Value) -> Result<Message, ProbeError> {
        self.number = self.number.saturating_add(1);
        if let (Some(meta), Some(members)) = (&self.meta, params.as_object_mut()) {
            members.insert("_meta".to_owned(), meta.clone());
        }
        let message = json!({ "jsonrpc": "2.0", "id": self.number, "method": method, "params": params });
        self.wire.request(method, self.number, &message)
    }
}
