//! The same calls through every door: MCP over standard input and output, over HTTP in both eras, the Rust library, and the
//! decision APIs. Each call must get the same verdict and leave the same record, whichever way it came.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::allow_attributes,
    reason = "what surrounds a test may unwrap as the test does"
)]

#[path = "doors/calls.rs"]
mod calls;
#[path = "doors/house.rs"]
mod house;
#[path = "doors/lanes.rs"]
mod lanes;

use std::collections::{BTreeMap, BTreeSet};
use std::thread;

use refmon_core::caller::IdentityKind;
use refmon_core::decision::Decision;
use refmon_core::reason::ReasonCode;
use refmon_core::record::{Asked, Attempt, Cause, Door, EnforcedBy, Record};

use crate::calls::Call;
use crate::house::House;
use crate::lanes::{Api, Http, Lane, Library, Said, Stdio1};

const CALLS: usize = 10_000;

/// Opens a door. What a lane holds stays in its thread.
type Open = fn(&House) -> Box<dyn Lane>;

const DOORS: &[(&str, Open)] = &[
    ("library", |house| Box::new(Library::open(house))),
    ("stdio", |house| Box::new(Stdio1::open(house))),
    ("legacy", |house| Box::new(Http::open(house, false))),
    ("modern", |house| Box::new(Http::open(house, true))),
    ("access", |house| Box::new(Api::open(house, false))),
    ("calls", |house| Box::new(Api::open(house, true))),
];

/// What a record says of a call, without what differs from one sending to the next: identifiers, handles, times, salts, the
/// run, and what says by which door it came ([`came`]).
fn facts(attempt: &Attempt) -> String {
    format!(
        "{:?}",
        (
            (attempt.tenant.as_str(), attempt.agent.as_str(), attempt.server.as_str()),
            (&attempt.asked, attempt.decision, attempt.reason, &attempt.policies, &attempt.approvals),
            (&attempt.obligations, attempt.bundle, attempt.hold.is_some()),
            (attempt.arguments.is_some(), attempt.argument_bytes, &attempt.argument_names),
        )
    )
}

/// Checks what a record says of the door, and of who named the caller there.
fn came(door: &str, call: &Call, attempt: &Attempt) {
    let (expected, enforced) = match door {
        "stdio" => (Door::McpStdio, EnforcedBy::Refmon),
        "legacy" | "modern" => (Door::McpHttp, EnforcedBy::Refmon),
        "access" => (Door::Access, EnforcedBy::Asker),
        "calls" => (Door::Calls, EnforcedBy::Asker),
        _ => (Door::Library, EnforcedBy::Asker),
    };
    assert_eq!((attempt.door, attempt.door.enforced_by()), (expected, enforced), "{door}: {call:?}");
    // Whom the decision API is asked about is in its body, so a body without a reading names nobody.
    let named = door == "access" && !call.unreadable;
    let identity = if named { IdentityKind::Asserted } else { IdentityKind::Local };
    assert_eq!((attempt.identity, attempt.asserted_by.is_some()), (identity, named), "{door}: {call:?}");
    if let Some(host) = &attempt.asserted_by {
        assert_eq!((host.subject, host.identity), (attempt.subject, IdentityKind::Local), "{door}: {call:?}");
    }
}

/// The attempts of a journal in order, each with how it ended.
fn attempts(house: &House, data: &str) -> Vec<(Attempt, Option<(String, bool)>)> {
    let mut found = Vec::new();
    let mut ends = BTreeMap::new();
    for entry in refmon_audit::reader::records(&house.path(&format!("{data}.data/journal"))).unwrap() {
        match entry.unwrap().envelope.record {
            Record::Attempt(attempt) => found.push(*attempt),
            Record::Completion(end) => {
                let twice = ends.insert(end.call.to_string(), (end.status.as_str().to_owned(), end.released));
                assert!(twice.is_none(), "a call ended twice");
            }
            Record::Indeterminate(open) => {
                assert_eq!((data, open.cause), ("access", Cause::NotReported), "{open:?}");
                assert!(ends.insert(open.call.to_string(), (open.cause.as_str().to_owned(), false)).is_none());
            }
            Record::Resolution(_) | Record::Notice(_) | Record::Act(_) => {}
        }
    }
    let end = |attempt: Attempt| {
        let end = ends.remove(&attempt.call.to_string());
        (attempt, end)
    };
    found.into_iter().map(end).collect()
}

