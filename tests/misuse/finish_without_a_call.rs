// Attack: a result is released that belongs to no permitted call.
use refmon_core::monitor::{Monitor, Outcome};
use refmon_core::untrusted::Untrusted;

fn finish(monitor: &Monitor, message: Untrusted<Vec<u8>>) -> Outcome {
    monitor.finish(message)
}

fn main() {}
