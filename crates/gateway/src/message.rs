//! The envelope of a message: JSON-RPC 2.0 as MCP narrows it.
//!
//! Only the envelope and the members of `params` or `result` are parsed; everything else stays a span of the
//! original bytes. Refused here, besides what the strict gate refuses: a batch, a missing or other `jsonrpc`, an
//! identifier that is neither a string nor a whole number, a member whose key differs from one of the protocol's
//! only in case, and a message that is both a request and a response.

use std::ops::Range;

use refmon_core::json::{Json, Malformed, Members, Strictness, same_ignoring_case};

/// A message that is not one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// The frame is not JSON with one reading.
    #[error("the message has no single reading: {0}")]
    Malformed(#[from] Malformed),
    /// The frame is an array.
    #[error("batches are not part of MCP; send one message per line")]
    Batch,
    /// The frame is JSON, but not a message.
    #[error("the message is not JSON-RPC 2.0: {0}")]
    NotJsonRpc(&'static str),
}

/// The identifier of a request: its canonical form for looking it up, its spelling for answering.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Id {
    /// The canonical form: equal for every spelling of the same identifier.
    pub canonical: String,
    /// The bytes as they came.
    pub spelled: Vec<u8>,
}

/// What a message is.
#[derive(Debug, PartialEq, Eq)]
pub enum Kind {
    /// A request: method and identifier.
    Request(String, Id),
    /// A notification: method.
    Notification(String),
    /// A response with a result.
    Result(Id),
    /// A response with an error. The identifier is absent if the other side could not read the request.
    Error(Option<Id>),
}

/// A message whose envelope has been read.
#[derive(Debug)]
pub struct Message {
    /// The frame as it came.
    pub bytes: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Where `params` or `result` is in the frame; empty if absent.
    pub body: Range<usize>,
    /// Where the identifier is in the frame; empty if absent.
    pub id: Range<usize>,
    /// The members of `params` or `result`: keys, and where the values are in the frame.
    parts: Vec<(String, Range<usize>)>,
}

/// What was read of a message, for whoever gets its bytes back.
#[derive(Debug)]
pub(crate) struct Read {
    /// Where the bytes are in memory, and how many.
    bytes: (usize, usize),
    kind: Kind,
    body: Range<usize>,
    id: Range<usize>,
    parts: Vec<(String, Range<usize>)>,
}

/// Keys of the protocol's own objects: the envelope, `params`, `result`.
const PROTOCOL_KEYS: &[&str] = &[
    "jsonrpc",
    "id",
    "method",
    "params",
    "result",
    "error",
    "name",
    "arguments",
    "_meta",
    "uri",
    "cursor",
    "task",
    "taskId",
    "ref",
    "argument",
    "context",
    "inputResponses",
    "requestState",
    "inputRequests",
    "resultType",
    "tools",
    "nextCursor",
    "content",
    "structuredContent",
    "isError",
    "protocolVersion",
    "capabilities",
    "requestId",
    "progressToken",
    "notifications",
    "level",
];

/// Members of an envelope's objects. The arguments of a tool may have more.
const MEMBERS_MAX: usize = 1_024;

/// Bytes of `_meta` in what a client sends. It is read several times on the way to a judgement.
const META_BYTES_MAX: usize = 16 * 1024;

impl Message {
    /// Reads the envelope of a frame.
    ///
    /// # Errors
    /// [`MessageError`] if the frame is not one message with one reading.
    pub fn parse(bytes: Vec<u8>, strictness: Strictness) -> Result<Self, MessageError> {
        let members = match Members::parse_deeper(&bytes, strictness, &["params", "result"]) {
            Ok(members) => members,
            Err(error) if bytes.trim_ascii_start().starts_with(b"[") => {
                return Err(Json::parse_with(&bytes, strictness)
                    .map_or(MessageError::Malformed(error), |_| MessageError::Batch));
            }
            Err(error) => return Err(error.into()),
        };
        exact_keys(&members)?;
        if members.text("jsonrpc").as_deref() != Some("2.0") {
            return Err(MessageError::NotJsonRpc("`jsonrpc` must be \"2.0\""));
        }
        let kind = kind(&members)?;
        let key = if members.find("params").is_some() { "params" } else { "result" };
        let body = members.value(key).map_or(0..0, |value| span(&bytes, value));
        let mut parts = Vec::new();
        if let Some(members) = members.of(key) {
            exact_keys(members)?;
            let meta = members.value("_meta").unwrap_or_default();
            if strictness == Strictness::Request && meta.len() > META_BYTES_MAX {
                return Err(MessageError::NotJsonRpc("its `_meta` is larger than 16 KiB"));
            }
            let envelope = members.value("_meta").and_then(|meta| Members::parse(meta, strictness).ok());
            if [Some(members), envelope.as_ref()].into_iter().flatten().any(|found| found.all().len() > MEMBERS_MAX) {
                return Err(MessageError::NotJsonRpc("its parameters have too many members"));
            }
            parts.extend(members.all().iter().map(|member| (member.key.to_string(), span(&bytes, member.value))));
        }
        let id = members.value("id").map_or(0..0, |value| span(&bytes, value));
        Ok(Self { kind, body, id, parts, bytes })
    }

