//! Every bound in one place. A limit that is reached is a denial or a clear error, never a longer wait.

pub use refmon_json::{JSON_DEPTH_MAX, JSON_MEMBERS_MAX};

/// Bytes in one protocol frame (a line over stdio, a body over HTTP).
pub const FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes in the arguments of one call.
pub const ARGUMENT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes in an identifier (tenant, user, agent, server, tool, scope).
pub const ID_BYTES_MAX: usize = 256;
/// Bytes in an argument of a typed kind (path, url, email and so on).
pub const TYPED_ARGUMENT_BYTES_MAX: usize = 16 * 1024;
/// Bytes in an SQL argument that is parsed.
pub const SQL_BYTES_MAX: usize = 64 * 1024;
/// Nesting of parentheses in SQL that is parsed. The parser tries some constructs in two ways, so its work doubles with each.
pub const SQL_DEPTH_MAX: usize = 8;
/// Words and signs of SQL that is parsed. A chain of operators nests one level for each, whatever its parentheses, and what is
/// nested is taken apart on the stack.
pub const SQL_TOKENS_MAX: usize = 8_192;
/// Bytes of typed text in the arguments of one call, all together: each of them is parsed, or looked up.
pub const TYPED_BYTES_MAX: usize = 256 * 1024;
/// Paths in the arguments of one call: the file system is asked for each.
pub const PATHS_MAX: usize = 256;
/// Bytes of a path (Linux, `PATH_MAX`).
pub const PATH_BYTES_MAX: usize = 4_096;
/// Values that one argument rule may match in one call (elements of a list).
pub const ARGUMENT_VALUES_MAX: usize = 4_096;
/// Passes of the policy fix-point over conditional forbids.
pub const FIXPOINT_PASSES_MAX: usize = 5;
/// Tools of one server.
pub const TOOLS_MAX: usize = 4_096;
/// Calls under way in one protocol session.
pub const CALLS_IN_FLIGHT_MAX: usize = 1_024;
/// Cancelled calls of one protocol session whose late answers are still waited for, so that they reach nobody.
pub const CALLS_CANCELLED_MAX: usize = 16_384;
/// Holds that may wait for a decision, per tenant.
pub const HOLDS_PENDING_MAX: usize = 1_024;
/// Holds of one person that may wait for a decision, of those of the tenant.
pub const HOLDS_OF_PERSON_MAX: usize = 64;
/// Bytes of arguments that a person can be asked to decide on.
pub const HOLD_ARGUMENT_BYTES_MAX: usize = 256 * 1024;
/// Holds of one person that may be placed within an hour: nobody decides on more.
pub const HOLDS_OF_PERSON_HOUR_MAX: usize = 1_024;
/// People that one call can need.
pub const APPROVERS_MAX: u8 = 2;
/// Seconds a hold waits for a decision, and an approval for its use.
pub const HOLD_SECONDS: u64 = 600;
/// Grants of scopes in force, per tenant.
pub const GRANTS_MAX: usize = 1_024;
/// Scopes of one grant.
pub const GRANT_SCOPES_MAX: usize = 64;
/// Seconds that a grant lasts at most: 30 days. What is needed for longer is no grant.
pub const GRANT_SECONDS_MAX: u64 = 30 * 86_400;
/// Buckets of budgets that are not full, in one process.
pub const BUDGET_BUCKETS_MAX: usize = 65_536;
/// Budgets, and rules of read-only mode, in one configuration.
pub const AUTHORITY_RULES_MAX: usize = 256;
/// Seconds of a budget's window: 366 days.
pub const BUDGET_WINDOW_SECONDS_MAX: u64 = 366 * 86_400;
/// Bytes of untrusted text that [`crate::untrusted::Shown`] prints.
pub const SHOWN_BYTES_MAX: usize = 64;
