//! `refmon init --from`: all servers of a client's configuration. The client's file is only read; a server that
//! does not start stops no other; what is left out is said, with the reason.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, anyhow};
use refmon_core::secret::Secret;
use refmon_gateway::link::{Reach, Reachable, Remote};
use refmon_gateway::probe::{self, Offer};
use refmon_policy::Sources;
use refmon_policy::source::definitions_path;
use serde_json::{Value, json};

use super::contract::confirm;
use crate::args::InitOptions;
use crate::client;
use crate::config::{Config, ConfigError};
use crate::home;
use crate::output::{Answer, Output, table};
use crate::plan::{self, Out, Planned};
use crate::secrets::Template;
use crate::setup::{self, Entry, Row, Site};
use crate::suggest::{self, Suggestion};

/// What of a server is written.
enum Taken {
    /// What it offers, and what we make of it.
    Asked(Offer, Vec<Suggestion>),
    /// Its address, and a contract that describes nothing; and why it was not asked.
    Address(String),
}

pub(crate) fn run(site: &Site, from: &Path, options: &InitOptions, output: Output) -> Result<Answer> {
    let found = client::read(from)?;
    let planned = plan::plan(from, &found, &names(site)?);
    // The one copy of the secrets' texts is with the plan.
    drop(found);
    let hide = Arc::new(Hide::new(&planned));
    let mut servers: Vec<(Planned, Option<Taken>)> = Vec::new();
    for mut server in planned {
        let contract = site.contract(&server.name);
        if server.out.is_none() && contract.exists() {
            server.out = Some(Out::Present(format!("`{}` exists already and is not overwritten", contract.display())));
        }
        let taken = match server.out {
            Some(_) => None,
            None => match take(site, &server, options, &hide, output) {
                Ok(taken) => Some(taken),
                Err(why) => {
                    server.out = Some(Out::Left(why.to_string()));
                    None
                }
            },
        };
        servers.push((server, taken));
    }
    // Nothing is written before the last server was asked: whoever stops the questions finds no halves.
    for (server, taken) in &mut servers {
        if let Some(Err(error)) = taken.as_ref().map(|taken| write(site, &server.name, taken)) {
            server.out = Some(Out::Left(error.to_string()));
            *taken = None;
        }
    }
    let mut report = Report { from, site, private: options.private, servers, rows: Vec::new() };
    if report.servers.iter().any(|(_, taken)| taken.is_some()) {
        setup::configure(site, &report.entries(), &report.remarks())?;
        let home = site.open(output.json)?;
        let (loaded, caller) = (home.load()?, home.caller()?);
        let rows = |(server, taken): &(Planned, Option<Taken>)| match taken {
            Some(Taken::Asked(_, suggestions)) => setup::rows(&loaded, &caller, &server.name, suggestions),
            Some(Taken::Address(_)) | None => Vec::new(),
        };
        report.rows = report.servers.iter().map(rows).collect();
    }
    output.result(&report.value(), || report.text());
    let left = report.servers.iter().any(|(server, _)| matches!(server.out, Some(Out::Left(_) | Out::Present(_))));
    Ok(if left { Answer::No } else { Answer::Yes })
}

/// The servers that the configuration has already.
fn names(site: &Site) -> Result<BTreeSet<String>> {
    if !site.file.exists() {
        return Ok(BTreeSet::new());
    }
    let wrong = |error: std::io::Error| ConfigError::new(format!("{}: {error}", site.file.display()));
    let config = Config::parse(&site.file, &fs::read_to_string(&site.file).map_err(wrong)?)?;
    Ok(config.servers.into_iter().map(|server| server.name).collect())
}

