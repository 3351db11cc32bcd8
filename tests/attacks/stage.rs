//! The stage: a real session between two streams in memory, with the real policy over fixture files.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use refmon_core::bundle::Bundle;
use refmon_core::caller::Caller;
use refmon_core::decision::Decision;
use refmon_core::ids::{HoldId, TrajectoryId};
use refmon_core::monitor::{Monitor, Route};
use refmon_core::ports::{Files, Wait};
use refmon_core::record::{Door, Record, Status};
use refmon_gateway::frame::Frame;
use refmon_gateway::session::{Observed, Observer, SUPPORTED, Session, Terms};
use refmon_gateway::upstream::Lines;
use refmon_policy::{Sources, load};
use serde_json::{Value, json};

use crate::support::{self, World};

pub(crate) const TRAJECTORY: TrajectoryId = TrajectoryId::from_bytes([1; 16]);

/// One direction's stream: what the session wrote, line by line.
#[derive(Clone, Default)]
pub(crate) struct Wire(Arc<(Mutex<Vec<u8>>, Condvar)>);

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.0.lock().unwrap().extend_from_slice(bytes);
        self.0.1.notify_all();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Wire {
    /// Takes everything that has been written.
    pub(crate) fn take(&self) -> Vec<String> {
        let bytes = std::mem::take(&mut *self.0.0.lock().unwrap());
        String::from_utf8(bytes).expect("only UTF-8 leaves a session").lines().map(str::to_owned).collect()
    }

    /// Takes everything, once there is something, or `None` if there will be nothing any more. For a session that
    /// writes from another thread.
    pub(crate) fn wait(&self, over: impl Fn() -> bool) -> Option<Vec<String>> {
        loop {
            let last = over();
            let bytes = self.0.0.lock().unwrap();
            let empty = |bytes: &mut Vec<u8>| !bytes.ends_with(b"\n");
            let (bytes, waited) = self.0.1.wait_timeout_while(bytes, Duration::from_millis(10), empty).unwrap();
            drop(bytes);
            if !waited.timed_out() {
                return Some(self.take());
            }
            if last {
                return None;
            }
        }
    }
}

struct Silent;

impl Observer for Silent {
    fn notice(&self, _: &str) {}
    fn quarantined(&self, _: &Observed) {}
}

/// What a stage is built of.
pub(crate) struct Setting {
    pub(crate) world: Arc<World>,
    pub(crate) caller: Caller,
    pub(crate) bundle: Bundle,
    pub(crate) files: Option<Arc<dyn Files>>,
    /// How long a held call may wait.
    pub(crate) wait: Duration,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            world: Arc::default(),
            caller: support::caller("t", &[]),
            bundle: bundle(&sources()),
            files: None,
            wait: Duration::ZERO,
        }
    }
}

pub(crate) struct Stage {
    pub(crate) world: Arc<World>,
    pub(crate) monitor: Arc<Monitor>,
    pub(crate) session: Arc<Session>,
    pub(crate) client: Wire,
    pub(crate) server: Wire,
}

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/attacks")
}

pub(crate) fn sources() -> Sources {
    Sources {
        contracts: vec![folder().join("server.toml")],
        packs: vec!["baseline".to_owned()],
        policy_dir: Some(folder().join("policies")),
        base: folder(),
    }
}

pub(crate) fn bundle(sources: &Sources) -> Bundle {
    match load(sources) {
        Ok(loaded) => loaded.bundle,
        Err(error) => panic!("{error}"),
    }
}

/// The definitions that the contracts were made for.
pub(crate) fn definitions() -> Vec<Value> {
    let text = fs::read_to_string(folder().join("server.definitions.json")).unwrap();
    let file: Value = serde_json::from_str(&text).unwrap();
    file["tools"].as_array().unwrap().clone()
}

/// An answer to `tools/list`.
pub(crate) fn listed(id: &Value, tools: &[Value]) -> String {
    json!({ "jsonrpc": "2.0", "id": id, "result": { "tools": tools } }).to_string()
}

pub(crate) fn call(id: u64, tool: &str, arguments: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{tool}","arguments":{arguments}}}}}"#
    )
}

impl Stage {
    /// A session whose server has listed its tools.
    pub(crate) fn new() -> Self {
        Self::of(Setting::default())
    }

    pub(crate) fn of(setting: Setting) -> Self {
        let stage = Self::unlisted(setting);
        stage.list(&definitions());
        stage
    }

