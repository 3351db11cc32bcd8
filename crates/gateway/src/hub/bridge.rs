//! Between the eras: clients and servers of which one speaks up to 2025-11-25 and the other from 2026-07-28 on.
//!
//! A newer client's call to an older server goes out as it is. If the server asks its client something on the way,
//! the call is *parked* and the client gets `input_required` with a handle; its retry with the answers goes on with the very
//! call that is under way. The handle is random, known to this client only, good for one retry of the same request, and
//! for ten minutes.
//!
//! An older client's request to a newer server gets what that era wants to know of the client with each request. If the
//! answer is `input_required`, the client is asked with requests of its own era, and the call is sent again with what it
//! answered; it is judged again, too.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderMap;
use refmon_core::digest::Hasher;
use refmon_core::json::{Json, Members, Strictness};
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, oneshot};

use super::client::{Client, Connected, Edits, Era, Out};
use super::peer::{Event, Exchange};
use crate::message::{Id, Kind, Message};
use crate::reply::Reply;

/// How long a call waits for its client's answers.
const PARKED: Duration = Duration::from_secs(10 * 60);
/// Calls of one client that wait for its answers.
const PARKED_MAX: usize = 64;
/// Rounds of questions in one call.
const ROUNDS_MAX: usize = 16;
/// How a server says that it will notify.
const ACKNOWLEDGED: &str = "notifications/subscriptions/acknowledged";
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
    since: Instant,
}

