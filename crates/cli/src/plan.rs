//! From a client's servers to entries of our configuration: names, references, and secrets moved out of the texts.
//!
//! A secret stays in memory to start the server once. What is written and shown are the names of variables.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use refmon_core::secret::Secret;

use crate::client::Found;
use crate::config;
use crate::secrets::{self, Cut, Part, Template};
use crate::setup::Entry;

/// Variables of an editor that mean nothing outside of it.
const EDITOR: &[&str] =
    &["workspaceFolder", "workspaceFolderBasename", "userHome", "pathSeparator", "/", "cwd", "file", "fileDirname"];

/// A server on its way into the configuration.
#[derive(Debug)]
pub(crate) struct Planned {
    /// Its name in the client's file, escaped.
    pub(crate) key: String,
    /// The file, the line and the keys that lead to it.
    pub(crate) place: String,
    /// Its name here.
    pub(crate) name: String,
    pub(crate) command: Vec<Template>,
    pub(crate) cwd: Option<String>,
    pub(crate) env: Vec<(String, Template)>,
    pub(crate) url: Option<Template>,
    pub(crate) headers: Vec<(String, Template)>,
    /// What the operator has to put into the environment.
    pub(crate) moved: Vec<Move>,
    /// What the operator should know.
    pub(crate) notes: Vec<String>,
    /// Why it is not taken, if it is not.
    pub(crate) out: Option<Out>,
}

/// Why a server is not taken.
#[derive(Debug)]
pub(crate) enum Out {
    /// As the client's file has it, it is not used or not needed.
    Skipped(String),
    /// It is in our configuration already.
    Present(String),
    /// It cannot be taken as it is.
    Left(String),
}

/// A value that belongs into the environment, and where it is now.
#[derive(Debug)]
pub(crate) struct Move {
    pub(crate) variable: String,
    pub(crate) told: String,
    /// Whether it stood in the file, and not only a question for it.
    pub(crate) secret: bool,
}

/// Plans all servers of a file. `used` are the names of servers that there are already.
pub(crate) fn plan(file: &Path, found: &[Found], used: &BTreeSet<String>) -> Vec<Planned> {
    let texts = found.iter().flat_map(|found| {
        let values = found.env.iter().chain(&found.headers).map(|(_, value)| value);
        values.chain(&found.command).chain(&found.url)
    });
    let referred = texts.flat_map(|text| pieces(text)).filter_map(|piece| match piece {
        Piece::Variable(name, _) => Some(name),
        Piece::Text(_) | Piece::Input(_) | Piece::Editor(_) => None,
    });
    let mut variables = Variables { taken: referred.collect(), inputs: BTreeMap::new() };
    let mut names = BTreeSet::new();
    let active = found.iter().filter(|found| found.problem.is_none() && !found.disabled);
    let kept: BTreeSet<&str> = active.map(|found| found.key.as_str()).filter(|key| valid(key) == *key).collect();
    let mut planned = Vec::new();
    for (index, one) in found.iter().enumerate() {
        let twin = found.iter().take(index).any(|other| same(other, one));
        let mut server = Planned::new(file, one, &mut names, &kept);
        if server.out.is_none() && used.contains(&server.name) {
            let why = format!("refmon.toml has a server `{}` already, and it is not overwritten", server.name);
            server.out = Some(Out::Present(why));
        }
        if server.out.is_none() && twin {
            server.out = Some(Out::Skipped("it is in the file twice, word for word".to_owned()));
        }
        if server.out.is_none()
            && let Err(problem) = server.fill(one, &mut variables)
        {
            server.out = Some(Out::Left(problem));
        }
        planned.push(server);
    }
    cut_known(&mut planned);
    planned
}

fn same(one: &Found, other: &Found) -> bool {
    one.problem.is_none()
        && (&one.key, &one.command, &one.cwd, &one.env) == (&other.key, &other.command, &other.cwd, &other.env)
        && (&one.url, &one.headers, one.disabled) == (&other.url, &other.headers, other.disabled)
}

