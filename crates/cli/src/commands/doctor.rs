//! `refmon doctor`: which promises hold on this machine, and which do not, with the reason.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use refmon_core::contract::{Effect, Kind};
use refmon_core::ports::{Moment, Wait};
use refmon_core::record::{Event, Notice, Record};
use refmon_gateway::system::System;
use serde_json::{Value, json};

use crate::args::Arguments;
use crate::home::Home;
use crate::output::{Answer, Output, table};

/// One promise on this machine.
struct Finding {
    promise: &'static str,
    holds: bool,
    why: String,
}

pub(crate) fn run(arguments: &Arguments, output: Output) -> Result<Answer> {
    let findings = match Home::open(arguments) {
        Ok(home) => examine(&home),
        Err(error) => vec![finding("configuration", false, format!("{error:#}"))],
    };
    let rows: Vec<Value> =
        findings.iter().map(|one| json!({ "promise": one.promise, "holds": one.holds, "why": one.why })).collect();
    output.result(&json!(rows), || {
        table(
            &["promise", "holds", "why"],
            findings.iter().map(|one| {
                vec![one.promise.to_owned(), if one.holds { "yes" } else { "NO" }.to_owned(), one.why.clone()]
            }),
        )
    });
    Ok(if findings.iter().all(|one| one.holds) { Answer::Yes } else { Answer::No })
}

fn finding(promise: &'static str, holds: bool, why: impl Into<String>) -> Finding {
    Finding { promise, holds, why: why.into() }
}

fn examine(home: &Home) -> Vec<Finding> {
    let mut findings = vec![finding("configuration", true, home.file.display().to_string())];
    let loaded = match home.load() {
        Ok(loaded) => loaded,
        Err(error) => {
            findings.push(finding("deny by default", true, "the bundle is broken, so nothing starts"));
            findings.push(finding("contracts and policies", false, error.to_string()));
            return findings;
        }
    };
    findings.push(match crate::commands::halt::halted(home) {
        Some(why) => finding("calls are not halted", false, why),
        None => finding("calls are not halted", true, format!("`{}` is not there", home.switch().file().display())),
    });
    let report = &loaded.report;
    let warnings = report.findings.len();
    let sound = format!("{} operations, {} policies, {warnings} warnings", report.operations, report.policies);
    findings.push(finding("contracts and policies", true, sound));
    findings.push(evidence(home));
    findings.push(private(&home.path(&home.config.data)));
    findings.push(secrets(home));
    findings.push(keeper());
    for tool in loaded.bundle.tools() {
        let contract = &tool.contract;
        let runs_code = contract.effects.contains(Effect::Execute);
        let free_path =
            contract.arguments.values().any(|rule| matches!(&rule.kind, Kind::Path { roots, .. } if roots.is_empty()));
        if runs_code {
            let why = format!(
                "`{}` runs code, which can reach what no path argument shows; run its server in a sandbox",
                tool.action
            );
            findings.push(finding("the guard's own files", false, why));
        } else if free_path {
            findings.push(finding(
                "paths stay in their roots",
                false,
                format!("`{}` has a path without `roots`", tool.action),
            ));
        }
    }
    findings
}

/// A record is written and made durable, as for a call.
fn evidence(home: &Home) -> Finding {
    let written = home.open_journal(Arc::new(System::new())).and_then(|(journal, _)| {
        let at: Moment = refmon_core::ports::Clock::now(&System::new());
        refmon_core::ports::Journal::append(
            &journal,
            &Record::Notice(Notice { at, event: Event::Stopped }),
            Wait::Durable,
        )?;
        journal.close()?;
        Ok(())
    });
    match written {
        Ok(()) => finding("evidence before execution", true, "a record was made durable"),
        Err(error) => finding("evidence before execution", false, format!("{error:#}; every call is denied")),
    }
}

fn private(data: &Path) -> Finding {
    match std::fs::metadata(data).map(|metadata| metadata.permissions().mode() & 0o077) {
        Ok(0) => finding("evidence and keys are private", true, data.display().to_string()),
        Ok(_) => {
            let why = format!("others can enter `{}`; run `chmod 700` on it", data.display());
            finding("evidence and keys are private", false, why)
        }
        Err(error) => finding("evidence and keys are private", false, format!("{}: {error}", data.display())),
    }
}

fn secrets(home: &Home) -> Finding {
    let broken: Vec<String> = home
        .config
        .servers
        .iter()
        .filter(|server| !server.command.is_empty())
        .filter_map(|server| home.launch(server, &[]).err().map(|error| error.to_string()))
        .collect();
    let why = if broken.is_empty() { "every reference resolves".to_owned() } else { broken.join("; ") };
    finding("secrets are references", broken.is_empty(), why)
}

fn keeper() -> Finding {
    let own = rustix::process::getpid();
    match rustix::process::pidfd_open(own, rustix::process::PidfdFlags::empty()) {
        Ok(_) => finding("servers end with the monitor", true, "the kernel has process descriptors"),
        Err(error) => {
            finding("servers end with the monitor", false, format!("process descriptors are not available: {error}"))
        }
    }
}
