//! What a caller can use up, and what slow and silent servers cost.

use std::fs;
use std::io::Write as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::gateway::{Gateway, KEYS, LOCAL, call, processes, request};

fn tools(gateway: &Gateway) -> Vec<String> {
    let listed = gateway.modern(None, "tools/list", json!({})).last();
    let tools = listed["result"]["tools"].as_array().unwrap_or_else(|| panic!("{listed}"));
    tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_server_that_is_slow_to_start_is_left_out_is_told_of_once_and_comes_later() {
    let gateway = Gateway::start(&[("one", "legacy"), ("two", "full late")], LOCAL);
    assert_eq!(tools(&gateway), ["one__echo", "one__ask", "one__wait"]);
    assert_eq!(tools(&gateway).len(), 3);
    let told = Gateway::told(gateway.folder());
    assert_eq!(told.matches("the server `two` took longer than 20 seconds").count(), 1, "{told}");
    fs::write(gateway.folder().join("two.log.go"), "").unwrap();
    let start = Instant::now();
    while !tools(&gateway).contains(&"two__echo".to_owned()) {
        assert!(start.elapsed() < crate::gateway::PATIENCE, "{}", Gateway::told(gateway.folder()));
    }
    let starts = gateway.log("two").iter().filter(|entry| entry[0] == "started").count();
    assert_eq!(starts, 1, "the handshake of the first list went on; nothing was started again");
}

#[test]
fn a_server_whose_client_goes_away_during_the_handshake_is_let_go() {
    let gateway = Gateway::start(&[("two", "full late")], LOCAL);
    let hello =
        json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } });
    let mut stream = gateway.connect();
    stream.write_all(gateway.written("POST", &[], &request("initialize", hello)).as_bytes()).unwrap();
    gateway.wait_for("two", "started");
    let log = gateway.folder().join("two.log");
    assert!(!processes(&log).is_empty());
    drop(stream);
    let start = Instant::now();
    while !processes(&log).is_empty() {
        assert!(start.elapsed() < crate::gateway::PATIENCE, "a server outlives the client that it was started for");
    }
}

#[test]
fn a_caller_has_a_bounded_number_of_server_processes_and_is_told_so() {
    let gateway = Gateway::start(&[("one", "legacy")], &format!("{KEYS}\nprocesses_per_caller = 2"));
    let ((_, ada), (_, bob)) = (gateway.key("ada", "acme"), gateway.key("bob", "acme"));
    let first = gateway.begin(Some(&ada));
    gateway.begin(Some(&ada));
    let hello =
        json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } });
    let (bearer, hello) = (format!("Bearer {ada}"), request("initialize", hello));
    let refused = gateway.ask("POST", &[("authorization", bearer.as_str())], &hello);
    let text = refused.last()["error"]["message"].as_str().unwrap_or_default().to_owned();
    assert!(text.contains("2 server processes already") && text.contains("end a session"), "{refused:?}");
    assert!(!refused.headers.contains_key("mcp-session-id"));
    assert!(Gateway::told(gateway.folder()).contains("`ada` has 2 server processes already"));
    let other = gateway.begin(Some(&bob));
    assert_eq!(gateway.within(&other, Some(&bob), &call("echo", json!({ "text": "b" }))).text(), "b");
    let ended = gateway.ask("DELETE", &[("authorization", bearer.as_str()), ("mcp-session-id", &first)], "");
    assert_eq!(ended.status, 204);
    gateway.begin(Some(&ada));
}

// Found here: clients that had gone without a word kept the places of those that came.
#[test]
fn the_longest_idle_session_makes_room_for_a_new_one_of_the_same_person() {
    let gateway =
        Gateway::start(&[("one", "legacy")], &format!("{KEYS}\nprocesses_per_caller = 2\nsession_idle_seconds = 1"));
    let (_, ada) = gateway.key("ada", "acme");
    let echo = |session: &str| gateway.within(session, Some(&ada), &call("echo", json!({ "text": "x" })));
    let (oldest, newer) = (gateway.begin(Some(&ada)), gateway.begin(Some(&ada)));
    std::thread::sleep(Duration::from_millis(1_100));
    assert_eq!(echo(&newer).text(), "x");
    let hello =
        json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } });
    let (bearer, hello) = (format!("Bearer {ada}"), request("initialize", hello));
    let start = Instant::now();
    // The process of the one that makes room may take a moment to end.
    while !gateway.ask("POST", &[("authorization", bearer.as_str())], &hello).headers.contains_key("mcp-session-id") {
        assert!(start.elapsed() < crate::gateway::PATIENCE, "{}", Gateway::told(gateway.folder()));
    }
    assert_eq!(echo(&oldest).status, 404);
}

