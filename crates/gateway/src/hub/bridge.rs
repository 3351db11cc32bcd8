//! A client from 2026-07-28 on in front of a server up to 2025-11-25.
//!
//! The newer client's call to an older server goes out as it is. If the server asks its client something on the way,
//! the call is *parked* and the client gets `input_required` with a handle; its retry with the answers goes on with the very
//! call that is under way. The handle is random, known to this client only, good for one retry of the same request, and
//! for ten minutes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderMap;
use refmon_core::digest::Hasher;
use refmon_core::json::{Json, Members, Strictness};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use super::asked::Waits;
use super::client::{Client, Edits, Out};
use super::peer::{Event, Exchange};
use super::reach::Connected;
use crate::message::{Kind, Message};
use crate::reply::Reply;

/// How handles begin.
const HANDLE: &str = "refmon-";
/// Results that say how long they may be cached (MCP 2026-07-28, caching).
const CACHED: &[&str] = &["tools/list", "prompts/list", "resources/list", "resources/templates/list", "resources/read"];

/// A call of a newer client that waits for its client's answer to an older server's request.
pub(super) struct Parked {
    exchange: Exchange,
    connected: Arc<Connected>,
    request: Message,
    digest: [u8; 32],
}

/// What a request of a server needs of its client.
fn capability(method: &str) -> Option<&'static str> {
    match method {
        "elicitation/create" => Some("elicitation"),
        "sampling/createMessage" => Some("sampling"),
        "roots/list" => Some("roots"),
        _ => None,
    }
}

/// What a retry must have in common with the request that it retries: all but the answers and the envelope.
fn digest(message: &Message) -> [u8; 32] {
    let mut hasher = Hasher::new("refmon/parked/v1");
    if let Kind::Request(method, _) = &message.kind {
        hasher.part(method.as_bytes());
    }
    for key in ["name", "uri", "arguments"] {
        let value = message.value(key).and_then(|value| Json::parse_with(value, Strictness::Data).ok());
        hasher.part(value.map(|value| value.canonical()).unwrap_or_default().as_bytes());
    }
    hasher.finish()
}

// === a newer client, an older server ===

impl Client {
    pub(super) async fn to_older(
        self: &Arc<Self>,
        connected: &Arc<Connected>,
        message: &Message,
        edits: Edits,
        out: &mpsc::Sender<Out>,
    ) {
        let Kind::Request(method, id) = &message.kind else { return };
        match method.as_str() {
            "server/discover" => return self.result(id, &discovered(&connected.hello), out).await,
            "subscriptions/listen" => {
                return self.listen_to(&[(0, Arc::clone(connected))], message, id, out).await;
            }
            _ => {}
        }
        if message.span("requestState").is_empty() {
            if let Some(level) = log_level(message)
                && connected.hello.members("capabilities").find("logging").is_some()
            {
                let mut set = connected.peer.request("logging/setLevel", &json!({ "level": level }).to_string()).await;
                drop(tokio::time::timeout(Duration::from_secs(5), &mut set.answer).await);
            }
            let exchange = connected.peer.ask(message, edits, HeaderMap::new()).await;
            self.touch();
            return self.go_on(Arc::clone(connected), exchange, message, out).await;
        }
        let Some(waits) = self.unpark(message) else {
            let reply = Reply::protocol_error(Some(id), -32_602, "the request state is not one that waits here", None);
            return drop(out.send(Out::Last(reply.into_bytes().into())).await);
        };
        let answers = message.members("inputResponses");
        let Some(answer) = answers.value(&key(&waits.what.request)) else {
            // What is missing is asked for again, and has no more time for it.
            return self.park(waits, message, out).await;
        };
        let parked = waits.what;
        let spelled = parked.request.bytes.get(parked.request.id.clone()).unwrap_or_default();
        let answered = [b"{\"jsonrpc\":\"2.0\",\"id\":", spelled, b",\"result\":", answer, b"}"].concat();
        parked.connected.peer.submit(answered);
        self.go_on(parked.connected, parked.exchange, message, out).await;
    }