    /// A session that does not know its server's tools yet.
    pub(crate) fn unlisted(setting: Setting) -> Self {
        let Setting { world, caller, bundle, files, wait } = setting;
        let mut ports = support::ports(&world);
        ports.files = files.unwrap_or(ports.files);
        let monitor = Arc::new(Monitor::new(bundle, ports).unwrap());
        let route = Route {
            door: Door::McpStdio,
            caller: Arc::new(caller),
            trajectory: TRAJECTORY,
            server: support::server(),
            supported: SUPPORTED,
        };
        let (client, server) = (Wire::default(), Wire::default());
        let session = Session::new(
            Arc::clone(&monitor),
            Arc::<World>::clone(&world),
            route,
            Box::new(Lines::new(client.clone())),
            Box::new(Lines::new(server.clone())),
            Arc::new(Silent),
            Terms { wait, ..Terms::default() },
        );
        Self { world, monitor, session, client, server }
    }

    /// The client asks for the tools, and the server answers with these. Returns what the client sees.
    pub(crate) fn list(&self, tools: &[Value]) -> Vec<String> {
        self.asks(r#"{"jsonrpc":"2.0","id":"list","method":"tools/list"}"#);
        assert_eq!(self.server.take().len(), 1);
        self.answers(listed(&json!("list"), tools));
        self.client.take()
    }

    pub(crate) fn asks(&self, frame: impl AsRef<[u8]>) {
        self.session.from_client(Frame::Line(frame.as_ref().to_vec())).unwrap();
    }

    pub(crate) fn answers(&self, frame: impl AsRef<[u8]>) {
        self.session.from_server(Frame::Line(frame.as_ref().to_vec())).unwrap();
    }

    /// The client sends something; nothing may reach the server. Returns the one answer.
    pub(crate) fn refused(&self, frame: impl AsRef<[u8]>) -> Value {
        self.asks(frame);
        assert_eq!(self.server.take(), [""; 0], "nothing reaches the server");
        let answers = self.client.take();
        assert_eq!(answers.len(), 1, "one answer");
        serde_json::from_str(&answers[0]).unwrap()
    }

    /// The client sends something that must reach the server as it came.
    pub(crate) fn passes(&self, frame: &str) {
        self.asks(frame);
        assert_eq!(self.server.take(), [frame]);
        assert_eq!(self.client.take(), [""; 0]);
    }

    /// The reason code of the last attempt, which must be refused.
    pub(crate) fn reason(&self) -> &'static str {
        let records = self.world.records();
        let last = records.iter().rev().find_map(|record| match record {
            Record::Attempt(attempt) => Some(attempt),
            _ => None,
        });
        let last = last.expect("the attempt is recorded");
        assert_ne!(last.decision, Decision::Permit);
        last.reason.as_str()
    }

    /// How many attempts were permitted, durably.
    pub(crate) fn permits(&self) -> usize {
        let records = self.world.records.lock().unwrap();
        let permitted = |(record, wait): &&(Record, Wait)| {
            matches!(record, Record::Attempt(attempt) if attempt.decision == Decision::Permit) && *wait == Wait::Durable
        };
        records.iter().filter(permitted).count()
    }

    /// Calls that are recorded as ended, each with its status and whether its result was shown.
    pub(crate) fn ends(&self) -> Vec<(Status, bool)> {
        let ends = self.world.records().into_iter().filter_map(|record| match record {
            Record::Completion(end) => Some((end.status, end.released)),
            _ => None,
        });
        ends.collect()
    }

    /// The client calls a tool that a person must approve. Returns the hold.
    pub(crate) fn held(&self, frame: &str) -> HoldId {
        let answer = self.refused(frame);
        let verdict = &answer["result"]["_meta"]["refmon.dev/verdict"];
        assert_eq!(verdict["decision"], "hold", "{answer}");
        HoldId::parse(verdict["hold"].as_str().unwrap()).unwrap()
    }
}

/// The reason code of an answer of refmon's own.
pub(crate) fn code(answer: &Value) -> &str {
    let verdicts =
        [&answer["result"]["_meta"], &answer["error"]["data"]].map(|meta| &meta["refmon.dev/verdict"]["reason"]);
    let plain = &answer["error"]["data"]["reason"];
    verdicts.into_iter().chain([plain]).find_map(Value::as_str).unwrap_or_else(|| panic!("no reason: {answer}"))
}
