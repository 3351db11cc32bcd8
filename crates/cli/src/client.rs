//! Client configurations: which MCP servers a client starts or reaches, read from the client's own file.
//!
//! A file is recognised by what is in it, not by its name: JSON, with comments and trailing commas, if it begins with
//! `{`, else TOML. Nothing here writes. What an entry says is the file's claim: a project's file may come from a
//! stranger, so nothing of it is started without a question, and its texts are escaped where they are shown.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use jsonc_parser::{CollectOptions, ParseOptions, ast};
use toml_edit::{Document, Item, TableLike, Value};

use crate::config::ConfigError;

/// Bytes of a client's configuration that are read.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Keys of an entry that are taken over, or say how its transport is called.
const TAKEN: &[&str] = &[
    "args",
    "bearer_token_env_var",
    "command",
    "cwd",
    "description",
    "disabled",
    "enabled",
    "env",
    "env_http_headers",
    "headers",
    "httpUrl",
    "http_headers",
    "serverUrl",
    "transport",
    "type",
    "url",
];

/// One server of a client's configuration, as it is written there.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Its name in the file.
    pub(crate) key: String,
    /// The keys that lead to it, such as `mcpServers.files`.
    pub(crate) place: String,
    /// The line of its name.
    pub(crate) line: usize,
    /// Whether the client does not use it.
    pub(crate) disabled: bool,
    /// The command and its arguments; empty for a server at a URL.
    pub(crate) command: Vec<String>,
    /// The folder that it starts in.
    pub(crate) cwd: Option<String>,
    /// Its environment.
    pub(crate) env: Vec<(String, String)>,
    /// Where it is reached.
    pub(crate) url: Option<String>,
    /// What is sent to the URL with every request.
    pub(crate) headers: Vec<(String, String)>,
    /// Keys of the entry that have no counterpart here.
    pub(crate) untaken: Vec<String>,
    /// What is wrong with the entry; then only name and place are of use.
    pub(crate) problem: Option<String>,
}

/// Reads the servers of a client's configuration, in the order of the file.
pub(crate) fn read(file: &Path) -> Result<Vec<Found>, ConfigError> {
    let text = bounded(file).map_err(|what| ConfigError::new(format!("{}: {what}", file.display())))?;
    let found = parse(file, &text)?;
    if found.is_empty() {
        return Err(ConfigError::new(format!(
            "{}: there are no servers in it; `refmon init -- CMD…` takes a server's command",
            file.display()
        )));
    }
    Ok(found)
}

/// The text of an ordinary file of at most [`FILE_BYTES_MAX`] bytes.
fn bounded(file: &Path) -> Result<String, String> {
    // Looked at before it is opened: opening a pipe waits for its other end.
    let metadata = fs::metadata(file).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("this is no ordinary file; name the client's configuration file itself".to_owned());
    }
    let mut text = Vec::new();
    let bounded = File::open(file).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text));
    bounded.map_err(|error| error.to_string())?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err("it has more than 4 MiB, which no client configuration needs; give a file with the servers alone"
            .to_owned());
    }
    String::from_utf8(text).map_err(|_| "it is not UTF-8 text; save it as UTF-8".to_owned())
}

fn parse(file: &Path, text: &str) -> Result<Vec<Found>, ConfigError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let at = |offset: usize, what: &str| ConfigError::new(format!("{}:{}: {what}", file.display(), line(text, offset)));
    let root = if begins_with_brace(text) {
        // What was meant by a missing comma or a bare name is not guessed.
        let options = ParseOptions {
            allow_loose_object_property_names: false,
            allow_missing_commas: false,
            allow_single_quoted_strings: false,
            allow_hexadecimal_numbers: false,
            allow_unary_plus_numbers: false,
            allow_bare_decimal_point_numbers: false,
            allow_non_finite_numbers: false,
            allow_extended_string_escapes: false,
            ..ParseOptions::default()
        };
        let parsed = jsonc_parser::parse_to_ast(text, &CollectOptions::default(), &options)
            .map_err(|error| at(error.range().start, &error.kind().to_string().to_lowercase()))?;
        parsed.value.as_ref().map(from_json).unwrap_or_default()
    } else {
        let parsed = Document::parse(text).map_err(|error| {
            let message = error.message().lines().next().unwrap_or_default();
            at(
                error.span().map_or(0, |span| span.start),
                &format!("{message} (read as TOML, for it does not begin with `{{`)"),
            )
        })?;
        from_table(parsed.as_table())
    };
    servers(&root, &|offset, what| at(offset, &what), &|offset| line(text, offset))
}