    /// Follows a call until it is answered or its server asks something.
    async fn go_on(
        self: &Arc<Self>,
        connected: Arc<Connected>,
        mut exchange: Exchange,
        message: &Message,
        out: &mpsc::Sender<Out>,
    ) {
        let Kind::Request(method, id) = &message.kind else { return };
        let wants_log = log_level(message).is_some();
        loop {
            tokio::select! {
                biased;
                Some(event) = exchange.events.recv() => match event {
                    Event::Notification(bytes) => {
                        let log = bytes.windows(23).any(|window| window == b"\"notifications/message\"");
                        if !log || wants_log {
                            self.event(bytes, out).await;
                        }
                    }
                    Event::Request(request) => {
                        let able = message.members("_meta").value("io.modelcontextprotocol/clientCapabilities").map(<[u8]>::to_vec);
                        if can(able.as_deref(), &request) {
                            let parked = Parked { exchange, connected, digest: digest(message), request };
                            return self.park(Waits::since(parked, Instant::now()), message, out).await;
                        }
                        connected.peer.submit(refusal(&request));
                    }
                },
                answer = &mut exchange.answer => {
                    let Ok(answer) = answer else { return };
                    let mut edits = vec![(answer.id.clone(), id.spelled.clone())];
                    edits.extend(completed(&answer, method));
                    return self.last(answer.with(edits), out).await;
                }
                () = out.closed() => return,
            }
        }
    }

    async fn park(&self, waits: Waits<Parked>, message: &Message, out: &mpsc::Sender<Out>) {
        let request = &waits.what.request;
        let Kind::Request(method, _) = &request.kind else { return };
        let Ok(handle) = self.handle() else { return self.fail(message, "unavailable; try again later", out).await };
        let params = request.bytes.get(request.body.clone()).filter(|params| !params.is_empty()).unwrap_or(b"{}");
        let Kind::Request(_, id) = &message.kind else { return };
        let result = format!(
            r#"{{"resultType":"input_required","inputRequests":{{{}:{{"method":{},"params":{}}}}},"requestState":"{handle}"}}"#,
            json!(key(request)),
            json!(method),
            String::from_utf8_lossy(params)
        );
        let full = !self.parked().put(handle, waits);
        if full {
            return self.fail(message, "too many calls wait for answers; answer some first", out).await;
        }
        self.result(id, &result, out).await;
    }

    /// Takes the call that a handle stands for, if the request is the one that it was given for.
    fn unpark(&self, message: &Message) -> Option<Waits<Parked>> {
        let handle = message.text("requestState")?;
        self.parked().take(&handle, Instant::now(), |parked| parked.digest == digest(message))
    }

    fn handle(&self) -> Result<String, refmon_core::ports::Fault> {
        let mut random = [0u8; 32];
        self.parts().entropy.fill(&mut random)?;
        Ok(random.iter().fold(HANDLE.to_owned(), |text, byte| format!("{text}{byte:02x}")))
    }
}

/// The key under which a server's request is put to a newer client.
fn key(request: &Message) -> String {
    let id = String::from_utf8_lossy(request.bytes.get(request.id.clone()).unwrap_or_default()).into_owned();
    format!("request-{}", id.trim_matches('"'))
}

fn can(capabilities: Option<&[u8]>, request: &Message) -> bool {
    let Kind::Request(method, _) = &request.kind else { return false };
    let members = capabilities.and_then(|able| Members::parse(able, Strictness::Data).ok()).unwrap_or_default();
    capability(method).is_some_and(|needed| members.find(needed).is_some())
}

pub(super) fn refusal(request: &Message) -> Vec<u8> {
    let id = request.bytes.get(request.id.clone()).unwrap_or_default();
    let error = br#","error":{"code":-32601,"message":"the client cannot do this"}}"#;
    [b"{\"jsonrpc\":\"2.0\",\"id\":", id, error].concat()
}

