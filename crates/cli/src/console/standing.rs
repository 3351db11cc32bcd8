//! Limits of the tenant, and what holds at this moment.

use anyhow::Result;
use refmon_console::sight::{Budget, Budgets, Health, Promise, Word};
use refmon_core::bundle::Bundle;
use refmon_core::caller::Caller;
use refmon_core::contract::{Effect, Kind};
use refmon_core::ids::Operation;
use refmon_core::ports::ScopeGrants as _;
use refmon_core::reason::ReasonCode;
use refmon_store::authority::{Per, Unit, Whom};

use super::evidence;
use super::sighted::Sighted;
use crate::halts;

/// Names that a sentence has room for.
const NAMED_MAX: usize = 4;

pub(super) fn budgets(sighted: &Sighted, visitor: &Caller) -> Result<Budgets> {
    let config = &sighted.home.config;
    let rules = config.authority.rules(&config.server_names()).map_err(anyhow::Error::msg)?;
    // A rule about another tenant is that tenant's.
    let about = |whom: &Whom| whom.tenant.as_ref().is_none_or(|tenant| tenant == visitor.tenant());
    let budgets = rules.budgets.iter().filter(|budget| about(&budget.whom)).map(|budget| {
        let mut counts = vec![words(&budget.whom)];
        counts.extend(budget.server.as_ref().map(|server| format!("at server {server}")));
        counts.extend(budget.tool.as_ref().map(|tool| format!("of {tool}")));
        counts.extend(budget.effect.map(|effect| format!("that {}", verb(effect))));
        let unit = match budget.unit {
            Unit::Calls => "calls",
            Unit::ArgumentBytes => "bytes of arguments",
        };
        Budget {
            counts: counts.join(" "),
            allowance: format!("{} {unit} in {} s", budget.allowance.amount(), budget.allowance.window_seconds()),
            per: match budget.per {
                Per::Caller => "person with an agent",
                Per::User => "person",
                Per::Agent => "agent",
                Per::Tenant => "tenant",
                Per::Target => "target",
                Per::All => "all together",
            },
        }
    });
    let reasons = evidence::index(sighted)?.reasons(visitor.tenant(), evidence::yesterday(sighted))?;
    let count = |code: ReasonCode| reasons.iter().filter(|one| one.name == code.as_str()).map(|one| one.count).sum();
    Ok(Budgets {
        budgets: budgets.collect(),
        read_only: rules.read_only.iter().filter(|whom| about(whom)).map(words).collect(),
        denied: (count(ReasonCode::Budget), count(ReasonCode::ReadOnly)),
    })
}

fn words(whom: &Whom) -> String {
    let mut words = vec!["calls".to_owned()];
    words.extend(whom.user.as_ref().map(|user| format!("of {user}")));
    words.extend(whom.agent.as_ref().map(|agent| format!("through {agent}")));
    if whom.user.is_none() && whom.agent.is_none() {
        words.push("of everybody".to_owned());
    }
    words.join(" ")
}

const fn verb(effect: Effect) -> &'static str {
    match effect {
        Effect::Read => "read",
        Effect::Write => "write",
        Effect::Destructive => "destroy",
        Effect::Execute => "execute",
        Effect::Admin => "administer",
        Effect::External => "have effects outside",
    }
}

pub(super) fn health(sighted: &Sighted, visitor: &Caller) -> Health {
    let bundle = sighted.monitor.bundle();
    let mut promises = vec![
        recorded(sighted),
        Promise {
            name: "Nothing runs that no rule permits",
            word: Word::Holds,
            how: format!("the bundle in force was loaded whole: {}", bundle.digest()),
        },
        files(sighted, &bundle),
        stores(sighted, visitor),
        halted(sighted, visitor),
    ];
    promises.extend([pinned(&bundle), code(&bundle), paths(&bundle)]);
    Health { promises }
}

fn recorded(sighted: &Sighted) -> Promise {
    let name = "Each call is recorded before it runs";
    if sighted.journal.is_healthy() {
        let how = "the journal of this process takes records, and a permit is made of a record that is durable";
        return Promise { name, word: Word::Holds, how: how.to_owned() };
    }
    let how = "the journal of this process takes no records, so every call is denied".to_owned();
    Promise { name, word: Word::Fails, how }
}

