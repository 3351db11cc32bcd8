//! Where refmon's files are, and the parts put together from them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use refmon_audit::commitments::KeyFolder;
use refmon_audit::journal::{self, Journal, Opened};
use refmon_core::bundle::Bundle;
use refmon_core::caller::Caller;
use refmon_core::ids::{AgentId, Scope, ServerName, TenantId, UserId};
use refmon_core::monitor::{Monitor, Ports};
use refmon_core::ports::{self, Clock, Inspector};
use refmon_core::secret::Secret;
use refmon_gateway::child::{BASE_ENVIRONMENT, Launch};
use refmon_gateway::credentials::Credentials;
use refmon_gateway::link::{Collector, Reach, Reachable, Remote};
use refmon_gateway::system::System;
use refmon_identity::api_key::ApiKeys;
use refmon_policy::{Loaded, Sources};
use refmon_store::Stores;
use refmon_store::authority::{Budgets, Halt, ReadOnly, Switch};

use crate::args::Arguments;
use crate::authority::all_known;
use crate::config::{Config, ConfigError, Server};
use crate::secrets;
use crate::waiting::{Evidence, Waiting};
use crate::webhook::Webhook;

/// The configuration, and the folder that its paths start from.
#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) file: PathBuf,
    pub(crate) folder: PathBuf,
    pub(crate) config: Config,
}

