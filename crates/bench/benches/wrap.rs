//! Prints what `refmon wrap` adds to a call, beside the direct pipe and a byte relay in the same run, and how soon it
//! is ready.
//!
//! `cargo build --release -p refmon && cargo bench -p refmon-bench --bench wrap`
//!
//! The echo server and the relay are this program itself, started again. The data folder is once on the disk of the
//! build and once in memory (`/dev/shm`), where a durable append costs no disk: the difference is the disk's.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a program that prints")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

const WARM_UP: usize = 500;
const CALLS: usize = 5_000;
const DEFINITION: &str = r#"{"name":"echo","description":"Says it again","inputSchema":{"type":"object","properties":{"text":{"type":"string"}}}}"#;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("echo") => echo(),
        Some("relay") => relay(&arguments[2..]),
        _ => measure(),
    }
}

fn measure() {
    let me = std::env::current_exe().unwrap();
    let target = me.ancestors().find(|folder| folder.ends_with("release")).unwrap().to_owned();
    let refmon = target.join("refmon");
    assert!(refmon.is_file(), "build refmon first: cargo build --release -p refmon");
    let me = me.to_str().unwrap().to_owned();
    let direct = calls(&[me.clone(), "echo".into()]);
    let relayed = calls(&[me.clone(), "relay".into(), me.clone(), "echo".into()]);
    let on_disk = home(&refmon, &me, &target);
    let in_memory = home(&refmon, &me, Path::new("/dev/shm"));
    let wrap = |home: &Path| {
        vec![
            refmon.display().to_string(),
            "--config".into(),
            home.join("refmon.toml").display().to_string(),
            "wrap".into(),
        ]
    };
    let durable = calls(&wrap(on_disk.path()));
    let memory = calls(&wrap(in_memory.path()));
    println!("{:<34} {:>9} {:>9} {:>10} {:>14}", "one call over stdio", "p50 us", "p99 us", "adds p50", "times relay");
    let rows = [
        ("direct pipe", direct),
        ("byte relay", relayed),
        ("refmon, journal in memory", memory),
        ("refmon, journal on disk", durable),
    ];
    for (name, (p50, p99)) in rows {
        println!("{name:<34} {p50:>9.1} {p99:>9.1} {:>10.1} {:>14.2}", p50 - direct.0, p50 / relayed.0);
    }
    let bare = starts(&[me.clone(), "echo".into()]);
    let wrapped = starts(&wrap(on_disk.path()));
    println!("start to first byte: {:.1} ms wrapped, {:.1} ms bare, {:.1} ms added", wrapped, bare, wrapped - bare);
}

/// A configuration for the echo server, made by `refmon init`.
fn home(refmon: &Path, me: &str, under: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir_in(under).unwrap();
    let config = folder.path().join("refmon.toml");
    let made = Command::new(refmon)
        .arg("--config")
        .arg(&config)
        .args(["init", "--yes", "--name", "echo", "--", me, "echo"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert!(made.unwrap().success());
    folder
}

struct Peer {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Peer {
    fn start(command: &[String]) -> Self {
        let mut child = Command::new(&command[0])
            .args(&command[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut peer = Self { child, input, output };
        let hello = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"b","version":"1"}}}"#;
        peer.ask(hello);
        peer
    }

    fn ask(&mut self, line: &str) -> String {
        writeln!(self.input, "{line}").unwrap();
        let mut answer = String::new();
        self.output.read_line(&mut answer).unwrap();
        answer
    }

    fn end(self) {
        let Self { mut child, input, output } = self;
        drop((input, output));
        child.wait().unwrap();
    }
}

fn calls(command: &[String]) -> (f64, f64) {
    let mut peer = Peer::start(command);
    peer.ask(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}"#);
    let mut times = Vec::with_capacity(CALLS);
    for number in 0..WARM_UP + CALLS {
        let id = number + 2;
        let line = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"echo","arguments":{{"text":"thirty-two bytes of text, or so."}}}}}}"#
        );
        let start = Instant::now();
        let answer = peer.ask(&line);
        let time = start.elapsed();
        assert!(answer.contains("thirty-two") && !answer.contains("isError"), "{answer}");
        if number >= WARM_UP {
            times.push(time.as_secs_f64() * 1e6);
        }
    }
    peer.end();
    times.sort_by(f64::total_cmp);
    (times[times.len() / 2], times[times.len() * 99 / 100])
}

/// The median time from start to the answer to the handshake, in milliseconds.
fn starts(command: &[String]) -> f64 {
    let mut times: Vec<f64> = (0..21)
        .map(|_| {
            let start = Instant::now();
            let peer = Peer::start(command);
            let time = start.elapsed().as_secs_f64() * 1e3;
            peer.end();
            time
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// An MCP server that says its argument again. It parses as little as it can.
fn echo() {
    let (mut input, mut output) = (std::io::stdin().lock(), std::io::stdout().lock());
    let mut line = String::new();
    while input.read_line(&mut line).unwrap() > 0 {
        let id: String =
            line.split("\"id\":").nth(1).unwrap_or_default().chars().take_while(|c| !matches!(c, ',' | '}')).collect();
        let text = line.split("\"text\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
        let result = if line.contains("\"initialize\"") {
            r#"{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"echo","version":"1"}}"#
                .to_owned()
        } else if line.contains("\"tools/list\"") {
            format!(r#"{{"tools":[{DEFINITION}]}}"#)
        } else {
            format!(r#"{{"content":[{{"type":"text","text":"{text}"}}]}}"#)
        };
        if !id.is_empty() {
            writeln!(output, r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#).unwrap();
            output.flush().unwrap();
        }
        line.clear();
    }
}

/// Passes bytes on in both directions and looks at none.
fn relay(command: &[String]) {
    let program = PathBuf::from(&command[0]);
    let mut child =
        Command::new(program).args(&command[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut to, mut from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let back = std::thread::spawn(move || {
        let (mut out, mut buffer) = (std::io::stdout().lock(), vec![0; 65_536]);
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            out.write_all(&buffer[..count]).unwrap();
            out.flush().unwrap();
        }
    });
    let (mut input, mut buffer) = (std::io::stdin().lock(), vec![0; 65_536]);
    while let Ok(count @ 1..) = input.read(&mut buffer) {
        to.write_all(&buffer[..count]).unwrap();
    }
    drop(to);
    back.join().unwrap();
    child.wait().unwrap();
}
