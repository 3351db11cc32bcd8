//! Processes that are killed at any time, alone and in company.
//!
//! A child process (this very test binary, told so by its environment) writes calls from several threads and says
//! on its standard output what was acknowledged. The parent kills it with SIGKILL at a random point of its output.

use std::collections::BTreeSet;
use std::env;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use refmon_audit::verify::{BootState, verify};
use refmon_audit::{Journal, reader};
use refmon_core::ids::CallId;
use refmon_core::ports::Wait;

use crate::support::{self, by_call, call, completion, permit, read_all};

const FOLDER: &str = "REFMON_KILL_FOLDER";
const FIRST: &str = "REFMON_KILL_FIRST";
const THREADS: u64 = 4;

/// The child: does nothing unless it is told to.
#[test]
fn child() {
    let (Some(folder), Some(first)) = (env::var_os(FOLDER), env::var_os(FIRST)) else { return };
    let first: u64 = first.to_str().unwrap().parse().unwrap();
    let options = support::options().first_segment_bytes(16 * 1024);
    let (journal, _) = Journal::open(Path::new(&folder), &options).unwrap();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let journal = &journal;
            scope.spawn(move || {
                for number in (first + thread * 100_000..).take(100_000) {
                    journal.append(&permit(number), Wait::Durable).unwrap();
                    say("permitted", number);
                    let wait = if number % 3 == 0 { Wait::Queued } else { Wait::Durable };
                    journal.append(&completion(number), wait).unwrap();
                    if wait == Wait::Durable {
                        say("completed", number);
                    }
                }
            });
        }
    });
}

fn say(what: &str, number: u64) {
    let mut out = std::io::stdout().lock();
    // One write, so that a kill leaves a whole line or none.
    out.write_all(format!("\nrefmon-{what} {number}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

struct Running {
    child: Child,
    said: thread::JoinHandle<Said>,
}

#[derive(Default)]
struct Said {
    permitted: BTreeSet<CallId>,
    completed: BTreeSet<CallId>,
}

/// Starts a child that is killed after so many lines, or lives as long as the others read.
fn start(folder: &Path, first: u64, lines: usize) -> Running {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["kill::child", "--exact", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let pid = rustix::process::Pid::from_child(&child);
    let said = thread::spawn(move || {
        let mut said = Said::default();
        let mut left = lines;
        for line in out.lines() {
            let line = line.unwrap();
            let Some((what, number)) = line.strip_prefix("refmon-").and_then(|line| line.split_once(' ')) else {
                continue;
            };
            let Ok(number) = number.parse() else { continue };
            let set = if what == "permitted" { &mut said.permitted } else { &mut said.completed };
            set.insert(call(number));
            left = left.saturating_sub(1);
            if left == 0 {
                let _gone = rustix::process::kill_process(pid, rustix::process::Signal::KILL).is_err();
            }
        }
        said
    });
    Running { child, said }
}

impl Running {
    fn end(mut self) -> Said {
        let said = self.said.join().unwrap();
        self.child.wait().unwrap();
        said
    }
}

fn check(folder: &Path, said: &[Said]) {
    let calls = by_call(&read_all(folder));
    for said in said {
        for call in &said.permitted {
            assert_eq!(calls[call].attempts, 1, "an acknowledged attempt is lost");
        }
        for call in &said.completed {
            assert_eq!(
                (calls[call].completions, calls[call].indeterminates),
                (1, 0),
                "an acknowledged completion is lost"
            );
        }
    }
    for (call, seen) in &calls {
        assert_eq!((seen.attempts, seen.completions + seen.indeterminates), (1, 1), "{call}: {seen:?}");
    }
    let report = verify(folder).unwrap();
    assert!(report.is_intact(), "{:?}", report.findings().collect::<Vec<_>>());
    assert!(report.boots.iter().all(|boot| boot.state == BootState::Closed));
}

fn kills() -> u64 {
    if env::var_os("REFMON_LONG").is_some() { 1_000 } else { 20 }
}

#[test]
fn a_process_killed_at_any_time_loses_nothing_that_it_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let mut said = Vec::new();
    let mut indeterminate = 0;
    for kill in 0..kills() {
        // Numbers that look random and are the same each time.
        let lines = 1 + usize::try_from(kill * 7_919 % 211).unwrap();
        said.push(start(folder.path(), kill * 1_000_000, lines).end());
        if kill % 10 == 9 {
            let (journal, opened) = support::open(folder.path());
            indeterminate += opened.recovered.iter().map(|recovered| recovered.open).sum::<u64>();
            drop(journal);
            check(folder.path(), &said);
            said.clear();
        }
    }
    assert!(indeterminate > 0, "no kill hit an open call");
}

#[test]
fn two_processes_write_one_folder_and_one_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let long = start(folder.path(), 500_000_000, 600);
    let mut said: Vec<Said> = (0..3).map(|kill| start(folder.path(), kill * 1_000_000, 40).end()).collect();
    said.push(long.end());
    assert_eq!(reader::boots(folder.path()).unwrap().len(), 4);
    drop(support::open(folder.path()));
    check(folder.path(), &said);
}
