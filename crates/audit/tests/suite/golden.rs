//! Golden vectors: the bytes of every kind of record and of every corner, which never change within a version.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use refmon_audit::BootId;
use refmon_audit::record::{Envelope, decode, encode};
use refmon_core::caller::IdentityKind;
use refmon_core::decision::{Decision, Obligation};
use refmon_core::digest::{BundleDigest, Pin};
use refmon_core::ids::{
    AgentId, ApprovalKind, GrantId, HoldId, Method, Operation, PolicyId, Scope, ServerName, SubjectHandle, TenantId,
    ToolName,
};
use refmon_core::ports::Moment;
use refmon_core::reason::ReasonCode;
use refmon_core::record::{
    Act, Asked, Asserter, Attempt, Cause, Commitment, Completion, Deed, Door, Event, Indeterminate, Notice, Record,
    Resolution, Resolved, Share, Status,
};

use crate::support::{self, call, moment};

fn attempt(change: impl FnOnce(&mut Attempt)) -> Record {
    let Record::Attempt(mut attempt) = support::permit(1) else { unreachable!() };
    change(&mut attempt);
    Record::Attempt(attempt)
}

fn completion(change: impl FnOnce(&mut Completion)) -> Record {
    let Record::Completion(mut completion) = support::completion(1) else { unreachable!() };
    change(&mut completion);
    Record::Completion(completion)
}

fn known(operation: Operation) -> Asked {
    Asked::Known { operation, version: 1, pin: None }
}

fn attempts(out: &mut Vec<(String, Record)>) {
    let full = attempt(|attempt| {
        attempt.policies = vec![PolicyId::parse("baseline.read").unwrap(), PolicyId::parse("hold.delete").unwrap()];
        attempt.approvals = vec![ApprovalKind::parse("operator").unwrap()];
        attempt.obligations = vec![Obligation::WithholdOutput];
        attempt.hold = Some(HoldId::from_bytes([8; 16]));
        let operation = Operation::Tool(ToolName::parse("delete_file").unwrap());
        attempt.asked = Asked::Known { operation, version: u32::MAX, pin: Some(Pin::from_bytes([0xa7; 32])) };
        attempt.at = Moment { unix_us: u64::MAX, monotonic_ns: u64::MAX };
        attempt.argument_bytes = 65_536;
        attempt.argument_names = vec!["path".to_owned(), "größe".to_owned(), String::new()];
        attempt.decide_us = 24;
    });
    out.push(("attempt".to_owned(), attempt(|_| {})));
    out.push(("attempt full".to_owned(), full));
    out.push(("attempt without arguments".to_owned(), attempt(|attempt| attempt.arguments = None)));
    out.push(("attempt library".to_owned(), attempt(|attempt| attempt.door = Door::Library)));
    out.push(("attempt unnameable".to_owned(), attempt(|attempt| attempt.asked = Asked::Unnameable)));
    let unknown = Asked::Unknown(ToolName::parse("rm").unwrap());
    out.push(("attempt unknown".to_owned(), attempt(|attempt| attempt.asked = unknown)));
    for decision in [Decision::Hold, Decision::Deny] {
        out.push((format!("attempt {}", decision.as_str()), attempt(|attempt| attempt.decision = decision)));
    }
    for method in Method::ALL {
        let asked = known(Operation::Method(method));
        out.push((format!("attempt {method}"), attempt(|attempt| attempt.asked = asked)));
    }
    // Later codes stand behind everything else, so that no earlier line changes.
    let early = |reason: &&ReasonCode| **reason < ReasonCode::Halted && !LATER.contains(*reason);
    for &reason in ReasonCode::ALL.iter().filter(early) {
        out.push((format!("attempt {reason}"), attempt(|attempt| attempt.reason = reason)));
    }
}

/// Codes that came later with smaller numbers.
const LATER: [ReasonCode; 4] =
    [ReasonCode::UnknownSubject, ReasonCode::HoldsFull, ReasonCode::ApprovalDenied, ReasonCode::ApprovalTimeout];

