//! `refmon init`: look at a server's tools, write a configuration, a contract and a starter policy. Nothing that
//! exists is overwritten, and nothing of the server is called.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use refmon_core::bundle::Tool;
use refmon_core::contract::{Effect, HoldMode};
use refmon_core::ids::{Operation, ServerName};
use refmon_gateway::probe::{self, Offer};
use refmon_policy::source::definitions_path;
use serde_json::{Value, json};

use super::contract::confirm;
use crate::args::{Arguments, InitOptions};
use crate::config::ConfigError;
use crate::home::{self, Home};
use crate::output::{Answer, Output, coloured, table};
use crate::suggest::{self, Suggestion};

pub(crate) fn run(arguments: &Arguments, options: &InitOptions, output: Output) -> Result<Answer> {
    let name = name(options)?;
    let file = arguments.config.clone().unwrap_or_else(|| PathBuf::from("refmon.toml"));
    let folder = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
    let contract = folder.join(format!("contracts/{name}.toml"));
    if contract.exists() {
        return Err(ConfigError::new(format!(
            "`{}` exists already and is not overwritten; `refmon contract diff {name}` compares it with the server, `--name` chooses another name",
            contract.display()
        ))
        .into());
    }
    let shown: Vec<String> = options.server.iter().map(|word| format!("{word:?}")).collect();
    output.say(&format!("this starts the server to ask for its tools (`--yes` does not ask): {}", shown.join(" ")));
    if !options.yes && !confirm("start it? [y/N] ")? {
        output.say("nothing was started or written");
        return Ok(Answer::No);
    }
    let launch = home::launch(options.server.clone(), folder.clone())?;
    let told = output;
    let offer = probe::ask(&launch, move |text| told.say(text))?;
    let roots = suggest::roots(&options.server);
    let suggestions: Vec<Suggestion> =
        offer.tools.iter().filter_map(|tool| suggest::tool(&name, tool, &roots)).collect();
    write(&file, &folder, &contract, &name, options, &offer, &suggestions)?;
    let home = Home::open(&Arguments {
        config: Some(file.clone()),
        json: arguments.json,
        command: crate::args::Command::Doctor,
    })?;
    home.data()?;
    summary(&home, &name, options, &suggestions, output)?;
    Ok(Answer::Yes)
}

