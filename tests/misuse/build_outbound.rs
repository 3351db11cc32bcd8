// Attack: bytes are called mediated by wrapping them.
use refmon_gateway::upstream::Outbound;

fn wrap(bytes: Vec<u8>) -> Outbound {
    Outbound { bytes, read: None }
}

fn main() {}
