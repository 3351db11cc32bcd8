//! `refmon serve`: every server of the configuration behind one endpoint.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use refmon_core::bundle::Tool;
use refmon_core::caller::Caller;
use refmon_core::contract::{Effect, HoldMode};
use refmon_core::ids::Scope;
use refmon_core::ports::{Clock, Entropy};
use refmon_core::record::Event;
use refmon_gateway::http::{Beside, Doors, Known, Listener, Tls, TlsFiles};
use refmon_gateway::hub::{Hub, Parts};
use refmon_gateway::link::Spec;
use refmon_gateway::session::Observer;
use refmon_gateway::system::System;
use refmon_policy::Loaded;
use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tokio::sync::watch;

use crate::args::{Arguments, ServeOptions};
use crate::beside::Apis;
use crate::config::ConfigError;
use crate::console;
use crate::entrance::Entrance;
use crate::home::{Assembled, Home};
use crate::identity::IdentityKind;
use crate::log::{Format, Level, Log};
use crate::notify::notify;
use crate::output::{Answer, Output};
use crate::telemetry::{Metrics, Telemetry};
use crate::watch::{reload, tell_halted, tell_opened};

/// Threads that may wait for the journal at the same time.
const WAITING_MAX: usize = 512;

pub(crate) fn run(arguments: &Arguments, options: &ServeOptions, output: Output) -> Result<Answer> {
    let home = Arc::new(Home::open(arguments)?);
    if home.config.servers.is_empty() {
        return Err(ConfigError::new(format!(
            "{} has no [[server]]; `refmon init -- CMD…` adds one",
            home.file.display()
        ))
        .into());
    }
    let ambiguous = |name: &str| name.contains("__") || name.ends_with('_');
    if let Some(server) =
        home.config.servers.iter().find(|server| ambiguous(&server.name)).filter(|_| home.config.servers.len() > 1)
    {
        return Err(ConfigError::new(format!(
            "{}: among several servers, `{}` cannot be told from its tools, which are `server__tool`; rename it",
            home.file.display(),
            server.name
        ))
        .into());
    }
    let specs = specs(&home)?;
    more_descriptors();
    let loaded = home.load()?;
    let metrics = home.config.listen.metrics.map(|_| Arc::new(Metrics::new(&home.config.server_names())));
    let format = options.log.unwrap_or(home.config.log.format);
    let output = Output::new(output.json || format == Format::Json);
    let log = Arc::new(Log::new("serve", format, home.config.log.level, metrics.clone()));
    let observer: Arc<dyn Observer> = Arc::<Log>::clone(&log);
    let clock: Arc<dyn Clock> = Arc::new(System::new());
    let entrance = Entrance::new(&home, clock, scopes(&loaded), Arc::clone(&observer))?;
    let told = summary(&home, &loaded, &entrance)?;
    let telemetry = Telemetry::new(&home, metrics)?;
    let parts = home.monitor(loaded, |journal| telemetry.round(journal))?;
    tell_opened(&parts.opened, &log);
    tell_halted(&home, &log);
    reload(&home, &parts.monitor, &log);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(WAITING_MAX)
        .thread_name("refmon-serve")
        .build()
        .context("the runtime does not start")?;
    let doors = (specs, entrance, observer);
    let served = runtime.block_on(serve(&home, &parts, doors, telemetry, &log, |bound, figures| {
        let traces = home.config.telemetry.shown();
        let scheme = if home.config.listen.tls.is_some() { "https" } else { "http" };
        let listening = format!("{scheme}://{bound}/mcp");
        let console = (home.config.identity.kind != IdentityKind::Certificates).then(|| format!("{scheme}://{bound}/"));
        let value =
            json!({ "listening": listening, "console": console, "metrics": figures, "traces": traces });
        output.event(&value, || {
            let metrics = figures.map(|url| format!("\n  metrics   {url}")).unwrap_or_default();
            let traces = traces.map(|url| format!("\n  traces    to {url}, without content")).unwrap_or_default();
            let console = console.map(|url| format!("\n  console   {url} for people with a key: `refmon key add --user NAME --agent console --scope refmon:approve --scope refmon:view`")).unwrap_or_default();
            format!("refmon serves MCP at {listening}\n{told}{console}{metrics}{traces}")
        });
        notify("READY=1");
    }));
    runtime.shutdown_timeout(std::time::Duration::from_secs(3));
    served?;
    parts.monitor.note(Event::Stopped)?;
    parts.journal.close()?;
    log.tell(Level::Info, "stopped", "stopped; the journal is closed");
    Ok(Answer::Yes)
}

