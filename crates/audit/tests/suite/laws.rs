//! Laws of the record format.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use refmon_audit::BootId;
use refmon_audit::record::{ENVELOPE_BYTES_MAX, Envelope, RecordError, decode, encode};
use refmon_core::caller::IdentityKind;
use refmon_core::decision::{Decision, Obligation};
use refmon_core::digest::{BundleDigest, Pin};
use refmon_core::ids::{
    AgentId, ApprovalKind, CallId, GrantId, HoldId, Method, Operation, PolicyId, Scope, ServerName, SubjectHandle,
    TenantId, ToolName, TrajectoryId,
};
use refmon_core::ports::Moment;
use refmon_core::reason::ReasonCode;
use refmon_core::record::{
    Act, Asked, Asserter, Attempt, Cause, Commitment, Completion, Deed, Door, Event, Indeterminate, Notice, Record,
    Resolution, Resolved, Share, Status,
};

use crate::support;

/// Integers around the places where their shortest form changes.
fn uint() -> impl Strategy<Value = u64> {
    let corners = vec![0, 23, 24, 0xff, 0x100, 0xffff, 0x1_0000, 0xffff_ffff, 0x1_0000_0000, u64::MAX];
    prop_oneof![proptest::sample::select(corners), any::<u64>()]
}

fn id() -> impl Strategy<Value = String> {
    prop_oneof!["[a-zA-Z0-9_./-]{1,40}", "[a-z]{256}"]
}

fn moment() -> impl Strategy<Value = Moment> {
    (uint(), uint()).prop_map(|(unix_us, monotonic_ns)| Moment { unix_us, monotonic_ns })
}

fn tenant() -> impl Strategy<Value = TenantId> {
    id().prop_map(|text| TenantId::parse(&text).unwrap())
}

fn tool() -> impl Strategy<Value = ToolName> {
    id().prop_map(|text| ToolName::parse(&text).unwrap())
}

fn server() -> impl Strategy<Value = ServerName> {
    id().prop_map(|text| ServerName::parse(&text).unwrap())
}

fn commitment() -> impl Strategy<Value = Option<Commitment>> {
    option::of(any::<([u8; 16], [u8; 32])>().prop_map(|(salt, mac)| Commitment { salt, mac }))
}

fn asked() -> impl Strategy<Value = Asked> {
    let operation = prop_oneof![
        tool().prop_map(Operation::Tool),
        proptest::sample::select(Method::ALL.to_vec()).prop_map(Operation::Method),
    ];
    prop_oneof![
        (operation, any::<u32>(), option::of(any::<[u8; 32]>())).prop_map(|(operation, version, pin)| Asked::Known {
            operation,
            version,
            pin: pin.map(Pin::from_bytes)
        }),
        tool().prop_map(Asked::Unknown),
        Just(Asked::Unnameable),
    ]
}

fn decided() -> impl Strategy<Value = (Decision, ReasonCode, Vec<PolicyId>, Vec<ApprovalKind>, Vec<Obligation>)> {
    (
        proptest::sample::select(vec![Decision::Permit, Decision::Hold, Decision::Deny]),
        proptest::sample::select(ReasonCode::ALL.to_vec()),
        vec(id().prop_map(|text| PolicyId::parse(&text).unwrap()), 0..4),
        vec(id().prop_map(|text| ApprovalKind::parse(&text).unwrap()), 0..3),
        vec(Just(Obligation::WithholdOutput), 0..2),
    )
}

fn asserted_by() -> impl Strategy<Value = Option<Asserter>> {
    let host = (any::<[u8; 16]>(), id()).prop_map(|(subject, agent)| Asserter {
        subject: SubjectHandle::from_bytes(subject),
        agent: AgentId::parse(&agent).unwrap(),
        identity: IdentityKind::Token,
    });
    option::of(host)
}

fn grants() -> impl Strategy<Value = Vec<GrantId>> {
    vec(any::<[u8; 16]>().prop_map(GrantId::from_bytes), 0..4)
}

fn act() -> impl Strategy<Value = Record> {
    let ids = || any::<([u8; 16], [u8; 16])>();
    let scopes = vec(id().prop_map(|text| Scope::parse(&text).unwrap()), 0..4);
    let agent = option::of(id().prop_map(|text| AgentId::parse(&text).unwrap()));
    let reason = any::<([u8; 16], [u8; 32])>().prop_map(|(salt, mac)| Commitment { salt, mac });
    let granted = (ids(), agent, scopes, uint(), reason).prop_map(|((grant, to), agent, scopes, until_us, reason)| {
        let (grant, to) = (GrantId::from_bytes(grant), SubjectHandle::from_bytes(to));
        Deed::Granted { grant, to, agent, scopes, until_us, reason }
    });
    let deed = prop_oneof![
        granted,
        any::<[u8; 16]>().prop_map(|grant| Deed::Revoked { grant: GrantId::from_bytes(grant) }),
        Just(Deed::Halted),
        Just(Deed::Resumed),
    ];
    let identity =
        proptest::sample::select(vec![IdentityKind::Local, IdentityKind::Certificate, IdentityKind::Asserted]);
    (moment(), tenant(), any::<[u8; 16]>(), identity, deed).prop_map(|(at, tenant, by, identity, deed)| {
        Record::Act(Box::new(Act { at, tenant, by: SubjectHandle::from_bytes(by), identity, deed }))
    })
}

