//! `refmon contract`: what a server lists now against what its contract was made for.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use refmon_core::digest::Pin;
use refmon_core::json::{Json, Strictness};
use refmon_gateway::definitions::Definition;
use refmon_gateway::probe;
use refmon_policy::source::definitions_path;
use serde_json::{Value, json};
use similar::TextDiff;
use toml_edit::DocumentMut;

use crate::args::{Arguments, ContractCommand};
use crate::home::Home;
use crate::output::{Answer, Output};
use crate::suggest;

pub(crate) fn run(arguments: &Arguments, command: &ContractCommand, output: Output) -> Result<Answer> {
    let home = Home::open(arguments)?;
    let (name, accept) = match command {
        ContractCommand::Diff { server } => (server, None),
        ContractCommand::Accept { server, yes } => (server, Some(*yes)),
    };
    let server = home.server(name)?;
    let path = home.path(&server.contract);
    let known = known(&path)?;
    if server.host {
        return of_host(&home, (name, &path), known, accept.is_some(), output);
    }
    let reach = home.reach(server)?;
    let told = output;
    let offer = probe::ask(&reach, move |text| told.say(text))?;
    let changes = changes(&known, &offer.tools);
    let rows: Vec<Value> = changes.iter().map(Change::value).collect();
    if accept.is_none() || changes.is_empty() || !output.json {
        output.result(&json!(rows), || {
            if changes.is_empty() {
                return format!("`{name}` lists exactly what its contract was made for");
            }
            changes.iter().map(Change::text).collect::<Vec<_>>().join("\n")
        });
    }
    if changes.is_empty() {
        return Ok(Answer::Yes);
    }
    let Some(yes) = accept else { return Ok(Answer::No) };
    if !yes && !confirm("accept these definitions? [y/N] ")? {
        output.say("nothing was changed");
        return Ok(Answer::No);
    }
    let before = [path.clone(), definitions_path(&path)].map(|file| (fs::read_to_string(&file).ok(), file));
    write(&path, name, &offer.tools, &changes)?;
    if let Err(error) = home.load() {
        for (text, file) in before {
            suggest::replace(&file, &text.unwrap_or_default())?;
        }
        return Err(error.context("nothing was changed, because the policies would not fit any more; mend them first"));
    }
    output.say(&format!(
        "`{}` and its definitions are updated; read the new entries, then `refmon policy check`",
        path.display()
    ));
    Ok(Answer::Yes)
}

/// What a host runs lists nothing: its definitions file is what the operator says it is, and to accept it is to pin it.
fn of_host(
    home: &Home,
    (name, contract): (&str, &Path),
    known: BTreeMap<String, (Pin, String)>,
    accept: bool,
    output: Output,
) -> Result<Answer> {
    let before = fs::read_to_string(contract).with_context(|| format!("`{}`", contract.display()))?;
    let mut document: DocumentMut = before.parse().with_context(|| format!("`{}`", contract.display()))?;
    let mut changed = Vec::new();
    for (tool, (pin, _)) in known {
        let Some(entry) = document.get_mut("tool").and_then(|tools| tools.get_mut(&tool)) else { continue };
        if entry.get("pin").and_then(toml_edit::Item::as_str) != Some(&pin.to_string()) {
            entry["pin"] = toml_edit::value(pin.to_string());
            changed.push(tool);
        }
    }
    let rows: Vec<Value> = changed.iter().map(|tool| json!({ "change": "pin", "tool": tool })).collect();
    output.result(&json!(rows), || match changed.as_slice() {
        [] => format!("every tool of `{name}` is pinned to its definition"),
        tools => format!("pinned to another definition, or to none: {}", tools.join(", ")),
    });
    if changed.is_empty() {
        return Ok(Answer::Yes);
    }
    if !accept {
        return Ok(Answer::No);
    }
    suggest::replace(contract, &document.to_string())?;
    if let Err(error) = home.load() {
        suggest::replace(contract, &before)?;
        return Err(error.context("nothing was changed, because it would not fit together; mend that first"));
    }
    Ok(Answer::Yes)
}

/// A tool that differs.
pub(crate) enum Change {
    Added { name: String, text: String, like: Option<String> },
    Removed { name: String },
    Changed { name: String, before: String, after: String },
}

impl Change {
    fn value(&self) -> Value {
        match self {
            Self::Added { name, like, .. } => json!({ "change": "added", "tool": name, "renamed_from": like }),
            Self::Removed { name } => json!({ "change": "removed", "tool": name }),
            Self::Changed { name, before, after } => {
                json!({ "change": "changed", "tool": name, "diff": diff(before, after) })
            }
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Added { name, text, like: None } => format!("added `{name}`:\n{}", diff("", text)),
            Self::Added { name, text, like: Some(old) } => {
                format!("added `{name}`, which looks like a new name for `{old}`:\n{}", diff("", text))
            }
            Self::Removed { name } => format!("removed `{name}`\n"),
            Self::Changed { name, before, after } => format!("changed `{name}`:\n{}", diff(before, after)),
        }
    }
}

