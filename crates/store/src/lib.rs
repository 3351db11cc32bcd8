//! refmon's stores: the only crate that speaks SQL.
//!
//! [`Stores::of`] is the only way to a tenant's rows, and it wants an authenticated caller. No method of
//! [`TenantStore`] takes a tenant; every key begins with it; a foreign identifier and a missing one give the same
//! answer. [`authority`] holds the limits that remember. [`index::Index`] is a cache over the journal, thrown away and rebuilt at will.

pub mod authority;
mod database;
pub mod desk;
mod figures;
pub mod grants;
pub mod holds;
#[cfg(test)]
mod holds_age_tests;
#[cfg(test)]
mod holds_tests;
pub mod index;
pub mod outbox;
pub mod risk;

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use refmon_core::caller::Caller;
use refmon_core::ids::TenantId;
use rusqlite::Connection;

/// Why a store could not be opened or asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database failed.
    #[error("the database `{path}` failed")]
    Database {
        /// The database file.
        path: String,
        /// The cause.
        #[source]
        source: rusqlite::Error,
    },
    /// The database's file cannot be made, or cannot be kept from others.
    #[error("the database `{path}` cannot be made for this user alone; let the user that runs refmon own it")]
    Exposed {
        /// The database file.
        path: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The database was written by a later version.
    #[error("the database `{path}` was written by a later version of refmon (schema {found}); use that version")]
    Later {
        /// The database file.
        path: String,
        /// The schema version found.
        found: i64,
    },
    /// A row does not hold what it should.
    #[error("a row of `{0}` is damaged; restore the file or remove it")]
    Damaged(&'static str),
    /// A decision could not be recorded, so it was not made.
    #[error("the decision could not be recorded, so nothing was decided")]
    Unrecorded(#[source] refmon_core::ports::Fault),
}

/// The schema of the state database, step by step. A step is never changed.
pub(crate) const MIGRATIONS: [&str; 5] = [holds::SCHEMA, grants::SCHEMA, holds::DECISIONS, holds::AGES, outbox::SCHEMA];

/// The state database.
#[derive(Debug)]
pub struct Stores {
    path: String,
    connection: Mutex<Connection>,
    judging: grants::Judging,
}

impl Stores {
    /// Opens the state database, creating or migrating it. Several processes may have it open.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be opened or is of a later version.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let shown = path.display().to_string();
        let connection = database::open(path, &MIGRATIONS)?;
        Ok(Self { path: shown, connection: Mutex::new(connection), judging: grants::Judging::of(path) })
    }

    /// The rows of the caller's tenant, and no others.
    #[must_use]
    pub fn of(&self, caller: &Caller) -> TenantStore<'_> {
        TenantStore { stores: self, tenant: caller.tenant().clone() }
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self) -> impl Fn(rusqlite::Error) -> StoreError + '_ {
        |source| StoreError::Database { path: self.path.clone(), source }
    }
}

/// One tenant's rows.
#[derive(Debug)]
pub struct TenantStore<'a> {
    stores: &'a Stores,
    tenant: TenantId,
}
