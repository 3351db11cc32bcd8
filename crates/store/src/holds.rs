//! Holds: calls that wait for a person, and approvals for exactly one binding.
//!
//! A hold goes `pending` → `approved` → `spent`, or to `denied` or `expired`; never back. Its arguments are kept
//! only while it is pending, for the person who decides, and overwritten with the decision (`secure_delete`).
//! One statement spends an approval, so two callers cannot both have it.

use refmon_core::caller::Caller;
use refmon_core::digest::Binding;
use refmon_core::ids::{ApprovalKind, HoldId};
use refmon_core::limits;
use refmon_core::ports::{Approval, Fault, HoldRequest, Holds, Moment};
use rusqlite::{OptionalExtension as _, Row, TransactionBehavior, params};

use crate::{StoreError, Stores, TenantStore};

pub(crate) const SCHEMA: &str = "
    CREATE TABLE hold (
        tenant      TEXT NOT NULL,
        id          BLOB NOT NULL,
        user        TEXT NOT NULL,
        agent       TEXT NOT NULL,
        binding     BLOB NOT NULL,
        approvals   TEXT NOT NULL,
        action      TEXT NOT NULL,
        arguments   TEXT NOT NULL,
        explanation TEXT NOT NULL,
        placed_us   INTEGER NOT NULL,
        expires_us  INTEGER NOT NULL,
        state       TEXT NOT NULL CHECK (state IN ('pending', 'approved', 'denied', 'spent', 'expired')),
        decided_us  INTEGER,
        decided_by  TEXT,
        PRIMARY KEY (tenant, id)
    ) STRICT, WITHOUT ROWID;
    CREATE UNIQUE INDEX hold_pending ON hold (tenant, binding) WHERE state = 'pending';
    CREATE INDEX hold_approved ON hold (tenant, binding) WHERE state = 'approved';
    CREATE INDEX hold_state ON hold (tenant, state, placed_us);
";

/// The state of a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldState {
    /// It waits for a decision.
    Pending,
    /// It may be used once, by the identical call.
    Approved,
    /// A person said no.
    Denied,
    /// The approved call was let through.
    Spent,
    /// Nobody decided, or nobody used the approval, in time.
    Expired,
}

impl HoldState {
    /// The state's name in output and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Spent => "spent",
            Self::Expired => "expired",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Pending, Self::Approved, Self::Denied, Self::Spent, Self::Expired]
            .into_iter()
            .find(|state| state.as_str() == text)
    }
}

/// A hold, as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Its identifier.
    pub id: HoldId,
    /// Who asked.
    pub user: String,
    /// For whom the agent asked.
    pub agent: String,
    /// The approvals that are needed.
    pub approvals: Vec<String>,
    /// The operation, as `server/operation@version`.
    pub action: String,
    /// The canonical arguments; empty once the hold is decided.
    pub arguments: String,
    /// Why it is held.
    pub explanation: String,
    /// When it was asked, in microseconds since the Unix epoch.
    pub placed_us: u64,
    /// When it or its approval expires.
    pub expires_us: u64,
    /// Its state.
    pub state: HoldState,
    /// Who decided.
    pub decided_by: Option<String>,
}

/// What became of a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decided {
    /// The hold was pending and is now decided.
    Done,
    /// The hold had this state already.
    NotPending(HoldState),
    /// There is no such hold.
    Missing,
}

const COLUMNS: &str =
    "id, user, agent, approvals, action, arguments, explanation, placed_us, expires_us, state, decided_by";

impl Stores {
    /// How many calls wait for a person, of all tenants together: a figure for the operator, and nothing else of theirs.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub fn holds_waiting(&self, now: Moment) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) FROM hold WHERE state = 'pending' AND expires_us > ?1";
        let count = self.connection().query_row(sql, params![micros(now)], |row| row.get::<_, i64>(0));
        Ok(u64::try_from(count.map_err(self.failed())?).unwrap_or_default())
    }
}