#[test]
fn every_door_gives_the_same_call_the_same_verdict_and_the_same_record() {
    let house = House::new();
    let place = |text: &str| {
        text.replace("ROOT", &house.path("root").display().to_string())
            .replace("HOME", &house.folder.path().display().to_string())
    };
    let mut calls = calls::calls(1, CALLS);
    for call in &mut calls {
        call.arguments = call.arguments.as_deref().map(place);
    }
    let said: Vec<Vec<Said>> = thread::scope(|scope| {
        let lanes: Vec<_> = DOORS
            .iter()
            .map(|(_, open)| {
                scope.spawn(|| {
                    let mut lane = open(&house);
                    let said = calls.iter().map(|call| lane.ask(call)).collect();
                    lane.end();
                    said
                })
            })
            .collect();
        lanes.into_iter().map(|lane| lane.join().unwrap()).collect()
    });
    let records: Vec<_> = DOORS.iter().map(|(name, _)| attempts(&house, name)).collect();
    for (door, records) in DOORS.iter().zip(&records) {
        assert_eq!(records.len(), CALLS, "{}", door.0);
    }
    for (index, call) in calls.iter().enumerate() {
        let (first, end) = &records[0][index];
        for (number, (door, _)) in DOORS.iter().enumerate().skip(1) {
            let (attempt, other) = &records[number][index];
            if call.unreadable {
                // A message without a single reading names no tool; a program that calls the library does, and hears
                // first what is wrong with that.
                assert_eq!(first.decision, Decision::Deny, "{call:?}");
                assert_eq!(said[number][index].reason, ReasonCode::MalformedArguments.as_str(), "{door}: {call:?}");
                assert_eq!(attempt.asked, Asked::Unnameable, "{door}: {call:?}");
                assert_eq!(facts(attempt), facts(&records[1][index].0), "{door}: {call:?}");
            } else {
                assert_eq!(said[number][index], said[0][index], "{door}: {call:?}");
                assert_eq!(facts(attempt), facts(first), "{door}: {call:?}");
            }
            came(door, call, attempt);
            // What became of a permit is not said to the decision API.
            let unsaid = end.as_ref().map(|_| ("not-reported".to_owned(), false));
            assert_eq!(other, if *door == "access" { &unsaid } else { end }, "{door}: {call:?}");
        }
        let told = &said[0][index];
        assert_eq!(told.decision, first.decision.as_str(), "{call:?}");
        assert!(told.reason.is_empty() || told.reason == first.reason.as_str(), "{call:?}");
        assert_eq!(end.is_some(), first.decision == Decision::Permit, "{call:?}");
    }
    covers(&calls, &records[0]);
}

/// A suite that never meets the interesting cases compares nothing.
fn covers(calls: &[Call], records: &[(Attempt, Option<(String, bool)>)]) {
    let of = |decision: Decision| records.iter().filter(|(attempt, _)| attempt.decision == decision).count();
    let (permitted, held, denied) = (of(Decision::Permit), of(Decision::Hold), of(Decision::Deny));
    let reasons: BTreeSet<&str> = records.iter().map(|(attempt, _)| attempt.reason.as_str()).collect();
    let unreadable = calls.iter().filter(|call| call.unreadable).count();
    eprintln!("{permitted} permitted, {held} held, {denied} denied, {unreadable} unreadable; reasons: {reasons:?}");
    assert!(permitted > 1_000 && held > 100 && denied > 1_000 && unreadable > 50);
    for reason in [
        "permitted",
        "hold.contract",
        "hold.policy",
        "arguments.malformed",
        "arguments.schema",
        "arguments.undeclared",
        "arguments.kind",
        "arguments.ambiguous",
        "arguments.outside-roots",
        "arguments.host-refused",
        "arguments.over-limit",
        "arguments.write-refused",
        "arguments.guarded-path",
        "policy.forbidden",
        "scope.missing",
        "tool.quarantined",
        "tool.unknown",
    ] {
        assert!(reasons.contains(reason), "no call was decided by {reason}; there were {reasons:?}");
    }
}
