//! `refmon check`: one decision, offline, with every reason. Nothing is recorded and nothing runs.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use refmon_core::bundle::Listing;
use refmon_core::caller::Caller;
use refmon_core::decision::{Decision, Grants};
use refmon_core::ids::{ApprovalKind, Method, Operation, ServerName};
use refmon_core::json::Json;
use refmon_core::kinds;
use refmon_core::monitor::{Ask, Judgement, Situation, judge};
use refmon_core::ports::{Clock as _, Inspector, Question, ScopeGrants};
use refmon_gateway::session::SUPPORTED;
use refmon_policy::Loaded;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::args::Arguments;
use crate::config::ConfigError;
use crate::home::Home;
use crate::output::{Answer, Output, coloured};

/// A call, as `refmon check` and the tables of `refmon policy test` spell it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Call {
    /// The server.
    pub(crate) server: String,
    /// The tool; or
    pub(crate) tool: Option<String>,
    /// the protocol method.
    pub(crate) method: Option<String>,
    /// The arguments.
    #[serde(default)]
    pub(crate) arguments: Value,
    /// Approvals to suppose.
    #[serde(default)]
    pub(crate) approvals: Vec<String>,
    /// Scopes of the caller, instead of those of the configuration.
    pub(crate) scopes: Option<Vec<String>>,
}

/// What was decided, and the words of the policies.
pub(crate) struct Checked {
    pub(crate) judgement: Judgement,
    pub(crate) explanation: Option<refmon_policy::Explanation>,
}

pub(crate) fn run(arguments: &Arguments, file: &Path, output: Output) -> Result<Answer> {
    let home = Home::open(arguments)?;
    let mut text = String::new();
    if file == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).context("standard input")?;
    } else {
        text =
            std::fs::read_to_string(file).map_err(|error| ConfigError::new(format!("{}: {error}", file.display())))?;
    }
    let call: Call = serde_json::from_str(&text)
        .map_err(|error| ConfigError::new(format!("{}:{}: {error}", file.display(), error.line())))?;
    let loaded = home.load()?;
    let checked = judge_call(&home, &loaded, &call, &home.inspectors(&loaded.bundle)?, &home.stores()?)?;
    let judgement = &checked.judgement;
    let explanation = checked.explanation.as_ref().map(ToString::to_string);
    output.result(&value(judgement, explanation.as_deref()), || text_of(judgement, explanation.as_deref()));
    Ok(if judgement.decision == Decision::Permit { Answer::Yes } else { Answer::No })
}

/// Judges a call by the very function that the doors use. Nothing is taken from a budget.
pub(crate) fn judge_call(
    home: &Home,
    loaded: &Loaded,
    call: &Call,
    inspectors: &[Arc<dyn Inspector>],
    grants: &dyn ScopeGrants,
) -> Result<Checked> {
    let wrong = |what: String| ConfigError::new(what);
    let server = ServerName::parse(&call.server).map_err(|error| wrong(format!("`server`: {error}")))?;
    let ask = match (&call.tool, &call.method) {
        (Some(tool), None) => Ask::Tool(tool.clone()),
        (None, Some(method)) => Method::parse(method).map_or(Ask::Unknown, Ask::Method),
        _ => return Err(wrong("a call has either `tool` or `method`".to_owned()).into()),
    };
    let approvals = call.approvals.iter().map(|kind| ApprovalKind::parse(kind)).collect::<Result<Vec<_>, _>>();
    let granted = Grants::supposed(approvals.map_err(|error| wrong(format!("`approvals`: {error}")))?);
    let caller = caller(home, call)?;
    let arguments = if call.arguments.is_null() { String::new() } else { call.arguments.to_string() };
    Ok(judge_for(home, loaded, &caller, (&server, &ask, &arguments), &granted, (inspectors, grants)))
}

/// The same for any caller, with arguments as they would be sent.
pub(crate) fn judge_for(
    home: &Home,
    loaded: &Loaded,
    caller: &Caller,
    (server, ask, arguments): (&ServerName, &Ask, &str),
    granted: &Grants,
    (inspectors, grants): (&[Arc<dyn Inspector>], &dyn ScopeGrants),
) -> Checked {
    let system = home.system();
    let (bundle, now) = (&loaded.bundle, system.now());
    let situation = Situation { bundle, grants, files: &system, inspectors, granted, now };
    let listed = pinned(loaded, server);
    let judgement = judge(&situation, caller, server, ask, &listed, arguments.as_bytes(), SUPPORTED);
    let explanation = judgement.tool.as_ref().and_then(|tool| {
        let canonical = judgement.canonical.as_ref()?;
        let json = Json::parse(canonical.as_bytes()).ok()?;
        let facts = kinds::extract(&tool.contract, &json, &system).ok()?;
        let caller = &caller.with_grants(&judgement.grants);
        let question = Question { caller, tool, facts: &facts, arguments: &json, granted, now };
        Some(loaded.engine.explain(&question))
    });
    Checked { judgement, explanation }
}

fn caller(home: &Home, call: &Call) -> Result<Caller> {
    let caller = home.caller()?;
    let Some(scopes) = &call.scopes else { return Ok(caller) };
    let scopes = scopes.iter().map(|scope| refmon_core::ids::Scope::parse(scope)).collect::<Result<Vec<_>, _>>();
    let scopes = scopes.map_err(|error| ConfigError::new(format!("`scopes`: {error}")))?;
    Ok(Caller::local(caller.tenant().clone(), caller.user().clone(), caller.agent().clone(), scopes))
}

/// A server that lists exactly what its contracts were made for.
pub(crate) fn pinned(loaded: &Loaded, server: &ServerName) -> Listing {
    Listing::new(loaded.bundle.tools().filter(|tool| tool.contract.server == *server).filter_map(|tool| {
        match &tool.contract.operation {
            Operation::Tool(name) => Some((name.clone(), tool.contract.pin?)),
            Operation::Method(_) => None,
        }
    }))
}

fn value(judgement: &Judgement, explanation: Option<&str>) -> Value {
    let (pointer, expected) = judgement.expected.clone().unzip();
    json!({
        "decision": judgement.decision.as_str(),
        "reason": judgement.reason.as_str(),
        "pointer": pointer,
        "expected": expected,
        "policies": judgement.policies.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "approvals": judgement.approvals.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "remedies": judgement.reason.remedies().iter().map(|remedy| remedy.as_str()).collect::<Vec<_>>(),
        "explanation": explanation,
    })
}

fn text_of(judgement: &Judgement, explanation: Option<&str>) -> String {
    let mut lines = vec![format!(
        "{}: {} [{}]",
        coloured(judgement.decision.as_str()),
        judgement.reason.sentence(),
        judgement.reason
    )];
    if let Some((pointer, expected)) = &judgement.expected {
        let place = if pointer.is_empty() { String::new() } else { format!(" at {pointer}") };
        lines.push(format!("expected{place}: {expected}"));
    }
    if !judgement.approvals.is_empty() && judgement.decision == Decision::Hold {
        let kinds: Vec<String> = judgement.approvals.iter().map(ToString::to_string).collect();
        lines.push(format!("needs the approval of: {}", kinds.join(", ")));
    }
    for remedy in judgement.reason.remedies() {
        lines.push(format!("what to do: {}", remedy.sentence()));
    }
    lines.extend(explanation.map(|text| format!("\n{text}")));
    lines.join("\n")
}
