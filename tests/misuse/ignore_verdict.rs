// Attack: the monitor is asked and nobody listens.
#![deny(unused_must_use)]
use refmon_core::monitor::{Monitor, Proposal};

fn ask(monitor: &Monitor, proposal: Proposal) {
    monitor.submit(proposal);
}

fn main() {}
