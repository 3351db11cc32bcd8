//! Grants: scopes that a person gives a caller for a time.
//!
//! A grant goes `active` → `revoked` or `ended`; never back. An end that was seen is written down, and within a process
//! time does not go back, so that a clock that is set back gives nobody more of it.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use refmon_core::caller::Caller;
use refmon_core::ids::{AgentId, GrantId, Scope, UserId};
use refmon_core::limits;
use refmon_core::ports::{Fault, Moment, ScopeGrant, ScopeGrants};
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Row, TransactionBehavior, params};

use crate::{StoreError, Stores, TenantStore, database};

pub(crate) const SCHEMA: &str = "
    CREATE TABLE scope_grant (
        tenant    TEXT NOT NULL,
        id        BLOB NOT NULL,
        user      TEXT NOT NULL,
        agent     TEXT,
        scopes    TEXT NOT NULL,
        reason    TEXT NOT NULL,
        given_us  INTEGER NOT NULL,
        given_by  TEXT NOT NULL,
        until_us  INTEGER NOT NULL,
        state     TEXT NOT NULL CHECK (state IN ('active', 'revoked', 'ended')),
        PRIMARY KEY (tenant, id)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX scope_grant_active ON scope_grant (tenant, user) WHERE state = 'active';
";

/// The state of a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrantState {
    /// It adds its scopes until its end.
    Active,
    /// A person took it back.
    Revoked,
    /// Its time is over.
    Ended,
}

impl GrantState {
    /// The state's name in output and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Revoked => "revoked",
            Self::Ended => "ended",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Active, Self::Revoked, Self::Ended].into_iter().find(|state| state.as_str() == text)
    }
}

/// A grant to be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewGrant {
    /// Its identifier.
    pub id: GrantId,
    /// To whom.
    pub user: UserId,
    /// Through which agent only; any if there is none.
    pub agent: Option<AgentId>,
    /// What.
    pub scopes: Vec<Scope>,
    /// Why, for people.
    pub reason: String,
    /// For how many seconds from now.
    pub seconds: u64,
}

/// A grant, as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Its identifier.
    pub id: GrantId,
    /// To whom.
    pub user: String,
    /// Through which agent only.
    pub agent: Option<String>,
    /// What.
    pub scopes: Vec<Scope>,
    /// Why.
    pub reason: String,
    /// Who gave it.
    pub given_by: String,
    /// When, in microseconds since the Unix epoch.
    pub given_us: u64,
    /// Its end.
    pub until_us: u64,
    /// Its state.
    pub state: GrantState,
}

/// Why a grant was not given.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GrantError {
    /// Its time is none, or too long.
    #[error("a grant lasts from a second to {} days; for longer, give the scope or a role", limits::GRANT_SECONDS_MAX / 86_400)]
    Seconds,
    /// It grants nothing, or too much to look through.
    #[error("a grant has from 1 to {} scopes", limits::GRANT_SCOPES_MAX)]
    Scopes,
    /// Too many are in force.
    #[error("{} grants are in force; revoke some first (`refmon grant list`)", limits::GRANTS_MAX)]
    Full,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

const COLUMNS: &str = "id, user, agent, scopes, reason, given_us, given_by, until_us, state";

