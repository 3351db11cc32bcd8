//! Keys that the operator issues, for teams without an identity provider.
//!
//! A key reads `refmon_<id>_<secret>`: 16 hexadecimal digits that name it, and 32 random bytes. The file holds who it
//! is and an HMAC of the secret under a pepper that lies beside it, so that a copy of the file (a backup, a paste into
//! a ticket) opens nothing. The secret is shown once.
//!
//! ```text
//! api-keys.json      who: tenant, user, agent, scopes, expiry, and the code of the secret
//! api-keys.pepper    32 random bytes, made once
//! api-keys.lock      whoever changes the file holds its lock
//! ```
//!
//! INVARIANT: the file is replaced as a whole, durably, under the lock; whoever reads it sees all of one state.
//!
//! INVARIANT: the file on the disk decides, at each use: a key that any process has revoked stops at once. A file that
//! is broken, or that others can read, refuses every key.
//!
//! INVARIANT: an unknown key costs what a known one costs, and looks the same from outside.

mod credential;
mod file;
mod keys;
mod wire;

pub use credential::KeyId;
pub(crate) use credential::PREFIX;
pub use file::KeyFileError;
pub use keys::{ApiKeys, KeyRecord, NewKey};

#[cfg(test)]
mod tests;
