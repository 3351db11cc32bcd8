//! Traces: a collector on loopback gets the spans of calls, and nothing that was said in them.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::gateway::{Gateway, call, folder, request};

const TRACE: [&str; 3] =
    ["0af7651916cd43dd8448eb211c80319c", "1bf7651916cd43dd8448eb211c80319c", "2cf7651916cd43dd8448eb211c80319c"];
const SPAN: &str = "b7ad6b7169203331";

/// Requests that came: the head and the body.
type Taken = Arc<Mutex<Vec<(String, String)>>>;

/// A collector that takes everything.
fn collector() -> (u16, Taken) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, taken) = (listener.local_addr().unwrap().port(), Taken::default());
    let all = Arc::clone(&taken);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, taken) = (stream.unwrap(), Arc::clone(&all));
            std::thread::spawn(move || while take(&stream, &taken).is_some() {});
        }
    });
    (port, taken)
}

fn take(stream: &TcpStream, taken: &Taken) -> Option<()> {
    let (mut head, mut reader) = (String::new(), BufReader::new(stream));
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let head = head.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    reader.read_exact(&mut body).ok()?;
    taken.lock().unwrap().push((head, String::from_utf8(body).unwrap()));
    let mut stream = stream;
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").ok()
}

fn configured(port: u16) -> String {
    format!(
        "[identity]\nuser = \"canary-person\"\ntenant = \"canary-tenant\"\nagent = \"canary-agent\"\nscopes = [\"one:use\"]\n[listen]\nhttp = \"127.0.0.1:0\"\nmetrics = \"127.0.0.1:0\"\n[telemetry]\ntraces = \"http://127.0.0.1:{port}/v1/traces\""
    )
}

