// Attack: a monitor runs without evidence.
use refmon_core::monitor::Ports;
use refmon_core::ports::{Clock, Commitments, Entropy, Files, Holds, ScopeGrants};
use std::sync::Arc;

fn assemble<P: Clock + Entropy + Commitments + Holds + ScopeGrants + Files + 'static>(port: Arc<P>) -> Ports {
    Ports {
        clock: port.clone(),
        entropy: port.clone(),
        commitments: port.clone(),
        holds: port.clone(),
        grants: port.clone(),
        files: port,
        inspectors: Vec::new(),
    }
}

fn main() {}
