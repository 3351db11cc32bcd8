//! Servers over HTTP: in front of `refmon serve`, and asked for what they offer by `refmon init` and `refmon contract`.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::gateway::{Gateway, LOCAL, PATIENCE, call, refmon};

/// A server over HTTP that runs.
struct Upstream {
    folder: TempDir,
    child: Child,
    url: String,
}

impl Upstream {
    fn start(mode: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers/full_server.py");
        let mut command = Command::new("python3");
        command.arg(program).arg(mode).arg(folder.path().join("log")).arg("0").stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Self { folder, child, url: format!("http://127.0.0.1:{}/mcp", port.trim()) }
    }

    /// What it was sent: name, parameters, headers.
    fn log(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn all(&self, name: &str) -> Vec<Value> {
        self.log().into_iter().filter(|entry| entry[0] == name).collect()
    }

    fn wait_for(&self, name: &str) {
        let start = std::time::Instant::now();
        while self.all(name).is_empty() {
            assert!(start.elapsed() < PATIENCE, "{name} never came: {:?}", self.log());
        }
    }

    fn file(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn an_older_server_over_http_is_spoken_to_in_its_own_version() {
    let upstream = Upstream::start("legacy");
    let gateway = Gateway::start(&[("one", &upstream.url)], LOCAL);
    let echo = json!({ "name": "echo", "arguments": { "text": "x" } });
    assert_eq!(gateway.modern(None, "tools/call", echo).text(), "x");
    let sent = upstream.all("echo").pop().unwrap();
    assert_eq!(sent[2]["mcp-protocol-version"], "2025-11-25", "{sent}");
    assert!(sent[2].get("mcp-method").is_none() && sent[2]["mcp-session-id"].is_string(), "{sent}");
    let asked = gateway.modern(None, "tools/call", json!({ "name": "elicit", "arguments": {} })).last();
    assert_eq!(asked["result"]["resultType"], "input_required", "{asked}");
}

#[test]
fn an_older_server_over_http_that_forgot_its_session_gets_a_new_one() {
    let upstream = Upstream::start("legacy");
    let gateway = Gateway::start(&[("one", &upstream.url)], LOCAL);
    let session = gateway.begin(None);
    let echo = |text: &str| gateway.within(&session, None, &call("echo", json!({ "text": text })));
    assert_eq!(echo("a").text(), "a");
    upstream.file("log.forget", "");
    let lost = echo("b").last();
    assert_eq!(lost["error"]["code"], -32603, "what was under way is said to be lost: {lost}");
    assert_eq!(echo("c").text(), "c");
    assert_eq!(upstream.all("initialize").len(), 2);
}

#[test]
fn a_newer_server_over_http_gets_the_parameters_of_its_own_call_only() {
    let upstream = Upstream::start("modern");
    let gateway = Gateway::start(&[("one", &upstream.url)], LOCAL);
    let ask = |name: &str, text: &str, more: &[(&str, &str)]| {
        let (headers, body) =
            crate::gateway::modern("tools/call", json!({ "name": name, "arguments": { "text": text } }));
        let mut headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        headers.extend(more);
        gateway.ask("POST", &headers, &body)
    };
    let refused = ask("unknown", "west", &[("mcp-param-region", "west")]);
    assert_eq!(refused.last()["result"]["isError"], true, "{refused:?}");
    assert_eq!(ask("echo", "x", &[]).text(), "x");
    assert_eq!(ask("echo", "east", &[("mcp-param-region", "east")]).text(), "east");
    assert_eq!(ask("echo", " \u{fc} ", &[("mcp-param-text", "=?base64?IMO8IA==?=")]).text(), " \u{fc} ");
    let session = gateway.begin(None);
    assert_eq!(gateway.within(&session, None, &call("echo", json!({ "text": "older" }))).text(), "older");
    let said = |name: &str| -> Vec<Value> { upstream.all("echo").iter().map(|entry| entry[2][name].clone()).collect() };
    // refmon makes them, of what was judged and as the definition says; what a client makes up goes nowhere.
    assert_eq!(said("mcp-param-text"), ["x", "east", "=?base64?IMO8IA==?=", "older"]);
    assert_eq!(said("mcp-param-region"), [Value::Null, Value::Null, Value::Null, Value::Null]);
    let sent = upstream.all("echo").pop().unwrap();
    assert_eq!((&sent[2]["mcp-method"], &sent[2]["mcp-name"]), (&json!("tools/call"), &json!("echo")));
}

#[test]
fn an_older_clients_cancellation_closes_the_request_at_a_newer_server_over_http() {
    let upstream = Upstream::start("modern");
    let gateway = Gateway::start(&[("one", &upstream.url)], LOCAL);
    let session = gateway.begin(None);
    let waiting = gateway.stream("POST", &[("mcp-session-id", &session)], &call("wait", json!({})));
    upstream.wait_for("wait");
    let cancel = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 7 } });
    assert_eq!(gateway.within(&session, None, &cancel.to_string()).status, 202);
    upstream.wait_for("closed");
    assert_eq!(waiting.count(), 0);
    assert_eq!(gateway.within(&session, None, &call("echo", json!({ "text": "on" }))).text(), "on");
}

