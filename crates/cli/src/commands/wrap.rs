//! `refmon wrap`: one MCP server over standard input and output behind the monitor. Standard output is the
//! protocol's alone.

use std::ffi::OsString;
use std::sync::Arc;

use anyhow::Result;
use refmon_core::ids::TrajectoryId;
use refmon_core::monitor::Route;
use refmon_core::record::{Door, Event};
use refmon_gateway::child::Server as Child;
use refmon_gateway::session::{Observer, SUPPORTED};
use refmon_gateway::stdio::{self, Ended};

use crate::args::{Arguments, WrapOptions};
use crate::config::{ConfigError, Server};
use crate::home::Home;
use crate::log::Log;
use crate::output::Answer;
use crate::watch::{reload, tell_halted, tell_opened};

pub(crate) fn run(arguments: &Arguments, options: &WrapOptions) -> Result<Answer> {
    let home = Arc::new(Home::open(arguments)?);
    let server = choose(&home, options)?;
    let name = home.server_name(server)?;
    let (launch, credentials) = (home.launch(server, &options.server)?, home.credentials(server)?);
    let loaded = home.load()?;
    // The server starts up while the monitor does; it gets no message before there is a monitor to send one.
    let child = Child::start(&launch)?;
    let parts = home.monitor(loaded, |journal| journal)?;
    let log = Arc::new(Log::about(&server.name));
    let observer: Arc<dyn Observer> = Arc::<Log>::clone(&log);
    tell_opened(&parts.opened, &log);
    tell_halted(&home, &log);
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
    reload(&home, &parts.monitor, &log);
    let ended =
        stdio::run(&parts.monitor, &parts.clock, route, (child, credentials), home.config.holds.wait(), &observer)?;
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
