//! `[authority]` of `refmon.toml`: what callers may do at most, whatever policy permits.

use refmon_core::bundle::Bundle;
use refmon_core::contract::Effect;
use refmon_core::ids::{AgentId, IdError, ServerName, TenantId, UserId};
use refmon_core::limits;
use refmon_store::authority::{Allowance, Budget, Per, Unit, Whom};
use serde::Deserialize;

use crate::config::closest;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Authority {
    /// Whether nothing is permitted.
    pub(crate) halted: bool,
    /// Who can only read.
    read_only: Vec<ReadOnly>,
    /// How much there is.
    #[serde(rename = "budget")]
    budgets: Vec<Limit>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadOnly {
    tenant: Option<String>,
    agent: Option<String>,
    user: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Limit {
    tenant: Option<String>,
    agent: Option<String>,
    user: Option<String>,
    server: Option<String>,
    tool: Option<String>,
    effect: Option<String>,
    per: Bucket,
    calls: Option<u64>,
    argument_bytes: Option<u64>,
    window_seconds: u64,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Bucket {
    Caller,
    User,
    Agent,
    Tenant,
    Target,
    All,
}

/// The parsed rules.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) read_only: Vec<Whom>,
    pub(crate) budgets: Vec<Budget>,
}

impl Authority {
    /// Parses the rules; `servers` are the names that a budget can be about. The error says which rule is wrong.
    pub(crate) fn rules(&self, servers: &[&str]) -> Result<Rules, String> {
        let max = limits::AUTHORITY_RULES_MAX;
        if self.read_only.len().saturating_add(self.budgets.len()) > max {
            return Err(format!("[authority] has more than {max} rules"));
        }
        let mut rules = Rules { read_only: Vec::new(), budgets: Vec::new() };
        for (number, rule) in (1..).zip(&self.read_only) {
            let whom = whom(rule.tenant.as_deref(), rule.agent.as_deref(), rule.user.as_deref());
            rules.read_only.push(whom.map_err(|what| format!("[[authority.read_only]] {number}: {what}"))?);
        }
        for (number, limit) in (1..).zip(&self.budgets) {
            let budgets = limit.budgets(servers);
            rules.budgets.extend(budgets.map_err(|what| format!("[[authority.budget]] {number}: {what}"))?);
        }
        Ok(rules)
    }
}

impl Limit {
    /// One budget for calls, one for bytes, or both.
    fn budgets(&self, servers: &[&str]) -> Result<Vec<Budget>, String> {
        let amounts =
            [("calls", self.calls, Unit::Calls), ("argument_bytes", self.argument_bytes, Unit::ArgumentBytes)];
        let window_max = limits::BUDGET_WINDOW_SECONDS_MAX;
        if !(1..=window_max).contains(&self.window_seconds) {
            return Err(format!("`window_seconds` must be from 1 to {window_max}"));
        }
        if let Some(server) = self.server.as_deref().filter(|server| !servers.contains(server)) {
            let nearest = closest(server, servers.iter().copied());
            return Err(format!("there is no server `{}`{nearest}", refmon_core::untrusted::Shown(server)));
        }
        let effect = self.effect.as_deref().map(effect).transpose()?;
        let mut budgets = Vec::new();
        for (key, amount, unit) in amounts {
            let Some(amount) = amount else { continue };
            let allowance = Allowance::new(amount, self.window_seconds);
            let none = || format!("`{key}` must be at least 1; to allow nothing, use read-only mode or a policy");
            budgets.push(Budget {
                whom: whom(self.tenant.as_deref(), self.agent.as_deref(), self.user.as_deref())?,
                server: self.server.as_deref().map(ServerName::parse).transpose().map_err(wrong("server"))?,
                tool: self.tool.clone(),
                effect,
                per: self.per.into(),
                unit,
                allowance: allowance.ok_or_else(none)?,
            });
        }
        if budgets.is_empty() { Err("it needs `calls`, `argument_bytes`, or both".to_owned()) } else { Ok(budgets) }
    }
}

/// A budget about a tool that no contract describes limits nothing, which nobody writes on purpose.
pub(crate) fn all_known(budgets: &[Budget], bundle: &Bundle) -> Result<(), String> {
    for budget in budgets {
        let Some(tool) = &budget.tool else { continue };
        let tools =
            bundle.tools().filter(|tool| budget.server.as_ref().is_none_or(|name| *name == tool.contract.server));
        let names: Vec<String> = tools.map(|tool| tool.contract.operation.to_string()).collect();
        if !names.contains(tool) {
            let nearest = closest(tool, names.iter().map(String::as_str));
            let shown = refmon_core::untrusted::Shown(tool);
            return Err(format!("[[authority.budget]]: no contract describes the tool `{shown}`{nearest}"));
        }
    }
    Ok(())
}

impl From<Bucket> for Per {
    fn from(bucket: Bucket) -> Self {
        match bucket {
            Bucket::Caller => Self::Caller,
            Bucket::User => Self::User,
            Bucket::Agent => Self::Agent,
            Bucket::Tenant => Self::Tenant,
            Bucket::Target => Self::Target,
            Bucket::All => Self::All,
        }
    }
}

fn whom(tenant: Option<&str>, agent: Option<&str>, user: Option<&str>) -> Result<Whom, String> {
    Ok(Whom {
        tenant: tenant.map(TenantId::parse).transpose().map_err(wrong("tenant"))?,
        agent: agent.map(AgentId::parse).transpose().map_err(wrong("agent"))?,
        user: user.map(UserId::parse).transpose().map_err(wrong("user"))?,
    })
}

fn effect(text: &str) -> Result<Effect, String> {
    Effect::parse(text).ok_or_else(|| {
        let nearest = closest(text, Effect::ALL.iter().map(|effect| effect.as_str()));
        format!("there is no effect `{}`{nearest}", refmon_core::untrusted::Shown(text))
    })
}

fn wrong(key: &'static str) -> impl Fn(IdError) -> String {
    move |error| format!("`{key}`: {error}")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::Config;

    const HEAD: &str = "version = 1\n[[server]]\nname = \"mail\"\ncommand = [\"x\"]\ncontract = \"c\"\n";

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(Path::new("refmon.toml"), &format!("{HEAD}{text}")).map_err(|error| error.to_string())
    }

    #[test]
    fn limits_are_parsed_and_calls_and_bytes_are_two_budgets() {
        let text = "[authority]\nhalted = true\n[[authority.read_only]]\n[[authority.read_only]]\ntenant = \"t\"\nagent = \"a\"\nuser = \"u\"\n[[authority.budget]]\nserver = \"mail\"\neffect = \"external\"\nper = \"target\"\ncalls = 10\nargument_bytes = 1000\nwindow_seconds = 60\n";
        let config = parse(text).unwrap();
        let rules = config.authority.rules(&["mail"]).unwrap();
        assert!(config.authority.halted && rules.read_only.len() == 2 && rules.budgets.len() == 2);
        assert!(!parse("").unwrap().authority.halted);
        for per in ["caller", "user", "agent", "tenant", "target", "all"] {
            let text = format!("[[authority.budget]]\nper = \"{per}\"\ncalls = 1\nwindow_seconds = 1\n");
            assert_eq!(parse(&text).unwrap().authority.rules(&["mail"]).unwrap().budgets.len(), 1, "{per}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_limit_stops_the_start_and_is_said() {
        let budget = |lines: &str| format!("[[authority.budget]]\n{lines}\n");
        for (text, says) in [
            ("[authority]\nhalt = true\n".to_owned(), "did you mean `halted`?"),
            ("[[authority.read_only]]\ntenent = \"t\"\n".to_owned(), "did you mean `tenant`?"),
            ("[[authority.read_only]]\nuser = \"\"\n".to_owned(), "[[authority.read_only]] 1: `user`"),
            (budget("per = \"caler\"\ncalls = 1\nwindow_seconds = 1"), "did you mean `caller`?"),
            (budget("calls = 1\nwindow_seconds = 1"), "missing field `per`"),
            (budget("per = \"all\"\nwindow_seconds = 1"), "needs `calls`"),
            (budget("per = \"all\"\ncalls = 1"), "missing field `window_seconds`"),
            (budget("per = \"all\"\ncalls = 0\nwindow_seconds = 1"), "`calls` must be at least 1"),
            (budget("per = \"all\"\ncalls = -1\nwindow_seconds = 1"), "refmon.toml:8"),
            (budget("per = \"all\"\ncalls = 1\nwindow_seconds = 0"), "`window_seconds` must be from 1 to"),
            (budget("per = \"all\"\ncalls = 1\nwindow_seconds = 99999999999"), "`window_seconds`"),
            (budget("per = \"all\"\ncalls = 1\nwindow_seconds = 1\nserver = \"mial\""), "did you mean `mail`?"),
            (budget("per = \"all\"\ncalls = 1\nwindow_seconds = 1\neffect = \"wirte\""), "did you mean `write`?"),
        ] {
            let message = parse(&text).unwrap_err();
            assert!(message.starts_with("refmon.toml") && message.contains(says), "{text}: {message}");
        }
    }
}
