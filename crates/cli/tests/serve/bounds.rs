//! What a caller can use up, and what slow and silent servers cost.

use std::fs;
use std::io::Write as _;
use std::time::Instant;

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
