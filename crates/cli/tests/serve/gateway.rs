//! The gateway under test, and a client that writes HTTP by hand, so that it can write it wrong.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use refmon_core::bundle::pin;
use refmon_core::json::Json;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A bound on waiting for another process; far beyond what it takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A running gateway and its folder.
pub(crate) struct Gateway {
    folder: TempDir,
    child: Child,
    pub(crate) port: u16,
    /// What it said when it had started.
    pub(crate) said: Value,
}

/// What came back.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Answer {
    /// The messages of the body: one of JSON, or those of a stream.
    pub(crate) fn messages(&self) -> Vec<Value> {
        if self.headers.get("content-type").is_some_and(|kind| kind.starts_with("text/event-stream")) {
            let data = self.body.lines().filter_map(|line| line.strip_prefix("data: "));
            return data.map(|data| serde_json::from_str(data).unwrap()).collect();
        }
        serde_json::from_str(&self.body).into_iter().collect()
    }

    /// The last message: the answer to the request.
    pub(crate) fn last(&self) -> Value {
        self.messages().pop().unwrap_or_default()
    }

    /// The text of a tool's result.
    pub(crate) fn text(&self) -> String {
        self.last()["result"]["content"][0]["text"].as_str().unwrap_or_default().to_owned()
    }
}

