//! What `refmon init` writes for a server, be it one or all of a client's: a contract with the definitions it is made
//! for, a starter policy, and an entry of the configuration. Nothing that exists is overwritten.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use refmon_core::bundle::Tool;
use refmon_core::caller::Caller;
use refmon_core::contract::{Effect, HoldMode};
use refmon_core::ids::Operation;
use refmon_gateway::probe::Offer;
use refmon_policy::Loaded;
use refmon_policy::source::definitions_path;
use toml_edit::DocumentMut;

use crate::args::{Arguments, Command};
use crate::config::{Config, ConfigError};
use crate::home::Home;
use crate::suggest::{self, Suggestion};

/// Where things are written.
pub(crate) struct Site {
    /// The configuration.
    pub(crate) file: PathBuf,
    /// Its folder.
    pub(crate) folder: PathBuf,
}

/// A server's entry in the configuration.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) command: Vec<String>,
    pub(crate) cwd: Option<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) url: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
    /// Whether the URL may lead to this machine or into a private network.
    pub(crate) private: bool,
    /// Lines for the operator above the entry.
    pub(crate) comment: String,
}

/// What would happen to the calls of one tool or method, as far as the tool alone says.
pub(crate) struct Row {
    pub(crate) tool: String,
    pub(crate) outcome: &'static str,
    pub(crate) effects: String,
    pub(crate) note: &'static str,
}

/// Writes contract, definitions and starter policy of a server that was asked what it offers.
pub(crate) fn describe(site: &Site, name: &str, offer: &Offer, suggestions: &[Suggestion]) -> Result<()> {
    let (methods, _) = suggest::methods(name, &offer.capabilities);
    let entries: String = suggestions.iter().map(|suggestion| suggestion.text.as_str()).collect();
    let about = format!(
        "# What the tools of `{name}` are. Suggested by refmon from names, schemas and the server's own claims: read it.\n# The definitions that it was made for are in {name}.definitions.json.\n"
    );
    site.folders()?;
    suggest::write_definitions(&definitions_path(&site.contract(name)), name, &offer.tools)?;
    suggest::replace(&site.contract(name), &format!("{about}{}{entries}{methods}", head(name)))?;
    let policy = site.folder.join(format!("policies/{name}.cedar"));
    if policy.exists() { Ok(()) } else { suggest::replace(&policy, &starter(name, suggestions)) }
}

/// Writes a contract that describes nothing, so that nothing of the server can be called.
pub(crate) fn describe_nothing(site: &Site, name: &str) -> Result<()> {
    let about = format!(
        "# `{name}` was not asked for its tools. Nothing of it can be called until its tools are described here, and their\n# definitions, as the server lists them, are in {name}.definitions.json.\n"
    );
    site.folders()?;
    suggest::write_definitions(&definitions_path(&site.contract(name)), name, &[])?;
    suggest::replace(&site.contract(name), &format!("{about}{}", head(name)))
}

