//! Limits on what callers may do, whatever policy permits: a halt, read-only mode, budgets.
//!
//! Each is an [`Inspector`](refmon_core::ports::Inspector): it can only object, and the monitor asks it for every
//! call of every door. They stand here and not in the core because a halt is a file and a budget remembers calls.
//! A limit that cannot be looked at, or for which there is no room, denies.
//!
//! Budgets are per process and start full: what a process forgets at its end, another one does not know.

mod bucket;
mod budget;
mod halt;
mod read_only;
mod whom;

pub use bucket::{Allowance, Buckets, Charge, Key, Lack};
pub use budget::{Budget, Budgets, Per, Unit};
pub use halt::{Halt, Switch};
pub use read_only::ReadOnly;
pub use whom::Whom;
