// Attack: one permit becomes two.
use refmon_core::monitor::Authorized;

fn copy(permit: &Authorized) -> Authorized {
    <Authorized as Clone>::clone(permit)
}

fn main() {}
