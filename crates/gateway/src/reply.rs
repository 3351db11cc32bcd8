//! Answers of refmon's own: refusals that say why and what to do next.
//!
//! A refused tool call is a tool result with `isError`, so that the model can correct itself; the reason code,
//! the record and the remedies stand in `_meta` under `refmon.dev/verdict`. Another refused request gets a
//! JSON-RPC error outside the ranges that JSON-RPC and MCP reserve.

use refmon_core::ids::HoldId;
use refmon_core::monitor::{Denied, Held, Judgement, Withheld};
use refmon_core::reason::ReasonCode;
use serde_json::{Value, json};

use crate::message::Id;

/// JSON-RPC error codes of refusals, outside of -32768 to -32000.
const DENIED: i64 = -31_000;
const HELD: i64 = -31_001;
const WITHHELD: i64 = -31_002;

/// An answer of refmon's own.
#[derive(Debug)]
pub(crate) struct Reply(Vec<u8>);

/// How the client speaks, as far as answers differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A tool result up to 2025-11-25.
    ToolLegacy,
    /// A tool result from 2026-07-28, which names its `resultType`.
    ToolModern,
    /// Any other request.
    Method,
}

impl Reply {
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// A denial.
    pub(crate) fn denied(shape: Shape, id: &Id, denied: &Denied) -> Self {
        let judgement = denied.judgement();
        let record = denied.call().map(|call| call.to_string());
        let text = format!(
            "refmon denied this call: {}.{}{}",
            sentence(judgement),
            remedies(judgement.reason),
            cited(record.as_deref())
        );
        let verdict = verdict("deny", judgement, record);
        Self::refusal(shape, id, DENIED, text, verdict)
    }

    /// A hold.
    pub(crate) fn held(shape: Shape, id: &Id, held: &Held) -> Self {
        let judgement = held.judgement();
        let hold = held.hold().to_string();
        let text = format!(
            "refmon holds this call until a person decides: {}. To approve it: `refmon holds approve {hold}`. Then send the identical call again; it runs once.",
            sentence(judgement)
        );
        let mut verdict = verdict("hold", judgement, Some(held.call().to_string()));
        if let Some(members) = verdict.as_object_mut() {
            members.insert("hold".to_owned(), json!(hold));
            members.insert(
                "approvals".to_owned(),
                json!(judgement.approvals.iter().map(ToString::to_string).collect::<Vec<_>>()),
            );
        }
        Self::refusal(shape, id, HELD, text, verdict)
    }

    /// Progress of a call that waits for a person, for the client that gave this token.
    pub(crate) fn waits(token: &[u8], hold: HoldId, seconds: u64) -> Self {
        let message = json!(format!("refmon waits for a person to decide on hold {hold}"));
        let mut bytes = br#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"#.to_vec();
        bytes.extend_from_slice(token);
        bytes.extend_from_slice(format!(r#","progress":{seconds},"message":{message}}}}}"#).as_bytes());
        Self(bytes)
    }

    /// A call that ran, whose result the agent does not get.
    pub(crate) fn withheld(shape: Shape, id: &Id, withheld: &Withheld) -> Self {
        let recorded = withheld.reason() == ReasonCode::Permitted;
        let why = if recorded {
            "its output is withheld by policy"
        } else {
            "its end could not be recorded, so its output is withheld"
        };
        let text = format!("The call ran ({}); {why}. Record {}.", withheld.status().as_str(), withheld.call());
        let verdict = json!({
            "decision": "permit", "output": "withheld", "status": withheld.status().as_str(),
            "reason": withheld.reason().as_str(), "record": withheld.call().to_string(),
        });
        Self::refusal(shape, id, WITHHELD, text, verdict)
    }

    /// A protocol error (JSON-RPC 2.0, section 5.1).
    pub(crate) fn protocol_error(id: Option<&Id>, code: i64, message: &str, data: Option<Value>) -> Self {
        let mut error = json!({ "code": code, "message": message });
        if let (Some(data), Some(members)) = (data, error.as_object_mut()) {
            members.insert("data".to_owned(), data);
        }
        Self::envelope(id, "error", &error)
    }

    fn refusal(shape: Shape, id: &Id, code: i64, text: String, verdict: Value) -> Self {
        let meta = json!({ "refmon.dev/verdict": verdict });
        if shape == Shape::Method {
            return Self::protocol_error(Some(id), code, &text, Some(meta));
        }
        let mut result = json!({ "content": [{ "type": "text", "text": text }], "isError": true, "_meta": meta });
        if let (Shape::ToolModern, Some(members)) = (shape, result.as_object_mut()) {
            members.insert("resultType".to_owned(), json!("complete"));
        }
        Self::envelope(Some(id), "result", &result)
    }

    fn envelope(id: Option<&Id>, key: &str, body: &Value) -> Self {
        let mut bytes = b"{\"jsonrpc\":\"2.0\",\"id\":".to_vec();
        bytes.extend_from_slice(id.map_or(b"null", |id| id.spelled.as_slice()));
        bytes.extend_from_slice(format!(",\"{key}\":{body}}}").as_bytes());
        Self(bytes)
    }
}

fn verdict(decision: &str, judgement: &Judgement, record: Option<String>) -> Value {
    let (pointer, expected) = judgement.expected.clone().unzip();
    json!({
        "decision": decision,
        "reason": judgement.reason.as_str(),
        "record": record,
        "pointer": pointer,
        "expected": expected,
        "remedies": judgement.reason.remedies().iter().map(|remedy| remedy.as_str()).collect::<Vec<_>>(),
    })
}

fn sentence(judgement: &Judgement) -> String {
    let reason = judgement.reason;
    let expected = judgement.expected.as_ref().map(|(pointer, expected)| {
        let place = if pointer.is_empty() { String::new() } else { format!(" at {pointer}") };
        format!(" (expected{place}: {expected})")
    });
    format!("{} [{}]{}", reason.sentence(), reason.as_str(), expected.unwrap_or_default())
}

fn remedies(reason: ReasonCode) -> String {
    let sentences: Vec<&str> = reason.remedies().iter().map(|remedy| remedy.sentence()).collect();
    if sentences.is_empty() { String::new() } else { format!(" What to do: {}.", sentences.join("; or ")) }
}

fn cited(record: Option<&str>) -> String {
    record.map(|record| format!(" Record {record}.")).unwrap_or_default()
}
