//! `refmon init`: look at a server's tools, write a configuration, a contract and a starter policy. Nothing that
//! exists is overwritten, and nothing of the server is called.

use std::ffi::OsString;

use anyhow::Result;
use refmon_core::ids::ServerName;
use refmon_gateway::link::Reach;
use refmon_gateway::probe;
use serde_json::{Value, json};

use super::contract::confirm;
use super::import;
use crate::args::{Arguments, InitOptions};
use crate::config::{ConfigError, check_value};
use crate::home::{self, Home};
use crate::output::{Answer, Output, coloured, table};
use crate::secrets;
use crate::setup::{self, Entry, Site};
use crate::suggest::{self, Suggestion};

pub(crate) fn run(arguments: &Arguments, options: &InitOptions, output: Output) -> Result<Answer> {
    let site = Site::new(arguments);
    if let Some(from) = &options.from {
        return import::run(&site, from, options, output);
    }
    let name = name(options)?;
    let contract = site.contract(&name);
    if contract.exists() {
        return Err(ConfigError::new(format!(
            "`{}` exists already and is not overwritten; `refmon contract diff {name}` compares it with the server, `--name` chooses another name",
            contract.display()
        ))
        .into());
    }
    let entry = entry(&name, options)?;
    let reach = match &entry.url {
        Some(url) => {
            output.say(&format!("this asks {url} for its tools"));
            let headers = entry.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            home::remote(&name, url, headers, entry.private)?
        }
        None => {
            let shown: Vec<String> = options.server.iter().map(|word| format!("{word:?}")).collect();
            output.say(&format!(
                "this starts the server to ask for its tools (`--yes` does not ask): {}",
                shown.join(" ")
            ));
            if !options.yes && !confirm("start it? [y/N] ")? {
                output.say("nothing was started or written");
                return Ok(Answer::No);
            }
            Reach::Command(home::launch(options.server.clone(), site.folder.clone())?)
        }
    };
    let told = output;
    let offer = probe::ask(&reach, move |text| told.say(text))?;
    let roots = suggest::roots(&options.server, None);
    let suggestions: Vec<Suggestion> =
        offer.tools.iter().filter_map(|tool| suggest::tool(&name, tool, &roots)).collect();
    setup::describe(&site, &name, &offer, &suggestions)?;
    setup::configure(&site, &[entry], "")?;
    let home = site.open(output.json)?;
    summary(&home, &name, options, &suggestions, output)?;
    Ok(Answer::Yes)
}

/// The entry of the configuration that the options describe.
fn entry(name: &str, options: &InitOptions) -> Result<Entry> {
    let wrong = |text: String| ConfigError::new(text);
    let mut entry = Entry { name: name.to_owned(), private: options.private, ..Entry::default() };
    let Some(url) = &options.url else {
        if options.private {
            return Err(wrong("`--private` is for a `--url` or the URLs of a file".to_owned()).into());
        }
        entry.command = options.server.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        return Ok(entry);
    };
    if secrets::literal("url", url) {
        let text = "`--url` has a secret in it; put it into the environment and write `${env:NAME}` in its place";
        return Err(wrong(text.to_owned()).into());
    }
    entry.url = Some(url.clone());
    for header in &options.headers {
        let (name, value) =
            header.split_once('=').filter(|(name, value)| !name.is_empty() && !value.is_empty()).ok_or_else(|| {
                wrong("a `--header` has the form `NAME=VALUE`, such as `Authorization=env://TOKEN`".to_owned())
            })?;
        check_value(name, value).map_err(|text| wrong(format!("`--header`: {text}")))?;
        entry.headers.push((name.to_owned(), value.to_owned()));
    }
    Ok(entry)
}

/// The name for a server: given, or the last word of its command that is a name.
fn name(options: &InitOptions) -> Result<String> {
    let guess = || {
        if let Some(url) = &options.url {
            return host_name(url);
        }
        let words = options.server.iter().map(|word| word.to_string_lossy().into_owned());
        let named: Vec<String> = words.filter(|word| !word.starts_with('-') && word.contains("server")).collect();
        let word =
            named.first().cloned().or_else(|| options.server.first().map(|word| word.to_string_lossy().into_owned()));
        let word = word.unwrap_or_default();
        let base =
            word.rsplit('/').next().unwrap_or_default().trim_end_matches(".js").trim_end_matches(".py").to_owned();
        let short = base.trim_start_matches("mcp-").trim_start_matches("server-").trim_end_matches("-mcp").to_owned();
        let plain: String =
            short.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
        if plain.is_empty() { "server".to_owned() } else { plain }
    };
    let name = options.name.clone().unwrap_or_else(guess);
    let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if !plain || ServerName::parse(&name).is_err() {
        return Err(ConfigError::new(
            "a server's name consists of letters, digits, `-` and `_`; give one with `--name`",
        )
        .into());
    }
    Ok(name)
}

/// A name from the host of a URL: the part of it that tells most.
fn host_name(url: &str) -> String {
    let parsed = url::Url::parse(url).ok();
    let host = parsed.as_ref().and_then(url::Url::domain).unwrap_or_default();
    let mut labels = host.split('.').filter(|label| !matches!(*label, "mcp" | "www" | "api" | "localhost" | ""));
    labels.next().unwrap_or("server").to_owned()
}

/// What would be permitted, held and denied, as far as the tool alone says.
fn summary(home: &Home, name: &str, options: &InitOptions, suggestions: &[Suggestion], output: Output) -> Result<()> {
    let rows = setup::rows(&home.load()?, &home.caller()?, name, suggestions);
    let value: Vec<Value> = rows
        .iter()
        .map(|row| json!({ "tool": row.tool, "outcome": row.outcome, "effects": row.effects, "note": row.note }))
        .collect();
    output.result(&json!({ "server": name, "tools": value }), || {
        let table = table(&["tool", "outcome", "effects", ""], rows.iter().map(|row| {
            vec![row.tool.clone(), coloured(row.outcome), row.effects.clone(), row.note.to_owned()]
        }));
        if options.url.is_some() {
            return format!(
                "{table}\n\nwritten: {}, contracts/{name}.toml, contracts/{name}.definitions.json, policies/{name}.cedar\nThese are guesses: read the contract. Then run `refmon serve` and point your client at it:\n\n  refmon --config {} serve\n",
                home.file.display(),
                home.file.display()
            );
        }
        let words: Vec<String> = options.server.iter().map(quoted).collect();
        format!(
            "{table}\n\nwritten: {}, contracts/{name}.toml, contracts/{name}.definitions.json, policies/{name}.cedar\nThese are guesses: read the contract. Then put this in place of the server's command in your client:\n\n  refmon --config {} wrap --name {name} -- {}\n",
            home.file.display(),
            home.file.display(),
            words.join(" ")
        )
    });
    Ok(())
}

fn quoted(word: &OsString) -> String {
    let word = word.to_string_lossy();
    let plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./@:=,+".contains(c));
    if plain && !word.is_empty() { word.into_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}
