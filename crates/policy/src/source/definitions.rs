//! Definitions: the tools of a server exactly as it listed them, beside the contract that was made for them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use refmon_core::json::{Json, Strictness};
use refmon_core::limits;

use crate::problem::Problem;

/// Bytes of a definitions file.
const DEFINITIONS_BYTES_MAX: usize = limits::FRAME_BYTES_MAX;

/// The definitions of one server.
#[derive(Debug)]
pub struct Definitions<'a> {
    /// The server.
    pub server: String,
    /// The definitions by the name of the tool.
    pub tools: BTreeMap<String, Json<'a>>,
}

/// Where the definitions of a contract file are: `files.toml` has its in `files.definitions.json`.
#[must_use]
pub fn definitions_path(contract: &Path) -> PathBuf {
    contract.with_extension("definitions.json")
}

/// Reads a definitions file: `{"server": "…", "tools": [ … ]}`.
///
/// # Errors
/// Every problem that was found.
pub fn parse_definitions<'a>(file: &Path, bytes: &'a [u8]) -> Result<Definitions<'a>, Vec<Problem>> {
    let whole = |message: String| vec![Problem::whole(file, message)];
    if bytes.len() > DEFINITIONS_BYTES_MAX {
        return Err(whole(format!("definitions are at most {DEFINITIONS_BYTES_MAX} bytes")));
    }
    let json = Json::parse_with(bytes, Strictness::Data).map_err(|malformed| {
        let text = String::from_utf8_lossy(bytes);
        vec![Problem::at(file, &text, malformed.offset, malformed.to_string())]
    })?;
    let Json::Object(members) = json else {
        return Err(whole("definitions are an object with `server` and `tools`".to_owned()));
    };
    let mut server = None;
    let mut tools = None;
    for (key, value) in members {
        match (key.as_ref(), value) {
            ("server", Json::Text(text)) => server = Some(text.into_owned()),
            ("tools", Json::List(list)) => tools = Some(list),
            ("server", _) => return Err(whole("`server` must be text".to_owned())),
            ("tools", _) => return Err(whole("`tools` must be a list".to_owned())),
            (other, _) => return Err(whole(format!("definitions have no key `{}`", other.escape_debug()))),
        }
    }
    let (Some(server), Some(list)) = (server, tools) else {
        return Err(whole("definitions need `server` and `tools`".to_owned()));
    };
    if list.len() > limits::TOOLS_MAX {
        return Err(whole(format!("a server has at most {} tools", limits::TOOLS_MAX)));
    }
    let mut problems = Vec::new();
    let mut by_name = BTreeMap::new();
    for (index, tool) in list.into_iter().enumerate() {
        let Some(name) = tool.member("name").and_then(Json::as_text).map(str::to_owned) else {
            problems.push(Problem::whole(file, format!("the tool at index {index} has no name")));
            continue;
        };
        if by_name.insert(name.clone(), tool).is_some() {
            let shown = name.escape_debug();
            problems.push(Problem::whole(
                file,
                format!("`{shown}` is defined twice: which one would be called is not known"),
            ));
        }
    }
    if problems.is_empty() { Ok(Definitions { server, tools: by_name }) } else { Err(problems) }
}
