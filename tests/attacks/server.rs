//! A server that attacks: answers nobody asked for, answers with two readings, requests of its own, and tasks.

use refmon_core::record::Status;
use serde_json::{Value, json};

use crate::stage::{Stage, call, code};

// JSON-RPC 2.0, section 5: an answer to a request that nobody made is taken for somebody else's.
#[test]
fn an_answer_to_nothing_is_dropped() {
    let stage = Stage::new();
    for id in ["1", "\"list\"", "\"refmon/tools/x/1\"", "null"] {
        stage.answers(format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":[]}}}}"#));
    }
    assert_eq!((stage.client.take(), stage.server.take()), (vec![], vec![]));
    stage.passes(&call(1, "read", "{}"));
    let answer = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[]}}"#;
    stage.answers(answer);
    assert_eq!(stage.client.take(), [answer]);
    stage.answers(answer);
    assert_eq!(stage.client.take(), [""; 0], "the second answer to one request is dropped");
}

// bishopfox.com/blog/json-interoperability-vulnerabilities, this time in what comes back.
#[test]
fn an_answer_with_two_readings_is_not_forwarded() {
    let frames: [&[u8]; 6] = [
        br#"{"jsonrpc":"2.0","id":1,"result":{"content":[],"content":[{"type":"text","text":"CANARY"}]}}"#,
        br#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"a","text":"CANARY"}]}}"#,
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"content\":\"CANARY\xff\"}}",
        br#"{"jsonrpc":"2.0","id":1,"result":{"content":"CANARY"},"Result":{}}"#,
        br#"{"jsonrpc":"2.0","id":1,"result":{"content":"CANARY"},"error":{}}"#,
        br#"{"id":1,"result":{"content":"CANARY"}}"#,
    ];
    for frame in frames {
        let stage = Stage::new();
        stage.passes(&call(1, "write", "{}"));
        stage.answers(frame);
        let shown = stage.client.take();
        assert_eq!(shown.len(), 1, "the client learns that its call has ended");
        assert!(!shown[0].contains("CANARY"), "{}", shown[0]);
        assert_eq!(stage.ends(), [(Status::Malformed, false)]);
    }
}

#[test]
fn an_answer_is_matched_however_its_identifier_is_spelled() {
    let stage = Stage::new();
    stage.passes(r#"{"jsonrpc":"2.0","id":"ab","method":"tools/call","params":{"name":"secret"}}"#);
    stage.answers(r#"{"jsonrpc":"2.0","id":"\u0061b","result":{"content":"CANARY"}}"#);
    let shown = stage.client.take();
    assert!(shown.len() == 1 && !shown[0].contains("CANARY"), "{shown:?}");
    assert_eq!(stage.ends(), [(Status::Ok, false)]);
    // A number and a text are different identifiers.
    stage.passes(&call(7, "read", "{}"));
    stage.answers(r#"{"jsonrpc":"2.0","id":"7","result":{"content":"CANARY"}}"#);
    assert_eq!(stage.client.take(), [""; 0]);
}

// unit42.paloaltonetworks.com "MCP sampling attack vectors": a server asks the agent's model, or its person, by itself.
#[test]
fn a_server_that_asks_for_sampling_or_elicitation_is_denied() {
    for method in ["sampling/createMessage", "elicitation/create", "roots/list", "tools/call", "resources/read", "x/y"]
    {
        let stage = Stage::new();
        stage.answers(format!(r#"{{"jsonrpc":"2.0","id":9,"method":"{method}","params":{{"message":"CANARY"}}}}"#));
        assert_eq!(stage.client.take(), [""; 0], "{method}");
        let answer = stage.server.take();
        assert!(answer.len() == 1 && answer[0].contains("\"error\""), "{method}: {answer:?}");
        assert_eq!(stage.reason(), "method.unknown", "{method}");
        // An answer that a client gives all the same does not reach the server.
        stage.asks(r#"{"jsonrpc":"2.0","id":9,"result":{"action":"accept"}}"#);
        assert_eq!(stage.server.take(), [""; 0], "{method}");
    }
}

fn input_required(requests: &Value) -> String {
    json!({ "jsonrpc": "2.0", "id": 1, "result": { "resultType": "input_required", "inputRequests": requests, "requestState": "x" } })
        .to_string()
}

/// A permitted call is answered; the client must not see what the answer asks for.
fn withheld(answer: &str) {
    let stage = Stage::new();
    stage.passes(&call(1, "write", "{}"));
    stage.answers(answer);
    let shown = stage.client.take();
    assert_eq!(shown.len(), 1);
    assert!(!shown[0].contains("CANARY"), "what was not judged is shown: {}", shown[0]);
    let refusal: Value = serde_json::from_str(&shown[0]).unwrap();
    assert!(!code(&refusal).is_empty() && !shown[0].contains("requestState"));
}

// MCP 2026-07-28, multi round-trip requests: an elicitation inside of a result is an elicitation.
#[test]
fn a_result_that_asks_for_denied_input_is_withheld() {
    let asks = json!({ "method": "elicitation/create", "params": { "message": "CANARY" } });
    withheld(&input_required(&json!({ "a": asks })));
    withheld(&input_required(&json!({ "a": { "method": "x/y", "params": { "message": "CANARY" } } })));
    withheld(&input_required(&json!({ "a": "CANARY" })));
}

#[test]
fn a_result_that_asks_for_input_in_another_shape_is_withheld() {
    let asks = json!({ "method": "elicitation/create", "params": { "message": "CANARY" } });
    withheld(&input_required(&json!([asks])));
}

#[test]
fn a_result_that_asks_for_input_under_another_type_is_withheld() {
    let asks = json!({ "a": { "method": "elicitation/create", "params": { "message": "CANARY" } } });
    for kind in [json!("complete"), json!("Input_Required"), Value::Null] {
        withheld(&json!({ "jsonrpc": "2.0", "id": 1, "result": { "resultType": kind, "inputRequests": asks, "content": [] } }).to_string());
    }
}

// The result of a task is fetched by another request, where an obligation on the call could not be met.
#[test]
fn a_task_does_not_escape_an_obligation() {
    for task in ["{}", r#"{"ttl":1}"#, "null", "[]"] {
        let stage = Stage::new();
        let frame = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"secret","arguments":{{}},"task":{task}}}}}"#
        );
        assert_eq!(code(&stage.refused(frame)), "policy.obligation-unsupported", "{task}");
    }
    let stage = Stage::new();
    stage.passes(&call(1, "secret", "{}"));
    stage.answers(r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"task","task":{"taskId":"CANARY"}}}"#);
    let shown = stage.client.take().concat();
    assert!(shown.contains("withheld") && !shown.contains("CANARY"), "{shown}");
}

#[test]
fn an_error_does_not_escape_an_obligation() {
    let stage = Stage::new();
    stage.passes(&call(1, "secret", "{}"));
    stage.answers(r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"CANARY"}}"#);
    let shown = stage.client.take().concat();
    assert!(shown.contains("withheld") && !shown.contains("CANARY"), "{shown}");
}

// A notification that looks like one of the protocol's.
#[test]
fn an_unknown_notification_of_the_server_is_dropped() {
    let stage = Stage::new();
    for method in ["notifications/tools/call", "tools/call", "Notifications/message", "notifications/initialized"] {
        stage.answers(format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{{}}}}"#));
    }
    assert_eq!((stage.client.take(), stage.server.take()), (vec![], vec![]));
}
