//! `kill -9` of a `refmon wrap` under load, at random moments. Whatever the moment: the server has run no call whose
//! permit is not durable, the agent has seen no answer whose end is not durable, the server does not outlive its
//! monitor, the next start closes every open attempt as indeterminate, and the journal verifies.
//!
//! 20 kills, or 1,000 with `REFMON_LONG=1`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::allow_attributes,
    reason = "what surrounds a test may unwrap as the test does"
)]

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Sender};
use std::time::{Duration, Instant};

use refmon_audit::commitments::KeyFolder;
use refmon_audit::reader::{self, Cursor};
use refmon_audit::verify::verify;
use refmon_core::bundle::pin;
use refmon_core::caller::Caller;
use refmon_core::decision::Decision;
use refmon_core::ids::{AgentId, TenantId, UserId};
use refmon_core::json::Json;
use refmon_core::record::{Attempt, Record};
use serde_json::Value;
use tempfile::TempDir;

const DEFINITION: &str = r#"{"name":"note","description":"Notes a number.","inputSchema":{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}}"#;
const POLICY: &str = r#"@id("kill.note") @reason("noting is allowed") permit (principal, action == Refmon::Action::"log/note@1", resource);"#;
const IN_FLIGHT: u64 = 16;
/// A bound on waiting for another process; far beyond what it takes.
const PATIENCE: Duration = Duration::from_secs(60);

struct Home(TempDir);