fn ends(out: &mut Vec<(String, Record)>) {
    let statuses = [
        Status::Ok,
        Status::ToolError,
        Status::ProtocolError,
        Status::Cancelled,
        Status::InputRequired,
        Status::Malformed,
    ];
    for status in statuses {
        out.push((format!("completion {}", status.as_str()), completion(|completion| completion.status = status)));
    }
    let result = Some(Commitment { salt: [6; 16], mac: [7; 32] });
    let withheld = completion(|completion| (completion.released, completion.result) = (false, result));
    out.push(("completion withheld".to_owned(), withheld));
    for cause in [Cause::Crash, Cause::ServerGone, Cause::SessionEnded, Cause::NotSent] {
        let tenant = TenantId::parse("acme").unwrap();
        let end = Indeterminate { call: call(1), at: moment(1), tenant, cause };
        out.push((format!("indeterminate {}", cause.as_str()), Record::Indeterminate(end)));
    }
}

fn others(out: &mut Vec<(String, Record)>) {
    for (resolved, self_approved) in [(Resolved::Approved, true), (Resolved::Denied, false)] {
        let resolution = Resolution {
            hold: HoldId::from_bytes([8; 16]),
            at: moment(1),
            tenant: TenantId::parse("acme").unwrap(),
            resolved,
            by: SubjectHandle::from_bytes([9; 16]),
            self_approved,
            share: None,
        };
        out.push((format!("resolution {}", resolved.as_str()), Record::Resolution(resolution)));
    }
    let digest = BundleDigest::from_bytes([3; 32]);
    let server = ServerName::parse("files").unwrap();
    let events = [
        ("started", Event::Started(digest)),
        ("stopped", Event::Stopped),
        ("recovered", Event::Recovered { open: 23, torn_bytes: 256 }),
        ("activated", Event::Activated(digest)),
        ("refused", Event::Refused(digest)),
        ("quarantined", Event::Quarantined { server, tool: ToolName::parse("rm").unwrap() }),
    ];
    for (name, event) in events {
        out.push((format!("notice {name}"), Record::Notice(Notice { at: moment(1), event })));
    }
}

/// What came with the HTTP door, behind the others so that none of those changes its place.
fn over_http(out: &mut Vec<(String, Record)>) {
    for identity in [IdentityKind::ApiKey, IdentityKind::Token] {
        let name = format!("attempt over http by {}", identity.as_str());
        let change = |attempt: &mut Attempt| (attempt.identity, attempt.door) = (identity, Door::McpHttp);
        out.push((name, attempt(change)));
    }
}

/// What came with halts, read-only mode and budgets.
fn of_authority(out: &mut Vec<(String, Record)>) {
    for reason in [ReasonCode::Halted, ReasonCode::ReadOnly, ReasonCode::Budget] {
        out.push((format!("attempt {reason}"), attempt(|attempt| attempt.reason = reason)));
    }
    let by = SubjectHandle::from_bytes([9; 16]);
    for (name, event) in [("halted", Event::Halted { by }), ("resumed", Event::Resumed { by })] {
        out.push((format!("notice {name}"), Record::Notice(Notice { at: moment(1), event })));
    }
}

/// What came with grants and tenants' halts.
fn of_grants(out: &mut Vec<(String, Record)>) {
    let by_certificate = |attempt: &mut Attempt| attempt.identity = IdentityKind::Certificate;
    out.push(("attempt over http by certificate".to_owned(), attempt(by_certificate)));
    let grants = vec![GrantId::from_bytes([10; 16]), GrantId::from_bytes([11; 16])];
    out.push(("attempt with grants".to_owned(), attempt(|attempt| attempt.grants = grants)));
    let granted = |agent| Deed::Granted {
        grant: GrantId::from_bytes([10; 16]),
        to: SubjectHandle::from_bytes([1; 16]),
        agent,
        scopes: vec![Scope::parse("mail:send").unwrap(), Scope::parse("mail:read").unwrap()],
        until_us: 1_800_000_007_200_000,
        reason: Commitment { salt: [6; 16], mac: [7; 32] },
    };
    let deeds = [
        ("granted", granted(None)),
        ("granted through one agent", granted(Some(AgentId::parse("assistant").unwrap()))),
        ("revoked", Deed::Revoked { grant: GrantId::from_bytes([10; 16]) }),
        ("halted", Deed::Halted),
        ("resumed", Deed::Resumed),
    ];
    for (name, deed) in deeds {
        let (tenant, by) = (TenantId::parse("acme").unwrap(), SubjectHandle::from_bytes([9; 16]));
        let act = Act { at: moment(1), tenant, by, identity: IdentityKind::ApiKey, deed };
        out.push((format!("act {name}"), Record::Act(Box::new(act))));
    }
}

