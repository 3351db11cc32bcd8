//! Measures the journal beside a bare `fdatasync` loop, in one run on one disk.
//!
//! ```text
//! cargo bench -p refmon-bench --bench journal -- [FOLDER]
//! ```

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{env, fs, io, thread};

use refmon_audit::verify::verify;
use refmon_audit::{Journal, JournalError, Options};
use refmon_core::caller::IdentityKind;
use refmon_core::decision::Decision;
use refmon_core::digest::BundleDigest;
use refmon_core::ids::{
    AgentId, CallId, IdError, Operation, PolicyId, ServerName, SubjectHandle, TenantId, ToolName, TrajectoryId,
};
use refmon_core::ports::{Clock, Moment, Wait};
use refmon_core::reason::ReasonCode;
use refmon_core::record::{Asked, Attempt, Commitment, Completion, Door, Record, Status};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// A clock for measurements: its wall clock stands still.
#[derive(Debug)]
struct Still(Instant);

impl Clock for Still {
    fn now(&self) -> Moment {
        let monotonic_ns = u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Moment { unix_us: 1_800_000_000_000_000, monotonic_ns }
    }
}

fn main() -> Result<()> {
    let base = env::args_os().nth(1).map_or_else(env::temp_dir, PathBuf::from);
    let folder = base.join(format!("refmon-journal-bench-{}", std::process::id()));
    fs::create_dir(&folder)?;
    let measured = measure(&folder);
    fs::remove_dir_all(&folder)?;
    measured
}

fn measure(folder: &Path) -> Result<()> {
    let mut out = io::stdout();
    let records = Arc::new(samples()?);
    let (journal, _) = open(&folder.join("one"))?;
    let mut opens = Vec::new();
    for _ in 0..50 {
        let started = Instant::now();
        let again = open(&folder.join("one"))?;
        opens.push(started.elapsed());
        drop(again);
    }
    let (open50, open99) = percentiles(opens);
    writeln!(out, "open                     p50 {open50:>6.0} us   p99 {open99:>6.0} us")?;
    one_caller(&mut out, folder, &journal, &records)?;
    journal.close()?;
    for (callers, each) in [(64, 4_000), (1_024, 1_000)] {
        let (journal, _) = open(&folder.join(format!("callers-{callers}")))?;
        let rate = many_callers(&journal, &records, callers, each)?;
        writeln!(out, "{callers:>5} callers            {rate:>9.0} records/s")?;
        journal.close()?;
    }
    let path = folder.join("distinct");
    let (journal, _) = open(&path)?;
    distinct_calls(&journal, &records)?;
    journal.close()?;
    for _ in 0..3 {
        let (started, cpu) = (Instant::now(), cpu_seconds());
        let report = verify(&path)?;
        let (seconds, cpu) = (started.elapsed().as_secs_f64(), cpu_seconds() - cpu);
        let intact = report.counts.intact as f64;
        let (wall, core) = (intact / seconds, intact / cpu);
        writeln!(out, "verify                   {wall:>9.0} records/s, {core:>9.0} per second of one core")?;
    }
    Ok(())
}

/// Seconds that this thread has run, by the scheduler's account: on a busy machine the wall clock says little.
fn cpu_seconds() -> f64 {
    let account = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let ns: f64 = account.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0.0);
    ns / 1e9
}

fn open(folder: &Path) -> std::result::Result<(Journal, refmon_audit::Opened), JournalError> {
    Journal::open(folder, &Options::new(Arc::new(Still(Instant::now()))))
}

/// Alternates bare synchronisations and appends, so that both see the same disk.
fn one_caller(out: &mut impl io::Write, folder: &Path, journal: &Journal, records: &[Record]) -> Result<()> {
    const ROUNDS: usize = 2_000;
    let bytes = vec![7; 600];
    let path = folder.join("bare");
    fs::write(&path, vec![0; ROUNDS * bytes.len()])?;
    let file = OpenOptions::new().write(true).open(&path)?;
    file.sync_all()?;
    let (mut bare, mut append) = (Vec::new(), Vec::new());
    for (round, record) in (0..ROUNDS).zip(records.iter().cycle()) {
        let started = Instant::now();
        file.write_all_at(&bytes, (round * bytes.len()) as u64)?;
        file.sync_data()?;
        bare.push(started.elapsed());
        let started = Instant::now();
        journal.append(record, Wait::Durable)?;
        append.push(started.elapsed());
    }
    let (bare50, bare99) = percentiles(bare);
    let (append50, append99) = percentiles(append);
    writeln!(out, "bare fdatasync           p50 {bare50:>6.0} us   p99 {bare99:>6.0} us")?;
    writeln!(out, "append, one caller       p50 {append50:>6.0} us   p99 {append99:>6.0} us")?;
    writeln!(out, "ratio                    p50 {:>6.2}      p99 {:>6.2}", append50 / bare50, append99 / bare99)?;
    Ok(())
}

