//! The envelope: what one parser reads and the next one reads differently.

use refmon_core::limits;

use crate::stage::{Stage, call, code};

fn params(text: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{text}}}"#)
}

/// Every frame is refused as malformed, reaches no server and is recorded.
fn malformed(frames: &[&[u8]]) {
    for frame in frames {
        let stage = Stage::new();
        let shown = String::from_utf8_lossy(frame).chars().take(120).collect::<String>();
        let answer = stage.refused(frame);
        assert!(answer["error"].is_object() || answer["result"]["isError"] == true, "{shown}: {answer}");
        assert_eq!(stage.reason(), "arguments.malformed", "{shown}");
    }
}

// stacklok/toolhive#3168, #3406: a method that the table did not list was passed on unchecked.
#[test]
fn an_unknown_method_is_denied() {
    for method in
        ["tools/call2", "Tools/Call", "tools/call ", "tools/invoke", "sampling/createMessage", "", "tools\\u0000/call"]
    {
        let stage = Stage::new();
        let answer =
            stage.refused(format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{"name":"write"}}}}"#));
        assert_eq!(answer["error"]["code"], -32_601, "{method}");
        assert_eq!(stage.reason(), "method.unknown", "{method}");
    }
    Stage::new().passes(&call(1, "write", "{}"));
}

// JSON-RPC 2.0, section 4.1: a server may run a request that comes as a notification, and nobody waits for its end.
#[test]
fn a_call_without_an_identifier_is_dropped_and_recorded() {
    let stage = Stage::new();
    stage.asks(r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"read","arguments":{}}}"#);
    assert_eq!((stage.server.take(), stage.client.take()), (vec![], vec![]));
    assert_eq!(stage.reason(), "method.unknown");
}

// JSON-RPC 2.0, section 6: a guard that looks at the first message of a batch passes the rest.
#[test]
fn a_batch_is_refused() {
    let one = call(1, "read", "{}");
    malformed(&[b"[]", format!("[{one}]").as_bytes(), format!(" [{one},{one}]").as_bytes()]);
}

