//! `refmon.toml`: one file, few keys, unknown ones refused with the nearest known one.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use refmon_core::limits::HOLD_SECONDS;
use serde::Deserialize;

use crate::authority::Authority;
use crate::identity::{Identity, RoleTable};
use crate::{access, log, secrets, telemetry, webhook};

/// A configuration that cannot be used: file, line, what is wrong.
#[derive(Debug)]
pub(crate) struct ConfigError(String);

impl ConfigError {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) version: u32,
    #[serde(default = "default_data")]
    pub(crate) data: PathBuf,
    #[serde(default)]
    pub(crate) identity: Identity,
    #[serde(default, rename = "server")]
    pub(crate) servers: Vec<Server>,
    #[serde(default)]
    pub(crate) policy: PolicyFolder,
    #[serde(default)]
    pub(crate) listen: Listen,
    #[serde(default)]
    pub(crate) authority: Authority,
    #[serde(default)]
    pub(crate) log: log::Settings,
    #[serde(default)]
    pub(crate) telemetry: telemetry::Settings,
    #[serde(default)]
    pub(crate) roles: RoleTable,
    #[serde(default)]
    pub(crate) access: access::Settings,
    #[serde(default)]
    pub(crate) holds: Holds,
}

/// What happens to calls that wait for a person.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Holds {
    /// How many seconds a client that asks for progress is kept waiting; 0 for none.
    pub(crate) wait_seconds: u64,
    /// Who is told that a call waits.
    pub(crate) webhook: Option<webhook::Settings>,
}

impl Holds {
    /// A hold is over in any case when its own time is.
    pub(crate) fn wait(&self) -> Duration {
        Duration::from_secs(self.wait_seconds)
    }
}

impl Default for Holds {
    fn default() -> Self {
        Self { wait_seconds: HOLD_SECONDS, webhook: None }
    }
}

/// Where `refmon serve` listens.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Listen {
    /// The address, with its port.
    pub(crate) http: SocketAddr,
    /// Names, each `host` or `host:port`, under which clients reach this gateway besides its loopback address.
    pub(crate) hosts: Vec<String>,
    /// The files for TLS. Without them, HTTP is plain.
    pub(crate) tls: Option<ListenTls>,
    /// Says that a reverse proxy in front of this gateway speaks TLS, so that it may listen where others reach it.
    pub(crate) behind_tls: bool,
    /// The address of the figures for Prometheus, if there are to be any.
    pub(crate) metrics: Option<SocketAddr>,
    /// Names under which scrapers on other machines reach it; needed if it is not on loopback.
    pub(crate) metrics_hosts: Vec<String>,
    /// How many server processes one caller may have at the same time.
    pub(crate) processes_per_caller: Option<std::num::NonZeroU16>,
    /// After how many seconds without a message a session is let go.
    pub(crate) session_idle_seconds: Option<std::num::NonZeroU32>,
}

/// TLS of the listener.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListenTls {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    /// The authorities whose certificates clients must have, with `[identity] kind = "certificates"`.
    pub(crate) client_ca: Option<PathBuf>,
}

