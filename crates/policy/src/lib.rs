//! x
pub mod compile;
pub mod engine;
pub mod lint;
pub mod packs;
pub mod problem;
pub mod rule;
pub mod schema;
pub mod source;
pub use engine::{Engine, Options};
