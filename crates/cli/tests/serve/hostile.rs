//! Requests that are not what they should be.

use std::io::{Read as _, Write as _};

use serde_json::{Value, json};

use crate::gateway::{Gateway, LOCAL, call, modern, parse, request};

fn reasons(gateway: &Gateway) -> Vec<String> {
    let found = gateway.command(&["audit", "search", "--kind", "attempt"]);
    let rows = found.as_array().cloned().unwrap_or_default();
    rows.iter().filter_map(|row| Some(row["reason"].as_str()?.to_owned())).collect()
}

#[test]
fn another_host_or_page_is_turned_away_before_anything_is_read() {
    let gateway = Gateway::start(&[("one", "legacy")], LOCAL);
    let hello = request("initialize", json!({ "protocolVersion": "2025-11-25" }));
    let own = format!("127.0.0.1:{}", gateway.port);
    let page = format!("http://localhost:{}", gateway.port);
    assert_eq!(gateway.ask("POST", &[("host", &own), ("origin", &page)], &hello).status, 200);
    for header in
        [("host", "evil.example"), ("host", "localhost"), ("origin", "http://evil.example"), ("origin", "null")]
    {
        for method in ["POST", "GET", "DELETE", "OPTIONS"] {
            let answer = gateway.ask(method, &[header], &hello);
            assert_eq!(answer.status, 403, "{method} {header:?}");
            assert!(!answer.headers.keys().any(|name| name.starts_with("access-control")), "{answer:?}");
        }
    }
}

#[test]
fn what_has_no_single_reading_is_denied_and_recorded() {
    let gateway = Gateway::start(&[("one", "legacy")], LOCAL);
    let session = gateway.begin(None);
    let call = |params: &str| format!(r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{params}}}"#);
    let bodies = [
        call(r#"{"name":"echo","name":"ask","arguments":{}}"#),
        call(r#"{"name":"echo","Name":"ask","arguments":{}}"#),
        r#"{"jsonrpc":"2.0","id":7,"method":"ping","method":"tools/call","params":{"name":"echo"}}"#.to_owned(),
        r#"[{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"echo"}}]"#.to_owned(),
        "{".to_owned(),
        String::new(),
        format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)),
        "\u{feff}{}".to_owned(),
        call("{\"name\":\"echo\",\"arguments\":{\"text\":\"\\ud800\"}}"),
    ];
    for body in &bodies {
        let answer = gateway.within(&session, None, body);
        assert_eq!(answer.status, 400, "{body:.60} {answer:?}");
        assert!(answer.last()["error"]["data"]["record"].is_string(), "{body:.60} {answer:?}");
    }
    assert!(gateway.log("one").is_empty());
    let recorded = reasons(&gateway).iter().filter(|reason| *reason == "arguments.malformed").count();
    assert_eq!(recorded, bodies.len());
}

#[test]
fn headers_that_disagree_with_the_body_are_refused() {
    let gateway = Gateway::start(&[("one", "modern")], LOCAL);
    let (_, body) = modern("tools/call", json!({ "name": "ask", "arguments": {} }));
    let version = ("mcp-protocol-version", "2026-07-28");
    let method = ("mcp-method", "tools/call");
    for headers in [
        &[version, method, ("mcp-name", "echo")][..],
        &[version, method],
        &[version, ("mcp-method", "tools/list"), ("mcp-name", "ask")],
        &[("mcp-protocol-version", "2025-11-25"), method, ("mcp-name", "ask")],
        &[method, ("mcp-name", "ask")],
        &[version, version, method, ("mcp-name", "ask")],
    ] {
        let answer = gateway.ask("POST", headers, &body);
        assert_eq!((answer.status, &answer.last()["error"]["code"]), (400, &json!(-32020)), "{headers:?} {answer:?}");
    }
    let unknown = body.replace("2026-07-28", "2027-01-01");
    let answer = gateway.ask("POST", &[("mcp-protocol-version", "2027-01-01"), method, ("mcp-name", "ask")], &unknown);
    assert_eq!((answer.status, &answer.last()["error"]["code"]), (400, &json!(-32022)), "{answer:?}");
    assert!(gateway.log("one").is_empty());
}