impl TenantStore<'_> {
    /// Gives a grant, if it can be recorded: without evidence it does not exist. Answers with its end.
    ///
    /// # Errors
    /// [`GrantError`] if it is not acceptable, cannot be recorded, or the database fails.
    pub fn give(
        &self,
        new: &NewGrant,
        by: &str,
        now: Moment,
        record: impl FnOnce(u64) -> Result<(), Fault>,
    ) -> Result<u64, GrantError> {
        if !(1..=limits::GRANT_SECONDS_MAX).contains(&new.seconds) {
            return Err(GrantError::Seconds);
        }
        if !(1..=limits::GRANT_SCOPES_MAX).contains(&new.scopes.len()) {
            return Err(GrantError::Scopes);
        }
        let until = now.unix_us.saturating_add(new.seconds.saturating_mul(1_000_000));
        let failed = self.stores.failed();
        let mut connection = self.stores.connection();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        transaction.execute(END, params![self.tenant.as_str(), micros(now.unix_us)]).map_err(&failed)?;
        let sql = "SELECT count(*) FROM scope_grant WHERE tenant = ?1 AND state = 'active'";
        let active: i64 = transaction.query_row(sql, [self.tenant.as_str()], |row| row.get(0)).map_err(&failed)?;
        if usize::try_from(active).is_ok_and(|active| active >= limits::GRANTS_MAX) {
            return Err(GrantError::Full);
        }
        let scopes: Vec<&str> = new.scopes.iter().map(Scope::as_str).collect();
        let sql =
            "INSERT INTO scope_grant (tenant, id, user, agent, scopes, reason, given_us, given_by, until_us, state)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 'active')";
        let values = params![
            self.tenant.as_str(),
            new.id.as_bytes(),
            new.user.as_str(),
            new.agent.as_ref().map(AgentId::as_str),
            scopes.join(" "),
            new.reason,
            micros(now.unix_us),
            by,
            micros(until),
        ];
        transaction.execute(sql, values).map_err(&failed)?;
        record(until).map_err(StoreError::Unrecorded)?;
        transaction.commit().map_err(&failed)?;
        Ok(until)
    }

    /// Takes a grant back, at once and for good. `None` if there is none; else the state that it had.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub fn revoke(&self, id: GrantId, now: Moment) -> Result<Option<GrantState>, StoreError> {
        let failed = self.stores.failed();
        let mut connection = self.stores.connection();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        transaction.execute(END, params![self.tenant.as_str(), micros(now.unix_us)]).map_err(&failed)?;
        let key = params![self.tenant.as_str(), id.as_bytes()];
        let sql = "SELECT state FROM scope_grant WHERE tenant = ?1 AND id = ?2";
        let state: Option<String> = transaction.query_row(sql, key, |row| row.get(0)).optional().map_err(&failed)?;
        let sql = "UPDATE scope_grant SET state = 'revoked' WHERE tenant = ?1 AND id = ?2 AND state = 'active'";
        transaction.execute(sql, key).map_err(&failed)?;
        transaction.commit().map_err(&failed)?;
        state.map(|state| GrantState::parse(&state).ok_or(StoreError::Damaged("scope_grant"))).transpose()
    }

    /// The grants, the newest first; only those in force unless all are wanted. At most 1,000.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails or a row is damaged.
    pub fn grants(&self, all: bool, now: Moment) -> Result<Vec<Grant>, StoreError> {
        let failed = self.stores.failed();
        let connection = self.stores.connection();
        connection.execute(END, params![self.tenant.as_str(), micros(now.unix_us)]).map_err(&failed)?;
        let sql = format!(
            "SELECT {COLUMNS} FROM scope_grant WHERE tenant = ?1 AND (?2 OR state = 'active') ORDER BY given_us DESC LIMIT 1000"
        );
        let mut statement = connection.prepare_cached(&sql).map_err(&failed)?;
        let rows = statement.query_map(params![self.tenant.as_str(), all], raw).map_err(&failed)?;
        rows.map(|row| row.map_err(&failed).and_then(grant)).collect()
    }
}

/// Writes down which grants of a tenant have ended.
const END: &str = "UPDATE scope_grant SET state = 'ended' WHERE tenant = ?1 AND state = 'active' AND until_us <= ?2";

/// How long a judgement waits for the database.
const PATIENCE: Duration = Duration::from_millis(100);

/// The connection that judgements use, so that they do not wait for a hold that is being written, and the latest time
/// that was seen.
#[derive(Debug)]
pub(crate) struct Judging {
    file: PathBuf,
    connection: Mutex<Option<Connection>>,
    latest: Mutex<Moment>,
}

impl Judging {
    pub(crate) fn of(file: &Path) -> Self {
        Self { file: file.to_owned(), connection: Mutex::default(), latest: Mutex::default() }
    }

