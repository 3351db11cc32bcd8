//! The doors, each a lane on which calls go one after the other.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

use refmon_audit::commitments::KeyFolder;
use refmon_audit::journal::{Journal, Options};
use refmon_core::bundle::{Listing, pin};
use refmon_core::caller::Caller;
use refmon_core::ids::{AgentId, Scope, ServerName, TenantId, ToolName, TrajectoryId, UserId};
use refmon_core::json::Json;
use refmon_core::monitor::{Ask, Monitor, Outcome, Ports, Proposal, Route, Verdict};
use refmon_core::ports::Clock;
use refmon_core::record::{Door, Status};
use refmon_core::untrusted::Untrusted;
use refmon_gateway::session::SUPPORTED;
use refmon_gateway::system::System;
use refmon_policy::Sources;
use refmon_store::Stores;
use serde_json::{Value, json};

use crate::calls::Call;
use crate::house::House;

/// What a door said to a call: the decision and its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) decision: String,
    pub(crate) reason: String,
}

/// A door.
pub(crate) trait Lane {
    fn ask(&mut self, call: &Call) -> Said;
    /// Lets everything go, so that the journal is whole.
    fn end(self: Box<Self>);
}

/// What a message says of a call.
fn read(message: &Value) -> Said {
    let verdict = [&message["result"]["_meta"], &message["error"]["data"]]
        .into_iter()
        .map(|place| &place["refmon.dev/verdict"])
        .find(|verdict| verdict.is_object());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if let Some(verdict) = verdict {
        return Said { decision: text(&verdict["decision"]), reason: text(&verdict["reason"]) };
    }
    // What is refused before it has one reading has no tool, and so no result.
    if let Some(reason) = message["error"]["data"]["reason"].as_str() {
        return Said { decision: "deny".to_owned(), reason: reason.to_owned() };
    }
    assert_eq!(message["result"]["content"][0]["text"], "done", "{message}");
    Said { decision: "permit".to_owned(), reason: String::new() }
}

fn written(id: usize, call: &Call, meta: &str) -> String {
    let arguments = call.arguments.as_ref().map(|text| format!(",\"arguments\":{text}")).unwrap_or_default();
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":{}{arguments}{meta}}}}}"#,
        json!(call.tool)
    )
}

fn refmon(config: PathBuf, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_refmon"));
    command.arg("--config").arg(config).args(arguments).stdout(Stdio::piped()).stderr(Stdio::inherit());
    command
}

fn hello() -> String {
    json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "test", "version": "1" },
    }})
    .to_string()
}

/// MCP over standard input and output.
pub(crate) struct Stdio1 {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    last: usize,
}

impl Stdio1 {
    pub(crate) fn open(house: &House) -> Self {
        let mut child = refmon(house.path("stdio.toml"), &["wrap"]).stdin(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut lane = Self { child, input, output, last: 0 };
        lane.exchange(&hello());
        lane
    }

    fn exchange(&mut self, line: &str) -> Value {
        writeln!(self.input, "{line}").unwrap();
        let mut answer = String::new();
        self.output.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap()
    }
}

impl Lane for Stdio1 {
    fn ask(&mut self, call: &Call) -> Said {
        self.last += 1;
        read(&self.exchange(&written(self.last, call, "")))
    }

    fn end(self: Box<Self>) {
        let Self { mut child, input, output, .. } = *self;
        drop((input, output));
        assert!(child.wait().unwrap().success());
    }
}

/// MCP over HTTP, in either era.
pub(crate) struct Http {
    child: Child,
    stream: BufReader<TcpStream>,
    /// The session of a client up to 2025-11-25.
    session: Option<String>,
    last: usize,
}

impl Http {
    pub(crate) fn open(house: &House, modern: bool) -> Self {
        let mut lane = Self::connected(house, if modern { "modern.toml" } else { "legacy.toml" });
        if !modern {
            let (head, _) = lane.exchange("/mcp", &[], &hello());
            let session = head.lines().find_map(|line| line.strip_prefix("mcp-session-id: ")).unwrap();
            lane.session = Some(session.trim().to_owned());
        }
        lane
    }

    fn connected(house: &House, config: &str) -> Self {
        let mut child = refmon(house.path(config), &["--json", "serve"]).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap();
        let address = said["listening"].as_str().unwrap().trim_start_matches("http://").trim_end_matches("/mcp");
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { child, stream: BufReader::new(stream), session: None, last: 0 }
    }

