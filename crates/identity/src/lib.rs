//! A credential becomes a [`Caller`](refmon_core::caller::Caller) or nothing.
//!
//! | module | what it is for |
//! |---|---|
//! | [`authenticator`] | the one door: all values of the `Authorization` header in, a caller or a refusal out |
//! | [`token`] | access tokens of OAuth 2.1 issuers (RFC 9068, RFC 8725), their keys and where they come from |
//! | [`api_key`] | keys that the operator issues, for teams without an identity provider |
//! | [`roles`] | names for sets of scopes, expanded when a caller is authenticated |
//! | [`certificate`] | client certificates that the operator has mapped to callers |
//! | [`refused`] | a refusal: one of three words for the client, the exact reason for the operator |
//! | [`resource`] | our own name as an OAuth resource (RFC 8707), and its metadata (RFC 9728) |
//! | [`fetch`] | the port through which documents of an issuer are fetched |
//!
//! INVARIANT: a caller is made in three places: from a token after its signature and claims, from an API key after its
//! code, and for each certificate that the operator has mapped. All give all parts or an error; no function gives a part of a caller, and none a default.
//!
//! INVARIANT: a credential that was presented is the one that counts. If it is wrong, no other way in is tried.
//!
//! The crate opens no socket and reads no clock: fetching is a port, time is an argument. It does read and write the
//! file of API keys.
#![deny(clippy::indexing_slicing)]
#![cfg_attr(
    test,
    allow(clippy::indexing_slicing, clippy::string_slice, clippy::allow_attributes, reason = "tests may index")
)]

pub mod api_key;
pub mod authenticator;
mod cache;
pub mod certificate;
pub mod fetch;
pub mod limits;
pub mod refused;
pub mod resource;
pub mod roles;
pub mod token;

#[cfg(test)]
mod authenticator_tests;
#[cfg(test)]
mod testing_tests;

pub use authenticator::Authenticator;
pub use refused::{Outward, Refused, Why};
pub use roles::Roles;
