//! What a queue of holds promises, over a real database, and a model of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proptest::prelude::*;
use refmon_core::caller::{Caller, IdentityKind};
use refmon_core::contract::{Contract, Effect, Effects, HoldMode};
use refmon_core::digest::Binding;
use refmon_core::ids::{
    AgentId, ApprovalKind, HoldId, Operation, Scope, ServerName, TenantId, ToolName, TrajectoryId, UserId,
};
use refmon_core::limits;
use refmon_core::ports::{Approval, Fault, HoldRequest, Holds as _, Moment, Placed};
use refmon_core::reason::ReasonCode;
use refmon_core::record::{Door, Resolved};

use crate::desk::{Decided, Place, Progress, Seen, Vote};
use crate::holds::HoldState;
use crate::{StoreError, Stores};

pub(crate) fn person(tenant: &str, user: &str, scopes: &[&str]) -> Caller {
    let scopes = scopes.iter().map(|scope| Scope::parse(scope).unwrap());
    let (tenant, agent) = (TenantId::parse(tenant).unwrap(), AgentId::parse("a").unwrap());
    Caller::authenticated(IdentityKind::ApiKey, tenant, UserId::parse(user).unwrap(), agent, scopes)
}

fn caller(tenant: &str) -> Caller {
    person(tenant, "u", &[])
}

pub(crate) fn at(seconds: u64) -> Moment {
    Moment { unix_us: seconds * 1_000_000, monotonic_ns: 0 }
}

/// A call that waits.
pub(crate) struct Call<'a> {
    number: u8,
    pub(crate) binding: [u8; 32],
    effects: &'a [Effect],
    needed: u8,
    arguments: &'a str,
    targets: &'a [String],
}

impl Call<'_> {
    pub(crate) fn new(number: u8, binding: u8) -> Self {
        let arguments = "{\"card\":\"4111-canary\"}";
        Self { number, binding: [binding; 32], effects: &[Effect::Write], needed: 1, arguments, targets: &[] }
    }

    pub(crate) fn place(&self, stores: &Stores, caller: &Caller, now: Moment) -> Placed {
        let approvals = [ApprovalKind::parse("operator").unwrap()];
        let contract = Contract {
            server: ServerName::parse("s").unwrap(),
            operation: Operation::Tool(ToolName::parse("t").unwrap()),
            version: 1,
            pin: None,
            effects: Effects::new(self.effects.iter().copied()).unwrap(),
            required_scopes: Vec::new(),
            hold: HoldMode::Policy,
            undeclared: false,
            arguments: BTreeMap::new(),
        };
        let mut id = [self.number; 16];
        id[15] = self.binding[0];
        let request = HoldRequest {
            id: HoldId::from_bytes(id),
            binding: Binding::from_bytes(self.binding),
            approvals: &approvals,
            approvers: self.needed,
            contract: &contract,
            action: "s/t@1",
            arguments: self.arguments,
            explanation: "because",
            reason: ReasonCode::PolicyHold,
            targets: self.targets,
            door: Door::Library,
            trajectory: TrajectoryId::from_bytes([3; 16]),
            now,
        };
        stores.place(caller, &request).unwrap()
    }
}

fn waits(placed: Placed) -> HoldId {
    let Placed::Waits(id) = placed else { panic!("{placed:?}") };
    id
}

pub(crate) fn place(stores: &Stores, caller: &Caller, number: u8, binding: u8, now: Moment) -> HoldId {
    waits(Call::new(number, binding).place(stores, caller, now))
}

pub(crate) fn recorded(_: Vote) -> Result<(), Fault> {
    Ok(())
}

pub(crate) fn at_machine(stores: &Stores, tenant: &str, id: HoldId, approve: bool, now: Moment) -> Decided {
    let resolved = if approve { Resolved::Approved } else { Resolved::Denied };
    stores.desk_at_machine(&person(tenant, "boss", &[])).decide(id, resolved, None, now, recorded).unwrap()
}

pub(crate) fn done(decided: Decided) -> Progress {
    let Decided::Done(progress) = decided else { panic!("{decided:?}") };
    progress
}

pub(crate) fn open() -> (tempfile::TempDir, Stores) {
    let folder = tempfile::tempdir().unwrap();
    let stores = Stores::open(&folder.path().join("state.db")).unwrap();
    (folder, stores)
}