    fn exchange(&mut self, path: &str, headers: &[(&str, &str)], body: &str) -> (String, Value) {
        let address = self.stream.get_ref().peer_addr().unwrap();
        let mut head = format!("POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n");
        head.push_str(&format!("accept: application/json, text/event-stream\r\ncontent-length: {}\r\n", body.len()));
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        self.stream.get_mut().write_all(format!("{head}\r\n{body}").as_bytes()).unwrap();
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(self.stream.read_line(&mut head).unwrap() > 0, "the connection ended: {head}");
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.unwrap_or_else(|| panic!("{head}")).parse().unwrap()];
        self.stream.read_exact(&mut body).unwrap();
        (head, serde_json::from_slice(&body).unwrap())
    }
}

impl Lane for Http {
    fn ask(&mut self, call: &Call) -> Said {
        self.last += 1;
        let (_, message) = match self.session.clone() {
            Some(session) => {
                let headers = [("mcp-session-id", session.as_str()), ("mcp-protocol-version", "2025-11-25")];
                self.exchange("/mcp", &headers, &written(self.last, call, ""))
            }
            None => {
                let meta = r#","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;
                // Names with white space around them, and none at all, are sent encoded (MCP 2026-07-28, value encoding).
                let name = match call.tool.as_str() {
                    "read " => "=?base64?cmVhZCA=?=",
                    "" => "=?base64??=",
                    plain => plain,
                };
                let headers =
                    [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call"), ("mcp-name", name)];
                self.exchange("/mcp", &headers, &written(self.last, call, meta))
            }
        };
        read(&message)
    }

    fn end(self: Box<Self>) {
        let Self { mut child, stream, .. } = *self;
        drop(stream);
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(child.wait().unwrap().success());
    }
}

/// The decision APIs: a host that asks, or one that asks and says how it ended.
pub(crate) struct Api {
    http: Http,
    definitions: BTreeMap<String, Value>,
    calls: bool,
}

impl Api {
    pub(crate) fn open(house: &House, calls: bool) -> Self {
        let named = |definition: &Value| (definition["name"].as_str().unwrap().to_owned(), definition.clone());
        let definitions = house.definitions.iter().map(named).collect();
        Self { http: Http::connected(house, if calls { "calls.toml" } else { "access.toml" }), definitions, calls }
    }

    /// What the host has seen of the tool in its server's list.
    fn seen(&self, call: &Call) -> String {
        let seen = self.definitions.get(&call.tool);
        seen.map(|definition| format!(",\"definition\":{definition}")).unwrap_or_default()
    }