/// The name for a server: given, or the last word of its command that is a name.
fn name(options: &InitOptions) -> Result<String> {
    let guess = || {
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

fn write(
    file: &Path,
    folder: &Path,
    contract: &Path,
    name: &str,
    options: &InitOptions,
    offer: &Offer,
    suggestions: &[Suggestion],
) -> Result<()> {
    for new in ["contracts", "policies"] {
        fs::create_dir_all(folder.join(new)).with_context(|| format!("`{}`", folder.join(new).display()))?;
    }
    suggest::write_definitions(&definitions_path(contract), name, &offer.tools)?;
    let (methods, _) = suggest::methods(name, &offer.capabilities);
    let entries: String = suggestions.iter().map(|suggestion| suggestion.text.as_str()).collect();
    let head = format!(
        "# What the tools of `{name}` are. Suggested by refmon from names, schemas and the server's own claims: read it.\n# The definitions that it was made for are in {name}.definitions.json.\nserver = \"{name}\"\nversion = 1\n"
    );
    suggest::replace(contract, &format!("{head}{entries}{methods}"))?;
    let policy = folder.join(format!("policies/{name}.cedar"));
    if !policy.exists() {
        suggest::replace(&policy, &starter(name, suggestions))?;
    }
    configure(file, name, options)
}

/// Permits for what does more than read; what was not understood stays denied until somebody has looked at it.
fn starter(name: &str, suggestions: &[Suggestion]) -> String {
    let mut text = format!(
        "// Who may call the tools of `{name}`. The pack `baseline` permits what only reads, and asks for an approval for\n// what destroys, executes or administers. Everything else needs a permit here. Delete what you do not want.\n"
    );
    for suggestion in suggestions.iter().filter(|suggestion| !suggestion.effects.only_reads()) {
        let tool = &suggestion.name;
        let effects: Vec<&str> = suggestion.effects.iter().map(Effect::as_str).collect();
        let policy = format!(
            "@id(\"{name}.{tool}\")\n@reason(\"the operator permits {tool}\")\npermit (principal, action == Refmon::Action::\"{name}/{tool}@1\", resource);"
        );
        let policy = if suggestion.understood {
            policy
        } else {
            let comment: Vec<String> = policy.lines().map(|line| format!("// {line}")).collect();
            format!("// not understood, so denied until somebody has looked at it:\n{}", comment.join("\n"))
        };
        text.push_str(&format!("\n// {}\n{policy}\n", effects.join(", ")));
    }
    text
}

/// Adds the server to the configuration, or writes a new one.
fn configure(file: &Path, name: &str, options: &InitOptions) -> Result<()> {
    let command: toml_edit::Array = options.server.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let scopes = [format!("{name}:read"), format!("{name}:write")];
    let mut document: toml_edit::DocumentMut = if file.exists() {
        let text = fs::read_to_string(file).with_context(|| format!("`{}`", file.display()))?;
        text.parse().map_err(|error| ConfigError::new(format!("{}: {error}", file.display())))?
    } else {
        let new = "# refmon: every tool call of every agent is judged, recorded, and only then made.\nversion = 1\ndata = \".refmon\"   # evidence, state, keys: for this user alone\n\n[identity]\nkind = \"local\"     # the person at this machine\nscopes = []\n\n[policy]\npacks = [\"baseline\"]\ndir = \"policies\"\n";
        new.parse().context("the new configuration")?
    };
    if let Some(known) = document
        .get_mut("identity")
        .and_then(|identity| identity.get_mut("scopes"))
        .and_then(toml_edit::Item::as_array_mut)
    {
        for scope in scopes {
            if !known.iter().any(|old| old.as_str() == Some(&scope)) {
                known.push(scope);
            }
        }
    }
    let mut server = toml_edit::Table::new();
    server.insert("name", toml_edit::value(name));
    server.insert("command", toml_edit::value(command));
    server.insert("contract", toml_edit::value(format!("contracts/{name}.toml")));
    let servers =
        document.entry("server").or_insert_with(|| toml_edit::Item::ArrayOfTables(toml_edit::ArrayOfTables::new()));
    let servers =
        servers.as_array_of_tables_mut().ok_or_else(|| ConfigError::new("`server` must be written as [[server]]"))?;
    servers.push(server);
    suggest::replace(file, &document.to_string())
}

/// What would be permitted, held and denied, as far as the tool alone says.
fn summary(home: &Home, name: &str, options: &InitOptions, suggestions: &[Suggestion], output: Output) -> Result<()> {
    let loaded = home.load()?;
    let caller = home.caller()?;
    let outcome = |tool: &Tool| {
        if !loaded.bundle.policy().conceivable(&caller, tool) {
            return "deny";
        }
        let contract = &tool.contract;
        let approval = [Effect::Destructive, Effect::Execute, Effect::Admin]
            .iter()
            .any(|effect| contract.effects.contains(*effect));
        if contract.hold == HoldMode::Always || approval { "hold" } else { "permit" }
    };
    let mut rows = Vec::new();
    for tool in loaded.bundle.tools().filter(|tool| tool.contract.server.as_str() == name) {
        let effects: Vec<&str> = tool.contract.effects.iter().map(Effect::as_str).collect();
        let understood = match &tool.contract.operation {
            Operation::Tool(tool) => {
                suggestions.iter().find(|known| known.name == tool.as_str()).is_none_or(|known| known.understood)
            }
            Operation::Method(_) => true,
        };
        let note = if understood { "" } else { "not understood: look at it" };
        let outcome = if understood { outcome(tool) } else { "deny" };
        rows.push((tool.contract.operation.to_string(), outcome, effects.join(", "), note));
    }
    let value: Vec<Value> = rows
        .iter()
        .map(|(tool, outcome, effects, note)| json!({ "tool": tool, "outcome": outcome, "effects": effects, "note": note }))
        .collect();
    output.result(&json!({ "server": name, "tools": value }), || {
        let table = table(&["tool", "outcome", "effects", ""], rows.iter().map(|(tool, outcome, effects, note)| {
            vec![tool.clone(), coloured(outcome), effects.clone(), (*note).to_owned()]
        }));
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