impl Parked {
    pub(super) fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) > PARKED
    }
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
            "subscriptions/listen" => return self.listen_to_older(connected, message, id, out).await,
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
        let Some(parked) = self.unpark(message) else {
            let reply = Reply::protocol_error(Some(id), -32_602, "the request state is not one that waits here", None);
            return drop(out.send(Out::Last(reply.into_bytes())).await);
        };
        let answers = message.members("inputResponses");
        let spelled = parked.request.bytes.get(parked.request.id.clone()).unwrap_or_default();
        let Some(answer) = answers.value(&key(&parked.request)) else {
            // What is missing is asked for again.
            let Parked { exchange, connected, request, .. } = parked;
            return self.park(connected, exchange, request, message, out).await;
        };
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
                            drop(out.send(Out::Event(bytes)).await);
                        }
                    }
                    Event::Request(request) => {
                        let able = message.members("_meta").value("io.modelcontextprotocol/clientCapabilities").map(<[u8]>::to_vec);
                        if can(able.as_deref(), &request) {
                            return self.park(connected, exchange, request, message, out).await;
                        }
                        connected.peer.submit(refusal(&request));
                    }
                },
                answer = &mut exchange.answer => {
                    let Ok(answer) = answer else { return };
                    let mut edits = vec![(answer.id.clone(), id.spelled.clone())];
                    edits.extend(completed(&answer, method));
                    return drop(out.send(Out::Last(answer.with(edits))).await);
                }
                () = out.closed() => return,
            }
        }
    }

    async fn park(
        &self,
        connected: Arc<Connected>,
        exchange: Exchange,
        request: Message,
        message: &Message,
        out: &mpsc::Sender<Out>,
    ) {
        let Kind::Request(method, _) = &request.kind else { return };
        let Ok(handle) = self.handle() else { return self.fail(message, "unavailable; try again later", out).await };
        let params = request.bytes.get(request.body.clone()).filter(|params| !params.is_empty()).unwrap_or(b"{}");
        let Kind::Request(_, id) = &message.kind else { return };
        let result = format!(
            r#"{{"resultType":"input_required","inputRequests":{{{}:{{"method":{},"params":{}}}}},"requestState":"{handle}"}}"#,
            json!(key(&request)),
            json!(method),
            String::from_utf8_lossy(params)
        );
        let parked = Parked { exchange, connected, digest: digest(message), since: Instant::now(), request };
        let full = {
            let mut waiting = self.parked();
            let full = waiting.len() >= PARKED_MAX;
            if !full {
                waiting.insert(handle, parked);
            }
            full
        };
        if full {
            return self.fail(message, "too many calls wait for answers; answer some first", out).await;
        }
        self.result(id, &result, out).await;
    }

    /// Takes the call that a handle stands for, if the request is the one that it was given for.
    fn unpark(&self, message: &Message) -> Option<Parked> {
        let handle = message.text("requestState")?;
        let mut waiting = self.parked();
        let fits = waiting
            .get(&handle)
            .is_some_and(|parked| parked.digest == digest(message) && !parked.is_over(Instant::now()));
        if fits { waiting.remove(&handle) } else { None }
    }

    fn handle(&self) -> Result<String, refmon_core::ports::Fault> {
        let mut random = [0u8; 32];
        self.parts().entropy.fill(&mut random)?;
        Ok(random.iter().fold(HANDLE.to_owned(), |text, byte| format!("{text}{byte:02x}")))
    }

    /// Subscriptions of the newer era, from the notifications of the older one.
    async fn listen_to_older(
        self: &Arc<Self>,
        connected: &Arc<Connected>,
        message: &Message,
        id: &Id,
        out: &mpsc::Sender<Out>,
    ) {
        let Some((filter, meta, acknowledged)) = subscription(message, id) else {
            return self.fail(message, "`notifications` must be an object", out).await;
        };
        let uris: Vec<Value> =
            filter.get("resourceSubscriptions").and_then(Value::as_array).cloned().unwrap_or_default();
        for uri in &uris {
            let mut subscribed =
                connected.peer.request("resources/subscribe", &json!({ "uri": uri }).to_string()).await;
            drop(tokio::time::timeout(Duration::from_secs(10), &mut subscribed.answer).await);
        }
        if out.send(Out::Event(acknowledged)).await.is_ok() {
            self.pass_heard(&filter, &meta, out).await;
        }
    }

    /// Listens to several servers at once.
    pub(super) async fn listen_to_all(
        self: &Arc<Self>,
        found: &[(usize, Arc<Connected>)],
        message: &Message,
        id: &Id,
        out: &mpsc::Sender<Out>,
    ) {
        let Some((filter, meta, acknowledged)) = subscription(message, id) else {
            return self.fail(message, "`notifications` must be an object", out).await;
        };
        drop(out.send(Out::Event(acknowledged)).await);
        let mut listening = tokio::task::JoinSet::new();
        for (_, connected) in found {
            if connected.era == Era::Legacy {
                continue;
            }
            let mut exchange = connected.peer.ask(message, Vec::new(), HeaderMap::new()).await;
            let out = out.clone();
            listening.spawn(async move {
                while let Some(event) = exchange.events.recv().await {
                    let Event::Notification(bytes) = event else { continue };
                    if !acknowledges(&bytes) && out.send(Out::Event(bytes)).await.is_err() {
                        return;
                    }
                }
            });
        }
        self.pass_heard(&filter, &meta, out).await;
    }

    /// Passes on what older servers announce and the filter is for, until the client closes the stream.
    async fn pass_heard(self: &Arc<Self>, filter: &Map<String, Value>, meta: &Value, out: &mpsc::Sender<Out>) {
        let mut heard = self.hear();
        loop {
            let bytes = tokio::select! {
                bytes = heard.recv() => match bytes {
                    Ok(bytes) => bytes,
                    Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => continue,
                    Err(tokio::sync::broadcast::error::RecvError::Closed) => return,
                },
                () = out.closed() => return,
                () = self.ended() => return,
            };
            if let Some(bytes) = tagged(&bytes, filter, meta)
                && out.send(Out::Event(bytes)).await.is_err()
            {
                return;
            }
        }
    }
}

/// What a subscription is for, the `_meta` of what comes for it, and its acknowledgement. `None` if it says nothing.
fn subscription(message: &Message, id: &Id) -> Option<(Map<String, Value>, Value, Vec<u8>)> {
    let filter: Map<String, Value> = serde_json::from_slice(message.value("notifications")?).ok()?;
    let number: Value = serde_json::from_slice(&id.spelled).unwrap_or_default();
    let meta = json!({ super::SUBSCRIPTION: number });
    let acknowledged = json!({
        "jsonrpc": "2.0", "method": ACKNOWLEDGED, "params": { "_meta": meta, "notifications": filter },
    });
    Some((filter, meta, acknowledged.to_string().into_bytes()))
}