#[test]
fn a_body_over_the_limit_is_refused_and_the_next_request_answered() {
    let gateway = Gateway::start(&[("one", "legacy")], LOCAL);
    let session = gateway.begin(None);
    let big = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","x":"{}"}}"#, "x".repeat(17 * 1024 * 1024));
    assert!(matches!(gateway.within(&session, None, &big).status, 413 | 0), "a giant body is refused");
    let declared = format!(
        "POST /mcp HTTP/1.1\r\nhost: localhost:{}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: 99999999999\r\n\r\n",
        gateway.port
    );
    assert_eq!(gateway.raw(declared.as_bytes()).status, 413);
    let head =
        format!("POST /mcp HTTP/1.1\r\nhost: localhost:{}\r\nx: {}\r\n\r\n", gateway.port, "x".repeat(128 * 1024));
    assert!(matches!(gateway.raw(head.as_bytes()).status, 0 | 400 | 431), "a giant head is refused");
    assert_eq!(gateway.within(&session, None, &call("echo", json!({ "text": "on" }))).text(), "on");
}

#[test]
fn a_thousand_silent_connections_harm_nobody() {
    let gateway = Gateway::start(&[("one", "legacy")], LOCAL);
    let session = gateway.begin(None);
    let silent: Vec<_> = (0..1_000)
        .map(|number| {
            let mut stream = gateway.connect();
            let begun: &[u8] = if number % 2 == 0 { b"" } else { b"POST /mcp HTTP/1.1\r\nhost: loc" };
            stream.write_all(begun).unwrap();
            stream
        })
        .collect();
    assert_eq!(gateway.within(&session, None, &call("echo", json!({ "text": "here" }))).text(), "here");
    drop(silent);
}

