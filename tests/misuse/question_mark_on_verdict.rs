// Attack: `?` turns a denial into something that is passed over.
use refmon_core::monitor::{Authorized, Monitor, Proposal};

fn ask(monitor: &Monitor, proposal: Proposal) -> Option<Authorized> {
    Some(monitor.submit(proposal)?)
}

fn main() {}
