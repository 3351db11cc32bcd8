//! Grants of scopes through the monitor: what they add, what they cannot, and what the record says.
#![allow(clippy::unwrap_used, clippy::allow_attributes, reason = "tests may unwrap")]

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use refmon_core::contract::{Effect, HoldMode};
use refmon_core::ids::{GrantId, Operation, Scope, ToolName};
use refmon_core::monitor::{Ask, Monitor, Verdict};
use refmon_core::ports::ScopeGrant;
use refmon_core::reason::{ReasonCode, Remedy};
use refmon_core::record::Record;
use support::{Says, World};

const TOOLS: [(&str, Says, HoldMode); 3] = [
    ("send", Says::Permit, HoldMode::Policy),
    ("wipe", Says::Forbid, HoldMode::Policy),
    ("move", Says::Permit, HoldMode::Always),
];

fn monitor(world: &Arc<World>) -> Monitor {
    let tools = TOOLS.map(|(name, says, hold)| (support::contract(name, &[Effect::Write], &["s:use"], hold, 1), says));
    support::monitor(world, support::bundle(1, tools))
}

fn give(world: &World, tenant: &str, until_s: u64, scope: &str) -> GrantId {
    let id = GrantId::from_bytes([5; 16]);
    let grant = ScopeGrant { id, scopes: vec![Scope::parse(scope).unwrap()] };
    world.grants.lock().unwrap().push((tenant.to_owned(), until_s, grant));
    id
}

fn call(world: &World, monitor: &Monitor, tool: &str, scopes: &[&str]) -> ReasonCode {
    let listing = support::listing(&TOOLS.map(|(name, ..)| (name, 1)));
    let caller = support::caller("t", scopes);
    let proposal = support::proposal(world, &caller, Ask::Tool(tool.into()), &listing, "{\"a\":1}");
    match monitor.submit(proposal) {
        Verdict::Permit(permit) => permit.reason(),
        Verdict::Hold(held) => held.judgement().reason,
        Verdict::Deny(denied) => denied.judgement().reason,
    }
}

/// The grants that the newest attempt names.
fn named(world: &World) -> Vec<GrantId> {
    let records = world.records();
    let attempt = records.iter().rev().find_map(|record| match record {
        Record::Attempt(attempt) => Some(attempt.grants.clone()),
        _ => None,
    });
    attempt.unwrap()
}

#[test]
fn a_grant_adds_its_scopes_while_it_lasts_and_the_record_names_it() {
    let world = Arc::new(World::default());
    let monitor = monitor(&world);
    assert_eq!(call(&world, &monitor, "send", &[]), ReasonCode::MissingScope);
    assert_eq!(named(&world), []);
    let id = give(&world, "t", 10, "s:use");
    assert_eq!(call(&world, &monitor, "send", &[]), ReasonCode::Permitted);
    assert_eq!(named(&world), [id]);
    world.now_s.store(9, Ordering::SeqCst);
    assert_eq!(call(&world, &monitor, "send", &[]), ReasonCode::Permitted);
    world.now_s.store(10, Ordering::SeqCst);
    assert_eq!(call(&world, &monitor, "send", &[]), ReasonCode::MissingScope);
    assert_eq!(named(&world), []);
}

#[test]
fn a_grant_adds_scopes_and_nothing_else() {
    let world = Arc::new(World::default());
    let monitor = monitor(&world);
    give(&world, "other", 10, "s:use");
    assert_eq!(call(&world, &monitor, "send", &[]), ReasonCode::MissingScope, "another tenant's");
    give(&world, "t", 10, "s:other");
    assert_eq!(call(&world, &monitor, "send", &[]), ReasonCode::MissingScope, "another scope");
    give(&world, "t", 10, "s:use");
    assert_eq!(call(&world, &monitor, "wipe", &[]), ReasonCode::PolicyForbidden, "a forbid wins");
    assert_eq!(call(&world, &monitor, "move", &[]), ReasonCode::ContractHold, "a person still decides");
    assert_eq!(call(&world, &monitor, "none", &["s:use"]), ReasonCode::UnknownTool);
}

#[test]
fn a_tool_is_shown_to_who_was_given_its_scope() {
    let world = Arc::new(World::default());
    let (monitor, caller) = (monitor(&world), support::caller("t", &[]));
    let shown = |name: &str| {
        let operation = Operation::Tool(ToolName::parse(name).unwrap());
        monitor.shows(&caller, &support::server(), &operation, &support::listing(&[(name, 1)]))
    };
    assert!(!shown("send"));
    give(&world, "t", 10, "s:use");
    assert!(shown("send") && !shown("wipe"));
    // A store that does not answer shows nothing that the credential alone does not.
    world.fail_at.store(world.steps.load(Ordering::SeqCst) + 1, Ordering::SeqCst);
    assert!(!shown("send"));
}

#[test]
fn a_store_of_grants_that_does_not_answer_denies_even_who_needs_none() {
    let world = Arc::new(World::default());
    let monitor = monitor(&world);
    assert_eq!(call(&world, &monitor, "send", &["s:use"]), ReasonCode::Permitted);
    world.fail_at.store(world.steps.load(Ordering::SeqCst) + 1, Ordering::SeqCst);
    assert_eq!(call(&world, &monitor, "send", &["s:use"]), ReasonCode::Unavailable);
}

#[test]
fn a_missing_scope_names_the_way_to_a_grant() {
    assert!(ReasonCode::MissingScope.remedies().contains(&Remedy::RequestGrant));
    assert!(Remedy::RequestGrant.sentence().contains("refmon grant add"));
}
