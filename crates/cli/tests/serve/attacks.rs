//! Ways around a gateway that happened to others, or that were tried here, against a running one. See
//! `docs/security/attempts.md`.

use std::fs;
use std::io::Write as _;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::gateway::{Gateway, KEYS, LOCAL, call, folder, modern, request};

const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;

// Found here: JSON may have line ends between its tokens, and a stream of lines takes each line for a message.
#[test]
fn what_stands_between_line_ends_is_no_message_of_its_own() {
    for era in ["legacy", "modern"] {
        let gateway = Gateway::start(&[("one", era)], KEYS);
        let nobody = gateway.command(&["key", "add", "--user", "eve", "--scope", "other:use"]);
        let (nobody, (_, eve)) = (nobody["key"].as_str().unwrap(), gateway.key("eve", "local"));
        let inner = format!(
            r#"{{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{{"name":"ask","arguments":{{}},{META}}}}}"#
        );
        for key in [nobody, &eve] {
            let (session, bearer) = (gateway.begin(Some(key)), format!("Bearer {key}"));
            for end in ["\n", "\r\n", "\r"] {
                let hidden = format!("\"x\":{end}{inner}{end}");
                for (method, params) in [
                    ("tools/call", r#""name":"echo","arguments":{"text":"x"},"#),
                    ("tools/list", ""),
                    ("ping", ""),
                    ("logging/setLevel", r#""level":"info","#),
                    ("notifications/progress", r#""progressToken":1,"#),
                    ("notifications/initialized", ""),
                    ("server/discover", ""),
                ] {
                    let id = if method.starts_with("notifications/") { "" } else { r#""id":7,"# };
                    let text = |meta: &str| {
                        format!(r#"{{"jsonrpc":"2.0",{id}"method":"{method}","params":{{{params}{meta}{hidden}}}}}"#)
                    };
                    let _older = gateway.within(&session, Some(key), &text(""));
                    let headers = [
                        ("authorization", bearer.as_str()),
                        ("mcp-protocol-version", "2026-07-28"),
                        ("mcp-method", method),
                        ("mcp-name", "echo"),
                    ];
                    let _newer = gateway.ask("POST", &headers, &text(&format!("{META},")));
                }
                // Answers and a handshake are messages, too.
                let answer = format!(r#"{{"jsonrpc":"2.0","id":"refmon-0","result":{{{hidden}}}}}"#);
                let _dropped = gateway.within(&session, Some(key), &answer);
                let hello = format!(
                    r#"{{"jsonrpc":"2.0","id":1,"method":"initialize","params":{{"protocolVersion":"2025-11-25","capabilities":{{}},"clientInfo":{{"name":"t","version":"1",{hidden}}}}}}}"#
                );
                let _begun = gateway.ask("POST", &[("authorization", bearer.as_str())], &hello);
            }
        }
        let params = json!({ "name": "echo", "arguments": { "text": "end" } });
        assert_eq!(gateway.modern(Some(&eve), "tools/call", params).text(), "end");
        let strange: Vec<Value> = gateway.log("one").into_iter().filter(|entry| entry[0] != "echo").collect();
        assert!(strange.is_empty(), "{era}: {strange:?}");
    }
}

// TH#6234, TH#6092, MCP 2026-07-28 (custom headers from tool parameters): what a header says was not what was judged.
#[test]
fn a_header_cannot_say_what_no_argument_says() {
    let gateway = Gateway::start(&[("one", "modern")], LOCAL);
    let (own, body) = modern("tools/call", json!({ "name": "echo", "arguments": { "text": "eu" } }));
    let ask = |more: &[(&str, &str)]| {
        let mut headers: Vec<(&str, &str)> = own.iter().map(|(name, value)| (*name, value.as_str())).collect();
        headers.extend(more);
        gateway.ask("POST", &headers, &body)
    };
    assert_eq!(ask(&[("mcp-param-region", "eu")]).text(), "eu");
    for more in [
        &[("mcp-param-region", "us")][..],
        &[("mcp-param-region", "eu"), ("Mcp-Param-Region", "us")],
        &[("mcp-param-authorization", "Bearer x")],
        &[("mcp-param-region", "=?base64?dXM=?=")],
        &[("mcp-param-region", "")],
    ] {
        let answer = ask(more);
        assert_eq!((answer.status, &answer.last()["error"]["code"]), (400, &json!(-32020)), "{more:?} {answer:?}");
    }
    assert_eq!(gateway.log("one").len(), 1);
}

// archestra#6319, CF#3812, TH#5459: another path, method or spelling reached the tools without the check.
#[test]
fn there_is_one_way_to_a_tool() {
    let gateway = Gateway::start(&[("one", "legacy")], KEYS);
    let (_, eve) = gateway.key("eve", "local");
    let session = gateway.begin(Some(&eve));
    let body = call("echo", json!({ "text": "x" }));
    let port = gateway.port;
    let other = [
        "/",
        "/mcp/",
        "//mcp",
        "/MCP",
        "/%6dcp",
        "/mcp;x",
        "/./mcp",
        "/mcp/one",
        "/mcp/one/echo",
        "/sse",
        "/messages",
        "/tools/call",
        "/v1/tools/call",
        "/v1/calls",
        "/v1/halts/../../mcp",
        "/mcp%00",
        "/rpc",
        "/api/mcp",
        "/metrics",
    ];
    let head = |method: &str, path: &str, key: &str| {
        format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost:{port}\r\nconnection: close\r\ncontent-type: application/json\r\nauthorization: Bearer {key}\r\nmcp-session-id: {session}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    for path in other {
        let status = gateway.raw(head("POST", path, &eve).as_bytes()).status;
        // The console wants a session, whatever else is brought.
        let page = path == "/" && status == 401;
        assert!(page || matches!(status, 400 | 403 | 404 | 405), "{path} gave {status}");
    }
    for method in ["PUT", "PATCH", "OPTIONS", "TRACE", "CONNECT", "post", "QUERY"] {
        let status = gateway.raw(head(method, "/mcp", &eve).as_bytes()).status;
        assert!((400..=405).contains(&status), "{method} gave {status}");
    }
    let foreign = head("POST", "http://evil.example/mcp", "no-key");
    assert_eq!(gateway.raw(foreign.as_bytes()).status, 401);
    assert!(gateway.log("one").is_empty(), "{:?}", gateway.log("one"));
    assert_eq!(gateway.raw(head("POST", "/mcp?x=1", &eve).as_bytes()).text(), "x", "the way itself is open");
}

// TH#5304, TH#4374: a list that one caller may see was given to others by a cache.
#[test]
fn a_list_is_for_its_caller_alone() {
    for servers in [&[("one", "modern")][..], &[("one", "modern"), ("two", "legacy")], &[("one", "legacy")]] {
        let gateway = Gateway::start(servers, LOCAL);
        let answer = gateway.modern(None, "tools/list", json!({}));
        assert_eq!(answer.last()["result"]["cacheScope"], "private", "{answer:?}");
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
    // Nor is any other answer for whoever did not ask: this server says `public` of each of them.
    let gateway = Gateway::start(&[("one", "full modern")], LOCAL);
    for (method, params) in [
        ("resources/list", json!({})),
        ("resources/templates/list", json!({})),
        ("prompts/list", json!({})),
        ("resources/read", json!({ "uri": "mem://a" })),
    ] {
        let answer = gateway.modern(None, method, params);
        assert_eq!(answer.last()["result"]["cacheScope"], "private", "{method}: {answer:?}");
    }
}

// RP#385, envoy ai-gateway#2073: one approval, many calls.
#[test]
fn of_many_calls_that_race_for_an_approval_one_runs() {
    let folder = folder(&[("one", "modern")], KEYS);
    let contract = folder.path().join("contracts/one.toml");
    let text = fs::read_to_string(&contract).unwrap();
    fs::write(&contract, text.replacen("effects = [\"write\"]", "effects = [\"write\"]\nhold = \"always\"", 1))
        .unwrap();
    let gateway = Gateway::over(folder);
    let ((_, ada), (_, bob)) = (gateway.key("ada", "local"), gateway.key("bob", "local"));
    let session = gateway.begin(Some(&ada));
    let arguments = json!({ "text": "once" });
    let ask = |key: &str| gateway.modern(Some(key), "tools/call", json!({ "name": "echo", "arguments": arguments }));
    let held = ask(&ada).last();
    let hold = held["result"]["_meta"]["refmon.dev/verdict"]["hold"].as_str().unwrap().to_owned();
    thread::scope(|scope| {
        for number in 0..24 {
            let (gateway, session, arguments, ada, bob) = (&gateway, &session, &arguments, &ada, &bob);
            scope.spawn(move || match number % 3 {
                0 => drop(gateway.within(session, Some(ada), &call("echo", arguments.clone()))),
                1 => drop(ask(ada)),
                _ => drop(ask(bob)),
            });
        }
        for _ in 0..2 {
            scope.spawn(|| gateway.command(&["holds", "approve", &hold]));
        }
    });
    // Whoever was too early asks again; the approval is there for one.
    let _again = (ask(&bob), ask(&ada), ask(&ada));
    assert_eq!(gateway.log("one"), [json!(["echo", arguments])]);
}

// BerriAI/litellm#29936, TH#6066: the answer to a failure showed how the server was reached, and with what.
#[test]
fn a_server_that_cannot_be_reached_is_not_described_to_the_client() {
    let folder = folder(&[("one", "legacy")], KEYS);
    let config = folder.path().join("refmon.toml");
    let text = fs::read_to_string(&config).unwrap();
    let (before, _) = text.split_once("command =").unwrap();
    let remote =
        "url = \"http://127.0.0.1:1/canary-path\"\nprivate = true\nheaders = { Authorization = \"env://UPSTREAM\" }\n";
    fs::write(&config, format!("{before}{remote}")).unwrap();
    let gateway = Gateway::with(folder, &[], &[("UPSTREAM", "canary-secret".as_ref())]);
    let (_, ada) = gateway.key("ada", "acme");
    let hello = request("initialize", json!({ "protocolVersion": "2025-11-25", "capabilities": {} }));
    let bearer = format!("Bearer {ada}");
    let answers = [
        gateway.modern(Some(&ada), "tools/call", json!({ "name": "echo", "arguments": {} })),
        gateway.modern(Some(&ada), "tools/list", json!({})),
        gateway.ask("POST", &[("authorization", bearer.as_str())], &hello),
    ];
    for answer in answers {
        let text = format!("{answer:?}");
        assert!(!text.contains("canary") && !text.contains("127.0.0.1:1") && !text.contains("acme"), "{text}");
    }
    assert!(!Gateway::told(gateway.folder()).contains("canary-secret"));
}

// Found here: "bad token Bearer …", as servers write it, showed the operator's credential to the agent.
#[test]
fn a_server_cannot_show_the_credential_that_it_was_given() {
    let folder = folder(&[("one", "legacy"), ("two", "full modern")], KEYS);
    let config = folder.path().join("refmon.toml");
    let text = fs::read_to_string(&config).unwrap();
    let env = "env = { API_TOKEN = \"env://UPSTREAM\", PLACE = \"env://UPSTREAM_PLACE\" }";
    fs::write(&config, text.replace("command =", &format!("{env}\ncommand ="))).unwrap();
    let (secret, place) = ("canary/secret-1", "canary/place-1");
    let gateway = Gateway::with(folder, &[], &[("UPSTREAM", secret.as_ref()), ("UPSTREAM_PLACE", place.as_ref())]);
    let (_, ada) = gateway.key("ada", "acme");
    let echo = |tool: &str, text: &str| {
        gateway.modern(Some(&ada), "tools/call", json!({ "name": tool, "arguments": { "text": text } }))
    };
    let session = gateway.begin(Some(&ada));
    let older = |text: &str| gateway.within(&session, Some(&ada), &call("one__echo", json!({ "text": text })));
    for said in [secret, "bad token Bearer canary/secret-1 (401)"] {
        for answer in [echo("one__echo", said), older(said)] {
            let text = format!("{answer:?}");
            assert!(!text.contains("canary"), "{text}");
            assert_eq!(answer.last()["error"]["code"], -32603, "{text}");
        }
    }
    // What is no secret by its name or its look passes, and so does everything else.
    assert_eq!(echo("one__echo", place).text(), place);
    assert_eq!(older("canary/secret-2").text(), "canary/secret-2");
    assert!(!Gateway::told(gateway.folder()).contains(secret));
    let records = gateway.command(&["audit", "search", "--tenant", "acme"]).to_string();
    assert_eq!(records.matches("\"malformed\"").count(), 4, "{records}");
}

// Found here: the result was withheld, and the notices of progress before it said the same.
#[test]
fn what_is_withheld_is_not_told_on_the_way_either() {
    let folder = folder(&[("one", "full legacy")], LOCAL);
    let policy = r#"@id("quiet") @reason("not for the agent") @obligation("withhold_output")
        forbid (principal, action == Refmon::Action::"one/steps@1", resource)
        unless { context.granted.contains("withhold_output") };"#;
    let file = folder.path().join("policies/quiet.cedar");
    fs::write(&file, policy).unwrap();
    let gateway = Gateway::over(folder);
    let session = gateway.begin(None);
    let steps = request("tools/call", json!({ "name": "steps", "arguments": {}, "_meta": { "progressToken": 41 } }));
    let answer = gateway.within(&session, None, &steps);
    let messages = answer.messages();
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert_eq!(messages[0]["result"]["_meta"]["refmon.dev/verdict"]["output"], "withheld", "{messages:?}");
    // Nor by a question, which would be permitted of another call.
    fs::write(&file, policy.replace("one/steps@1", "one/elicit@1")).unwrap();
    let start = std::time::Instant::now();
    loop {
        let session = gateway.begin(None);
        let first = gateway.stream("POST", &[("mcp-session-id", &session)], &call("elicit", json!({}))).next().unwrap();
        if first["result"]["_meta"]["refmon.dev/verdict"]["output"] == "withheld" {
            break;
        }
        assert!(start.elapsed() < crate::gateway::PATIENCE, "the changed policy is taken up");
    }
}

// Found here: a resource's URI led to files that a path could not.
#[test]
fn a_resource_is_none_of_the_guards_own_files() {
    let folder = folder(&[("one", "full legacy")], LOCAL);
    std::os::unix::fs::symlink(folder.path(), folder.path().join("way")).unwrap();
    let gateway = Gateway::over(folder);
    let place = gateway.folder().canonicalize().unwrap().display().to_string();
    // Within a session there is no header that names the URI as well.
    let session = gateway.begin(None);
    let read = |uri: &str| gateway.within(&session, None, &request("resources/read", json!({ "uri": uri }))).last();
    let reason = |answer: &Value| answer["error"]["data"]["refmon.dev/verdict"]["reason"].as_str().map(str::to_owned);
    for uri in ["refmon.toml", "policies/all.cedar", "way/refmon.toml", "%72efmon.toml"] {
        let answer = read(&format!("file://{place}/{uri}"));
        assert_eq!(reason(&answer).as_deref(), Some("arguments.guarded-path"), "{uri}: {answer}");
    }
    for uri in [
        format!("file:{place}/refmon.toml"),
        format!("FILE://{place}/refmon.toml"),
        format!("file://localhost{place}/refmon.toml"),
        format!("file://{place}/%2572efmon.toml"),
        format!("file://{place}/refmon.toml?x"),
        format!("{place}/refmon.toml"),
        "./refmon.toml".to_owned(),
        "file:///proc/self/cwd/refmon.toml".to_owned(),
        // Parsers of URLs leave these out, or take what is inside (WHATWG URL; Python's urllib).
        format!("fi\tle://{place}/refmon.toml"),
        format!("fi\nle://{place}/refmon.toml"),
        format!(" file://{place}/refmon.toml"),
        format!("file://{place}/x/.\t./refmon.toml"),
        format!("<file://{place}/refmon.toml>"),
        format!("URL:file://{place}/refmon.toml"),
    ] {
        let answer = read(&uri);
        assert_eq!(reason(&answer).as_deref(), Some("arguments.ambiguous"), "{uri}: {answer}");
    }
    assert_eq!(read("mem://a")["result"]["contents"][0]["text"], "text of mem://a");
    let uri = format!("file://{place}/refmon.toml");
    let argument = json!({ "name": "a", "value": "b" });
    let named = json!({ "ref": { "type": "ref/resource", "uri": uri }, "argument": argument });
    let answer = gateway.modern(None, "completion/complete", named).last();
    assert_eq!(reason(&answer).as_deref(), Some("arguments.guarded-path"), "{answer}");
    let answer = gateway.within(&session, None, &request("resources/subscribe", json!({ "uri": uri }))).last();
    assert_eq!(reason(&answer).as_deref(), Some("arguments.guarded-path"), "{answer}");
}

// Found here: each sending of a method has another envelope, so that its approval was for none of them.
#[test]
fn an_approved_method_runs_once_with_another_envelope() {
    let folder = folder(&[("one", "full legacy")], &format!("{LOCAL}\n[holds]\nwait_seconds = 0"));
    let contract = folder.path().join("contracts/one.toml");
    let text = fs::read_to_string(&contract).unwrap();
    let held = "[method.\"resources/read\"]\nhold = \"always\"";
    fs::write(&contract, text.replace("[method.\"resources/read\"]", held)).unwrap();
    let gateway = Gateway::over(folder);
    let read_as = |token: &str, who: &str| {
        let params = json!({ "uri": "mem://a", "_meta": { "progressToken": token, "example.com/run-as": who } });
        gateway.modern(None, "resources/read", params).last()
    };
    let read = |token: &str| read_as(token, "guest");
    let asked = read("first");
    let hold =
        asked["error"]["data"]["refmon.dev/verdict"]["hold"].as_str().unwrap_or_else(|| panic!("{asked}")).to_owned();
    gateway.command(&["holds", "approve", &hold]);
    assert_eq!(read_as("second", "root")["error"]["data"]["refmon.dev/verdict"]["decision"], "hold", "what nobody saw");
    assert_eq!(read("second")["result"]["contents"][0]["text"], "text of mem://a");
    assert_eq!(read("third")["error"]["data"]["refmon.dev/verdict"]["decision"], "hold");
}

// Found here: sixteen mebibytes in each of thousands of connections.
#[test]
fn one_callers_large_messages_are_not_all_the_memory_there_is() {
    let gateway = Gateway::start(&[("one", "legacy")], KEYS);
    let ((_, eve), (_, ada)) = (gateway.key("eve", "evil"), gateway.key("ada", "acme"));
    let (foreign, own) = (gateway.begin(Some(&eve)), gateway.begin(Some(&ada)));
    let bytes = 15 * 1024 * 1024;
    let head = format!(
        "POST /mcp HTTP/1.1\r\nhost: localhost:{}\r\ncontent-type: application/json\r\nauthorization: Bearer {eve}\r\nmcp-session-id: {foreign}\r\ncontent-length: {}\r\n\r\n",
        gateway.port,
        bytes + 1
    );
    let blank = vec![b' '; bytes];
    let slow: Vec<_> = (0..16)
        .map(|_| {
            let mut stream = gateway.connect();
            stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
            // What finds no room is not read.
            let _unread = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&blank)).is_err();
            stream
        })
        .collect();
    assert!(gateway.memory() < 160 * 1024, "{} KiB", gateway.memory());
    assert_eq!(gateway.within(&own, Some(&ada), &call("echo", json!({ "text": "here" }))).text(), "here");
    assert_eq!(gateway.within(&foreign, Some(&eve), &call("echo", json!({ "text": "small" }))).text(), "small");
    drop(slow);
}

// Found here: whoever hung up had the room back, and the message stayed.
#[test]
fn who_hangs_up_has_no_more_room_than_who_waits() {
    let gateway = Gateway::start(&[("one", "stall")], KEYS);
    let ((_, eve), (_, ada)) = (gateway.key("eve", "evil"), gateway.key("ada", "acme"));
    let (foreign, own) = (gateway.begin(Some(&eve)), gateway.begin(Some(&ada)));
    let mut params = json!({ "name": "echo", "arguments": { "text": "y".repeat(15 * 1024 * 1024) } });
    params["_meta"] = json!({ "progressToken": 1 });
    let body = crate::gateway::request("tools/call", params);
    let head = format!(
        "POST /mcp HTTP/1.1\r\nhost: localhost:{}\r\ncontent-type: application/json\r\naccept: application/json, text/event-stream\r\nauthorization: Bearer {eve}\r\nmcp-session-id: {foreign}\r\ncontent-length: {}\r\n\r\n{body}",
        gateway.port,
        body.len()
    );
    for _ in 0..36 {
        let mut stream = gateway.connect();
        stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        let _unread = stream.write_all(head.as_bytes()).is_err();
    }
    // Four of them, in the copies that are made on the way; all of them would be 540 MiB without any.
    assert!(gateway.memory() < 320 * 1024, "{} KiB", gateway.memory());
    assert_eq!(gateway.within(&own, Some(&ada), &crate::gateway::request("ping", json!({}))).status, 200);
}

// CF#2055, GHSA-f6c5-f2ph-7x7p: what belonged to a credential outlived it.
#[test]
fn a_key_that_is_revoked_has_no_session_left() {
    let gateway = Gateway::start(&[("one", "legacy")], KEYS);
    let ((id, eve), (_, ada)) = (gateway.key("eve", "acme"), gateway.key("ada", "acme"));
    let session = gateway.begin(Some(&eve));
    assert_eq!(gateway.within(&session, Some(&eve), &call("echo", json!({ "text": "x" }))).text(), "x");
    let revoked = crate::gateway::refmon(gateway.folder(), &["key", "revoke", &id]).status().unwrap();
    assert!(revoked.success());
    let refused = gateway.within(&session, Some(&eve), &call("echo", json!({ "text": "late" })));
    let foreign = gateway.within(&session, Some(&ada), &call("echo", json!({ "text": "late" })));
    assert_eq!((refused.status, foreign.status), (401, 404));
    let fallback = gateway.within(&session, None, &call("echo", json!({ "text": "late" })));
    assert_eq!((fallback.status, gateway.log("one").len()), (401, 1));
}