fn has_canary(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        bytes.windows(11).any(|window| window == b"4111-canary")
    })
}

#[test]
fn what_waits_is_counted_over_all_tenants_until_it_is_decided_or_over() {
    let (_folder, stores) = open();
    let id = place(&stores, &caller("t"), 1, 7, at(0));
    place(&stores, &caller("u"), 2, 7, at(0));
    assert_eq!(stores.holds_waiting(at(1)).unwrap(), 2);
    done(at_machine(&stores, "t", id, true, at(1)));
    assert_eq!(stores.holds_waiting(at(1)).unwrap(), 1);
    assert_eq!(stores.holds_waiting(at(limits::HOLD_SECONDS)).unwrap(), 0, "nobody has looked since");
}

#[test]
fn an_approval_is_spent_once_and_only_for_its_binding() {
    let (_folder, stores) = open();
    let (me, binding) = (caller("t"), Binding::from_bytes([7; 32]));
    let id = place(&stores, &me, 1, 7, at(0));
    assert_eq!(stores.approved(&me, &binding, at(1)).unwrap(), None, "pending is not approved");
    assert_eq!(done(at_machine(&stores, "t", id, true, at(1))).state, HoldState::Approved);
    assert_eq!(stores.approved(&me, &Binding::from_bytes([8; 32]), at(2)).unwrap(), None);
    let approval = stores.approved(&me, &binding, at(2)).unwrap().unwrap();
    assert!(stores.spend(&me, &approval, at(2)).unwrap());
    assert!(!stores.spend(&me, &approval, at(2)).unwrap());
    assert_eq!(stores.approved(&me, &binding, at(2)).unwrap(), None);
    assert_eq!(at_machine(&stores, "t", id, false, at(3)), Decided::NotPending(HoldState::Spent));
    assert!(matches!(at_machine(&stores, "t", id, true, at(3)), Decided::Unchanged(_)));
}

#[test]
fn the_same_call_waits_in_one_hold() {
    let (_folder, stores) = open();
    let me = caller("t");
    let id = place(&stores, &me, 1, 7, at(0));
    assert_eq!(place(&stores, &me, 2, 7, at(1)), id);
    assert_ne!(place(&stores, &me, 3, 8, at(1)), id);
}

#[test]
fn what_was_denied_stays_denied_until_its_hold_is_over() {
    let (_folder, stores) = open();
    let me = caller("t");
    let id = place(&stores, &me, 1, 7, at(0));
    assert_eq!(done(at_machine(&stores, "t", id, false, at(300))).state, HoldState::Denied);
    let again = Call::new(4, 7);
    assert_eq!(again.place(&stores, &me, at(301)), Placed::Denied(id));
    assert_eq!(again.place(&stores, &me, at(limits::HOLD_SECONDS - 1)), Placed::Denied(id));
    let other = Call::new(5, 8).place(&stores, &me, at(301));
    assert!(matches!(other, Placed::Waits(_)), "another call may be asked for");
    assert!(matches!(again.place(&stores, &caller("other"), at(301)), Placed::Waits(_)));
    assert_ne!(waits(again.place(&stores, &me, at(limits::HOLD_SECONDS))), id, "then one may ask again");
}

#[test]
fn holds_and_approvals_expire() {
    let (_folder, stores) = open();
    let (me, binding) = (caller("t"), Binding::from_bytes([7; 32]));
    let late = limits::HOLD_SECONDS;
    let id = place(&stores, &me, 1, 7, at(0));
    assert_eq!(at_machine(&stores, "t", id, true, at(late)), Decided::NotPending(HoldState::Expired));
    let id = place(&stores, &me, 2, 7, at(late));
    done(at_machine(&stores, "t", id, true, at(late + 1)));
    let approval = stores.approved(&me, &binding, at(late + 2)).unwrap().unwrap();
    assert_eq!(stores.approved(&me, &binding, at(2 * late + 1)).unwrap(), None);
    assert!(!stores.spend(&me, &approval, at(2 * late + 1)).unwrap());
}