fn files(sighted: &Sighted, bundle: &Bundle) -> Promise {
    let name = "The files of contracts and policies are what is in force";
    let (word, how) = match sighted.loaded() {
        Ok(loaded) if loaded.bundle.digest() == bundle.digest() => {
            let report = &loaded.report;
            let (operations, policies, warnings) = (report.operations, report.policies, report.findings.len());
            (
                Word::Holds,
                format!("they were read: {operations} operations, {policies} rules, {warnings} warnings of lints"),
            )
        }
        Ok(_) => {
            (Word::Except, "they were changed, and are taken up when they have stayed the same for a moment".to_owned())
        }
        Err(_) => {
            (Word::Fails, "they are broken, so what was in force before stays; the operator's log says why".to_owned())
        }
    };
    Promise { name, word, how }
}

fn stores(sighted: &Sighted, visitor: &Caller) -> Promise {
    let name = "Calls can wait, and scopes can be given for a time";
    match sighted.holds.stores.in_force(visitor, sighted.now()) {
        Ok(_) => Promise { name, word: Word::Holds, how: "the store of holds and grants has just answered".to_owned() },
        Err(_) => {
            let how = "the store of holds and grants does not answer, so every call is denied".to_owned();
            Promise { name, word: Word::Fails, how }
        }
    }
}

fn halted(sighted: &Sighted, visitor: &Caller) -> Promise {
    let name = "Calls are not halted";
    let switch = sighted.home.switch();
    let (word, how) = if sighted.home.config.authority.halted {
        (Word::Fails, "the configuration halts all calls")
    } else {
        match (switch.is_on(), halts::on(&switch, visitor)) {
            (Ok(false), Ok(None)) => (Word::Holds, "neither the operator's switch nor the tenant's is on"),
            (Ok(true), _) => (Word::Fails, "the operator has halted all calls"),
            (_, Ok(Some(_))) => (Word::Fails, "the calls of this tenant are halted"),
            (Err(_), _) | (_, Err(_)) => (Word::Fails, "a switch cannot be looked at, which counts as on"),
        }
    };
    Promise { name, word, how: how.to_owned() }
}

fn pinned(bundle: &Bundle) -> Promise {
    let name = "A tool that changed cannot be called";
    let loose = bundle
        .tools()
        .filter(|tool| matches!(tool.contract.operation, Operation::Tool(_)) && tool.contract.pin.is_none());
    exceptions(
        name,
        "every tool is pinned to the definition that its contract was made for",
        "not pinned, so never callable",
        loose.map(|tool| tool.action.clone()),
    )
}

fn code(bundle: &Bundle) -> Promise {
    let running = bundle.tools().filter(|tool| tool.contract.effects.contains(Effect::Execute));
    exceptions(
        "Tools reach no more than their arguments say",
        "no contract says that its tool runs code",
        "these run code, which can reach what no argument shows, and belong into a sandbox",
        running.map(|tool| tool.action.clone()),
    )
}

fn paths(bundle: &Bundle) -> Promise {
    let free = bundle.tools().filter(|tool| {
        let free = |kind: &Kind| matches!(kind, Kind::Path { roots, .. } if roots.is_empty());
        tool.contract.arguments.values().any(|rule| free(&rule.kind))
    });
    exceptions(
        "Paths stay in their roots",
        "every path of a contract has roots",
        "these have a path without roots",
        free.map(|tool| tool.action.clone()),
    )
}

fn exceptions(name: &'static str, fine: &str, why: &str, found: impl Iterator<Item = String>) -> Promise {
    let found: Vec<String> = found.collect();
    if found.is_empty() {
        return Promise { name, word: Word::Holds, how: fine.to_owned() };
    }
    let named: Vec<&str> = found.iter().take(NAMED_MAX).map(String::as_str).collect();
    let more = if found.len() > NAMED_MAX { format!(" and {} more", found.len() - NAMED_MAX) } else { String::new() };
    Promise { name, word: Word::Except, how: format!("{why}: {}{more}", named.join(", ")) }
}