/// The first character that is neither space nor comment.
fn begins_with_brace(text: &str) -> bool {
    let mut rest = text.trim_start();
    loop {
        let after = if let Some(comment) = rest.strip_prefix("//") {
            comment.split_once('\n').map(|(_, after)| after)
        } else if let Some(comment) = rest.strip_prefix("/*") {
            comment.split_once("*/").map(|(_, after)| after)
        } else {
            return rest.starts_with('{');
        };
        rest = after.unwrap_or_default().trim_start();
    }
}

fn line(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

/// Finds the maps of servers, wherever a client keeps them.
fn servers(
    root: &Node,
    at: &dyn Fn(usize, String) -> ConfigError,
    line: &dyn Fn(usize) -> usize,
) -> Result<Vec<Found>, ConfigError> {
    let mut maps: Vec<(String, Option<&str>, &Member)> = Vec::new();
    for key in ["mcpServers", "servers", "mcp_servers"] {
        maps.extend(root.members_of(key).map(|member| (key.to_owned(), None, member)));
    }
    if let Some(editor) = root.member("mcp") {
        maps.extend(editor.members_of("servers").map(|member| ("mcp.servers".to_owned(), None, member)));
    }
    for project in root.member("projects").into_iter().flat_map(Node::table) {
        let of = |member| (format!("projects[{}].mcpServers", project.key), Some(project.key.as_str()), member);
        maps.extend(project.value.members_of("mcpServers").map(of));
    }
    if maps.is_empty() {
        return Err(at(
            0,
            "it has none of `mcpServers`, `servers` and `mcp_servers`, so it is no client's list of MCP servers"
                .to_owned(),
        ));
    }
    let mut found = Vec::new();
    for (place, project, map) in maps {
        let Kind::Table(entries) = &map.value.kind else {
            return Err(at(map.offset, format!("`{place}` must be a table of servers by name")));
        };
        refuse_twice(entries, at)?;
        for entry in entries {
            let place = format!("{place}.{}", entry.key);
            let base = Found { key: entry.key.clone(), place, line: line(entry.offset), ..Found::default() };
            if let Kind::Table(members) = &entry.value.kind {
                refuse_twice(members, at)?;
            }
            found.push(match self::entry(&entry.value, project) {
                Ok(read) => Found { key: base.key, place: base.place, line: base.line, ..read },
                Err(problem) => Found { problem: Some(problem), ..base },
            });
        }
    }
    Ok(found)
}

/// Two members of one name mean one thing to one reader and another to the next.
fn refuse_twice(members: &[Member], at: &dyn Fn(usize, String) -> ConfigError) -> Result<(), ConfigError> {
    let mut seen = BTreeSet::new();
    match members.iter().find(|member| !seen.insert(member.key.as_str())) {
        Some(member) => {
            Err(at(member.offset, format!("`{}` stands here a second time; take one out", member.key.escape_debug())))
        }
        None => Ok(()),
    }
}

fn entry(entry: &Node, project: Option<&str>) -> Result<Found, String> {
    if !matches!(entry.kind, Kind::Table(_)) {
        return Err("its entry is no table of keys".to_owned());
    }
    let mut command: Vec<String> = entry.text("command")?.into_iter().collect();
    let arguments = entry.texts("args")?;
    let urls = [entry.text("url")?, entry.text("serverUrl")?, entry.text("httpUrl")?];
    let url = urls.into_iter().flatten().next();
    match (command.is_empty(), url.is_some()) {
        (true, false) => return Err("it has neither a `command` nor a `url`".to_owned()),
        (false, true) => return Err("it has both a `command` and a `url`; keep one".to_owned()),
        _ => command.extend(arguments),
    }
    let mut headers = entry.pairs("headers")?;
    headers.extend(entry.pairs("http_headers")?);
    let named = entry.pairs("env_http_headers")?;
    headers.extend(named.into_iter().map(|(name, variable)| (name, format!("${{env:{variable}}}"))));
    if let Some(variable) = entry.text("bearer_token_env_var")? {
        headers.push(("Authorization".to_owned(), format!("Bearer ${{env:{variable}}}")));
    }
    // What is for the other kind of server has no meaning in this entry.
    let other: &[&str] = if command.is_empty() {
        &["args", "env", "cwd"]
    } else {
        &["headers", "http_headers", "env_http_headers", "bearer_token_env_var"]
    };
    let meant = |key: &&String| TAKEN.contains(&key.as_str()) && !other.contains(&key.as_str());
    let untaken = entry.table().iter().map(|member| &member.key).filter(|key| !meant(key));
    let (env, cwd) = (entry.pairs("env")?, entry.text("cwd")?);
    let remote = command.is_empty();
    Ok(Found {
        disabled: entry.flag("disabled")? == Some(true) || entry.flag("enabled")? == Some(false),
        // A client starts a project's servers in the project's folder.
        cwd: cwd.or_else(|| project.map(str::to_owned)).filter(|_| !remote),
        command,
        env: if remote { Vec::new() } else { env },
        url,
        headers: if remote { headers } else { Vec::new() },
        untaken: untaken.cloned().collect(),
        ..Found::default()
    })
}

/// JSON and TOML alike, as far as client configurations need them.
#[derive(Debug, Default)]
struct Node {
    kind: Kind,
}

#[derive(Debug, Default)]
enum Kind {
    Text(String),
    Flag(bool),
    List(Vec<Node>),
    Table(Vec<Member>),
    #[default]
    Other,
}

#[derive(Debug)]
struct Member {
    key: String,
    offset: usize,
    value: Node,
}

fn from_json(value: &ast::Value<'_>) -> Node {
    let member = |member: &ast::ObjectProp<'_>| Member {
        key: member.name.as_str().to_owned(),
        offset: member.range.start,
        value: from_json(&member.value),
    };
    let kind = match value {
        ast::Value::StringLit(text) => Kind::Text(text.value.clone().into_owned()),
        ast::Value::BooleanLit(flag) => Kind::Flag(flag.value),
        ast::Value::Array(list) => Kind::List(list.elements.iter().map(from_json).collect()),
        ast::Value::Object(table) => Kind::Table(table.properties.iter().map(member).collect()),
        ast::Value::NumberLit(_) | ast::Value::NullKeyword(_) => Kind::Other,
    };
    Node { kind }
}

