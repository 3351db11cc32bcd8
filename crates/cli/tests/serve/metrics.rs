//! Figures for Prometheus, on a listener of their own.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::gateway::{Gateway, call, folder, refmon};

const FIGURES: &str = "[identity]\nuser = \"canary-person\"\ntenant = \"canary-tenant\"\nscopes = [\"one:use\", \"two:use\"]\n[listen]\nhttp = \"127.0.0.1:0\"\nmetrics = \"127.0.0.1:0\"";

/// Lets a person decide on every call of a tool.
fn hold(folder: &Path, server: &str, tool: &str) {
    let file = folder.join(format!("contracts/{server}.toml"));
    let head = format!("[tool.{tool}]\n");
    let contract = fs::read_to_string(&file).unwrap().replace(&head, &format!("{head}hold = \"always\"\n"));
    fs::write(file, contract).unwrap();
}

#[test]
fn every_call_is_counted_and_no_text_of_a_stranger_becomes_a_label() {
    let folder = folder(&[("one", "legacy"), ("two", "gone")], FIGURES);
    hold(folder.path(), "one", "ask");
    let gateway = Gateway::over(folder);
    let session = gateway.begin(None);
    for (tool, text) in [("one__echo", "canary-1"), ("one__echo", "canary-2"), ("one__ask", "canary-3")] {
        gateway.within(&session, None, &call(tool, json!({ "text": text })));
    }
    gateway.within(&session, None, &call("one__canary-tool", json!({})));
    gateway.within(&session, None, &call("two__echo", json!({})));
    gateway.within(&session, None, "{");
    let page = gateway.figures();
    for (sample, value) in [
        ("refmon_calls_total{server=\"one\",decision=\"permit\",reason=\"permitted\",door=\"mcp-http\"}", 2),
        ("refmon_calls_total{server=\"one\",decision=\"hold\",reason=\"hold.contract\",door=\"mcp-http\"}", 1),
        ("refmon_calls_total{server=\"one\",decision=\"deny\",reason=\"tool.unknown\",door=\"mcp-http\"}", 1),
        ("refmon_calls_total{server=\"one\",decision=\"deny\",reason=\"arguments.malformed\",door=\"mcp-http\"}", 1),
        ("refmon_call_ends_total{server=\"one\",end=\"ok\"}", 2),
        ("refmon_calls_in_flight", 0),
        ("refmon_decide_seconds_count", 5),
        ("refmon_execute_seconds_count{server=\"one\"}", 2),
        ("refmon_journal_append_seconds_count{wait=\"durable\"}", 8),
        ("refmon_journal_records_total{kind=\"attempt\"}", 5),
        ("refmon_journal_records_total{kind=\"completion\"}", 2),
        ("refmon_journal_failures_total", 0),
        ("refmon_journal_healthy", 1),
        ("refmon_clients{era=\"session\"}", 1),
        ("refmon_server_up{server=\"one\"}", 1),
        ("refmon_server_up{server=\"two\"}", 0),
        ("refmon_holds_waiting", 1),
    ] {
        assert!(page.lines().any(|line| line == format!("{sample} {value}")), "{sample} {value}\n{page}");
    }
    assert!(!page.contains("canary") && !page.contains(&session), "{page}");
    let attempts = gateway.command(&["audit", "search", "--kind", "attempt"]).as_array().unwrap().len();
    assert_eq!(attempts, 5, "the figures are those of the evidence");
    let known: BTreeSet<&str> =
        ["server", "decision", "reason", "door", "end", "le", "wait", "kind", "era", "version"].into();
    let names = page.lines().filter(|line| !line.starts_with('#')).flat_map(|line| {
        let labels = line.split_once('{').map_or("", |(_, labels)| labels.rsplit_once('}').unwrap().0);
        labels.split(',').filter_map(|label| Some(label.split_once('=')?.0.to_owned())).collect::<Vec<_>>()
    });
    for name in names {
        assert!(known.contains(name.as_str()), "{name}");
    }
}

#[test]
fn a_call_under_way_is_in_flight_until_its_end() {
    let gateway = Gateway::over(folder(&[("one", "legacy")], FIGURES));
    let session = gateway.begin(None);
    let mut waiting = gateway.connect();
    let headers = [("mcp-session-id", session.as_str())];
    waiting.write_all(gateway.written("POST", &headers, &call("wait", json!({}))).as_bytes()).unwrap();
    gateway.wait_for("one", "wait");
    assert_eq!(gateway.figure("refmon_calls_in_flight"), Some(1.0));
    let cancel = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 7 } });
    assert_eq!(gateway.within(&session, None, &cancel.to_string()).status, 202);
    gateway.wait_for("one", "cancelled");
    assert_eq!(gateway.figure("refmon_calls_in_flight"), Some(0.0));
    assert_eq!(gateway.figure("refmon_call_ends_total{server=\"one\",end=\"cancelled\"}"), Some(1.0));
}

#[test]
fn figures_are_for_known_hosts_on_their_own_listener_only() {
    let gateway = Gateway::over(folder(&[("one", "legacy")], FIGURES));
    for (method, path, host, status) in [
        ("GET", "/metrics", None, 200),
        ("GET", "/metrics", Some("evil.example"), 403),
        ("GET", "/metrics", Some("localhost"), 403),
        ("POST", "/metrics", None, 405),
        ("GET", "/mcp", None, 404),
        ("GET", "/", None, 404),
    ] {
        assert_eq!(gateway.page(method, path, host).status, status, "{method} {path} {host:?}");
    }
    let request = format!("GET /metrics HTTP/1.1\r\nhost: localhost:{}\r\nconnection: close\r\n\r\n", gateway.port);
    assert_eq!(gateway.raw(request.as_bytes()).status, 404, "the public listener has no figures");
}

#[test]
fn without_saying_so_there_are_no_figures_and_none_for_others() {
    let local = "[identity]\nuser = \"u\"\n[listen]\nhttp = \"127.0.0.1:0\"";
    assert_eq!(Gateway::over(folder(&[("one", "legacy")], local)).said["metrics"], Value::Null);
    for (more, code) in [("metrics = \"0.0.0.0:0\"", 2), ("metrics_hosts = [\"gate.example:9464\"]", 2)] {
        let folder = folder(&[("one", "legacy")], &format!("{local}\n{more}"));
        let out = refmon(folder.path(), &["serve"]).output().unwrap();
        let text = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(code), "{more}: {text}");
        assert!(text.contains("metrics_hosts"), "{more}: {text}");
    }
    let named = format!("{local}\nmetrics = \"0.0.0.0:0\"\nmetrics_hosts = [\"gate.example:9464\"]");
    let gateway = Gateway::over(folder(&[("one", "legacy")], &named));
    assert_eq!(gateway.page("GET", "/metrics", Some("gate.example:9464")).status, 200);
    assert_eq!(gateway.page("GET", "/metrics", Some("evil.example:9464")).status, 403);
}