// Found here: a newer client's call of an older server was ended in the middle, for nothing came from the client meanwhile.
#[test]
fn a_client_whose_call_is_under_way_is_not_idle() {
    let gateway = Gateway::start(&[("one", "full legacy")], &format!("{LOCAL}\nsession_idle_seconds = 1"));
    let waiting = gateway.modern_stream(None, "tools/call", json!({ "name": "wait", "arguments": {} }));
    gateway.wait_for("one", "wait");
    // Longer than it takes until idle clients are looked for.
    std::thread::sleep(Duration::from_secs(32));
    assert!(!processes(&gateway.folder().join("one.log")).is_empty(), "the server of a call under way is let go");
    drop(waiting);
}

// Found here: judging what took seconds held up every caller, and the probe of whoever watches.
#[test]
fn what_takes_long_to_judge_keeps_nobody_else_waiting() {
    let folder = crate::gateway::folder(&[("one", "legacy")], KEYS);
    let contract = folder.path().join("contracts/one.toml");
    let text = fs::read_to_string(&contract).unwrap();
    fs::write(&contract, text + "\n[tool.echo.args.text]\nkind = \"sql\"\n").unwrap();
    let gateway = Gateway::over(folder);
    let ((_, eve), (_, ada)) = (gateway.key("eve", "evil"), gateway.key("ada", "acme"));
    let long = json!({ "text": format!("SELECT {}1", "a AND b OR c,".repeat(600)), "more": "x".repeat(20_000) });
    let (eves, adas) = (gateway.begin(Some(&eve)), gateway.begin(Some(&ada)));
    let left = std::sync::atomic::AtomicUsize::new(64);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..8 {
                    let answer = gateway.within(&eves, Some(&eve), &call("echo", long.clone()));
                    assert_eq!(answer.last()["result"]["isError"], true, "{answer:?}");
                    left.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                }
            });
        }
        let answer = gateway.within(&adas, Some(&ada), &call("echo", json!({ "text": "SELECT 1" })));
        assert_eq!(answer.text(), "SELECT 1");
        assert!(left.load(std::sync::atomic::Ordering::SeqCst) > 0, "ada waited until eve had nothing left to ask");
    });
}

// Found here: one small request made twenty thousand records, also after its client had gone.
#[test]
fn one_listener_cannot_ask_for_any_number_of_resources() {
    let gateway = Gateway::start(&[("one", "full legacy")], LOCAL);
    let listen = |count: usize| {
        let uris: Vec<String> = (0..count).map(|number| format!("mem://{number}")).collect();
        json!({ "notifications": { "resourceSubscriptions": uris } })
    };
    let refused = gateway.modern(None, "subscriptions/listen", listen(257)).last();
    assert!(refused["error"]["message"].as_str().unwrap().contains("too many"), "{refused}");
    let found = gateway.command(&["audit", "search", "--kind", "attempt"]);
    assert_eq!(found.as_array().unwrap().len(), 0, "{found}");
    assert!(gateway.modern_stream(None, "subscriptions/listen", listen(3)).next().is_some());
}

// Found here: one caller's open streams were all the connections that there are.
#[test]
fn one_callers_streams_are_not_all_that_there_are() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    let gateway = Gateway::start(&[("one", "full modern")], KEYS);
    let ((_, eve), (_, ada)) = (gateway.key("eve", "acme"), gateway.key("ada", "acme"));
    let (head, body) = crate::gateway::modern("subscriptions/listen", json!({ "notifications": {} }));
    let head: String = head.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let whole = format!(
        "POST /mcp HTTP/1.1\r\nhost: localhost:{}\r\nauthorization: Bearer {eve}\r\naccept: application/json, text/event-stream\r\ncontent-type: application/json\r\n{head}content-length: {}\r\n\r\n{body}",
        gateway.port,
        body.len()
    );
    let status = |mut stream: std::net::TcpStream| {
        stream.write_all(whole.as_bytes()).unwrap();
        let mut line = [0; 12];
        std::io::Read::read_exact(&mut stream, &mut line).unwrap();
        (String::from_utf8_lossy(&line).into_owned(), stream)
    };
    let open: Vec<_> = (0..1_024).map(|_| status(gateway.connect())).collect();
    assert!(open.iter().all(|(said, _)| said == "HTTP/1.1 200"), "{:?}", open.last());
    assert_eq!(status(gateway.connect()).0, "HTTP/1.1 429");
    assert_eq!(
        gateway.modern(Some(&ada), "tools/call", json!({ "name": "echo", "arguments": { "text": "x" } })).text(),
        "x"
    );
    drop(open);
    let start = Instant::now();
    while status(gateway.connect()).0 != "HTTP/1.1 200" {
        assert!(start.elapsed() < crate::gateway::PATIENCE);
    }
}

