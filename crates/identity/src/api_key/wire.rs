//! The file's form. Parsing it into the domain's types is the check.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use refmon_core::ids::{AgentId, Scope, TenantId, UserId};
use refmon_core::json::{self, Strictness};
use serde::{Deserialize, Serialize};

use crate::limits;

use super::keys::{Keys, Stored};
use super::{KeyFileError, KeyId, KeyRecord};

const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    keys: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    code: String,
    tenant: String,
    user: String,
    agent: String,
    scopes: Vec<String>,
    /// Absent in files that were written before there were roles.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    roles: Vec<String>,
    created: u64,
    expires: u64,
    revoked: Option<u64>,
}

/// Reads the file. One entry that is wrong makes the whole file wrong: it may be the one that was revoked.
pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Keys, KeyFileError> {
    let path = || path.to_owned();
    json::scan(bytes, Strictness::Request).map_err(|source| KeyFileError::Malformed { path: path(), source })?;
    let document: Document =
        serde_json::from_slice(bytes).map_err(|source| KeyFileError::Form { path: path(), source })?;
    let wrong = |member| KeyFileError::Entry { path: path(), member };
    if document.version != VERSION {
        return Err(wrong("version"));
    }
    if document.keys.len() > limits::API_KEYS_MAX {
        return Err(KeyFileError::TooLarge { path: path() });
    }
    let mut keys = BTreeMap::new();
    for entry in document.keys {
        let stored = stored(&entry).map_err(wrong)?;
        if keys.insert(stored.record.id, stored).is_some() {
            return Err(wrong("id"));
        }
    }
    Ok(keys)
}

fn stored(entry: &Entry) -> Result<Stored, &'static str> {
    let code = URL_SAFE_NO_PAD.decode(&entry.code).ok().and_then(|code| code.try_into().ok()).ok_or("code")?;
    let scopes: Result<Vec<Scope>, _> = entry.scopes.iter().map(|scope| Scope::parse(scope)).collect();
    if !acceptable(&entry.roles) {
        return Err("roles");
    }
    let seconds = entry.expires.checked_sub(entry.created).ok_or("expires")?;
    if seconds > limits::API_KEY_SECONDS_MAX {
        return Err("expires");
    }
    let record = KeyRecord {
        id: KeyId::parse(&entry.id).ok_or("id")?,
        tenant: TenantId::parse(&entry.tenant).map_err(|_| "tenant")?,
        user: UserId::parse(&entry.user).map_err(|_| "user")?,
        agent: AgentId::parse(&entry.agent).map_err(|_| "agent")?,
        scopes: scopes.map_err(|_| "scopes")?,
        roles: entry.roles.clone(),
        created: entry.created,
        expires: entry.expires,
        revoked: entry.revoked,
    };
    Ok(Stored { record, code })
}

/// Whether these can be the names of roles. Which roles there are is the configuration's to say.
pub(super) fn acceptable(roles: &[String]) -> bool {
    let name = |name: &String| !name.is_empty() && name.len() <= refmon_core::limits::ID_BYTES_MAX;
    roles.len() <= limits::ROLES_MAX && roles.iter().all(name)
}

/// Writes the file, in the order of identifiers.
pub(super) fn print(path: &Path, keys: &Keys) -> Result<Vec<u8>, KeyFileError> {
    let document = Document { version: VERSION, keys: keys.values().map(entry).collect() };
    let mut bytes =
        serde_json::to_vec_pretty(&document).map_err(|source| KeyFileError::Form { path: path.to_owned(), source })?;
    bytes.push(b'\n');
    let fits = bytes.len() <= limits::API_KEY_FILE_BYTES_MAX;
    if fits { Ok(bytes) } else { Err(KeyFileError::TooLarge { path: path.to_owned() }) }
}

fn entry(stored: &Stored) -> Entry {
    let Stored { record, code } = stored;
    Entry {
        id: record.id.to_string(),
        code: URL_SAFE_NO_PAD.encode(code),
        tenant: record.tenant.to_string(),
        user: record.user.to_string(),
        agent: record.agent.to_string(),
        scopes: record.scopes.iter().map(Scope::to_string).collect(),
        roles: record.roles.clone(),
        created: record.created,
        expires: record.expires,
        revoked: record.revoked,
    }
}
