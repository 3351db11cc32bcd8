// Attack: a caller without tenant and user.
use refmon_core::caller::Caller;

fn nobody() -> Caller {
    Caller {}
}

fn main() {}
