//! Which server a request goes to, and answers put together from several.
//!
//! With one server, messages pass as they are. With several, names of tools and prompts are `server__name`, a
//! resource belongs to the first server that has it, and a list is every server's list: a server that is slow or
//! gone is left out of it and harms no other.

use std::sync::Arc;

use base64::Engine as _;
use http::HeaderMap;
use refmon_core::json::{Json, Members, Strictness};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::bridge::completed;
use super::client::{Client, Era, LEVEL_BYTES_MAX, Out};
use super::reach::{Connected, PART};
use crate::definitions::elements;
use crate::message::{Id, Kind, Message};
use crate::method::VERSIONS;

/// Between the name of a server and the name of its tool.
pub(super) const SEPARATOR: &str = "__";

/// A list method: its name, and the key of its result.
const LISTS: &[(&str, &str)] = &[
    ("tools/list", "tools"),
    ("prompts/list", "prompts"),
    ("resources/list", "resources"),
    ("resources/templates/list", "resourceTemplates"),
];

/// One server's part of a list.
struct Part {
    server: usize,
    items: Vec<Vec<u8>>,
    next: Option<String>,
}

impl Client {
    /// Answers a request of the client, whatever it is.
    pub(super) async fn serve(self: &Arc<Self>, message: Message, headers: HeaderMap, out: &mpsc::Sender<Out>) {
        let Kind::Request(method, id) = &message.kind else { return };
        let (method, id) = (method.clone(), id.clone());
        if method == "initialize" {
            return self.initialize(&message, &id, out).await;
        }
        if !self.several() {
            return self.relay(0, &message, Vec::new(), headers, out).await;
        }
        if let Some((_, key)) = LISTS.iter().find(|(list, _)| *list == method) {
            return self.list(&message, &method, key, &id, out).await;
        }
        match method.as_str() {
            "tools/call" | "prompts/get" => self.by_name(&message, headers, out).await,
            "completion/complete" => self.complete(&message, headers, out).await,
            "resources/read" => self.by_resource(&message, out).await,
            "resources/subscribe" | "resources/unsubscribe" => {
                let found = self.all_connected().await;
                self.subscribe_at(&found, &message, out).await;
            }
            "ping" => self.result(&id, "{}", out).await,
            "server/discover" => self.discover(&id, out).await,
            "subscriptions/listen" => {
                let found = self.all_connected().await;
                self.listen_to(&found, &message, &id, out).await;
            }
            "logging/setLevel" => self.everywhere(&message, &id, out).await,
            // The first server's session denies and records what is mediated nowhere.
            _ => self.relay(0, &message, Vec::new(), headers, out).await,
        }
    }

    // === the handshake ===

    async fn initialize(self: &Arc<Self>, message: &Message, id: &Id, out: &mpsc::Sender<Out>) {
        if !self.several() {
            let Some(connected) = self.connected(0).await else {
                if let Some(said) = self.refusal(0).await
                    && let Ok(said) = Message::parse(said, Strictness::Data)
                {
                    let restored = said.with(vec![(said.id.clone(), id.spelled.clone())]);
                    return self.last(restored, out).await;
                }
                return self.fail(message, &self.unreachable(0), out).await;
            };
            if connected.era == Era::Modern {
                let asked = message.text("protocolVersion").unwrap_or_default();
                return self.result(id, &self.introduced(&connected, &asked), out).await;
            }
            let hello = &connected.hello;
            let restored = hello.with(vec![(hello.id.clone(), id.spelled.clone())]);
            return self.last(restored, out).await;
        }
        let found = self.all_connected().await;
        let versions = found.iter().filter_map(|(_, connected)| connected.hello.text("protocolVersion"));
        let asked = message.text("protocolVersion").unwrap_or_default();
        // The oldest version that a server chose is one that all of them know.
        let version = versions.min().unwrap_or_else(|| known_or_newest(&asked));
        let mut result = self.introduction(&found);
        result.insert("protocolVersion".to_owned(), json!(version));
        result.insert("serverInfo".to_owned(), server_info());
        self.result(id, &Value::Object(result).to_string(), out).await;
    }