#[test]
fn a_foreign_hold_and_a_missing_one_look_alike() {
    let (_folder, stores) = open();
    let (me, other) = (caller("t"), person("other", "x", &["refmon:approve"]));
    let id = place(&stores, &me, 1, 7, at(0));
    let missing = HoldId::from_bytes([9; 16]);
    for desk in [stores.desk(&other), stores.desk_at_machine(&other)] {
        assert_eq!(desk.find(id, at(1)).unwrap(), None);
        for id in [id, missing] {
            for resolved in [Resolved::Approved, Resolved::Denied] {
                assert_eq!(desk.decide(id, resolved, None, at(1), recorded).unwrap(), Decided::Missing);
            }
        }
        let page = desk.list(None, None, 100, at(1)).unwrap();
        assert!(page.holds.is_empty() && page.batches.is_empty() && page.counts.values().all(|count| *count == 0));
        assert_eq!(desk.figures(at(1)).unwrap().unwrap().placed, 0);
    }
    done(at_machine(&stores, "t", id, true, at(1)));
    assert_eq!(stores.approved(&other, &Binding::from_bytes([7; 32]), at(1)).unwrap(), None);
    assert!(!stores.spend(&other, &Approval { hold: id, approvals: vec![], approvers: 9 }, at(1)).unwrap());
    place(&stores, &other, 1, 7, at(1));
}

#[test]
fn arguments_are_gone_from_the_file_after_the_decision() {
    for approve in [true, false] {
        let (folder, stores) = open();
        let targets = ["4111-canary".to_owned()];
        let id = waits(Call { targets: &targets, ..Call::new(1, 7) }.place(&stores, &caller("t"), at(0)));
        assert!(has_canary(folder.path()));
        done(at_machine(&stores, "t", id, approve, at(1)));
        assert!(!has_canary(folder.path()));
    }
}

#[test]
fn what_is_over_loses_its_arguments_without_any_operation_on_holds() {
    let (folder, stores) = open();
    place(&stores, &caller("t"), 1, 7, at(0));
    stores.expire_holds(at(limits::HOLD_SECONDS - 1)).unwrap();
    assert!(has_canary(folder.path()));
    stores.expire_holds(at(limits::HOLD_SECONDS)).unwrap();
    assert!(!has_canary(folder.path()));
}

#[test]
fn one_persons_holds_are_bounded_in_number_and_size_and_are_not_all_of_the_tenants() {
    let (_folder, stores) = open();
    let (eve, ada) = (person("t", "eve", &[]), person("t", "ada", &[]));
    for binding in 0..64 {
        place(&stores, &eve, 1, binding, at(0));
    }
    assert_eq!(Call::new(1, 64).place(&stores, &eve, at(0)), Placed::Full);
    assert_eq!(
        place(&stores, &eve, 2, 0, at(0)),
        HoldId::from_bytes([[1; 15].as_slice(), &[0]].concat().try_into().unwrap())
    );
    place(&stores, &ada, 3, 100, at(0));
    place(&stores, &person("other", "eve", &[]), 1, 64, at(0));
    place(&stores, &eve, 4, 65, at(limits::HOLD_SECONDS));

    let large =
        |bytes: usize| Call { arguments: &"x".repeat(bytes), ..Call::new(5, 105) }.place(&stores, &ada, at(700));
    assert_eq!(large(limits::HOLD_ARGUMENT_BYTES_MAX + 1), Placed::Full);
    waits(large(limits::HOLD_ARGUMENT_BYTES_MAX));
    let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1024)
               INSERT INTO hold (tenant, id, user, agent, binding, approvals, action, arguments, explanation, placed_us, expires_us, state)
               SELECT 'full', randomblob(16), 'u' || i, 'a', randomblob(32), 'operator', 's', '', '', 0, 1000000000000, 'pending' FROM n";
    stores.connection().execute(sql, []).unwrap();
    assert_eq!(Call::new(1, 7).place(&stores, &caller("full"), at(0)), Placed::Full);
}

