//! `/v1/calls`: hosts that run calls themselves and say how they ended.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::gateway::{Gateway, KEYS, PATIENCE, folder, processes, refmon};
use crate::site::{Host, ended, records};

/// A gateway with an MCP server, whose tools a host could also have found by itself.
fn site(extra: &str) -> Gateway {
    Gateway::over(folder(&[("one", "modern")], &format!("{KEYS}\n{extra}")))
}

/// What the server lists under a name.
fn definition(gateway: &Gateway, tool: &str) -> Value {
    let text = fs::read_to_string(gateway.folder().join("contracts/one.definitions.json")).unwrap();
    let known: Value = serde_json::from_str(&text).unwrap();
    known["tools"].as_array().unwrap().iter().find(|one| one["name"] == tool).unwrap().clone()
}

fn call(gateway: &Gateway) -> Value {
    json!({ "server": "one", "tool": "echo", "arguments": { "text": "x" }, "definition": definition(gateway, "echo") })
}

fn with(mut body: Value, name: &str, value: Value) -> Value {
    body[name] = value;
    body
}

/// Proposes a call that is permitted.
fn permitted(host: &Host<'_>) -> String {
    let (status, answer) = host.post("/v1/calls", &call(host.gateway));
    assert_eq!((status, &answer["decision"]), (201, &json!("permit")), "{answer}");
    answer["call"].as_str().unwrap().to_owned()
}

fn outcome(host: &Host<'_>, call: &str, body: &Value) -> (u16, Value) {
    host.post(&format!("/v1/calls/{call}/outcome"), body)
}

fn ends(folder: &TempDir) -> Vec<Value> {
    let out = refmon(folder.path(), &["--json", "audit", "search", "--kind", "indeterminate"]).output().unwrap();
    serde_json::from_slice(&out.stdout).unwrap()
}