/// What came with the decision API.
fn of_decisions(out: &mut Vec<(String, Record)>) {
    for door in [Door::Access, Door::Calls] {
        out.push((format!("attempt {}", door.as_str()), attempt(|attempt| attempt.door = door)));
    }
    let asserted = |attempt: &mut Attempt| {
        let subject = SubjectHandle::from_bytes([12; 16]);
        let (agent, identity) = (AgentId::parse("shop").unwrap(), IdentityKind::ApiKey);
        (attempt.identity, attempt.door) = (IdentityKind::Asserted, Door::Access);
        attempt.asserted_by = Some(Asserter { subject, agent, identity });
    };
    out.push(("attempt asserted".to_owned(), attempt(asserted)));
    let with_grants = |attempt: &mut Attempt| {
        asserted(attempt);
        attempt.grants = vec![GrantId::from_bytes([10; 16])];
    };
    out.push(("attempt asserted with grants".to_owned(), attempt(with_grants)));
    let reason = ReasonCode::UnknownSubject;
    out.push((format!("attempt {reason}"), attempt(|attempt| attempt.reason = reason)));
    let (tenant, cause) = (TenantId::parse("acme").unwrap(), Cause::NotReported);
    let end = Indeterminate { call: call(1), at: moment(1), tenant, cause };
    out.push((format!("indeterminate {}", cause.as_str()), Record::Indeterminate(end)));
}

/// What came with decisions by several people and by API.
fn of_holds(out: &mut Vec<(String, Record)>) {
    for reason in [ReasonCode::HoldsFull, ReasonCode::ApprovalDenied] {
        out.push((format!("attempt {reason}"), attempt(|attempt| attempt.reason = reason)));
    }
    for (resolved, number, needed) in [(Resolved::Approved, 1, 2), (Resolved::Approved, 2, 2), (Resolved::Denied, 1, 1)]
    {
        let resolution = Resolution {
            hold: HoldId::from_bytes([8; 16]),
            at: moment(1),
            tenant: TenantId::parse("acme").unwrap(),
            resolved,
            by: SubjectHandle::from_bytes([9; 16]),
            self_approved: false,
            share: Some(Share { identity: IdentityKind::ApiKey, number, needed }),
        };
        let name = format!("resolution {} {number} of {needed}", resolved.as_str());
        out.push((name, Record::Resolution(resolution)));
    }
}

/// What came with clients that wait for the person who decides.
fn of_waiting(out: &mut Vec<(String, Record)>) {
    let reason = ReasonCode::ApprovalTimeout;
    out.push((format!("attempt {reason}"), attempt(|attempt| attempt.reason = reason)));
}

fn all() -> Vec<(String, Envelope)> {
    let mut records = Vec::new();
    attempts(&mut records);
    ends(&mut records);
    others(&mut records);
    over_http(&mut records);
    of_authority(&mut records);
    of_grants(&mut records);
    of_decisions(&mut records);
    of_holds(&mut records);
    of_waiting(&mut records);
    let boot = BootId::new(0x0123_4567_89ab, [0xcd; 10]);
    let envelopes = records.into_iter().zip(1..);
    envelopes.map(|((name, record), counter)| (name, Envelope { boot, counter, record })).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        write!(out, "{byte:02x}").unwrap();
        out
    })
}