    /// The bytes, and what was read of them.
    pub(crate) fn apart(self) -> (Vec<u8>, Read) {
        let Self { bytes, kind, body, id, parts } = self;
        let read = Read { bytes: place(&bytes), kind, body, id, parts };
        (bytes, read)
    }

    /// The message that was taken apart, if these are its bytes and have not moved since; otherwise they are read anew.
    ///
    /// # Errors
    /// [`MessageError`] if they had to be read anew and could not.
    pub(crate) fn again(bytes: Vec<u8>, read: Option<Read>) -> Result<Self, MessageError> {
        match read {
            Some(Read { bytes: known, kind, body, id, parts }) if known == place(&bytes) => {
                Ok(Self { bytes, kind, body, id, parts })
            }
            _ => Self::parse(bytes, Strictness::Data),
        }
    }

    /// Where a part of the frame's bytes is in the frame.
    #[must_use]
    pub fn within(&self, part: &[u8]) -> Range<usize> {
        span(&self.bytes, part)
    }

    /// The frame with spans of it replaced. Spans must not overlap.
    #[must_use]
    pub fn with(&self, mut edits: Vec<(Range<usize>, Vec<u8>)>) -> Vec<u8> {
        edits.sort_by_key(|(span, _)| span.start);
        let mut out = Vec::with_capacity(self.bytes.len().saturating_add(64));
        let mut at = 0;
        for (span, text) in edits {
            out.extend_from_slice(self.bytes.get(at..span.start).unwrap_or_default());
            out.extend_from_slice(&text);
            at = span.end;
        }
        out.extend_from_slice(self.bytes.get(at..).unwrap_or_default());
        out
    }

    /// Where a member of `params` or `result` is in the frame; empty if absent.
    #[must_use]
    pub fn span(&self, key: &str) -> Range<usize> {
        self.parts.iter().find(|(name, _)| name == key).map_or(0..0, |(_, span)| span.clone())
    }

    /// A member of `params` or `result`, as it was spelled.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&[u8]> {
        let (_, span) = self.parts.iter().find(|(name, _)| name == key)?;
        self.bytes.get(span.clone())
    }

    /// The text of a member of `params` or `result` that is a string.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<String> {
        match Json::parse_with(self.value(key)?, Strictness::Data) {
            Ok(Json::Text(text)) => Some(text.into_owned()),
            _ => None,
        }
    }

    /// The members of a member of `params` or `result` that is an object; none for anything else.
    #[must_use]
    pub fn members(&self, key: &str) -> Members<'_> {
        let members = self.value(key).map(|value| Members::parse(value, Strictness::Data));
        members.and_then(Result::ok).unwrap_or_default()
    }

    /// What a tool call says beside its tool, its arguments and the protocol's own envelope, in one form for one content;
    /// empty if that is nothing. A server could act on it.
    #[must_use]
    pub fn beside(&self) -> String {
        let mut rest = Vec::new();
        for (key, span) in self.parts.iter().filter(|(key, _)| !matches!(key.as_str(), "name" | "arguments")) {
            let value = self.bytes.get(span.clone()).unwrap_or_default();
            let Ok(mut json) = Json::parse_with(value, Strictness::Data) else { continue };
            if let ("_meta", Json::Object(members)) = (key.as_str(), &mut json) {
                members.retain(|(key, _)| !is_envelope(key));
                if members.is_empty() {
                    continue;
                }
            }
            rest.push((key.as_str().into(), json));
        }
        if rest.is_empty() { String::new() } else { Json::Object(rest).spelled() }
    }

    /// What `_meta` says beside the protocol's own envelope, in one form for one content; empty if that is nothing.
    #[must_use]
    pub fn beside_envelope(&self) -> String {
        let Some(Ok(Json::Object(mut members))) =
            self.value("_meta").map(|meta| Json::parse_with(meta, Strictness::Data))
        else {
            return String::new();
        };
        members.retain(|(key, _)| !is_envelope(key));
        if members.is_empty() { String::new() } else { Json::Object(members).spelled() }
    }

    /// The protocol version that a request names in its `_meta` (2026-07-28 and later).
    #[must_use]
    pub fn version(&self) -> Option<String> {
        let meta = self.members("_meta");
        meta.text("io.modelcontextprotocol/protocolVersion").map(std::borrow::Cow::into_owned)
    }
}

