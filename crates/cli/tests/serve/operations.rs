//! What an operator has: logs, a service manager's readiness, health checks, and an end that loses nothing.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::gateway::{Gateway, LOCAL, call, folder, parse, refmon};

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
}

#[test]
fn a_log_for_machines_is_one_object_a_line_without_what_was_said() {
    let gateway = Gateway::with(folder(&[("one", "legacy"), ("two", "gone")], LOCAL), &["--log", "json"], &[]);
    let session = gateway.begin(None);
    gateway.within(&session, None, &call("one__echo", json!({ "text": "canary-said" })));
    gateway.within(&session, None, &call("two__echo", json!({ "text": "canary-said" })));
    gateway.ask("POST", &[("authorization", "Bearer canary-credential")], "{}");
    let (folder, ended) = gateway.stop();
    assert!(ended);
    let text = Gateway::told(folder.path());
    assert!(!text.contains("canary") && text.is_ascii(), "{text}");
    let lines = lines(&text);
    let unreachable =
        lines.iter().find(|line| line["event"] == "server.unreachable").unwrap_or_else(|| panic!("{text}"));
    assert_eq!((&unreachable["server"], &unreachable["level"]), (&json!("two"), &json!("warn")));
    let stopped = lines.last().unwrap();
    assert_eq!((&stopped["event"], &stopped["level"]), (&json!("stopped"), &json!("info")));
    for line in &lines {
        assert!(["time", "level", "event", "about", "text"].iter().all(|key| line[*key].is_string()), "{line}");
    }
}

#[test]
fn a_log_tells_what_matters_enough_and_is_text_unless_it_is_wanted_otherwise() {
    let quiet = format!("{LOCAL}\n[log]\nlevel = \"error\"");
    for (extra, told) in [(LOCAL, true), (quiet.as_str(), false)] {
        let gateway = Gateway::start(&[("one", "legacy"), ("two", "gone")], extra);
        let session = gateway.begin(None);
        gateway.within(&session, None, &call("two__echo", json!({})));
        let (folder, _) = gateway.stop();
        let text = Gateway::told(folder.path());
        assert_eq!(text.contains("refmon[serve]: the server `two` could not be reached"), told, "{text}");
    }
    let folder = folder(&[("one", "legacy")], "[log]\nlevle = \"warn\"");
    let out = refmon(folder.path(), &["serve"]).output().unwrap();
    assert!(String::from_utf8_lossy(&out.stderr).contains("did you mean `level`?"), "{out:?}");
}

#[test]
fn a_service_manager_is_told_of_the_start_and_the_end() {
    let folder = folder(&[("one", "legacy")], LOCAL);
    let path = folder.path().join("notify.sock");
    let socket = UnixDatagram::bind(&path).unwrap();
    let gateway = Gateway::with(folder, &[], &[("NOTIFY_SOCKET", &path)]);
    let state = || {
        let mut state = [0; 64];
        let length = socket.recv(&mut state).unwrap();
        String::from_utf8_lossy(&state[..length]).into_owned()
    };
    assert_eq!(state(), "READY=1");
    assert!(TcpStream::connect(("127.0.0.1", gateway.port)).is_ok(), "it is ready when it says so");
    let (_folder, ended) = gateway.stop();
    assert!(ended);
    assert_eq!(state(), "STOPPING=1");
}

#[test]
fn a_health_check_says_whether_it_is_ready() {
    let gateway = Gateway::start(&[("one", "legacy")], LOCAL);
    let file = gateway.folder().join("refmon.toml");
    let port = format!("127.0.0.1:{}", gateway.port);
    fs::write(&file, fs::read_to_string(&file).unwrap().replace("127.0.0.1:0", &port)).unwrap();
    assert_eq!(gateway.command(&["ready"])["ready"], true);
    let (folder, _) = gateway.stop();
    let out = refmon(folder.path(), &["ready"]).output().unwrap();
    assert_eq!(out.status.code(), Some(3), "{out:?}");
    assert!(String::from_utf8_lossy(&out.stderr).contains("is `refmon serve` running?"), "{out:?}");
}

