// Attack: a hold is made up that no person can find.
use refmon_core::ids::{CallId, HoldId};
use refmon_core::monitor::{Held, Judgement};
use refmon_core::untrusted::Untrusted;

fn forge(call: CallId, hold: HoldId, judgement: Judgement, message: Untrusted<Vec<u8>>) -> Held {
    Held { call, hold, judgement, message }
}

fn main() {}