    /// The present, or what the monotonic clock makes of the latest moment if the calendar was set back since.
    fn present(&self, now: Moment) -> u64 {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let carried = latest.unix_us.saturating_add(now.micros_since(*latest));
        let unix_us = now.unix_us.max(carried);
        *latest = Moment { unix_us, monotonic_ns: now.monotonic_ns.max(latest.monotonic_ns) };
        unix_us
    }
}

impl Stores {
    pub(crate) fn current(&self, caller: &Caller, now: Moment) -> Result<Vec<ScopeGrant>, StoreError> {
        let present = micros(self.judging.present(now));
        let mut opened = self.judging.connection.lock().unwrap_or_else(PoisonError::into_inner);
        if opened.is_none() {
            let connection = database::open(&self.judging.file, &crate::MIGRATIONS)?;
            // A judgement does not wait for whoever writes; reading never has to.
            connection.busy_timeout(PATIENCE).map_err(self.failed())?;
            *opened = Some(connection);
        }
        let Some(connection) = opened.as_ref() else { return Err(StoreError::Damaged("scope_grant")) };
        let failed = self.failed();
        let sql = "SELECT id, scopes, given_us, until_us FROM scope_grant
                   WHERE tenant = ?1 AND user = ?2 AND state = 'active' AND (agent IS NULL OR agent = ?3)";
        let mut statement = connection.prepare_cached(sql).map_err(&failed)?;
        let values = params![caller.tenant().as_str(), caller.user().as_str(), caller.agent().as_str()];
        let mut rows = statement.query(values).map_err(&failed)?;
        let (mut current, mut over) = (Vec::new(), false);
        while let Some(row) = rows.next().map_err(&failed)? {
            let (id, scopes) = (row.get(0).map_err(&failed)?, row.get::<_, String>(1).map_err(&failed)?);
            let (given, until) = (row.get::<_, i64>(2).map_err(&failed)?, row.get::<_, i64>(3).map_err(&failed)?);
            over |= until <= present;
            if given <= present && present < until {
                current.push(ScopeGrant { id: GrantId::from_bytes(id), scopes: parse(&scopes)? });
            }
        }
        if over {
            match connection.execute(END, params![caller.tenant().as_str(), present]) {
                // Somebody else writes just now. What is over stays over; the next judgement writes it down.
                Err(rusqlite::Error::SqliteFailure(error, _)) if error.code == ErrorCode::DatabaseBusy => {}
                ended => drop(ended.map_err(&failed)?),
            }
        }
        Ok(current)
    }
}

impl ScopeGrants for Stores {
    fn in_force(&self, caller: &Caller, now: Moment) -> Result<Vec<ScopeGrant>, Fault> {
        self.current(caller, now).map_err(|error| Fault::caused("the store of grants", error))
    }
}

type Raw = ([u8; 16], [String; 5], Option<String>, i64, i64);

fn raw(row: &Row<'_>) -> rusqlite::Result<Raw> {
    let texts = [row.get(1)?, row.get(3)?, row.get(4)?, row.get(6)?, row.get(8)?];
    Ok((row.get(0)?, texts, row.get(2)?, row.get(5)?, row.get(7)?))
}

fn grant((id, texts, agent, given, until): Raw) -> Result<Grant, StoreError> {
    let [user, scopes, reason, given_by, state] = texts;
    let unsigned = |value: i64| u64::try_from(value).map_err(|_| StoreError::Damaged("scope_grant"));
    Ok(Grant {
        id: GrantId::from_bytes(id),
        user,
        agent,
        scopes: parse(&scopes)?,
        reason,
        given_by,
        given_us: unsigned(given)?,
        until_us: unsigned(until)?,
        state: GrantState::parse(&state).ok_or(StoreError::Damaged("scope_grant"))?,
    })
}

/// Identifiers have no spaces, so a space separates them.
fn parse(scopes: &str) -> Result<Vec<Scope>, StoreError> {
    scopes.split(' ').map(|scope| Scope::parse(scope).map_err(|_| StoreError::Damaged("scope_grant"))).collect()
}

