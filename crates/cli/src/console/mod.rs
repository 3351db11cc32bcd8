//! What the console of `refmon serve` shows: the port of `refmon-console`, over this process's own stores, journal and bundle.
//!
//! | module | what it is for |
//! |---|---|
//! | `sighted` | the port itself, and how the console is put together |
//! | `held` | calls that wait |
//! | `evidence` | calls and their lives, from the journal |

mod evidence;
mod held;
mod sighted;

pub(crate) use sighted::open;