    async fn discover(self: &Arc<Self>, id: &Id, out: &mpsc::Sender<Out>) {
        let found = self.all_connected().await;
        let mut result = self.introduction(&found);
        result.insert("resultType".to_owned(), json!("complete"));
        result.insert("supportedVersions".to_owned(), json!(["2026-07-28"]));
        result.insert("ttlMs".to_owned(), json!(0));
        result.insert("cacheScope".to_owned(), json!("private"));
        result.insert("_meta".to_owned(), json!({ "io.modelcontextprotocol/serverInfo": server_info() }));
        self.result(id, &Value::Object(result).to_string(), out).await;
    }

    /// Capabilities and instructions of all servers that were reached. A capability that one server has, all have:
    /// what the others lack, they refuse themselves.
    fn introduction(&self, found: &[(usize, Arc<Connected>)]) -> Map<String, Value> {
        let mut capabilities = Map::new();
        let mut instructions = Vec::new();
        for (index, connected) in found {
            let own = connected.hello.value("capabilities").and_then(|own| serde_json::from_slice(own).ok());
            if let Some(Value::Object(own)) = own {
                unite(&mut capabilities, own);
            }
            if let Some(text) = connected.hello.text("instructions") {
                instructions.push(format!("[{}] {text}", self.name(*index)));
            }
        }
        let mut result = Map::new();
        result.insert("capabilities".to_owned(), Value::Object(capabilities));
        if !instructions.is_empty() {
            result.insert("instructions".to_owned(), json!(instructions.join("\n\n")));
        }
        result
    }

    /// Every server that can be reached in time, all asked at once.
    async fn all_connected(self: &Arc<Self>) -> Vec<(usize, Arc<Connected>)> {
        let mut waiting = JoinSet::new();
        for index in 0..self.servers.len() {
            let client = Arc::clone(self);
            waiting.spawn(async move { Some((index, client.in_time(index, client.connected(index)).await?)) });
        }
        let mut found: Vec<_> = waiting.join_all().await.into_iter().flatten().collect();
        found.sort_by_key(|(index, _)| *index);
        found
    }

    // === lists ===

