//! The pages, one file each: what a page asks for, what it shows, and how it looks.

pub(crate) mod call;
pub(crate) mod calls;
pub(crate) mod hold;
pub(crate) mod login;
pub(crate) mod queue;