/// A secret that was recognised in one place may stand in another one, where nothing says what it is.
fn cut_known(planned: &mut [Planned]) {
    let known: Vec<(String, Secret<String>)> =
        planned.iter().flat_map(Planned::secrets).filter(|(_, value)| distinct(value.expose())).collect();
    for server in planned {
        for template in server.templates_mut() {
            template.cut(&mut |text| {
                known.iter().find_map(|(variable, value)| {
                    let start = text.find(value.expose().as_str())?;
                    let range = start..start + value.expose().len();
                    let value = Some(Secret::new(value.expose().clone()));
                    let part = Part::Reference { variable: variable.clone(), moved: true, value };
                    Some(Cut { range, part })
                })
            });
        }
    }
}

/// Whether a value is found elsewhere only if it is meant: `postgres` is a password and a word.
pub(crate) fn distinct(value: &str) -> bool {
    value.len() >= 16 || (value.len() >= 8 && !value.chars().all(char::is_alphabetic))
}

/// Names of environment variables that are given out.
struct Variables {
    taken: BTreeSet<String>,
    inputs: BTreeMap<String, String>,
}

impl Variables {
    fn fresh(&mut self, server: &str, hint: &str) -> String {
        let upper = |text: &str| -> String {
            text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
        };
        let (server, hint) = (upper(server), upper(hint));
        let mut base = if hint.starts_with(&server) || server.is_empty() { hint } else { format!("{server}_{hint}") };
        if !secrets::variable(&base) {
            base.insert_str(0, "MCP_");
        }
        let mut name = base.clone();
        let mut number = 2;
        while !self.taken.insert(name.clone()) {
            name = format!("{base}_{number}");
            number += 1;
        }
        name
    }
}

/// A piece of a client's text.
enum Piece {
    Text(String),
    Variable(String, Option<String>),
    Input(String),
    Editor(String),
}

/// Splits `${…}` off, and takes a text that is nothing but `$NAME` for a variable.
fn pieces(text: &str) -> Vec<Piece> {
    let upper = |name: &&str| secrets::variable(name) && !name.chars().any(|c| c.is_ascii_lowercase());
    if let Some(name) = text.strip_prefix('$').filter(upper) {
        return vec![Piece::Variable(name.to_owned(), None)];
    }
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, (inside, after))) =
        rest.split_once("${").and_then(|(before, rest)| Some((before, rest.split_once('}')?)))
    {
        pieces.push(Piece::Text(before.to_owned()));
        let plain = inside.strip_prefix("env:").unwrap_or(inside);
        let (name, default) = plain.split_once(":-").map_or((plain, None), |(name, default)| (name, Some(default)));
        pieces.push(match inside.strip_prefix("input:") {
            Some(id) => Piece::Input(id.to_owned()),
            None if secrets::variable(name) && !EDITOR.contains(&inside) => {
                Piece::Variable(name.to_owned(), default.map(str::to_owned))
            }
            None => Piece::Editor(inside.chars().take(64).collect()),
        });
        rest = after;
    }
    pieces.push(Piece::Text(rest.to_owned()));
    pieces.retain(|piece| !matches!(piece, Piece::Text(text) if text.is_empty()));
    pieces
}

// === impl Planned ===

impl Planned {
    fn new(file: &Path, found: &Found, names: &mut BTreeSet<String>, kept: &BTreeSet<&str>) -> Self {
        let key = found.key.escape_debug().to_string();
        let place = format!("{}:{} `{}`", file.display(), found.line, found.place.escape_debug());
        let mut server = Self {
            key,
            place,
            name: String::new(),
            command: Vec::new(),
            cwd: None,
            env: Vec::new(),
            url: None,
            headers: Vec::new(),
            moved: Vec::new(),
            notes: Vec::new(),
            out: None,
        };
        if let Some(problem) = &found.problem {
            server.out = Some(Out::Left(format!("{problem}; mend it in {}", server.place)));
        } else if found.disabled {
            server.out = Some(Out::Skipped("the client has it disabled".to_owned()));
        } else if wrapped(&found.command) {
            server.out = Some(Out::Skipped("it is behind refmon already".to_owned()));
        }
        let base = valid(&found.key);
        server.name.clone_from(&base);
        if server.out.is_some() {
            return server;
        }
        // Who has a valid name keeps it, wherever in the file it stands: a client's permissions hang on names.
        let mut number = 2;
        while (found.key != server.name && kept.contains(server.name.as_str())) || !names.insert(server.name.clone()) {
            server.name = format!("{base}-{number}");
            number += 1;
        }
        if server.name != found.key {
            server.notes.push(format!("`{}` is called `{}` here", server.key, server.name));
        }
        server
    }