    async fn list(
        self: &Arc<Self>,
        message: &Message,
        method: &str,
        key: &'static str,
        id: &Id,
        out: &mpsc::Sender<Out>,
    ) {
        let cursors = match message.text("cursor").map(|cursor| self.cursors(&cursor)) {
            None => (0..self.servers.len()).map(|server| (server, None)).collect(),
            Some(Some(cursors)) => cursors,
            Some(None) => {
                let reply = crate::reply::Reply::protocol_error(
                    Some(id),
                    -32_602,
                    "the cursor is not one of this gateway's",
                    None,
                );
                return drop(out.send(Out::Last(reply.into_bytes().into())).await);
            }
        };
        let mut waiting = JoinSet::new();
        for (server, cursor) in cursors {
            let (client, method) = (Arc::clone(self), method.to_owned());
            let params = params(message, cursor.as_deref());
            waiting.spawn(async move {
                let part = client.part(server, &method, key, &params, cursor.as_deref());
                client.in_time(server, part).await
            });
        }
        let mut parts: Vec<Part> = waiting.join_all().await.into_iter().flatten().collect();
        parts.sort_by_key(|part| part.server);
        let next: Map<String, Value> = parts
            .iter()
            .filter_map(|part| Some((self.name(part.server).to_owned(), json!(part.next.as_ref()?))))
            .collect();
        let items: Vec<&[u8]> = parts.iter().flat_map(|part| &part.items).map(Vec::as_slice).collect();
        let mut result = format!("{{\"{key}\":[{}]", String::from_utf8_lossy(&items.join(&b","[..])));
        if !next.is_empty() {
            let cursor = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(Value::Object(next).to_string());
            result.push_str(&format!(",\"nextCursor\":\"{cursor}\""));
        }
        if self.era() == Era::Modern {
            result.push_str(r#","resultType":"complete","ttlMs":0,"cacheScope":"private""#);
        }
        result.push('}');
        self.result(id, &result, out).await;
    }

    /// One server's part of a list; `None` if it has none.
    async fn part(
        self: &Arc<Self>,
        server: usize,
        method: &str,
        key: &str,
        params: &str,
        cursor: Option<&str>,
    ) -> Option<Part> {
        let connected = self.connected(server).await?;
        let capability = if key == "resourceTemplates" { "resources" } else { key };
        if !connected.offers(capability) {
            return None;
        }
        let mut exchange = match (self.era(), connected.era) {
            (Era::Legacy, Era::Modern) => {
                let meta = format!("{{\"_meta\":{{{}}}", self.envelope());
                let cursor = cursor.map(|cursor| format!(",\"cursor\":{}", json!(cursor))).unwrap_or_default();
                connected.peer.request(method, &format!("{meta}{cursor}}}")).await
            }
            _ => connected.peer.request(method, params).await,
        };
        let answer = (&mut exchange.answer).await.ok()?;
        let list = answer.value(key).filter(|list| list.starts_with(b"["))?;
        let named = matches!(key, "tools" | "prompts");
        let items = elements(list).into_iter().filter_map(|span| {
            let item = list.get(span)?.trim_ascii();
            if named { prefixed(self.name(server), item) } else { Some(item.to_vec()) }
        });
        Some(Part { server, items: items.collect(), next: answer.text("nextCursor") })
    }

    fn cursors(&self, cursor: &str) -> Option<Vec<(usize, Option<String>)>> {
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let members = Members::parse(&bytes, Strictness::Request).ok()?;
        let found = members.all().iter().map(|member| {
            let server = self.server(&member.key)?;
            Some((server, Some(members.text(&member.key)?.into_owned())))
        });
        found.collect()
    }

    // === one of several ===

    async fn by_name(self: &Arc<Self>, message: &Message, headers: HeaderMap, out: &mpsc::Sender<Out>) {
        let name = message.text("name").unwrap_or_default();
        let (server, own) = self.split(&name);
        let edit = (message.span("name"), json!(own).to_string().into_bytes());
        let edits = if edit.0.is_empty() { Vec::new() } else { vec![edit] };
        self.relay(server, message, edits, headers, out).await;
    }

    async fn complete(self: &Arc<Self>, message: &Message, headers: HeaderMap, out: &mpsc::Sender<Out>) {
        let reference = message.members("ref");
        if let Some(name) = reference.text("name") {
            let (server, own) = self.split(&name);
            let place = reference.value("name").map(|name| message.within(name)).unwrap_or_default();
            return self.relay(server, message, vec![(place, json!(own).to_string().into_bytes())], headers, out).await;
        }
        self.by_resource(message, out).await;
    }

    /// Asks one server after the other, until one has it.
    async fn by_resource(self: &Arc<Self>, message: &Message, out: &mpsc::Sender<Out>) {
        let mut last = None;
        for server in 0..self.servers.len() {
            let Some(connected) = self.connected(server).await else { continue };
            if !connected.offers("resources") {
                continue;
            }
            let answer = if (self.era(), connected.era) == (Era::Legacy, Era::Modern) {
                self.ask_newer(&connected, message, Vec::new(), out).await
            } else {
                let mut exchange = connected.peer.ask(message, Vec::new(), HeaderMap::new()).await;
                self.follow(&connected.peer, &mut exchange, out).await
            };
            let Some(answer) = answer else { return };
            let found = matches!(answer.kind, Kind::Result(_));
            let newer = self.era() == Era::Modern && connected.era == Era::Legacy;
            last = Some((answer, newer));
            if found {
                break;
            }
        }
        let Kind::Request(method, id) = &message.kind else { return };
        match last {
            Some((answer, newer)) => {
                let mut edits = vec![(answer.id.clone(), id.spelled.clone())];
                edits.extend(if newer { completed(&answer, method) } else { Vec::new() });
                let restored = answer.with(edits);
                self.last(restored, out).await;
            }
            None => self.fail(message, "no tool server that has resources can be reached", out).await,
        }
    }

    async fn everywhere(self: &Arc<Self>, message: &Message, id: &Id, out: &mpsc::Sender<Out>) {
        // Newer servers are told the level with each request.
        *self.log_level() = message.text("level").filter(|level| level.len() <= LEVEL_BYTES_MAX);
        for (_, connected) in self.all_connected().await {
            if connected.era == Era::Legacy && connected.offers("logging") {
                let mut exchange = connected.peer.ask(message, Vec::new(), HeaderMap::new()).await;
                drop(tokio::time::timeout(PART, &mut exchange.answer).await);
            }
        }
        self.result(id, "{}", out).await;
    }

    /// The server that a name belongs to, and the name that it has there. A name without a server's in front
    /// belongs to none: it gets a name that no tool can have, so that the first server's session refuses it and
    /// records the attempt.
    fn split(&self, name: &str) -> (usize, String) {
        let found = name.split_once(SEPARATOR).and_then(|(server, own)| Some((self.server(server)?, own.to_owned())));
        found.unwrap_or_else(|| (0, format!("no server/{name}")))
    }

    fn server(&self, name: &str) -> Option<usize> {
        self.servers.iter().position(|spec| spec.name.as_str() == name)
    }

    fn name(&self, index: usize) -> &str {
        self.servers.get(index).map_or("", |spec| spec.name.as_str())
    }
}

/// The parameters of a list request, with another cursor.
fn params(message: &Message, cursor: Option<&str>) -> String {
    let mut params = Vec::new();
    // The progress token is the client's; several servers would answer to it.
    let meta = message.members("_meta");
    let kept = meta.all().iter().filter(|member| member.key != "progressToken");
    let kept: Vec<String> =
        kept.map(|member| format!("{}:{}", json!(member.key), String::from_utf8_lossy(member.value))).collect();
    if !kept.is_empty() {
        params.push(format!("\"_meta\":{{{}}}", kept.join(",")));
    }
    if let Some(cursor) = cursor {
        params.push(format!("\"cursor\":{}", json!(cursor)));
    }
    format!("{{{}}}", params.join(","))
}

/// A definition with its server's name in front of its own; every other byte stays. `None` if it has no name.
fn prefixed(server: &str, item: &[u8]) -> Option<Vec<u8>> {
    let members = Members::parse(item, Strictness::Data).ok()?;
    let value = members.value("name")?;
    let Ok(Json::Text(name)) = Json::parse_with(value, Strictness::Data) else { return None };
    let start = value.as_ptr().addr().checked_sub(item.as_ptr().addr())?;
    let mut out = item.get(..start)?.to_vec();
    out.extend(json!(format!("{server}{SEPARATOR}{name}")).to_string().into_bytes());
    out.extend(item.get(start.checked_add(value.len())?..)?);
    Some(out)
}

/// Unites capabilities: of two values of a flag the one that promises more, objects member by member.
fn unite(all: &mut Map<String, Value>, own: Map<String, Value>) {
    for (key, value) in own {
        match (all.get_mut(&key), value) {
            (Some(Value::Object(known)), Value::Object(more)) => unite(known, more),
            (Some(known @ Value::Bool(false)), Value::Bool(true)) => *known = Value::Bool(true),
            (Some(_), _) => {}
            (None, value) => drop(all.insert(key, value)),
        }
    }
}

pub(super) fn known_or_newest(asked: &str) -> String {
    let legacy = |version: &&&str| **version < "2026";
    let known = VERSIONS.iter().filter(legacy).find(|version| **version == asked);
    (*known.or_else(|| VERSIONS.iter().rfind(legacy)).unwrap_or(&"2025-11-25")).to_owned()
}

pub(super) fn server_info() -> Value {
    json!({ "name": "refmon", "version": env!("CARGO_PKG_VERSION") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_changes_the_name_and_no_other_byte() {
        let item = br#"{ "title":"a","name" : "read\u005ffile", "x":{"name":"b"},"n":1.0}"#;
        let expected = br#"{ "title":"a","name" : "files__read_file", "x":{"name":"b"},"n":1.0}"#;
        assert_eq!(prefixed("files", item).unwrap(), expected);
        for item in [&b"{}"[..], br#"{"name":7}"#, b"[]", b"null"] {
            assert_eq!(prefixed("files", item), None);
        }
    }

    #[test]
    fn capabilities_are_united() {
        let object = |value: Value| value.as_object().unwrap().clone();
        let mut all = object(json!({ "tools": { "listChanged": false }, "logging": {} }));
        unite(&mut all, object(json!({ "tools": { "listChanged": true }, "prompts": {}, "logging": {} })));
        assert_eq!(Value::Object(all), json!({ "tools": { "listChanged": true }, "prompts": {}, "logging": {} }));
    }

    #[test]
    fn an_unknown_version_is_answered_with_the_newest_that_has_a_handshake() {
        assert_eq!(known_or_newest("2025-03-26"), "2025-03-26");
        assert_eq!(known_or_newest("2099-01-01"), "2025-11-25");
        assert_eq!(known_or_newest("2026-07-28"), "2025-11-25");
    }
}
