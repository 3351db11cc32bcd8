//! Budgets: how many calls, or how many bytes of arguments, within a window.

use std::sync::Mutex;

use refmon_core::bundle::Tool;
use refmon_core::caller::Caller;
use refmon_core::contract::{Effect, Kind, Role};
use refmon_core::decision::{Objection, Veto};
use refmon_core::digest::Hasher;
use refmon_core::facts::{ArgumentFacts, Fact, Facts};
use refmon_core::ids::ServerName;
use refmon_core::limits;
use refmon_core::ports::{Imminent, Inspector, Moment, Question};
use refmon_core::reason::ReasonCode;

use super::{Allowance, Buckets, Charge, Key, Lack, Whom};

/// Who or what has a bucket of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Per {
    /// Each tenant's user with each agent.
    Caller,
    /// Each tenant's user, whatever the agent.
    User,
    /// Each tenant's agent.
    Agent,
    /// Each tenant.
    Tenant,
    /// Each target of a tenant's calls: what the arguments of the role `target` name. Hosts and mail domains count
    /// by their registered domain, or every new subdomain would have a full bucket. Calls that name no target, or
    /// one without a canonical name, share a bucket.
    Target,
    /// All calls share one.
    All,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Calls.
    Calls,
    /// Bytes of the canonical arguments of calls that do more than read.
    ArgumentBytes,
}

/// One budget: which calls count, into which buckets, and how much there is.
#[derive(Debug, Clone)]
pub struct Budget {
    /// Whose calls count.
    pub whom: Whom,
    /// Only calls to this server.
    pub server: Option<ServerName>,
    /// Only calls of this tool or protocol method.
    pub tool: Option<String>,
    /// Only calls with this effect.
    pub effect: Option<Effect>,
    /// Who or what has a bucket.
    pub per: Per,
    /// What is counted.
    pub unit: Unit,
    /// How much.
    pub allowance: Allowance,
}

impl Budget {
    fn counts(&self, caller: &Caller, tool: &Tool) -> bool {
        let contract = &tool.contract;
        self.whom.includes(caller)
            && self.server.as_ref().is_none_or(|server| *server == contract.server)
            && self.tool.as_ref().is_none_or(|name| *name == contract.operation.to_string())
            && self.effect.is_none_or(|effect| contract.effects.contains(effect))
            && (self.unit == Unit::Calls || !contract.effects.only_reads())
    }
}

/// Denies what a budget has no tokens for, and takes a token for each call that is permitted.
#[derive(Debug)]
pub struct Budgets {
    budgets: Vec<Budget>,
    buckets: Mutex<Buckets>,
}

impl Budgets {
    /// Budgets with full buckets.
    #[must_use]
    pub const fn new(budgets: Vec<Budget>) -> Self {
        Self { budgets, buckets: Mutex::new(Buckets::new(limits::BUDGET_BUCKETS_MAX)) }
    }

    /// What a call takes from each bucket. The size of the arguments is asked for only where bytes count.
    fn charges(&self, caller: &Caller, tool: &Tool, facts: &Facts, bytes: impl Fn() -> usize) -> Vec<Charge> {
        let mut charges = Vec::new();
        for (index, budget) in self.budgets.iter().enumerate().filter(|(_, budget)| budget.counts(caller, tool)) {
            let cost = match budget.unit {
                Unit::Calls => 1,
                Unit::ArgumentBytes => bytes() as u64,
            };
            let keys = keys(index, budget.per, caller, tool, facts);
            charges.extend(keys.into_iter().map(|key| Charge { key, allowance: budget.allowance, cost }));
        }
        charges
    }

    fn ask(&self, ask: impl FnOnce(&mut Buckets) -> Result<(), Lack>) -> Result<(), Veto> {
        // A thread that panicked may have left the buckets half changed.
        let mut buckets = self.buckets.lock().map_err(|_| ReasonCode::Breach)?;
        ask(&mut buckets).map_err(veto)
    }
}

