// Attack: one call under way is finished twice.
use refmon_core::monitor::{InFlight, Monitor};

fn twice(monitor: &Monitor, flight: InFlight) {
    drop(monitor.finish(flight.cancelled()));
    drop(monitor.finish(flight.cancelled()));
}

fn main() {}