impl Home {
    fn new() -> Self {
        let home = Self(TempDir::new().unwrap());
        let server = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers/log_server.py");
        fs::create_dir(home.path("contracts")).unwrap();
        fs::create_dir(home.path("policies")).unwrap();
        let config = format!(
            "version = 1\n[identity]\nuser = \"u\"\n[policy]\ndir = \"policies\"\n[[server]]\nname = \"log\"\ncontract = \"contracts/log.toml\"\ncommand = [\"python3\", {:?}, {:?}]\n",
            server,
            home.path("calls.log")
        );
        let definition = Json::parse(DEFINITION.as_bytes()).unwrap();
        let contract = format!(
            "server = \"log\"\nversion = 1\n[tool.note]\npin = \"{}\"\neffects = [\"write\"]\n",
            pin(&definition)
        );
        for (name, text) in [
            ("refmon.toml", config),
            ("contracts/log.toml", contract),
            ("contracts/log.definitions.json", format!(r#"{{"server":"log","tools":[{DEFINITION}]}}"#)),
            ("policies/kill.cedar", POLICY.to_owned()),
        ] {
            fs::write(home.path(name), text).unwrap();
        }
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn refmon(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_refmon"));
        command.arg("--config").arg(self.path("refmon.toml")).args(arguments);
        command.stderr(File::create(self.path("stderr")).unwrap());
        command
    }

    fn stderr(&self) -> String {
        fs::read_to_string(self.path("stderr")).unwrap_or_default()
    }

    fn wrap(&self) -> (Child, ChildStdin, ChildStdout) {
        let mut child = self.refmon(&["wrap"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        (child, input, output)
    }

    /// Starts refmon once more and lets it end in order.
    fn restart(&self) {
        let status = self.refmon(&["wrap"]).stdin(Stdio::null()).stdout(Stdio::null()).status().unwrap();
        assert!(status.success(), "a restart after a kill: {}", self.stderr());
    }

    /// Waits until the server is gone: it holds a lock as long as it lives.
    fn wait_for_the_end_of_the_server(&self) {
        let lock = File::open(self.path("calls.log.lock")).unwrap();
        let (sender, gone) = mpsc::channel();
        std::thread::spawn(move || sender.send(lock.lock().is_ok()));
        assert_eq!(gone.recv_timeout(PATIENCE), Ok(true), "the server outlives its monitor");
    }

    /// The numbers that the server was called with, in order.
    fn calls(&self) -> Vec<u64> {
        let log = fs::read_to_string(self.path("calls.log")).unwrap();
        log.lines().map(|line| line.parse().unwrap()).collect()
    }
}

/// Sends calls as fast as answers come, from a number on, until refmon is gone. Returns how many calls were answered.
fn load(mut input: ChildStdin, output: ChildStdout, from: u64, progress: &Sender<()>) -> u64 {
    let call = |n: u64| {
        format!(
            r#"{{"jsonrpc":"2.0","id":{n},"method":"tools/call","params":{{"name":"note","arguments":{{"n":{n}}}}}}}"#
        )
    };
    let (mut next, mut answered) = (from, 0);
    let mut send = |count: u64| {
        for _ in 0..count {
            if writeln!(input, "{}", call(next)).is_err() {
                return;
            }
            next += 1;
        }
    };
    send(IN_FLIGHT);
    for line in BufReader::new(output).lines() {
        let Ok(line) = line else { break };
        // A line that a kill has cut is no answer.
        let Ok(answer) = serde_json::from_str::<Value>(&line) else { break };
        assert!(answer["result"]["content"].is_array() && answer["result"]["isError"] != true, "{answer}");
        answered += 1;
        // Nobody listens once the kill is under way.
        let _listens = progress.send(()).is_ok();
        send(1);
    }
    answered
}

/// A small generator (SplitMix64), so that a seed gives the same moments as far as moments can be the same.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// What the journal has of its newest boot: permitted attempts in order, and how many calls have come back.
fn newest_boot(journal: &Path) -> (Vec<Attempt>, u64) {
    let boot = reader::boots(journal).unwrap().pop().unwrap();
    let (mut permitted, mut completed) = (Vec::new(), 0);
    for entry in reader::since(journal, Cursor::start(boot)) {
        match entry.unwrap().envelope.record {
            Record::Attempt(attempt) if attempt.decision == Decision::Permit => permitted.push(*attempt),
            Record::Completion(_) => completed += 1,
            _ => {}
        }
    }
    (permitted, completed)
}

/// One kill. Returns how many calls the server had run.
fn kill(home: &Home, random: &mut Random, from: u64) -> u64 {
    drop(fs::remove_file(home.path("calls.log")));
    let (mut child, input, output) = home.wrap();
    let (progress, made) = mpsc::channel();
    let client = std::thread::spawn(move || load(input, output, from, &progress));
    for _ in 0..=random.below(80) {
        made.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no answer: {}", home.stderr()));
    }
    // Within the time that a call takes, so that the kill falls anywhere in its life.
    let moment = Instant::now() + Duration::from_micros(random.below(4_000));
    while Instant::now() < moment {
        std::hint::spin_loop();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let answered = client.join().unwrap();
    home.wait_for_the_end_of_the_server();

    let journal = home.path(".refmon/journal");
    let (permitted, completed) = newest_boot(&journal);
    let calls = home.calls();
    assert!(permitted.len() >= calls.len(), "{} calls ran, {} permits are durable", calls.len(), permitted.len());
    assert!(completed >= answered, "{answered} calls were answered, {completed} ends are durable");
    let keys = KeyFolder::open(&home.path(".refmon/keys")).unwrap();
    let user = UserId::parse("u").unwrap();
    let caller = Caller::local(TenantId::parse("local").unwrap(), user, AgentId::parse("agent").unwrap(), []);
    for (call, attempt) in calls.iter().zip(&permitted) {
        let arguments = format!(r#"{{"n":{call}}}"#);
        let commitment = attempt.arguments.as_ref().unwrap();
        assert!(
            keys.opens(&caller, commitment, arguments.as_bytes()).unwrap(),
            "the call {call} is not the one that was permitted"
        );
    }

    let boot = reader::boots(&journal).unwrap().pop().unwrap();
    home.restart();
    let report = verify(&journal).unwrap();
    let counts = report.boots.iter().find(|report| report.boot == boot).unwrap().counts;
    assert_eq!((counts.open, counts.completed), (0, completed));
    assert_eq!(counts.indeterminate, permitted.len() as u64 - completed, "every open attempt is indeterminate");
    assert!(report.is_intact(), "{:?}", report.findings().collect::<Vec<_>>());
    calls.len() as u64
}

#[test]
fn a_kill_at_any_moment_leaves_no_call_without_its_permit() {
    let kills = if std::env::var_os("REFMON_LONG").is_some() { 1_000 } else { 20 };
    let mut random = Random(0x7265_666d_6f6e);
    let mut home = Home::new();
    let mut ran = 0;
    for number in 0..kills {
        // A journal grows with every start, and verifying it takes longer with it.
        if number > 0 && number % 50 == 0 {
            home = Home::new();
        }
        ran += kill(&home, &mut random, number * 1_000_000);
        let verified = home.refmon(&["audit", "verify"]).stdout(Stdio::null()).status().unwrap();
        assert!(verified.success(), "`refmon audit verify` after kill {number}: {}", home.stderr());
    }
    assert!(ran > kills, "the kills fall into a load: {ran} calls ran");
}