impl Inspector for Budgets {
    fn examine(&self, question: &Question<'_>) -> Option<Objection> {
        let bytes = || question.arguments.canonical().len();
        let charges = self.charges(question.caller, question.tool, question.facts, bytes);
        let weighed = self.ask(|buckets| buckets.weigh(&charges, micros(question.now)));
        weighed.err().map(Objection::Deny)
    }

    fn take(&self, call: &Imminent<'_>) -> Result<(), Veto> {
        let charges = self.charges(call.caller, call.tool, call.facts, || call.argument_bytes);
        self.ask(|buckets| buckets.take(&charges, micros(call.now)))
    }
}

/// The clock that only goes forward: setting the wall clock fills no bucket.
const fn micros(now: Moment) -> u64 {
    now.monotonic_ns / 1_000
}

fn veto(lack: Lack) -> Veto {
    let expected = match lack {
        Lack::Wait(us) => format!("a call in {} seconds or later", us.div_ceil(1_000_000)),
        Lack::Never(bytes) => format!("arguments of at most {bytes} bytes"),
    };
    Veto { reason: ReasonCode::Budget, expected: Some(expected) }
}

/// The keys of all buckets that a call of this budget is charged to, each once. They begin with the tenant but where
/// all share one.
fn keys(index: usize, per: Per, caller: &Caller, tool: &Tool, facts: &Facts) -> Vec<Key> {
    let (tenant, user, agent) = (caller.tenant().as_str(), caller.user().as_str(), caller.agent().as_str());
    let key = |parts: &[&str]| {
        let mut hasher = Hasher::new("refmon/budget/v1");
        hasher.part(&(index as u64).to_be_bytes());
        for part in parts {
            hasher.part(part.as_bytes());
        }
        Key(hasher.finish())
    };
    match per {
        Per::Caller => vec![key(&[tenant, user, agent])],
        Per::User => vec![key(&[tenant, "user", user])],
        Per::Agent => vec![key(&[tenant, agent])],
        Per::Tenant => vec![key(&[tenant])],
        Per::All => vec![key(&[])],
        Per::Target => targets(tool, facts).into_iter().map(|target| key(&[tenant, target])).collect(),
    }
}

/// What the arguments of the role `target` name, sorted, each once; the empty name for what has none.
fn targets<'f>(tool: &Tool, facts: &'f Facts) -> Vec<&'f str> {
    let rules = tool.contract.arguments.values().filter(|rule| rule.role == Role::Target);
    let given = rules.filter_map(|rule| Some(named(&rule.kind, facts.of(rule.path.as_str())?)));
    let mut targets: Vec<&str> = given.flatten().collect();
    if targets.is_empty() {
        targets.push("");
    }
    targets.sort_unstable();
    targets.dedup();
    targets
}

fn named<'f>(kind: &Kind, facts: &'f ArgumentFacts) -> Vec<&'f str> {
    let texts = |name: &str| match facts.get(name) {
        Some(Fact::Text(text)) => vec![text.as_str()],
        Some(Fact::Texts(texts)) => texts.iter().map(String::as_str).collect(),
        Some(Fact::Flag(_) | Fact::Long(_) | Fact::Decimal(_)) | None => Vec::new(),
    };
    // Where one of several has no registered domain, such as an address, all count by their full names, too.
    let registered = |domain: &str, full: &str| {
        let (domains, mut names) = (texts(domain), Vec::new());
        if domains.contains(&"") {
            names = texts(full);
        }
        names.extend(domains.into_iter().filter(|domain| !domain.is_empty()));
        names
    };
    let names = match kind {
        Kind::Url { .. } => registered("domain", "host"),
        Kind::Email { .. } => registered("registered", "domain"),
        Kind::Domain { .. } => registered("registered", "value"),
        Kind::Path { .. } | Kind::Id => texts("value"),
        Kind::Command { .. } => texts("program"),
        Kind::Amount { .. } | Kind::Sql { .. } | Kind::When | Kind::Content | Kind::Query | Kind::Flag | Kind::Text => {
            Vec::new()
        }
    };
    if names.is_empty() { vec![""] } else { names }
}
