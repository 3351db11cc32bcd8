//! Ends that are torn, and bytes that are changed.

use std::fs;
use std::path::Path;

use refmon_audit::finding::Defect;
use refmon_audit::fsck::{Plan, fsck};
use refmon_audit::segment::HEADER_BYTES;
use refmon_audit::verify::{BootState, Report, verify};
use refmon_audit::{Journal, Opened};
use refmon_core::decision::Decision;
use refmon_core::ports::Wait;
use refmon_core::record::Record;

use crate::support::{self, Seen, attempt, by_call, call, completion, only_boot, open, permit, read_all};

const SEGMENT: &str = "000001.seg";

/// A journal whose process is gone: calls 0 to 3 permitted, 0 completed, each in a batch of its own. Gives back
/// the bytes of its segment up to the last batch, and with it.
fn crashed(folder: &Path) -> (usize, usize) {
    let origin = support::folder();
    let options = support::options().first_segment_bytes(4 * 1024);
    let (journal, _) = Journal::open(origin.path(), &options).unwrap();
    for record in [permit(0), completion(0), permit(1), permit(2)] {
        journal.append(&record, Wait::Durable).unwrap();
    }
    let before = written(&only_boot(origin.path()));
    journal.append(&permit(3), Wait::Durable).unwrap();
    let after = written(&only_boot(origin.path()));
    support::copy(origin.path(), folder);
    (before, after)
}

fn written(boot: &Path) -> usize {
    let bytes = fs::read(boot.join(SEGMENT)).unwrap();
    bytes.iter().rposition(|&byte| byte != 0).unwrap() + 1
}

/// Copies a journal and changes the bytes of its first segment.
fn with(origin: &Path, change: impl FnOnce(&mut Vec<u8>)) -> tempfile::TempDir {
    let folder = support::folder();
    support::copy(origin, folder.path());
    let path = only_boot(folder.path()).join(SEGMENT);
    let mut bytes = fs::read(&path).unwrap();
    change(&mut bytes);
    fs::write(&path, bytes).unwrap();
    folder
}

fn reopen(folder: &Path) -> Opened {
    let (journal, opened) = open(folder);
    journal.close().unwrap();
    opened
}

const COMPLETED: Seen = Seen { attempts: 1, completions: 1, indeterminates: 0 };
const INDETERMINATE: Seen = Seen { attempts: 1, completions: 0, indeterminates: 1 };

/// After recovery, calls 0 to 2 are there and have their ends, whatever happened to the batch of call 3.
fn check_recovered(folder: &Path, what: &str) -> Report {
    let opened = reopen(folder);
    assert!(opened.damaged.is_empty(), "{what}: {:?}", opened.damaged);
    let calls = by_call(&read_all(folder));
    assert_eq!(
        (calls[&call(0)], calls[&call(1)], calls[&call(2)]),
        (COMPLETED, INDETERMINATE, INDETERMINATE),
        "{what}"
    );
    assert!(calls.get(&call(3)).is_none_or(|&seen| seen == INDETERMINATE), "{what}");
    let report = verify(folder).unwrap();
    assert!(report.is_intact(), "{what}: {:?}", report.findings().collect::<Vec<_>>());
    assert!(report.boots.iter().all(|boot| boot.state == BootState::Closed), "{what}");
    report
}

#[test]
fn a_tail_cut_at_any_byte_is_recovered_to_the_last_whole_batch() {
    let origin = support::folder();
    let (before, after) = crashed(origin.path());
    for cut in before..=after {
        // The file ends there, or zeros follow.
        for zeros in [false, true] {
            let folder = with(origin.path(), |bytes| {
                let whole = bytes.len();
                bytes.truncate(cut);
                bytes.resize(if zeros { whole } else { cut }, 0);
            });
            check_recovered(folder.path(), &format!("cut at {cut}, zeros {zeros}"));
            let there = by_call(&read_all(folder.path())).contains_key(&call(3));
            assert!(there || cut < after, "a whole batch is lost");
        }
    }
}

