//! The rules in force, and one call explained.

use anyhow::Result;
use refmon_console::sight::{Explained, Files, Finding, Policies, Question, Rule, RuleKind};
use refmon_core::caller::Caller;
use refmon_core::decision::Grants;
use refmon_core::ids::{Operation, ServerName, ToolName};
use refmon_core::monitor::Ask;
use refmon_policy::Loaded;

use super::agents::named;
use super::sighted::Sighted;
use crate::commands::check::judge_for;

pub(super) fn policies(sighted: &Sighted, loaded: &Loaded) -> Policies {
    let bundle = sighted.monitor.bundle().digest();
    let rules = loaded.engine.rules().iter().map(|rule| Rule {
        id: rule.id().to_string(),
        kind: match (rule.is_permit(), rule.demand()) {
            (true, _) => RuleKind::Permit,
            (false, None) => RuleKind::Forbid,
            (false, Some(_)) => RuleKind::Demand,
        },
        reason: rule.reason().unwrap_or_default().to_owned(),
        demands: rule.demand().map(|demand| demand.token()),
        place: place(rule),
        text: rule.policy().to_string(),
    });
    let findings = loaded.report.findings.iter().map(|finding| Finding {
        lint: finding.rule,
        rule: finding.policy.as_ref().map(ToString::to_string),
        message: finding.message.clone(),
    });
    let tools = loaded.bundle.tools().filter_map(|tool| match &tool.contract.operation {
        Operation::Tool(name) => Some((tool.contract.server.to_string(), name.to_string())),
        Operation::Method(_) => None,
    });
    Policies {
        bundle: bundle.to_string(),
        files: if loaded.bundle.digest() == bundle { Files::InForce } else { Files::Changed },
        rules: rules.collect(),
        findings: findings.collect(),
        tools: tools.collect(),
    }
}

/// File and line. The folder is the operator's own affair.
pub(super) fn place(rule: &refmon_policy::rule::Rule) -> String {
    let file = rule.file().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    format!("{file}:{}", rule.line())
}

pub(super) fn explain(sighted: &Sighted, visitor: &Caller, loaded: &Loaded, asked: &Question) -> Result<Explained> {
    let wrong = |what: &str| Ok(Explained::Wrong(what.to_owned()));
    let (Ok(server), Ok(_)) = (ServerName::parse(&asked.server), ToolName::parse(&asked.tool)) else {
        return wrong("choose a tool");
    };
    let user = if asked.user.is_empty() { visitor.user().as_str() } else { &asked.user };
    let Some(caller) = named(visitor, user, &asked.agent, &asked.scopes) else {
        return wrong("a person, an agent and scopes are names without blanks and quotes");
    };
    let arguments = if asked.arguments.is_empty() { "{}" } else { &asked.arguments };
    let inspectors = sighted.home.inspectors(&loaded.bundle)?;
    let (granted, stores) = (Grants::none(), &sighted.holds.stores);
    let ask = Ask::Tool(asked.tool.clone());
    let checked =
        judge_for(&sighted.home, loaded, &caller, (&server, &ask, arguments), &granted, (&inspectors, stores));
    let judgement = checked.judgement;
    Ok(Explained::Judged {
        decision: judgement.decision.as_str(),
        reason: judgement.reason,
        expected: judgement.expected,
        rules: judgement.policies.iter().map(ToString::to_string).collect(),
        text: checked.explanation.map(|explanation| explanation.to_string()),
    })
}