fn from_table(table: &dyn TableLike) -> Node {
    let member = |(key, item): (&str, &Item)| {
        let offset = table.key(key).and_then(toml_edit::Key::span).or_else(|| item.span());
        let value = match item {
            Item::Value(value) => from_value(value),
            Item::Table(table) => from_table(table),
            Item::None | Item::ArrayOfTables(_) => Node::default(),
        };
        Member { key: key.to_owned(), offset: offset.map_or(0, |span| span.start), value }
    };
    Node { kind: Kind::Table(table.iter().map(member).collect()) }
}

fn from_value(value: &Value) -> Node {
    let kind = match value {
        Value::String(text) => Kind::Text(text.value().clone()),
        Value::Boolean(flag) => Kind::Flag(*flag.value()),
        Value::Array(list) => Kind::List(list.iter().map(from_value).collect()),
        Value::InlineTable(table) => return from_table(table),
        Value::Integer(_) | Value::Float(_) | Value::Datetime(_) => Kind::Other,
    };
    Node { kind }
}

// === impl Node ===

impl Node {
    fn table(&self) -> &[Member] {
        if let Kind::Table(members) = &self.kind { members } else { &[] }
    }

    fn members_of<'n>(&'n self, key: &'n str) -> impl Iterator<Item = &'n Member> {
        self.table().iter().filter(move |member| member.key == key)
    }

    fn member(&self, key: &str) -> Option<&Self> {
        self.table().iter().find(|member| member.key == key).map(|member| &member.value)
    }

    fn text(&self, key: &str) -> Result<Option<String>, String> {
        match self.member(key).map(|node| &node.kind) {
            None => Ok(None),
            Some(Kind::Text(text)) => Ok(Some(text.clone())),
            Some(_) => Err(format!("its `{key}` must be text")),
        }
    }

    fn flag(&self, key: &str) -> Result<Option<bool>, String> {
        match self.member(key).map(|node| &node.kind) {
            None => Ok(None),
            Some(Kind::Flag(flag)) => Ok(Some(*flag)),
            Some(_) => Err(format!("its `{key}` must be true or false")),
        }
    }

    fn texts(&self, key: &str) -> Result<Vec<String>, String> {
        let wrong = || format!("its `{key}` must be a list of texts");
        match self.member(key).map(|node| &node.kind) {
            None => Ok(Vec::new()),
            Some(Kind::List(items)) => items
                .iter()
                .map(|item| if let Kind::Text(text) = &item.kind { Ok(text.clone()) } else { Err(wrong()) })
                .collect(),
            Some(_) => Err(wrong()),
        }
    }

    fn pairs(&self, key: &str) -> Result<Vec<(String, String)>, String> {
        let wrong = || format!("its `{key}` must be a table of texts, each name once");
        let members = match self.member(key).map(|node| &node.kind) {
            None => return Ok(Vec::new()),
            Some(Kind::Table(members)) => members,
            Some(_) => return Err(wrong()),
        };
        let mut seen = BTreeSet::new();
        let pair = |member: &Member| match &member.value.kind {
            Kind::Text(text) => Ok((member.key.clone(), text.clone())),
            _ => Err(wrong()),
        };
        if members.iter().any(|member| !seen.insert(member.key.as_str())) {
            return Err(wrong());
        }
        members.iter().map(pair).collect()
    }
}