// Found here: what is remembered for a session, or repeated with each notice of progress, was as long as a client liked.
#[test]
fn what_is_kept_of_a_client_is_short() {
    let gateway = Gateway::start(&[("one", "legacy")], LOCAL);
    let hello = |filler: usize| {
        let info = json!({ "name": "t".repeat(filler), "version": "1" });
        request("initialize", json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": info }))
    };
    assert_eq!(gateway.ask("POST", &[], &hello(70_000)).status, 413);
    assert_eq!(gateway.ask("POST", &[], &hello(60_000)).status, 200);
    let session = gateway.begin(None);
    let progress = |token: Value| {
        let params = json!({ "name": "echo", "arguments": { "text": "x" }, "_meta": { "progressToken": token } });
        gateway.within(&session, None, &request("tools/call", params))
    };
    for token in [json!("t".repeat(1_025)), json!({ "a": 1 }), json!([1]), json!(1.5), Value::Null] {
        let refused = progress(token.clone());
        assert_eq!((refused.status, &refused.last()["error"]["code"]), (400, &json!(-32602)), "{token}");
    }
    for token in [json!("t".repeat(1_024)), json!(7), json!("")] {
        assert_eq!(progress(token.clone()).text(), "x", "{token}");
    }
}

// Found here: a policy file was taken up empty, while it was being saved, and what it forbids was done.
#[test]
fn a_policy_that_is_being_saved_is_not_taken_up_half() {
    let folder = crate::gateway::folder(&[("one", "legacy")], LOCAL);
    let (file, text) = (
        folder.path().join("policies/never.cedar"),
        "@id(\"never\") @reason(\"no\") forbid (principal, action, resource);",
    );
    fs::write(&file, text).unwrap();
    let gateway = Gateway::over(folder);
    let session = gateway.begin(None);
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..60 {
                fs::write(&file, "").unwrap();
                std::thread::sleep(Duration::from_millis(40));
                fs::write(&file, text).unwrap();
                std::thread::sleep(Duration::from_millis(80));
            }
            over.store(true, std::sync::atomic::Ordering::SeqCst);
        });
        while !over.load(std::sync::atomic::Ordering::SeqCst) {
            let answer = gateway.within(&session, None, &call("echo", json!({ "text": "x" })));
            assert_eq!(answer.last()["result"]["isError"], true, "{answer:?}");
        }
    });
    fs::write(&file, "").unwrap();
    let start = Instant::now();
    while gateway.within(&session, None, &call("echo", json!({ "text": "x" }))).text() != "x" {
        assert!(start.elapsed() < crate::gateway::PATIENCE, "a change that stays is taken up");
    }
}

#[test]
fn a_search_is_for_one_tenant_which_can_be_named() {
    let gateway = Gateway::start(&[("one", "legacy")], KEYS);
    let (_, ada) = gateway.key("ada", "acme");
    let session = gateway.begin(Some(&ada));
    assert_eq!(gateway.within(&session, Some(&ada), &call("echo", json!({ "text": "b" }))).text(), "b");
    let search = |more: &[&str]| -> Vec<Value> {
        let found = gateway.command(&[&["audit", "search", "--kind", "attempt"], more].concat());
        found.as_array().unwrap().clone()
    };
    assert!(search(&[]).is_empty(), "the call is not of the configuration's own tenant");
    let found = search(&["--tenant", "acme"]);
    assert_eq!((found.len(), &found[0]["asked"]), (1, &json!("echo@1")), "{found:?}");
    assert!(search(&["--tenant", "other"]).is_empty());
}
