//! Contract files: TOML in, [`Contract`]s out.
//!
//! Every key that is accepted is enforced; a key that is not known is an error, and so is a limit that does not
//! belong to the kind of its argument, for an operator would believe in it.

use std::collections::BTreeMap;
use std::path::Path;

use refmon_core::contract::{ArgumentPath, ArgumentRule, Contract, Effect, Effects, HoldMode, Role};
use refmon_core::digest::Pin;
use refmon_core::ids::{Method, Operation, Scope, ServerName, ToolName};
use toml::de::DeTable;

use super::kind::{self, LIMITS};
use super::reader::{Reader, Value};
use crate::problem::{Problem, nearest};

/// What one contract file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContractFile {
    /// The server.
    pub server: ServerName,
    /// The version of the file.
    pub version: u32,
    /// The operations, in the order of their names.
    pub operations: Vec<Declared>,
}

/// One operation of a contract file, and where it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    /// What the operator says it is.
    pub contract: Contract,
    /// The offset of its table.
    pub offset: usize,
    /// The offset of its pin, if it has one.
    pub pin_offset: Option<usize>,
    /// The offsets of its argument rules.
    pub argument_offsets: BTreeMap<ArgumentPath, usize>,
}

/// Reads a contract file. Relative folders start from `base`, which must be absolute.
///
/// # Errors
/// Every problem that was found.
pub fn parse_contract(file: &Path, text: &str, base: &Path) -> Result<ContractFile, Vec<Problem>> {
    let mut reader = Reader::new(file, text);
    let parsed = reader.table().and_then(|table| read(&mut reader, &table, base));
    reader.finish(parsed)
}

fn read<'a>(reader: &mut Reader<'a>, table: &DeTable<'a>, base: &Path) -> Option<ContractFile> {
    reader.only(table, &["server", "version", "tool", "method"], "a contract file");
    let server = reader.required(table, "server", 0, "a contract file").and_then(|value| {
        let text = reader.text(value, "server")?;
        parsed(reader, value.span().start, "server", ServerName::parse(text))
    });
    let version =
        reader.required(table, "version", 0, "a contract file").and_then(|value| reader.number(value, "version"));
    // Without server and version the operations are still read, so that their problems are reported too.
    let header = Header {
        server: server.clone().or_else(|| ServerName::parse("unknown").ok())?,
        version: version.unwrap_or(1),
        base,
    };
    let mut operations = Vec::new();
    for (key, is_tool) in [("tool", true), ("method", false)] {
        let Some(tables) = table.get(key).and_then(|value| reader.subtable(value, key)) else { continue };
        for (name, value) in tables {
            let offset = name.span().start;
            let Some(operation) = operation(reader, name.get_ref(), offset, is_tool) else { continue };
            operations.extend(declared(reader, &header, operation, value, offset));
        }
    }
    Some(ContractFile { server: server?, version: version?, operations })
}

struct Header<'a> {
    server: ServerName,
    version: u32,
    base: &'a Path,
}

fn operation(reader: &mut Reader<'_>, name: &str, offset: usize, is_tool: bool) -> Option<Operation> {
    if is_tool {
        return parsed(reader, offset, "tool", ToolName::parse(name)).map(Operation::Tool);
    }
    let method = Method::parse(name);
    if method.is_none() {
        let hint = nearest(name, Method::ALL.map(Method::as_str));
        reader.note(offset, format!("`{name}` is not a method that can be allowed{hint}"));
    }
    method.map(Operation::Method)
}

const OPERATION_KEYS: &[&str] = &["effects", "required_scopes", "hold", "undeclared", "args"];
const TOOL_KEYS: &[&str] = &["pin", "effects", "required_scopes", "hold", "undeclared", "args"];

