//! Servers: what contracts say of their tools, and what they list now.

use std::collections::BTreeMap;
use std::sync::TryLockError;

use anyhow::Result;
use refmon_audit::record::Envelope;
use refmon_console::sight::{Change, Comparable, Compared, Server, Tool};
use refmon_core::caller::Caller;
use refmon_core::contract::HoldMode;
use refmon_core::ids::Operation;
use refmon_core::ports::Fault;
use refmon_core::record::{Event, Record};
use refmon_gateway::probe;
use refmon_store::index::Query;

use super::evidence;
use super::sighted::Sighted;
use crate::commands::audit::decode;
use crate::commands::contract;
use crate::home::Home;

/// Records of quarantines that are looked at.
const NOTICES_MAX: u32 = 1_000;

pub(super) fn all(sighted: &Sighted, visitor: &Caller) -> Result<Vec<Server>> {
    let quarantined = quarantined(sighted, visitor)?;
    let bundle = sighted.monitor.bundle();
    let shown = sighted.home.config.servers.iter().map(|server| {
        let own: Vec<_> = bundle.tools().filter(|tool| tool.contract.server.as_str() == server.name).collect();
        let tools = own.iter().map(|tool| {
            let (contract, name) = (&tool.contract, tool.contract.operation.to_string());
            Tool {
                effects: contract.effects.iter().collect(),
                scopes: contract.required_scopes.iter().map(ToString::to_string).collect(),
                hold: match contract.hold {
                    HoldMode::Always => "always",
                    HoldMode::Policy => "as rules say",
                    HoldMode::Never => "never: denied instead",
                },
                pin: match &contract.operation {
                    Operation::Tool(_) => contract.pin.map(|pin| pin.to_string()),
                    Operation::Method(_) => None,
                },
                quarantined_us: quarantined.get(&(server.name.clone(), name.clone())).copied(),
                name,
            }
        });
        let (how, compare) = match (server.host, &server.url) {
            (true, _) => ("run by a host", Comparable::Hosted),
            (false, Some(_)) => ("at a URL", Comparable::Lists),
            (false, None) => ("a command", Comparable::Lists),
        };
        Server {
            name: server.name.clone(),
            how,
            version: own.first().map(|tool| tool.contract.version),
            tools: tools.collect(),
            compare,
        }
    });
    Ok(shown.collect())
}

/// When a tool was last met with another definition, since yesterday.
fn quarantined(sighted: &Sighted, visitor: &Caller) -> Result<BTreeMap<(String, String), u64>> {
    let index = evidence::index(sighted)?;
    let query = Query {
        kind: Some("notice".to_owned()),
        since_us: Some(evidence::yesterday(sighted)),
        limit: NOTICES_MAX,
        ..Query::default()
    };
    let found: Vec<Envelope> = decode(index.search(visitor.tenant(), &query)?)?;
    let pairs = found.into_iter().filter_map(|envelope| match envelope.record {
        Record::Notice(notice) => match notice.event {
            Event::Quarantined { server, tool } => Some(((server.to_string(), tool.to_string()), notice.at.unix_us)),
            _ => None,
        },
        _ => None,
    });
    Ok(pairs.collect())
}

/// Asks a server what it lists. One question at a time: each may start a process.
pub(super) fn compare(sighted: &Sighted, name: &str) -> Result<Option<Compared>, Fault> {
    let home = &sighted.home;
    let Some(server) = home.config.servers.iter().find(|server| server.name == name && !server.host) else {
        return Ok(None);
    };
    let _alone = match sighted.comparing.try_lock() {
        Ok(alone) => alone,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => return Err(Fault::unavailable("another comparison")),
    };
    // What asks may have a runtime of its own, which has no place inside of ours.
    let asked = std::thread::scope(|scope| scope.spawn(|| changes(home, server)).join());
    Ok(Some(match asked {
        Ok(Ok(changes)) => Compared::Changes(changes),
        Ok(Err(error)) => {
            drop(sighted.failed(error));
            Compared::Silent
        }
        Err(_) => Compared::Silent,
    }))
}

fn changes(home: &Home, server: &crate::config::Server) -> Result<Vec<Change>> {
    let known = contract::known(&home.path(&server.contract))?;
    let offer = probe::ask(&home.reach(server)?, |_| {})?;
    let changes = contract::changes(&known, &offer.tools);
    Ok(changes
        .into_iter()
        .map(|change| match change {
            contract::Change::Added { name, text, like } => {
                let what = if like.is_some() { "added, like one that is gone" } else { "added" };
                Change { tool: name, what, diff: contract::diff("", &text) }
            }
            contract::Change::Removed { name } => Change { tool: name, what: "removed", diff: String::new() },
            contract::Change::Changed { name, before, after } => {
                Change { tool: name, what: "changed", diff: contract::diff(&before, &after) }
            }
        })
        .collect())
}
