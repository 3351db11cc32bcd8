//! A client up to 2025-11-25 in front of a server from 2026-07-28 on.
//!
//! The older client's request gets what the newer era wants to know of the client with each request. If the answer is
//! `input_required`, the client is asked with requests of its own era, and the call is sent again with what it
//! answered; it is judged again, too.

use std::sync::Arc;

use http::HeaderMap;
use refmon_core::json::{Members, Strictness};
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, oneshot};

use super::asked::PATIENCE;
use super::bridge::insert;
use super::client::{Client, Edits, LEVEL_BYTES_MAX, Out};
use super::reach::Connected;
use crate::message::{Kind, Message};

/// Rounds of questions in one call.
const ROUNDS_MAX: usize = 16;

impl Client {
    /// The handshake of the older era, from what a newer server told of itself.
    pub(super) fn introduced(&self, connected: &Connected, asked: &str) -> String {
        let hello = &connected.hello;
        let value = |key: &str| hello.value(key).and_then(|value| serde_json::from_slice::<Value>(value).ok());
        let info = hello
            .members("_meta")
            .value("io.modelcontextprotocol/serverInfo")
            .and_then(|info| serde_json::from_slice(info).ok());
        let mut result = Map::new();
        result.insert("protocolVersion".to_owned(), json!(super::lists::known_or_newest(asked)));
        result.insert("capabilities".to_owned(), value("capabilities").unwrap_or_else(|| json!({})));
        result.insert("serverInfo".to_owned(), info.unwrap_or_else(super::lists::server_info));
        if let Some(text) = value("instructions") {
            result.insert("instructions".to_owned(), text);
        }
        Value::Object(result).to_string()
    }

    pub(super) async fn to_newer(
        self: &Arc<Self>,
        connected: &Arc<Connected>,
        message: &Message,
        edits: Edits,
        out: &mpsc::Sender<Out>,
    ) {
        let Kind::Request(method, id) = &message.kind else { return };
        match method.as_str() {
            "ping" => return self.result(id, "{}", out).await,
            "logging/setLevel" => {
                *self.log_level() = message.text("level").filter(|level| level.len() <= LEVEL_BYTES_MAX);
                return self.result(id, "{}", out).await;
            }
            "resources/subscribe" | "resources/unsubscribe" => {
                return self.subscribe_at(&[(0, Arc::clone(connected))], message, out).await;
            }
            _ => {}
        }
        if let Some(answer) = self.ask_newer(connected, message, edits, out).await {
            let restored = answer.with(vec![(answer.id.clone(), id.spelled.clone())]);
            self.last(restored, out).await;
        }
    }

    /// Asks a newer server, and the client what that wants to know. `None` if the client has been answered already, or
    /// wants no answer any more.
    pub(super) async fn ask_newer(
        self: &Arc<Self>,
        connected: &Arc<Connected>,
        message: &Message,
        edits: Edits,
        out: &mpsc::Sender<Out>,
    ) -> Option<Message> {
        let Kind::Request(_, id) = &message.kind else { return None };
        let (mut more, mut round) = (String::new(), 0);
        loop {
            let mut edits = edits.clone();
            edits.extend(self.with_envelope(message, &more));
            let mut exchange = connected.peer.ask(message, edits, HeaderMap::new()).await;
            self.under_way().insert(id.canonical.clone(), (Arc::clone(&connected.peer), exchange.ticket));
            let answer = self.follow(&connected.peer, &mut exchange, out).await;
            self.under_way().remove(&id.canonical);
            let answer = answer?;
            round += 1;
            if answer.text("resultType").as_deref() != Some("input_required") || round > ROUNDS_MAX {
                return Some(answer);
            }
            let Some(answers) = self.question(&answer, out).await else {
                self.fail(message, "the client did not answer what the tool server asked", out).await;
                return None;
            };
            more = format!(r#""inputResponses":{answers}"#);
            if let Some(state) = answer.value("requestState") {
                more.push_str(&format!(r#","requestState":{}"#, String::from_utf8_lossy(state)));
            }
        }
    }

    /// Asks the client what a newer server wants to know, and gives the answers under the server's keys.
    async fn question(&self, answer: &Message, out: &mpsc::Sender<Out>) -> Option<String> {
        let requests = answer.members("inputRequests");
        let mut waiting = Vec::new();
        for request in requests.all() {
            let members = Members::parse(request.value, Strictness::Data).ok()?;
            let (method, params) = (members.text("method")?, members.value("params").unwrap_or(b"{}"));
            let (sender, answered) = oneshot::channel();
            let id = self.ask_client(sender)?;
            let text = format!(
                r#"{{"jsonrpc":"2.0","id":{id},"method":{},"params":{}}}"#,
                json!(method),
                String::from_utf8_lossy(params)
            );
            out.send(Out::Event(text.into_bytes().into())).await.ok()?;
            waiting.push((request.key.to_string(), answered));
        }
        let mut answers = Vec::new();
        for (key, answered) in waiting {
            let message = tokio::time::timeout(PATIENCE, answered).await.ok()?.ok()?;
            if !matches!(message.kind, Kind::Result(_)) {
                return None;
            }
            let result = message.bytes.get(message.body.clone())?;
            answers.push(format!("{}:{}", json!(key), String::from_utf8_lossy(result)));
        }
        Some(format!("{{{}}}", answers.join(",")))
    }

    /// What a request of the newer era says of its client, and more members of its parameters.
    pub(super) fn with_envelope(&self, message: &Message, more: &str) -> Edits {
        let envelope = self.envelope();
        let comma = if more.is_empty() { "" } else { "," };
        let meta = message.span("_meta");
        if !meta.is_empty() {
            let mut edits = insert(message, &meta, &envelope);
            edits.extend(insert(message, &message.body, more));
            return edits;
        }
        let members = format!(r#""_meta":{{{envelope}}}{comma}{more}"#);
        if message.body.is_empty() {
            let end = message.bytes.iter().rposition(|&byte| byte == b'}').unwrap_or_default();
            return vec![(end..end, format!(r#","params":{{{members}}}"#).into_bytes())];
        }
        insert(message, &message.body, &members)
    }

    /// The members of `_meta` of every request to a newer server.
    pub(super) fn envelope(&self) -> String {
        let own = |key: &str, otherwise: Value| {
            let value = self
                .hello()
                .and_then(|hello| hello.value(key))
                .map(|value| String::from_utf8_lossy(value).into_owned());
            value.unwrap_or_else(|| otherwise.to_string())
        };
        let mut envelope = format!(
            r#""io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{},"io.modelcontextprotocol/clientCapabilities":{}"#,
            own("clientInfo", super::lists::server_info()),
            own("capabilities", json!({}))
        );
        if let Some(level) = self.log_level().as_ref() {
            envelope.push_str(&format!(r#","io.modelcontextprotocol/logLevel":{}"#, json!(level)));
        }
        envelope
    }
}