fn causes(folder: &TempDir) -> Vec<String> {
    ends(folder).iter().map(|end| end["cause"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_call_is_proposed_run_by_the_host_and_its_outcome_recorded_once() {
    let gateway = site("");
    let host = Host::new(&gateway, "local", &["one:use"]);
    let id = permitted(&host);
    let spelled = r#"{"status": "tool-error", "result": {"canary" : 1.0}}"#;
    let answer = host.ask("POST", &format!("/v1/calls/{id}/outcome"), &[], spelled);
    assert_eq!((answer.status, answer.headers["content-type"].as_str()), (200, "application/json"), "{answer:?}");
    let again = outcome(&host, &id, &json!({ "status": "ok" }));
    assert_eq!(again.0, 404, "an outcome is said once");
    let shown = gateway.command(&["audit", "show", &id]);
    assert_eq!(
        (&shown[0]["door"], &shown[0]["identity"], &shown[0]["enforced_by"], &shown[0]["asserted_by"]),
        (&json!("calls"), &json!("api-key"), &json!("caller"), &Value::Null),
        "{shown}"
    );
    let end = &shown[1];
    assert_eq!((&end["kind"], &end["status"]), (&json!("completion"), &json!("tool-error")), "{shown}");
    assert_eq!(end["result_bytes"], r#"{"canary" : 1.0}"#.len(), "the bytes as they were spelled");
    assert!(end["result"]["hmac_sha256"].is_string() && !shown.to_string().contains("canary"), "{shown}");
    assert_eq!(shown.as_array().unwrap().len(), 2);

    let digest = format!("sha256:{}", "ab".repeat(32));
    for (body, status) in [
        (json!({ "status": "ok", "result_digest": digest }), "ok"),
        (json!({ "status": "protocol-error" }), "protocol-error"),
        (json!({ "status": "cancelled" }), "cancelled"),
    ] {
        let id = permitted(&host);
        assert_eq!(outcome(&host, &id, &body).0, 200);
        assert_eq!(gateway.command(&["audit", "show", &id])[1]["status"], status);
    }
    let id = permitted(&host);
    assert_eq!(outcome(&host, &id, &json!({ "status": "unknown" })).0, 200);
    assert_eq!(ended(&gateway, &id)[1]["cause"], "not-reported");
}

#[test]
fn a_call_of_somebody_else_and_none_at_all_answer_byte_for_byte_alike() {
    let gateway = site("");
    let host = Host::named(&gateway, "ada", "local", &["one:use", "refmon:decide"]);
    let others = [
        Host::named(&gateway, "bob", "local", &["one:use", "refmon:decide"]),
        Host::named(&gateway, "ada", "other", &["one:use", "refmon:decide"]),
    ];
    let named = with(call(&gateway), "subject", json!({ "type": "user", "id": "bob" }));
    let (_, answer) = host.post("/v1/calls", &named);
    let id = answer["call"].as_str().unwrap();
    let tampered = format!("{}{}", id.get(..35).unwrap(), if id.ends_with('0') { '1' } else { '0' });
    let missing = "01900000-0000-7000-8000-000000000000";
    let ask =
        |host: &Host<'_>, id: &str| host.ask("POST", &format!("/v1/calls/{id}/outcome"), &[], r#"{"status":"ok"}"#);
    let nothing = ask(&host, missing);
    assert_eq!((nothing.status, nothing.headers["content-type"].as_str()), (404, "application/problem+json"));
    for id in [tampered.as_str(), "x", "..", "%20", &id.replace('-', "")] {
        assert_eq!(ask(&host, id), nothing, "{id}");
    }
    for other in &others {
        assert_eq!(ask(other, id), nothing, "the named subject is not who proposed it, nor is another tenant's host");
    }
    // Another key of the same host is the same host.
    let same = Host::named(&gateway, "ada", "local", &["one:use"]);
    assert_eq!(ask(&same, id).status, 200);
    assert_eq!(ask(&host, id), nothing);
}

#[test]
fn a_definition_that_is_not_the_pinned_one_is_quarantined_as_everywhere() {
    let gateway = site("");
    let host = Host::new(&gateway, "local", &["one:use"]);
    let bare = json!({ "server": "one", "tool": "echo", "arguments": { "text": "x" } });
    let changed = with(definition(&gateway, "echo"), "description", json!("does something else now"));
    let contract = fs::read_to_string(gateway.folder().join("contracts/one.toml")).unwrap();
    let pin = contract.split_once("[tool.echo]\npin = \"").unwrap().1.split_once('"').unwrap().0;
    for (body, reason) in [
        (bare.clone(), "tool.quarantined"),
        (with(bare.clone(), "definition", changed.clone()), "tool.quarantined"),
        (with(bare.clone(), "pin", json!(format!("sha256:{}", "0".repeat(64)))), "tool.quarantined"),
        (with(bare.clone(), "pin", json!("echo")), "tool.quarantined"),
        (with(with(bare.clone(), "pin", json!(pin)), "definition", changed), "tool.quarantined"),
        (with(bare.clone(), "pin", json!(pin)), "permitted"),
        (call(&gateway), "permitted"),
        (with(call(&gateway), "tool", json!("ekko")), "tool.unknown"),
        (with(call(&gateway), "tool", json!("one__echo")), "tool.unknown"),
        (with(call(&gateway), "server", json!("two")), "tool.unknown"),
        (with(call(&gateway), "arguments", json!({ "text": 7 })), "arguments.schema"),
        (with(call(&gateway), "arguments", json!({ "other": "x" })), "arguments.undeclared"),
        (with(call(&gateway), "arguments", json!([])), "arguments.malformed"),
    ] {
        let (status, answer) = host.post("/v1/calls", &body);
        assert_eq!((status, &answer["reason"]), (201, &json!(reason)), "{body}");
        assert!(answer["call"].is_string(), "{answer}");
        assert_eq!(answer["outcome"].is_object(), reason == "permitted", "{answer}");
    }
}

#[test]
fn a_body_that_is_not_in_order_proposes_and_ends_nothing() {
    let gateway = site("");
    let host = Host::new(&gateway, "local", &["one:use", "refmon:decide"]);
    for (body, status) in [
        (json!({ "tool": "echo" }), 400),
        (json!({ "server": "one" }), 400),
        (json!({ "server": "", "tool": "echo" }), 400),
        (with(call(&gateway), "tenant", json!("other")), 400),
        (with(call(&gateway), "definition", json!("x")), 400),
        (with(call(&gateway), "subject", json!({ "type": "user", "id": "a", "tenant": "other" })), 400),
        (with(call(&gateway), "subject", json!("ada")), 400),
        (json!([]), 400),
    ] {
        let (got, problem) = host.post("/v1/calls", &body);
        assert_eq!((got, &problem["status"]), (status, &json!(status)), "{body}: {problem}");
    }
    let plain = host.ask("POST", "/v1/calls", &[("content-type", "text/plain")], &call(&gateway).to_string());
    assert_eq!(plain.status, 415);
    assert!(records(&gateway, &["--kind", "attempt"]).is_empty());
    let id = permitted(&host);
    for body in [
        json!({}),
        json!({ "status": "fine" }),
        json!({ "status": "ok", "result": 1, "result_digest": "sha256:00" }),
        json!({ "status": "ok", "canary": 1 }),
    ] {
        assert_eq!(outcome(&host, &id, &body).0, 400, "{body}");
    }
    let unknown = with(call(&gateway), "subject", json!({ "type": "spaceship", "id": "a" }));
    assert_eq!(host.post("/v1/calls", &unknown).1["reason"], "subject.unknown");
    assert_eq!(outcome(&host, &id, &json!({ "status": "ok" })).0, 200, "it was open all the time");
}

#[test]
fn what_one_host_leaves_open_is_bounded() {
    let gateway = site("");
    let host = Host::new(&gateway, "local", &["one:use"]);
    let first = permitted(&host);
    for _ in 1..1_024 {
        permitted(&host);
    }
    let (status, answer) = host.post("/v1/calls", &call(&gateway));
    assert_eq!((status, &answer["reason"]), (201, &json!("limit.calls")), "{answer}");
    permitted(&Host::named(&gateway, "other", "local", &["one:use"]));
    assert_eq!(outcome(&host, &first, &json!({ "status": "ok" })).0, 200);
    permitted(&host);
    let (folder, ended) = gateway.stop();
    assert!(ended);
    let ends = ends(&folder);
    assert!(ends.iter().all(|end| end["cause"] == "not-reported") && !ends.is_empty());
}

#[test]
fn an_outcome_that_never_comes_is_recorded_as_that() {
    let gateway = site("[access]\noutcome_seconds = 1");
    let host = Host::new(&gateway, "local", &["one:use"]);
    let id = permitted(&host);
    let begun = Instant::now();
    while records(&gateway, &["--kind", "indeterminate"]).is_empty() {
        assert!(begun.elapsed() < PATIENCE, "it is never given up");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(gateway.command(&["audit", "show", &id])[1]["cause"], "not-reported");
    assert_eq!(outcome(&host, &id, &json!({ "status": "ok" })).0, 404, "it is too late");
    // What is open when the gateway ends is given up then, and what a crash leaves open, at the next start.
    let gateway = site("");
    permitted(&Host::new(&gateway, "local", &["one:use"]));
    let (folder, ended) = gateway.stop();
    assert!(ended);
    assert_eq!(causes(&folder), ["not-reported"]);
    let gateway = Gateway::over(folder);
    permitted(&Host::new(&gateway, "local", &["one:use"]));
    for process in processes(gateway.folder()) {
        let pid = process.file_name().unwrap().to_str().unwrap().parse().unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        // A server of the gateway may be gone before its turn comes.
        let _gone = rustix::process::kill_process(pid, rustix::process::Signal::KILL).is_err();
    }
    let (folder, ended) = gateway.ended();
    assert!(!ended);
    let (folder, ended) = Gateway::over(folder).stop();
    assert!(ended);
    assert_eq!(causes(&folder), ["not-reported", "crash"]);
}