fn attempt() -> impl Strategy<Value = Record> {
    let who = (any::<[u8; 16]>(), moment(), tenant(), any::<[u8; 16]>(), id(), any::<[u8; 16]>(), server());
    let sizes = (commitment(), uint(), vec("\\PC{0,30}", 0..5), uint(), option::of(any::<[u8; 16]>()), grants());
    let door = proptest::sample::select(vec![Door::McpStdio, Door::McpHttp, Door::Library, Door::Access, Door::Calls]);
    let rest = (any::<[u8; 32]>(), asserted_by());
    (who, door, asked(), decided(), rest, sizes).prop_map(|(who, door, asked, decided, rest, sizes)| {
        let (bundle, asserted_by) = rest;
        let (call, at, tenant, subject, agent, trajectory, server) = who;
        let (decision, reason, policies, approvals, obligations) = decided;
        let (arguments, argument_bytes, argument_names, decide_us, hold, grants) = sizes;
        Record::Attempt(Box::new(Attempt {
            call: CallId::from_bytes(call),
            at,
            tenant,
            subject: SubjectHandle::from_bytes(subject),
            identity: IdentityKind::Local,
            agent: AgentId::parse(&agent).unwrap(),
            trajectory: TrajectoryId::from_bytes(trajectory),
            door,
            server,
            asked,
            decision,
            reason,
            policies,
            approvals,
            obligations,
            bundle: BundleDigest::from_bytes(bundle),
            hold: hold.map(HoldId::from_bytes),
            arguments,
            argument_bytes,
            argument_names,
            decide_us,
            grants,
            asserted_by,
        }))
    })
}

fn other() -> impl Strategy<Value = Record> {
    let statuses = vec![
        Status::Ok,
        Status::ToolError,
        Status::ProtocolError,
        Status::Cancelled,
        Status::InputRequired,
        Status::Malformed,
    ];
    let causes = vec![Cause::Crash, Cause::ServerGone, Cause::SessionEnded, Cause::NotSent, Cause::NotReported];
    let event = prop_oneof![
        any::<[u8; 32]>().prop_map(|digest| Event::Started(BundleDigest::from_bytes(digest))),
        Just(Event::Stopped),
        (uint(), uint()).prop_map(|(open, torn_bytes)| Event::Recovered { open, torn_bytes }),
        any::<[u8; 32]>().prop_map(|digest| Event::Activated(BundleDigest::from_bytes(digest))),
        any::<[u8; 32]>().prop_map(|digest| Event::Refused(BundleDigest::from_bytes(digest))),
        (server(), tool()).prop_map(|(server, tool)| Event::Quarantined { server, tool }),
        any::<[u8; 16]>().prop_map(|by| Event::Halted { by: SubjectHandle::from_bytes(by) }),
        any::<[u8; 16]>().prop_map(|by| Event::Resumed { by: SubjectHandle::from_bytes(by) }),
    ];
    let head = || (any::<[u8; 16]>(), moment(), tenant());
    prop_oneof![
        (head(), proptest::sample::select(statuses), any::<bool>(), commitment(), uint(), uint()).prop_map(
            |((call, at, tenant), status, released, result, result_bytes, execute_us)| {
                let call = CallId::from_bytes(call);
                Record::Completion(Completion { call, at, tenant, status, released, result, result_bytes, execute_us })
            }
        ),
        (head(), proptest::sample::select(causes)).prop_map(|((call, at, tenant), cause)| {
            Record::Indeterminate(Indeterminate { call: CallId::from_bytes(call), at, tenant, cause })
        }),
        (head(), any::<bool>(), any::<[u8; 16]>(), any::<bool>(), share()).prop_map(
            |((hold, at, tenant), approved, by, self_approved, share)| {
                let resolved = if approved { Resolved::Approved } else { Resolved::Denied };
                let by = SubjectHandle::from_bytes(by);
                Record::Resolution(Resolution {
                    hold: HoldId::from_bytes(hold),
                    at,
                    tenant,
                    resolved,
                    by,
                    self_approved,
                    share,
                })
            }
        ),
        (moment(), event).prop_map(|(at, event)| Record::Notice(Notice { at, event })),
    ]
}

