//! Writing: many callers, many processes, files that others touch.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::thread;

use refmon_audit::verify::{BootState, verify};
use refmon_audit::{Journal, JournalError, Options};
use refmon_core::decision::Decision;
use refmon_core::ports::{self, Wait};
use refmon_core::record::{Event, Record};

use crate::support::{
    self, Seen, StallDisk, Ticks, attempt, by_call, call, completion, only_boot, open, permit, read_all,
};

#[test]
fn what_one_caller_appends_is_read_in_its_order() {
    let folder = support::folder();
    let (journal, opened) = open(folder.path());
    assert!(opened.recovered.is_empty() && opened.damaged.is_empty());
    let records = [permit(1), completion(1), attempt(2, Decision::Deny), attempt(3, Decision::Hold)];
    for record in &records {
        journal.append(record, Wait::Durable).unwrap();
        assert_eq!(read_all(folder.path()).last().unwrap().record, *record, "readable as soon as it is durable");
    }
    journal.close().unwrap();
    let read = read_all(folder.path());
    assert_eq!(read.iter().map(|envelope| envelope.record.clone()).collect::<Vec<_>>(), records);
    assert_eq!(read.iter().map(|envelope| envelope.counter).collect::<Vec<_>>(), [1, 2, 3, 4]);
    let report = verify(folder.path()).unwrap();
    assert!(report.is_intact() && report.boots[0].state == BootState::Closed);
    assert_eq!((report.counts.intact, report.counts.completed, report.counts.refused), (4, 1, 2));
}

#[test]
fn sixty_four_callers_lose_nothing_and_share_batches() {
    let folder = support::folder();
    let journal = Journal::open(folder.path(), &support::options().first_segment_bytes(16 * 1024)).unwrap().0;
    thread::scope(|scope| {
        for caller in 0..64u64 {
            let journal = &journal;
            scope.spawn(move || {
                for number in 0..25 {
                    let number = caller * 1_000 + number;
                    journal.append(&permit(number), Wait::Durable).unwrap();
                    let wait = if number % 2 == 0 { Wait::Durable } else { Wait::Queued };
                    journal.append(&completion(number), wait).unwrap();
                }
            });
        }
    });
    journal.close().unwrap();
    let calls = by_call(&read_all(folder.path()));
    assert_eq!(calls.len(), 64 * 25);
    assert!(calls.values().all(|&seen| seen == Seen { attempts: 1, completions: 1, indeterminates: 0 }));
    let report = verify(folder.path()).unwrap();
    assert!(report.is_intact(), "{:?}", report.findings().collect::<Vec<_>>());
    assert!(report.counts.segments > 2 && report.counts.batches <= report.counts.intact);
}

#[test]
fn a_queued_record_becomes_durable_without_another_call() {
    let folder = support::folder();
    let (journal, _) = open(folder.path());
    journal.append(&attempt(1, Decision::Deny), Wait::Queued).unwrap();
    let mut follower = refmon_audit::reader::Follower::from_start(folder.path());
    while follower.poll(10).unwrap().is_empty() {
        thread::yield_now();
    }
}

#[test]
fn a_queued_record_is_written_when_the_journal_is_dropped() {
    let folder = support::folder();
    let (journal, _) = open(folder.path());
    for number in 0..100 {
        journal.append(&attempt(number, Decision::Deny), Wait::Queued).unwrap();
    }
    drop(journal);
    assert_eq!(read_all(folder.path()).len(), 100);
    assert_eq!(verify(folder.path()).unwrap().boots[0].state, BootState::Closed);
}

#[test]
fn nothing_is_acknowledged_while_the_disk_stalls() {
    let folder = support::folder();
    let disk = StallDisk::default();
    let options = Options::new(Arc::new(Ticks::default())).disk(Arc::new(disk.clone()));
    let (journal, _) = Journal::open(folder.path(), &options).unwrap();
    disk.shut();
    thread::scope(|scope| {
        let callers: Vec<_> = (0..4)
            .map(|number| {
                let journal = &journal;
                scope.spawn(move || journal.append(&attempt(number, Decision::Deny), Wait::Durable))
            })
            .collect();
        disk.await_stalled();
        assert!(callers.iter().all(|caller| !caller.is_finished()));
        // Only what is behind the valve is on disk, and no record is behind a whole synchronisation.
        disk.open_again();
        for caller in callers {
            caller.join().unwrap().unwrap();
        }
    });
    assert_eq!(read_all(folder.path()).len(), 4);
}

