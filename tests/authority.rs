//! The limits on what callers may do, through the whole monitor: each denies with its own code, none turns a denial
//! into anything else, a halt outranks every other reason, and a budget is taken once for each call that is permitted.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::allow_attributes,
    reason = "what surrounds a test may unwrap as the test does"
)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;
use refmon_core::bundle::{Bundle, Listing};
use refmon_core::caller::Caller;
use refmon_core::contract::{ArgumentPath, ArgumentRule, Contract, Effect, HoldMode, Kind, Role};
use refmon_core::decision::{Decision, Grants, Obligation};
use refmon_core::ids::{AgentId, HoldId, TenantId, UserId};
use refmon_core::monitor::{Ask, Judgement, Monitor, Ports, Situation, Verdict, judge};
use refmon_core::ports::{Clock as _, Inspector, NoGrants};
use refmon_core::record::{Cause, Record};
use refmon_store::authority::{Allowance, Budget, Budgets, Halt, Per, ReadOnly, Switch, Unit, Whom};
use support::{SAYS, Says, World};

const TOOLS: [(&str, &[Effect], HoldMode, Says); 6] = [
    ("read", &[Effect::Read], HoldMode::Policy, Says::Permit),
    ("write", &[Effect::Write], HoldMode::Policy, Says::Permit),
    ("ask", &[Effect::Destructive], HoldMode::Always, Says::Permit),
    ("ask-read", &[Effect::Read], HoldMode::Policy, Says::Operator),
    ("forbidden", &[Effect::Write], HoldMode::Policy, Says::Forbid),
    ("broken", &[Effect::Read], HoldMode::Policy, Says::Error),
];

fn bundle() -> Bundle {
    support::bundle(1, TOOLS.map(|(name, effects, hold, says)| (support::contract(name, effects, &[], hold, 1), says)))
}

fn listing() -> Arc<Listing> {
    support::listing(&TOOLS.map(|(name, ..)| (name, 1)))
}

fn budget(amount: u64, per: Per, unit: Unit) -> Budget {
    let allowance = Allowance::new(amount, 60).unwrap();
    Budget { whom: Whom::default(), server: None, tool: None, effect: None, per, unit, allowance }
}

fn calls(amount: u64, per: Per) -> Arc<dyn Inspector> {
    Arc::new(Budgets::new(vec![budget(amount, per, Unit::Calls)]))
}

fn halt(on: bool) -> Arc<dyn Inspector> {
    Arc::new(Halt::new(on, Switch::of(std::path::Path::new("/nonexistent"))))
}

fn limited(world: &Arc<World>, bundle: Bundle, inspectors: Vec<Arc<dyn Inspector>>) -> Monitor {
    Monitor::new(bundle, Ports { inspectors, ..support::ports(world) }).unwrap()
}

/// A call's decision, reason and hold.
fn call(world: &World, monitor: &Monitor, caller: &Caller, tool: &str, arguments: &str) -> (String, Option<HoldId>) {
    let proposal = support::proposal(world, caller, Ask::Tool(tool.to_owned()), &listing(), arguments);
    match monitor.submit(proposal) {
        Verdict::Permit(permit) => {
            let reason = permit.reason();
            monitor.abandon(permit.dispatch().1, Cause::SessionEnded).unwrap();
            (format!("permit {reason}"), None)
        }
        Verdict::Hold(held) => (format!("hold {}", held.judgement().reason), Some(held.hold())),
        Verdict::Deny(denied) => (format!("deny {}", denied.judgement().reason), None),
    }
}

fn decision(world: &World, monitor: &Monitor, tool: &str) -> String {
    call(world, monitor, &support::caller("t", &[]), tool, "{}").0
}

#[test]
fn each_limit_denies_with_its_code_and_policys_own_denial_keeps_its_reason() {
    type Row = (&'static str, [&'static str; 7]);
    let tools = ["read", "write", "ask", "ask-read", "forbidden", "broken", "nobody"];
    let rows: [Row; 4] = [
        (
            "none",
            [
                "permit permitted",
                "permit permitted",
                "hold hold.contract",
                "hold hold.policy",
                "deny policy.forbidden",
                "deny policy.error",
                "deny tool.unknown",
            ],
        ),
        ("halted", ["deny authority.halted"; 7]),
        (
            "read-only",
            [
                "permit permitted",
                "deny authority.read-only",
                "deny authority.read-only",
                "hold hold.policy",
                "deny policy.forbidden",
                "deny policy.error",
                "deny tool.unknown",
            ],
        ),
        (
            "used up",
            [
                "deny authority.budget",
                "deny authority.budget",
                "deny authority.budget",
                "deny authority.budget",
                "deny policy.forbidden",
                "deny policy.error",
                "deny tool.unknown",
            ],
        ),
    ];
    for (limit, expected) in rows {
        let world = Arc::new(World::default());
        let inspectors = match limit {
            "halted" => vec![halt(true), Arc::new(ReadOnly::new(vec![Whom::default()])), calls(1, Per::All)],
            "read-only" => vec![halt(false), Arc::new(ReadOnly::new(vec![Whom::default()])), calls(99, Per::All)],
            "used up" => vec![halt(false), Arc::new(ReadOnly::new(vec![])), calls(1, Per::All)],
            _ => vec![],
        };
        let monitor = limited(&world, bundle(), inspectors);
        if limit == "used up" {
            assert_eq!(decision(&world, &monitor, "read"), "permit permitted");
        }
        for (tool, expected) in tools.into_iter().zip(expected) {
            assert_eq!(decision(&world, &monitor, tool), expected, "{limit}, {tool}");
        }
    }
}

