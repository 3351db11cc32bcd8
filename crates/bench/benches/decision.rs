//! Prints the time of one decision from parsed facts and from JSON text, beside the stock authorizer in the same run.
//!
//! `cargo bench -p refmon-bench --bench decision`
//!
//! The stock authorizer gets its request and entities ready-made and only decides; this engine starts from the
//! question, builds the context and settles demands. Absolute figures depend on the machine; read the ratios.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a program that prints")]

use std::collections::HashSet;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use cedar_policy_core::ast::{
    Context, Eid, Entity, EntityType, EntityUID, Literal, Name, PartialValue, PolicySet, Request, RequestSchemaAllPass,
    Value,
};
use cedar_policy_core::authorizer::Authorizer;
use cedar_policy_core::entities::{Entities, TCComputation};
use cedar_policy_core::extensions::Extensions;
use cedar_policy_core::validator::CoreSchema;
use refmon_core::bundle::{Bundle, Listing, Tool};
use refmon_core::caller::Caller;
use refmon_core::contract::Contract;
use refmon_core::decision::Grants;
use refmon_core::digest::{BundleDigest, Pin};
use refmon_core::facts::Facts;
use refmon_core::ids::{AgentId, Scope, ServerName, TenantId, ToolName, UserId};
use refmon_core::json::Json;
use refmon_core::kinds;
use refmon_core::monitor::{Ask, Situation, judge};
use refmon_core::ports::{ArgumentSchema, Fault, Files, Location, Moment, NoGrants, Policy as _, Question};
use refmon_policy::compile::compile;
use refmon_policy::rule::parse_policies;
use refmon_policy::schema::Schema;
use refmon_policy::source::parse_contract;
use refmon_policy::{Engine, Options};

const TENANTS: usize = 40;
const AGENTS: usize = 200;
const EFFECTS: [&str; 4] = ["read", "write", "external", "execute"];
const SCHEMA: &str = r#"{"type":"object","properties":{"to":{"type":"string"},"note":{"type":"string"},
    "id":{"type":"string"},"amount":{"type":"number"},"count":{"type":"integer"},"urgent":{"type":"boolean"},
    "tags":{"type":"array","items":{"type":"string"}},"options":{"type":"object","properties":{
    "mode":{"enum":["a","b"]},"depth":{"type":"integer"}}}}}"#;
const ARGUMENTS: &str = r#"{"to":"ada@acme.example","note":"a note of some length for the record","id":"INV-2026-0042",
    "amount":12.5,"count":3,"urgent":false,"tags":["one","two"],"options":{"mode":"a","depth":2}}"#;

struct NoFiles;

impl Files for NoFiles {
    fn locate(&self, _: &str, _: &[std::path::PathBuf]) -> Result<Location, Fault> {
        Err(Fault::unavailable("the file system"))
    }
}

fn main() {
    println!(
        "{:>9} {:>9} {:>22} {:>22} {:>24} {:>8}",
        "policies", "in scope", "from facts p50/p99 us", "from text p50/p99 us", "stock p50/p99 us", "ratio"
    );
    let mut medians = Vec::new();
    for policies in [10, 100, 1_000, 10_000] {
        let world = World::new(policies);
        let (ours, evaluated) = world.ours();
        let text = World::new(policies).judged();
        let stock = world.stock(if policies > 1_000 { 200 } else { 2_000 });
        println!(
            "{policies:>9} {evaluated:>9.1} {:>12.1} / {:<7.1} {:>12.1} / {:<7.1} {:>13.1} / {:<8.1} {:>7.0}x",
            ours.0,
            ours.1,
            text.0,
            text.1,
            stock.0,
            stock.1,
            stock.0 / ours.0
        );
        medians.push(ours.0);
    }
    if let [_, _, thousand, ten_thousand] = medians.as_slice() {
        println!(
            "10,000 policies cost {:.2} times 1,000 (goal: at most 2.5); p50 at 1,000 is {thousand:.1} us (goal: 15)",
            ten_thousand / thousand
        );
    }
}