/// One environment variable. This is the one place of the program that reads the environment.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl Home {
    /// Finds and reads the configuration.
    pub(crate) fn open(arguments: &Arguments) -> Result<Self> {
        let file = Self::find(arguments.config.as_deref())?;
        let text =
            std::fs::read_to_string(&file).map_err(|error| ConfigError::new(format!("{}: {error}", file.display())))?;
        let config = Config::parse(&file, &text)?;
        let file = file.canonicalize().with_context(|| format!("`{}`", file.display()))?;
        let folder = file.parent().unwrap_or(Path::new("/")).to_owned();
        Ok(Self { file, folder, config })
    }

    fn find(given: Option<&Path>) -> Result<PathBuf> {
        if let Some(given) = given {
            return Ok(given.to_owned());
        }
        if let Some(given) = environment("REFMON_CONFIG") {
            return Ok(PathBuf::from(given));
        }
        let user = environment("XDG_CONFIG_HOME")
            .map(PathBuf::from)
            .or_else(|| environment("HOME").map(|home| PathBuf::from(home).join(".config")));
        let candidates = [Some(PathBuf::from("refmon.toml")), user.map(|folder| folder.join("refmon/refmon.toml"))];
        candidates.into_iter().flatten().find(|file| file.is_file()).ok_or_else(|| {
            ConfigError::new("there is no refmon.toml here, in REFMON_CONFIG or in ~/.config/refmon; `refmon init -- CMD…` writes one")
                .into()
        })
    }

    /// A path of the configuration, from the configuration's own folder.
    pub(crate) fn path(&self, path: &Path) -> PathBuf {
        self.folder.join(path)
    }

    /// The data folder, created for this user alone.
    pub(crate) fn data(&self) -> Result<PathBuf> {
        use std::os::unix::fs::DirBuilderExt as _;
        let data = self.path(&self.config.data);
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&data)
            .with_context(|| format!("the data folder `{}` cannot be created", data.display()))?;
        Ok(data)
    }

    pub(crate) fn journal_folder(&self) -> PathBuf {
        self.path(&self.config.data).join("journal")
    }

    /// What no tool's path may lead to: refmon's own files.
    pub(crate) fn guarded(&self) -> Vec<PathBuf> {
        let mut guarded = vec![self.file.clone(), self.path(&self.config.data)];
        guarded.extend(self.config.policy.dir.iter().map(|dir| self.path(dir)));
        if let Some(tls) = &self.config.listen.tls {
            guarded.extend([&tls.certificate, &tls.key].into_iter().chain(&tls.client_ca).map(|file| self.path(file)));
        }
        for server in &self.config.servers {
            let contract = self.path(&server.contract);
            guarded.push(refmon_policy::source::definitions_path(&contract));
            guarded.push(contract);
        }
        guarded.extend(self.config.access.files().iter().map(|file| self.path(file)));
        guarded.extend(self.config.secret_files());
        // It is started anew as the keeper of each server.
        guarded.extend(std::env::current_exe());
        guarded
    }

    /// The machine, with everything that is not for tools.
    pub(crate) fn system(&self) -> System {
        System::guarding(self.guarded()).keeping(self.programs())
    }

    /// The programs of the tool servers, and the files that their commands name: whoever changes one has refmon start it.
    fn programs(&self) -> Vec<PathBuf> {
        let mut programs = Vec::new();
        let folders: Vec<PathBuf> =
            std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
        for server in &self.config.servers {
            let folder = server.cwd.as_deref().map_or_else(|| self.folder.clone(), |cwd| self.path(cwd));
            if let Some(program) = server.command.first().filter(|program| !program.contains('/')) {
                programs.extend(folders.iter().map(|folder| folder.join(program)).find(|program| program.is_file()));
            }
            let place = format!("server `{}`", server.name);
            let words = server.command.iter().filter_map(|word| expand(&place, "command", word).ok());
            programs.extend(words.map(|word| folder.join(word)).filter(|file| file.is_file()));
        }
        programs
    }

    pub(crate) fn sources(&self) -> Sources {
        Sources {
            contracts: self.config.servers.iter().map(|server| self.path(&server.contract)).collect(),
            packs: self.config.policy.packs.clone(),
            policy_dir: self.config.policy.dir.as_deref().map(|dir| self.path(dir)),
            base: self.folder.clone(),
        }
    }

    /// Loads contracts, definitions and policies.
    pub(crate) fn load(&self) -> Result<Loaded> {
        let loaded = refmon_policy::load(&self.sources()).map_err(|error| {
            let text = error.to_string();
            anyhow::Error::new(error).context(ConfigError::new(text))
        })?;
        for server in &self.config.servers {
            let described = loaded.bundle.tools().any(|tool| tool.contract.server.as_str() == server.name);
            if !described && loaded.bundle.tools().next().is_some() && !self.empty(server) {
                let (file, contract) = (self.file.display(), server.contract.display());
                return Err(ConfigError::new(format!(
                    "{file}: the contract `{contract}` describes nothing of a server `{}`; its `server` must be that name",
                    server.name
                ))
                .into());
            }
        }
        Ok(loaded)
    }

    /// Whether a server's contract is its own and describes nothing yet, so that nothing of the server can be called.
    fn empty(&self, server: &Server) -> bool {
        let file = self.path(&server.contract);
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        refmon_policy::source::parse_contract(&file, &text, &self.folder)
            .is_ok_and(|contract| contract.server.as_str() == server.name && contract.operations.is_empty())
    }

    /// The person at this machine.
    pub(crate) fn caller(&self) -> Result<Caller> {
        let identity = &self.config.identity;
        let wrong = |what: &str, error: refmon_core::ids::IdError| {
            ConfigError::new(format!("{}: [identity] {what}: {error}", self.file.display()))
        };
        let login = || format!("uid-{}", rustix::process::getuid().as_raw());
        let user = identity.user.clone().unwrap_or_else(login);
        let scopes = identity.scopes.iter().map(|scope| Scope::parse(scope).map_err(|error| wrong("scopes", error)));
        let mut scopes = scopes.collect::<Result<Vec<_>, _>>()?;
        let roles = self.config.roles.parse();
        let roles = roles.map_err(|what| ConfigError::new(format!("{}: {what}", self.file.display())))?;
        scopes.extend(roles.expand(identity.roles.iter().map(String::as_str)));
        Ok(Caller::local(
            TenantId::parse(&identity.tenant).map_err(|error| wrong("tenant", error))?,
            UserId::parse(&user).map_err(|error| wrong("user", error))?,
            AgentId::parse(&identity.agent).map_err(|error| wrong("agent", error))?,
            scopes,
        ))
    }

    /// The person at this machine, who owns its files, on behalf of a tenant.
    pub(crate) fn operator(&self, tenant: Option<&str>) -> Result<Caller> {
        let caller = self.caller()?;
        let Some(tenant) = tenant else { return Ok(caller) };
        let tenant = TenantId::parse(tenant).map_err(|error| ConfigError::new(format!("--tenant: {error}")))?;
        Ok(Caller::local(tenant, caller.user().clone(), caller.agent().clone(), caller.scopes().iter().cloned()))
    }

    /// The API keys of `refmon serve`.
    pub(crate) fn api_keys(&self) -> Result<ApiKeys> {
        Ok(ApiKeys::open(&self.data()?)?)
    }

    pub(crate) fn stores(&self) -> Result<Stores> {
        let stores = Stores::open(&self.data()?.join("state.db"))?;
        // What is over is not kept because nobody looks.
        stores.expire_holds(System::new().now())?;
        Ok(stores)
    }

    pub(crate) fn keys(&self) -> Result<KeyFolder> {
        Ok(KeyFolder::open(&self.data()?.join("keys"))?)
    }

    pub(crate) fn open_journal(&self, clock: Arc<dyn Clock>) -> Result<(Journal, Opened)> {
        self.data()?;
        Ok(Journal::open(&self.journal_folder(), &journal::Options::new(clock))?)
    }

    /// The monitor with everything behind it, around a bundle. `watched` may put something round the journal.
    pub(crate) fn monitor(
        &self,
        loaded: Loaded,
        watched: impl FnOnce(Arc<dyn ports::Journal>) -> Arc<dyn ports::Journal>,
    ) -> Result<Assembled> {
        let inspectors = self.inspectors(&loaded.bundle)?;
        let system = Arc::new(self.system());
        let clock: Arc<dyn Clock> = Arc::<System>::clone(&system);
        let (journal, opened) = self.open_journal(Arc::clone(&clock))?;
        let journal = Arc::new(Evidence::new(journal));
        let stores = Arc::new(Waiting(self.stores()?));
        let ports = Ports {
            clock: Arc::clone(&clock),
            entropy: Arc::<System>::clone(&system),
            journal: watched(Arc::<Evidence>::clone(&journal)),
            commitments: Arc::new(self.keys()?),
            holds: Arc::<Waiting<Stores>>::clone(&stores),
            grants: stores,
            files: system,
            inspectors,
        };
        let Loaded { bundle, report, .. } = loaded;
        let monitor = Arc::new(Monitor::new(bundle, ports)?);
        Ok(Assembled { monitor, clock, journal, opened, warnings: report.findings.len() })
    }

    /// The switch that `refmon halt` puts on.
    pub(crate) fn switch(&self) -> Switch {
        Switch::of(&self.path(&self.config.data))
    }

    /// The limits of `[authority]`, with full budgets. What permits least comes first.
    pub(crate) fn inspectors(&self, bundle: &Bundle) -> Result<Vec<Arc<dyn Inspector>>> {
        let authority = &self.config.authority;
        let wrong = |what: String| ConfigError::new(format!("{}: {what}", self.file.display()));
        let rules = authority.rules(&self.config.server_names()).map_err(wrong)?;
        all_known(&rules.budgets, bundle).map_err(wrong)?;
        Ok(vec![
            Arc::new(Halt::new(authority.halted, self.switch())),
            Arc::new(ReadOnly::new(rules.read_only)),
            Arc::new(Budgets::new(rules.budgets)),
        ])
    }

    /// Finds a server of the configuration.
    pub(crate) fn server(&self, name: &str) -> Result<&Server> {
        self.config.servers.iter().find(|server| server.name == name).ok_or_else(|| {
            ConfigError::new(format!(
                "there is no server `{name}` in {}; there are: {}",
                self.file.display(),
                self.config.server_names().join(", ")
            ))
            .into()
        })
    }

    pub(crate) fn server_name(&self, server: &Server) -> Result<ServerName> {
        let wrong =
            |error| ConfigError::new(format!("{}: server name `{}`: {error}", self.file.display(), server.name));
        Ok(ServerName::parse(&server.name).map_err(wrong)?)
    }

    /// How a server is reached: its command, or its URL with the operator's own credentials.
    pub(crate) fn reach(&self, server: &Server) -> Result<Reach> {
        let Some(url) = &server.url else { return Ok(Reach::Command(self.launch(server, &[])?)) };
        let headers = server.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        remote(&server.name, url, headers, server.private)
    }

    /// The operator's credentials among what a server is given: what its headers refer to, and of its variables, command
    /// and URL what is called or looks like one.
    pub(crate) fn credentials(&self, server: &Server) -> Result<Arc<Credentials>> {
        let place = format!("server `{}`", server.name);
        let plain = server.command.iter().chain(&server.url).map(|text| ("", text, false));
        let named = server.env.iter().map(|(name, text)| (name.as_str(), text, false));
        let headers = server.headers.iter().map(|(name, text)| (name.as_str(), text, true));
        let mut found = Vec::new();
        for (name, text, always) in plain.chain(named).chain(headers) {
            // A word of a command is itself; only values refer to files.
            if !name.is_empty() && text.starts_with("file://") {
                found.push(resolve(&place, name, text)?);
                continue;
            }
            let single = text.strip_prefix("env://").filter(|_| !name.is_empty()).map(str::to_owned);
            let parts = secrets::references(text).into_iter().map(|(_, variable)| variable);
            for variable in parts.chain(single) {
                let value = resolve(&place, name, &format!("env://{variable}"))?;
                let meant = secrets::suspected(&variable) || secrets::suspected(name);
                if always || meant || secrets::sight(value.expose(), None).is_some() {
                    found.push(value);
                }
            }
        }
        Ok(Arc::new(Credentials::new(found)))
    }

    /// The collector of traces, if there is one.
    pub(crate) fn collector(&self) -> Result<Option<Collector>> {
        let telemetry = &self.config.telemetry;
        let Some(url) = &telemetry.traces else { return Ok(None) };
        let place = "[telemetry]";
        let url = expand(place, "traces", url)?;
        let headers = telemetry
            .headers
            .iter()
            .map(|(name, value)| Ok((name.clone(), resolve(place, &format!("headers.{name}"), value)?)));
        let collector = Collector::new(&url, headers.collect::<Result<Vec<_>>>()?, telemetry.private);
        Ok(Some(collector.map_err(|error| ConfigError::new(format!("{place} traces: {error}")))?))
    }

    /// Who is told of calls that wait, if there is anybody.
    pub(crate) fn webhook(&self) -> Result<Option<Webhook>> {
        let Some(webhook) = &self.config.holds.webhook else { return Ok(None) };
        let place = "[holds.webhook]";
        let url = resolve(place, "url", &webhook.url)?;
        let secret = webhook.secret.as_deref().map(|secret| resolve(place, "secret", secret)).transpose()?;
        let collector = Collector::new(url.expose(), [], webhook.private)
            .map_err(|error| ConfigError::new(format!("{place} url: {error}")))?;
        Webhook::new(collector, secret, webhook.console.clone()).map(Some)
    }

    /// What to start for a server: its command, a cleared environment, and what the configuration grants.
    pub(crate) fn launch(&self, server: &Server, command: &[OsString]) -> Result<Launch> {
        if server.host {
            let text =
                format!("server `{}` is run by a host: there is nothing of it that refmon could start", server.name);
            return Err(ConfigError::new(text).into());
        }
        if server.url.is_some() {
            let text = format!("server `{}` has a `url` and no command to start: it needs `refmon serve`", server.name);
            return Err(ConfigError::new(text).into());
        }
        let place = format!("server `{}`", server.name);
        let mut command: Vec<OsString> = command.to_vec();
        if command.is_empty() {
            let words = server.command.iter().enumerate();
            let expanded = words.map(|(at, word)| Ok(expand(&place, &format!("command[{at}]"), word)?.into()));
            command = expanded.collect::<Result<_>>()?;
        }
        if command.is_empty() {
            return Err(
                ConfigError::new(format!("server `{}` has no command; give one behind `--`", server.name)).into()
            );
        }
        let folder = server.cwd.as_deref().map_or_else(|| self.folder.clone(), |cwd| self.path(cwd));
        let mut launch = launch(command, folder)?;
        for (name, value) in &server.env {
            launch.environment.insert(name.clone(), resolve(&place, name, value)?);
        }
        Ok(launch)
    }
}

