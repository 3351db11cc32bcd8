//! Random worlds: the engine and the stock authorizer must agree on every evaluation. The engines of the tests
//! compare every decision, with a request and entities that Cedar checked against the schema; see `testing`.

use refmon_core::contract::Contract;
use refmon_core::decision::{Decision, Ruling};

use crate::engine::Engine;
use crate::testing::{ask, caller, contracts, unchecked_engine};

const WORLDS: u64 = 1_500;

const CONTRACTS: &str = r#"
server = "srv"
version = 2
[tool.read]
effects = ["read"]
[tool.write]
effects = ["write"]
[tool.wipe]
effects = ["destructive", "external"]
[tool.send]
effects = ["external", "read"]
args.to = { kind = "email" }
[tool.run]
effects = ["execute", "admin"]
args.amount = { kind = "amount" }
[method."resources/read"]
effects = ["read"]
"#;

const SCHEMA: &str = r#"{"properties":{"to":{"type":"string"},"amount":{"type":"integer"},"flag":{"type":"boolean"},
    "tags":{"type":"array","items":{"type":"string"}},"inner":{"type":"object","properties":{"deep":{"type":"string"}}}}}"#;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn pick<'a>(&mut self, items: &[&'a str]) -> &'a str {
        items[usize::try_from(self.next() % items.len() as u64).unwrap()]
    }
}

const PRINCIPALS: &[&str] = &[
    "principal",
    "principal",
    r#"principal == Refmon::Agent::"t1/a1""#,
    r#"principal == Refmon::Agent::"t2/a1""#,
    r#"principal in Refmon::Tenant::"t1""#,
    r#"principal in Refmon::Agent::"t1/a1""#,
    "principal is Refmon::Agent",
    "principal is Refmon::User",
    r#"principal is Refmon::Agent in Refmon::Tenant::"t2""#,
    r#"principal in Refmon::Tenant::"none""#,
];
const ACTIONS: &[&str] = &[
    "action",
    "action",
    r#"action == Refmon::Action::"srv/read@2""#,
    r#"action == Refmon::Action::"read""#,
    r#"action in Refmon::Action::"read""#,
    r#"action in Refmon::Action::"write""#,
    r#"action in Refmon::Action::"call""#,
    r#"action in [Refmon::Action::"external", Refmon::Action::"srv/write@2"]"#,
    r#"action in Refmon::Action::"srv/send@2""#,
    r#"action in [Refmon::Action::"execute"]"#,
    r#"action == Refmon::Action::"srv/nothing@2""#,
    "action in []",
];
const RESOURCES: &[&str] = &[
    "resource",
    "resource",
    "resource",
    r#"resource == Refmon::Server::"srv""#,
    r#"resource == Refmon::Server::"other""#,
    r#"resource in Refmon::Tenant::"t1""#,
    "resource is Refmon::Server",
    r#"resource is Refmon::Server in Refmon::Tenant::"t2""#,
];
const CONDITIONS: &[&str] = &[
    "true",
    "false",
    "context.args has amount",
    "context.args has amount && context.args.amount > 5",
    "context.args.amount > 5",
    "context.args has amount && context.args.amount * 1000000 > 5",
    "principal.scopes.contains(\"s1\")",
    r#"principal.user == Refmon::User::"t1/u1""#,
    r#"principal.user in Refmon::Tenant::"t1""#,
    "principal.nothing == 1",
    r#"action in Refmon::Action::"external""#,
    r#"action == Refmon::Action::"srv/read@2""#,
    "context.contract.only_reads",
    r#"Refmon::Action::"srv/wipe@2" in Refmon::Action::"write""#,
    r#"Refmon::Action::"destructive" in Refmon::Action::"call""#,
    r#"context.facts has to && context.facts.to.domain == "a.example""#,
    "context.facts.to.count > 0",
    r#"context.args has tags && context.args.tags.contains("x")"#,
    r#"context.args has inner.deep && context.args.inner.deep == "d""#,
    "context.facts has amount && context.facts.amount.value.lessThan(decimal(\"3.5\"))",
    "context.args.flag",
    r#"context.now < datetime("2020-01-01")"#,
    "(if context.args has flag then context.args.flag else true)",
    "resource in principal.tenant",
    "principal",
    "1 == \"a\"",
    r#"context.granted.contains("approval:k1")"#,
    r#"context.contract.effects.containsAny(["write", "external"]) || principal is Refmon::User"#,
    "decimal(\"1.0\") == 5",
    "context.args has amount && !(context.args.amount <= 5)",
    "!(principal.scopes.contains(\"s1\"))",
    "context.args.amount < \"a\"",
    "context.args.amount has x",
    r#"["x", "d"].contains(context.args.inner.deep)"#,
    "principal has nothing",
    "principal.user has x",
    "context.args.tags.contains(1)",
    "context.args.tags == [\"x\", \"y\"]",
    "context has args && context has nothing",
    "!(context.args)",
    r#"context.contract.effects.contains("read")"#,
    "context.facts.amount.value.greaterThan(decimal(\"3.0\"))",
    "context.now.offset(duration(\"1d\")) > context.now",
    "context.args.amount.lessThan(decimal(\"1.0\"))",
    "principal.identity == \"local\"",
];
const ARGUMENTS: &[&str] = &[
    "{}",
    r#"{"amount":3}"#,
    r#"{"amount":9}"#,
    r#"{"amount":800000000000000}"#,
    r#"{"to":"x@a.example","flag":true}"#,
    r#"{"to":"x@b.example","tags":["x","y"],"inner":{"deep":"d"}}"#,
    r#"{"flag":false,"tags":[],"inner":{}}"#,
    r#"{"amount":null,"unseen":{"__entity":{"type":"Refmon::User","id":"t1/u1"}}}"#,
];