impl TenantStore<'_> {
    /// The holds, the newest first; only pending ones unless all are wanted. At most 1,000.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails or a row is damaged.
    pub fn holds(&self, all: bool, now: Moment) -> Result<Vec<Hold>, StoreError> {
        self.expire(now)?;
        let failed = self.stores.failed();
        let connection = self.stores.connection();
        let sql = format!(
            "SELECT {COLUMNS} FROM hold WHERE tenant = ?1 AND (?2 OR state = 'pending') ORDER BY placed_us DESC LIMIT 1000"
        );
        let mut statement = connection.prepare_cached(&sql).map_err(&failed)?;
        let rows = statement.query_map(params![self.tenant.as_str(), all], raw).map_err(&failed)?;
        rows.map(|row| row.map_err(&failed).and_then(hold)).collect()
    }

    /// One hold.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails or the row is damaged.
    pub fn hold(&self, id: HoldId, now: Moment) -> Result<Option<Hold>, StoreError> {
        self.expire(now)?;
        let sql = format!("SELECT {COLUMNS} FROM hold WHERE tenant = ?1 AND id = ?2");
        let connection = self.stores.connection();
        let row = connection.query_row(&sql, params![self.tenant.as_str(), id.as_bytes()], raw).optional();
        row.map_err(self.stores.failed())?.map(hold).transpose()
    }

    /// Decides on a pending hold. An approval lasts [`limits::HOLD_SECONDS`] from now.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub fn decide(
        &self,
        id: HoldId,
        approve: bool,
        by: &str,
        now: Moment,
        record: impl FnOnce() -> Result<(), Fault>,
    ) -> Result<Decided, StoreError> {
        self.expire(now)?;
        let state = if approve { HoldState::Approved } else { HoldState::Denied };
        let changed = {
            let mut connection = self.stores.connection();
            let failed = self.stores.failed();
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
            let sql = "UPDATE hold SET state = ?3, decided_us = ?4, decided_by = ?5, expires_us = ?6, arguments = ''
                       WHERE tenant = ?1 AND id = ?2 AND state = 'pending'";
            let values = params![self.tenant.as_str(), id.as_bytes(), state.as_str(), micros(now), by, expiry(now)];
            let changed = transaction.execute(sql, values).map_err(&failed)?;
            if changed == 1 {
                // Nobody else can decide meanwhile, and without the record nothing has been decided.
                record().map_err(StoreError::Unrecorded)?;
                transaction.commit().map_err(&failed)?;
            }
            changed
        };
        if changed == 1 {
            self.forget()?;
            return Ok(Decided::Done);
        }
        Ok(self.hold(id, now)?.map_or(Decided::Missing, |hold| Decided::NotPending(hold.state)))
    }

    fn expire(&self, now: Moment) -> Result<(), StoreError> {
        let sql = "UPDATE hold SET state = 'expired', arguments = ''
                   WHERE tenant = ?1 AND state IN ('pending', 'approved') AND expires_us <= ?2";
        let values = params![self.tenant.as_str(), micros(now)];
        let changed = self.stores.connection().execute(sql, values).map_err(self.stores.failed())?;
        if changed > 0 { self.forget() } else { Ok(()) }
    }

    /// Empties the write-ahead log, which still holds what was overwritten. If another process reads just now it
    /// stays until the next time.
    fn forget(&self) -> Result<(), StoreError> {
        let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
        self.stores.connection().query_row(sql, [], |_| Ok(())).map_err(self.stores.failed())
    }

    fn approved(&self, binding: &Binding, now: Moment) -> Result<Option<Approval>, StoreError> {
        let connection = self.stores.connection();
        let sql = "SELECT id, approvals FROM hold
                   WHERE tenant = ?1 AND binding = ?2 AND state = 'approved'
                   AND expires_us > ?3 AND decided_us <= ?3 LIMIT 1";
        let values = params![self.tenant.as_str(), binding.as_bytes(), micros(now)];
        let failed = self.stores.failed();
        let mut statement = connection.prepare_cached(sql).map_err(&failed)?;
        let row =
            statement.query_row(values, |row| Ok((row.get::<_, [u8; 16]>(0)?, row.get::<_, String>(1)?))).optional();
        let Some((id, approvals)) = row.map_err(&failed)? else { return Ok(None) };
        let approvals = kinds(&approvals)?;
        Ok(Some(Approval { hold: HoldId::from_bytes(id), approvals }))
    }

    fn place(&self, caller: &Caller, request: &HoldRequest<'_>) -> Result<HoldId, StoreError> {
        self.expire(request.now)?;
        let failed = self.stores.failed();
        let mut connection = self.stores.connection();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        let sql = "SELECT id FROM hold WHERE tenant = ?1 AND binding = ?2 AND state = 'pending'";
        let values = params![self.tenant.as_str(), request.binding.as_bytes()];
        let known = transaction.query_row(sql, values, |row| row.get::<_, [u8; 16]>(0)).optional().map_err(&failed)?;
        if let Some(id) = known {
            return Ok(HoldId::from_bytes(id));
        }
        let sql = "SELECT count(*) FROM hold WHERE tenant = ?1 AND state = 'pending'";
        let pending: i64 =
            transaction.query_row(sql, params![self.tenant.as_str()], |row| row.get(0)).map_err(&failed)?;
        if usize::try_from(pending).is_ok_and(|pending| pending >= limits::HOLDS_PENDING_MAX) {
            return Err(StoreError::Full);
        }
        let approvals: Vec<&str> = request.approvals.iter().map(ApprovalKind::as_str).collect();
        let sql = "INSERT INTO hold (tenant, id, user, agent, binding, approvals, action, arguments, explanation,
                                     placed_us, expires_us, state)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, 'pending')";
        let values = params![
            self.tenant.as_str(),
            request.id.as_bytes(),
            caller.user().as_str(),
            caller.agent().as_str(),
            request.binding.as_bytes(),
            approvals.join(" "),
            request.action,
            request.arguments,
            request.explanation,
            micros(request.now),
            expiry(request.now),
        ];
        transaction.execute(sql, values).map_err(&failed)?;
        transaction.commit().map_err(&failed)?;
        Ok(request.id)
    }

    fn spend(&self, approval: &Approval, now: Moment) -> Result<bool, StoreError> {
        let sql = "UPDATE hold SET state = 'spent'
                   WHERE tenant = ?1 AND id = ?2 AND state = 'approved' AND expires_us > ?3 AND decided_us <= ?3";
        let values = params![self.tenant.as_str(), approval.hold.as_bytes(), micros(now)];
        let changed = self.stores.connection().execute(sql, values).map_err(self.stores.failed())?;
        Ok(changed == 1)
    }
}