#[test]
fn every_record_has_the_bytes_that_are_checked_in() {
    let mut text = String::new();
    for (name, envelope) in all() {
        writeln!(text, "{}: {}", name.replace(' ', "-"), hex(&encode(&envelope).unwrap())).unwrap();
    }
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/records.txt");
    let actual = Path::new(env!("CARGO_TARGET_TMPDIR")).join("records.txt");
    fs::write(&actual, &text).unwrap();
    let expected = fs::read_to_string(&golden).unwrap_or_default();
    for (line, (expected, actual)) in expected.lines().zip(text.lines()).enumerate() {
        assert_eq!(expected, actual, "line {} of {}", line + 1, golden.display());
    }
    assert!(expected == text, "compare {} with {}", golden.display(), actual.display());
}

#[test]
fn every_golden_record_decodes_and_is_deterministic_cbor_to_a_stranger() {
    for (name, envelope) in all() {
        let bytes = encode(&envelope).unwrap();
        assert_eq!(decode(&bytes).as_ref(), Ok(&envelope), "{name}");
        let (value, rest) = cbor::read(&bytes).unwrap_or_else(|| panic!("{name} is not CBOR"));
        assert!(rest.is_empty(), "{name}");
        let mut again = Vec::new();
        cbor::write(&mut again, &value);
        assert_eq!(again, bytes, "{name} is not in its shortest form");
        let cbor::Value::Array(items) = value else { panic!("{name} is not an array") };
        assert_eq!(items.len(), 9, "{name}");
        assert_eq!((&items[0], &items[3]), (&cbor::Value::Uint(1), &cbor::Value::Uint(envelope.counter)), "{name}");
        assert_eq!(items[2], cbor::Value::Bytes(envelope.boot.as_bytes().to_vec()), "{name}");
    }
}

/// A generic reader and writer of the part of CBOR that RFC 8949, section 4.2.1 leaves, sharing nothing with ours.
mod cbor {
    #[derive(Debug, PartialEq, Eq)]
    pub(super) enum Value {
        Uint(u64),
        Bytes(Vec<u8>),
        Text(String),
        Array(Vec<Value>),
        Simple(u8),
    }

    pub(super) fn read(bytes: &[u8]) -> Option<(Value, &[u8])> {
        let (&first, rest) = bytes.split_first()?;
        let (major, info) = (first >> 5, first & 0x1f);
        if major == 7 {
            return (20..=22).contains(&info).then_some((Value::Simple(info), rest));
        }
        let width = match info {
            0..=23 => 0,
            24..=27 => 1 << (info - 24),
            _ => return None,
        };
        let (argument, mut rest) = rest.split_at_checked(width)?;
        let argument =
            if width == 0 { info.into() } else { argument.iter().fold(0, |n, &byte| n << 8 | u64::from(byte)) };
        let length = usize::try_from(argument).ok()?;
        let value = match major {
            0 => Value::Uint(argument),
            2 | 3 => {
                let (content, after) = rest.split_at_checked(length)?;
                rest = after;
                let content = content.to_vec();
                if major == 2 { Value::Bytes(content) } else { Value::Text(String::from_utf8(content).ok()?) }
            }
            4 => {
                let mut items = Vec::new();
                for _ in 0..length {
                    let (item, after) = read(rest)?;
                    items.push(item);
                    rest = after;
                }
                Value::Array(items)
            }
            _ => return None,
        };
        Some((value, rest))
    }

    pub(super) fn write(out: &mut Vec<u8>, value: &Value) {
        match value {
            Value::Uint(value) => head(out, 0, *value),
            Value::Bytes(bytes) => {
                head(out, 2, bytes.len() as u64);
                out.extend(bytes);
            }
            Value::Text(text) => {
                head(out, 3, text.len() as u64);
                out.extend(text.as_bytes());
            }
            Value::Array(items) => {
                head(out, 4, items.len() as u64);
                items.iter().for_each(|item| write(out, item));
            }
            Value::Simple(simple) => out.push(7 << 5 | simple),
        }
    }

    fn head(out: &mut Vec<u8>, major: u8, argument: u64) {
        let bytes = argument.to_be_bytes();
        let (info, width) = match argument {
            0..=23 => (bytes[7], 0),
            24..=0xff => (24, 1),
            0x100..=0xffff => (25, 2),
            0x1_0000..=0xffff_ffff => (26, 4),
            _ => (27, 8),
        };
        out.push(major << 5 | info);
        out.extend(&bytes[8 - width..]);
    }
}