    /// Turns the texts of the entry into templates.
    fn fill(&mut self, found: &Found, variables: &mut Variables) -> Result<(), String> {
        let mut flag: Option<&str> = None;
        for (at, word) in found.command.iter().enumerate() {
            let place = if at == 0 { "command".to_owned() } else { format!("args[{}]", at - 1) };
            let template = self.template(word, &place, flag, "ARG", variables)?;
            self.command.push(template);
            flag = Some(word);
        }
        for (name, value) in &found.env {
            if let Some(template) = self.value(name, value, &format!("env.{name}"), variables)? {
                self.env.push((name.clone(), template));
            }
        }
        for (name, value) in &found.headers {
            if let Some(template) = self.value(name, value, &format!("headers.{name}"), variables)? {
                self.headers.push((name.clone(), template));
            }
        }
        if let Some(url) = &found.url {
            let template = self.template(url, "url", None, "URL", variables)?;
            if !(url.starts_with("https://") || url.starts_with("http://")) {
                return Err("its URL must begin with https:// or http://".to_owned());
            }
            self.url = Some(template);
        }
        if let Some(cwd) = &found.cwd {
            let template = self.template(cwd, "cwd", None, "CWD", variables)?;
            let plain = template.plain();
            self.cwd =
                Some(plain.ok_or("its `cwd` refers to a variable; write the folder itself in a copy of the file")?);
        }
        if !found.untaken.is_empty() {
            let keys: Vec<String> = found.untaken.iter().map(|key| format!("`{}`", key.escape_debug())).collect();
            self.notes.push(format!("not taken over from `{}`: {}", self.key, keys.join(", ")));
        }
        Ok(())
    }

    /// The value of a variable or header; `None` if it is left out.
    fn value(
        &mut self,
        name: &str,
        value: &str,
        place: &str,
        variables: &mut Variables,
    ) -> Result<Option<Template>, String> {
        let reads = value.starts_with("env://") || value.starts_with("file://");
        let suspected = secrets::suspected(name) && secrets::worth(name, value);
        let secret = secrets::named(name) || secrets::prefixed(value) || suspected;
        if value.is_empty() && secret {
            self.notes.push(format!("`{place}` of `{}` is empty and left out", self.key));
            return Ok(None);
        }
        let whole = matches!(pieces(value).as_slice(), [] | [Piece::Text(_)]);
        let template = if whole && (secret || reads) {
            let part = self.reference(value, "the value", place, name, variables);
            Template::new(vec![part])
        } else {
            self.template(value, place, None, name, variables)?
        };
        config::check_value(name, &template.written_alone())
            .map_err(|_| format!("its `{place}` has a secret beside a variable; write it as one variable"))?;
        Ok(Some(template))
    }

    /// A text with its variables as references and its secrets moved.
    fn template(
        &mut self,
        text: &str,
        place: &str,
        flag: Option<&str>,
        hint: &str,
        variables: &mut Variables,
    ) -> Result<Template, String> {
        let mut parts = Vec::new();
        for piece in pieces(text) {
            parts.push(match piece {
                Piece::Text(text) => Part::Text(text),
                Piece::Variable(variable, default) => {
                    if default.is_some() {
                        self.notes.push(format!("`${{{variable}}}` of `{}` has a default, which is not taken over: set {variable}", self.key));
                    }
                    Part::Reference { variable, moved: false, value: default.map(Secret::new) }
                }
                Piece::Input(id) => self.input(&id, variables),
                Piece::Editor(name) => {
                    return Err(format!(
                        "`${{{}}}` in its `{place}` means nothing outside the editor; write what it stands for in a copy of the file and give that to `--from`",
                        name.escape_debug()
                    ));
                }
            });
        }
        let mut template = Template::new(parts);
        template.cut(&mut |text| {
            let sighting = secrets::sight(text, flag)?;
            let secret = text.get(sighting.range.clone())?;
            let hint = sighting.name.as_deref().unwrap_or(hint);
            let part = self.reference(secret, &sighting.part, place, hint, variables);
            Some(Cut { range: sighting.range, part })
        });
        Ok(template)
    }

