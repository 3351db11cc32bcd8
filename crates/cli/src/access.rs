//! `[access]`: what the decision API needs to know: its origin, the operator's directories, and how long outcomes are waited
//! for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use refmon_core::ids::{Scope, TenantId};
use refmon_server::{Directory, Known, Servers};
use serde::Deserialize;
use url::Url;

use crate::config::{Config, ConfigError, located};
use crate::home::Home;

/// Bytes of a directory file.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Subjects, and resources, of one directory.
const ENTRIES_MAX: usize = 20_000;

/// `[access]` of `refmon.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// Scheme, host and port under which hosts know this gateway.
    origin: Option<String>,
    /// Files with subjects and resources, one for each tenant that has some.
    directories: Vec<PathBuf>,
    /// Seconds that a host has to say how a call ended.
    outcome_seconds: u64,
}

/// A file with subjects and resources.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Whose they are; those of `[identity] tenant` if nothing is said.
    tenant: Option<String>,
    #[serde(default, rename = "subject")]
    subjects: Vec<Subject>,
    #[serde(default, rename = "resource")]
    resources: Vec<Resource>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Subject {
    r#type: String,
    id: String,
    scopes: Option<Vec<String>>,
    #[serde(default)]
    properties: toml::Table,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Resource {
    r#type: String,
    id: String,
    #[serde(default)]
    properties: toml::Table,
}

impl Default for Settings {
    fn default() -> Self {
        Self { origin: None, directories: Vec::new(), outcome_seconds: 900 }
    }
}

impl Settings {
    /// Checks what can be checked without the files.
    pub(crate) fn check(&self) -> Result<(), String> {
        if !(1..=86_400).contains(&self.outcome_seconds) {
            return Err("[access] `outcome_seconds` must be between 1 and 86400, a day".to_owned());
        }
        let Some(origin) = &self.origin else { return Ok(()) };
        let parsed = Url::parse(origin).ok().filter(|url| matches!(url.scheme(), "https" | "http"));
        // Spelled otherwise it would not be what hosts compare it with.
        match parsed.filter(|url| url.origin().ascii_serialization() == *origin) {
            Some(_) => Ok(()),
            None => {
                Err("[access] `origin` must be scheme, host and port alone, such as https://gate.example".to_owned())
            }
        }
    }

    pub(crate) fn origin(&self) -> Option<String> {
        self.origin.clone()
    }

    pub(crate) const fn outcome_seconds(&self) -> u64 {
        self.outcome_seconds
    }

    /// The files, which are the operator's own.
    pub(crate) fn files(&self) -> &[PathBuf] {
        &self.directories
    }
}

/// The servers as the decision API knows them; `None` without any.
pub(crate) fn servers(home: &Home) -> Result<Option<Servers>> {
    let names = |host: bool| {
        let servers = home.config.servers.iter().filter(move |server| server.host == host);
        servers.map(|server| home.server_name(server)).collect::<Result<Vec<_>>>()
    };
    Ok(Servers::new(names(false)?, names(true)?))
}

/// Reads the operator's directories.
pub(crate) fn directories(home: &Home) -> Result<BTreeMap<TenantId, Directory>> {
    let mut all = BTreeMap::new();
    for file in home.config.access.files() {
        let path = home.path(file);
        let read = || -> Result<_> {
            let bytes = std::fs::metadata(&path)?.len();
            if bytes > FILE_BYTES_MAX {
                return Err(anyhow!("it has {bytes} bytes, and at most {FILE_BYTES_MAX} are read"));
            }
            Ok(std::fs::read_to_string(&path)?)
        };
        let text = read().map_err(|error| ConfigError::new(format!("{}: {error}", path.display())))?;
        let (tenant, directory) = parse(&path, &text, &home.config)?;
        if all.insert(tenant.clone(), directory).is_some() {
            let text = format!("{}: the tenant `{tenant}` has a directory already", path.display());
            return Err(ConfigError::new(text).into());
        }
    }
    Ok(all)
}

fn parse(file: &Path, text: &str, config: &Config) -> Result<(TenantId, Directory), ConfigError> {
    let wrong = |what: String| ConfigError::new(format!("{}: {what}", file.display()));
    let parsed: File = toml::from_str(text).map_err(|error| ConfigError::new(located(file, text, &error)))?;
    let tenant = parsed.tenant.as_deref().unwrap_or(&config.identity.tenant);
    let tenant = TenantId::parse(tenant).map_err(|error| wrong(format!("tenant: {error}")))?;
    if parsed.subjects.len() > ENTRIES_MAX || parsed.resources.len() > ENTRIES_MAX {
        return Err(wrong(format!("at most {ENTRIES_MAX} subjects and as many resources fit")));
    }
    let mut directory = Directory::default();
    for Subject { r#type, id, scopes, properties } in parsed.subjects {
        let at = |what: &str| wrong(format!("subject `{type}` `{id}`: {what}"));
        let scopes = scopes.map(|scopes| scopes.iter().map(|scope| Scope::parse(scope)).collect::<Result<Vec<_>, _>>());
        let scopes = scopes.transpose().map_err(|error| at(&format!("scopes: {error}")))?;
        let known = known(scopes, properties).map_err(|what| at(&what))?;
        let twice = at("it stands there twice");
        directory.add_subject(r#type, id, known).map_err(|_| twice)?;
    }
    for Resource { r#type, id, properties } in parsed.resources {
        let at = |what: &str| wrong(format!("resource `{type}` `{id}`: {what}"));
        let known = known(None, properties).map_err(|what| at(&what))?;
        let twice = at("it stands there twice");
        directory.add_resource(r#type, id, known).map_err(|_| twice)?;
    }
    Ok((tenant, directory))
}

fn known(scopes: Option<Vec<Scope>>, properties: toml::Table) -> Result<Known, String> {
    let properties = json(&toml::Value::Table(properties))?;
    Known::new(scopes, properties.to_string()).map_err(|error| error.to_string())
}

/// TOML as JSON. What JSON does not have is refused.
fn json(value: &toml::Value) -> Result<serde_json::Value, String> {
    Ok(match value {
        toml::Value::String(text) => text.as_str().into(),
        toml::Value::Integer(number) => (*number).into(),
        toml::Value::Boolean(flag) => (*flag).into(),
        toml::Value::Float(number) => {
            serde_json::Number::from_f64(*number).ok_or("a property is no finite number")?.into()
        }
        toml::Value::Datetime(_) => return Err("write a time as text, in quotes".to_owned()),
        toml::Value::Array(items) => serde_json::Value::Array(items.iter().map(json).collect::<Result<_, _>>()?),
        toml::Value::Table(members) => {
            let member = |(key, value): (&String, &toml::Value)| Ok::<_, String>((key.clone(), json(value)?));
            serde_json::Value::Object(members.iter().map(member).collect::<Result<_, _>>()?)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Result<Config, ConfigError> {
        Config::parse(Path::new("refmon.toml"), &format!("version = 1\n{text}"))
    }

    #[test]
    fn an_origin_is_scheme_host_and_port_alone() {
        for (origin, fine) in [
            ("https://gate.example", true),
            ("http://127.0.0.1:8700", true),
            ("https://gate.example/", false),
            ("https://GATE.example", false),
            ("https://gate.example:443", false),
            ("gate.example", false),
            ("ftp://gate.example", false),
            ("https://u:p@gate.example", false),
        ] {
            assert_eq!(config(&format!("[access]\norigin = \"{origin}\"")).is_ok(), fine, "{origin}");
        }
        assert!(config("[access]\noutcome_seconds = 0").is_err());
        assert!(config("[access]\noutcomes = 1").unwrap_err().to_string().contains("did you mean"));
    }

    #[test]
    fn a_directory_is_read_strictly() {
        let config = config("").unwrap();
        let parse = |text: &str| parse(Path::new("d.toml"), text, &config);
        let text = "tenant = \"acme\"\n[[subject]]\ntype = \"user\"\nid = \"ada\"\nscopes = [\"a:b\"]\n\
                    [subject.properties]\nrole = \"admin\"\n[[resource]]\ntype = \"record\"\nid = \"1\"\n";
        let (tenant, directory) = parse(text).unwrap();
        assert_eq!(tenant.as_str(), "acme");
        let ada = directory.subject("user", "ada").unwrap();
        assert_eq!((ada.scopes().unwrap().len(), ada.properties().canonical()), (1, r#"{"role":"admin"}"#.to_owned()));
        assert!(directory.resource("record", "1").is_some() && directory.resource("user", "ada").is_none());
        for (text, says) in [
            ("[[subject]]\ntype = \"user\"\nid = \"a\"\nscope = []\n", "did you mean `scopes`?"),
            ("[[subject]]\nid = \"a\"\n", "type"),
            ("[[subject]]\ntype = \"user\"\nid = \"a\"\nscopes = [\"a b\"]\n", "subject `user` `a`: scopes"),
            ("[[resource]]\ntype = \"r\"\nid = \"a\"\n[resource.properties]\nx = 1979-05-27\n", "in quotes"),
            ("[[resource]]\ntype = \"r\"\nid = \"a\"\n[resource.properties]\nx = nan\n", "finite"),
            ("[[resource]]\ntype = \"r\"\nid = \"a\"\n[resource.properties]\nx = 1\nX = 2\n", "one reading"),
            ("[[resource]]\ntype = \"r\"\nid = \"a\"\n[[resource]]\ntype = \"r\"\nid = \"a\"\n", "twice"),
        ] {
            let error = parse(text).map(|_| ()).unwrap_err().to_string();
            assert!(error.starts_with("d.toml") && error.contains(says), "{error}");
        }
    }
}