fn head(name: &str) -> String {
    format!("server = \"{name}\"\nversion = 1\n")
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

/// Adds servers to the configuration, or writes a new one. `remarks` are commented lines for its end.
pub(crate) fn configure(site: &Site, entries: &[Entry], remarks: &str) -> Result<()> {
    let mut document = site.document()?;
    if let Some(known) = document
        .get_mut("identity")
        .and_then(|identity| identity.get_mut("scopes"))
        .and_then(toml_edit::Item::as_array_mut)
    {
        for scope in entries.iter().flat_map(|entry| ["read", "write"].map(|what| format!("{}:{what}", entry.name))) {
            if !known.iter().any(|old| old.as_str() == Some(&scope)) {
                known.push(scope);
            }
        }
    }
    let servers =
        document.entry("server").or_insert_with(|| toml_edit::Item::ArrayOfTables(toml_edit::ArrayOfTables::new()));
    let servers =
        servers.as_array_of_tables_mut().ok_or_else(|| ConfigError::new("`server` must be written as [[server]]"))?;
    for entry in entries {
        servers.push(entry.table());
    }
    let trailing = document.trailing().as_str().unwrap_or_default().to_owned();
    document.set_trailing(format!("{trailing}{remarks}"));
    let text = document.to_string();
    Config::parse(&site.file, &text)?;
    suggest::replace(&site.file, &text)
}

/// What would be permitted, held and denied of a server.
pub(crate) fn rows(loaded: &Loaded, caller: &Caller, name: &str, suggestions: &[Suggestion]) -> Vec<Row> {
    let outcome = |tool: &Tool| {
        if !loaded.bundle.policy().conceivable(caller, tool) {
            return "deny";
        }
        let contract = &tool.contract;
        let approval = [Effect::Destructive, Effect::Execute, Effect::Admin]
            .iter()
            .any(|effect| contract.effects.contains(*effect));
        if contract.hold == HoldMode::Always || approval { "hold" } else { "permit" }
    };
    let row = |tool: &Tool| {
        let effects: Vec<&str> = tool.contract.effects.iter().map(Effect::as_str).collect();
        let understood = match &tool.contract.operation {
            Operation::Tool(tool) => {
                suggestions.iter().find(|known| known.name == tool.as_str()).is_none_or(|known| known.understood)
            }
            Operation::Method(_) => true,
        };
        Row {
            tool: tool.contract.operation.to_string(),
            outcome: if understood { outcome(tool) } else { "deny" },
            effects: effects.join(", "),
            note: if understood { "" } else { "not understood: look at it" },
        }
    };
    loaded.bundle.tools().filter(|tool| tool.contract.server.as_str() == name).map(|tool| row(tool)).collect()
}

// === impl Site ===

impl Site {
    pub(crate) fn new(arguments: &Arguments) -> Self {
        let file = arguments.config.clone().unwrap_or_else(|| PathBuf::from("refmon.toml"));
        let folder = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
        Self { file, folder }
    }

    pub(crate) fn contract(&self, name: &str) -> PathBuf {
        self.folder.join(format!("contracts/{name}.toml"))
    }

    fn folders(&self) -> Result<()> {
        for new in ["contracts", "policies"] {
            fs::create_dir_all(self.folder.join(new))
                .with_context(|| format!("`{}`", self.folder.join(new).display()))?;
        }
        Ok(())
    }

    /// The configuration as it is, or a new one.
    fn document(&self) -> Result<DocumentMut> {
        if self.file.exists() {
            let text = fs::read_to_string(&self.file).with_context(|| format!("`{}`", self.file.display()))?;
            return text.parse().map_err(|error| ConfigError::new(format!("{}: {error}", self.file.display())).into());
        }
        let new = "# refmon: every tool call of every agent is judged, recorded, and only then made.\nversion = 1\ndata = \".refmon\"   # evidence, state, keys: for this user alone\n\n[identity]\nkind = \"local\"     # the person at this machine\nscopes = []\n\n[policy]\npacks = [\"baseline\"]\ndir = \"policies\"\n";
        new.parse().context("the new configuration")
    }

    /// The home that was written, with its data folder.
    pub(crate) fn open(&self, json: bool) -> Result<Home> {
        let home = Home::open(&Arguments { config: Some(self.file.clone()), json, command: Command::Doctor })?;
        home.data()?;
        Ok(home)
    }
}

// === impl Entry ===

impl Entry {
    /// The entry as it stands under `[[server]]`.
    pub(crate) fn table(&self) -> toml_edit::Table {
        let pairs = |pairs: &[(String, String)]| {
            let mut table = toml_edit::InlineTable::new();
            for (name, value) in pairs {
                table.insert(name, value.into());
            }
            toml_edit::value(table)
        };
        let mut table = toml_edit::Table::new();
        table.insert("name", toml_edit::value(&self.name));
        if let Some(url) = &self.url {
            table.insert("url", toml_edit::value(url));
            if self.private {
                table.insert("private", toml_edit::value(true));
            }
        } else {
            let command: toml_edit::Array = self.command.iter().collect();
            table.insert("command", toml_edit::value(command));
        }
        if let Some(cwd) = &self.cwd {
            table.insert("cwd", toml_edit::value(cwd));
        }
        table.insert("contract", toml_edit::value(format!("contracts/{}.toml", self.name)));
        for (key, values) in [("env", &self.env), ("headers", &self.headers)] {
            if !values.is_empty() {
                table.insert(key, pairs(values));
            }
        }
        if !self.comment.is_empty() {
            table.decor_mut().set_prefix(format!("\n{}", commented(&self.comment)));
        }
        table
    }
}

/// Every line as a comment.
pub(crate) fn commented(text: &str) -> String {
    let plain = |c: char| if c.is_control() && c != '\n' { ' ' } else { c };
    let text: String = text.chars().map(plain).collect();
    text.lines().map(|line| format!("{}\n", format!("# {line}").trim_end())).collect()
}
