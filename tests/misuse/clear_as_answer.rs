// Attack: a tool call is cleared as if it were an answer.
use refmon_gateway::method::Cleared;

fn clear(bytes: Vec<u8>) -> Cleared {
    Cleared::answer(bytes)
}

fn main() {}