#[test]
fn a_decision_needs_a_scope_for_each_effect_at_that_moment() {
    let (_folder, stores) = open();
    let both = &[Effect::Write, Effect::External];
    let id = waits(Call { effects: both, ..Call::new(1, 7) }.place(&stores, &caller("t"), at(0)));
    for scopes in
        [&[][..], &["refmon:approve:write"], &["refmon:approve:external", "refmon:approve:read"], &["refmon:halt"]]
    {
        let boss = person("t", "boss", scopes);
        assert_eq!(stores.desk(&boss).find(id, at(1)).unwrap(), None, "{scopes:?}");
        for resolved in [Resolved::Approved, Resolved::Denied] {
            assert_eq!(stores.desk(&boss).decide(id, resolved, None, at(1), recorded).unwrap(), Decided::Missing);
        }
    }
    // A scope that was given for a time counts while it lasts.
    let boss = person("t", "boss", &["refmon:approve:write"]);
    let grant = crate::grants::NewGrant {
        id: refmon_core::ids::GrantId::from_bytes([1; 16]),
        user: boss.user().clone(),
        agent: None,
        scopes: vec![Scope::parse("refmon:approve:external").unwrap()],
        reason: "r".to_owned(),
        seconds: 10,
    };
    stores.of(&boss).give(&grant, "root", at(2), |_| Ok(())).unwrap();
    let decide = |now| stores.desk(&boss).decide(id, Resolved::Approved, None, now, recorded).unwrap();
    assert!(matches!(stores.desk(&boss).find(id, at(3)).unwrap(), Some(Seen::ToDecide(_))));
    assert_eq!(decide(at(12)), Decided::Missing, "the grant is over");
    let all = person("t", "boss", &["refmon:approve"]);
    assert!(matches!(
        stores.desk(&all).decide(id, Resolved::Approved, None, at(13), recorded).unwrap(),
        Decided::Done(_)
    ));
}

#[test]
fn whoever_asked_cannot_approve_but_can_deny_and_sees_no_more_than_what_he_sent() {
    let (_folder, stores) = open();
    let host = std::sync::Arc::new(person("t", "shop", &["refmon:approve"]));
    let named = Caller::asserted(&host, UserId::parse("ada").unwrap(), AgentId::parse("bot").unwrap(), []);
    let id = place(&stores, &named, 1, 7, at(0));
    let decide = |caller: &Caller, resolved| stores.desk(caller).decide(id, resolved, None, at(1), recorded).unwrap();
    for own in [host.as_ref(), &person("t", "ada", &["refmon:approve"])] {
        assert_eq!(decide(own, Resolved::Approved), Decided::SamePerson);
    }
    let bare = |user| person("t", user, &[]);
    assert_eq!(decide(&bare("eve"), Resolved::Denied), Decided::Missing);
    let seen = |user| stores.desk(&bare(user)).find(id, at(1)).unwrap();
    let Some(Seen::Own { arguments, .. }) = seen("shop") else { panic!("the host sees what it asked for") };
    assert!(arguments.contains("canary"));
    let Some(Seen::Own { arguments, .. }) = seen("ada") else { panic!("the named user sees that it waits") };
    assert_eq!(arguments, "", "another agent sent them");
    assert_eq!(seen("eve"), None);
    assert_eq!(done(decide(&bare("ada"), Resolved::Denied)).state, HoldState::Denied);
}

#[test]
fn two_people_approve_where_two_are_needed_and_one_denies() {
    let (_folder, stores) = open();
    let me = caller("t");
    let two = |binding| waits(Call { needed: 2, ..Call::new(1, binding) }.place(&stores, &me, at(0)));
    let boss = |user| person("t", user, &["refmon:approve"]);
    let decide = |id, user, resolved| {
        let mut vote = None;
        let record = |cast| {
            vote = Some(cast);
            Ok(())
        };
        let decided = stores.desk(&boss(user)).decide(id, resolved, Some("fine"), at(1), record).unwrap();
        (decided, vote.map(|vote: Vote| (vote.share.number, vote.share.needed)))
    };
    let id = two(1);
    let first = Progress { state: HoldState::Pending, approved: 1, needed: 2 };
    assert_eq!(decide(id, "bob", Resolved::Approved), (Decided::Done(first), Some((1, 2))));
    assert_eq!(decide(id, "bob", Resolved::Approved), (Decided::Unchanged(first), None), "one person is one");
    assert_eq!(stores.approved(&me, &Binding::from_bytes([1; 32]), at(1)).unwrap(), None);
    let second = Progress { state: HoldState::Approved, approved: 2, needed: 2 };
    assert_eq!(decide(id, "eve", Resolved::Approved), (Decided::Done(second), Some((2, 2))));
    assert_eq!(stores.approved(&me, &Binding::from_bytes([1; 32]), at(1)).unwrap().unwrap().approvers, 2);
    assert_eq!(decide(id, "dan", Resolved::Approved).0, Decided::NotPending(HoldState::Approved));
    let Some(Seen::ToDecide(hold)) = stores.desk(&boss("dan")).find(id, at(1)).unwrap() else { panic!("not seen") };
    let who: Vec<_> =
        hold.decisions.iter().map(|one| (one.user.as_str(), one.identity.as_str(), one.approves)).collect();
    assert_eq!(who, [("bob", "api-key", true), ("eve", "api-key", true)]);
    assert_eq!(hold.decisions[0].reason.as_deref(), Some("fine"));

    let id = two(2);
    decide(id, "bob", Resolved::Approved);
    assert_eq!(decide(id, "bob", Resolved::Denied).0, Decided::Done(Progress { state: HoldState::Denied, ..first }));
    assert_eq!(decide(id, "eve", Resolved::Approved).0, Decided::NotPending(HoldState::Denied));
}

