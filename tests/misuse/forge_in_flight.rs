// Attack: a call is made up that was never permitted, to have its result released.
use refmon_core::caller::Caller;
use refmon_core::ids::CallId;
use refmon_core::monitor::InFlight;
use refmon_core::ports::Moment;
use std::sync::Arc;

fn forge(call: CallId, caller: Arc<Caller>) -> InFlight {
    InFlight { call, permitted: Moment::default(), side_effects: false, withhold: false, caller }
}

fn main() {}