struct World {
    engine: Engine,
    tools: Vec<Tool>,
    callers: Vec<Caller>,
}

impl World {
    fn new(policies: usize) -> Self {
        let count = (policies / 20).max(5);
        let contracts = contracts(count);
        let schema = Json::parse(SCHEMA.as_bytes()).unwrap();
        let compiled = compile(contracts.iter().map(|contract| (contract, Some(&schema)))).unwrap();
        let parsed = parse_policies(Path::new("bench.cedar"), &text(policies, &contracts));
        assert!(parsed.findings.is_empty(), "{:?}", parsed.findings);
        let engine = Engine::new(compiled, parsed.rules, Options { self_check: None }).unwrap();
        let tools = contracts.into_iter().map(|contract| Tool {
            action: contract.action(),
            contract,
            schema: None,
            properties: std::collections::BTreeSet::new(),
            headers: Vec::new(),
        });
        Self { engine, tools: tools.collect(), callers: (0..AGENTS).map(caller).collect() }
    }

    /// The question of a round: callers and tools change, the arguments do not.
    fn pick(&self, round: usize) -> (&Caller, &Tool) {
        let caller = mix(round, 5) % self.callers.len().min(20);
        let tool = mix(round, 6) % self.tools.len().min(50);
        (&self.callers[caller], &self.tools[tool])
    }

    fn ours(&self) -> ((f64, f64), f64) {
        let arguments = Json::parse(ARGUMENTS.as_bytes()).unwrap();
        let granted = Grants::none();
        let mut times = Vec::new();
        let mut before = 0;
        for round in 0..30_000usize {
            let (caller, tool) = self.pick(round);
            let facts: Facts = kinds::extract(&tool.contract, &arguments, &NoFiles).unwrap();
            // A millisecond for every ten decisions: the clock moves as under load.
            let now = Moment { unix_us: 1_795_000_000_000_000 + round as u64 * 100, monotonic_ns: 0 };
            let question = Question { caller, tool, facts: &facts, arguments: &arguments, granted: &granted, now };
            let start = Instant::now();
            black_box(self.engine.rule(black_box(&question)));
            let time = start.elapsed();
            if round < 10_000 {
                before = self.engine.evaluations();
            } else {
                times.push(time.as_secs_f64() * 1e6);
            }
        }
        let evaluated = (self.engine.evaluations() - before) as f64 / times.len() as f64;
        (quantiles(times), evaluated)
    }

    /// The whole judgement: strict gate, JSON Schema, kinds, facts, canonical form, policy.
    fn judged(self) -> (f64, f64) {
        let pin = Pin::from_bytes([1; 32]);
        let schema = Json::parse(SCHEMA.as_bytes()).unwrap();
        let names: Vec<String> = self.tools.iter().map(|tool| tool.contract.operation.to_string()).collect();
        let listing = Listing::new(names.iter().map(|name| (ToolName::parse(name).unwrap(), pin)));
        let tools = self.tools.into_iter().map(|tool| {
            let schema: Box<dyn ArgumentSchema> = Box::new(Schema::compile(&schema, true).unwrap());
            Tool { contract: Contract { pin: Some(pin), ..tool.contract }, schema: Some(schema), ..tool }
        });
        let bundle = Bundle::new(BundleDigest::from_bytes([0; 32]), tools, Box::new(self.engine));
        let server = ServerName::parse("bench").unwrap();
        let granted = Grants::none();
        let mut times = Vec::new();
        for round in 0..20_000usize {
            let caller = &self.callers[mix(round, 5) % self.callers.len().min(20)];
            let ask = Ask::Tool(names[mix(round, 6) % names.len().min(50)].clone());
            let now = Moment { unix_us: 1_795_000_000_000_000 + round as u64 * 100, monotonic_ns: 0 };
            let situation = Situation {
                bundle: &bundle,
                grants: &NoGrants,
                files: &NoFiles,
                inspectors: &[],
                granted: &granted,
                now,
            };
            let start = Instant::now();
            let judgement = judge(&situation, caller, &server, &ask, &listing, black_box(ARGUMENTS.as_bytes()), &[]);
            let time = start.elapsed();
            assert!(judgement.reason.as_str().starts_with("p"), "judged by policy: {}", judgement.reason);
            if round >= 5_000 {
                times.push(time.as_secs_f64() * 1e6);
            }
        }
        quantiles(times)
    }