    fn evaluate(&mut self, call: &Call) -> Said {
        let arguments = call.arguments.as_ref().map(|text| format!(r#""arguments":{text}"#)).unwrap_or_default();
        let body = format!(
            r#"{{"subject":{{"type":"user","id":"u"}},"action":{{"name":"tools/call","properties":{{{arguments}}}}},
                "resource":{{"type":"tool","id":{},"properties":{{"server":"doors"{}}}}},
                "context":{{"supported_obligations":["custom"]}}}}"#,
            json!(call.tool),
            self.seen(call)
        );
        let (_, answer) = self.http.exchange("/access/v1/evaluation", &[], &body);
        let context = &answer["context"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        match answer["decision"].as_bool() {
            Some(true) => Said { decision: "permit".to_owned(), reason: String::new() },
            Some(false) => {
                Said { decision: text(&context["refmon.dev/verdict"]["decision"]), reason: text(&context["reason"]) }
            }
            None => Said { decision: "deny".to_owned(), reason: text(&answer["reason"]) },
        }
    }

    fn propose(&mut self, call: &Call) -> Said {
        let arguments = call.arguments.as_ref().map(|text| format!(",\"arguments\":{text}")).unwrap_or_default();
        let tool = json!(call.tool);
        let body = format!(
            r#"{{"server":"doors","tool":{tool}{arguments}{},"supported_obligations":["withhold_output"]}}"#,
            self.seen(call)
        );
        let (_, answer) = self.http.exchange("/v1/calls", &[], &body);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        if answer["decision"] != "permit" {
            let decision = if answer["code"].is_string() { "deny".to_owned() } else { text(&answer["decision"]) };
            return Said { decision, reason: text(&answer["reason"]) };
        }
        let path = text(&answer["outcome"]["url"]);
        let (head, ended) = self.http.exchange(&path, &[], r#"{"status":"ok","result":"done"}"#);
        assert!(head.starts_with("HTTP/1.1 200") && ended["recorded"] == true, "{head}{ended}");
        Said { decision: "permit".to_owned(), reason: String::new() }
    }
}

impl Lane for Api {
    fn ask(&mut self, call: &Call) -> Said {
        if self.calls { self.propose(call) } else { self.evaluate(call) }
    }

    fn end(self: Box<Self>) {
        Box::new(self.http).end();
    }
}

/// The library: a program that calls the monitor itself, and runs the tools itself.
pub(crate) struct Library {
    monitor: Monitor,
    clock: Arc<dyn Clock>,
    route: Route,
    listing: Arc<Listing>,
}

impl Library {
    pub(crate) fn open(house: &House) -> Self {
        let data = house.path("library.data");
        std::fs::create_dir(&data).unwrap();
        let sources = Sources {
            contracts: vec![house.path("contracts/doors.toml")],
            packs: vec!["baseline".to_owned()],
            policy_dir: Some(house.path("policies")),
            base: house.folder.path().to_owned(),
        };
        let loaded = refmon_policy::load(&sources).unwrap();
        let guarded = ["library.toml", "policies", "contracts", "library.data"].map(|name| house.path(name));
        let system = Arc::new(System::guarding(guarded.to_vec()));
        let clock: Arc<dyn Clock> = Arc::<System>::clone(&system);
        let (journal, _) = Journal::open(&data.join("journal"), &Options::new(Arc::clone(&clock))).unwrap();
        let stores = Arc::new(Stores::open(&data.join("state.db")).unwrap());
        let ports = Ports {
            clock: Arc::clone(&clock),
            entropy: Arc::<System>::clone(&system),
            journal: Arc::new(journal),
            commitments: Arc::new(KeyFolder::open(&data.join("keys")).unwrap()),
            holds: Arc::<Stores>::clone(&stores),
            grants: stores,
            files: system,
            inspectors: Vec::new(),
        };
        let (tenant, user, agent) = (TenantId::parse("local"), UserId::parse("u"), AgentId::parse("agent"));
        let scopes = vec![Scope::parse("doors:use").unwrap()];
        let caller = Caller::local(tenant.unwrap(), user.unwrap(), agent.unwrap(), scopes);
        let route = Route {
            door: Door::Library,
            caller: Arc::new(caller),
            trajectory: TrajectoryId::from_bytes([1; 16]),
            server: ServerName::parse("doors").unwrap(),
            supported: SUPPORTED,
        };
        let pins = house.definitions.iter().map(|definition| {
            let name = ToolName::parse(definition["name"].as_str().unwrap()).unwrap();
            (name, pin(&Json::parse(definition.to_string().as_bytes()).unwrap()))
        });
        let listing = Arc::new(Listing::new(pins));
        Self { monitor: Monitor::new(loaded.bundle, ports).unwrap(), clock, route, listing }
    }
}

impl Lane for Library {
    fn ask(&mut self, call: &Call) -> Said {
        let bytes = call.arguments.clone().unwrap_or_default().into_bytes();
        let (range, ask) = (0..bytes.len(), Ask::Tool(call.tool.clone()));
        let proposal = Proposal::new(&self.route, ask, Arc::clone(&self.listing), bytes, range, self.clock.now());
        let said = |decision: &str, reason: &str| Said { decision: decision.to_owned(), reason: reason.to_owned() };
        match self.monitor.submit(proposal) {
            Verdict::Deny(denied) => said("deny", denied.judgement().reason.as_str()),
            Verdict::Hold(held) => said("hold", held.judgement().reason.as_str()),
            Verdict::Permit(permit) => {
                let (_, flight) = permit.dispatch();
                let outcome = self.monitor.finish(flight.returned(Untrusted::new(b"done".to_vec()), Status::Ok));
                assert!(matches!(outcome, Outcome::Released(_)), "{outcome:?}");
                said("permit", "")
            }
        }
    }

    fn end(self: Box<Self>) {}
}
