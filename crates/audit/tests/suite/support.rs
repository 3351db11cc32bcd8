//! Records, clocks and disks for tests.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use refmon_audit::disk::{Disk, DiskFile, Identity, RealDisk};
use refmon_audit::reader;
use refmon_audit::record::Envelope;
use refmon_audit::{Journal, Opened, Options};
use refmon_core::caller::IdentityKind;
use refmon_core::decision::Decision;
use refmon_core::digest::BundleDigest;
use refmon_core::ids::{AgentId, CallId, Operation, ServerName, SubjectHandle, TenantId, ToolName, TrajectoryId};
use refmon_core::ports::{Clock, Moment};
use refmon_core::reason::ReasonCode;
use refmon_core::record::{Asked, Attempt, Commitment, Completion, Door, Record, Status};

/// A clock that goes a millisecond further each time it is asked.
#[derive(Debug, Default)]
pub(crate) struct Ticks(AtomicU64);

impl Clock for Ticks {
    fn now(&self) -> Moment {
        let ticks = self.0.fetch_add(1, Ordering::Relaxed);
        Moment { unix_us: 1_800_000_000_000_000 + ticks * 1_000, monotonic_ns: ticks * 1_000_000 }
    }
}

pub(crate) fn call(number: u64) -> CallId {
    CallId::uuid_v7(1_800_000_000_000 + number, [7; 10])
}

pub(crate) fn moment(number: u64) -> Moment {
    Moment { unix_us: 1_800_000_000_000_000 + number, monotonic_ns: number }
}

pub(crate) fn attempt(number: u64, decision: Decision) -> Record {
    Record::Attempt(Box::new(Attempt {
        call: call(number),
        at: moment(number),
        tenant: TenantId::parse("acme").unwrap(),
        subject: SubjectHandle::from_bytes([1; 16]),
        identity: IdentityKind::Local,
        agent: AgentId::parse("assistant").unwrap(),
        trajectory: TrajectoryId::from_bytes([2; 16]),
        door: Door::McpStdio,
        server: ServerName::parse("files").unwrap(),
        asked: Asked::Known {
            operation: Operation::Tool(ToolName::parse("read_text_file").unwrap()),
            version: 3,
            pin: None,
        },
        decision,
        reason: if decision == Decision::Permit { ReasonCode::Permitted } else { ReasonCode::PolicyNoPermit },
        policies: Vec::new(),
        approvals: Vec::new(),
        obligations: Vec::new(),
        bundle: BundleDigest::from_bytes([3; 32]),
        hold: None,
        arguments: Some(Commitment { salt: [4; 16], mac: [5; 32] }),
        argument_bytes: 100,
        argument_names: vec!["path".to_owned()],
        decide_us: 12,
        grants: Vec::new(),
        asserted_by: None,
    }))
}

pub(crate) fn permit(number: u64) -> Record {
    attempt(number, Decision::Permit)
}

pub(crate) fn completion(number: u64) -> Record {
    Record::Completion(Completion {
        call: call(number),
        at: moment(number),
        tenant: TenantId::parse("acme").unwrap(),
        status: Status::Ok,
        released: true,
        result: None,
        result_bytes: 5,
        execute_us: 6,
    })
}

/// A folder that goes away. In memory where there is such a place: these tests are about order, not about disks.
pub(crate) fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

pub(crate) fn options() -> Options {
    Options::new(Arc::new(Ticks::default()))
}

pub(crate) fn open(folder: &Path) -> (Journal, Opened) {
    Journal::open(folder, &options()).unwrap()
}

/// All records of a journal; each must be readable.
pub(crate) fn read_all(folder: &Path) -> Vec<Envelope> {
    reader::records(folder).unwrap().map(|entry| entry.unwrap().envelope).collect()
}

/// How often each call was attempted, completed and closed as indeterminate.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) attempts: u32,
    pub(crate) completions: u32,
    pub(crate) indeterminates: u32,
}

pub(crate) fn by_call(records: &[Envelope]) -> BTreeMap<CallId, Seen> {
    let mut calls: BTreeMap<CallId, Seen> = BTreeMap::new();
    for envelope in records {
        match &envelope.record {
            Record::Attempt(attempt) => calls.entry(attempt.call).or_default().attempts += 1,
            Record::Completion(completion) => calls.entry(completion.call).or_default().completions += 1,
            Record::Indeterminate(end) => calls.entry(end.call).or_default().indeterminates += 1,
            Record::Resolution(_) | Record::Notice(_) | Record::Act(_) => {}
        }
    }
    calls
}

/// Copies a journal as it stands. To the copy, whoever wrote the original is gone.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The folder of the only boot.
pub(crate) fn only_boot(folder: &Path) -> PathBuf {
    let boots = reader::boots(folder).unwrap();
    assert_eq!(boots.len(), 1);
    folder.join(boots[0].to_string())
}

