//! x
mod contract;
mod kind;
mod reader;
pub use contract::{ContractFile, Declared, parse_contract};
