// Attack: a decision is overlooked, and what was overlooked is taken for yes.
use refmon_core::decision::Decision;

fn runs(decision: Decision) -> bool {
    match decision {
        Decision::Permit => true,
        Decision::Deny => false,
    }
}

fn main() {}
