//! Suggested contracts: effects guessed from names, schema and annotations, each guess with its reason beside it.
//!
//! A suggestion is text for an operator to read, never a decision. What is not understood is taken for the most
//! dangerous. Annotations are claims of a stranger: they can make a guess worse, and better only where the name
//! says the same.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use refmon_core::contract::{Effect, Effects};
use refmon_core::ids::Method;
use refmon_core::json::{Json, Strictness};
use refmon_gateway::definitions::Definition;

/// A suggested entry of a contract.
pub(crate) struct Suggestion {
    /// The tool's name.
    pub(crate) name: String,
    /// The entry.
    pub(crate) text: String,
    /// The guessed effects.
    pub(crate) effects: Effects,
    /// Whether the tool was understood.
    pub(crate) understood: bool,
}

/// Words of a name, and the effect that they suggest.
const WORDS: &[(Effect, &[&str])] = &[
    (
        Effect::Execute,
        &["run", "exec", "execute", "eval", "shell", "command", "script", "bash", "python", "spawn", "invoke"],
    ),
    (
        Effect::Admin,
        &[
            "grant",
            "revoke",
            "permission",
            "permissions",
            "role",
            "roles",
            "user",
            "password",
            "token",
            "admin",
            "allow",
            "configure",
            "install",
            "enable",
            "disable",
            "toggle",
        ],
    ),
    (
        Effect::Destructive,
        &[
            "delete",
            "remove",
            "drop",
            "truncate",
            "purge",
            "reset",
            "kill",
            "clear",
            "destroy",
            "overwrite",
            "move",
            "rename",
            "write",
            "edit",
            "replace",
            "cancel",
            "revert",
        ],
    ),
    (
        Effect::External,
        &[
            "send", "email", "mail", "post", "publish", "tweet", "pay", "payment", "transfer", "http", "webhook",
            "notify", "message", "reply", "share", "invite", "upload", "fetch", "download", "browse", "navigate",
            "request", "url", "gzip",
        ],
    ),
    (
        Effect::Write,
        &[
            "create",
            "add",
            "set",
            "update",
            "insert",
            "append",
            "save",
            "put",
            "patch",
            "mark",
            "make",
            "open",
            "close",
            "assign",
            "subscribe",
            "trigger",
            "start",
            "stop",
        ],
    ),
    (
        Effect::Read,
        &[
            "read",
            "get",
            "list",
            "search",
            "find",
            "query",
            "describe",
            "show",
            "view",
            "count",
            "check",
            "status",
            "tree",
            "info",
            "lookup",
            "echo",
            "print",
            "sum",
            "compare",
            "summarize",
            "validate",
            "head",
            "tail",
            "stat",
            "diff",
            "log",
            "explain",
            "inspect",
            "allowed",
            "annotated",
            "structured",
            "think",
            "thinking",
        ],
    ),
];

/// Suggests an entry; `None` if the definition has no usable name.
pub(crate) fn tool(server: &str, definition: &Definition, roots: &[String]) -> Option<Suggestion> {
    let name = definition.name.as_ref()?.to_string();
    let json = Json::parse_with(&definition.text, Strictness::Data).ok()?;
    let (effects, reason, understood) = effects(&name, &json);
    let reads = effects.only_reads();
    let mut text = format!("\n[tool.{}]\n", toml_key(&name));
    text.push_str(&format!("pin = \"{}\"\n", definition.pin));
    text.push_str(&format!("# guess: {reason}\n"));
    let names: Vec<String> = effects.iter().map(|effect| format!("\"{}\"", effect.as_str())).collect();
    text.push_str(&format!("effects = [{}]\n", names.join(", ")));
    text.push_str(&format!("required_scopes = [\"{server}:{}\"]\n", if reads { "read" } else { "write" }));
    let arguments = arguments(&name, &json, roots);
    if reads && roots.is_empty() && arguments.contains("kind = \"path\"") {
        text.push_str(
            "hold = \"always\"   # no folder is known for its paths: give them `roots`, then take this line out\n",
        );
    }
    if !reads {
        text.push_str("hold = \"always\"   # a person decides on every call; \"policy\" leaves it to the policies\n");
    }
    text.push_str(&arguments);
    Some(Suggestion { name, text, effects, understood })
}

