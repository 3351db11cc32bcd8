//! Clients and servers of both eras, one server and several.

use std::io::{Read as _, Write as _};

use serde_json::{Value, json};

use crate::gateway::{Gateway, LOCAL, call, modern, processes, refmon, request};

fn names(listed: &Value) -> Vec<String> {
    let tools = listed["result"]["tools"].as_array().unwrap_or_else(|| panic!("{listed}"));
    tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn one_server_keeps_its_names_and_several_get_theirs_in_front() {
    let gateway = Gateway::start(&[("one", "legacy")], LOCAL);
    let session = gateway.begin(None);
    assert_eq!(
        names(&gateway.within(&session, None, &request("tools/list", json!({}))).last()),
        ["echo", "ask", "wait"]
    );
    let gateway = Gateway::start(&[("one", "legacy"), ("two", "legacy")], LOCAL);
    let session = gateway.begin(None);
    let listed = gateway.within(&session, None, &request("tools/list", json!({}))).last();
    assert_eq!(names(&listed), ["one__echo", "one__ask", "one__wait", "two__echo", "two__ask", "two__wait"]);
    let answer = gateway.within(&session, None, &call("two__echo", json!({ "text": "ö\u{7}\"" })));
    assert_eq!(answer.text(), "ö\u{7}\"", "{answer:?}");
    assert_eq!(gateway.log("two"), [json!(["echo", { "text": "ö\u{7}\"" }])]);
    assert!(gateway.log("one").is_empty());
}

#[test]
fn a_name_without_its_server_is_nobodys() {
    let gateway = Gateway::start(&[("one", "legacy"), ("two", "legacy")], LOCAL);
    let session = gateway.begin(None);
    for name in ["echo", "three__echo", "one_echo", "one__two__echo", "__echo", "ONE__echo", "one__", ""] {
        let answer = gateway.within(&session, None, &call(name, json!({ "text": "x" })));
        let verdict = &answer.last()["result"]["_meta"]["refmon.dev/verdict"];
        assert_eq!(
            (&verdict["reason"], verdict["record"].is_string()),
            (&json!("tool.unknown"), true),
            "{name} {answer:?}"
        );
    }
    assert!(gateway.log("one").is_empty() && gateway.log("two").is_empty());
}

#[test]
fn a_dead_server_harms_no_other() {
    let gateway = Gateway::start(&[("one", "legacy"), ("two", "legacy")], LOCAL);
    let session = gateway.begin(None);
    for process in processes(std::path::Path::new("era_server.py")) {
        let line = std::fs::read(process.join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        let ours = gateway.folder().join("one.log").display().to_string();
        if line.contains(&ours) && !line.contains("keep") {
            let pid: i32 = process.file_name().unwrap().to_str().unwrap().parse().unwrap();
            let pid = rustix::process::Pid::from_raw(pid).unwrap();
            // It may have ended by itself.
            let _gone = rustix::process::kill_process(pid, rustix::process::Signal::KILL).is_err();
        }
    }
    let answer = gateway.within(&session, None, &call("two__echo", json!({ "text": "here" })));
    assert_eq!(answer.text(), "here", "{answer:?}");
    // The next call for the one that died starts it again.
    let again =
        |_: &i32| gateway.within(&session, None, &call("one__echo", json!({ "text": "again" }))).text() == "again";
    assert!((0..2_000).any(|number| again(&number)), "the server was not started again");
}

#[test]
fn the_same_call_has_the_same_record_in_both_eras() {
    let gateway = Gateway::start(&[("one", "legacy")], LOCAL);
    let session = gateway.begin(None);
    assert_eq!(gateway.within(&session, None, &call("echo", json!({ "text": "a" }))).text(), "a");
    assert_eq!(gateway.modern(None, "tools/call", json!({ "name": "echo", "arguments": { "text": "a" } })).text(), "a");
    let (folder, _) = gateway.stop();
    let found = refmon(folder.path(), &["--json", "audit", "search", "--kind", "attempt"]).output().unwrap();
    let text = String::from_utf8(found.stdout).unwrap();
    let records: Vec<Value> = serde_json::from_str(&text)
        .unwrap_or_else(|_| text.lines().map(|line| serde_json::from_str(line).unwrap()).collect());
    let facts = |record: &Value| ["door", "decision", "reason", "server", "tool"].map(|key| record[key].clone());
    assert_eq!(records.len(), 2, "{text}");
    assert_eq!(facts(&records[0]), facts(&records[1]));
}

#[test]
fn a_stream_that_the_client_closes_cancels_the_call() {
    let gateway = Gateway::start(&[("one", "modern")], LOCAL);
    let (headers, body) = modern("tools/call", json!({ "name": "wait", "arguments": {} }));
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut stream = gateway.connect();
    stream.write_all(gateway.written("POST", &headers, &body).as_bytes()).unwrap();
    gateway.wait_for("one", "wait");
    drop(stream);
    gateway.wait_for("one", "cancelled");
}

#[test]
fn a_session_that_is_cancelled_gets_no_answer_and_goes_on() {
    let gateway = Gateway::start(&[("one", "legacy")], LOCAL);
    let session = gateway.begin(None);
    let mut waiting = gateway.connect();
    let headers = [("mcp-session-id", session.as_str())];
    waiting.write_all(gateway.written("POST", &headers, &call("wait", json!({}))).as_bytes()).unwrap();
    gateway.wait_for("one", "wait");
    let cancel = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 7 } });
    assert_eq!(gateway.within(&session, None, &cancel.to_string()).status, 202);
    let mut rest = Vec::new();
    waiting.read_to_end(&mut rest).unwrap();
    assert!(crate::gateway::parse(&rest).messages().is_empty());
    gateway.wait_for("one", "cancelled");
    assert_eq!(gateway.within(&session, None, &call("echo", json!({ "text": "on" }))).text(), "on");
}

#[test]
fn told_to_end_it_lets_its_servers_go_and_closes_its_journal() {
    let gateway = Gateway::start(&[("one", "legacy"), ("two", "legacy")], LOCAL);
    let session = gateway.begin(None);
    assert_eq!(gateway.within(&session, None, &call("one__echo", json!({ "text": "x" }))).text(), "x");
    let logs = gateway.folder().join("one.log");
    assert!(!processes(&logs).is_empty());
    let (folder, ended) = gateway.stop();
    assert!(ended);
    let start = std::time::Instant::now();
    while !processes(&logs).is_empty() {
        assert!(start.elapsed() < std::time::Duration::from_secs(30), "a server outlives its gateway");
    }
    let verified = refmon(folder.path(), &["audit", "verify"]).output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}
