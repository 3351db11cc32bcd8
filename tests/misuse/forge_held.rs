// Attack: a hold is made up that no person can find.
use refmon_core::ids::{CallId, HoldId};
use refmon_core::monitor::{Held, Judgement};

fn forge(call: CallId, hold: HoldId, judgement: Judgement) -> Held {
    Held { call, hold, judgement }
}

fn main() {}
