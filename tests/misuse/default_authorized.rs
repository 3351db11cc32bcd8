// Attack: a permit comes from nowhere.
use refmon_core::monitor::Authorized;

fn conjure() -> Authorized {
    Authorized::default()
}

fn main() {}
