//! refmon.
fn main() {}