impl Holds for Stores {
    fn approved(&self, caller: &Caller, binding: &Binding, now: Moment) -> Result<Option<Approval>, Fault> {
        self.of(caller).approved(binding, now).map_err(|error| Fault::caused("the store of holds", error))
    }

    fn place(&self, caller: &Caller, request: &HoldRequest<'_>) -> Result<HoldId, Fault> {
        self.of(caller).place(caller, request).map_err(|error| Fault::caused("the store of holds", error))
    }

    fn spend(&self, caller: &Caller, approval: &Approval, now: Moment) -> Result<bool, Fault> {
        self.of(caller).spend(approval, now).map_err(|error| Fault::caused("the store of holds", error))
    }
}

type Raw = ([u8; 16], [String; 6], i64, i64, String, Option<String>);

fn raw(row: &Row<'_>) -> rusqlite::Result<Raw> {
    let texts = [row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?];
    Ok((row.get(0)?, texts, row.get(7)?, row.get(8)?, row.get(9)?, row.get(10)?))
}

fn hold((id, texts, placed, expires, state, decided_by): Raw) -> Result<Hold, StoreError> {
    let [user, agent, approvals, action, arguments, explanation] = texts;
    let unsigned = |value: i64| u64::try_from(value).map_err(|_| StoreError::Damaged("hold"));
    Ok(Hold {
        id: HoldId::from_bytes(id),
        user,
        agent,
        approvals: kinds(&approvals)?.iter().map(ToString::to_string).collect(),
        action,
        arguments,
        explanation,
        placed_us: unsigned(placed)?,
        expires_us: unsigned(expires)?,
        state: HoldState::parse(&state).ok_or(StoreError::Damaged("hold"))?,
        decided_by,
    })
}