async fn serve(
    home: &Arc<Home>,
    parts: &Assembled,
    (specs, entrance, observer): (Vec<Spec>, Entrance, Arc<dyn Observer>),
    telemetry: Telemetry,
    log: &Arc<Log>,
    ready: impl FnOnce(SocketAddr, Option<&str>),
) -> Result<()> {
    let address = home.config.listen.http;
    let listener = Listener::open(address)
        .await
        .with_context(|| format!("cannot listen at {address}; choose another `[listen] http` or end who has it"))?;
    let bound = listener.address()?;
    let listener = match tls(home, &observer)? {
        Some(tls) => listener.with_tls(tls),
        None => listener,
    };
    let entrance = Arc::new(entrance);
    let apis = Apis::new(home, parts, Arc::clone(&observer))?;
    let apis = match home.config.identity.kind {
        // The certificate is the one credential there, and a page has no place for a second one.
        IdentityKind::Certificates => apis,
        IdentityKind::Local | IdentityKind::Keys | IdentityKind::Oidc => apis.with_console(|holds| {
            console::open(home, parts, holds, (&entrance, Arc::clone(&observer)), bound.port())
        })?,
    };
    let entropy: Arc<dyn Entropy> = Arc::new(System::new());
    let hub = Hub::new(
        Parts {
            monitor: Arc::clone(&parts.monitor),
            clock: Arc::clone(&parts.clock),
            entropy,
            observer,
            runtime: tokio::runtime::Handle::current(),
            hold_wait: home.config.holds.wait(),
        },
        specs,
    );
    let hub = match home.config.listen.processes_per_caller {
        Some(max) => hub.with_processes_of_caller(usize::from(max.get())),
        None => hub,
    };
    let hub = Arc::new(match home.config.listen.session_idle_seconds {
        Some(seconds) => hub.with_idle(Duration::from_secs(u64::from(seconds.get()))),
        None => hub,
    });
    let own = ["localhost", "127.0.0.1", "[::1]"].map(|host| format!("{host}:{}", bound.port()));
    let known = Known::new(own.into_iter().chain(home.config.listen.hosts.iter().cloned()));
    let (sender, stop) = watch::channel(false);
    let mut signals = Signals::new([SIGTERM, SIGINT]).context("signals cannot be watched")?;
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            notify("STOPPING=1");
            sender.send_replace(true);
            // A second signal does not wait for anybody.
            if signals.forever().next().is_some() {
                std::process::exit(130);
            }
        }
    });
    let watching = telemetry.begin(home, parts, &hub, log).await?;
    let sweeping = apis.sweeping();
    ready(bound, watching.figures.as_deref());
    let journal = Arc::clone(&parts.journal);
    let ready = Arc::new(move || journal.is_healthy());
    let beside: Option<Arc<dyn Beside>> = Some(Arc::new(apis));
    let doors = Doors { hub, known, authenticate: entrance, ready, beside };
    listener.serve(doors, stop).await;
    sweeping.end().await;
    watching.end().await;
    Ok(())
}

/// TLS with the files of the configuration, if it names some.
fn tls(home: &Home, observer: &Arc<dyn Observer>) -> Result<Option<Tls>> {
    let Some(tls) = &home.config.listen.tls else { return Ok(None) };
    let files = TlsFiles {
        certificate: home.path(&tls.certificate),
        key: home.path(&tls.key),
        client_ca: tls.client_ca.as_deref().map(|file| home.path(file)),
    };
    let observer = Arc::clone(observer);
    let opened = Tls::open(files, move |text| observer.notice(text));
    let wrong = |error| {
        let text = format!("{}: [listen] tls: {error}", home.file.display());
        anyhow::Error::new(error).context(ConfigError::new(text))
    };
    Ok(Some(opened.map_err(wrong)?))
}

/// Asks for as many open files as this process may have: each client, server and journal segment is some.
fn more_descriptors() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Without more, fewer connections are accepted at a time; nothing else depends on it.
    let _kept = setrlimit(Resource::Nofile, limit).is_err();
}

/// What is started for each server of the configuration.
fn specs(home: &Home) -> Result<Vec<Spec>> {
    home.config
        .servers
        .iter()
        .filter(|server| !server.host)
        .map(|server| {
            let (name, reach) = (home.server_name(server)?, home.reach(server)?);
            Ok(Spec { name, reach, credentials: home.credentials(server)? })
        })
        .collect()
}

/// Who may call, and what becomes of each server's tools as far as the tool alone says, for a caller with every scope.
fn summary(home: &Home, loaded: &Loaded, entrance: &Entrance) -> Result<String> {
    let own = home.caller()?;
    let caller = match home.config.identity.kind {
        IdentityKind::Local => own,
        IdentityKind::Keys | IdentityKind::Oidc | IdentityKind::Certificates => {
            Caller::local(own.tenant().clone(), own.user().clone(), own.agent().clone(), scopes(loaded))
        }
    };
    let mut lines = vec![format!("  callers   {}", entrance.whom())];
    for server in &home.config.servers {
        let whose = if server.host { "run by hosts, which ask at /access/v1 and /v1/calls: " } else { "" };
        lines.push(format!("  {:<9} {whose}{}", server.name, forecast(loaded, &server.name, &caller)));
    }
    Ok(lines.join("\n"))
}

/// Every scope that a tool asks for.
fn scopes(loaded: &Loaded) -> Vec<Scope> {
    let mut scopes: Vec<Scope> =
        loaded.bundle.tools().flat_map(|tool| tool.contract.required_scopes.iter().cloned()).collect();
    scopes.sort();
    scopes.dedup();
    scopes
}

/// How many tools of a server would be permitted, held and denied, as far as the tool alone says.
fn forecast(loaded: &Loaded, server: &str, caller: &Caller) -> String {
    let approval = |tool: &Tool| {
        let effects = [Effect::Destructive, Effect::Execute, Effect::Admin];
        tool.contract.hold == HoldMode::Always || effects.iter().any(|effect| tool.contract.effects.contains(*effect))
    };
    let (mut permitted, mut held, mut denied) = (0, 0, 0);
    for tool in loaded.bundle.tools().filter(|tool| tool.contract.server.as_str() == server) {
        let scopes = tool.contract.required_scopes.iter().all(|scope| caller.holds(scope));
        match scopes && loaded.bundle.policy().conceivable(caller, tool) {
            false => denied += 1,
            true if approval(tool) => held += 1,
            true => permitted += 1,
        }
    }
    format!(
        "{permitted} tools that policy can permit, {held} after a person has decided, {denied} denied; what no contract describes is denied"
    )
}
