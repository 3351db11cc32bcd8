// Attack: the message changes between the judgement and the wire.
use refmon_core::monitor::Authorized;
use refmon_core::untrusted::Untrusted;

fn change(permit: &mut Authorized, message: Vec<u8>) {
    permit.message = Untrusted::new(message);
}

fn main() {}