    fn stock(&self, rounds: usize) -> (f64, f64) {
        let mut set = PolicySet::new();
        for rule in self.engine.rules() {
            set.add(rule.policy().clone()).unwrap();
        }
        let authorizer = Authorizer::new();
        let mut times = Vec::new();
        for round in 0..rounds {
            let (caller, tool) = self.pick(round);
            let (request, entities) = self.request(caller, tool);
            let start = Instant::now();
            black_box(authorizer.is_authorized(black_box(request), &set, &entities));
            times.push(start.elapsed().as_secs_f64() * 1e6);
        }
        quantiles(times)
    }

    fn request(&self, caller: &Caller, tool: &Tool) -> (Request, Entities) {
        let tenant = uid("Tenant", caller.tenant().as_str());
        let named = |kind: &str, name: &str| uid(kind, &format!("{}/{name}", caller.tenant()));
        let user = named("User", caller.user().as_str());
        let agent = named("Agent", caller.agent().as_str());
        let server = uid("Server", tool.contract.server.as_str());
        let reference = |uid: &EntityUID| Value::from(Literal::EntityUID(Arc::new(uid.clone())));
        let texts = |items: &[&str]| Value::set_of_lits(items.iter().map(|item| Literal::from(*item)), None);
        let scopes: Vec<&str> = caller.scopes().iter().map(|scope| scope.as_str()).collect();
        let attributes = [
            ("user", reference(&user)),
            ("tenant", reference(&tenant)),
            ("scopes", texts(&scopes)),
            ("identity", Value::from("local")),
        ];
        let below = || HashSet::from([tenant.clone()]);
        let entity = |uid, parents| Entity::new_with_attr_partial_value(uid, [], HashSet::new(), parents, []);
        let attributes = attributes.map(|(name, value)| (name.into(), PartialValue::Value(value)));
        let entities = [
            Entity::new_with_attr_partial_value(agent.clone(), attributes, HashSet::new(), below(), []),
            entity(user, below()),
            entity(server.clone(), below()),
            entity(tenant.clone(), HashSet::new()),
        ];
        let schema = CoreSchema::new(self.engine.compiled().schema());
        let extensions = Extensions::all_available();
        let entities = Entities::from_entities(entities, Some(&schema), TCComputation::ComputeNow, extensions).unwrap();
        let context = serde_json::json!({
            "facts": {
                "to": { "value": "ada@acme.example", "local": "ada", "domain": "acme.example", "registered": "acme.example", "count": 1 },
                "note": { "bytes": 36, "lines": 1, "count": 1 }, "id": { "value": "INV-2026-0042", "count": 1 },
                "amount": { "value": { "__extn": { "fn": "decimal", "arg": "12.5" } }, "negative": false, "count": 1 },
            },
            "args": { "to": "ada@acme.example", "note": "n", "id": "INV-2026-0042", "count": 3, "urgent": false, "tags": ["one", "two"],
                "options": { "mode": "a", "depth": 2 } },
            "contract": { "effects": tool.contract.effects.iter().map(|effect| effect.as_str()).collect::<Vec<_>>(), "hold": "policy",
                "version": 1, "only_reads": tool.contract.effects.only_reads(), "operation": tool.contract.operation.to_string(), "server": "bench" },
            "granted": [], "now": { "__extn": { "fn": "datetime", "arg": "2026-11-22" } },
        });
        let context = Context::from_json_value(context).unwrap();
        let action = uid("Action", &tool.action);
        let request = Request::new(
            (agent, None),
            (action, None),
            (server, None),
            context,
            None::<&RequestSchemaAllPass>,
            extensions,
        );
        (request.unwrap(), entities)
    }
}

