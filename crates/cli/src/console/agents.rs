//! Who calls, and what each may do.

use std::collections::BTreeMap;

use anyhow::Result;
use refmon_console::sight::{Asked, Key, Matrix, Met, Row, Verdict};
use refmon_core::bundle::Tool;
use refmon_core::caller::{Caller, IdentityKind};
use refmon_core::contract::HoldMode;
use refmon_core::decision::{Decision, Grants, Ruling};
use refmon_core::facts::Facts;
use refmon_core::ids::{AgentId, Scope, UserId};
use refmon_core::json::Json;
use refmon_core::ports::{Moment, Policy, Question};
use refmon_core::reason::ReasonCode;
use refmon_identity::api_key::KeyRecord;

use super::evidence;
use super::sighted::Sighted;

/// Keys that are shown.
const KEYS_MAX: usize = 200;
/// Agents that are shown.
const AGENTS_MAX: u32 = 200;
/// Scopes that somebody may be asked about with.
const SCOPES_MAX: usize = 64;

pub(super) fn matrix(sighted: &Sighted, visitor: &Caller, asked: &Asked) -> Result<Matrix> {
    let keys = in_force(sighted, visitor)?;
    let shown = keys.iter().take(KEYS_MAX).map(|(id, caller)| {
        let caller = sighted.granted(caller)?;
        let scopes = caller.scopes().iter().map(ToString::to_string).collect();
        Ok(Key { id: id.clone(), user: caller.user().to_string(), agent: caller.agent().to_string(), scopes })
    });
    let of = match asked {
        Asked::Nobody => None,
        Asked::Key(id) => keys.iter().find(|(known, _)| known == id).map(|(_, caller)| caller.clone()),
        Asked::Named { user, agent, scopes } => named(visitor, user, agent, scopes),
    };
    let of = of.map(|caller| sighted.granted(&caller)).transpose()?;
    let bundle = sighted.monitor.bundle();
    let now = sighted.now();
    let row = |caller: &Caller, tool: &Tool| {
        let (verdict, why) = judged(bundle.policy(), caller, tool, now);
        let contract = &tool.contract;
        let (server, name) = (contract.server.to_string(), contract.operation.to_string());
        Row { server, tool: name, effects: contract.effects.iter().collect(), verdict, why }
    };
    Ok(Matrix {
        keys: shown.collect::<Result<_>>()?,
        met: met(sighted, visitor)?,
        rows: of.iter().flat_map(|caller| bundle.tools().map(|tool| row(caller, tool)).collect::<Vec<_>>()).collect(),
        of: of.map(|caller| (caller.user().to_string(), caller.agent().to_string())),
    })
}

/// Somebody of the visitor's tenant, as the form names him.
pub(super) fn named(visitor: &Caller, user: &str, agent: &str, scopes: &str) -> Option<Caller> {
    let (user, agent) =
        (UserId::parse(user).ok()?, AgentId::parse(if agent.is_empty() { "agent" } else { agent }).ok()?);
    let scopes: Vec<Scope> = scopes.split_whitespace().map(Scope::parse).collect::<Result<_, _>>().ok()?;
    let fits = scopes.len() <= SCOPES_MAX;
    fits.then(|| Caller::authenticated(IdentityKind::Token, visitor.tenant().clone(), user, agent, scopes))
}

/// The callers of the tenant's keys that count now.
fn in_force(sighted: &Sighted, visitor: &Caller) -> Result<Vec<(String, Caller)>> {
    let now = sighted.now().unix_us / 1_000_000;
    let roles = sighted.home.config.roles.parse().map_err(anyhow::Error::msg)?;
    let keys = sighted.home.api_keys()?.list()?.into_iter();
    let own = keys.filter(|key| key.tenant == *visitor.tenant() && key.revoked.is_none() && now < key.expires);
    Ok(own
        .map(|key| {
            let KeyRecord { id, tenant, user, agent, mut scopes, roles: names, .. } = key;
            scopes.extend(roles.expand(names.iter().map(String::as_str)));
            (id.to_string(), Caller::authenticated(IdentityKind::ApiKey, tenant, user, agent, scopes))
        })
        .collect())
}

fn met(sighted: &Sighted, visitor: &Caller) -> Result<Vec<Met>> {
    let index = evidence::index(sighted)?;
    let mut agents: BTreeMap<String, Met> = BTreeMap::new();
    for counted in index.agents(visitor.tenant(), evidence::yesterday(sighted), AGENTS_MAX)? {
        let decisions = [Decision::Permit, Decision::Hold, Decision::Deny];
        let none = || Met { agent: counted.name.clone(), counts: decisions.map(|one| (one.as_str(), 0)), last_us: 0 };
        let one = agents.entry(counted.name.clone()).or_insert_with(none);
        one.last_us = one.last_us.max(counted.last_us);
        for (decision, count) in &mut one.counts {
            *count += if *decision == counted.decision { counted.count } else { 0 };
        }
    }
    let mut met: Vec<Met> = agents.into_values().collect();
    met.sort_by_key(|one| std::cmp::Reverse(one.last_us));
    Ok(met)
}

/// What becomes of a tool's calls, as far as caller and tool alone say. It errs towards `depends`.
fn judged(policy: &dyn Policy, caller: &Caller, tool: &Tool, now: Moment) -> (Verdict, String) {
    let contract = &tool.contract;
    let missing: Vec<&str> =
        contract.required_scopes.iter().filter(|scope| !caller.holds(scope)).map(Scope::as_str).collect();
    if !missing.is_empty() {
        return (Verdict::Deny, format!("{}: {}", ReasonCode::MissingScope.sentence(), missing.join(", ")));
    }
    if !policy.conceivable(caller, tool) {
        return (Verdict::Deny, "no rule permits it, whatever the arguments".to_owned());
    }
    if contract.hold == HoldMode::Always {
        return (Verdict::Hold, ReasonCode::ContractHold.sentence().to_owned());
    }
    let (facts, granted, nothing) = (Facts::default(), Grants::none(), Json::Object(Vec::new()));
    let question = Question { caller, tool, facts: &facts, arguments: &nothing, granted: &granted, now };
    // Without arguments a condition on one does not hold, so what is permitted so could be otherwise with some only where a rule
    // forbids by arguments.
    let own = contract.arguments.is_empty();
    match policy.rule(&question) {
        Ruling::Permit { policies, .. } => {
            let rules: Vec<String> = policies.iter().map(ToString::to_string).collect();
            let bounds = if own { "" } else { ", within what the contract says of its arguments" };
            (Verdict::Permit, format!("rules: {}{bounds}", rules.join(", ")))
        }
        Ruling::Hold { explanation, .. } => {
            (Verdict::Hold, explanation.unwrap_or_else(|| ReasonCode::PolicyHold.sentence().to_owned()))
        }
        Ruling::Deny { .. } => (Verdict::Depends, "a rule can permit it, with arguments that it wants".to_owned()),
    }
}