/// All spans of some documents.
fn spans(taken: &Taken) -> Vec<Value> {
    let documents = taken.lock().unwrap();
    let document = |(_, body): &(String, String)| serde_json::from_str::<Value>(body).unwrap();
    let spans = |document: Value| document["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().clone();
    documents.iter().map(document).flat_map(spans).collect()
}

fn attribute(span: &Value, key: &str) -> Option<String> {
    let found = span["attributes"].as_array().unwrap().iter().find(|attribute| attribute["key"] == key)?;
    Some(found["value"]["stringValue"].as_str().unwrap_or_default().to_owned())
}

fn parent(trace: &str) -> String {
    format!("00-{trace}-{SPAN}-01")
}

#[test]
fn a_call_is_a_tree_of_spans_below_its_clients_without_anything_that_was_said() {
    let (port, taken) = collector();
    let folder = folder(&[("one", "legacy")], "");
    let secret = folder.path().join("secret");
    fs::write(&secret, "Bearer collector-secret\n").unwrap();
    let file = folder.path().join("refmon.toml");
    let config = fs::read_to_string(&file).unwrap().replace(
        "[[server]]",
        &format!("{}\nheaders = {{ Authorization = \"file://{}\" }}\n[[server]]", configured(port), secret.display()),
    );
    fs::write(&file, config).unwrap();
    let gateway = Gateway::over(folder);
    let session = gateway.begin(None);
    let own = [("mcp-session-id", session.as_str())];
    // In the message; in the header; in both, where the message counts; nowhere well-formed.
    let echo = |meta: Value| {
        request("tools/call", json!({ "name": "echo", "arguments": { "text": "canary-said" }, "_meta": meta }))
    };
    gateway.ask("POST", &own, &echo(json!({ "traceparent": parent(TRACE[0]) })));
    let header = parent(TRACE[1]);
    gateway.ask("POST", &[own[0], ("traceparent", &header)], &echo(json!({})));
    let params =
        json!({ "name": "echo", "arguments": { "text": "canary-said" }, "_meta": { "traceparent": parent(TRACE[2]) } });
    assert_eq!(gateway.modern(None, "tools/call", params).text(), "canary-said");
    gateway.ask(
        "POST",
        &[own[0], ("traceparent", "00-canary-header-01")],
        &echo(json!({ "traceparent": "canary-meta" })),
    );
    gateway.ask("POST", &own, &call("canary-tool", json!({ "canary-name": 1 })));
    let records = gateway.command(&["audit", "search", "--kind", "attempt"]);
    let (_folder, ended) = gateway.stop();
    assert!(ended);

    let spans = spans(&taken);
    assert_eq!(spans.len(), 4 * 4 + 3, "{spans:#?}");
    let roots: Vec<&Value> = spans.iter().filter(|span| span["kind"] == 2).collect();
    assert_eq!(roots.len(), 5);
    for trace in TRACE {
        let root = roots.iter().find(|root| root["traceId"] == trace).unwrap_or_else(|| panic!("{trace} {roots:#?}"));
        assert_eq!((&root["parentSpanId"], &root["name"]), (&json!(SPAN), &json!("tools/call echo")));
        for (key, value) in [
            ("mcp.method.name", "tools/call"),
            ("gen_ai.operation.name", "execute_tool"),
            ("gen_ai.tool.name", "echo"),
            ("network.transport", "tcp"),
            ("refmon.server", "one"),
            ("refmon.decision", "permit"),
            ("refmon.reason", "permitted"),
            ("refmon.end", "ok"),
        ] {
            assert_eq!(attribute(root, key).as_deref(), Some(value), "{key} {root:#?}");
        }
        let children: Vec<&Value> = spans.iter().filter(|span| span["parentSpanId"] == root["spanId"]).collect();
        let mut names: Vec<_> =
            children.iter().map(|span| (span["name"].as_str().unwrap(), span["kind"].as_u64().unwrap())).collect();
        names.sort_unstable();
        assert_eq!(names, [("refmon decide", 1), ("refmon record", 1), ("tools/call echo", 3)]);
        assert!(children.iter().all(|child| child["traceId"] == trace));
    }
    let denied = roots.iter().find(|root| attribute(root, "refmon.decision").as_deref() == Some("deny")).unwrap();
    assert_eq!(
        (&denied["name"], &denied["status"]["code"]),
        (&json!("tools/call"), &json!(2)),
        "a stranger's name is none"
    );
    assert_eq!(attribute(denied, "error.type").as_deref(), Some("tool.unknown"));
    let own_traces = roots.iter().filter(|root| root.get("parentSpanId").is_none()).count();
    assert_eq!(own_traces, 2, "what is not well-formed is no parent");
    let calls: Vec<&str> = records.as_array().unwrap().iter().map(|record| record["call"].as_str().unwrap()).collect();
    let traced = |call: &&str| roots.iter().any(|root| attribute(root, "refmon.call.id").as_deref() == Some(*call));
    assert!(calls.len() == 5 && calls.iter().all(traced), "each span leads to its evidence");
    nothing_was_said(&taken, &session);
}

/// The collector was asked as the configuration says, and got nothing that was said in the calls.
fn nothing_was_said(taken: &Taken, session: &str) {
    for (head, body) in taken.lock().unwrap().iter() {
        assert!(head.starts_with("post /v1/traces http/1.1"), "{head}");
        assert!(head.contains("authorization: bearer collector-secret"), "{head}");
        assert!(head.contains("content-type: application/json"), "{head}");
        assert!(!body.contains("canary") && !body.contains("collector-secret") && !body.contains(session), "{body}");
    }
}

#[test]
fn a_collector_that_is_gone_costs_spans_and_nothing_else() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = gone.local_addr().unwrap().port();
    drop(gone);
    let gateway = Gateway::over(folder(&[("one", "legacy")], &configured(port)));
    let session = gateway.begin(None);
    for _ in 0..20 {
        let answer = gateway.within(&session, None, &call("echo", json!({ "text": "on" })));
        assert_eq!(answer.text(), "on", "{answer:?}");
    }
    let dropped = |_: &i32| gateway.figure("refmon_spans_dropped_total").unwrap() >= 80.0;
    assert!((0..100_000).any(|number| dropped(&number)), "what is dropped is counted");
    assert_eq!(gateway.figure("refmon_spans_exported_total"), Some(0.0));
    let (folder, ended) = gateway.stop();
    assert!(ended);
    let told = Gateway::told(folder.path());
    assert_eq!(told.matches("spans cannot be exported").count(), 1, "once, not for each document: {told}");
}

#[test]
fn a_collector_that_never_answers_delays_no_call_and_not_the_end() {
    let stalls = TcpListener::bind("127.0.0.1:0").unwrap();
    let gateway = Gateway::over(folder(&[("one", "legacy")], &configured(stalls.local_addr().unwrap().port())));
    let session = gateway.begin(None);
    for _ in 0..5 {
        assert_eq!(gateway.within(&session, None, &call("echo", json!({ "text": "on" }))).text(), "on");
    }
    let (_folder, ended) = gateway.stop();
    assert!(ended);
}
