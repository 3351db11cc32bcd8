//! What the tests of this crate share.

use std::path::{Path, PathBuf};

use refmon_core::bundle::Tool;
use refmon_core::caller::Caller;
use refmon_core::contract::{Contract, Effect, Effects};
use refmon_core::decision::{Grants, Ruling};
use refmon_core::facts::Facts;
use refmon_core::ids::{AgentId, Operation, Scope, ServerName, TenantId, ToolName, UserId};
use refmon_core::json::Json;
use refmon_core::kinds;
use refmon_core::ports::{Fault, Files, Location, Moment, Question};

use crate::compile::{self, Compiled};
use crate::engine::{Engine, Options};
use crate::lint::{self, Finding, Severity};
use crate::rule::{Parsed, parse_policies};
use crate::source::parse_contract;

/// A file system where every path is canonical and inside the first root whose spelling is its prefix.
#[derive(Debug)]
pub(crate) struct FakeFiles;

impl Files for FakeFiles {
    fn locate(&self, absolute: &str, roots: &[PathBuf]) -> Result<Location, Fault> {
        let mut parts: Vec<&str> = Vec::new();
        for part in absolute.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    parts.pop();
                }
                part => parts.push(part),
            }
        }
        let canonical = format!("/{}", parts.join("/"));
        let root = roots.iter().position(|root| Path::new(&canonical).starts_with(root));
        Ok(Location { canonical, root, exists: true, guarded: false, encloses: false, personal: false })
    }
}

pub(crate) fn contracts(toml: &str) -> Vec<Contract> {
    let file = parse_contract(Path::new("contract.toml"), toml, Path::new("/srv")).expect("the contract parses");
    file.operations.into_iter().map(|declared| declared.contract).collect()
}

/// A contract without argument rules.
pub(crate) fn contract(server: &str, tool: &str, effects: &[Effect]) -> Contract {
    Contract {
        server: ServerName::parse(server).unwrap(),
        operation: Operation::Tool(ToolName::parse(tool).unwrap()),
        version: 1,
        pin: None,
        effects: Effects::new(effects.iter().copied()).unwrap(),
        required_scopes: Vec::new(),
        hold: refmon_core::contract::HoldMode::Policy,
        undeclared: false,
        arguments: std::collections::BTreeMap::new(),
    }
}

pub(crate) fn compiled(contracts: &[Contract], schema: &str) -> Compiled {
    let json = Json::parse(schema.as_bytes()).unwrap();
    compile::compile(contracts.iter().map(|contract| (contract, Some(&json)))).unwrap()
}

pub(crate) fn rules(text: &str) -> Parsed {
    parse_policies(Path::new("test.cedar"), text)
}

pub(crate) fn lints(contracts: &[Contract], schema: &str, text: &str) -> Vec<Finding> {
    let parsed = rules(text);
    let mut findings = parsed.findings;
    findings.extend(lint::check(&compiled(contracts, schema), &parsed.rules));
    findings
}

/// An engine that compares every decision with the stock authorizer. Panics on lint errors.
pub(crate) fn engine(contracts: &[Contract], schema: &str, text: &str) -> Engine {
    let errors: Vec<Finding> =
        lints(contracts, schema, text).into_iter().filter(|finding| finding.severity == Severity::Error).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    unchecked_engine(contracts, schema, text)
}

/// The same without lints.
pub(crate) fn unchecked_engine(contracts: &[Contract], schema: &str, text: &str) -> Engine {
    let parsed = rules(text);
    assert!(parsed.findings.is_empty(), "{:#?}", parsed.findings);
    let every = Options { self_check: std::num::NonZeroU64::new(1) };
    Engine::new(compiled(contracts, schema), parsed.rules, every).unwrap()
}

pub(crate) fn caller(tenant: &str, user: &str, agent: &str, scopes: &[&str]) -> Caller {
    Caller::local(
        TenantId::parse(tenant).unwrap(),
        UserId::parse(user).unwrap(),
        AgentId::parse(agent).unwrap(),
        scopes.iter().map(|scope| Scope::parse(scope).unwrap()),
    )
}

pub(crate) fn ada() -> Caller {
    caller("acme", "ada", "helper", &["files:read"])
}

pub(crate) fn tool(contract: &Contract) -> Tool {
    Tool {
        action: contract.action(),
        contract: contract.clone(),
        schema: None,
        properties: std::collections::BTreeSet::new(),
        headers: Vec::new(),
    }
}

pub(crate) const NOW: Moment = Moment { unix_us: 1_795_000_000_123_456, monotonic_ns: 1 };

/// Asks an engine; `granted` are kinds of approvals.
pub(crate) fn ask(engine: &Engine, caller: &Caller, contract: &Contract, arguments: &str, granted: &[&str]) -> Ruling {
    let json = Json::parse(arguments.as_bytes()).unwrap();
    let facts = kinds::extract(contract, &json, &FakeFiles).expect("the arguments fit their kinds");
    let tokens = granted.iter().map(|kind| format!("approval:{kind}")).collect();
    let ruling = with(caller, contract, &facts, &json, |question| engine.decide(question, &tokens));
    assert!(engine.is_healthy(), "the stock authorizer disagrees");
    ruling
}

pub(crate) fn with<T>(
    caller: &Caller,
    contract: &Contract,
    facts: &Facts,
    arguments: &Json<'_>,
    ask: impl FnOnce(&Question<'_>) -> T,
) -> T {
    let tool = tool(contract);
    let granted = Grants::none();
    ask(&Question { caller, tool: &tool, facts, arguments, granted: &granted, now: NOW })
}

/// The names of the policies of a ruling.
pub(crate) fn policies(ruling: &Ruling) -> Vec<&str> {
    match ruling {
        Ruling::Permit { policies, .. } | Ruling::Hold { policies, .. } | Ruling::Deny { policies, .. } => {
            policies.iter().map(|policy| policy.as_str()).collect()
        }
    }
}
