// Attack: one permit becomes two.
use refmon_core::monitor::Authorized;

fn copy(permit: &Authorized) -> Authorized {
    permit.clone()
}

fn main() {}