// Found here: at a server over HTTP all callers are the gateway, and a task's name is all that it takes to have its result.
#[test]
fn tasks_of_a_server_that_callers_share_are_nobodys() {
    let upstream = Upstream::start("modern");
    let folder = crate::gateway::folder(&[("one", &upstream.url)], LOCAL);
    let contract = folder.path().join("contracts/one.toml");
    let methods = ["tasks/get", "tasks/cancel", "tasks/update"];
    let entries = methods.map(|name| format!("[method.\"{name}\"]\neffects = [\"read\"]\n")).concat();
    fs::write(&contract, fs::read_to_string(&contract).unwrap() + &entries).unwrap();
    let gateway = Gateway::over(folder);
    for method in methods {
        let answer = gateway.modern(None, method, json!({ "taskId": "task-1" })).last();
        assert_eq!(answer["error"]["data"]["refmon.dev/verdict"]["decision"], "deny", "{method}: {answer}");
        assert!(upstream.all(method).is_empty());
    }
}

/// Runs refmon in an empty folder of its own, with a credential in the environment.
fn run(folder: &TempDir, arguments: &[&str]) -> Output {
    let mut command = refmon(folder.path(), arguments);
    command.env("TOKEN", "Bearer s3cret").current_dir(folder.path()).stdin(Stdio::null()).output().unwrap()
}