fn share() -> impl Strategy<Value = Option<Share>> {
    let identities = [IdentityKind::Local, IdentityKind::ApiKey, IdentityKind::Token, IdentityKind::Certificate];
    let numbers = (any::<u8>(), 1..=u8::MAX).prop_map(|(number, needed)| (1 + number % needed, needed));
    let share = (proptest::sample::select(identities.to_vec()), numbers)
        .prop_map(|(identity, (number, needed))| Share { identity, number, needed });
    proptest::option::of(share)
}

fn envelope() -> impl Strategy<Value = Envelope> {
    (any::<[u8; 16]>(), uint(), prop_oneof![attempt(), other(), act()]).prop_map(|(boot, counter, record)| Envelope {
        boot: BootId::from_bytes(boot),
        counter,
        record,
    })
}

/// The law of one spelling.
fn is_refused_or_written_back(bytes: &[u8]) -> Result<(), TestCaseError> {
    if let Ok(envelope) = decode(bytes) {
        prop_assert_eq!(encode(&envelope).unwrap(), bytes);
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_record_is_decoded_as_it_was(envelope in envelope()) {
        let bytes = encode(&envelope).unwrap();
        prop_assert_eq!(decode(&bytes), Ok(envelope));
    }

    #[test]
    fn a_changed_byte_is_refused_or_is_another_record(envelope in envelope(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = encode(&envelope).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        is_refused_or_written_back(&bytes)?;
    }

    #[test]
    fn an_inserted_or_removed_byte_is_refused_or_is_another_record(envelope in envelope(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let whole = encode(&envelope).unwrap();
        let at = at.index(whole.len());
        let mut bytes = whole.clone();
        bytes.insert(at, byte);
        is_refused_or_written_back(&bytes)?;
        bytes = whole;
        bytes.remove(at);
        is_refused_or_written_back(&bytes)?;
    }

    #[test]
    fn any_bytes_are_refused_or_are_a_record(bytes in vec(any::<u8>(), 0..400)) {
        is_refused_or_written_back(&bytes)?;
    }

    #[test]
    fn a_record_cut_anywhere_is_refused(envelope in envelope(), at in any::<prop::sample::Index>()) {
        let bytes = encode(&envelope).unwrap();
        prop_assert!(decode(&bytes[..at.index(bytes.len())]).is_err());
    }
}

#[test]
fn trailing_bytes_longer_integers_and_unknown_numbers_are_refused() {
    let boot = BootId::from_bytes([9; 16]);
    let bytes = encode(&Envelope { boot, counter: 1, record: support::completion(1) }).unwrap();
    let changed = |at: usize, with: &[u8]| {
        let mut changed = bytes.clone();
        changed.splice(at..=at, with.iter().copied());
        decode(&changed)
    };
    assert!(decode(&bytes).is_ok());
    assert!(decode(&[bytes.as_slice(), &[0]].concat()).is_err());
    assert_eq!(changed(1, &[2]), Err(RecordError::UnknownVersion(2)));
    assert_eq!(changed(2, &[7]), Err(RecordError::UnknownKind(7)));
    assert_eq!(changed(2, &[0x18, 200]), Err(RecordError::UnknownKind(200)));
    // The counter, in a longer form than it needs.
    assert!(matches!(changed(20, &[0x18, 1]), Err(RecordError::Malformed { offset: 20, .. })));
    // An enforcement point, a capture level, a trace and a sealed blob that this version does not know.
    for (at, with) in [(21, 1), (22, 2), (23, 0xf7), (24, 0x81)] {
        assert!(
            matches!(changed(at, &[with]), Err(RecordError::Malformed { offset, .. }) if offset == at),
            "byte {at}"
        );
    }
    // An array of indefinite length.
    assert!(changed(0, &[0x9f]).is_err());
}

#[test]
fn a_record_above_a_limit_is_not_written() {
    let Record::Attempt(attempt) = support::permit(1) else { unreachable!() };
    let with = |names: Vec<String>| {
        let record = Record::Attempt(Box::new(Attempt { argument_names: names, ..(*attempt).clone() }));
        encode(&Envelope { boot: BootId::from_bytes([9; 16]), counter: 1, record })
    };
    assert!(with(vec!["n".repeat(4_096); 15]).is_ok());
    assert_eq!(with(vec!["n".repeat(4_096); 16]), Err(RecordError::TooLarge));
    assert_eq!(with(vec!["n".repeat(4_097)]), Err(RecordError::TooLarge));
    assert!(with(vec![String::new(); 4_096]).is_ok());
    assert_eq!(with(vec![String::new(); 4_097]), Err(RecordError::TooLarge));
    assert_eq!(decode(&vec![0x80; ENVELOPE_BYTES_MAX + 1]), Err(RecordError::TooLarge));
}