/// Suggests entries for what the server can do besides tools.
pub(crate) fn methods(server: &str, capabilities: &[String]) -> (String, Vec<Method>) {
    let offered = |name: &str| capabilities.iter().any(|capability| capability == name);
    let mut methods = Vec::new();
    if offered("resources") {
        methods.extend([
            Method::ResourcesList,
            Method::ResourceTemplatesList,
            Method::ResourcesRead,
            Method::ResourcesSubscribe,
        ]);
    }
    if offered("prompts") {
        methods.extend([Method::PromptsList, Method::PromptsGet]);
    }
    if offered("completions") {
        methods.push(Method::CompletionComplete);
    }
    let entries: String = methods
        .iter()
        .map(|method| format!("\n[method.\"{method}\"]\neffects = [\"read\"]\nrequired_scopes = [\"{server}:read\"]\n"))
        .collect();
    let note = "
# What the server may ask of the client (a model's answer, a question to the user, folders) is denied unless it has
# an entry: [method.\"sampling/createMessage\"], [method.\"elicitation/create\"], [method.\"roots/list\"].
# The same goes for [method.\"tasks/get\"] and its siblings.
";
    (format!("{entries}{note}"), methods)
}

fn effects(name: &str, definition: &Json<'_>) -> (Effects, String, bool) {
    let words = words(name);
    let mut found: Vec<Effect> = Vec::new();
    let mut reasons: Vec<String> = Vec::new();
    for (effect, hints) in WORDS {
        if let Some(word) = words.iter().find(|word| hints.contains(&word.as_str())) {
            found.push(*effect);
            reasons.push(format!("`{word}` in the name suggests {}", effect.as_str()));
        }
    }
    let hint = |key: &str| definition.member("annotations").and_then(|hints| hints.member(key)).and_then(Json::as_bool);
    if hint("destructiveHint") == Some(true)
        && hint("readOnlyHint") != Some(true)
        && !found.contains(&Effect::Destructive)
    {
        found.push(Effect::Destructive);
        reasons.push("the server says that it destroys".to_owned());
    }
    let harmless = found.iter().all(|effect| *effect == Effect::Read);
    if found.is_empty() && hint("readOnlyHint") == Some(true) {
        reasons.push("the server claims that it only reads, and the name says nothing: look at it".to_owned());
    }
    if hint("readOnlyHint") == Some(false) && harmless {
        found.push(Effect::Write);
        reasons.push("the server says that it does more than read".to_owned());
    }
    match Effects::new(found.iter().copied()) {
        Some(effects) => (effects, reasons.join("; "), true),
        None => {
            let worst = Effects::new(Effect::ALL).unwrap_or_else(|| unreachable!("the list of effects is not empty"));
            reasons.push("nothing says what it does, so it is taken for the most dangerous".to_owned());
            (worst, reasons.join("; "), false)
        }
    }
}

/// `read_text-file` and `readTextFile` are three words each.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut lower = false;
    for character in name.chars() {
        let starts = character.is_ascii_uppercase() && lower;
        if !character.is_ascii_alphanumeric() || starts {
            words.push(String::new());
        }
        if let (true, Some(word)) = (character.is_ascii_alphanumeric(), words.last_mut()) {
            word.push(character.to_ascii_lowercase());
        }
        lower = character.is_ascii_lowercase();
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The words of a text, in lower case.
fn words_of(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|c: char| !c.is_ascii_alphanumeric()).map(str::to_ascii_lowercase)
}

