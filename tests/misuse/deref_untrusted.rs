// Attack: a stranger's bytes are used as bytes by accident.
use refmon_core::untrusted::Untrusted;

fn length(bytes: &Untrusted<Vec<u8>>) -> usize {
    bytes.len()
}

fn main() {}