#[test]
fn a_stalled_disk_does_not_fill_the_memory() {
    let folder = support::folder();
    let disk = StallDisk::default();
    let options = Options::new(Arc::new(Ticks::default())).disk(Arc::new(disk.clone()));
    let (journal, _) = Journal::open(folder.path(), &options).unwrap();
    disk.shut();
    let appended = std::sync::atomic::AtomicU64::new(0);
    thread::scope(|scope| {
        let worker = scope.spawn(|| {
            for number in 0..60_000 {
                journal.append(&attempt(number, Decision::Deny), Wait::Queued).unwrap();
                appended.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            }
        });
        disk.await_stalled();
        // The queue holds 8 MiB, and what is appended is twice that. Give the worker every chance to go too far.
        let floor = 8 * 1024 * 1024 / 512;
        while appended.load(std::sync::atomic::Ordering::SeqCst) < floor {
            thread::yield_now();
        }
        for _ in 0..10_000 {
            thread::yield_now();
        }
        assert!(appended.load(std::sync::atomic::Ordering::SeqCst) < 60_000, "everything was taken into memory");
        assert!(!worker.is_finished());
        disk.open_again();
    });
    drop(journal);
    assert_eq!(read_all(folder.path()).len(), 60_000);
}

#[test]
fn a_removed_segment_stops_the_journal() {
    let folder = support::folder();
    let (journal, _) = open(folder.path());
    journal.append(&permit(1), Wait::Durable).unwrap();
    fs::remove_file(only_boot(folder.path()).join("000001.seg")).unwrap();
    assert!(matches!(journal.append(&permit(2), Wait::Durable), Err(JournalError::Replaced { .. })));
    assert!(!journal.is_healthy());
    assert!(journal.append(&permit(3), Wait::Durable).is_err());
    assert!(journal.append(&permit(3), Wait::Queued).is_err());
}

#[test]
fn a_replaced_segment_stops_the_journal() {
    let folder = support::folder();
    let (journal, _) = open(folder.path());
    journal.append(&permit(1), Wait::Durable).unwrap();
    let segment = only_boot(folder.path()).join("000001.seg");
    let other = segment.with_extension("other");
    fs::copy(&segment, &other).unwrap();
    fs::rename(&other, &segment).unwrap();
    assert!(matches!(journal.append(&permit(2), Wait::Durable), Err(JournalError::Replaced { .. })));
    assert!(journal.append(&permit(3), Wait::Durable).is_err());
}

#[test]
fn a_second_name_for_a_segment_stops_the_journal() {
    let folder = support::folder();
    let (journal, _) = open(folder.path());
    let segment = only_boot(folder.path()).join("000001.seg");
    fs::hard_link(&segment, folder.path().join("second-name")).unwrap();
    assert!(matches!(journal.append(&permit(2), Wait::Durable), Err(JournalError::Replaced { .. })));
}

#[test]
fn a_moved_folder_stops_the_journal() {
    let folder = support::folder();
    let (journal, _) = open(folder.path());
    let boot = only_boot(folder.path());
    fs::rename(&boot, folder.path().join("elsewhere")).unwrap();
    assert!(matches!(journal.append(&permit(2), Wait::Durable), Err(JournalError::Replaced { .. })));
}

#[test]
fn the_port_answers_with_a_fault() {
    let folder = support::folder();
    let (journal, _) = open(folder.path());
    let port: &dyn ports::Journal = &journal;
    port.append(&permit(1), Wait::Durable).unwrap();
    fs::remove_file(only_boot(folder.path()).join("000001.seg")).unwrap();
    let fault = port.append(&permit(2), Wait::Durable).unwrap_err();
    assert_eq!(fault.to_string(), "the journal is unavailable");
    let cause = std::error::Error::source(&fault).unwrap().to_string();
    assert!(cause.contains("was replaced or removed"), "{cause}");
}

#[test]
fn a_folder_that_cannot_be_written_is_named_in_the_error() {
    let folder = support::folder();
    let missing = folder.path().join("missing").join("journal");
    let error = Journal::open(&missing, &support::options()).unwrap_err().to_string();
    assert!(error.contains("missing") && error.contains("check that the data folder exists"), "{error}");

    let locked = folder.path().join("locked");
    fs::create_dir(&locked).unwrap();
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o500)).unwrap();
    if fs::write(locked.join("probe"), b"").is_ok() {
        // The superuser may write anywhere; a file in the folder's place does for them.
        fs::remove_file(locked.join("probe")).unwrap();
        let file = folder.path().join("file");
        fs::write(&file, b"").unwrap();
        assert!(Journal::open(&file, &support::options()).is_err());
        return;
    }
    let error = Journal::open(&locked.join("journal"), &support::options()).unwrap_err().to_string();
    assert!(error.contains("let the user that runs refmon own the data folder"), "{error}");
}