/// Members of `_meta` that the protocol and tracing define (MCP 2026-07-28, `_meta`): they differ from one sending of a
/// call to the next, and say nothing about what it does.
fn is_envelope(key: &str) -> bool {
    matches!(key, "progressToken" | "traceparent" | "tracestate" | "baggage")
        || key.starts_with("io.modelcontextprotocol/")
}

/// Finds the identifier of a frame that was refused, to tell whoever waits for it.
#[must_use]
pub fn id_of_refused(bytes: &[u8]) -> Option<Id> {
    let text = String::from_utf8_lossy(bytes);
    let members = Members::parse(text.as_bytes(), Strictness::Lenient).ok()?;
    id(members.value("id")?).ok()
}

fn kind(members: &Members<'_>) -> Result<Kind, MessageError> {
    let has = |key: &str| members.find(key).is_some();
    if has("method") {
        if has("result") || has("error") {
            return Err(MessageError::NotJsonRpc("it is both a request and a response"));
        }
        let method = members.text("method").ok_or(MessageError::NotJsonRpc("`method` must be a string"))?.into_owned();
        return Ok(match members.value("id") {
            Some(value) => Kind::Request(method, id(value)?),
            None => Kind::Notification(method),
        });
    }
    match (members.value("id"), has("result"), has("error")) {
        (Some(value), true, false) => Ok(Kind::Result(id(value)?)),
        (None | Some(b"null"), false, true) => Ok(Kind::Error(None)),
        (Some(value), false, true) => Ok(Kind::Error(Some(id(value)?))),
        _ => Err(MessageError::NotJsonRpc("it is neither a request nor a response")),
    }
}

/// Whether a value can be an identifier or a progress token: a string of at most 1,024 bytes, or a whole number.
pub(crate) fn is_identifier(value: &[u8]) -> bool {
    id(value).is_ok()
}

fn id(value: &[u8]) -> Result<Id, MessageError> {
    // Most are small numbers in the one spelling that is canonical already.
    if value.len() < 16 && value.iter().all(u8::is_ascii_digit) && !value.starts_with(b"0") {
        return Ok(Id { canonical: String::from_utf8_lossy(value).into_owned(), spelled: value.to_vec() });
    }
    let wrong = || MessageError::NotJsonRpc("`id` must be a string or a whole number");
    let json = Json::parse(value).map_err(MessageError::Malformed)?;
    let fits = json.as_text().is_some_and(|text| text.len() <= 1_024)
        || json.as_number().is_some_and(|number| number.as_i64().is_some() || number.as_u64().is_some());
    if fits { Ok(Id { canonical: json.canonical(), spelled: value.to_vec() }) } else { Err(wrong()) }
}

/// Refuses keys that a parser which ignores case would take for one of the protocol's.
fn exact_keys(members: &Members<'_>) -> Result<(), MessageError> {
    if members.all().iter().any(|member| is_variant(&member.key)) {
        return Err(MessageError::NotJsonRpc("a key differs from one of the protocol's only in case"));
    }
    Ok(())
}

/// Whether a key is one of the protocol's to a parser that ignores case, and to no other.
fn is_variant(key: &str) -> bool {
    // Most keys are the protocol's own, or of a length that none of those has; a letter beyond ASCII is longer than
    // the one that it folds to.
    let same_size = |known: &&&str| known.len() == key.len() || !key.is_ascii();
    !PROTOCOL_KEYS.contains(&key) && PROTOCOL_KEYS.iter().filter(same_size).any(|known| same_ignoring_case(known, key))
}

/// Where bytes are in memory, and how many.
fn place(bytes: &[u8]) -> (usize, usize) {
    (bytes.as_ptr().addr(), bytes.len())
}

