//! Reading: one order, following, cursors, and errors with their place.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use refmon_audit::Journal;
use refmon_audit::reader::{self, Cursor, Follower, ReadError};
use refmon_core::decision::Decision;
use refmon_core::ports::Wait;
use refmon_core::record::Record;

use crate::support::{self, Fail, FaultDisk, attempt, moment, only_boot, open, read_all};

fn number(record: &Record) -> u64 {
    let Record::Attempt(attempt) = record else { panic!("an attempt") };
    attempt.at.monotonic_ns
}

fn deny(number: u64) -> Record {
    attempt(number, Decision::Deny)
}

#[test]
fn boots_are_merged_by_time_and_each_keeps_its_own_order() {
    let folder = support::folder();
    let (one, _) = open(folder.path());
    let (two, _) = open(folder.path());
    for number in [10_000, 30_000, 20_000, 70_000] {
        one.append(&deny(number), Wait::Durable).unwrap();
    }
    for number in [25_000, 26_000, 40_000] {
        two.append(&deny(number), Wait::Durable).unwrap();
    }
    drop((one, two));
    let order: Vec<u64> = read_all(folder.path()).iter().map(|envelope| number(&envelope.record)).collect();
    // 20 stands behind 30 because its clock went back there.
    assert_eq!(order, [10_000, 25_000, 26_000, 30_000, 20_000, 40_000, 70_000]);
    assert_eq!(order, read_all(folder.path()).iter().map(|envelope| number(&envelope.record)).collect::<Vec<_>>());
    assert_eq!(moment(1).monotonic_ns, 1);
}

#[test]
fn reading_goes_on_from_every_cursor() {
    let folder = support::folder();
    let journal = Journal::open(folder.path(), &support::options().first_segment_bytes(4 * 1024)).unwrap().0;
    for number in 0..150 {
        journal.append(&deny(number), if number % 3 == 0 { Wait::Durable } else { Wait::Queued }).unwrap();
    }
    journal.close().unwrap();
    let boot = reader::boots(folder.path()).unwrap()[0];
    let all: Vec<_> = reader::since(folder.path(), Cursor::start(boot)).map(Result::unwrap).collect();
    assert_eq!(all.len(), 150);
    assert!(all.last().unwrap().segment > 2);
    for (index, entry) in all.iter().enumerate() {
        let rest: Vec<_> = reader::since(folder.path(), entry.next).map(Result::unwrap).collect();
        assert_eq!(rest, all[index + 1..], "from record {index}");
    }
}

#[test]
fn a_cursor_at_the_end_finds_what_comes_later() {
    let folder = support::folder();
    let (journal, _) = open(folder.path());
    journal.append(&deny(1), Wait::Durable).unwrap();
    let boot = journal.boot();
    let first = reader::since(folder.path(), Cursor::start(boot)).next().unwrap().unwrap();
    assert!(reader::since(folder.path(), first.next).next().is_none());
    journal.append(&deny(2), Wait::Durable).unwrap();
    let second = reader::since(folder.path(), first.next).next().unwrap().unwrap();
    assert_eq!((number(&second.envelope.record), second.envelope.counter), (2, 2));
}

#[test]
fn a_follower_sees_every_record_once_and_in_order_while_others_write() {
    let folder = support::folder();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for boot in 0..3u64 {
                let options = support::options().first_segment_bytes(8 * 1024);
                let journal = Journal::open(folder.path(), &options).unwrap().0;
                for number in 0..200 {
                    journal.append(&deny(boot * 1_000 + number), Wait::Durable).unwrap();
                }
            }
            done.store(true, Ordering::SeqCst);
        });
        let mut follower = Follower::from_start(folder.path());
        let mut seen = Vec::new();
        loop {
            let last = done.load(Ordering::SeqCst);
            let entries = follower.poll(50).unwrap();
            assert!(entries.len() <= 50 * 3);
            if last && entries.is_empty() {
                break;
            }
            seen.extend(entries.into_iter().map(|entry| number(&entry.envelope.record)));
        }
        // Each boot in its order; which boot comes first is for the poll that finds both.
        seen.sort_by_key(|number| number / 1_000);
        let expected: Vec<u64> = (0..3).flat_map(|boot| (0..200).map(move |number| boot * 1_000 + number)).collect();
        assert!(seen == expected, "{seen:?}");
    });
}

#[test]
fn a_follower_from_now_skips_what_is_there() {
    let folder = support::folder();
    let (closed, _) = open(folder.path());
    closed.append(&deny(1), Wait::Durable).unwrap();
    drop(closed);
    let (live, _) = open(folder.path());
    live.append(&deny(2), Wait::Durable).unwrap();
    let mut follower = Follower::from_now(folder.path()).unwrap();
    assert!(follower.poll(10).unwrap().is_empty());
    live.append(&deny(3), Wait::Durable).unwrap();
    let entries = follower.poll(10).unwrap();
    assert_eq!(entries.iter().map(|entry| number(&entry.envelope.record)).collect::<Vec<_>>(), [3]);
}

#[test]
fn a_batch_that_was_written_twice_is_read_once() {
    for step in 0..60 {
        let folder = support::folder();
        let disk = FaultDisk::new(step, step, Fail::After);
        let options = support::options().disk(Arc::new(disk)).first_segment_bytes(4 * 1024);
        let Ok((journal, _)) = Journal::open(folder.path(), &options) else { continue };
        for number in 0..5 {
            // One fault is survived, so each of these is durable.
            journal.append(&deny(number), Wait::Durable).unwrap();
        }
        let read: Vec<u64> = read_all(folder.path()).iter().map(|envelope| number(&envelope.record)).collect();
        assert_eq!(read, [0, 1, 2, 3, 4], "fault at step {step}");
    }
}

#[test]
fn damage_is_an_error_with_its_place_and_hides_no_other_boot() {
    let folder = support::folder();
    let (journal, _) = open(folder.path());
    for number in 0..3 {
        journal.append(&deny(number), Wait::Durable).unwrap();
    }
    drop(journal);
    let boot = only_boot(folder.path());
    let (journal, _) = open(folder.path());
    journal.append(&deny(9), Wait::Durable).unwrap();
    drop(journal);
    let entries: Vec<_> = reader::records(folder.path()).unwrap().map(Result::unwrap).collect();
    let second = entries[1].offset;
    let path = boot.join("000001.seg");
    let mut bytes = fs::read(&path).unwrap();
    bytes[usize::try_from(second).unwrap() + 30] ^= 1;
    fs::write(&path, bytes).unwrap();
    let read: Vec<_> = reader::records(folder.path()).unwrap().collect();
    let errors: Vec<_> = read.iter().filter_map(|entry| entry.as_ref().err()).collect();
    assert!(
        matches!(&errors[..], [ReadError::Damaged { path: at, offset }] if *at == path && *offset == second),
        "{errors:?}"
    );
    let numbers: Vec<u64> = read.iter().flatten().map(|entry| number(&entry.envelope.record)).collect();
    assert_eq!(numbers, [0, 9]);
}

#[test]
fn a_journal_that_does_not_exist_has_no_records() {
    let folder = support::folder();
    assert!(read_all(&folder.path().join("none")).is_empty());
}