/// Suggests what the top-level arguments mean, where name and type say so.
fn arguments(tool: &str, definition: &Json<'_>, roots: &[String]) -> String {
    let properties = definition.member("inputSchema").and_then(|schema| schema.member("properties"));
    let mut text = String::new();
    for (name, schema) in properties.and_then(Json::as_object).unwrap_or_default() {
        let kind = schema.member("type").and_then(Json::as_text).unwrap_or_default();
        let item = schema.member("items").and_then(|items| items.member("type")).and_then(Json::as_text);
        let (path, single) = match (kind, item) {
            ("array", Some(item)) => (format!("{name}[]"), item),
            _ => (name.to_string(), kind),
        };
        let Some((kind, role)) = meaning(name, single, schema) else { continue };
        if name.contains(['.', '[', ']']) {
            continue;
        }
        text.push_str(&format!(
            "[tool.{}.args.{}]\nkind = \"{kind}\"\nrole = \"{role}\"\n",
            toml_key(tool),
            toml_key(&path)
        ));
        if kind == "path" && !roots.is_empty() {
            text.push_str(&format!("roots = [{}]\n", roots.join(", ")));
        }
    }
    text
}

fn meaning(name: &str, kind: &str, schema: &Json<'_>) -> Option<(&'static str, &'static str)> {
    let words = words(name);
    let has = |hints: &[&str]| words.iter().any(|word| hints.contains(&word.as_str()));
    let described = schema.member("description").and_then(Json::as_text).unwrap_or_default();
    let sql = words_of(described).any(|word| word == "sql");
    let format = schema.member("format").and_then(Json::as_text).unwrap_or_default();
    match kind {
        "boolean" => Some(("flag", "other")),
        "number" | "integer" if has(&["amount", "price", "total", "sum", "cost"]) => Some(("amount", "amount")),
        "string" if has(&["path", "paths", "file", "filename", "directory", "dir", "folder"]) => {
            Some(("path", "object"))
        }
        "string" if name == "source" || name == "destination" => Some(("path", "object")),
        "string" if format == "email" || has(&["email"]) => Some(("email", "target")),
        "string" if format == "uri" || has(&["url", "uri", "href"]) => Some(("url", "target")),
        "string" if sql || has(&["sql"]) => Some(("sql", "query")),
        "string" if has(&["command", "cmd"]) => Some(("command", "object")),
        "string" if format == "date-time" || format == "date" => Some(("when", "other")),
        "string" if has(&["content", "contents", "text", "body", "message", "html", "markdown"]) => {
            Some(("content", "content"))
        }
        "string" if has(&["query", "search", "pattern", "q"]) => Some(("query", "query")),
        _ => None,
    }
}

/// A TOML key: bare if it can be, else quoted.
fn toml_key(name: &str) -> String {
    let bare = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if bare && !name.is_empty() { name.to_owned() } else { toml_edit::Value::from(name).to_string().trim().to_owned() }
}

/// Writes the definitions exactly as the server listed them, one tool after the other.
pub(crate) fn write_definitions(file: &Path, server: &str, tools: &[Definition]) -> Result<()> {
    let mut bytes = format!("{{\"server\":{},\"tools\":[", serde_json::Value::from(server)).into_bytes();
    let named: Vec<&Definition> = tools.iter().filter(|tool| tool.name.is_some()).collect();
    for (index, tool) in named.into_iter().enumerate() {
        bytes.extend_from_slice(if index == 0 { b"\n" } else { b",\n" });
        bytes.extend_from_slice(&tool.text);
    }
    bytes.extend_from_slice(b"\n]}\n");
    replace(file, &String::from_utf8(bytes).context("the server's definitions are not UTF-8")?)
}

/// Replaces a file whole or not at all.
pub(crate) fn replace(file: &Path, text: &str) -> Result<()> {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let temporary = file.with_file_name(name);
    let written = fs::File::create(&temporary).and_then(|mut new| {
        new.write_all(text.as_bytes())?;
        new.sync_all()
    });
    written
        .and_then(|()| fs::rename(&temporary, file))
        .with_context(|| format!("`{}` cannot be written", file.display()))
}

