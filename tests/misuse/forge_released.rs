// Attack: a result is shown that the monitor has not released.
use refmon_core::ids::CallId;
use refmon_core::monitor::Released;
use refmon_core::untrusted::Untrusted;

fn forge(call: CallId, message: Untrusted<Vec<u8>>) -> Released {
    Released { call, message }
}

fn main() {}