#[test]
fn two_journals_of_one_folder_write_side_by_side() {
    let folder = support::folder();
    let (first, _) = open(folder.path());
    let (second, opened) = open(folder.path());
    assert!(opened.recovered.is_empty(), "a boot that lives is not recovered");
    first.append(&permit(1), Wait::Durable).unwrap();
    second.append(&permit(2), Wait::Durable).unwrap();
    first.append(&completion(1), Wait::Durable).unwrap();
    let report = verify(folder.path()).unwrap();
    assert!(report.boots.iter().all(|boot| boot.state == BootState::Live));
    assert_eq!((report.counts.open, report.counts.completed, report.counts.violations), (1, 1, 0));
    drop(first);
    second.append(&completion(2), Wait::Durable).unwrap();
    drop(second);
    assert!(verify(folder.path()).unwrap().is_intact());
    assert_eq!(read_all(folder.path()).len(), 4);
}

#[test]
fn many_threads_may_open_a_new_folder_at_once() {
    let folder = support::folder();
    let path = folder.path().join("journal");
    thread::scope(|scope| {
        for number in 0..16 {
            let path = &path;
            scope.spawn(move || {
                let (journal, _) = open(path);
                journal.append(&attempt(number, Decision::Deny), Wait::Durable).unwrap();
            });
        }
    });
    let report = verify(&path).unwrap();
    assert!(report.is_intact(), "{:?}", report.findings().collect::<Vec<_>>());
    assert_eq!((report.boots.len(), report.counts.intact), (16, 16));
}

#[test]
fn a_journal_closed_while_a_call_is_open_leaves_it_to_recovery() {
    let folder = support::folder();
    let (journal, _) = open(folder.path());
    journal.append(&permit(1), Wait::Durable).unwrap();
    journal.append(&permit(2), Wait::Queued).unwrap();
    journal.close().unwrap();
    let (journal, opened) = open(folder.path());
    assert_eq!((opened.recovered.len(), opened.recovered[0].open, opened.recovered[0].torn_bytes), (1, 2, 0));
    drop(journal);
    let records = read_all(folder.path());
    let closed = Seen { attempts: 1, completions: 0, indeterminates: 1 };
    assert!(by_call(&records)[&call(1)] == closed && by_call(&records)[&call(2)] == closed);
    let notices = records.iter().filter_map(|envelope| match &envelope.record {
        Record::Notice(notice) => Some(notice.event.clone()),
        _ => None,
    });
    assert_eq!(notices.collect::<Vec<_>>(), [Event::Recovered { open: 2, torn_bytes: 0 }]);
    let (_journal, opened) = open(folder.path());
    assert!(opened.recovered.is_empty(), "recovered once is recovered");
}

#[test]
fn spare_files_of_a_crashed_process_are_taken_away() {
    let folder = support::folder();
    let (journal, _) = open(folder.path());
    journal.append(&permit(1), Wait::Durable).unwrap();
    let copy = folder.path().join("copy");
    support::copy(&only_boot(folder.path()), &copy.join(journal.boot().to_string()));
    fs::copy(folder.path().join("node"), copy.join("node")).unwrap();
    let boot = only_boot(&copy);
    fs::write(boot.join("spare-3.new"), vec![0; 1_000]).unwrap();
    fs::write(boot.join("recovery.new"), b"half").unwrap();
    let before = fs::metadata(boot.join("000001.seg")).unwrap().len();
    drop(open(&copy));
    assert!(!boot.join("spare-3.new").exists() && !boot.join("recovery.new").exists());
    assert!(fs::metadata(boot.join("000001.seg")).unwrap().len() < before, "zeros are given back");
    assert!(verify(&copy).unwrap().is_intact());
}

#[test]
fn a_folder_replaced_by_a_link_to_a_copy_stops_the_journal() {
    let folder = support::folder();
    let journal_folder = folder.path().join("journal");
    let (journal, _) = open(&journal_folder);
    journal.append(&permit(1), Wait::Durable).unwrap();
    let (copy, elsewhere) = (folder.path().join("copy"), folder.path().join("elsewhere"));
    support::copy(&journal_folder, &copy);
    fs::rename(&journal_folder, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&copy, &journal_folder).unwrap();
    assert!(matches!(journal.append(&permit(2), Wait::Durable), Err(JournalError::Replaced { .. })));
    assert!(!journal.is_healthy());
    assert!(journal.append(&permit(3), Wait::Durable).is_err());
}