fn said(output: &Output) -> String {
    [&output.stdout[..], &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

#[test]
fn a_server_at_a_url_is_described_in_both_eras_and_can_be_called_after_that() {
    for mode in ["legacy", "modern"] {
        let (upstream, folder) = (Upstream::start(mode), TempDir::new().unwrap());
        let header = "Authorization=env://TOKEN";
        let made = run(&folder, &["init", "--url", &upstream.url, "--private", "--name", "far", "--header", header]);
        assert!(made.status.success(), "{mode}: {}", said(&made));
        let config = fs::read_to_string(folder.path().join("refmon.toml")).unwrap();
        assert!(config.contains("private = true") && config.contains("Authorization = \"env://TOKEN\""), "{config}");
        assert!(!config.contains("s3cret") && !said(&made).contains("s3cret"));
        assert_eq!(upstream.all("tools/list")[0][2]["authorization"], "Bearer s3cret");
        let contract = fs::read_to_string(folder.path().join("contracts/far.toml")).unwrap();
        assert!(["echo", "change"].iter().all(|tool| contract.contains(&format!("[tool.{tool}]"))), "{contract}");
        assert!(contract.contains("[method.\"resources/read\"]"), "{contract}");
        let same = run(&folder, &["contract", "diff", "far"]);
        assert!(same.status.success() && said(&same).contains("exactly"), "{mode}: {}", said(&same));
        let again = run(&folder, &["init", "--url", &upstream.url, "--private", "--name", "far"]);
        assert_eq!(again.status.code(), Some(2), "nothing is overwritten: {}", said(&again));
        // A contract that was made for other tools.
        let definitions = folder.path().join("contracts/far.definitions.json");
        let text = fs::read_to_string(&definitions).unwrap();
        fs::write(
            &definitions,
            text.replace("\"description\": \"echo\"", "\"description\": \"other\"")
                .replace("\"description\":\"echo\"", "\"description\":\"other\""),
        )
        .unwrap();
        let differs = run(&folder, &["contract", "diff", "far"]);
        assert_eq!(differs.status.code(), Some(1), "{}", said(&differs));
        assert!(said(&differs).contains("changed `echo`"), "{}", said(&differs));
        let accepted = run(&folder, &["contract", "accept", "far", "--yes"]);
        assert!(accepted.status.success(), "{}", said(&accepted));
        assert!(run(&folder, &["contract", "diff", "far"]).status.success());
    }
}

#[test]
fn what_cannot_be_asked_at_a_url_says_why_and_writes_nothing() {
    let (upstream, folder) = (Upstream::start("modern"), TempDir::new().unwrap());
    upstream.file("log.token", "Bearer other");
    let web = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let page = format!("http://{}/", web.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in web.incoming() {
            use std::io::{Read as _, Write as _};
            let mut stream = stream.unwrap();
            let _request = stream.read(&mut [0; 4_096]).unwrap();
            let answer =
                "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 4\r\nconnection: close\r\n\r\n<ok>";
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    let nobody = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/mcp", free.local_addr().unwrap())
    };
    for (arguments, code, says) in [
        (vec!["--url", upstream.url.as_str(), "--private"], 3, "HTTP status 401"),
        (vec!["--url", &page, "--private"], 3, "does not speak MCP over HTTP: status 200, text/html"),
        (vec!["--url", &nobody, "--private"], 3, "cannot be reached at its `url`"),
        (vec!["--url", upstream.url.as_str()], 2, "private"),
        (vec!["--url", "https://127.0.0.1:9/mcp"], 2, "not a public address"),
        (vec!["--url", "mcp.example"], 2, "https://host/path"),
        (vec!["--url", &nobody, "--private", "--header", "X-Api-Key=canary"], 2, "looks like a secret"),
        (vec!["--url", &nobody, "--private", "--header", "X"], 2, "NAME=VALUE"),
        (
            vec!["--url", &nobody, "--private", "--header", "A=env://NOBODY_SETS_IT"],
            2,
            "NOBODY_SETS_IT, which is not set",
        ),
    ] {
        let out = run(&folder, &[&["init", "--name", "far"], &arguments[..]].concat());
        assert_eq!(out.status.code(), Some(code), "{arguments:?}: {}", said(&out));
        assert!(said(&out).contains(says) && !said(&out).contains("canary"), "{arguments:?}: {}", said(&out));
        assert!(fs::read_dir(folder.path()).unwrap().next().is_none(), "{arguments:?} wrote something");
    }
    assert!(upstream.log().is_empty(), "without its credential it was asked nothing");
}

#[test]
fn a_clients_server_at_a_url_is_asked_with_its_own_header_and_one_that_cannot_be_is_written_without_tools() {
    let (upstream, folder) = (Upstream::start("legacy"), TempDir::new().unwrap());
    let client = folder.path().join("client.json");
    let file = json!({ "mcpServers": {
        "far": { "url": upstream.url, "headers": { "Authorization": "Bearer s3cret-canary-0123456789" } },
        "gone": { "url": "http://127.0.0.1:9/mcp" },
    }});
    fs::write(&client, file.to_string()).unwrap();
    let made = run(&folder, &["init", "--from", client.to_str().unwrap(), "--yes", "--private"]);
    assert!(made.status.success(), "{}", said(&made));
    assert_eq!(upstream.all("tools/list")[0][2]["authorization"], "Bearer s3cret-canary-0123456789");
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    assert!(read("contracts/far.toml").contains("[tool.echo]"));
    assert!(!read("contracts/gone.toml").contains("[tool."));
    assert!(
        said(&made).contains("`gone` was not asked for its tools: the server cannot be reached"),
        "{}",
        said(&made)
    );
    let config = read("refmon.toml");
    assert_eq!(config.matches("private = true").count(), 2, "{config}");
    assert!(!config.contains("canary") && !said(&made).contains("canary"), "{}", said(&made));
}