/// Asks a server what it offers, if it is one to be asked and somebody says yes.
fn take(site: &Site, server: &Planned, options: &InitOptions, hide: &Arc<Hide>, output: Output) -> Result<Taken> {
    let name = &server.name;
    if let Some(url) = &server.url {
        output.say(&format!("this asks `{name}` for its tools (`--yes` does not ask): {}", url.written()));
        let asked = if !options.yes && !confirm("ask it? [y/N] ")? {
            Err(anyhow!("nobody said yes"))
        } else {
            ask_at(server, url, options.private, hide)
        };
        return match asked {
            Ok(offer) if offer.tools.iter().any(|tool| hide.leaks(&tool.text)) => {
                Err(anyhow!("its list of tools has one of the file's secrets in it, so it is not written"))
            }
            Ok(offer) => {
                let suggested = offer.tools.iter().filter_map(|tool| suggest::tool(name, tool, &[])).collect();
                Ok(Taken::Asked(offer, suggested))
            }
            // Its contract can be made later: `refmon contract accept` asks again.
            Err(why) => Ok(Taken::Address(why.to_string())),
        };
    }
    let words: Vec<String> = server.command.iter().map(|word| format!("{:?}", word.written())).collect();
    output.say(&format!("this starts `{name}` to ask for its tools (`--yes` does not ask): {}", words.join(" ")));
    if !options.yes && !confirm("start it? [y/N] ")? {
        return Err(anyhow!("it was not started, because nobody said yes"));
    }
    let offer = ask(site, server, hide, output)?;
    if offer.tools.iter().any(|tool| hide.leaks(&tool.text)) {
        return Err(anyhow!("its list of tools has one of the file's secrets in it, so it is not written"));
    }
    let command: Vec<OsString> = server.command.iter().filter_map(|word| Some(OsString::from(word.plain()?))).collect();
    let roots = suggest::roots(&command, server.cwd.as_deref().map(|cwd| site.folder.join(cwd)).as_deref());
    let suggestions: Vec<Suggestion> =
        offer.tools.iter().filter_map(|tool| suggest::tool(name, tool, &roots)).collect();
    Ok(Taken::Asked(offer, suggestions))
}

/// Writes contract and policy of a server.
fn write(site: &Site, name: &str, taken: &Taken) -> Result<()> {
    let Taken::Asked(offer, suggestions) = taken else { return setup::describe_nothing(site, name) };
    let (contract, policy) = (site.contract(name), site.folder.join(format!("policies/{name}.cedar")));
    let own = !policy.exists();
    let written = setup::describe(site, name, offer, suggestions);
    written.and_then(|()| loads(site, &contract)).inspect_err(|_| {
        // One server's odd definitions must not make the configuration of all unusable.
        for file in [contract.clone(), definitions_path(&contract)].into_iter().chain(own.then_some(policy)) {
            drop(fs::remove_file(file));
        }
    })
}

/// Whether a contract can be loaded by itself.
fn loads(site: &Site, contract: &Path) -> Result<()> {
    let sources = Sources {
        contracts: vec![contract.to_owned()],
        packs: vec!["baseline".to_owned()],
        policy_dir: None,
        base: site.folder.clone(),
    };
    let loaded = refmon_policy::load(&sources);
    loaded.map(drop).map_err(|error| anyhow!("no contract can be made of what it lists: {error}"))
}

/// Asks a server at its URL as the client does, with the values that the client's file has.
fn ask_at(server: &Planned, url: &Template, private: bool, hide: &Hide) -> Result<Offer> {
    let headers = server.headers.iter().map(|(name, template)| Ok((name.clone(), value(template)?)));
    let reachable = if private { Reachable::Anywhere } else { Reachable::Public };
    let remote = Remote::new(value(url)?.expose(), headers.collect::<Result<Vec<_>>>()?, reachable);
    let offer = remote.map_err(anyhow::Error::new).and_then(|remote| {
        let asked = probe::ask(&Reach::Remote(remote), |_| {});
        asked.map_err(anyhow::Error::new)
    });
    offer.map_err(|error| anyhow!("{}", hide.hide(&causes(&error))))
}

fn value(template: &Template) -> Result<Secret<String>> {
    let unset = |variable: String| anyhow!("the environment variable {variable} is not set; set it and run this again");
    template.value(home::environment).map_err(unset)
}