#[test]
fn a_tail_that_lacks_any_sector_is_recovered() {
    let origin = support::folder();
    let (before, after) = crashed(origin.path());
    // Whatever part of the last batch did not reach the disk, its end included or not.
    for start in before..after {
        for length in [1, 16, 512] {
            let folder = with(origin.path(), |bytes| {
                let end = (start + length).min(after);
                bytes[start..end].fill(0);
            });
            check_recovered(folder.path(), &format!("zeros from {start}, {length} bytes"));
        }
    }
}

#[test]
fn a_garbage_tail_is_recovered_and_counted() {
    let origin = support::folder();
    let (_, after) = crashed(origin.path());
    for garbage in
        [vec![0xff; 100], (0..=255).collect(), b"rfmnseg\n".to_vec(), vec![1, 0, 0, 0, 9, 9, 9, 9, 1, 0, 0, 0, 7]]
    {
        let folder = with(origin.path(), |bytes| bytes[after..after + garbage.len()].copy_from_slice(&garbage));
        let opened = reopen(folder.path());
        assert_eq!(opened.recovered[0].torn_bytes, garbage.len() as u64);
        check_recovered(folder.path(), "garbage");
    }
}

#[test]
fn a_whole_record_behind_the_last_batch_is_kept_and_closed_as_indeterminate() {
    let origin = support::folder();
    let (_, after) = crashed(origin.path());
    // Without the trailer, twelve bytes of head and 52 of payload.
    let folder = with(origin.path(), |bytes| bytes[after - 64..after].fill(0));
    let [structure] = &fsck(folder.path()).unwrap()[..] else { panic!("one boot") };
    assert!(
        matches!(structure.plan, Plan::Recover { open: 3, kept: 1, torn_bytes } if torn_bytes > 64),
        "{structure:?}"
    );
    let opened = reopen(folder.path());
    assert_eq!((opened.recovered[0].kept, opened.recovered[0].open), (1, 3));
    assert_eq!(by_call(&read_all(folder.path()))[&call(3)], INDETERMINATE);
    check_recovered(folder.path(), "kept");
}

#[test]
fn every_flipped_byte_of_a_closed_journal_is_located() {
    let origin = support::folder();
    let options = support::options().first_segment_bytes(4 * 1024);
    let (journal, _) = Journal::open(origin.path(), &options).unwrap();
    for number in 0..12 {
        journal.append(&permit(number), Wait::Durable).unwrap();
        journal.append(&completion(number), Wait::Durable).unwrap();
    }
    journal.close().unwrap();
    assert!(verify(origin.path()).unwrap().is_intact());
    let boot = only_boot(origin.path()).file_name().unwrap().to_owned();
    let mut names: Vec<_> =
        fs::read_dir(origin.path().join(&boot)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names.len(), 4, "two segments, the lock and the marker: {names:?}");
    for name in names {
        let path = origin.path().join(&boot).join(&name);
        let whole = fs::read(&path).unwrap();
        for index in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[index] ^= 1 << (index % 8);
            fs::write(&path, &bytes).unwrap();
            let report = verify(origin.path()).unwrap();
            let found = report.findings().next().unwrap_or_else(|| panic!("{name:?}, byte {index} is not found"));
            assert!(!report.is_intact());
            let Some(number) = refmon_audit::segment::number_of(name.to_str().unwrap()) else { continue };
            assert_eq!(found.segment, number, "byte {index}: {found}");
            assert!(is_near(found.offset, index), "{name:?}, byte {index}: {found}");
        }
        fs::write(&path, &whole).unwrap();
    }
}

/// Whether a finding names the header, frame or batch in which the byte stands: none here is longer than this.
fn is_near(offset: u64, index: usize) -> bool {
    let index = index as u64;
    offset <= index && index < offset + 512
}

#[test]
fn a_flipped_byte_before_the_last_batch_of_a_crashed_journal_is_damage_and_left_alone() {
    let origin = support::folder();
    let (before, _) = crashed(origin.path());
    for index in 0..before {
        let folder = with(origin.path(), |bytes| bytes[index] ^= 0x10);
        let report = verify(folder.path()).unwrap();
        let found = report.findings().next().unwrap();
        assert!(!report.is_intact() && found.segment == 1 && is_near(found.offset, index), "byte {index}: {found}");
        let [structure] = &fsck(folder.path()).unwrap()[..] else { panic!("one boot") };
        assert!(matches!(structure.plan, Plan::LeaveAlone(_)), "byte {index}: {:?}", structure.plan);
        let damaged_before = fs::read(folder.path().join(structure.boot.to_string()).join(SEGMENT)).unwrap();
        let opened = reopen(folder.path());
        assert_eq!((opened.recovered.len(), opened.damaged.len()), (0, 1), "byte {index}");
        let damaged_after = fs::read(folder.path().join(structure.boot.to_string()).join(SEGMENT)).unwrap();
        assert!(damaged_before == damaged_after, "nothing is changed");
    }
}

