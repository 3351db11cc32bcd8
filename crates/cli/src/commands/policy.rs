//! `refmon policy check` and `refmon policy test`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use refmon_core::ids::PolicyId;
use refmon_core::ports::NoGrants;
use refmon_core::reason::ReasonCode;
use refmon_policy::{Loaded, packs};
use serde::Deserialize;
use serde_json::{Value, json};

use super::check::{self, Call};
use crate::args::{Arguments, PolicyCommand};
use crate::config::ConfigError;
use crate::home::Home;
use crate::output::{Answer, Output, table};

pub(crate) fn run(arguments: &Arguments, command: &PolicyCommand, output: Output) -> Result<Answer> {
    match command {
        PolicyCommand::Show { pack } => show(pack, output),
        PolicyCommand::Check => Ok(check(&Home::open(arguments)?.load()?, output)),
        PolicyCommand::Test { files } => test(&Home::open(arguments)?, files, output),
    }
}

fn show(name: &str, output: Output) -> Result<Answer> {
    let Some(pack) = packs::find(name) else {
        let known: Vec<&str> = packs::ALL.iter().map(|pack| pack.name).collect();
        return Err(ConfigError::new(format!("there is no such pack; there are: {}", known.join(", "))).into());
    };
    output.result(&json!({ "pack": pack.name, "summary": pack.summary, "text": pack.text }), || pack.text.to_owned());
    Ok(Answer::Yes)
}

fn check(loaded: &Loaded, output: Output) -> Answer {
    let report = &loaded.report;
    let findings: Vec<Value> = report
        .findings
        .iter()
        .map(|finding| {
            json!({ "severity": finding.severity.as_str(), "lint": finding.rule, "policy": finding.policy.as_ref().map(PolicyId::as_str),
                    "file": finding.file, "line": finding.line, "message": finding.message })
        })
        .collect();
    let invisible: Vec<Value> = report
        .invisible
        .iter()
        .map(|hidden| json!({ "action": hidden.action, "attribute": hidden.attribute, "reason": hidden.reason }))
        .collect();
    let value = json!({
        "bundle": loaded.bundle.digest().to_string(), "operations": report.operations, "policies": report.policies,
        "findings": findings, "invisible": invisible, "open": report.open,
    });
    output.result(&value, || {
        let mut lines = vec![format!("{} operations and {} policies are sound", report.operations, report.policies)];
        lines.extend(report.findings.iter().map(ToString::to_string));
        lines.extend(
            report.invisible.iter().map(|hidden| {
                format!("policy cannot see {} of {}: {}", hidden.attribute, hidden.action, hidden.reason)
            }),
        );
        lines.extend(report.open.iter().map(|open| format!("undeclared properties are let through: {open}")));
        lines.join("\n")
    });
    Answer::Yes
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases {
    #[serde(rename = "case")]
    cases: Vec<Case>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    expect: Expected,
    reason: Option<String>,
    server: String,
    tool: Option<String>,
    method: Option<String>,
    #[serde(default)]
    arguments: Value,
    #[serde(default)]
    approvals: Vec<String>,
    scopes: Option<Vec<String>>,
}

impl Case {
    fn call(&self) -> Call {
        Call {
            server: self.server.clone(),
            tool: self.tool.clone(),
            method: self.method.clone(),
            arguments: self.arguments.clone(),
            approvals: self.approvals.clone(),
            scopes: self.scopes.clone(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Expected {
    Permit,
    Hold,
    Deny,
}

impl Expected {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Permit => "permit",
            Self::Hold => "hold",
            Self::Deny => "deny",
        }
    }
}

fn test(home: &Home, files: &[PathBuf], output: Output) -> Result<Answer> {
    let files = if files.is_empty() { tables(home)? } else { files.to_vec() };
    let loaded = home.load()?;
    let (mut rows, mut used, mut failed) = (Vec::new(), BTreeSet::new(), 0usize);
    for file in &files {
        for case in read(file)?.cases {
            // A table tests policies: it must not depend on whether calls are halted at the moment.
            let checked = check::judge_call(home, &loaded, &case.call(), &[], &NoGrants)?.judgement;
            let (decision, reason) = (checked.decision.as_str(), checked.reason.as_str());
            let passed =
                decision == case.expect.as_str() && case.reason.as_deref().is_none_or(|wanted| wanted == reason);
            failed += usize::from(!passed);
            used.extend(checked.policies.iter().map(ToString::to_string));
            let wanted = format!(
                "{}{}",
                case.expect.as_str(),
                case.reason.map(|reason| format!(" [{reason}]")).unwrap_or_default()
            );
            rows.push((if passed { "ok" } else { "FAILED" }, case.name, wanted, format!("{decision} [{reason}]")));
        }
    }
    let unused: Vec<String> =
        loaded.engine.rules().iter().map(|rule| rule.id().to_string()).filter(|id| !used.contains(id)).collect();
    let cases: Vec<Value> = rows
        .iter()
        .map(|(result, name, wanted, got)| json!({ "result": result, "name": name, "expected": wanted, "got": got }))
        .collect();
    output.result(&json!({ "cases": cases, "failed": failed, "policies_without_a_case": unused }), || {
        let table = table(
            &["result", "case", "expected", "got"],
            rows.iter().map(|(result, name, wanted, got)| {
                vec![(*result).to_owned(), name.clone(), wanted.clone(), got.clone()]
            }),
        );
        let summary = format!("{} cases, {failed} failed", rows.len());
        let unused =
            if unused.is_empty() { String::new() } else { format!("\nno case depends on: {}", unused.join(", ")) };
        format!("{table}\n\n{summary}{unused}")
    });
    Ok(if failed == 0 && !rows.is_empty() { Answer::Yes } else { Answer::No })
}

fn tables(home: &Home) -> Result<Vec<PathBuf>> {
    let dir = home.config.policy.dir.as_deref().map(|dir| home.path(dir));
    let dir =
        dir.ok_or_else(|| ConfigError::new("the configuration has no policy folder; name the files with the cases"))?;
    let entries = std::fs::read_dir(&dir).with_context(|| format!("`{}`", dir.display()))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.to_string_lossy().ends_with(".test.toml"))
        .collect();
    files.sort();
    if files.is_empty() {
        return Err(
            ConfigError::new(format!("{} has no *.test.toml; name the files with the cases", dir.display())).into()
        );
    }
    Ok(files)
}

fn read(file: &Path) -> Result<Cases> {
    let wrong = |what: String| ConfigError::new(format!("{}: {what}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    let cases: Cases = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    for case in &cases.cases {
        if case.reason.as_deref().is_some_and(|reason| ReasonCode::parse(reason).is_none()) {
            return Err(wrong(format!(
                "case `{}`: its `reason` is not a reason code; see docs/reference/reason-codes.md",
                case.name
            ))
            .into());
        }
    }
    Ok(cases)
}
