// Attack: a failed login falls back to an empty caller.
use refmon_core::caller::Caller;

fn nobody(login: Option<Caller>) -> Caller {
    login.unwrap_or_default()
}

fn main() {}