#[test]
fn a_changed_byte_in_unwritten_space_of_a_full_segment_is_found() {
    let origin = support::folder();
    let options = support::options().first_segment_bytes(4 * 1024);
    let (journal, _) = Journal::open(origin.path(), &options).unwrap();
    for number in 0..20 {
        journal.append(&attempt(number, Decision::Deny), Wait::Durable).unwrap();
    }
    journal.close().unwrap();
    let end = written(&only_boot(origin.path()));
    let length = fs::metadata(only_boot(origin.path()).join(SEGMENT)).unwrap().len();
    for index in end..usize::try_from(length).unwrap() {
        let folder = with(origin.path(), |bytes| bytes[index] = 1);
        let report = verify(folder.path()).unwrap();
        let found: Vec<_> = report.findings().collect();
        assert_eq!((found[0].offset, &found[0].defect), (index as u64, &Defect::BehindEnd));
    }
}

/// Takes the batches of a closed one-segment journal apart, and puts them together in another way.
fn rearranged(rearrange: impl FnOnce(&mut Vec<Vec<u8>>)) -> tempfile::TempDir {
    let origin = support::folder();
    let (journal, _) = open(origin.path());
    for number in 0..6 {
        journal.append(&attempt(number, Decision::Deny), Wait::Durable).unwrap();
    }
    journal.close().unwrap();
    with(origin.path(), |bytes| {
        let mut batches = Vec::new();
        let mut at = HEADER_BYTES;
        while let refmon_audit::frame::BatchSeen::Whole(batch) = refmon_audit::frame::batch(&bytes[at..]) {
            batches.push(bytes[at..at + batch.size].to_vec());
            at += batch.size;
        }
        rearrange(&mut batches);
        bytes.truncate(HEADER_BYTES);
        bytes.extend(batches.concat());
    })
}

#[test]
fn batches_removed_repeated_or_exchanged_are_found() {
    assert!(verify(rearranged(|_| {}).path()).unwrap().is_intact());
    for rearrange in [
        (|batches| drop(batches.remove(2))) as fn(&mut Vec<Vec<u8>>),
        |batches| batches.swap(1, 3),
        |batches| batches.insert(2, batches[1].clone()),
        |batches| drop(batches.pop()),
        |batches| drop(batches.drain(4..)),
        Vec::clear,
    ] {
        let folder = rearranged(rearrange);
        assert!(!verify(folder.path()).unwrap().is_intact());
    }
}

#[test]
fn a_missing_segment_or_lock_is_found() {
    let origin = support::folder();
    let options = support::options().first_segment_bytes(4 * 1024);
    let (journal, _) = Journal::open(origin.path(), &options).unwrap();
    for number in 0..120 {
        journal.append(&attempt(number, Decision::Deny), Wait::Durable).unwrap();
    }
    let live = support::folder();
    support::copy(origin.path(), live.path());
    journal.close().unwrap();
    for number in 1..=3 {
        let folder = support::folder();
        support::copy(origin.path(), folder.path());
        fs::remove_file(only_boot(folder.path()).join(format!("{number:06}.seg"))).unwrap();
        assert!(!verify(folder.path()).unwrap().is_intact(), "segment {number}");
    }
    fs::remove_file(only_boot(live.path()).join("lock")).unwrap();
    let opened = reopen(live.path());
    assert!(matches!(opened.damaged[0].findings[0].defect, Defect::LockMissing));
}