pub(crate) fn diff(before: &str, after: &str) -> String {
    TextDiff::from_lines(before, after).unified_diff().context_radius(2).to_string()
}

/// The definitions that the contract was made for, by name: pin and text.
pub(crate) fn known(contract: &Path) -> Result<BTreeMap<String, (Pin, String)>> {
    let file = definitions_path(contract);
    let bytes = fs::read(&file).with_context(|| format!("`{}`", file.display()))?;
    let definitions = match refmon_policy::source::parse_definitions(&file, &bytes) {
        Ok(definitions) => definitions,
        Err(problems) => bail!(crate::config::ConfigError::new(
            problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        )),
    };
    let one = |(name, json): (&String, &Json<'_>)| (name.clone(), (refmon_core::bundle::pin(json), pretty(json)));
    Ok(definitions.tools.iter().map(one).collect())
}

pub(crate) fn changes(known: &BTreeMap<String, (Pin, String)>, listed: &[Definition]) -> Vec<Change> {
    let listed: BTreeMap<String, (Pin, String)> = listed
        .iter()
        .filter_map(|tool| {
            let json = Json::parse_with(&tool.text, Strictness::Data).ok()?;
            Some((tool.name.as_ref()?.to_string(), (tool.pin, pretty(&json))))
        })
        .collect();
    let mut changes = Vec::new();
    for (name, (pin, text)) in &listed {
        match known.get(name) {
            Some((before, _)) if before == pin => {}
            Some((_, before)) => {
                changes.push(Change::Changed { name: name.clone(), before: before.clone(), after: text.clone() })
            }
            None => {
                // A new name over an old definition: the text but for its name.
                let renamed =
                    |old: &str, before: &str| !listed.contains_key(old) && without_name(before) == without_name(text);
                let like = known.iter().find(|(old, (_, before))| renamed(old, before)).map(|(old, _)| old.clone());
                changes.push(Change::Added { name: name.clone(), text: text.clone(), like });
            }
        }
    }
    changes.extend(
        known.keys().filter(|name| !listed.contains_key(*name)).map(|name| Change::Removed { name: name.clone() }),
    );
    changes
}

fn without_name(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.starts_with("  \"name\":")).collect()
}

/// The definition as text that can be compared line by line and shown: sorted keys, everything but printable
/// ASCII escaped.
pub(crate) fn pretty(json: &Json<'_>) -> String {
    let value: Value = serde_json::from_str(&json.canonical()).unwrap_or_default();
    let mut out = String::new();
    for character in format!("{value:#}").chars() {
        let plain = character == '\n' || character == ' ' || character.is_ascii_graphic();
        if plain { out.push(character) } else { out.extend(character.escape_unicode()) }
    }
    out.push('\n');
    out
}

/// Writes the definitions and their pins, suggests entries for tools that are new, and takes out those that are gone.
/// The version stays, for policies name it; that the definitions are others is in the pins and the bundle's digest.
fn write(contract: &Path, server: &str, tools: &[Definition], changes: &[Change]) -> Result<()> {
    let text = fs::read_to_string(contract).with_context(|| format!("`{}`", contract.display()))?;
    let mut document: DocumentMut = text.parse().with_context(|| format!("`{}`", contract.display()))?;
    let mut added = String::new();
    for change in changes {
        match change {
            Change::Removed { name } => {
                if let Some(table) = document.get_mut("tool").and_then(toml_edit::Item::as_table_like_mut) {
                    table.remove(name);
                }
            }
            Change::Changed { name, .. } => {
                let pin = tools.iter().find(|tool| tool.name.as_ref().is_some_and(|known| known.as_str() == name));
                let entry = document.get_mut("tool").and_then(|tools| tools.get_mut(name));
                if let (Some(pin), Some(entry)) = (pin, entry) {
                    entry["pin"] = toml_edit::value(pin.pin.to_string());
                }
            }
            Change::Added { name, .. } => {
                let tool = tools.iter().find(|tool| tool.name.as_ref().is_some_and(|known| known.as_str() == name));
                added.extend(tool.and_then(|tool| suggest::tool(server, tool, &[])).map(|suggestion| suggestion.text));
            }
        }
    }
    suggest::write_definitions(&definitions_path(contract), server, tools)?;
    suggest::replace(contract, &format!("{document}{added}"))
}

/// Asks on the terminal. Anything but yes is no.
pub(crate) fn confirm(question: &str) -> Result<bool> {
    let mut errors = std::io::stderr().lock();
    write!(errors, "{question}")?;
    errors.flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