/// The monitor with everything behind it.
pub(crate) struct Assembled {
    pub(crate) monitor: Arc<Monitor>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) journal: Arc<Evidence>,
    pub(crate) opened: Opened,
    pub(crate) warnings: usize,
}

/// A server at a URL, with the credentials that its headers refer to.
pub(crate) fn remote<'h>(
    server: &str,
    url: &str,
    headers: impl Iterator<Item = (&'h str, &'h str)>,
    private: bool,
) -> Result<Reach> {
    let place = format!("server `{server}`");
    let url = expand(&place, "url", url)?;
    let headers =
        headers.map(|(name, value)| Ok((name.to_owned(), resolve(&place, &format!("headers.{name}"), value)?)));
    let reachable = if private { Reachable::Anywhere } else { Reachable::Public };
    let remote = Remote::new(&url, headers.collect::<Result<Vec<_>>>()?, reachable);
    Ok(Reach::Remote(remote.map_err(|error| ConfigError::new(format!("{place}: {error}")))?))
}

/// A command in a cleared environment and in the folder that relative paths start from: where the server resolves
/// a path must be where it is judged.
pub(crate) fn launch(command: Vec<OsString>, folder: PathBuf) -> Result<Launch> {
    // Not by its path: another program could be there by then.
    let own = PathBuf::from("/proc/self/exe");
    let refmon =
        if own.exists() { own } else { std::env::current_exe().context("refmon's own program cannot be found")? };
    let granted =
        BASE_ENVIRONMENT.iter().filter_map(|name| Some(((*name).to_owned(), Secret::new(environment(name)?))));
    Ok(Launch { keeper: vec![refmon.into(), "keep".into()], command, folder, environment: granted.collect() })
}

