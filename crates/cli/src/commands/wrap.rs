//! `refmon wrap`: one MCP server over standard input and output behind the monitor. Standard output is the
//! protocol's alone.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use refmon_core::ids::TrajectoryId;
use refmon_core::monitor::{Monitor, Route};
use refmon_core::record::{Door, Event};
use refmon_gateway::child::Server as Child;
use refmon_gateway::session::{Observed, Observer, SUPPORTED};
use refmon_gateway::stdio::{self, Ended};

use crate::args::{Arguments, WrapOptions};
use crate::config::{ConfigError, Server};
use crate::home::Home;
use crate::output::{Answer, Output};

/// How often changed files are looked for.
const RELOAD: Duration = Duration::from_secs(1);

pub(crate) fn run(arguments: &Arguments, options: &WrapOptions) -> Result<Answer> {
    let home = Arc::new(Home::open(arguments)?);
    let server = choose(&home, options)?;
    let name = home.server_name(server)?;
    let launch = home.launch(server, &options.server)?;
    let loaded = home.load()?;
    // The server starts up while the monitor does; it gets no message before there is a monitor to send one.
    let child = Child::start(&launch)?;
    let parts = home.monitor(loaded)?;
    let observer: Arc<dyn Observer> = Arc::new(Person { server: server.name.clone() });
    tell_opened(&parts.opened, observer.as_ref());
    if parts.warnings > 0 {
        observer.notice(&format!("{} warnings about policies; see `refmon policy check`", parts.warnings));
    }
    let mut random = [0u8; 10];
    refmon_core::ports::Entropy::fill(&refmon_gateway::system::System::new(), &mut random)?;
    let route = Route {
        door: Door::McpStdio,
        caller: Arc::new(home.caller()?),
        trajectory: TrajectoryId::uuid_v7(parts.clock.now().unix_us / 1_000, random),
        server: name,
        supported: SUPPORTED,
    };
    reload(&home, &parts.monitor, &observer);
    let ended = stdio::run(&parts.monitor, &parts.clock, route, child, &observer)?;
    parts.monitor.note(Event::Stopped)?;
    parts.journal.close()?;
    Ok(match ended {
        Ended::ByClient | Ended::ByServer(Some(0)) => Answer::Yes,
        Ended::ByServer(code) => {
            observer.notice("the server ended by itself");
            Answer::Code(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(3))
        }
    })
}

/// The keeper of a server; see `refmon_gateway::child`.
pub(crate) fn keep(monitor: u32, command: &[OsString]) -> Result<Answer> {
    let code = refmon_gateway::child::keep(monitor, command)?;
    Ok(Answer::Code(u8::try_from(code & 0xff).unwrap_or(3)))
}

fn choose<'h>(home: &'h Home, options: &WrapOptions) -> Result<&'h Server> {
    if let Some(name) = &options.name {
        return home.server(name);
    }
    let servers = &home.config.servers;
    let same = |server: &&Server| server.command.iter().map(OsString::from).eq(options.server.iter().cloned());
    let found = match (servers.as_slice(), options.server.as_slice()) {
        ([only], []) => Some(only),
        (_, []) => None,
        _ => servers.iter().find(same),
    };
    found.ok_or_else(|| {
        let text = if options.server.is_empty() {
            "the configuration has several servers; say which with `--name`"
        } else {
            "the configuration has no server with this command; say which with `--name`, or write one with `refmon init -- CMD…`"
        };
        ConfigError::new(text).into()
    })
}

fn tell_opened(opened: &refmon_audit::journal::Opened, observer: &dyn Observer) {
    for recovered in &opened.recovered {
        let open = recovered.open;
        observer
            .notice(&format!("an earlier run ended without closing its journal; {open} calls are now indeterminate"));
    }
    for damaged in &opened.damaged {
        observer.notice(&format!("the journal of {} is damaged; run `refmon audit verify`", damaged.boot));
    }
}

/// Tells the person at the terminal, on standard error.
struct Person {
    server: String,
}

impl Observer for Person {
    fn notice(&self, text: &str) {
        Output::new(false).say(&format!("refmon[{}]: {text}", self.server));
    }

    fn quarantined(&self, observed: &Observed) {
        let why = if observed.contracted { "its definition has changed" } else { "no contract describes it" };
        let look = format!("look at it with `refmon contract diff {}`", self.server);
        self.notice(&format!("the tool `{}` is quarantined: {why}; {look}", observed.tool));
    }
}

/// Watches the files that make a bundle and puts a changed one in force. A broken one changes nothing, and that is
/// said.
fn reload(home: &Arc<Home>, monitor: &Arc<Monitor>, observer: &Arc<dyn Observer>) {
    let (home, monitor, observer) = (Arc::clone(home), Arc::downgrade(monitor), Arc::clone(observer));
    let mut seen = signature(&home);
    let mut configured = modified(&home.file);
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(RELOAD);
            let changed = modified(&home.file);
            if changed != configured {
                observer.notice("refmon.toml has changed; identity, scopes and servers are taken up at the next start");
                configured = changed;
            }
            let now = signature(&home);
            if now == seen {
                continue;
            }
            seen = now;
            let Some(monitor) = monitor.upgrade() else { return };
            let outcome = match home.load() {
                Ok(loaded) if loaded.bundle.digest() == monitor.bundle().digest() => continue,
                Ok(loaded) => monitor
                    .activate(loaded.bundle)
                    .map_err(anyhow::Error::from)
                    .map(|()| "new contracts and policies are in force".to_owned()),
                Err(error) => {
                    let refused = monitor.note(Event::Refused(monitor.bundle().digest()));
                    let told =
                        format!("the changed contracts and policies are BROKEN; the old ones stay in force:\n{error}");
                    refused.map_err(anyhow::Error::from).map(|()| told)
                }
            };
            match outcome {
                Ok(text) => observer.notice(&text),
                Err(error) => {
                    observer.notice(&format!("a change of contracts and policies could not be recorded: {error:#}"))
                }
            }
        }
    });
}

fn modified(file: &Path) -> Option<SystemTime> {
    std::fs::metadata(file).and_then(|metadata| metadata.modified()).ok()
}

/// Names, sizes and times of all files that make a bundle.
fn signature(home: &Home) -> Vec<(PathBuf, u64, Option<SystemTime>)> {
    let sources = home.sources();
    let mut files: Vec<PathBuf> =
        sources.contracts.iter().map(|contract| refmon_policy::source::definitions_path(contract)).collect();
    files.extend(sources.contracts);
    if let Some(entries) = sources.policy_dir.and_then(|dir| std::fs::read_dir(dir).ok()) {
        files.extend(
            entries
                .filter_map(|entry| Some(entry.ok()?.path()))
                .filter(|path| path.extension().is_some_and(|end| end == "cedar")),
        );
    }
    files.sort();
    files
        .into_iter()
        .map(|file| {
            let metadata = std::fs::metadata(&file).ok();
            let size = metadata.as_ref().map_or(0, std::fs::Metadata::len);
            (file, size, metadata.and_then(|metadata| metadata.modified().ok()))
        })
        .collect()
}
