// Attack: a tool call is called harmless by wrapping it.
use refmon_gateway::method::Cleared;

fn wrap(bytes: Vec<u8>) -> Cleared {
    Cleared(bytes)
}

fn main() {}