#[test]
fn the_queue_is_ranked_paged_counted_and_put_together() {
    let (_folder, stores) = open();
    let targets = ["x@example.org".to_owned()];
    for (binding, effects) in
        [(1, Effect::Read), (2, Effect::External), (3, Effect::Destructive), (4, Effect::External)]
    {
        Call { effects: &[effects], targets: &targets, ..Call::new(1, binding) }.place(
            &stores,
            &caller("t"),
            at(binding.into()),
        );
    }
    let boss = person("t", "boss", &["refmon:approve"]);
    let (mut found, mut after): (Vec<u8>, Option<Place>) = (Vec::new(), None);
    loop {
        let page = stores.desk(&boss).list(Some(HoldState::Pending), after, 1, at(5)).unwrap();
        assert_eq!((page.holds.len(), page.counts["pending"], page.batches.len()), (1, 4, 3));
        assert_eq!(page.batches[1].count, 2, "{:?}", page.batches);
        let Seen::ToDecide(hold) = &page.holds[0] else { panic!("not seen") };
        assert!(hold.arguments.is_empty() && hold.argument_bytes > 0);
        found.push(hold.id.as_bytes()[15]);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found, [3, 2, 4, 1]);
    let some = person("t", "boss", &["refmon:approve:external"]);
    assert_eq!(stores.desk(&some).list(None, None, 100, at(5)).unwrap().holds.len(), 2);
    let figures = stores.desk(&boss).figures(at(10)).unwrap().unwrap();
    assert_eq!((figures.placed, figures.undecided, figures.median_ms), (4, 4, None));
    let id = |binding: u8| HoldId::from_bytes([[1; 15].as_slice(), &[binding]].concat().try_into().unwrap());
    for (binding, resolved, now) in
        [(1, Resolved::Approved, 11), (2, Resolved::Denied, 12), (3, Resolved::Approved, 30)]
    {
        done(stores.desk(&boss).decide(id(binding), resolved, None, at(now), recorded).unwrap());
    }
    let figures = stores.desk(&boss).figures(at(40)).unwrap().unwrap();
    assert_eq!((figures.approved, figures.denied, figures.undecided, figures.median_ms), (2, 1, 1, Some(10_000)));
    assert_eq!((figures.asked.len(), figures.asked[0].count), (1, 4));
    assert_eq!(stores.desk(&caller("t")).figures(at(40)).unwrap(), None);
}

#[test]
fn a_decision_that_cannot_be_recorded_is_none() {
    let (_folder, stores) = open();
    let id = place(&stores, &caller("t"), 1, 7, at(0));
    let boss = person("t", "boss", &["refmon:approve"]);
    let down = |_: Vote| Err(Fault::unavailable("the journal"));
    let refused = stores.desk(&boss).decide(id, Resolved::Approved, None, at(1), down);
    assert!(matches!(refused, Err(StoreError::Unrecorded(_))));
    let Some(Seen::ToDecide(hold)) = stores.desk(&boss).find(id, at(1)).unwrap() else { panic!("not seen") };
    assert!(hold.state == HoldState::Pending && hold.decisions.is_empty() && !hold.arguments.is_empty());
}

