//! The tool server as a child process.
//!
//! It starts with a cleared environment plus what the configuration grants, in a process group of its own under a
//! *keeper*: a small process of ours that ends the whole group as soon as either this process or the server is
//! gone, however that happened. So a server and its children never outlive the monitor.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use refmon_core::secret::Secret;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

/// Environment variables that a server gets without being granted them: none of them is a secret, and without
/// them interpreters and package runners do not start.
pub const BASE_ENVIRONMENT: &[&str] = &["PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR"];

/// How long a server may take to end after its input was closed.
const GRACE: Duration = Duration::from_secs(3);

/// What to start.
#[derive(Debug)]
pub struct Launch {
    /// The program of the keeper: refmon itself, with the arguments that make it one.
    pub keeper: Vec<OsString>,
    /// The server's command and arguments.
    pub command: Vec<OsString>,
    /// The server's working folder.
    pub folder: PathBuf,
    /// What the configuration grants, and the values of [`BASE_ENVIRONMENT`].
    pub environment: BTreeMap<String, Secret<String>>,
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    keeper: Child,
}

impl Server {
    /// Starts the server under its keeper, with pipes for input, output and errors.
    ///
    /// # Errors
    /// An error of the operating system.
    pub fn start(launch: &Launch) -> io::Result<Self> {
        let (program, arguments) = launch.keeper.split_first().ok_or_else(|| io::Error::other("no keeper"))?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .arg(std::process::id().to_string())
            .arg("--")
            .args(&launch.command)
            .current_dir(&launch.folder)
            .env_clear()
            .envs(launch.environment.iter().map(|(name, value)| (name, value.expose())))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Ok(Self { keeper: command.spawn()? })
    }

    /// The server's streams: input, output, errors. They can be taken once.
    ///
    /// # Errors
    /// An error if they have been taken.
    pub fn streams(
        &mut self,
    ) -> io::Result<(std::process::ChildStdin, std::process::ChildStdout, std::process::ChildStderr)> {
        match (self.keeper.stdin.take(), self.keeper.stdout.take(), self.keeper.stderr.take()) {
            (Some(input), Some(output), Some(errors)) => Ok((input, output, errors)),
            _ => Err(io::Error::other("the server's streams have been taken")),
        }
    }

    /// Waits for the server to end after its input was closed; after three seconds, ends it.
    ///
    /// # Errors
    /// An error of the operating system.
    pub fn wait(&mut self) -> io::Result<Option<i32>> {
        let end = Instant::now() + GRACE;
        loop {
            if let Some(status) = self.keeper.try_wait()? {
                return Ok(status.code());
            }
            if Instant::now() >= end {
                // The keeper's end ends the group.
                if let Some(keeper) = Pid::from_raw(i32::try_from(self.keeper.id()).unwrap_or_default()) {
                    rustix::process::kill_process(keeper, Signal::TERM)?;
                }
                return Ok(self.keeper.wait()?.code());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The keeper's own life: starts the command in a group of its own, waits until it or the monitor is gone or
/// SIGTERM comes, and ends the group. Returns the command's exit code.
///
/// # Errors
/// An error of the operating system; the command is then not running.
pub fn keep(monitor: u32, command: &[OsString]) -> io::Result<i32> {
    let (program, arguments) = command.split_first().ok_or_else(|| io::Error::other("no command"))?;
    let monitor = i32::try_from(monitor).ok().and_then(Pid::from_raw).ok_or_else(|| io::Error::other("no monitor"))?;
    // Opened before the parent is compared: from then on the descriptor means this very process.
    let monitor_alive = pidfd_open(monitor, PidfdFlags::empty())?;
    if rustix::process::getppid() != Some(monitor) {
        return Err(io::Error::other("the monitor is gone"));
    }
    let asked_to_end = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGTERM, Arc::clone(&asked_to_end))?;
    let mut child = Command::new(program).args(arguments).process_group(0).spawn().map_err(|error| {
        io::Error::new(error.kind(), format!("`{}` does not start: {error}", Path::new(program).display()))
    })?;
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or_else(|| io::Error::other("no child"))?;
    let waited = pidfd_open(group, PidfdFlags::empty()).and_then(|child_alive| {
        let mut fds = [PollFd::new(&monitor_alive, PollFlags::IN), PollFd::new(&child_alive, PollFlags::IN)];
        // The time limit is for a signal that arrives between the test of the flag and the wait.
        let limit = rustix::event::Timespec { tv_sec: 0, tv_nsec: 250_000_000 };
        while !asked_to_end.load(Ordering::Relaxed) {
            match poll(&mut fds, Some(&limit)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                other => return other.map(drop),
            }
        }
        Ok(())
    });
    // Whatever ended the wait: nothing of the group goes on.
    match kill_process_group(group, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(error) => return Err(error.into()),
    }
    let status = child.wait()?;
    waited?;
    Ok(status.code().unwrap_or_else(|| 128_i32.saturating_add(status.signal().unwrap_or_default())))
}