fn declared<'a>(
    reader: &mut Reader<'a>,
    header: &Header<'_>,
    operation: Operation,
    value: &Value<'a>,
    offset: usize,
) -> Option<Declared> {
    let table = reader.subtable(value, "tool")?;
    let is_tool = matches!(operation, Operation::Tool(_));
    reader.only(table, if is_tool { TOOL_KEYS } else { OPERATION_KEYS }, if is_tool { "a tool" } else { "a method" });
    let effects =
        reader.required(table, "effects", offset, &format!("`{operation}`")).and_then(|value| effects(reader, value));
    let scopes = table.get("required_scopes").map_or(Some(Vec::new()), |value| scopes(reader, value));
    let hold = table.get("hold").map_or(Some(HoldMode::Policy), |value| hold(reader, value));
    let undeclared = table.get("undeclared").map_or(Some(false), |value| reader.flag(value, "undeclared"));
    let pin = table.get("pin").and_then(|value| {
        let pin = Pin::parse(reader.text(value, "pin")?);
        if pin.is_none() {
            reader.note(value.span().start, "`pin` must be `sha256:` and 64 lower-case hexadecimal digits");
        }
        pin
    });
    let mut arguments = BTreeMap::new();
    let mut argument_offsets = BTreeMap::new();
    let rules = table.get("args").and_then(|value| reader.subtable(value, "args"));
    for (name, value) in rules.into_iter().flatten() {
        let Some(rule) = rule(reader, header.base, name.get_ref(), name.span().start, value) else { continue };
        argument_offsets.insert(rule.path.clone(), name.span().start);
        arguments.insert(rule.path.clone(), rule);
    }
    let contract = Contract {
        server: header.server.clone(),
        operation,
        version: header.version,
        pin,
        effects: effects?,
        required_scopes: scopes?,
        hold: hold?,
        undeclared: undeclared?,
        arguments,
    };
    let pin_offset = table.get("pin").map(|value| value.span().start);
    Some(Declared { contract, offset, pin_offset, argument_offsets })
}

fn effects<'a>(reader: &mut Reader<'a>, value: &Value<'a>) -> Option<Effects> {
    let mut found = Vec::new();
    for (text, offset) in reader.texts(value, "effects")? {
        match Effect::parse(text) {
            Some(effect) => found.push(effect),
            None => {
                let hint = nearest(text, Effect::ALL.map(Effect::as_str));
                reader.note(offset, format!("`{text}` is not an effect{hint}"));
            }
        }
    }
    let effects = Effects::new(found);
    if effects.is_none() {
        reader.note(value.span().start, "`effects` must name at least one effect, such as `read`");
    }
    effects
}

fn scopes<'a>(reader: &mut Reader<'a>, value: &Value<'a>) -> Option<Vec<Scope>> {
    reader
        .texts(value, "required_scopes")?
        .into_iter()
        .map(|(text, offset)| parsed(reader, offset, "required_scopes", Scope::parse(text)))
        .collect()
}

fn hold<'a>(reader: &mut Reader<'a>, value: &Value<'a>) -> Option<HoldMode> {
    match reader.text(value, "hold")? {
        "always" => Some(HoldMode::Always),
        "policy" => Some(HoldMode::Policy),
        "never" => Some(HoldMode::Never),
        other => {
            let hint = nearest(other, ["always", "policy", "never"]);
            reader.note(value.span().start, format!("`hold` cannot be `{other}`{hint}"));
            None
        }
    }
}

fn rule<'a>(
    reader: &mut Reader<'a>,
    base: &Path,
    name: &str,
    offset: usize,
    value: &Value<'a>,
) -> Option<ArgumentRule> {
    let table = reader.subtable(value, "args")?;
    let known: Vec<&str> = ["kind", "role"].into_iter().chain(LIMITS.iter().map(|(key, _)| *key)).collect();
    reader.only(table, &known, "an argument");
    let path = ArgumentPath::parse(name);
    if path.is_none() {
        reader.note(offset, format!("`{name}` is not a path of an argument, such as `path` or `edits[].newText`"));
    }
    let role = table.get("role").map_or(Some(Role::Other), |value| role(reader, value));
    let kind = reader
        .required(table, "kind", offset, &format!("the argument `{name}`"))
        .and_then(|value| kind::read(reader, base, table, value));
    Some(ArgumentRule { path: path?, kind: kind?, role: role? })
}

fn role<'a>(reader: &mut Reader<'a>, value: &Value<'a>) -> Option<Role> {
    let text = reader.text(value, "role")?;
    let role = Role::ALL.into_iter().find(|role| role.as_str() == text);
    if role.is_none() {
        let hint = nearest(text, Role::ALL.map(Role::as_str));
        reader.note(value.span().start, format!("`{text}` is not a role{hint}"));
    }
    role
}

fn parsed<T, E: std::fmt::Display>(
    reader: &mut Reader<'_>,
    offset: usize,
    key: &str,
    result: Result<T, E>,
) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            reader.note(offset, format!("`{key}`: {error}"));
            None
        }
    }
}