/// Resolves a reference to a secret; another value stands for itself.
fn resolve(place: &str, name: &str, value: &str) -> Result<Secret<String>> {
    let missing = |what: String| ConfigError::new(format!("{place}: `{name}` refers to {what}"));
    if let Some(variable) = value.strip_prefix("env://") {
        return match environment(variable) {
            Some(value) => Ok(Secret::new(value)),
            None => Err(missing(format!("the environment variable {variable}, which is not set")).into()),
        };
    }
    if let Some(path) = value.strip_prefix("file://") {
        let text = std::fs::read_to_string(path).map_err(|error| missing(format!("the file {path}: {error}")))?;
        return Ok(Secret::new(text.trim_end_matches(['\r', '\n']).to_owned()));
    }
    Ok(Secret::new(expand(place, name, value)?))
}

/// Puts the values of environment variables in place of `${env:NAME}`. A value is not looked at for more of them.
fn expand(place: &str, name: &str, text: &str) -> Result<String> {
    let mut expanded = String::new();
    let mut rest = text;
    for (written, variable) in secrets::references(text) {
        let Some((before, after)) = rest.split_once(&written) else { continue };
        let value = environment(&variable).ok_or_else(|| {
            let what = format!("`{name}` refers to the environment variable {variable}, which is not set");
            ConfigError::new(format!("{place}: {what}"))
        })?;
        expanded.push_str(before);
        expanded.push_str(&value);
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}