/// A folder with servers, each `(name, mode)`, that permits everything they do but what policy holds.
pub(crate) fn folder(servers: &[(&str, &str)], extra: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    let servers_of_tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers");
    fs::create_dir(path("contracts")).unwrap();
    fs::create_dir(path("policies")).unwrap();
    let mut config = format!("version = 1\n[policy]\ndir = \"policies\"\n{extra}\n");
    for (name, mode) in servers {
        config.push_str(&format!("[[server]]\nname = \"{name}\"\ncontract = \"contracts/{name}.toml\"\n"));
        // `full legacy` and `full modern` have every method; a URL is a full one that runs already.
        let (names, methods) =
            if mode.contains(' ') || mode.starts_with("http") { (FULL, METHODS) } else { (ERA, &[][..]) };
        if mode.starts_with("http") {
            config.push_str(&format!("url = \"{mode}\"\nprivate = true\n"));
        } else {
            let program = if names == FULL { "full_server.py" } else { "era_server.py" };
            let (program, log) = (servers_of_tests.join(program), path(&format!("{name}.log")));
            let mode = mode.trim_start_matches("full ");
            config.push_str(&format!("command = [\"python3\", {program:?}, \"{mode}\", {log:?}]\n"));
        }
        let tools: Vec<String> = names.iter().map(|name| definition(name)).collect();
        let mut contract = format!("server = \"{name}\"\nversion = 1\n");
        for (tool, text) in names.iter().zip(&tools) {
            let pin = pin(&Json::parse(text.as_bytes()).unwrap());
            contract.push_str(&format!(
                "[tool.{tool}]\npin = \"{pin}\"\neffects = [\"write\"]\nrequired_scopes = [\"{name}:use\"]\n"
            ));
        }
        for method in methods.iter().chain(&["elicitation/create"]) {
            contract.push_str(&format!("[method.\"{method}\"]\neffects = [\"read\"]\n"));
        }
        fs::write(path(&format!("contracts/{name}.toml")), contract).unwrap();
        let definitions = format!(r#"{{"server":"{name}","tools":[{}]}}"#, tools.join(","));
        fs::write(path(&format!("contracts/{name}.definitions.json")), definitions).unwrap();
    }
    fs::write(path("refmon.toml"), config).unwrap();
    let policy = r#"@id("all") @reason("all is permitted") permit (principal, action, resource);"#;
    fs::write(path("policies/all.cedar"), policy).unwrap();
    folder
}

/// The tools of `era_server.py`.
const ERA: &[&str] = &["echo", "ask", "wait"];
/// The tools of `full_server.py`.
const FULL: &[&str] = &["echo", "wait", "sample", "elicit", "visit", "roots", "steps", "chat", "change"];
/// The methods of `full_server.py` that are judged, besides elicitation.
const METHODS: &[&str] = &[
    "resources/list",
    "resources/templates/list",
    "resources/read",
    "resources/subscribe",
    "prompts/list",
    "prompts/get",
    "completion/complete",
    "sampling/createMessage",
    "roots/list",
];

fn definition(name: &str) -> String {
    let schema = json!({ "type": "object", "properties": { "text": { "type": "string", "x-mcp-header": "Text" } } });
    json!({ "name": name, "description": name, "inputSchema": schema }).to_string()
}

/// The local person with every scope, at a free port.
pub(crate) const LOCAL: &str =
    "[identity]\nuser = \"u\"\nscopes = [\"one:use\", \"two:use\"]\n[listen]\nhttp = \"127.0.0.1:0\"";
/// API keys only, at a free port.
pub(crate) const KEYS: &str = "[identity]\nkind = \"keys\"\n[listen]\nhttp = \"127.0.0.1:0\"";

impl Gateway {
    pub(crate) fn start(servers: &[(&str, &str)], extra: &str) -> Self {
        Self::over(folder(servers, extra))
    }

    pub(crate) fn over(folder: TempDir) -> Self {
        Self::with(folder, &[], &[])
    }

    /// Starts it with more arguments and variables. What it tells is in [`Gateway::told`].
    pub(crate) fn with(folder: TempDir, arguments: &[&str], variables: &[(&str, &Path)]) -> Self {
        // Some tests open more connections than a shell usually lets a process have.
        let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        limit.current = limit.maximum;
        rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
        let mut command = refmon(folder.path(), &[&["--json", "serve"], arguments].concat());
        command.envs(variables.iter().copied());
        let told = fs::File::create(folder.path().join("told.txt")).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(told).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: Value =
            serde_json::from_str(&line).unwrap_or_else(|_| panic!("it does not start: {}", Self::told(folder.path())));
        let address = said["listening"].as_str().unwrap();
        let port = address.trim_end_matches("/mcp").rsplit(':').next().unwrap().parse().unwrap();
        Self { folder, child, port, said }
    }

    /// What it has told its operator.
    pub(crate) fn told(folder: &Path) -> String {
        fs::read_to_string(folder.join("told.txt")).unwrap()
    }

    /// The page of figures, asked for by hand.
    pub(crate) fn figures(&self) -> String {
        let answer = self.page("GET", "/metrics", None);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    /// The value of one figure.
    pub(crate) fn figure(&self, sample: &str) -> Option<f64> {
        let page = self.figures();
        let line = page.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        line.map(|value| value.parse().unwrap())
    }

    /// Something of the listener for figures.
    pub(crate) fn page(&self, method: &str, path: &str, host: Option<&str>) -> Answer {
        let url = self.said["metrics"].as_str().expect("figures are on");
        let own = url.trim_start_matches("http://").trim_end_matches("/metrics");
        let mut stream = TcpStream::connect(own).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let host = host.unwrap_or(own);
        write!(stream, "{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        parse(&bytes)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs another command over the same folder, and gives what it prints as JSON.
    pub(crate) fn command(&self, arguments: &[&str]) -> Value {
        let out = refmon(self.folder.path(), &[&["--json"], arguments].concat()).output().unwrap();
        serde_json::from_slice(&out.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&out.stderr)))
    }

    /// An API key for a user with the scopes of both servers.
    pub(crate) fn key(&self, user: &str, tenant: &str) -> (String, String) {
        let arguments = ["key", "add", "--user", user, "--tenant", tenant, "--scope", "one:use", "--scope", "two:use"];
        let made = self.command(&arguments);
        (made["id"].as_str().unwrap().to_owned(), made["key"].as_str().unwrap().to_owned())
    }

    /// What a server was called with.
    pub(crate) fn log(&self, server: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.folder.path().join(format!("{server}.log"))).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Waits until a server's log has a line like this.
    pub(crate) fn wait_for(&self, server: &str, name: &str) {
        let start = std::time::Instant::now();
        while !self.log(server).iter().any(|entry| entry[0] == name) {
            assert!(start.elapsed() < PATIENCE, "{name} never came to {server}: {:?}", self.log(server));
            std::thread::yield_now();
        }
    }

    /// KiB of memory that it has.
    pub(crate) fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends one request, written by hand, and reads the answer to its end.
    pub(crate) fn raw(&self, request: &[u8]) -> Answer {
        let mut stream = self.connect();
        // A body that is refused unread may reset the connection, before or after the answer.
        let _cut = stream.write_all(request).is_err();
        let mut bytes = Vec::new();
        let _reset = stream.read_to_end(&mut bytes).is_err();
        parse(&bytes)
    }

    /// A request with headers and a body.
    pub(crate) fn ask(&self, method: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.raw(self.written(method, headers, body).as_bytes())
    }

    pub(crate) fn written(&self, method: &str, headers: &[(&str, &str)], body: &str) -> String {
        let own = format!("localhost:{}", self.port);
        let mut head = format!("{method} /mcp HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
        let defaults = [
            ("host", own.as_str()),
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
        ];
        for (name, value) in defaults.iter().filter(|(name, _)| !headers.iter().any(|(own, _)| own == name)) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        format!("{head}\r\n{body}")
    }

    // === up to 2025-11-25 ===

    /// Begins a session.
    pub(crate) fn begin(&self, key: Option<&str>) -> String {
        self.begin_able(key, &json!({ "elicitation": {} }))
    }

    /// Begins a session of a client that can do something.
    pub(crate) fn begin_able(&self, key: Option<&str>, able: &Value) -> String {
        let hello = request(
            "initialize",
            json!({
                "protocolVersion": "2025-11-25", "capabilities": able,
                "clientInfo": { "name": "test", "version": "1" },
            }),
        );
        let answer =
            self.ask("POST", &bearer(key).iter().map(|v| ("authorization", v.as_str())).collect::<Vec<_>>(), &hello);
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.last()["result"]["protocolVersion"].is_string(), "{answer:?}");
        answer.headers["mcp-session-id"].clone()
    }

    /// A request within a session.
    pub(crate) fn within(&self, session: &str, key: Option<&str>, body: &str) -> Answer {
        let bearer = bearer(key);
        let mut headers = vec![("mcp-session-id", session), ("mcp-protocol-version", "2025-11-25")];
        headers.extend(bearer.iter().map(|value| ("authorization", value.as_str())));
        self.ask("POST", &headers, body)
    }

    // === from 2026-07-28 on ===

    /// A request that stands for itself, as a client of that era writes it.
    pub(crate) fn modern(&self, key: Option<&str>, method: &str, params: Value) -> Answer {
        let bearer = bearer(key);
        let (headers, body) = modern(method, params);
        let mut headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        headers.extend(bearer.iter().map(|value| ("authorization", value.as_str())));
        self.ask("POST", &headers, &body)
    }

    /// Sends a request and gives the messages of its stream as they come.
    pub(crate) fn stream(&self, method: &str, headers: &[(&str, &str)], body: &str) -> Stream {
        let mut stream = self.connect();
        stream.write_all(self.written(method, headers, body).as_bytes()).unwrap();
        Stream(BufReader::new(stream))
    }

    /// A request from 2026-07-28 on whose stream is read as it comes.
    pub(crate) fn modern_stream(&self, key: Option<&str>, method: &str, params: Value) -> Stream {
        let bearer = bearer(key);
        let (headers, body) = modern(method, params);
        let mut headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        headers.extend(bearer.iter().map(|value| ("authorization", value.as_str())));
        self.stream("POST", &headers, &body)
    }

    /// Tells the gateway to end, and waits until it has.
    pub(crate) fn stop(self) -> (TempDir, bool) {
        self.terminate();
        self.ended()
    }

    /// Tells the gateway to end.
    pub(crate) fn terminate(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    }

    /// Kills the gateway, without a word.
    pub(crate) fn kill(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }

    /// Waits until the gateway has ended.
    pub(crate) fn ended(mut self) -> (TempDir, bool) {
        let ended = self.child.wait().unwrap().success();
        (std::mem::replace(&mut self.folder, TempDir::new().unwrap()), ended)
    }
}

/// A stream of messages that is open. Dropped, it is closed.
pub(crate) struct Stream(BufReader<TcpStream>);

impl Iterator for Stream {
    type Item = Value;

    /// The next message; `None` at the end of the stream.
    fn next(&mut self) -> Option<Value> {
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).expect("the stream is not silent for ever") == 0 {
                return None;
            }
            let text = line.trim_end();
            if let Some(data) = text.strip_prefix("data: ").or_else(|| text.starts_with('{').then_some(text)) {
                return Some(serde_json::from_str(data).unwrap_or_else(|_| panic!("not JSON: {data}")));
            }
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn bearer(key: Option<&str>) -> Option<String> {
    key.map(|key| format!("Bearer {key}"))
}

pub(crate) fn refmon(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_refmon"));
    command.arg("--config").arg(folder.join("refmon.toml")).args(arguments);
    command
}

pub(crate) fn request(method: &str, params: Value) -> String {
    json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params }).to_string()
}

pub(crate) fn call(name: &str, arguments: Value) -> String {
    request("tools/call", json!({ "name": name, "arguments": arguments }))
}

/// The headers and the body of a request from 2026-07-28 on.
pub(crate) fn modern(method: &str, mut params: Value) -> (Vec<(&'static str, String)>, String) {
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2026-07-28");
    params["_meta"]["io.modelcontextprotocol/clientInfo"] = json!({ "name": "test", "version": "1" });
    let able = &mut params["_meta"]["io.modelcontextprotocol/clientCapabilities"];
    if able.is_null() {
        *able = json!({ "elicitation": {} });
    }
    let mut headers = vec![("mcp-protocol-version", "2026-07-28".to_owned()), ("mcp-method", method.to_owned())];
    if let Some(name) = params["name"].as_str().or_else(|| params["uri"].as_str()) {
        headers.push(("mcp-name", name.to_owned()));
    }
    (headers, request(method, params))
}

/// Reads an answer's head and body, chunks put together.
pub(crate) fn parse(bytes: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(bytes);
    let (head, mut rest) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or_default();
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .filter(|(name, _)| name != "date")
        .collect();
    let mut body = String::new();
    if !headers.contains_key("transfer-encoding") {
        body.push_str(rest);
    } else {
        while let Some((size, after)) = rest.split_once("\r\n") {
            let size = usize::from_str_radix(size, 16).unwrap_or_default();
            let Some(chunk) = after.get(..size).filter(|chunk| !chunk.is_empty()) else { break };
            body.push_str(chunk);
            rest = after.get(size + 2..).unwrap_or_default();
        }
    }
    Answer { status, headers, body }
}

/// Processes whose command line has this text.
pub(crate) fn processes(text: &Path) -> Vec<PathBuf> {
    let text = text.display().to_string();
    let has = |path: &PathBuf| {
        fs::read(path.join("cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(&text))
    };
    fs::read_dir("/proc").unwrap().filter_map(|entry| Some(entry.ok()?.path())).filter(has).collect()
}