fn log_level(message: &Message) -> Option<String> {
    message.members("_meta").text("io.modelcontextprotocol/logLevel").map(std::borrow::Cow::into_owned)
}

/// What a result of the newer era has and one of the older era lacks.
pub(super) fn completed(answer: &Message, method: &str) -> Edits {
    let body = answer.bytes.get(answer.body.clone()).unwrap_or_default();
    if !matches!(answer.kind, Kind::Result(_)) || !body.starts_with(b"{") {
        return Vec::new();
    }
    let mut missing = Vec::new();
    if answer.span("resultType").is_empty() {
        missing.push(r#""resultType":"complete""#);
    }
    if CACHED.contains(&method) && answer.span("ttlMs").is_empty() {
        missing.push(r#""ttlMs":0"#);
    }
    if CACHED.contains(&method) && answer.span("cacheScope").is_empty() {
        missing.push(r#""cacheScope":"private""#);
    }
    insert(answer, &answer.body, &missing.join(","))
}

/// Puts members at the beginning of an object.
pub(super) fn insert(message: &Message, object: &std::ops::Range<usize>, members: &str) -> Edits {
    let body = message.bytes.get(object.clone()).unwrap_or_default();
    let empty = body.get(1..body.len().saturating_sub(1)).is_none_or(|inner| inner.trim_ascii().is_empty());
    if members.is_empty() || !body.starts_with(b"{") {
        return Vec::new();
    }
    let at = object.start.saturating_add(1);
    vec![(at..at, format!("{members}{}", if empty { "" } else { "," }).into_bytes())]
}

/// A handshake of the older era as an answer to `server/discover`.
fn discovered(hello: &Message) -> String {
    let value = |key: &str| hello.value(key).and_then(|value| serde_json::from_slice::<Value>(value).ok());
    let mut result = Map::new();
    result.insert("resultType".to_owned(), json!("complete"));
    result.insert("supportedVersions".to_owned(), json!(["2026-07-28"]));
    result.insert("capabilities".to_owned(), value("capabilities").unwrap_or_else(|| json!({})));
    if let Some(text) = value("instructions") {
        result.insert("instructions".to_owned(), text);
    }
    if let Some(info) = value("serverInfo") {
        result.insert("_meta".to_owned(), json!({ "io.modelcontextprotocol/serverInfo": info }));
    }
    result.insert("ttlMs".to_owned(), json!(0));
    result.insert("cacheScope".to_owned(), json!("private"));
    Value::Object(result).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> Message {
        Message::parse(text.as_bytes().to_vec(), Strictness::Data).unwrap()
    }

    #[test]
    fn a_result_gets_what_its_era_wants_and_keeps_its_bytes() {
        let with = |text: &str, method: &str| {
            let answer = message(text);
            String::from_utf8(answer.with(completed(&answer, method))).unwrap()
        };
        assert_eq!(
            with(r#"{"jsonrpc":"2.0","id":1,"result":{ "x":1.0}}"#, "tools/call"),
            r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete", "x":1.0}}"#
        );
        assert_eq!(
            with(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, "tools/list"),
            r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","ttlMs":0,"cacheScope":"private"}}"#
        );
        let error = r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"x"}}"#;
        assert_eq!(with(error, "tools/list"), error);
    }

    #[test]
    fn a_retry_of_another_request_has_another_digest() {
        let call = |params: &str| {
            digest(&message(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#)))
        };
        let first = call(r#"{"name":"pay","arguments":{"to":"a","n":1}}"#);
        assert_eq!(
            first,
            call(r#"{"arguments":{"n":1,"to":"a"},"name":"pay","inputResponses":{},"requestState":"x"}"#)
        );
        assert_ne!(first, call(r#"{"name":"pay","arguments":{"to":"b","n":1}}"#));
        assert_ne!(first, call(r#"{"name":"pay2","arguments":{"to":"a","n":1}}"#));
        assert_ne!(first, call(r#"{"name":"pay"}"#));
    }
}