fn percentiles(mut times: Vec<Duration>) -> (f64, f64) {
    times.sort_unstable();
    let at = |share: usize| times.get(times.len() * share / 100).map_or(0.0, |time| time.as_secs_f64() * 1e6);
    (at(50), at(99))
}

fn many_callers(journal: &Journal, records: &Arc<Vec<Record>>, callers: usize, each: usize) -> Result<f64> {
    let started = Instant::now();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..callers)
            .map(|caller| {
                let work = move || -> std::result::Result<(), JournalError> {
                    let mine = records.iter().cycle().skip(caller * 2 % records.len());
                    mine.take(each).try_for_each(|record| journal.append(record, Wait::Durable))
                };
                thread::Builder::new().stack_size(64 * 1024).spawn_scoped(scope, work)
            })
            .collect();
        for thread in threads {
            thread?.join().map_err(|_| "a caller panicked")??;
        }
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
    })?;
    Ok((callers * each) as f64 / started.elapsed().as_secs_f64())
}

/// Writes calls that all differ, for the verifier to pair.
fn distinct_calls(journal: &Journal, records: &[Record]) -> std::result::Result<(), JournalError> {
    for (number, record) in (0..600_000u64).zip(records.iter().cycle()) {
        let call = CallId::uuid_v7(1_800_000_000_000 + number / 2, [7; 10]);
        let record = match record {
            Record::Attempt(attempt) => Record::Attempt(Box::new(Attempt { call, ..(**attempt).clone() })),
            Record::Completion(completion) => Record::Completion(Completion { call, ..completion.clone() }),
            Record::Indeterminate(_) | Record::Resolution(_) | Record::Notice(_) | Record::Act(_) => continue,
        };
        journal.append(&record, Wait::Queued)?;
    }
    Ok(())
}

/// Attempts and their completions, of the usual size.
fn samples() -> std::result::Result<Vec<Record>, IdError> {
    let tenant = TenantId::parse("acme-industries")?;
    let agent = AgentId::parse("claude-code")?;
    let server = ServerName::parse("files")?;
    let tool = ToolName::parse("read_text_file")?;
    let policy = PolicyId::parse("baseline.read-untrusted")?;
    let pairs = (0..500u64).flat_map(|number| {
        let call = CallId::uuid_v7(1_800_000_000_000 + number, [7; 10]);
        let at = Moment { unix_us: 1_800_000_000_000_000 + number, monotonic_ns: 1_000_000_000 + number };
        let attempt = Record::Attempt(Box::new(Attempt {
            call,
            at,
            tenant: tenant.clone(),
            subject: SubjectHandle::from_bytes([1; 16]),
            identity: IdentityKind::Local,
            agent: agent.clone(),
            trajectory: TrajectoryId::from_bytes([2; 16]),
            door: Door::McpStdio,
            server: server.clone(),
            asked: Asked::Known { operation: Operation::Tool(tool.clone()), version: 3, pin: None },
            decision: Decision::Permit,
            reason: ReasonCode::Permitted,
            policies: vec![policy.clone()],
            approvals: Vec::new(),
            obligations: Vec::new(),
            bundle: BundleDigest::from_bytes([3; 32]),
            hold: None,
            arguments: Some(Commitment { salt: [4; 16], mac: [5; 32] }),
            argument_bytes: 1_000,
            argument_names: vec!["path".to_owned(), "head".to_owned(), "tail".to_owned()],
            decide_us: 12,
            grants: Vec::new(),
            asserted_by: None,
        }));
        let completion = Record::Completion(Completion {
            call,
            at,
            tenant: tenant.clone(),
            status: Status::Ok,
            released: true,
            result: Some(Commitment { salt: [6; 16], mac: [7; 32] }),
            result_bytes: 5_000,
            execute_us: 600,
        });
        [attempt, completion]
    });
    Ok(pairs.collect())
}