#[test]
fn a_halt_beats_every_other_reason_and_spends_nothing() {
    let world = Arc::new(World::default());
    let folder = tempfile::tempdir().unwrap();
    let switch = Switch::of(folder.path());
    let monitor = limited(&world, bundle(), vec![Arc::new(Halt::new(false, switch.clone())), calls(1, Per::All)]);
    let caller = support::caller("t", &[]);
    let (held, hold) = call(&world, &monitor, &caller, "ask", "{}");
    assert_eq!(held, "hold hold.contract");
    world.decide(hold.unwrap(), true);
    switch.put_on("").unwrap();
    for (tool, arguments) in [("ask", "{}"), ("nobody", "{}"), ("read", "{"), ("\u{1}", "{}")] {
        assert_eq!(call(&world, &monitor, &caller, tool, arguments).0, "deny authority.halted", "{tool}");
    }
    switch.take_off().unwrap();
    assert_eq!(call(&world, &monitor, &caller, "ask", "{}").0, "permit approved");
    let denials = world.records();
    let halted =
        |record: &&Record| matches!(record, Record::Attempt(attempt) if attempt.reason.as_str() == "authority.halted");
    assert_eq!(denials.iter().filter(halted).count(), 4, "a denial by the halt is recorded as any other");
}

#[test]
fn a_budget_is_taken_once_for_a_held_and_approved_call_and_not_by_judging() {
    let world = Arc::new(World::default());
    let budgets = calls(2, Per::Caller);
    let monitor = limited(&world, bundle(), vec![Arc::clone(&budgets)]);
    let caller = support::caller("t", &[]);
    let judged = || judged(&world, &budgets, &caller, "read");
    let asked = || call(&world, &monitor, &caller, "ask", "{}");
    for _ in 0..5 {
        assert_eq!(asked().0, "hold hold.contract", "asking takes nothing");
        assert_eq!(judged().decision, Decision::Permit, "judging takes nothing");
    }
    world.decide(asked().1.unwrap(), true);
    assert_eq!(asked().0, "permit approved");
    assert_eq!(decision(&world, &monitor, "read"), "permit permitted", "the second of two tokens is there");
    assert_eq!(decision(&world, &monitor, "read"), "deny authority.budget");
    let judgement = judged();
    assert_eq!(judgement.reason.as_str(), "authority.budget");
    assert_eq!(judgement.expected, Some((String::new(), "a call in 30 seconds or later".to_owned())));
    assert_eq!(call(&world, &monitor, &support::caller("other", &[]), "read", "{}").0, "permit permitted");
    world.now_s.fetch_add(29, Ordering::SeqCst);
    assert_eq!(decision(&world, &monitor, "read"), "deny authority.budget");
    world.now_s.fetch_add(1, Ordering::SeqCst);
    assert_eq!(decision(&world, &monitor, "read"), "permit permitted");
}

#[test]
fn an_empty_budget_does_not_cost_an_approval() {
    let world = Arc::new(World::default());
    let monitor = limited(&world, bundle(), vec![calls(1, Per::All)]);
    let caller = support::caller("t", &[]);
    let (_, hold) = call(&world, &monitor, &caller, "ask", "{}");
    world.decide(hold.unwrap(), true);
    assert_eq!(decision(&world, &monitor, "read"), "permit permitted");
    assert_eq!(call(&world, &monitor, &caller, "ask", "{}").0, "deny authority.budget");
    world.now_s.fetch_add(60, Ordering::SeqCst);
    assert_eq!(call(&world, &monitor, &caller, "ask", "{}").0, "permit approved");
}