/// How a step fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fail {
    /// With EIO, having done nothing.
    Before,
    /// With EIO, having done everything: nobody can rely on the error.
    After,
    /// With ENOSPC.
    Full,
    /// A write writes half of its bytes and then fails.
    Short,
}

#[derive(Debug)]
struct Plan {
    steps: AtomicU64,
    first: u64,
    last: u64,
    fail: Fail,
}

/// A disk on which the steps from `first` to `last` fail.
#[derive(Debug, Clone)]
pub(crate) struct FaultDisk(Arc<Plan>);

impl FaultDisk {
    pub(crate) fn new(first: u64, last: u64, fail: Fail) -> Self {
        Self(Arc::new(Plan { steps: AtomicU64::new(0), first, last, fail }))
    }

    pub(crate) fn steps(&self) -> u64 {
        self.0.steps.load(Ordering::SeqCst)
    }

    fn step<T>(&self, run: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let step = self.0.steps.fetch_add(1, Ordering::SeqCst);
        if !(self.0.first..=self.0.last).contains(&step) {
            return run();
        }
        match self.0.fail {
            Fail::Before | Fail::Short => Err(io::Error::from_raw_os_error(5)),
            Fail::After => run().and_then(|_| Err(io::Error::from_raw_os_error(5))),
            Fail::Full => Err(io::Error::from_raw_os_error(28)),
        }
    }
}

impl Disk for FaultDisk {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.step(|| RealDisk.create_folder(path))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = self.step(|| RealDisk.create(path))?;
        Ok(Box::new(FaultFile(self.clone(), file)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = self.step(|| RealDisk.open(path))?;
        Ok(Box::new(FaultFile(self.clone(), file)))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.step(|| RealDisk.read(path))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.step(|| RealDisk.list(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(|| RealDisk.rename(from, to))
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(|| RealDisk.link(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.step(|| RealDisk.remove(path))
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.step(|| RealDisk.sync_folder(path))
    }

    fn identify(&self, path: &Path) -> io::Result<Identity> {
        self.step(|| RealDisk.identify(path))
    }
}

#[derive(Debug)]
struct FaultFile(FaultDisk, Box<dyn DiskFile>);

impl DiskFile for FaultFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        if self.0.0.fail == Fail::Short {
            let half = bytes.len().div_ceil(2);
            return self.0.step(|| Ok(())).map_or_else(
                |error| self.1.write_at(&bytes[..half], offset).and(Err(error)),
                |()| self.1.write_at(&bytes[..half], offset),
            );
        }
        self.0.step(|| self.1.write_at(bytes, offset))
    }

    fn sync(&self) -> io::Result<()> {
        self.0.step(|| self.1.sync())
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.0.step(|| self.1.truncate(bytes))
    }

    fn identity(&self) -> io::Result<Identity> {
        self.0.step(|| self.1.identity())
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.0.step(|| self.1.try_lock())
    }
}

/// A disk whose synchronisations wait while its valve is shut.
#[derive(Debug, Clone, Default)]
pub(crate) struct StallDisk(Arc<(Mutex<Valve>, Condvar)>);

#[derive(Debug, Default)]
struct Valve {
    shut: bool,
    waiting: u32,
}

impl StallDisk {
    pub(crate) fn shut(&self) {
        self.0.0.lock().unwrap().shut = true;
    }

    pub(crate) fn open_again(&self) {
        self.0.0.lock().unwrap().shut = false;
        self.0.1.notify_all();
    }

    /// Returns once somebody waits at the valve.
    pub(crate) fn await_stalled(&self) {
        let valve = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(valve, |valve| valve.waiting == 0).unwrap());
    }

    fn pass(&self) {
        let mut valve = self.0.0.lock().unwrap();
        valve.waiting += 1;
        self.0.1.notify_all();
        valve = self.0.1.wait_while(valve, |valve| valve.shut).unwrap();
        valve.waiting -= 1;
    }
}

impl Disk for StallDisk {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        RealDisk.create_folder(path)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(StallFile(self.clone(), RealDisk.create(path)?)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        RealDisk.open(path)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        RealDisk.read(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.link(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        RealDisk.sync_folder(path)
    }

    fn identify(&self, path: &Path) -> io::Result<Identity> {
        RealDisk.identify(path)
    }
}

#[derive(Debug)]
struct StallFile(StallDisk, Box<dyn DiskFile>);

impl DiskFile for StallFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.1.write_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.pass();
        self.1.sync()
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.1.truncate(bytes)
    }

    fn identity(&self) -> io::Result<Identity> {
        self.1.identity()
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.1.try_lock()
    }
}
