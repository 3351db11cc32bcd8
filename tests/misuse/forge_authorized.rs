// Attack: a permit is written down instead of earned.
use refmon_core::monitor::{Authorized, InFlight};
use refmon_core::reason::ReasonCode;
use refmon_core::untrusted::Untrusted;

fn forge(flight: InFlight) -> Authorized {
    Authorized { flight, message: Untrusted::new(Vec::new()), reason: ReasonCode::Permitted }
}

fn main() {}