/// Where a slice of the frame is in the frame.
fn span(bytes: &[u8], part: &[u8]) -> Range<usize> {
    let start = part.as_ptr().addr().saturating_sub(bytes.as_ptr().addr());
    start..start.saturating_add(part.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Message, MessageError> {
        Message::parse(text.as_bytes().to_vec(), Strictness::Request)
    }

    #[test]
    fn the_four_kinds_are_told_apart() {
        let kind = |text| parse(text).unwrap().kind;
        let id = |canonical: &str| Id { canonical: canonical.into(), spelled: canonical.into() };
        assert_eq!(kind(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#), Kind::Request("ping".into(), id("1")));
        assert_eq!(kind(r#"{"jsonrpc":"2.0","method":"x"}"#), Kind::Notification("x".into()));
        assert_eq!(kind(r#"{"jsonrpc":"2.0","id":"a","result":{}}"#), Kind::Result(id("\"a\"")));
        assert_eq!(kind(r#"{"jsonrpc":"2.0","id":null,"error":{}}"#), Kind::Error(None));
    }

    // Found here: each member that is remembered is a hundred bytes, and was looked for among all the others.
    #[test]
    fn an_envelope_has_a_bounded_number_of_members() {
        let many = |count: usize| (0..count).map(|n| format!("\"m{n}\":0")).collect::<Vec<_>>().join(",");
        let call = |inside: String| parse(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"m","params":{{{inside}}}}}"#));
        assert!(call(many(1_024)).is_ok() && call(many(1_025)).is_err());
        assert!(call(format!("\"_meta\":{{{}}}", many(1_024))).is_ok());
        assert!(call(format!("\"_meta\":{{{}}}", many(1_025))).is_err());
        assert!(call(format!("\"arguments\":{{{}}}", many(5_000))).is_ok());
        let long = |bytes: usize| call(format!("\"_meta\":{{\"x\":\"{}\"}}", "y".repeat(bytes)));
        assert!(long(16_000).is_ok() && long(17_000).is_err(), "it is read several times");
    }

    #[test]
    fn an_identifier_is_the_same_however_it_is_spelled() {
        let one = parse(r#"{"jsonrpc":"2.0","id":"ab","result":{}}"#).unwrap();
        let other = parse(r#"{"jsonrpc":"2.0","id":"\u0061b","result":{}}"#).unwrap();
        let (Kind::Result(one), Kind::Result(other)) = (one.kind, other.kind) else { panic!("two results") };
        assert_eq!(one.canonical, other.canonical);
        assert_ne!(one.spelled, other.spelled);
    }

    #[test]
    fn what_is_not_one_message_is_refused() {
        for text in [
            r#"[]"#,
            r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#,
            r#"{"id":1,"method":"ping"}"#,
            r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","Method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1,"Method":"tools/call"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","paramſ":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","Name":"b"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"Arguments":{}}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":99999999999999999999,"method":"ping"}"#,
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn spans_are_the_bytes_as_they_came() {
        let text = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments": {"x" : 1.0} }}"#;
        let message = parse(text).unwrap();
        assert_eq!(message.bytes.get(message.span("arguments")).unwrap(), br#"{"x" : 1.0}"#);
        assert!(message.span("task").is_empty());
    }

    #[test]
    fn what_was_read_is_kept_for_those_very_bytes_only() {
        let text =
            |name: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{name}"}}}}"#);
        let (bytes, read) = parse(&text("a")).unwrap().apart();
        let other = text("another").into_bytes();
        assert_eq!(Message::again(other, Some(read)).unwrap().text("name").as_deref(), Some("another"));
        let (bytes, read) = Message::again(bytes, None).unwrap().apart();
        let again = Message::again(bytes, Some(read)).unwrap();
        assert_eq!((again.text("name").as_deref(), &again.kind), (Some("a"), &parse(&text("a")).unwrap().kind));
        let (mut bytes, read) = again.apart();
        bytes.push(b'}');
        assert!(Message::again(bytes, Some(read)).is_err(), "bytes that were changed are read anew");
    }

    #[test]
    fn a_refused_answer_still_tells_whose_it_is() {
        let id = id_of_refused(br#"{"jsonrpc":"2.0","id":7,"result":{"a":1,"a":2}}"#).unwrap();
        assert_eq!(id.canonical, "7");
        assert_eq!(
            id_of_refused(b"{\"jsonrpc\":\"2.0\",\"id\":8,\"result\":{\"a\":\"\xff\"}}").unwrap().canonical,
            "8"
        );
        assert_eq!(id_of_refused(b"Listening on port 3000"), None);
    }
}