/// One call on a connection of its own; what came back, if anything did.
fn called(gateway: &Gateway, session: &str, tool: &str, text: &str) -> Option<String> {
    let request = gateway.written("POST", &[("mcp-session-id", session)], &call(tool, json!({ "text": text })));
    let mut stream = TcpStream::connect(("127.0.0.1", gateway.port)).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).ok()?;
    Some(parse(&bytes).text()).filter(|answer| answer == text)
}

#[test]
fn told_to_end_under_load_it_loses_no_call() {
    let gateway = Gateway::start(&[("one", "legacy")], LOCAL);
    let sessions: Vec<String> = (0..8).map(|_| gateway.begin(None)).collect();
    let answered = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for (number, session) in sessions.iter().enumerate() {
            let (gateway, answered) = (&gateway, &answered);
            // Half of the sessions have a call under way that does not end by itself.
            if number % 2 == 0 {
                scope.spawn(move || called(gateway, session, "wait", "never"));
            }
            scope.spawn(move || {
                for call in 0.. {
                    if called(gateway, session, "echo", &format!("{number}-{call}")).is_none() {
                        return;
                    }
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        gateway.wait_for("one", "wait");
        while answered.load(Ordering::Relaxed) < 200 {
            std::thread::yield_now();
        }
        gateway.terminate();
    });
    let server = gateway.log("one");
    let (folder, ended) = gateway.ended();
    assert!(ended, "the exit code is 0");
    let verified = refmon(folder.path(), &["audit", "verify"]).output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    let calls = |arguments: &[&str]| {
        let all = [&["--json", "audit", "search", "-n", "1000000"], arguments].concat();
        let out = refmon(folder.path(), &all).output().unwrap();
        let found: Value = serde_json::from_slice(&out.stdout).unwrap();
        let calls = found.as_array().unwrap().iter().map(|record| record["call"].as_str().unwrap().to_owned());
        calls.collect::<Vec<_>>()
    };
    let permitted = calls(&["--kind", "attempt", "--decision", "permit"]);
    let (came_back, nobody_knows) = (calls(&["--kind", "completion"]), calls(&["--kind", "indeterminate"]));
    let ends: BTreeSet<&String> = came_back.iter().chain(&nobody_knows).collect();
    assert_eq!(ends.len(), came_back.len() + nobody_knows.len(), "one end for each call");
    assert_eq!(ends, permitted.iter().collect(), "an end for each permitted call, and for no other");
    let reached = server.iter().filter(|entry| entry[0] != "cancelled").count();
    assert!(reached <= permitted.len(), "{reached} calls reached the server, {} have a record", permitted.len());
    assert!(came_back.len() >= answered.load(Ordering::Relaxed), "what a client was told of is recorded");
    assert!(nobody_knows.len() >= 4, "calls that were under way are indeterminate, not gone");
}

#[test]
fn where_the_public_listener_speaks_tls_the_one_for_figures_says_whether_it_is_ready() {
    let gateway = Gateway::start(&[("one", "legacy")], &format!("{LOCAL}\nmetrics = \"127.0.0.1:0\""));
    let metrics = gateway.said["metrics"].as_str().unwrap().to_owned();
    let address = metrics.trim_start_matches("http://").trim_end_matches("/metrics").to_owned();
    let file = gateway.folder().join("refmon.toml");
    let tls = "[listen]\ntls = { certificate = \"c.pem\", key = \"k.pem\" }";
    let text = fs::read_to_string(&file).unwrap().replace("[listen]", tls);
    fs::write(&file, text.replace("metrics = \"127.0.0.1:0\"", &format!("metrics = \"{address}\""))).unwrap();
    assert_eq!(gateway.command(&["ready"]), json!({ "ready": true, "address": address }));
    fs::write(&file, text.replace("metrics = \"127.0.0.1:0\"", "")).unwrap();
    let out = refmon(gateway.folder(), &["ready"]).output().unwrap();
    assert_eq!(out.status.code(), Some(2), "{out:?}");
    assert!(String::from_utf8_lossy(&out.stderr).contains("[listen] metrics"), "{out:?}");
}
