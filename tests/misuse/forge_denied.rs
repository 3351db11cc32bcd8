// Attack: a denial is made up that no record knows.
use refmon_core::monitor::{Denied, Judgement};

fn forge(judgement: Judgement) -> Denied {
    Denied { call: None, judgement }
}

fn main() {}
