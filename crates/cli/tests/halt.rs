//! `refmon halt` while `refmon wrap` runs: the next call is denied, and after `refmon resume` one is permitted.

#![allow(clippy::allow_attributes, clippy::unwrap_used, clippy::panic, reason = "tests may unwrap")]

use std::fs;
use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};

use refmon_core::bundle::pin;
use refmon_core::json::Json;
use serde_json::Value;
use tempfile::TempDir;

const DEFINITION: &str = r#"{"name":"note","description":"Notes a number.","inputSchema":{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}}"#;
const POLICY: &str = r#"@id("halt.note") @reason("noting is allowed") permit (principal, action == Refmon::Action::"log/note@1", resource);"#;

fn home(authority: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    let server = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers/log_server.py");
    fs::create_dir(at("contracts")).unwrap();
    fs::create_dir(at("policies")).unwrap();
    let config = format!(
        "version = 1\n[identity]\nuser = \"ann\"\n[policy]\ndir = \"policies\"\n[[server]]\nname = \"log\"\ncontract = \"contracts/log.toml\"\ncommand = [\"python3\", {:?}, {:?}]\n{authority}",
        server,
        at("calls.log")
    );
    let definition = pin(&Json::parse(DEFINITION.as_bytes()).unwrap());
    let contract =
        format!("server = \"log\"\nversion = 1\n[tool.note]\npin = \"{definition}\"\neffects = [\"write\"]\n");
    for (name, text) in [
        ("refmon.toml", config),
        ("contracts/log.toml", contract),
        ("contracts/log.definitions.json", format!(r#"{{"server":"log","tools":[{DEFINITION}]}}"#)),
        ("policies/halt.cedar", POLICY.to_owned()),
        ("call.json", r#"{"server":"log","tool":"note","arguments":{"n":1}}"#.to_owned()),
    ] {
        fs::write(at(name), text).unwrap();
    }
    folder
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_refmon"));
    command.arg("--config").arg(folder.join("refmon.toml")).args(arguments);
    command
}

fn refmon(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments).stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A running `refmon wrap`, and its agent.
struct Agent {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    calls: u64,
}

impl Agent {
    fn of(folder: &Path) -> Self {
        let mut command = command(folder, &["wrap"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, input, output, calls: 0 }
    }

    /// Calls the tool, and returns the reason of a refusal, or `ran`.
    fn call(&mut self) -> String {
        self.calls += 1;
        let number = self.calls;
        writeln!(
            self.input,
            r#"{{"jsonrpc":"2.0","id":{number},"method":"tools/call","params":{{"name":"note","arguments":{{"n":{number}}}}}}}"#
        )
        .unwrap();
        let answer: Value = serde_json::from_str(&self.output.next().unwrap().unwrap()).unwrap();
        let reason = &answer["result"]["_meta"]["refmon.dev/verdict"]["reason"];
        reason.as_str().unwrap_or("ran").to_owned()
    }

    fn end(mut self) {
        drop(self.input);
        assert!(self.child.wait().unwrap().success());
    }
}

#[test]
fn wrap_obeys_a_halt_while_it_runs_and_goes_on_after_it() {
    let folder = home("");
    let at = folder.path();
    let mut agent = Agent::of(at);
    assert_eq!(agent.call(), "ran");
    assert!(refmon(at, &["halt", "--reason", "too many notes"]).status.success());
    assert_eq!(agent.call(), "authority.halted");
    let again = refmon(at, &["halt"]);
    assert!(again.status.success() && text(&again.stdout).contains("nothing changed"), "{}", text(&again.stdout));
    let checked = refmon(at, &["--json", "check", &at.join("call.json").display().to_string()]);
    assert_eq!(serde_json::from_slice::<Value>(&checked.stdout).unwrap()["reason"], "authority.halted");
    let doctor = refmon(at, &["doctor"]);
    assert_eq!(doctor.status.code(), Some(1));
    let told = text(&doctor.stdout);
    assert!(told.contains("halted by ann at ") && told.contains("too many notes"), "{told}");
    assert_eq!(agent.call(), "authority.halted");
    assert!(refmon(at, &["resume"]).status.success());
    assert_eq!(agent.call(), "ran");
    fs::write(at.join(".refmon/halted"), "").unwrap();
    assert_eq!(agent.call(), "authority.halted", "the file counts by being there");
    assert!(refmon(at, &["resume"]).status.success());
    assert_eq!(agent.call(), "ran");
    let nothing = refmon(at, &["resume"]);
    assert!(nothing.status.success() && text(&nothing.stdout).contains("nothing changed"));
    agent.end();

    assert_eq!(fs::read_to_string(at.join("calls.log")).unwrap(), "1\n4\n6\n", "a denied call does not run");
    let tail = text(&refmon(at, &["audit", "tail", "-n", "100"]).stdout);
    assert_eq!((tail.matches("halted all calls").count(), tail.matches("refmon resumed").count()), (1, 2), "{tail}");
    assert!(!tail.contains("too many notes"), "the reason is not evidence: {tail}");
    assert!(refmon(at, &["audit", "verify"]).status.success());
}

#[test]
fn limits_of_the_configuration_reach_the_agent_and_check_takes_nothing() {
    let folder =
        home("[[authority.budget]]\ntool = \"note\"\nper = \"caller\"\ncalls = 2\nwindow_seconds = 31536000\n");
    let at = folder.path();
    let mut agent = Agent::of(at);
    let call = at.join("call.json").display().to_string();
    for _ in 0..3 {
        assert!(refmon(at, &["check", &call]).status.success());
    }
    assert_eq!([agent.call(), agent.call(), agent.call()], ["ran", "ran", "authority.budget"]);
    agent.end();
    let read_only = home("[[authority.read_only]]\nuser = \"ann\"\n");
    let mut agent = Agent::of(read_only.path());
    assert_eq!(agent.call(), "authority.read-only");
    agent.end();
    let halted = home("[authority]\nhalted = true\n");
    let mut agent = Agent::of(halted.path());
    assert_eq!(agent.call(), "authority.halted");
    let resumed = refmon(halted.path(), &["resume"]);
    assert_eq!(resumed.status.code(), Some(1));
    assert!(text(&resumed.stdout).contains("still halted"));
    assert_eq!(agent.call(), "authority.halted");
    agent.end();
}

#[test]
fn a_budget_for_a_tool_that_no_contract_has_stops_the_start() {
    let folder = home("[[authority.budget]]\ntool = \"note_\"\nper = \"all\"\ncalls = 2\nwindow_seconds = 60\n");
    let output = refmon(folder.path(), &["wrap"]);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("refmon.toml") && error.contains("did you mean `note`?"), "{error}");
}
