//! `refmon`: the composition root. Configuration in, commands out; the libraries decide.
//!
//! Exit codes: 0 fine, 1 the answer is no, 2 usage or configuration, 3 could not find out.

mod access;
mod args;
mod authority;
mod beside;
mod client;
mod commands;
mod config;
mod console;
mod entrance;
mod halts;
mod home;
mod identity;
mod log;
mod notify;
mod output;
mod plan;
mod queue;
mod secrets;
mod setup;
mod suggest;
mod telemetry;
mod waiting;
mod watch;
mod webhook;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Arguments, Command};
use crate::output::{Answer, Output};

fn main() -> ExitCode {
    unread_by_others();
    let arguments = Arguments::parse();
    let logged = matches!(&arguments.command, Command::Serve(options) if options.log == Some(log::Format::Json));
    let output = Output::new(arguments.json || logged);
    let answer = match &arguments.command {
        Command::Keep { monitor, command } => commands::wrap::keep(*monitor, command),
        Command::Init(options) => commands::init::run(&arguments, options, output),
        Command::Wrap(options) => commands::wrap::run(&arguments, options),
        Command::Serve(options) => commands::serve::run(&arguments, options, output),
        Command::Ready => commands::ready::run(&arguments, output),
        Command::Check { call } => commands::check::run(&arguments, call, output),
        Command::Explain { record } => commands::explain::run(&arguments, record, output),
        Command::Policy { command } => commands::policy::run(&arguments, command, output),
        Command::Contract { command } => commands::contract::run(&arguments, command, output),
        Command::Key { command } => commands::key::run(&arguments, command, output),
        Command::Holds { tenant, command } => commands::holds::run(&arguments, tenant.as_deref(), command, output),
        Command::Grant { tenant, command } => commands::grant::run(&arguments, tenant.as_deref(), command, output),
        Command::Halt { tenant: None, reason } => commands::halt::halt(&arguments, reason.as_deref(), output),
        Command::Halt { tenant: Some(tenant), reason } => {
            commands::halt::halt_tenant(&arguments, tenant, reason.as_deref(), output)
        }
        Command::Resume { tenant: None } => commands::halt::resume(&arguments, output),
        Command::Resume { tenant: Some(tenant) } => commands::halt::resume_tenant(&arguments, tenant, output),
        Command::Audit { command } => commands::audit::run(&arguments, command, output),
        Command::Doctor => commands::doctor::run(&arguments, output),
    };
    match answer {
        Ok(Answer::Yes) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::from(1),
        Ok(Answer::Code(code)) => ExitCode::from(code),
        Err(error) => {
            output.error(&error);
            ExitCode::from(if error.is::<config::ConfigError>() { 2 } else { 3 })
        }
    }
}

/// Keeps other processes of the same user from reading this one's environment, memory and files: the operator's credentials
/// are in them. It does not keep out who may do everything.
fn unread_by_others() {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    // Where the kernel refuses, the documented advice to run agents' tools as another user is what is left.
    let _refused = set_dumpable_behavior(DumpableBehavior::NotDumpable).is_err();
}

#[cfg(test)]
mod tests {
    #[test]
    fn other_processes_cannot_read_this_one() {
        use rustix::process::{DumpableBehavior, dumpable_behavior};
        super::unread_by_others();
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    }
}