fn causes(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Starts a server as the client does, with the values that the client's file has.
fn ask(site: &Site, server: &Planned, hide: &Arc<Hide>, output: Output) -> Result<Offer> {
    let command: Result<Vec<OsString>> =
        server.command.iter().map(|word| Ok(OsString::from(value(word)?.expose()))).collect();
    let folder = server.cwd.as_ref().map_or_else(|| site.folder.clone(), |cwd| site.folder.join(cwd));
    let mut launch = home::launch(command?, folder)?;
    for (name, template) in &server.env {
        launch.environment.insert(name.clone(), value(template)?);
    }
    let last = Arc::new(Mutex::new(String::new()));
    let (told, heard, hidden) = (server.name.clone(), Arc::clone(&last), Arc::clone(hide));
    let offer = probe::ask(&Reach::Command(launch), move |text| {
        let text = hidden.hide(text);
        output.say(&format!("{told}: {text}"));
        *heard.lock().unwrap_or_else(PoisonError::into_inner) = text;
    });
    offer.map_err(|error| {
        let last: String = last.lock().unwrap_or_else(PoisonError::into_inner).escape_debug().take(200).collect();
        let said = if last.is_empty() { String::new() } else { format!("; it said: {last}") };
        anyhow!("{}{said}", hide.hide(&causes(&anyhow::Error::new(error))))
    })
}

/// The secrets that servers are given, to keep them out of what servers say.
struct Hide {
    /// Those that stand in the client's file.
    moved: Vec<Secret<String>>,
    /// The values of variables that the file refers to. Some are no secrets.
    referred: Vec<Secret<String>>,
}

impl Hide {
    fn new(planned: &[Planned]) -> Self {
        let moved = planned.iter().flat_map(Planned::secrets).map(|(_, value)| value).collect();
        let referred = planned.iter().flat_map(Planned::referred).filter_map(home::environment);
        Self { moved, referred: referred.map(Secret::new).collect() }
    }

    fn hide(&self, text: &str) -> String {
        let values = self.moved.iter().chain(&self.referred).map(Secret::expose).filter(|value| value.len() >= 3);
        values.fold(text.to_owned(), |text, value| text.replace(value.as_str(), "[secret]"))
    }

    /// Whether a JSON text has a secret of the file in it, however it is escaped.
    fn leaks(&self, json: &[u8]) -> bool {
        let canonical = serde_json::from_slice::<Value>(json).unwrap_or_default().to_string();
        let distinct = self.moved.iter().map(Secret::expose).filter(|value| plan::distinct(value));
        let mut escaped = distinct.map(|value| Value::from(value.as_str()).to_string());
        escaped.any(|value| canonical.contains(value.trim_matches('"')))
    }
}

/// What was done, for people and programs.
struct Report<'a> {
    from: &'a Path,
    site: &'a Site,
    private: bool,
    servers: Vec<(Planned, Option<Taken>)>,
    /// One list for each server; empty if nothing was written.
    rows: Vec<Vec<Row>>,
}