fn judged(world: &World, inspector: &Arc<dyn Inspector>, caller: &Caller, tool: &str) -> Judgement {
    let (bundle, granted) = (bundle(), Grants::none());
    let inspectors = [Arc::clone(inspector)];
    let situation = Situation {
        bundle: &bundle,
        grants: &NoGrants,
        files: world,
        inspectors: &inspectors,
        granted: &granted,
        now: world.now(),
    };
    let ask = Ask::Tool(tool.to_owned());
    judge(&situation, caller, &support::server(), &ask, &listing(), b"{}", &Obligation::ALL)
}

#[test]
fn buckets_are_by_caller_agent_tenant_or_shared() {
    let who = |tenant: &str, user: &str, agent: &str| {
        let (tenant, user) = (TenantId::parse(tenant).unwrap(), UserId::parse(user).unwrap());
        Caller::local(tenant, user, AgentId::parse(agent).unwrap(), [])
    };
    let callers = [who("t", "u", "a"), who("t", "v", "a"), who("t", "v", "b"), who("s", "v", "b")];
    for (per, permitted) in [
        (Per::Caller, [true, true, true, true]),
        (Per::Agent, [true, false, true, true]),
        (Per::Tenant, [true, false, false, true]),
        (Per::All, [true, false, false, false]),
        (Per::Target, [true, false, false, true]),
    ] {
        let world = Arc::new(World::default());
        let monitor = limited(&world, bundle(), vec![calls(1, per)]);
        let got = callers.each_ref().map(|caller| call(&world, &monitor, caller, "read", "{}").0 == "permit permitted");
        assert_eq!(got, permitted, "{per:?}");
    }
}

#[test]
fn a_budget_counts_only_the_calls_that_it_is_about() {
    let world = Arc::new(World::default());
    let agent = AgentId::parse("a").unwrap();
    let mut by_effect = budget(1, Per::All, Unit::Calls);
    by_effect.effect = Some(Effect::Write);
    let mut by_tool = budget(1, Per::All, Unit::Calls);
    (by_tool.tool, by_tool.whom.agent, by_tool.server) = (Some("read".into()), Some(agent), Some(support::server()));
    let mut elsewhere = budget(1, Per::All, Unit::Calls);
    elsewhere.server = Some(refmon_core::ids::ServerName::parse("elsewhere").unwrap());
    let monitor = limited(&world, bundle(), vec![Arc::new(Budgets::new(vec![by_effect, by_tool, elsewhere]))]);
    for expected in ["permit permitted", "deny authority.budget"] {
        assert_eq!(decision(&world, &monitor, "write"), expected);
        assert_eq!(decision(&world, &monitor, "read"), expected);
    }
}