#[test]
fn a_database_from_before_keeps_its_holds_for_the_person_at_the_machine() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.db");
    let before = rusqlite::Connection::open(&file).unwrap();
    before.execute_batch(crate::holds::SCHEMA).unwrap();
    before.execute_batch(crate::grants::SCHEMA).unwrap();
    let sql = "INSERT INTO hold VALUES ('t', ?1, 'u', 'a', ?2, 'operator', 's/t@1', '{}', 'why', 0, 600000000, 'pending', NULL, NULL)";
    before.execute(sql, (vec![7u8; 16], vec![7u8; 32])).unwrap();
    before.pragma_update(None, "user_version", 2).unwrap();
    drop(before);
    let stores = Stores::open(&file).unwrap();
    let id = HoldId::from_bytes([7; 16]);
    let boss = person("t", "boss", &["refmon:approve"]);
    assert_eq!(stores.desk(&boss).find(id, at(1)).unwrap(), None, "what it does is not known");
    assert_eq!(stores.desk_at_machine(&boss).list(None, None, 100, at(1)).unwrap().holds.len(), 1);
    assert_eq!(done(at_machine(&stores, "t", id, true, at(1))).state, HoldState::Approved);
    assert!(stores.approved(&caller("t"), &Binding::from_bytes([7; 32]), at(2)).unwrap().is_some());
}

// === the model ===

const USERS: [&str; 4] = ["ada", "bob", "eve", "dan"];
const TENANTS: [&str; 2] = ["t", "other"];
const SCOPES: [&[&str]; 4] =
    [&[], &["refmon:approve"], &["refmon:approve:write"], &["refmon:approve:external", "refmon:approve:write"]];
const EFFECTS: [&[Effect]; 3] = [&[Effect::Write], &[Effect::External], &[Effect::External, Effect::Write]];

#[derive(Debug, Clone)]
enum Step {
    Place { tenant: usize, user: usize, call: u8, effects: usize, needed: u8 },
    Decide { tenant: usize, user: usize, scopes: usize, which: usize, approve: bool, machine: bool },
    Spend { tenant: usize, user: usize, call: u8 },
    Wait { seconds: u64 },
}

#[derive(Debug, Clone)]
struct Modelled {
    id: HoldId,
    key: (usize, usize, u8),
    effects: usize,
    needed: u8,
    state: HoldState,
    expires: u64,
    votes: BTreeSet<(usize, bool)>,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let tenant = || prop_oneof![9 => Just(0usize), 1 => Just(1usize)];
    let step = prop_oneof![
        4 => (tenant(), 0..4usize, 0..2u8, 0..3usize, 1..=2u8)
            .prop_map(|(tenant, user, call, effects, needed)| Step::Place { tenant, user, call, effects, needed }),
        8 => (tenant(), 0..4usize, 0..4usize, 0..6usize, prop::bool::weighted(0.8), prop::bool::weighted(0.2)).prop_map(
            |(tenant, user, scopes, which, approve, machine)| Step::Decide { tenant, user, scopes, which, approve, machine }
        ),
        4 => (tenant(), 0..4usize, 0..2u8).prop_map(|(tenant, user, call)| Step::Spend { tenant, user, call }),
        2 => prop_oneof![1..60u64, 290..310u64, 599..602u64].prop_map(|seconds| Step::Wait { seconds }),
    ];
    prop::collection::vec(step, 1..40)
}

fn covers(scopes: usize, effects: usize) -> bool {
    EFFECTS[effects].iter().all(|effect| {
        SCOPES[scopes]
            .iter()
            .any(|scope| *scope == "refmon:approve" || *scope == format!("refmon:approve:{}", effect.as_str()))
    })
}

fn expected(hold: &mut Modelled, now: u64, step: (usize, usize, usize, bool, bool)) -> Decided {
    let (tenant, user, scopes, approve, machine) = step;
    let own = hold.key.1 == user;
    if hold.key.0 != tenant || !(machine || own || covers(scopes, hold.effects)) {
        return Decided::Missing;
    }
    if approve && own && !machine {
        return Decided::SamePerson;
    }
    let approved = |votes: &BTreeSet<(usize, bool)>| u8::try_from(votes.iter().filter(|vote| vote.1).count()).unwrap();
    let progress =
        |hold: &Modelled| Progress { state: hold.state, approved: approved(&hold.votes), needed: hold.needed };
    if hold.votes.contains(&(user, approve)) {
        return Decided::Unchanged(progress(hold));
    }
    if hold.state != HoldState::Pending {
        return Decided::NotPending(hold.state);
    }
    hold.votes.insert((user, approve));
    if !approve {
        hold.state = HoldState::Denied;
    } else if approved(&hold.votes) >= hold.needed {
        (hold.state, hold.expires) = (HoldState::Approved, now + limits::HOLD_SECONDS);
    }
    Decided::Done(progress(hold))
}