impl Report<'_> {
    /// The entries for the configuration.
    fn entries(&self) -> Vec<Entry> {
        let taken = self.servers.iter().filter_map(|(server, taken)| Some((server, taken.as_ref()?)));
        let entry = |(server, taken): (&Planned, &Taken)| {
            let comment = match taken {
                Taken::Asked(..) => "",
                Taken::Address(_) => {
                    "Not asked for its tools: nothing of it can be called until its contract describes them."
                }
            };
            let private = self.private && server.url.is_some();
            Entry { comment: comment.to_owned(), private, ..server.entry() }
        };
        taken.map(entry).collect()
    }

    /// The servers that are left out, as comments for the end of the configuration.
    fn remarks(&self) -> String {
        let left = self.servers.iter().filter_map(|(server, _)| match &server.out {
            Some(Out::Left(why)) if !server.command.is_empty() || server.url.is_some() => Some((server, why)),
            _ => None,
        });
        let remark = |(server, why): (&Planned, &String)| {
            // What a server said last is for the terminal, not for a file.
            let why = why.split("; it said: ").next().unwrap_or_default();
            let entry = server.entry().table().to_string();
            format!("\n{}", setup::commented(&format!("`{}` was left out: {why}\n[[server]]\n{entry}", server.key)))
        };
        left.map(remark).collect()
    }

    /// Permitted, held, denied.
    fn counts(&self, index: usize) -> Option<[usize; 3]> {
        let rows = self.rows.get(index)?;
        self.servers.get(index)?.1.as_ref()?;
        Some(["permit", "hold", "deny"].map(|outcome| rows.iter().filter(|row| row.outcome == outcome).count()))
    }

    fn next(&self) -> Vec<String> {
        let out = |server: &&(Planned, Option<Taken>)| server.1.is_some() || matches!(server.0.out, Some(Out::Left(_)));
        let moved = self.servers.iter().filter(out).flat_map(|(server, _)| &server.moved);
        let mut next: Vec<String> = moved.map(|moved| moved.told.clone()).collect();
        if self.rows.is_empty() {
            return next;
        }
        let file = self.site.file.canonicalize().unwrap_or_else(|_| self.site.file.clone());
        next.push("read the contracts: they are guesses".to_owned());
        for (server, taken) in &self.servers {
            next.extend(taken.as_ref().map(|taken| match taken {
                Taken::Asked(..) if server.url.is_some() => {
                    format!("`{}` has a URL, which `wrap` does not reach: `refmon serve` is for it", server.name)
                }
                Taken::Asked(..) => format!(
                    "in the client, put in place of the command of `{}`: refmon --config {} wrap --name {}",
                    server.key,
                    file.display(),
                    server.name
                ),
                Taken::Address(why) => format!(
                    "`{0}` was not asked for its tools: {why}; nothing of it can be called until `refmon contract accept {0}` could",
                    server.name
                ),
            }));
        }
        next
    }

    fn value(&self) -> Value {
        let servers = self.servers.iter().enumerate().map(|(index, (server, taken))| {
            let state = match (&server.out, taken) {
                (Some(Out::Skipped(_)), _) => "skipped",
                (Some(Out::Left(_) | Out::Present(_)), _) | (None, None) => "left out",
                (None, Some(_)) => "written",
            };
            let tools = self.counts(index).map(|[permit, hold, deny]| json!({ "permit": permit, "hold": hold, "deny": deny }));
            let moved = |secret: bool| -> Vec<&str> {
                server.moved.iter().filter(|one| one.secret == secret).map(|one| one.variable.as_str()).collect()
            };
            json!({
                "name": server.name, "key": server.key, "place": server.place, "state": state, "why": why(server),
                "reached": reached(server), "tools": tools, "secrets": moved(true), "inputs": moved(false), "notes": server.notes,
            })
        });
        let servers: Vec<Value> = servers.collect();
        let written = if self.rows.is_empty() { Value::Null } else { json!(self.site.file) };
        json!({ "from": self.from, "written": written, "servers": servers, "next": self.next() })
    }

    fn text(&self) -> String {
        let rows = self.servers.iter().enumerate().map(|(index, (server, _))| {
            let counts =
                self.counts(index).map_or([const { String::new() }; 3], |counts| counts.map(|count| count.to_string()));
            let secrets = server.moved.iter().filter(|moved| moved.secret).count();
            let [permit, hold, deny] = counts;
            vec![server.name.clone(), reached(server), permit, hold, deny, secrets.to_string(), why(server)]
        });
        let mut text = table(&["server", "reached by", "permit", "hold", "deny", "secrets", ""], rows);
        for note in self.servers.iter().flat_map(|(server, _)| &server.notes) {
            text.push_str(&format!("\nnote: {note}"));
        }
        let head =
            if self.rows.is_empty() { "nothing was written" } else { "written: refmon.toml, contracts/, policies/" };
        let next: Vec<String> = self.next().iter().map(|step| format!("  - {step}")).collect();
        format!("{text}\n\n{head}; `{}` is as it was\n{}", self.from.display(), next.join("\n"))
    }
}

fn why(server: &Planned) -> String {
    match &server.out {
        Some(Out::Skipped(why)) => format!("skipped: {why}"),
        Some(Out::Left(why) | Out::Present(why)) => format!("left out: {why}"),
        None => String::new(),
    }
}

/// How a server is reached, in a few words.
fn reached(server: &Planned) -> String {
    let text = match (&server.url, server.command.first()) {
        (Some(url), _) => url.written(),
        (None, Some(program)) => program.written(),
        (None, None) => String::new(),
    };
    text.escape_debug().take(60).collect()
}
