//! Access tokens: we are an OAuth 2.1 resource server.
//!
//! A token goes through these steps, and each takes what the step before it made:
//!
//! ```text
//! bytes ─compact─▶ header and claims, one reading each ─issuer by `iss`─▶ one key by `kid` and `alg`
//!       ─signature─▶ claims in force ─mapping─▶ Caller
//! ```
//!
//! The signature is checked by `ring`; all that is around it is here. A JOSE library would read header and claims a
//! second time, with a parser of its own, and what is judged must have one reading (see the strict gate in
//! [`refmon_core::json`]).
//!
//! Rules that go beyond RFC 7519 and RFC 9068, each because of an attack:
//! - The algorithm is a value of a closed list without `none` and HMAC, and must be the key's own (RFC 8725,
//!   sections 2.1, 3.1 and 3.2): a public key is never taken for a shared secret.
//! - A header that brings or points to a key (`jwk`, `jku`, `x5c`, `x5u`) is refused, not ignored (RFC 8725, section
//!   3.10).
//! - `iss` selects one issuer, and only its keys are looked at (RFC 8725, section 3.8). Two issuers never speak for the
//!   same tenant.
//! - An ID token is refused: one that has `nonce`, `at_hash`, `c_hash` or `s_hash` and is not declared as `at+jwt`.
//! - A token that is bound to its holder's key (`cnf`; RFC 8705, RFC 9449) is refused: it must not pass as a bearer
//!   token (RFC 9449, section 7.2).

mod algorithm;
mod claims;
mod compact;
mod discovery;
mod issuer;
mod key;
mod keyring;
mod mapping;
mod verifier;

pub use algorithm::Algorithm;
pub use issuer::{Issuer, IssuerError};
pub use mapping::{AgentFrom, ScopesFrom, TenantFrom};
pub(crate) use verifier::{Verified, Verifier, unverified_issuer};

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod keyring_tests;
#[cfg(test)]
mod property_tests;
