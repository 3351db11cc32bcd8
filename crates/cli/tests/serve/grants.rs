//! Grants and tenants' halts, from the command line to a running gateway.

use serde_json::{Value, json};

use crate::gateway::{Gateway, KEYS, refmon};

fn call(gateway: &Gateway, key: &str) -> String {
    let answer = gateway.modern(Some(key), "tools/call", json!({ "name": "echo", "arguments": { "text": "x" } }));
    let reason = answer.last()["result"]["_meta"]["refmon.dev/verdict"]["reason"].as_str().map(str::to_owned);
    reason.unwrap_or_else(|| answer.text())
}

fn key(gateway: &Gateway, user: &str, tenant: &str, scopes: &[&str]) -> String {
    let mut arguments = vec!["key", "add", "--user", user, "--tenant", tenant];
    arguments.extend(scopes.iter().flat_map(|scope| ["--scope", scope]));
    gateway.command(&arguments)["key"].as_str().unwrap().to_owned()
}

/// The records of a tenant's kind, the newest last.
fn records(gateway: &Gateway, kind: &str) -> Vec<Value> {
    let out = refmon(gateway.folder(), &["--json", "audit", "search", "--kind", kind]).output().unwrap();
    serde_json::from_slice(&out.stdout).unwrap()
}

#[test]
fn a_grant_reaches_a_running_gateway_and_ends_with_its_revocation() {
    let gateway = Gateway::start(&[("one", "modern")], KEYS);
    let (ada, eve) = (key(&gateway, "ada", "local", &[]), key(&gateway, "eve", "local", &[]));
    let abroad = key(&gateway, "ada", "other", &[]);
    assert_eq!(call(&gateway, &ada), "scope.missing");
    let grant = |extra: &[&str]| {
        let base =
            ["grant", "add", "--user", "ada", "--scope", "one:use", "--for", "2h", "--reason", "canary incident"];
        gateway.command(&[&base[..], extra].concat())
    };
    let elsewhere = grant(&["--agent", "another"]);
    assert_eq!(call(&gateway, &ada), "scope.missing", "it is for another agent");
    let given = grant(&[]);
    let id = given["grant"].as_str().unwrap();
    assert_eq!(call(&gateway, &ada), "x");
    assert_eq!(call(&gateway, &eve), "scope.missing");
    assert_eq!(call(&gateway, &abroad), "scope.missing");
    assert_eq!(gateway.command(&["grant", "list"]).as_array().unwrap().len(), 2);
    assert_eq!(gateway.command(&["grant", "list", "--tenant", "other"]), json!([]));
    assert_eq!(gateway.command(&["grant", "revoke", id])["revoked"], true);
    assert_eq!(call(&gateway, &ada), "scope.missing");
    assert_eq!(gateway.command(&["grant", "revoke", id])["was"], "revoked");
    assert_eq!(
        gateway.command(&["grant", "revoke", "--tenant", "other", elsewhere["grant"].as_str().unwrap()])["was"],
        "missing"
    );

    let acts = records(&gateway, "act");
    assert_eq!(acts.len(), 3, "{acts:?}");
    assert!(
        acts.iter().any(|act| act["granted"]["grant"] == id && act["granted"]["scopes"] == json!(["one:use"])),
        "{acts:?}"
    );
    assert!(!format!("{acts:?}").contains("canary"), "the reason's text is not in the evidence");
    let attempts = records(&gateway, "attempt");
    let named: Vec<&Value> = attempts.iter().filter(|attempt| attempt["grants"] == json!([id])).collect();
    assert_eq!(named.len(), 1, "{attempts:?}");
    assert_eq!(named[0]["decision"], "permit");
    let explained = gateway.command(&["explain", named[0]["call"].as_str().unwrap()]);
    assert_eq!(explained["grants"], json!([id]));
    assert!(refmon(gateway.folder(), &["audit", "verify"]).output().unwrap().status.success());
}

#[test]
fn a_grant_without_a_reason_a_scope_or_an_end_is_not_given() {
    let gateway = Gateway::start(&[("one", "modern")], KEYS);
    let base = ["grant", "add", "--user", "ada"];
    for (arguments, says) in [
        (&["--for", "2h", "--reason", "x"][..], "--scope"),
        (&["--scope", "a", "--reason", "x"], "--for"),
        (&["--scope", "a", "--for", "2h"], "--reason"),
        (&["--scope", "a", "--for", "2h", "--reason", " "], "--reason"),
        (&["--scope", "a", "--for", "2", "--reason", "x"], "--for"),
        (&["--scope", "a", "--for", "31d", "--reason", "x"], "30 days"),
        (&["--scope", "a", "--for", "0s", "--reason", "x"], "30 days"),
        (&["--scope", "a b", "--for", "2h", "--reason", "x"], "--scope"),
    ] {
        let out = refmon(gateway.folder(), &[&base[..], arguments].concat()).output().unwrap();
        let text = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(2), "{arguments:?}: {text}");
        assert!(text.contains(says), "{arguments:?}: {text}");
    }
    assert_eq!(gateway.command(&["grant", "list", "--all"]), json!([]));
    assert!(records(&gateway, "act").is_empty());
}

#[test]
fn a_tenants_halt_stops_its_calls_and_nobody_elses() {
    let gateway = Gateway::start(&[("one", "modern")], KEYS);
    let (own, other) = (key(&gateway, "ada", "local", &["one:use"]), key(&gateway, "ada", "other", &["one:use"]));
    assert_eq!((call(&gateway, &own).as_str(), call(&gateway, &other).as_str()), ("x", "x"));
    assert_eq!(gateway.command(&["halt", "--tenant", "local", "--reason", "r"])["changed"], true);
    assert_eq!((call(&gateway, &own).as_str(), call(&gateway, &other).as_str()), ("authority.halted", "x"));
    assert_eq!(gateway.command(&["resume", "--tenant", "other"])["changed"], false);
    assert_eq!(call(&gateway, &own), "authority.halted");
    assert_eq!(gateway.command(&["resume", "--tenant", "local"])["changed"], true);
    assert_eq!(call(&gateway, &own), "x");
    let deeds: Vec<Value> = records(&gateway, "act").into_iter().map(|act| act["deed"].clone()).collect();
    assert_eq!(deeds.len(), 2, "{deeds:?}");
}
