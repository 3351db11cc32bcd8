//! refmon's console: pages for people who decide on calls and look at what happens, rendered on the server.
//!
//! | module | what it is for |
//! |---|---|
//! | [`console`] | which path is which page; a request in, a page out |
//! | [`session`] | who is logged in: random identifiers, kept as digests, bounded in number and time |
//! | `guard` | what a form must show before anything is done: the session's token, and the page that it came from |
//! | `form` | queries, forms and cookies: bounded, one value for each name |
//! | [`sight`] | what pages show, as plain data, and the port that it comes from |
//! | `page`, `text`, `look` | the frame round every page; text of strangers; what is drawn often |
//! | `pages` | the pages |
//!
//! Whoever listens (the gateway) has checked `Host` and `Origin` and has read the body within its bound. This crate sees no
//! socket, no database and no journal.
//!
//! INVARIANT: what agents and tools wrote gets into a page through `text` only: as text, isolated, with everything invisible
//! in it made visible. Templates escape by themselves; nothing here is marked as markup that is not a constant of ours.
//!
//! INVARIANT: only `POST` changes anything, and each needs the session's token and comes from a page of this console.
//!
//! INVARIANT: a page works without its script, and no page has a script or a style inside.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![cfg_attr(
    test,
    allow(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::allow_attributes,
        reason = "tests may index and count"
    )
)]

pub mod console;
mod form;
mod guard;
mod look;
mod page;
mod pages;
pub mod session;
pub mod sight;
mod text;

pub use console::{Body, Console, Parts};
pub use session::{Credential, Credentials};
pub use sight::Sight;
