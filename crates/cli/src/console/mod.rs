//! What the console of `refmon serve` shows: the port of `refmon-console`, over this process's own stores, journal and bundle.
//!
//! | module | what it is for |
//! |---|---|
//! | `sighted` | the port itself, and how the console is put together |
//! | `held` | calls that wait |
//! | `evidence` | calls and their lives, from the journal |
//! | `agents`, `rules` | who may do what; the rules, and one call explained |
//! | `servers` | contracts, and what servers list |
//! | `standing` | limits, and what holds |

mod agents;
mod evidence;
mod held;
mod rules;
mod servers;
mod sighted;
mod standing;

pub(crate) use sighted::open;