fn contracts(count: usize) -> Vec<Contract> {
    let mut toml = "server = \"bench\"\nversion = 1\n".to_owned();
    for tool in 0..count {
        let effect = EFFECTS[tool % EFFECTS.len()];
        toml += &format!(
            "[tool.tool{tool}]\neffects = [\"{effect}\"]\n[tool.tool{tool}.args]\nto = {{ kind = \"email\" }}\n\
             note = {{ kind = \"content\" }}\nid = {{ kind = \"id\" }}\namount = {{ kind = \"amount\" }}\n"
        );
    }
    let file = parse_contract(Path::new("bench.toml"), &toml, Path::new("/")).unwrap();
    file.operations.into_iter().map(|declared| declared.contract).collect()
}

/// Half permits by tenant and tool, a fifth by agent and tool, and by tenant and effect or forbids by tool.
fn text(policies: usize, contracts: &[Contract]) -> String {
    let mut text = String::new();
    for n in 0..policies {
        let tool = contracts[mix(n, 1) % contracts.len()].action();
        let tenant = mix(n, 2) % TENANTS;
        let agent = mix(n, 3) % AGENTS;
        let effect = EFFECTS[mix(n, 4) % EFFECTS.len()];
        text += &format!("@id(\"p{n}\") @reason(\"r\")\n");
        text += &match n % 20 {
            0..10 => format!(
                "permit(principal in Refmon::Tenant::\"t{tenant}\", action == Refmon::Action::\"{tool}\", resource)
                 when {{ context.facts has to && context.facts.to.domain == \"acme.example\" && context.args has count && context.args.count < {} }};",
                n % 9
            ),
            10..14 => format!(
                "permit(principal == Refmon::Agent::\"t{}/a{agent}\", action == Refmon::Action::\"{tool}\", resource)
                 when {{ context.facts has id && context.facts.id.value like \"INV-*\" && principal.scopes.contains(\"s{}\") }};",
                agent % TENANTS, n % 5
            ),
            14..17 => format!(
                "permit(principal in Refmon::Tenant::\"t{tenant}\", action in Refmon::Action::\"{effect}\", resource)
                 when {{ context.facts has amount && context.facts.amount.value.lessThan(decimal(\"{}.5\")) }};",
                n % 30
            ),
            _ => format!(
                "forbid(principal, action == Refmon::Action::\"{tool}\", resource)
                 when {{ context.args has options && context.args.options has mode && context.args.options.mode == \"x{n}\" }};"
            ),
        };
    }
    text
}

/// Numbers without a pattern (SplitMix64), the same in every run.
fn mix(n: usize, salt: u64) -> usize {
    let mut z = (n as u64).wrapping_mul(8).wrapping_add(salt).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z >> 33) as usize
}

fn caller(agent: usize) -> Caller {
    let scopes = ["s1", "s2", "s3"].map(|scope| Scope::parse(scope).unwrap());
    Caller::local(
        TenantId::parse(&format!("t{}", agent % TENANTS)).unwrap(),
        UserId::parse(&format!("u{agent}")).unwrap(),
        AgentId::parse(&format!("a{agent}")).unwrap(),
        scopes,
    )
}

fn uid(kind: &str, name: &str) -> EntityUID {
    let kind: Name = format!("Refmon::{kind}").parse().unwrap();
    EntityUID::from_components(EntityType::from(kind), Eid::new(name), None)
}

fn quantiles(mut times: Vec<f64>) -> (f64, f64) {
    times.sort_by(f64::total_cmp);
    (times[times.len() / 2], times[times.len() * 99 / 100])
}