#[test]
fn calls_without_their_pair_are_found() {
    let folder = support::folder();
    let (journal, _) = open(folder.path());
    journal.append(&permit(1), Wait::Durable).unwrap();
    journal.append(&completion(1), Wait::Durable).unwrap();
    journal.append(&completion(1), Wait::Durable).unwrap();
    journal.append(&completion(2), Wait::Durable).unwrap();
    journal.append(&permit(3), Wait::Durable).unwrap();
    journal.append(&permit(4), Wait::Durable).unwrap();
    // The journal counts as many ends as permits, so it closes; the verifier looks closer.
    journal.close().unwrap();
    let report = verify(folder.path()).unwrap();
    let defects: Vec<_> = report.findings().map(|finding| finding.defect.clone()).collect();
    let expected =
        [Defect::StrayEnd(call(1)), Defect::StrayEnd(call(2)), Defect::Unended(call(3)), Defect::Unended(call(4))];
    assert_eq!(defects, expected);
    assert_eq!(report.counts.violations, 4);
}

#[test]
fn a_segment_of_another_boot_is_found() {
    let folder = support::folder();
    for number in 0..2 {
        let (journal, _) = open(folder.path());
        journal.append(&attempt(number, Decision::Deny), Wait::Durable).unwrap();
    }
    let boots = refmon_audit::reader::boots(folder.path()).unwrap();
    let [first, second] = &boots[..] else { panic!("two boots") };
    let path = |boot: &refmon_audit::BootId| folder.path().join(boot.to_string()).join(SEGMENT);
    fs::copy(path(first), path(second)).unwrap();
    let report = verify(folder.path()).unwrap();
    assert!(report.findings().any(|finding| finding.boot == *second && finding.defect == Defect::ForeignSegment));
}

#[test]
fn a_cut_tail_is_not_found_without_a_head_kept_elsewhere() {
    // The honest limit: of a boot that was not closed, the last batch can be taken away and nothing shows it.
    let origin = support::folder();
    let (before, _) = crashed(origin.path());
    let head = verify(origin.path()).unwrap().boots[0].last;
    let folder = with(origin.path(), |bytes| bytes[before..].fill(0));
    let report = verify(folder.path()).unwrap();
    assert!(report.is_intact());
    assert!(report.boots[0].last < head, "against the head it shows");
    let records = read_all(folder.path());
    assert!(!records.iter().any(|envelope| matches!(&envelope.record, Record::Attempt(a) if a.call == call(3))));
}

/// A frame with a fitting checksum: what somebody writes who knows the format.
fn forged(kind: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_le_bytes();
    let sum = crc32c::crc32c(&[&length[..], &kind.to_le_bytes(), payload].concat());
    [&length[..], &sum.to_le_bytes(), &kind.to_le_bytes(), payload].concat()
}

fn forged_trailer(first: u64, last: u64, count: u32) -> Vec<u8> {
    [&first.to_le_bytes()[..], &last.to_le_bytes(), &count.to_le_bytes(), &[9; 32]].concat()
}

#[test]
fn forged_counters_at_the_ends_of_their_range_stop_nobody() {
    let origin = support::folder();
    let (_, end) = crashed(origin.path());
    // Whether it is a trailer at all; what is none looks like a torn end.
    let forged_counters =
        [(u64::MAX, u64::MAX, 1, false), (u64::MAX, u64::MAX - 1, 0, true), (0, u64::MAX, 0, false), (0, 0, 1, true)];
    for (first, last, count, is_trailer) in forged_counters {
        for kind in [2, 3] {
            let records = (0..count).flat_map(|_| forged(1, b"x")).collect::<Vec<_>>();
            let bytes = [records, forged(kind, &forged_trailer(first, last, count))].concat();
            // Twice, so that something follows the counter that has no next.
            let bytes = [&bytes[..], &bytes].concat();
            let folder = with(origin.path(), |segment| segment[end..end + bytes.len()].copy_from_slice(&bytes));
            let what = format!("{first} {last} {count} {kind}");
            assert_eq!(verify(folder.path()).unwrap().is_intact(), !is_trailer, "{what}");
            assert_eq!(matches!(fsck(folder.path()).unwrap()[0].plan, Plan::LeaveAlone(_)), is_trailer, "{what}");
            let _read = refmon_audit::reader::records(folder.path()).unwrap().take(100).count();
            let opened = reopen(folder.path());
            assert_eq!(opened.damaged.len(), usize::from(is_trailer), "{what}");
        }
    }
}