// CVE-2017-12635 (Apache CouchDB) and bishopfox.com/blog/json-interoperability-vulnerabilities: first or last wins.
#[test]
fn duplicate_keys_are_refused_at_every_depth() {
    malformed(&[
        params(r#"{"name":"read","name":"write","arguments":{}}"#).as_bytes(),
        params(r#"{"name":"read","n\u0061me":"write","arguments":{}}"#).as_bytes(),
        params(r#"{"name":"read","arguments":{},"arguments":{"q":"x"}}"#).as_bytes(),
        params(r#"{"name":"read","arguments":{"q":"a","q":"b"}}"#).as_bytes(),
        params(r#"{"name":"read","arguments":{"q":[{"x":{"a":1,"\u0061":2}}]}}"#).as_bytes(),
        br#"{"jsonrpc":"2.0","id":1,"id":2,"method":"tools/call","params":{"name":"read"}}"#,
        br#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call","params":{"name":"write"}}"#,
    ]);
}

// CVE-2026-27896 (Go SDK for MCP): keys were matched without regard to case, and the guard's were not.
#[test]
fn keys_that_differ_only_in_case_are_refused() {
    malformed(&[
        params(r#"{"name":"read","Name":"write","arguments":{}}"#).as_bytes(),
        params(r#"{"Name":"write","arguments":{}}"#).as_bytes(),
        params(r#"{"name":"read","arguments":{},"ARGUMENTS":{"q":"x"}}"#).as_bytes(),
        // The long s and the Kelvin sign fold to ASCII letters.
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"read\"},\"param\u{17f}\":{}}"
            .as_bytes(),
        params("{\"name\":\"read\",\"argument\u{17f}\":{\"q\":\"x\"}}").as_bytes(),
        params("{\"name\":\"read\",\"ta\\u017f\u{212a}\":{}}").as_bytes(),
        params("{\"name\":\"read\",\"tas\u{212a}\":{}}").as_bytes(),
    ]);
}

// A key with NUL ends early where strings are C strings (CWE-158).
#[test]
fn keys_with_nul_are_refused() {
    malformed(&[
        params(r#"{"name":"read","name\u0000":"write","arguments":{}}"#).as_bytes(),
        params(r#"{"name":"read","arguments":{"q\u0000x":"a"}}"#).as_bytes(),
        params("{\"name\":\"read\",\"arguments\":{\"q\0\":\"a\"}}").as_bytes(),
    ]);
}

// RFC 8259, section 8.1: some parsers skip a byte order mark, some do not; and bytes that are not UTF-8 are guessed at.
#[test]
fn a_byte_order_mark_and_invalid_utf8_are_refused() {
    let fine = call(1, "read", "{}");
    let invalid: [&[u8]; 4] = [b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"];
    malformed(&[format!("\u{feff}{fine}").as_bytes()]);
    for bytes in invalid {
        malformed(&[&[
            br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read","arguments":{"q":""#,
            bytes,
            br#""}}}"#,
        ]
        .concat()]);
    }
}

// RFC 8259, section 8.2: half of a surrogate pair has no reading that two programs share.
#[test]
fn lone_surrogates_are_refused() {
    malformed(&[
        params(r#"{"name":"read","arguments":{"q":"\ud800"}}"#).as_bytes(),
        params(r#"{"name":"read","arguments":{"q":"\udc00\ud800"}}"#).as_bytes(),
        params(r#"{"name":"re\ud800ad","arguments":{}}"#).as_bytes(),
    ]);
    Stage::new().passes(&call(1, "read", r#"{"q":"\ud83d\ude00"}"#));
}

// CVE-2024-21907 and its kin: nesting that exhausts the stack of the guard or of the server.
#[test]
fn deep_nesting_is_refused() {
    let deep = limits::JSON_DEPTH_MAX * 400;
    let nested = format!("{}{}", "[".repeat(deep), "]".repeat(deep));
    malformed(&[
        params(&format!(r#"{{"name":"read","arguments":{{"q":{nested}}}}}"#)).as_bytes(),
        params(&format!(r#"{{"name":"read","_meta":{}"#, "{\"a\":".repeat(deep))).as_bytes(),
        "[".repeat(deep).as_bytes(),
    ]);
}

// Numbers beyond 64 bits are rounded by some programs and cut by others (RFC 8259, section 6).
#[test]
fn numbers_that_programs_round_are_refused() {
    for number in
        ["18446744073709551616", "-9223372036854775809", "1e400", "1.00000000000000000001", "9007199254740993"]
    {
        let stage = Stage::new();
        let answer = stage.refused(call(1, "read", &format!(r#"{{"n":{number}}}"#)));
        assert_eq!(code(&answer), "arguments.malformed", "{number}");
    }
    Stage::new().passes(&call(1, "read", r#"{"n":9007199254740991}"#));
}

// The bytes that were judged are the bytes that are sent: nothing is spelled anew.
#[test]
fn a_permitted_call_is_sent_as_it_came() {
    let spelled = r#" {"params" : {"arguments":{ "n":1.0 , "q":"\u0061\/" },"name":"re\u0061d"},"id":7,"method":"tools/call","jsonrpc":"2.0" } "#;
    Stage::new().passes(spelled);
}

// Found here: what stands between two line ends was a message of its own. Some readers end a line at a carriage return, too.
#[test]
fn a_message_leaves_as_one_line_for_every_reader_of_lines() {
    let stage = Stage::new();
    let inner = r#"{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"name":"delete"}}"#;
    for (id, end) in (1..).zip(["\n", "\r", "\r\n"]) {
        let call = |end: &str| {
            let hidden = format!("\"x\":{end}{inner}{end}");
            format!(
                r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"read","_meta":{{{hidden}}}}}}}"#
            )
        };
        let answer = |end: &str| format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"x":{end}{inner}{end}}}}}"#);
        let blank = " ".repeat(end.len());
        stage.asks(call(end));
        assert_eq!(stage.server.take(), [call(&blank)], "{end:?}");
        stage.answers(answer(end));
        assert_eq!(stage.client.take(), [answer(&blank)], "{end:?}");
    }
}

// An identifier in use: the answer of the first call would be taken for that of the second.
#[test]
fn an_identifier_in_use_is_refused_however_it_is_spelled() {
    let stage = Stage::new();
    let frame = |id: &str| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"read"}}}}"#);
    stage.passes(&frame("\"a\""));
    for again in ["\"a\"", "\"\\u0061\""] {
        assert_eq!(code(&stage.refused(frame(again))), "limit.duplicate-id");
    }
    stage.passes(&frame("\"b\""));
    assert_eq!(stage.permits(), 2);
}

// A cancelled call may still be answered. Whoever takes its identifier again must not get that answer.
#[test]
fn a_late_answer_of_a_cancelled_call_is_not_the_answer_of_another() {
    let stage = Stage::new();
    stage.passes(&call(5, "secret", "{}"));
    stage.passes(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":5}}"#);
    stage.asks(r#"{"jsonrpc":"2.0","id":5,"method":"ping"}"#);
    stage.client.take();
    stage.answers(r#"{"jsonrpc":"2.0","id":5,"result":{"content":[{"type":"text","text":"CANARY"}]}}"#);
    let shown = stage.client.take().concat();
    assert!(!shown.contains("CANARY"), "what was withheld is shown as the answer of a ping: {shown}");
}
