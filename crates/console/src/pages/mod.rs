//! The pages, one file each: what a page asks for, what it shows, and how it looks.

pub(crate) mod agents;
pub(crate) mod budgets;
pub(crate) mod call;
pub(crate) mod calls;
pub(crate) mod health;
pub(crate) mod hold;
pub(crate) mod login;
pub(crate) mod policies;
pub(crate) mod queue;
pub(crate) mod servers;

#[cfg(test)]
mod hostile_tests;
