// Attack: bytes go to a server without a permit.
use refmon_gateway::upstream::Upstream;

fn send(server: &dyn Upstream, bytes: Vec<u8>) {
    drop(server.send(bytes));
}

fn main() {}