impl Default for Listen {
    fn default() -> Self {
        let http = SocketAddr::from(([127, 0, 0, 1], 8700));
        Self {
            http,
            hosts: Vec::new(),
            tls: None,
            behind_tls: false,
            metrics: None,
            metrics_hosts: Vec::new(),
            processes_per_caller: None,
            session_idle_seconds: None,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Server {
    pub(crate) name: String,
    /// The program and its arguments; `${env:NAME}` in one stands for a variable when the server is started.
    #[serde(default)]
    pub(crate) command: Vec<String>,
    /// The folder that the command starts in, if not that of the configuration.
    pub(crate) cwd: Option<PathBuf>,
    /// Where a server that is not a command is reached.
    pub(crate) url: Option<String>,
    /// What is sent to the URL with every request.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    /// Whether the URL may lead to this machine or into a private network, and may do without encryption.
    #[serde(default)]
    pub(crate) private: bool,
    /// Whether a host runs it, and refmon only decides. Then the contract is all there is of it.
    #[serde(default)]
    pub(crate) host: bool,
    pub(crate) contract: PathBuf,
    #[serde(default)]
    pub(crate) env: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PolicyFolder {
    pub(crate) packs: Vec<String>,
    pub(crate) dir: Option<PathBuf>,
}

impl Default for PolicyFolder {
    fn default() -> Self {
        Self { packs: vec!["baseline".to_owned()], dir: None }
    }
}

fn default_data() -> PathBuf {
    PathBuf::from(".refmon")
}

impl Config {
    /// Parses and checks the text of a configuration file.
    pub(crate) fn parse(file: &Path, text: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text).map_err(|error| ConfigError(located(file, text, &error)))?;
        let wrong = |what: String| ConfigError(format!("{}: {what}", file.display()));
        if config.version != 1 {
            return Err(wrong(format!("version {} is not known; this refmon reads version 1", config.version)));
        }
        for (index, server) in config.servers.iter().enumerate() {
            if config.servers.iter().take(index).any(|other| other.name == server.name) {
                return Err(wrong(format!("the server name `{}` is used twice; give each its own", server.name)));
            }
            check_server(server).map_err(|what| wrong(format!("server `{}`: {what}", server.name)))?;
        }
        config.authority.rules(&config.server_names()).map_err(wrong)?;
        config.telemetry.check().map_err(wrong)?;
        if let Some(webhook) = &config.holds.webhook {
            webhook.check().map_err(wrong)?;
        }
        config.listen.check_metrics().map_err(wrong)?;
        config.identity.check(&config.roles).map_err(wrong)?;
        config.access.check().map_err(wrong)?;
        Ok(config)
    }

    /// The files that values refer to as `file://…`: the operator's credentials, which are for no tool.
    pub(crate) fn secret_files(&self) -> Vec<PathBuf> {
        let values = self.servers.iter().flat_map(|server| server.env.values().chain(server.headers.values()));
        let webhook =
            self.holds.webhook.iter().flat_map(|webhook| [Some(&webhook.url), webhook.secret.as_ref()]).flatten();
        let files = values
            .chain(self.telemetry.headers.values())
            .chain(webhook)
            .filter_map(|value| value.strip_prefix("file://"));
        files.filter_map(|file| std::path::absolute(file).ok()).collect()
    }

    /// The names of all servers.
    pub(crate) fn server_names(&self) -> Vec<&str> {
        self.servers.iter().map(|server| server.name.as_str()).collect()
    }
}

impl Listen {
    /// The figures have no credential before them, so others get them only by name.
    fn check_metrics(&self) -> Result<(), String> {
        match self.metrics {
            Some(address) if !address.ip().is_loopback() && self.metrics_hosts.is_empty() => Err(format!(
                "[listen] metrics = \"{address}\" would show figures to whoever reaches it; name the hosts that scrapers use in `metrics_hosts`, or listen at 127.0.0.1"
            )),
            None if !self.metrics_hosts.is_empty() => {
                Err("[listen] `metrics_hosts` is for `metrics`, which is not set".to_owned())
            }
            _ => Ok(()),
        }
    }
}

/// A server is a command or a URL, and has the keys of one of them, or is run by a host and has the keys of none.
fn check_server(server: &Server) -> Result<(), String> {
    if server.host {
        let kept = server.command.is_empty()
            && server.url.is_none()
            && server.cwd.is_none()
            && server.env.is_empty()
            && server.headers.is_empty()
            && !server.private;
        let wrong = "with `host = true` the host runs it; keep `name` and `contract` only".to_owned();
        return if kept { Ok(()) } else { Err(wrong) };
    }
    if let Some(url) = &server.url {
        if !server.command.is_empty() {
            return Err("it has both `command` and `url`; keep one".to_owned());
        }
        if server.cwd.is_some() || !server.env.is_empty() {
            return Err("`cwd` and `env` are for a `command`; a `url` has `headers`".to_owned());
        }
        if !(url.starts_with("https://") || url.starts_with("http://")) {
            return Err("`url` must begin with https:// or http://".to_owned());
        }
        if secrets::literal("url", url) {
            return Err(
                "`url` has a secret in it; put it into the environment and write `${env:NAME}` in its place".to_owned()
            );
        }
    } else if !server.headers.is_empty() {
        return Err("`headers` are for a `url`; a `command` has `env`".to_owned());
    }
    server.env.iter().chain(&server.headers).try_for_each(|(name, value)| check_value(name, value))
}

/// A value that looks like a secret must be a reference: it stays out of files.
pub(crate) fn check_value(name: &str, value: &str) -> Result<(), String> {
    if let Some((scheme, _)) = value.split_once("://").filter(|(scheme, _)| matches!(*scheme, "env" | "file")) {
        return if value.len() > scheme.len() + 3 { Ok(()) } else { Err(format!("`{name}` refers to nothing")) };
    }
    if secrets::literal(name, value) {
        let variable = name.replace('-', "_");
        return Err(format!(
            "`{name}` looks like a secret; put the value into the environment and write `{name} = \"env://{variable}\"`"
        ));
    }
    Ok(())
}

/// File, line, column, what is wrong, and the nearest known spelling.
pub(crate) fn located(file: &Path, text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.lines().count().max(1) + usize::from(before.ends_with('\n'));
    let message = error.message().lines().next().unwrap_or_default();
    format!("{}:{line}: {message}{}", file.display(), nearest(message))
}

/// The known key that is nearest to the unknown one in a message of serde's form
/// "unknown field `x`, expected one of `a`, `b`".
fn nearest(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let Some(unknown) = quoted.next().filter(|_| message.starts_with("unknown")) else { return String::new() };
    closest(unknown, quoted)
}

/// The known word that is nearest to an unknown one, as a question, if one is near.
pub(crate) fn closest<'k>(unknown: &str, known: impl Iterator<Item = &'k str>) -> String {
    let best = known.max_by(|a, b| strsim::jaro_winkler(unknown, a).total_cmp(&strsim::jaro_winkler(unknown, b)));
    best.filter(|best| strsim::jaro_winkler(unknown, best) > 0.7)
        .map_or_else(String::new, |best| format!("; did you mean `{best}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Config::parse(Path::new("refmon.toml"), text).unwrap_err().to_string()
    }

    #[test]
    fn an_unknown_key_names_line_and_nearest_key() {
        let text = "version = 1\n[[server]]\nname = \"a\"\ncomand = [\"x\"]\ncontract = \"c\"\n";
        let message = error(text);
        assert!(message.starts_with("refmon.toml:4: unknown field `comand`"), "{message}");
        assert!(message.ends_with("did you mean `command`?"), "{message}");
        assert!(error("version = 1\nidentitty = 3\n").contains("did you mean `identity`?"));
        assert!(error("version = 2\n").contains("version 2"));
        assert!(error("version = 1\nserver = [\n").starts_with("refmon.toml:"));
    }

    #[test]
    fn a_literal_secret_stops_the_start_and_is_not_shown() {
        let text =
            |line: &str| format!("version = 1\n[[server]]\nname = \"a\"\ncontract = \"c\"\nenv = {{ {line} }}\n");
        for line in ["API_TOKEN = \"abc\"", "X = \"ghp_canarycanary\"", "DB_PASSWORD = \"hunter2\"", "K = \"env://\""] {
            let message = error(&text(line));
            assert!(message.contains("secret") || message.contains("nothing"), "{message}");
            assert!(!message.contains("canary") && !message.contains("hunter2"), "{message}");
        }
        for line in
            ["API_TOKEN = \"env://API_TOKEN\"", "MEMORY_FILE_PATH = \"/tmp/m.json\"", "T = \"file:///run/secrets/t\""]
        {
            assert!(Config::parse(Path::new("c"), &text(line)).is_ok(), "{line}");
        }
        assert!(error(&text("DSN = \"postgres://u:canary@h/d\"")).contains("secret"));
        assert!(Config::parse(Path::new("c"), &text("DSN = \"postgres://u:${env:PW}@h/d\"")).is_ok());
    }

    #[test]
    fn a_server_is_a_command_or_a_url_and_a_header_is_no_place_for_a_secret() {
        let text = |lines: &str| format!("version = 1\n[[server]]\nname = \"a\"\ncontract = \"c\"\n{lines}\n");
        let url = "url = \"https://example.com/mcp\"";
        for (lines, says) in [
            (format!("{url}\ncommand = [\"x\"]"), "both"),
            (format!("{url}\nenv = {{ A = \"b\" }}"), "headers"),
            ("command = [\"x\"]\nheaders = { A = \"b\" }".to_owned(), "`env`"),
            (format!("{url}\nheaders = {{ X-Api-Key = \"canary\" }}"), "looks like a secret"),
            (format!("{url}\nheaders = {{ Authorization = \"Bearer canary\" }}"), "looks like a secret"),
            ("url = \"ftp://example.com\"".to_owned(), "https://"),
            ("url = \"https://u:canary@example.com\"".to_owned(), "secret"),
        ] {
            let message = error(&text(&lines));
            assert!(message.contains(says) && !message.contains("canary"), "{message}");
        }
        for header in ["env://A", "Bearer ${env:A}"] {
            let text = text(&format!("{url}\nheaders = {{ Authorization = \"{header}\" }}"));
            assert!(Config::parse(Path::new("c"), &text).is_ok(), "{header}");
        }
    }

    #[test]
    fn what_a_host_runs_has_a_contract_and_nothing_to_start() {
        let text =
            |lines: &str| format!("version = 1\n[[server]]\nname = \"a\"\ncontract = \"c\"\nhost = true\n{lines}\n");
        assert!(Config::parse(Path::new("c"), &text("")).is_ok());
        for line in ["command = [\"x\"]", "url = \"https://example.com\"", "cwd = \"x\"", "env = { A = \"b\" }"] {
            assert!(error(&text(line)).contains("`name` and `contract` only"), "{line}");
        }
    }
}