/// Whether a message is a server's own acknowledgement, of which the client gets one from refmon.
fn acknowledges(bytes: &[u8]) -> bool {
    let message = Message::parse(bytes.to_vec(), Strictness::Data);
    message.is_ok_and(|message| matches!(&message.kind, Kind::Notification(method) if method == ACKNOWLEDGED))
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

fn refusal(request: &Message) -> Vec<u8> {
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
fn insert(message: &Message, object: &std::ops::Range<usize>, members: &str) -> Edits {
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

/// A notification of the older era for a subscription, if the subscription is for it.
fn tagged(bytes: &[u8], filter: &Map<String, Value>, meta: &Value) -> Option<Vec<u8>> {
    let message = Message::parse(bytes.to_vec(), Strictness::Data).ok()?;
    let Kind::Notification(method) = &message.kind else { return None };
    let wanted = match method.as_str() {
        "notifications/tools/list_changed" => filter.get("toolsListChanged") == Some(&Value::Bool(true)),
        "notifications/prompts/list_changed" => filter.get("promptsListChanged") == Some(&Value::Bool(true)),
        "notifications/resources/list_changed" => filter.get("resourcesListChanged") == Some(&Value::Bool(true)),
        "notifications/resources/updated" => {
            let uris = filter.get("resourceSubscriptions").and_then(Value::as_array);
            let uri = message.text("uri").map(Value::from);
            uris.is_some_and(|uris| uri.is_some_and(|uri| uris.contains(&uri)))
        }
        _ => false,
    };
    if !wanted {
        return None;
    }
    let mut value: Value = serde_json::from_slice(bytes).ok()?;
    let params = value.as_object_mut()?.entry("params").or_insert_with(|| json!({}));
    params.as_object_mut()?.insert("_meta".to_owned(), meta.clone());
    Some(value.to_string().into_bytes())
}

// === an older client, a newer server ===

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
                *self.log_level() = message.text("level");
                return self.result(id, "{}", out).await;
            }
            "resources/subscribe" | "resources/unsubscribe" => {
                let uri = message.text("uri").unwrap_or_default();
                if !self.subscribe(connected, method == "resources/subscribe", uri) {
                    return self.fail(message, "too many subscriptions, or too long a URI", out).await;
                }
                return self.result(id, "{}", out).await;
            }
            _ => {}
        }
        let (mut more, mut round) = (String::new(), 0);
        loop {
            let mut edits = edits.clone();
            edits.extend(self.with_envelope(message, &more));
            let mut exchange = connected.peer.ask(message, edits, HeaderMap::new()).await;
            self.under_way().insert(id.canonical.clone(), (Arc::clone(&connected.peer), exchange.ticket));
            let answer = self.follow(&connected.peer, &mut exchange, out).await;
            self.under_way().remove(&id.canonical);
            let Some(answer) = answer else { return };
            round += 1;
            if answer.text("resultType").as_deref() != Some("input_required") || round > ROUNDS_MAX {
                let restored = answer.with(vec![(answer.id.clone(), id.spelled.clone())]);
                return drop(out.send(Out::Last(restored)).await);
            }
            let Some(answers) = self.question(&answer, out).await else {
                return self.fail(message, "the client did not answer what the tool server asked", out).await;
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
            out.send(Out::Event(text.into_bytes())).await.ok()?;
            waiting.push((request.key.to_string(), answered));
        }
        let mut answers = Vec::new();
        for (key, answered) in waiting {
            let message = tokio::time::timeout(PARKED, answered).await.ok()?.ok()?;
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

    /// Listens to what a newer server announces, and passes it on as the older era does.
    pub(super) fn listen_to_newer(
        self: &Arc<Self>,
        connected: &Arc<Connected>,
        uris: Vec<String>,
    ) -> tokio::task::AbortHandle {
        let filter = json!({
            "toolsListChanged": true, "promptsListChanged": true, "resourcesListChanged": true,
            "resourceSubscriptions": uris,
        });
        // Subscriptions to resources are judged as such; without any the filter must not name them.
        let filter = match filter {
            Value::Object(mut members) if uris.is_empty() => {
                members.remove("resourceSubscriptions");
                Value::Object(members)
            }
            other => other,
        };
        let params = format!(r#"{{"_meta":{{{}}},"notifications":{filter}}}"#, self.envelope());
        let (connected, unsolicited) = (Arc::clone(connected), self.unsolicited_sender());
        let task = self.parts().runtime.spawn(async move {
            let mut exchange = connected.peer.request("subscriptions/listen", &params).await;
            while let Some(event) = exchange.events.recv().await {
                let Event::Notification(bytes) = event else { continue };
                if !acknowledges(&bytes) && unsolicited.send((usize::MAX, Event::Notification(bytes))).await.is_err() {
                    return;
                }
            }
        });
        task.abort_handle()
    }
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