    /// Moves a value into the environment.
    fn reference(&mut self, value: &str, part: &str, place: &str, hint: &str, variables: &mut Variables) -> Part {
        let variable = variables.fresh(&self.name, hint);
        let place = place.escape_debug();
        let told = if part == "the value" {
            format!("set {variable} to the value that `{place}` has in {}", self.place)
        } else {
            format!("set {variable} to {} in `{place}` of {}", part.escape_debug(), self.place)
        };
        self.moved.push(Move { variable: variable.clone(), told, secret: true });
        Part::Reference { variable, moved: true, value: Some(Secret::new(value.to_owned())) }
    }

    /// What an editor asks a person for.
    fn input(&mut self, id: &str, variables: &mut Variables) -> Part {
        let variable = match variables.inputs.get(id) {
            Some(known) => known.clone(),
            None => variables.fresh("", id),
        };
        if variables.inputs.insert(id.to_owned(), variable.clone()).is_none() {
            let told = format!("set {variable} to what the editor asks for as `input:{}`", id.escape_debug());
            self.moved.push(Move { variable: variable.clone(), told, secret: false });
        }
        Part::Reference { variable, moved: false, value: None }
    }

    fn templates(&self) -> impl Iterator<Item = &Template> {
        let values = self.env.iter().chain(&self.headers).map(|(_, value)| value);
        self.command.iter().chain(values).chain(&self.url)
    }

    fn templates_mut(&mut self) -> impl Iterator<Item = &mut Template> {
        let values = self.env.iter_mut().chain(&mut self.headers).map(|(_, value)| value);
        self.command.iter_mut().chain(values).chain(&mut self.url)
    }

    /// The values that were moved, by variable.
    pub(crate) fn secrets(&self) -> Vec<(String, Secret<String>)> {
        let moved = |part: &Part| match part {
            Part::Reference { variable, moved: true, value: Some(value) } => {
                Some((variable.clone(), Secret::new(value.expose().clone())))
            }
            Part::Reference { .. } | Part::Text(_) => None,
        };
        self.templates().flat_map(Template::parts).filter_map(moved).collect()
    }

    /// The variables that the client's file refers to.
    pub(crate) fn referred(&self) -> impl Iterator<Item = &str> {
        self.templates().flat_map(Template::parts).filter_map(|part| match part {
            Part::Reference { variable, moved: false, .. } => Some(variable.as_str()),
            Part::Reference { .. } | Part::Text(_) => None,
        })
    }

    /// The entry as it is written.
    pub(crate) fn entry(&self) -> Entry {
        let pairs = |pairs: &[(String, Template)]| {
            pairs.iter().map(|(name, value)| (name.clone(), value.written_alone())).collect()
        };
        Entry {
            name: self.name.clone(),
            command: self.command.iter().map(Template::written).collect(),
            cwd: self.cwd.clone(),
            env: pairs(&self.env),
            url: self.url.as_ref().map(Template::written),
            headers: pairs(&self.headers),
            private: false,
            comment: String::new(),
        }
    }
}

/// A name for a server: its letters, digits, `-` and `_`, and `-` for everything else.
fn valid(key: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    let mapped: String = key.chars().map(plain).collect();
    if mapped == key && !key.is_empty() && key.len() <= 64 {
        return mapped;
    }
    let words: Vec<&str> = mapped.split('-').filter(|word| !word.is_empty()).collect();
    let name: String = words.join("-").to_ascii_lowercase().chars().take(64).collect();
    if name.is_empty() { "server".to_owned() } else { name }
}

/// Whether a command is refmon's own.
fn wrapped(command: &[String]) -> bool {
    let program = command.first().and_then(|program| Path::new(program).file_name());
    program.is_some_and(|program| program == "refmon") && command.iter().any(|word| word == "wrap")
}
