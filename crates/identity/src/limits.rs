//! Every bound of this crate. A limit that is reached is a refusal.

/// Bytes of one credential.
pub const CREDENTIAL_BYTES_MAX: usize = 16 * 1024;
/// Bytes of one fetched document.
pub const DOCUMENT_BYTES_MAX: usize = 1024 * 1024;
/// Keys of one issuer.
pub const ISSUER_KEYS_MAX: usize = 256;
/// Scopes of one credential.
pub const SCOPES_MAX: usize = 256;
/// Roles of one credential.
pub const ROLES_MAX: usize = 256;
/// Names of roles that nobody has defined, and that the operator is told of.
pub const UNKNOWN_ROLES_MAX: usize = 64;
/// Bytes of a key identifier (`kid`).
pub const KEY_ID_BYTES_MAX: usize = 256;
/// Seconds that clocks may differ by, at most.
pub const LEEWAY_SECONDS_MAX: u64 = 300;
/// Seconds after which an issuer's keys are fetched anew.
pub const KEYS_FRESH_SECONDS: u64 = 600;
/// Seconds after which keys that could not be fetched anew are no longer believed.
pub const KEYS_BELIEVED_SECONDS: u64 = 3_600;
/// Seconds from one attempt to fetch an issuer's keys to the next, whatever asks for it.
pub const FETCH_PAUSE_SECONDS: u64 = 30;
/// Seconds that a verified token is remembered.
pub const TOKEN_REMEMBERED_SECONDS: u64 = 60;
/// Verified tokens that are remembered.
pub const TOKENS_REMEMBERED_MAX: usize = 4_096;
/// The last second that a token may name: the end of the year 9999.
pub const UNIX_SECONDS_MAX: u64 = 253_402_300_799;
/// API keys in one file.
pub const API_KEYS_MAX: usize = 4_096;
/// Bytes of the file of API keys.
pub const API_KEY_FILE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Seconds that an API key is valid, at most: a year.
pub const API_KEY_SECONDS_MAX: u64 = 366 * 24 * 60 * 60;