fn agree(program: &[Step]) -> Result<(), TestCaseError> {
    let (_folder, stores) = open();
    stores.connection().execute_batch("PRAGMA synchronous = OFF").unwrap();
    let (mut holds, mut now): (Vec<Modelled>, u64) = (Vec::new(), 1_000);
    for (number, step) in (1..).zip(program) {
        for hold in &mut holds {
            if matches!(hold.state, HoldState::Pending | HoldState::Approved) && hold.expires <= now {
                hold.state = HoldState::Expired;
            }
        }
        let bound = |(tenant, user, call): (usize, usize, u8)| {
            let mut binding = [call; 32];
            binding[..2].copy_from_slice(&[u8::try_from(tenant).unwrap(), u8::try_from(user).unwrap()]);
            binding
        };
        match *step {
            Step::Wait { seconds } => now += seconds,
            Step::Place { tenant, user, call, effects, needed } => {
                let (key, me) = ((tenant, user, call), person(TENANTS[tenant], USERS[user], &[]));
                let known =
                    |state| move |hold: &&Modelled| hold.key == key && hold.state == state && hold.expires > now;
                let denied = holds.iter().find(known(HoldState::Denied)).map(|hold| Placed::Denied(hold.id));
                let waits = holds.iter().find(known(HoldState::Pending)).map(|hold| Placed::Waits(hold.id));
                let call = Call { binding: bound(key), effects: EFFECTS[effects], needed, ..Call::new(number, call) };
                let placed = call.place(&stores, &me, at(now));
                match (denied.or(waits), placed) {
                    (Some(expected), placed) => prop_assert_eq!(placed, expected),
                    (None, Placed::Waits(id)) => holds.push(Modelled {
                        id,
                        key,
                        effects,
                        needed,
                        state: HoldState::Pending,
                        expires: now + limits::HOLD_SECONDS,
                        votes: BTreeSet::new(),
                    }),
                    (None, other) => prop_assert!(false, "{:?}", other),
                }
            }
            Step::Decide { tenant, user, scopes, which, approve, machine } => {
                let Some(hold) = holds.get_mut(which) else { continue };
                let me = person(TENANTS[tenant], USERS[user], SCOPES[scopes]);
                let desk = if machine { stores.desk_at_machine(&me) } else { stores.desk(&me) };
                let resolved = if approve { Resolved::Approved } else { Resolved::Denied };
                let mut votes = 0;
                let record = |_| {
                    votes += 1;
                    Ok(())
                };
                let decided = desk.decide(hold.id, resolved, None, at(now), record).unwrap();
                prop_assert_eq!(votes, u8::from(matches!(decided, Decided::Done(_))), "a record for each decision");
                prop_assert_eq!(decided, expected(hold, now, (tenant, user, scopes, approve, machine)), "{:?}", step);
            }
            Step::Spend { tenant, user, call } => {
                let (key, me) = ((tenant, user, call), person(TENANTS[tenant], USERS[user], &[]));
                let approval = stores.approved(&me, &Binding::from_bytes(bound(key)), at(now)).unwrap();
                let spent = approval.as_ref().is_some_and(|one| stores.spend(&me, one, at(now)).unwrap());
                let mut approved = holds.iter_mut().filter(|hold| hold.key == key && hold.state == HoldState::Approved);
                let modelled = approved.next();
                prop_assert_eq!(spent, modelled.is_some());
                if let (Some(hold), Some(approval)) = (modelled, approval) {
                    prop_assert_eq!((approval.hold, approval.approvers), (hold.id, hold.needed));
                    prop_assert!(!stores.spend(&me, &approval, at(now)).unwrap(), "spent twice");
                    hold.state = HoldState::Spent;
                }
            }
        }
    }
    Ok(())
}

proptest! {
    // Each case is a database of its own; 100 without `REFMON_LONG=1`.
    #![proptest_config(ProptestConfig {
        cases: if std::env::var_os("REFMON_LONG").is_some() { 10_000 } else { 100 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]
    #[test]
    fn store_and_model_agree_on_who_decides_what(program in steps()) {
        agree(&program)?;
    }
}
