// Attack: an inspector says yes.
use refmon_core::decision::Objection;

fn examine() -> Option<Objection> {
    Some(Objection::Permit)
}

fn main() {}