fn policy(random: &mut Random, name: usize) -> String {
    let principal = random.pick(PRINCIPALS);
    let action = random.pick(ACTIONS);
    let resource = random.pick(RESOURCES);
    let when = match random.next() % 4 {
        0 => String::new(),
        1 => format!("when {{ {} && {} }}", random.pick(CONDITIONS), random.pick(CONDITIONS)),
        _ => format!("when {{ {} }}", random.pick(CONDITIONS)),
    };
    match random.next() % 5 {
        0 | 1 => format!("@id(\"p{name}\") permit({principal}, {action}, {resource}) {when};\n"),
        2 => format!("@id(\"p{name}\") forbid({principal}, {action}, {resource}) {when};\n"),
        3 => {
            let kind = random.pick(&["k1", "k2", "k3"]);
            format!(
                "@id(\"p{name}\") @approval(\"{kind}\") forbid({principal}, {action}, {resource}) {when}
                 unless {{ context.granted.contains(\"approval:{kind}\") }};\n"
            )
        }
        _ => format!(
            "@id(\"p{name}\") @obligation(\"withhold_output\") forbid({principal}, {action}, {resource}) {when}
             unless {{ context.granted.contains(\"withhold_output\") }};\n"
        ),
    }
}

#[test]
fn the_engine_agrees_with_the_stock_authorizer_over_random_worlds() {
    let contracts = contracts(CONTRACTS);
    let mut random = Random(42);
    let mut seen = [0usize; 3];
    for world in 0..WORLDS {
        let policies = 1 + usize::try_from(random.next() % 10).unwrap();
        let text: String = (0..policies).map(|name| policy(&mut random, name)).collect();
        let engine = unchecked_engine(&contracts, SCHEMA, &text);
        for _ in 0..4 {
            let decision = question(&mut random, &engine, &contracts, &text, world);
            seen[match decision {
                Decision::Permit => 0,
                Decision::Hold => 1,
                Decision::Deny => 2,
            }] += 1;
        }
    }
    assert!(seen.iter().all(|count| *count > 30), "the worlds are too uniform: {seen:?}");
}

fn question(random: &mut Random, engine: &Engine, contracts: &[Contract], text: &str, world: u64) -> Decision {
    let contract = &contracts[usize::try_from(random.next() % contracts.len() as u64).unwrap()];
    let arguments = random.pick(ARGUMENTS);
    let tenant = random.pick(&["t1", "t2"]);
    let user = random.pick(&["u1", "u2"]);
    let scopes: &[&str] = if random.next().is_multiple_of(2) { &["s1"] } else { &[] };
    let who = caller(tenant, user, random.pick(&["a1", "a2"]), scopes);
    let granted: &[&str] = if random.next().is_multiple_of(4) { &["k1"] } else { &[] };
    // `ask` fails if the stock authorizer disagrees about any pass.
    let ruling = ask(engine, &who, contract, arguments, granted);
    // An approval is offered only where it suffices: unless a policy reads `granted` as the lints forbid.
    let reads_granted = text.replace("unless { context.granted", "").contains("context.granted");
    if let Ruling::Hold { approvals, .. } = &ruling {
        let all: Vec<&str> = approvals.iter().map(|kind| kind.as_str()).chain(granted.iter().copied()).collect();
        let after = ask(engine, &who, contract, arguments, &all).decision();
        assert!(after == Decision::Permit || reads_granted, "world {world}: {text}");
    }
    ruling.decision()
}

#[test]
fn a_hot_decision_does_not_scan() {
    let mut toml = "server = \"srv\"\nversion = 1\n".to_owned();
    for tool in 0..200 {
        toml += &format!("[tool.t{tool}]\neffects = [\"{}\"]\n", if tool % 2 == 0 { "read" } else { "external" });
    }
    let contracts = contracts(&toml);
    let mut text = String::new();
    for n in 0..10_000 {
        let (tool, agent) = (n % 200, n / 200);
        text += &format!(
            "@id(\"p{n}\") permit(principal == Refmon::Agent::\"acme/a{agent}\", action == Refmon::Action::\"srv/t{tool}@1\", resource) when {{ true }};\n"
        );
    }
    let parsed = crate::testing::rules(&text);
    let options = crate::engine::Options { self_check: None };
    let engine = Engine::new(crate::testing::compiled(&contracts, "{}"), parsed.rules, options).unwrap();
    for round in 1..=10 {
        let ruling = ask(&engine, &caller("acme", "u", "a7", &[]), &contracts[0], "{}", &[]);
        assert_eq!(ruling.decision(), Decision::Permit);
        assert_eq!(engine.evaluations(), round);
    }
}

#[test]
fn the_decision_does_not_depend_on_the_order_of_policies() {
    let contracts = contracts(CONTRACTS);
    let mut random = Random(7);
    for _ in 0..100 {
        let mut policies: Vec<String> = (0..8).map(|name| policy(&mut random, name)).collect();
        let forwards = unchecked_engine(&contracts, SCHEMA, &policies.concat());
        policies.reverse();
        let backwards = unchecked_engine(&contracts, SCHEMA, &policies.concat());
        for contract in &contracts {
            let arguments = random.pick(ARGUMENTS);
            let who = caller("t1", "u1", "a1", &["s1"]);
            assert_eq!(ask(&forwards, &who, contract, arguments, &[]), ask(&backwards, &who, contract, arguments, &[]));
        }
    }
}
