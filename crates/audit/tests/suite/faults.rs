//! Every step of the disk fails, for every step and every way to fail.

use std::path::Path;
use std::sync::Arc;

use refmon_audit::disk::RealDisk;
use refmon_audit::verify::{BootState, verify};
use refmon_audit::{Journal, Options};
use refmon_core::ids::CallId;
use refmon_core::ports::Wait;

use crate::support::{self, Fail, FaultDisk, Seen, Ticks, by_call, call, completion, permit, read_all};

const CALLS: u64 = 12;
const FAILS: [Fail; 4] = [Fail::Before, Fail::After, Fail::Full, Fail::Short];

/// What a run of the script was told.
#[derive(Debug, Default)]
struct Told {
    permitted: Vec<CallId>,
    completed: Vec<CallId>,
    errors: u32,
    errors_before_last_success: u32,
}

fn options(disk: FaultDisk) -> Options {
    // Segments of eight records, so that several are begun.
    Options::new(Arc::new(Ticks::default())).disk(Arc::new(disk)).first_segment_bytes(4_096)
}

/// Permits and completes calls; a call that could not be recorded does not run.
fn script(folder: &Path, disk: FaultDisk) -> Told {
    let mut told = Told::default();
    let Ok((journal, _)) = Journal::open(folder, &options(disk)) else { return told };
    let append = |record, told: &mut Told| match journal.append(&record, Wait::Durable) {
        Ok(()) => {
            told.errors_before_last_success = told.errors;
            true
        }
        Err(_) => {
            told.errors += 1;
            false
        }
    };
    for number in 0..CALLS {
        if append(permit(number), &mut told) {
            told.permitted.push(call(number));
            // Every third call is still running when the process ends.
            if number % 3 != 0 && append(completion(number), &mut told) {
                told.completed.push(call(number));
            }
        }
    }
    drop(journal);
    told
}

fn check(folder: &Path, told: &Told, what: &str) {
    let (journal, opened) = Journal::open(folder, &support::options().disk(Arc::new(RealDisk))).unwrap();
    assert!(opened.damaged.is_empty(), "{what}: {:?}", opened.damaged);
    journal.close().unwrap();
    let calls = by_call(&read_all(folder));
    for call in &told.permitted {
        let seen = calls.get(call).copied().unwrap_or_default();
        assert_eq!(seen.attempts, 1, "{what}: an acknowledged attempt is missing or doubled");
    }
    for call in &told.completed {
        assert_eq!(calls[call].completions, 1, "{what}: an acknowledged completion is missing");
    }
    for (call, seen) in &calls {
        if seen.completions > 0 {
            assert!(told.permitted.contains(call), "{what}: a call that was not acknowledged is completed");
        }
        assert!(seen.completions + seen.indeterminates <= 1 && seen.attempts == 1, "{what}: {seen:?}");
    }
    let report = verify(folder).unwrap();
    assert!(report.is_intact(), "{what}: {:?}", report.findings().collect::<Vec<_>>());
    assert!(report.boots.iter().all(|boot| boot.state == BootState::Closed), "{what}");
}

/// Runs the script with a fault at each step until a run has no such step.
fn at_every_step(last: impl Fn(u64) -> u64, fail: Fail, mut examine: impl FnMut(&Told, &str)) {
    for step in 0.. {
        let folder = support::folder();
        let journal = folder.path().join("journal");
        let disk = FaultDisk::new(step, last(step), fail);
        let told = script(&journal, disk.clone());
        let what = format!("{fail:?} at step {step}");
        check(&journal, &told, &what);
        examine(&told, &what);
        if disk.steps() <= step {
            assert!(step > 50, "the script has more steps than {step}");
            return;
        }
    }
}

#[test]
fn one_fault_at_any_step_loses_nothing_that_was_acknowledged() {
    for fail in FAILS {
        at_every_step(|step| step, fail, |_, _| {});
    }
}

#[test]
fn after_a_lasting_fault_every_append_fails() {
    for fail in FAILS {
        at_every_step(
            |_| u64::MAX,
            fail,
            |told, what| {
                assert_eq!(told.errors_before_last_success, 0, "{what}: an append succeeded after one had failed");
            },
        );
    }
}

#[test]
fn two_faults_in_a_row_at_any_step_lose_nothing_that_was_acknowledged() {
    at_every_step(
        |step| step + 1,
        Fail::Before,
        |told, what| {
            assert_eq!(told.errors_before_last_success, 0, "{what}: an append succeeded after one had failed");
        },
    );
}

#[test]
fn a_recovery_that_fails_at_any_step_can_be_repeated() {
    let folder = support::folder();
    let origin = folder.path().join("origin");
    let (journal, _) = support::open(&origin);
    for number in 0..3 {
        journal.append(&permit(number), Wait::Durable).unwrap();
    }
    journal.append(&completion(1), Wait::Durable).unwrap();
    for fail in FAILS {
        for step in 0.. {
            let folder = support::folder();
            let crashed = folder.path().join("journal");
            support::copy(&origin, &crashed);
            let disk = FaultDisk::new(step, u64::MAX, fail);
            drop(Journal::open(&crashed, &options(disk.clone())));
            let (journal, _) = support::open(&crashed);
            journal.close().unwrap();
            let calls = by_call(&read_all(&crashed));
            let open = Seen { attempts: 1, completions: 0, indeterminates: 1 };
            assert_eq!(calls[&call(0)], open, "{fail:?} at step {step}");
            assert_eq!(calls[&call(1)], Seen { attempts: 1, completions: 1, indeterminates: 0 });
            assert_eq!(calls[&call(2)], open, "{fail:?} at step {step}");
            let report = verify(&crashed).unwrap();
            assert!(report.is_intact(), "{fail:?} at step {step}: {:?}", report.findings().collect::<Vec<_>>());
            if disk.steps() <= step {
                break;
            }
        }
    }
}
