// Attack: one permit runs two calls.
use refmon_core::monitor::Authorized;

fn twice(permit: Authorized) {
    drop(permit.dispatch());
    drop(permit.dispatch());
}

fn main() {}
