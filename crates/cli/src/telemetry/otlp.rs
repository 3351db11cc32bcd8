//! Spans as an OTLP document (`http/json`), with the names of OpenTelemetry's conventions for MCP and GenAI.
//!
//! JSON by hand: the OpenTelemetry crates would bring a second HTTP client or protocol buffers, and a processor of spans with
//! threads of its own, for what is one document with a known shape.

use refmon_core::decision::Decision;
use refmon_core::record::{Door, Status};
use serde_json::{Value, json};

use super::spans::{Begun, End, Ended};

const INTERNAL: u8 = 1;
const SERVER: u8 = 2;
const CLIENT: u8 = 3;
const ERROR: u8 = 2;

/// One document with the spans of some calls.
pub(super) fn document(calls: &[Ended]) -> Value {
    let spans: Vec<Value> = calls.iter().flat_map(spans).collect();
    let version = env!("CARGO_PKG_VERSION");
    json!({ "resourceSpans": [{
        "resource": { "attributes": [text("service.name", "refmon"), text("service.version", version)] },
        "scopeSpans": [{ "scope": { "name": "refmon", "version": version }, "spans": spans }],
    }] })
}

/// The spans of a call: itself, its decision, its record, and the server's work if it was permitted.
fn spans(call: &Ended) -> Vec<Value> {
    let Ended { begun, end } = call;
    let (method, tool) = begun.operation();
    let name = match (method, tool) {
        (Some(method), Some(tool)) => format!("{method} {tool}"),
        (Some(method), None) => method.to_owned(),
        (None, _) => "unknown".to_owned(),
    };
    let [own, decide, record, execute] = begun.spans.map(|span| hex(&span));
    let attempt = &begun.attempt;
    let start = attempt.at.unix_us;
    let decided = start.saturating_add(attempt.decide_us);
    let recorded = decided.saturating_add(begun.append_us);
    let over = end.as_ref().map_or(recorded, |end| end.unix_us.max(recorded));
    let error = error(begun, end.as_ref());
    let shared = shared(begun, method, tool);

    let mut attributes = shared.clone();
    attributes.extend(judged(begun, end.as_ref()));
    attributes.extend(error.map(|error| text("error.type", error)));
    let mut root = span(begun, &own, &name, SERVER, (start, over), attributes);
    if let (Some(parent), Some(root)) = (begun.parent, root.as_object_mut()) {
        root.insert("parentSpanId".to_owned(), json!(hex(&parent.span)));
    }
    let mut spans = vec![
        failed(root, error),
        child(span(begun, &decide, "refmon decide", INTERNAL, (start, decided), Vec::new()), &own),
        child(span(begun, &record, "refmon record", INTERNAL, (decided, recorded), Vec::new()), &own),
    ];
    if let Some(end) = end {
        let began = end.execute_us.map_or(recorded, |micros| end.unix_us.saturating_sub(micros));
        let mut attributes = shared;
        attributes.extend(error.map(|error| text("error.type", error)));
        let work = span(begun, &execute, &name, CLIENT, (began, over.max(began)), attributes);
        spans.push(child(failed(work, error), &own));
    }
    spans
}

/// What the conventions ask for of the call and of the server's work.
fn shared(begun: &Begun, method: Option<&str>, tool: Option<&str>) -> Vec<Value> {
    let mut attributes = vec![text("refmon.server", begun.attempt.server.as_str())];
    attributes.extend(method.map(|method| text("mcp.method.name", method)));
    if method == Some("tools/call") {
        attributes.push(text("gen_ai.operation.name", "execute_tool"));
    }
    attributes.extend(tool.map(|tool| text("gen_ai.tool.name", tool)));
    attributes
}

/// What refmon knows of the call.
fn judged(begun: &Begun, end: Option<&End>) -> Vec<Value> {
    let attempt = &begun.attempt;
    let mut attributes = vec![
        text("refmon.call.id", &attempt.call.to_string()),
        text("refmon.subject", &attempt.subject.to_string()),
        text("refmon.trajectory.id", &attempt.trajectory.to_string()),
        text("refmon.door", attempt.door.as_str()),
        text("refmon.decision", attempt.decision.as_str()),
        text("refmon.reason", attempt.reason.as_str()),
    ];
    match attempt.door {
        Door::McpHttp | Door::Access | Door::Calls => {
            attributes.extend([text("network.transport", "tcp"), text("network.protocol.name", "http")])
        }
        Door::McpStdio => attributes.push(text("network.transport", "pipe")),
        Door::Library => {}
    }
    attributes.extend(attempt.hold.map(|hold| text("refmon.hold.id", &hold.to_string())));
    attributes.extend(end.map(|end| text("refmon.end", end.how)));
    attributes.extend(end.map(|end| json!({ "key": "refmon.released", "value": { "boolValue": end.released } })));
    attributes
}

/// The class of the error, if it was one. A call that waits for a person is none.
fn error(begun: &Begun, end: Option<&End>) -> Option<&'static str> {
    let Some(end) = end else {
        return (begun.attempt.decision == Decision::Deny).then(|| begun.attempt.reason.as_str());
    };
    match end.how {
        how if how == Status::Ok.as_str() || how == Status::InputRequired.as_str() => None,
        // The conventions have a name for a tool that says it failed.
        how if how == Status::ToolError.as_str() => Some("tool_error"),
        how => Some(how),
    }
}

fn span(begun: &Begun, id: &str, name: &str, kind: u8, (from, to): (u64, u64), attributes: Vec<Value>) -> Value {
    let nanos = |micros: u64| format!("{}", u128::from(micros) * 1_000);
    json!({
        "traceId": hex(&begun.trace),
        "spanId": id,
        "name": name,
        "kind": kind,
        "startTimeUnixNano": nanos(from),
        "endTimeUnixNano": nanos(to),
        "attributes": attributes,
    })
}

fn child(mut span: Value, parent: &str) -> Value {
    span["parentSpanId"] = json!(parent);
    span
}

fn failed(mut span: Value, error: Option<&str>) -> Value {
    if error.is_some() {
        span["status"] = json!({ "code": ERROR });
    }
    span
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