fn micros(unix_us: u64) -> i64 {
    i64::try_from(unix_us).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use refmon_core::ids::TenantId;

    use super::*;

    const T: u64 = 1_800_000_000;

    fn at(seconds: u64) -> Moment {
        Moment { unix_us: seconds * 1_000_000, monotonic_ns: (seconds - T / 2) * 1_000_000_000 }
    }

    fn caller(tenant: &str, user: &str, agent: &str) -> Caller {
        let agent = AgentId::parse(agent).unwrap();
        Caller::local(TenantId::parse(tenant).unwrap(), UserId::parse(user).unwrap(), agent, [])
    }

    fn new(number: u8, agent: Option<&str>, seconds: u64) -> NewGrant {
        NewGrant {
            id: GrantId::from_bytes([number; 16]),
            user: UserId::parse("ada").unwrap(),
            agent: agent.map(|agent| AgentId::parse(agent).unwrap()),
            scopes: ["mail:send", "mail:read"].map(|scope| Scope::parse(scope).unwrap()).to_vec(),
            reason: "incident 7".to_owned(),
            seconds,
        }
    }

    fn open(folder: &Path) -> Stores {
        Stores::open(&folder.join("state.db")).unwrap()
    }

    fn ids(stores: &Stores, caller: &Caller, now: Moment) -> Vec<u8> {
        stores.in_force(caller, now).unwrap().iter().map(|grant| grant.id.as_bytes()[0]).collect()
    }

    #[test]
    fn a_grant_is_for_its_tenant_user_and_agent_to_the_second() {
        let folder = tempfile::tempdir().unwrap();
        let stores = open(folder.path());
        let (ada, operator) = (caller("acme", "ada", "ide"), caller("acme", "root", "cli"));
        let store = stores.of(&operator);
        assert_eq!(store.give(&new(1, None, 60), "root", at(T), |_| Ok(())).unwrap(), (T + 60) * 1_000_000);
        store.give(&new(2, Some("bot"), 60), "root", at(T), |_| Ok(())).unwrap();
        let scopes = |grant: &ScopeGrant| grant.scopes.iter().map(Scope::to_string).collect::<Vec<_>>();
        assert_eq!(scopes(&stores.in_force(&ada, at(T)).unwrap()[0]), ["mail:send", "mail:read"]);
        assert_eq!(ids(&stores, &ada, at(T)), [1]);
        assert_eq!(ids(&stores, &caller("acme", "ada", "bot"), at(T)), [1, 2]);
        for other in [caller("other", "ada", "ide"), caller("acme", "eve", "ide"), caller("acme", "Ada", "bot")] {
            assert_eq!(ids(&stores, &other, at(T)), [0u8; 0], "{other:?}");
        }
        assert_eq!(ids(&stores, &ada, at(T + 59)), [1]);
        assert_eq!(ids(&stores, &ada, at(T + 60)), [0u8; 0]);
        assert!(store.grants(false, at(T + 60)).unwrap().is_empty());
        assert!(store.grants(true, at(T + 60)).unwrap().iter().all(|grant| grant.state == GrantState::Ended));
        assert!(stores.of(&caller("other", "root", "cli")).grants(true, at(T)).unwrap().is_empty());
    }

    #[test]
    fn a_clock_that_is_set_back_extends_no_grant() {
        let folder = tempfile::tempdir().unwrap();
        let (ada, eve) = (caller("acme", "ada", "ide"), caller("acme", "eve", "ide"));
        let stores = open(folder.path());
        stores.of(&ada).give(&new(1, None, 60), "root", at(T), |_| Ok(())).unwrap();
        assert_eq!(ids(&stores, &ada, Moment { unix_us: at(T - 1).unix_us, ..at(T) }), [0u8; 0], "before it was given");
        assert_eq!(ids(&stores, &ada, at(T)), [1]);
        // The calendar goes back by a minute; the time that has passed since does not.
        let back = |seconds: u64| Moment { unix_us: at(T).unix_us, monotonic_ns: at(T + seconds).monotonic_ns };
        assert_eq!(ids(&stores, &ada, back(59)), [1]);
        assert_eq!(ids(&stores, &ada, back(60)), [0u8; 0]);
        // The end was written down, so another process with a clock that is behind knows it, too.
        assert_eq!(ids(&open(folder.path()), &ada, at(T + 1)), [0u8; 0]);
        // Whoever's call was the latest, it was the latest for all.
        stores.of(&ada).give(&new(2, None, 60), "root", at(T + 100), |_| Ok(())).unwrap();
        assert_eq!(ids(&stores, &eve, at(T + 161)), [0u8; 0]);
        assert_eq!(ids(&stores, &ada, Moment { unix_us: at(T + 101).unix_us, ..at(T + 161) }), [0u8; 0]);
    }

    #[test]
    fn a_grant_that_is_revoked_or_not_recorded_adds_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (stores, ada) = (open(folder.path()), caller("acme", "ada", "ide"));
        let store = stores.of(&ada);
        let refused = store.give(&new(1, None, 60), "root", at(T), |_| Err(Fault::unavailable("the journal")));
        assert!(matches!(refused, Err(GrantError::Store(StoreError::Unrecorded(_)))));
        assert_eq!(ids(&stores, &ada, at(T)), [0u8; 0]);
        store.give(&new(2, None, 60), "root", at(T), |_| Ok(())).unwrap();
        let id = GrantId::from_bytes([2; 16]);
        let foreign = stores.of(&caller("other", "ada", "ide")).revoke(id, at(T)).unwrap();
        let missing = store.revoke(GrantId::from_bytes([9; 16]), at(T)).unwrap();
        assert_eq!((foreign, missing), (None, None));
        assert_eq!(ids(&stores, &ada, at(T)), [2]);
        assert_eq!(store.revoke(id, at(T)).unwrap(), Some(GrantState::Active));
        assert_eq!(ids(&stores, &ada, at(T)), [0u8; 0]);
        assert_eq!(store.revoke(id, at(T)).unwrap(), Some(GrantState::Revoked));
    }

    #[test]
    fn a_grant_is_bounded_in_time_size_and_number() {
        let folder = tempfile::tempdir().unwrap();
        let (stores, ada) = (open(folder.path()), caller("acme", "ada", "ide"));
        let store = stores.of(&ada);
        for seconds in [0, limits::GRANT_SECONDS_MAX + 1, u64::MAX] {
            assert!(matches!(store.give(&new(1, None, seconds), "r", at(T), |_| Ok(())), Err(GrantError::Seconds)));
        }
        for scopes in [0, limits::GRANT_SCOPES_MAX + 1] {
            let scopes = vec![Scope::parse("a").unwrap(); scopes];
            let wrong = NewGrant { scopes, ..new(1, None, 60) };
            assert!(matches!(store.give(&wrong, "r", at(T), |_| Ok(())), Err(GrantError::Scopes)));
        }
        assert!(store.give(&new(1, None, limits::GRANT_SECONDS_MAX), "r", at(T), |_| Ok(())).is_ok());
        let sql = "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 1024)
                   INSERT INTO scope_grant SELECT 'acme', CAST(i AS BLOB), 'ada', NULL, 'a', '', 0, 'r', ?1, 'active' FROM n";
        stores.connection().execute(sql, [micros(at(T + 60).unix_us)]).unwrap();
        assert!(matches!(store.give(&new(9, None, 60), "r", at(T), |_| Ok(())), Err(GrantError::Full)));
        assert!(store.give(&new(9, None, 60), "r", at(T + 60), |_| Ok(())).is_ok(), "those that ended make room");
    }

    #[test]
    fn a_store_that_does_not_answer_is_a_fault() {
        let folder = tempfile::tempdir().unwrap();
        let (stores, ada) = (open(folder.path()), caller("acme", "ada", "ide"));
        stores.connection().execute_batch("DROP TABLE scope_grant").unwrap();
        assert!(stores.in_force(&ada, at(T)).is_err());
    }
}