/// Folders among a command's arguments: the likely roots of its paths. Relative ones start from `cwd`.
pub(crate) fn roots(command: &[std::ffi::OsString], cwd: Option<&Path>) -> Vec<String> {
    command
        .iter()
        .skip(1)
        .map(|word| cwd.map_or_else(|| PathBuf::from(word), |cwd| cwd.join(word)))
        .filter(|path| path.is_dir())
        .map(|path| toml_edit::Value::from(path.to_string_lossy().as_ref()).to_string().trim().to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use refmon_core::bundle::pin;

    use super::*;

    fn suggest(text: &str) -> Suggestion {
        let json = Json::parse_with(text.as_bytes(), Strictness::Data).unwrap();
        let name =
            json.member("name").and_then(Json::as_text).and_then(|name| refmon_core::ids::ToolName::parse(name).ok());
        tool("s", &Definition { name, pin: pin(&json), text: text.as_bytes().to_vec() }, &["\"./data\"".to_owned()])
            .unwrap()
    }

    #[test]
    fn what_is_not_understood_is_taken_for_the_most_dangerous() {
        for text in [r#"{"name":"frobnicate"}"#, r#"{"name":"frobnicate","annotations":{"readOnlyHint":true}}"#] {
            let suggestion = suggest(text);
            assert!(!suggestion.understood);
            assert_eq!(suggestion.effects.iter().count(), Effect::ALL.len());
        }
    }

    #[test]
    fn a_claim_makes_a_guess_worse_but_not_better() {
        assert!(suggest(r#"{"name":"read_file"}"#).effects.only_reads());
        assert!(!suggest(r#"{"name":"read_file","annotations":{"readOnlyHint":false}}"#).effects.only_reads());
        assert!(
            suggest(r#"{"name":"readThing","annotations":{"destructiveHint":true}}"#)
                .effects
                .contains(Effect::Destructive)
        );
        assert!(!suggest(r#"{"name":"delete_file","annotations":{"readOnlyHint":true}}"#).effects.only_reads());
    }

    #[test]
    fn a_path_without_a_known_folder_is_held_and_sql_is_known_by_its_description() {
        let json = r#"{"name":"read_stuff","inputSchema":{"properties":{"path":{"type":"string"}}}}"#;
        let parsed = Json::parse_with(json.as_bytes(), Strictness::Data).unwrap();
        let name = refmon_core::ids::ToolName::parse("read_stuff").ok();
        let definition = Definition { name, pin: pin(&parsed), text: json.as_bytes().to_vec() };
        assert!(tool("s", &definition, &[]).unwrap().text.contains("hold = \"always\""));
        assert!(!tool("s", &definition, &["\"./d\"".to_owned()]).unwrap().text.contains("hold"));
        let text = suggest(r#"{"name":"read_query","inputSchema":{"properties":{"query":{"type":"string","description":"SELECT SQL query to execute"}}}}"#).text;
        assert!(text.contains("kind = \"sql\""), "{text}");
    }

    #[test]
    fn arguments_get_kinds_where_name_and_type_agree() {
        let text = suggest(r#"{"name":"read_many","inputSchema":{"properties":{"paths":{"type":"array","items":{"type":"string"}},"n":{"type":"integer"},"dry run":{"type":"boolean"}}}}"#).text;
        assert!(
            text.contains(
                "[tool.read_many.args.\"paths[]\"]\nkind = \"path\"\nrole = \"object\"\nroots = [\"./data\"]"
            ),
            "{text}"
        );
        assert!(text.contains("[tool.read_many.args.\"dry run\"]\nkind = \"flag\""), "{text}");
        assert!(!text.contains("args.n]"), "{text}");
    }
}