#[test]
fn two_requests_in_one_are_not_smuggled() {
    let gateway = Gateway::start(&[("one", "legacy")], LOCAL);
    let session = gateway.begin(None);
    let inner = call("echo", json!({ "text": "smuggled" }));
    let host =
        format!("host: localhost:{}\r\nmcp-session-id: {session}\r\ncontent-type: application/json\r\n", gateway.port);
    let hidden = format!("POST /mcp HTTP/1.1\r\n{host}content-length: {}\r\n\r\n{inner}", inner.len());
    for lengths in ["content-length: 0\r\ntransfer-encoding: chunked\r\n", "content-length: 4\r\ncontent-length: 0\r\n"]
    {
        let outer = format!("POST /mcp HTTP/1.1\r\n{host}{lengths}\r\n0\r\n\r\n{hidden}");
        let mut stream = gateway.connect();
        stream.write_all(outer.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _broken = stream.read_to_end(&mut answer).is_err();
        let status = parse(&answer).status;
        assert!(matches!(status, 400 | 0), "{lengths} gave {status}");
    }
    assert!(gateway.log("one").is_empty(), "{:?}", gateway.log("one"));
    // A length that comes second is not seen. What stands in front may end the request there: nothing follows it.
    let outer = call("echo", json!({ "text": "outer" }));
    let body = format!("{:x}\r\n{outer}\r\n0\r\n\r\n", outer.len());
    let lengths = "transfer-encoding: chunked\r\ncontent-length: 4\r\n";
    let mut stream = gateway.connect();
    stream.write_all(format!("POST /mcp HTTP/1.1\r\n{host}{lengths}\r\n{body}{hidden}").as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _broken = stream.read_to_end(&mut answer).is_err();
    assert!(String::from_utf8_lossy(&answer).contains("connection: close"), "{answer:?}");
    assert_eq!(gateway.log("one"), [json!(["echo", { "text": "outer" }])]);
}

// Found here: connections that asked for nothing but whether the gateway is alive were half of all there are.
#[test]
fn who_has_not_said_who_it_is_keeps_no_connection() {
    let gateway = Gateway::start(&[("one", "legacy")], crate::gateway::KEYS);
    for (path, status) in [("/healthz", 200), ("/readyz", 200), ("/nowhere", 404), ("/mcp", 401), ("/v1/halts", 401)] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost:{}\r\n\r\n", gateway.port);
        let mut stream = gateway.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        // It ends by itself: what is asked for next finds nobody.
        stream.read_to_end(&mut answer).unwrap();
        assert_eq!(parse(&answer).status, status, "{path}");
    }
}

#[test]
fn forged_answers_and_unknown_methods_reach_no_server() {
    let gateway = Gateway::start(&[("one", "legacy")], LOCAL);
    let session = gateway.begin(None);
    for id in ["\"question\"", "\"refmon-0\"", "1", "null"] {
        let forged = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":{{"name":"mallory"}}}}}}"#);
        let answer = gateway.within(&session, None, &forged);
        assert!(matches!(answer.status, 202 | 400), "{id} {answer:?}");
    }
    for method in ["tools/Call", "admin/drop", "tools/call ", "sampling/createMessage"] {
        let answer = gateway.within(&session, None, &request(method, json!({ "name": "echo", "arguments": {} })));
        assert_eq!(answer.last()["error"]["code"], json!(-32601), "{method} {answer:?}");
    }
    let message: Value =
        json!({ "jsonrpc": "2.0", "method": "tools/call", "params": { "name": "echo", "arguments": {} } });
    assert_eq!(gateway.within(&session, None, &message.to_string()).status, 202);
    assert_eq!(gateway.within(&session, None, &call("echo", json!({ "text": "x" }))).text(), "x");
    assert_eq!(gateway.log("one"), [json!(["echo", { "text": "x" }])]);
}

#[test]
fn health_is_told_without_a_credential_and_nothing_else_is() {
    let gateway = Gateway::start(&[("one", "legacy")], crate::gateway::KEYS);
    let get = |path: &str| {
        let head = format!("GET {path} HTTP/1.1\r\nhost: localhost:{}\r\nconnection: close\r\n\r\n", gateway.port);
        let answer = gateway.raw(head.as_bytes());
        (answer.status, answer.body)
    };
    assert_eq!(get("/healthz"), (200, "alive\n".to_owned()));
    assert_eq!(get("/readyz"), (200, "ready\n".to_owned()));
    assert_eq!(get("/").0, 303, "the console asks who comes");
    for path in ["/mcp/", "/mcp/one", "/..%2fmcp", "/metrics", "/.well-known/oauth-protected-resource"] {
        assert_eq!(get(path).0, 404, "{path}");
    }
    assert_eq!(get("/mcp").0, 401);
}

#[test]
fn one_caller_and_one_slow_server_hold_up_nobody_else() {
    let gateway = Gateway::start(&[("one", "legacy"), ("two", "stall")], crate::gateway::KEYS);
    let ((_, eve), (_, ada)) = (gateway.key("eve", "evil"), gateway.key("ada", "acme"));
    let (slow, own) = (gateway.begin(Some(&eve)), gateway.begin(Some(&ada)));
    let bearer = format!("Bearer {eve}");
    let headers = [("mcp-session-id", slow.as_str()), ("authorization", bearer.as_str())];
    let request = gateway.written("POST", &headers, &call("two__echo", json!({ "text": "x" })));
    let waiting: Vec<_> = (0..700)
        .map(|_| {
            let mut stream = gateway.connect();
            stream.write_all(request.as_bytes()).unwrap();
            stream
        })
        .collect();
    for _ in 0..3 {
        let answer = gateway.within(&own, Some(&ada), &call("one__echo", json!({ "text": "here" })));
        assert_eq!(answer.text(), "here", "{answer:?}");
    }
    drop(waiting);
}

#[test]
fn a_server_name_that_could_be_part_of_a_tools_is_refused_among_several() {
    let folder = crate::gateway::folder(&[("a", "legacy"), ("a__b", "legacy")], LOCAL);
    let out = crate::gateway::refmon(folder.path(), &["serve"]).output().unwrap();
    assert_eq!(out.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&out.stderr).contains("rename it"), "{out:?}");
}
