//! Asking a server what it offers, before there is a contract: for `refmon init` and `refmon contract`.
//!
//! Nothing is called. The answers are untrusted text: names, descriptions and annotations are claims.

use std::io::{self, BufReader, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use refmon_core::json::{Members, Strictness};
use refmon_core::limits;
use serde_json::{Value, json};

use crate::child::{Launch, Server};
use crate::definitions::{Definition, Page};
use crate::frame::{self, Frame};
use crate::message::{Kind, Message};

/// How long a server may take for one answer.
const ANSWER_WAIT: Duration = Duration::from_secs(60);
/// Messages that are read while waiting for one answer.
const MESSAGES_MAX: usize = 1_000;
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

/// Starts a server, asks for its capabilities and tools, and ends it.
///
/// # Errors
/// [`ProbeError`] says at which step it failed.
pub fn ask(launch: &Launch, errors_to: impl FnMut(&str) + Send + 'static) -> Result<Offer, ProbeError> {
    let mut server = Server::start(launch)?;
    let (input, output, errors) = server.streams()?;
    let (sender, messages) = channel();
    std::thread::spawn(move || {
        let mut output = BufReader::new(output);
        while let Ok(Frame::Line(line)) = frame::read(&mut output) {
            // A line that is no message is not an answer.
            let Ok(message) = Message::parse(line, Strictness::Data) else { continue };
            if sender.send(message).is_err() {
                return;
            }
        }
    });
    let mut errors_to = errors_to;
    std::thread::spawn(move || crate::stdio::read_errors(errors, &mut errors_to));
    let mut peer = Peer { input, messages, number: 0, meta: None };
    let offer = peer.offer();
    drop(peer);
    server.wait()?;
    offer
}

struct Peer<W> {
    input: W,
    messages: Receiver<Message>,
    number: u64,
    /// `_meta` of every request, from 2026-07-28 on.
    meta: Option<Value>,
}

impl<W: Write> Peer<W> {
    fn offer(&mut self) -> Result<Offer, ProbeError> {
        let client = json!({ "name": "refmon", "version": env!("CARGO_PKG_VERSION") });
        // Servers list some tools only to clients that can be asked; what they then ask is answered with an error.
        let can = json!({ "elicitation": {}, "sampling": {}, "roots": {} });
        let hello = json!({ "protocolVersion": "2025-11-25", "capabilities": can, "clientInfo": client });
        let first = self.request("initialize", hello)?;
        let answer = if matches!(first.kind, Kind::Result(_)) {
            self.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }))?;
            first
        } else {
            self.meta = Some(json!({
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientInfo": client,
                "io.modelcontextprotocol/clientCapabilities": can,
            }));
            self.request("server/discover", json!({}))?
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

    fn send(&mut self, message: &Value) -> io::Result<()> {
        writeln!(self.input, "{message}")?;
        self.input.flush()
    }

    fn request(&mut self, method: &'static str, mut params: Value) -> Result<Message, ProbeError> {
        self.number = self.number.saturating_add(1);
        if let (Some(meta), Some(members)) = (&self.meta, params.as_object_mut()) {
            members.insert("_meta".to_owned(), meta.clone());
        }
        let number = self.number;
        self.send(&json!({ "jsonrpc": "2.0", "id": number, "method": method, "params": params }))?;
        for _ in 0..MESSAGES_MAX {
            let message = self.messages.recv_timeout(ANSWER_WAIT).map_err(|error| match error {
                RecvTimeoutError::Timeout => ProbeError::Silent(method),
                RecvTimeoutError::Disconnected => ProbeError::Ended(method),
            })?;
            match &message.kind {
                Kind::Result(id) | Kind::Error(Some(id)) if id.canonical == number.to_string() => return Ok(message),
                Kind::Request(_, id) => {
                    let id: Value = serde_json::from_str(&id.canonical).unwrap_or_default();
                    let error = json!({ "code": -32_601, "message": "not offered" });
                    self.send(&json!({ "jsonrpc": "2.0", "id": id, "error": error }))?;
                }
                _ => {}
            }
        }
        Err(ProbeError::Silent(method))
    }
}