#[test]
fn bytes_count_in_canonical_form_and_only_for_what_does_more_than_read() {
    let world = Arc::new(World::default());
    let bytes = Budgets::new(vec![budget(20, Per::All, Unit::ArgumentBytes)]);
    let monitor = limited(&world, bundle(), vec![Arc::new(bytes)]);
    let caller = support::caller("t", &[]);
    let write = |arguments: &str| call(&world, &monitor, &caller, "write", arguments).0;
    let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(50));
    assert_eq!(call(&world, &monitor, &caller, "read", &long).0, "permit permitted");
    assert_eq!(write(&long), "deny authority.budget");
    assert_eq!(write("{ \"a\" :    \"0123456\"  }"), "permit permitted", "15 bytes");
    assert_eq!(write(r#"{"a":""}"#), "deny authority.budget", "8 bytes");
    assert_eq!(write(r#"{"a":1}"#), "deny authority.budget", "7 bytes");
    assert_eq!(write("{}"), "permit permitted", "2 bytes");
}

fn aimed(path: &str, kind: Kind) -> Contract {
    let mut contract = support::contract("write", &[Effect::External], &[], HoldMode::Policy, 1);
    let path = ArgumentPath::parse(path).unwrap();
    contract.arguments.insert(path.clone(), ArgumentRule { path, kind, role: Role::Target });
    contract
}

#[test]
fn a_target_has_its_bucket_however_it_is_spelled() {
    type Calls<'a> = &'a [(&'a str, &'a str)];
    let url = || Kind::Url { schemes: vec!["https".into()], hosts: vec![], private: false };
    let email = || Kind::Email { domains: vec![] };
    let world = Arc::new(World::default());
    let (yes, no) = ("permit permitted", "deny authority.budget");
    let steps: [(&str, Kind, Calls<'_>); 4] = [
        (
            "to",
            url(),
            &[
                (r#"{"to":"https://a.example.com/1"}"#, yes),
                (r#"{"to":"https://A.EXAMPLE.com:444/2"}"#, no),
                (r#"{"to":"https://b.example.com/"}"#, no),
                (r#"{"to":"https://example.org/"}"#, yes),
                (r#"{"to":"https://8.8.8.8/"}"#, yes),
                (r#"{"to":"https://134744072/"}"#, no),
            ],
        ),
        (
            "to",
            email(),
            &[
                (r#"{"to":"x@example.com"}"#, yes),
                (r#"{"to":"y@mail.Example.com"}"#, no),
                ("{}", yes),
                (r#"{"to":null}"#, no),
            ],
        ),
        (
            "to[]",
            email(),
            &[
                (r#"{"to":["x@example.com","y@example.com","z@example.org"]}"#, yes),
                (r#"{"to":["q@example.net","z@example.org"]}"#, no),
                (r#"{"to":["q@example.net"]}"#, yes),
            ],
        ),
        ("to", Kind::Text, &[(r#"{"to":"anything"}"#, yes), (r#"{"to":"else"}"#, no)]),
    ];
    for (path, kind, calls_made) in steps {
        let bundle = support::bundle(1, [(aimed(path, kind), Says::Permit)]);
        let monitor = limited(&world, bundle, vec![calls(1, Per::Target)]);
        for (arguments, expected) in calls_made {
            let got = call(&world, &monitor, &support::caller("t", &[]), "write", arguments).0;
            assert_eq!(got, *expected, "{arguments}");
        }
    }
}

#[test]
fn threads_get_exactly_as_many_permits_as_there_are_tokens() {
    for round in 0..20 {
        let world = Arc::new(World::default());
        // Two budgets of one inspector: a call gets a token of both, or none of either.
        let both = vec![budget(100, Per::All, Unit::Calls), budget(90 + round, Per::Tenant, Unit::Calls)];
        let monitor = limited(&world, bundle(), vec![Arc::new(Budgets::new(both))]);
        let permits = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..40 {
                        let permitted = decision(&world, &monitor, "read") == "permit permitted";
                        permits.fetch_add(u64::from(permitted), Ordering::SeqCst);
                    }
                });
            }
        });
        let permitted = permits.load(Ordering::SeqCst);
        assert_eq!(permitted, 100.min(90 + round));
        let recorded = world
            .records()
            .iter()
            .filter(|record| matches!(record, Record::Attempt(attempt) if attempt.decision == Decision::Permit))
            .count();
        assert_eq!(recorded as u64, permitted, "as many permits are recorded");
    }
}

#[test]
fn the_last_token_of_one_budget_goes_to_one_thread() {
    for _ in 0..50 {
        let world = Arc::new(World::default());
        let monitor = limited(&world, bundle(), vec![calls(17, Per::All)]);
        let permits = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..5 {
                        let permitted = decision(&world, &monitor, "read") == "permit permitted";
                        permits.fetch_add(u64::from(permitted), Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(permits.load(Ordering::SeqCst), 17);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn no_limit_turns_a_denial_into_anything_else(
        tools in prop::collection::vec((prop::bool::ANY, proptest::sample::select(&SAYS[..]), 0..3usize), 6),
        halted in prop::bool::weighted(0.1), read_only in any::<bool>(), amount in 1..6u64,
        steps in prop::collection::vec((0..7usize, prop::bool::weighted(0.9), 0..20u64), 1..30),
    ) {
        let holds = [HoldMode::Always, HoldMode::Policy, HoldMode::Never];
        let bundle = || support::bundle(1, TOOLS.iter().zip(&tools).map(|((name, ..), (reads, says, hold))| {
            let effects = if *reads { [Effect::Read] } else { [Effect::Write] };
            (support::contract(name, &effects, &[], holds[*hold], 1), *says)
        }));
        // Two worlds, so that the holds of one are not approvals in the other.
        let (world, free_world) = (Arc::new(World::default()), Arc::new(World::default()));
        let rules = if read_only { vec![Whom::default()] } else { vec![] };
        let monitor = limited(&world, bundle(), vec![halt(halted), Arc::new(ReadOnly::new(rules)), calls(amount, Per::All)]);
        let free = limited(&free_world, bundle(), vec![]);
        for (tool, sound, wait) in steps {
            world.now_s.fetch_add(wait, Ordering::SeqCst);
            free_world.now_s.fetch_add(wait, Ordering::SeqCst);
            let name = TOOLS.get(tool).map_or("nobody", |(name, ..)| name);
            let arguments = if sound { "{}" } else { "[" };
            let caller = support::caller("t", &[]);
            let (without, _) = call(&free_world, &free, &caller, name, arguments);
            let (with, _) = call(&world, &monitor, &caller, name, arguments);
            if halted {
                prop_assert_eq!(with, "deny authority.halted");
            } else if without.starts_with("deny") || !with.starts_with("deny authority.") {
                prop_assert_eq!(with, without);
            }
        }
    }
}