/// Identifiers have no spaces, so a space separates them.
fn kinds(text: &str) -> Result<Vec<ApprovalKind>, StoreError> {
    text.split(' ').map(|kind| ApprovalKind::parse(kind).map_err(|_| StoreError::Damaged("hold"))).collect()
}

fn micros(moment: Moment) -> i64 {
    i64::try_from(moment.unix_us).unwrap_or(i64::MAX)
}

fn expiry(moment: Moment) -> i64 {
    micros(moment).saturating_add(i64::try_from(limits::HOLD_SECONDS * 1_000_000).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use refmon_core::ids::{AgentId, TenantId, UserId};

    use super::*;

    fn caller(tenant: &str) -> Caller {
        let (user, agent) = (UserId::parse("u").unwrap(), AgentId::parse("a").unwrap());
        Caller::local(TenantId::parse(tenant).unwrap(), user, agent, [])
    }

    fn at(seconds: u64) -> Moment {
        Moment { unix_us: seconds * 1_000_000, monotonic_ns: 0 }
    }

    fn place(stores: &Stores, caller: &Caller, number: u8, binding: u8, now: Moment) -> Result<HoldId, Fault> {
        let approvals = [ApprovalKind::parse("operator").unwrap()];
        let request = HoldRequest {
            id: HoldId::from_bytes([number; 16]),
            binding: Binding::from_bytes([binding; 32]),
            approvals: &approvals,
            action: "s/t@1",
            arguments: "{\"card\":\"4111-canary\"}",
            explanation: "because",
            now,
        };
        stores.place(caller, &request)
    }

    fn open() -> (tempfile::TempDir, Stores) {
        let folder = tempfile::tempdir().unwrap();
        let stores = Stores::open(&folder.path().join("state.db")).unwrap();
        (folder, stores)
    }

    #[test]
    fn what_waits_is_counted_over_all_tenants_until_it_is_decided_or_over() {
        let (_folder, stores) = open();
        let (me, other) = (caller("t"), caller("u"));
        let id = place(&stores, &me, 1, 7, at(0)).unwrap();
        place(&stores, &other, 2, 7, at(0)).unwrap();
        assert_eq!(stores.holds_waiting(at(1)).unwrap(), 2);
        stores.of(&me).decide(id, true, "boss", at(1), || Ok(())).unwrap();
        assert_eq!(stores.holds_waiting(at(1)).unwrap(), 1);
        assert_eq!(stores.holds_waiting(at(limits::HOLD_SECONDS)).unwrap(), 0, "nobody has looked since");
    }

    #[test]
    fn an_approval_is_spent_once_and_only_for_its_binding() {
        let (_folder, stores) = open();
        let (me, binding) = (caller("t"), Binding::from_bytes([7; 32]));
        let id = place(&stores, &me, 1, 7, at(0)).unwrap();
        assert_eq!(stores.approved(&me, &binding, at(1)).unwrap(), None, "pending is not approved");
        assert_eq!(stores.of(&me).decide(id, true, "boss", at(1), || Ok(())).unwrap(), Decided::Done);
        assert_eq!(stores.approved(&me, &Binding::from_bytes([8; 32]), at(2)).unwrap(), None);
        let approval = stores.approved(&me, &binding, at(2)).unwrap().unwrap();
        assert!(stores.spend(&me, &approval, at(2)).unwrap());
        assert!(!stores.spend(&me, &approval, at(2)).unwrap());
        assert_eq!(stores.approved(&me, &binding, at(2)).unwrap(), None);
        let again = stores.of(&me).decide(id, true, "boss", at(3), || Ok(())).unwrap();
        assert_eq!(again, Decided::NotPending(HoldState::Spent));
    }

    #[test]
    fn the_same_call_waits_in_one_hold() {
        let (_folder, stores) = open();
        let me = caller("t");
        let id = place(&stores, &me, 1, 7, at(0)).unwrap();
        assert_eq!(place(&stores, &me, 2, 7, at(1)).unwrap(), id);
        assert_ne!(place(&stores, &me, 3, 8, at(1)).unwrap(), id);
        stores.of(&me).decide(id, false, "boss", at(2), || Ok(())).unwrap();
        assert_ne!(place(&stores, &me, 4, 7, at(3)).unwrap(), id, "after a denial one may ask again");
    }

    #[test]
    fn holds_and_approvals_expire() {
        let (_folder, stores) = open();
        let (me, binding) = (caller("t"), Binding::from_bytes([7; 32]));
        let late = limits::HOLD_SECONDS;
        let id = place(&stores, &me, 1, 7, at(0)).unwrap();
        assert_eq!(
            stores.of(&me).decide(id, true, "b", at(late), || Ok(())).unwrap(),
            Decided::NotPending(HoldState::Expired)
        );
        let id = place(&stores, &me, 2, 7, at(late)).unwrap();
        stores.of(&me).decide(id, true, "b", at(late + 1), || Ok(())).unwrap();
        let approval = stores.approved(&me, &binding, at(late + 2)).unwrap().unwrap();
        assert_eq!(stores.approved(&me, &binding, at(2 * late + 1)).unwrap(), None);
        assert!(!stores.spend(&me, &approval, at(2 * late + 1)).unwrap());
    }

    #[test]
    fn a_foreign_hold_and_a_missing_one_look_alike() {
        let (_folder, stores) = open();
        let (me, other) = (caller("t"), caller("other"));
        let id = place(&stores, &me, 1, 7, at(0)).unwrap();
        let missing = HoldId::from_bytes([9; 16]);
        let theirs = stores.of(&other);
        assert_eq!(theirs.hold(id, at(1)).unwrap(), theirs.hold(missing, at(1)).unwrap());
        assert_eq!(
            theirs.decide(id, true, "x", at(1), || Ok(())).unwrap(),
            theirs.decide(missing, true, "x", at(1), || Ok(())).unwrap()
        );
        assert!(theirs.holds(true, at(1)).unwrap().is_empty());
        stores.of(&me).decide(id, true, "boss", at(1), || Ok(())).unwrap();
        assert_eq!(stores.approved(&other, &Binding::from_bytes([7; 32]), at(1)).unwrap(), None);
        let approval = Approval { hold: id, approvals: vec![] };
        assert!(!stores.spend(&other, &approval, at(1)).unwrap());
        assert_ne!(place(&stores, &other, 1, 7, at(1)).ok(), None, "the same identifier in another tenant is free");
    }

    #[test]
    fn arguments_are_gone_from_the_file_after_the_decision() {
        let (folder, stores) = open();
        let me = caller("t");
        let id = place(&stores, &me, 1, 7, at(0)).unwrap();
        assert!(stores.of(&me).hold(id, at(1)).unwrap().unwrap().arguments.contains("canary"));
        stores.of(&me).decide(id, true, "boss", at(1), || Ok(())).unwrap();
        assert_eq!(stores.of(&me).hold(id, at(1)).unwrap().unwrap().arguments, "");
        drop(stores);
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            assert!(!bytes.windows(11).any(|window| window == b"4111-canary"));
        }
    }

    #[test]
    fn the_queue_is_bounded() {
        let (_folder, stores) = open();
        let me = caller("t");
        {
            let connection = stores.connection();
            let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1024)
                       INSERT INTO hold SELECT 't', randomblob(16), 'u', 'a', randomblob(32), 'operator', 's', '', '', 0,
                       1000000000, 'pending', NULL, NULL FROM n";
            connection.execute(sql, []).unwrap();
        }
        assert!(place(&stores, &me, 1, 7, at(0)).is_err());
        assert!(place(&stores, &caller("other"), 1, 7, at(0)).is_ok());
    }
}
