//! Holds: calls that wait for a person, and approvals for exactly one binding.
//!
//! A hold goes `pending` → `approved` → `spent`, or to `denied` or `expired`; never back. Its arguments are kept
//! only while it is pending, for the people who decide, and overwritten with the decision (`secure_delete`).
//! One statement spends an approval, so two callers cannot both have it. Who decides is in [`crate::desk`].

use refmon_core::caller::Caller;
use refmon_core::contract::Effect;
use refmon_core::digest::Binding;
pub use refmon_core::hold::HoldState;
use refmon_core::ids::{ApprovalKind, HoldId};
use refmon_core::limits;
use refmon_core::ports::{Approval, Fault, HoldRequest, Holds, Moment, Placed};
use rusqlite::{Connection, OptionalExtension as _, Row, TransactionBehavior, params};

use crate::risk::Risk;
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

/// What came with decisions by API and by several people. A hold from before has no effects: it can be decided on at the
/// machine only.
pub(crate) const DECISIONS: &str = "
    ALTER TABLE hold ADD COLUMN effects INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE hold ADD COLUMN needed INTEGER NOT NULL DEFAULT 1;
    ALTER TABLE hold ADD COLUMN reason TEXT NOT NULL DEFAULT '';
    ALTER TABLE hold ADD COLUMN risk INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE hold ADD COLUMN server TEXT NOT NULL DEFAULT '';
    ALTER TABLE hold ADD COLUMN tool TEXT NOT NULL DEFAULT '';
    ALTER TABLE hold ADD COLUMN targets TEXT NOT NULL DEFAULT '';
    ALTER TABLE hold ADD COLUMN identity TEXT NOT NULL DEFAULT '';
    ALTER TABLE hold ADD COLUMN door TEXT NOT NULL DEFAULT '';
    ALTER TABLE hold ADD COLUMN trajectory BLOB;
    ALTER TABLE hold ADD COLUMN host_user TEXT;
    ALTER TABLE hold ADD COLUMN host_agent TEXT;
    CREATE TABLE hold_decision (
        tenant   TEXT NOT NULL,
        hold     BLOB NOT NULL,
        user     TEXT NOT NULL,
        agent    TEXT NOT NULL,
        identity TEXT NOT NULL,
        verdict  TEXT NOT NULL CHECK (verdict IN ('approved', 'denied')),
        own      INTEGER NOT NULL,
        reason   TEXT,
        at_us    INTEGER NOT NULL,
        PRIMARY KEY (tenant, hold, user, verdict)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX hold_ends ON hold (expires_us) WHERE state IN ('pending', 'approved');
    CREATE INDEX hold_denied ON hold (tenant, binding) WHERE state = 'denied';
";

/// What makes one person's holds found quickly, and old ones.
pub(crate) const AGES: &str = "
    CREATE INDEX hold_user ON hold (tenant, user, placed_us);
    CREATE INDEX hold_host ON hold (tenant, host_user) WHERE host_user IS NOT NULL;
    CREATE INDEX hold_over ON hold (expires_us) WHERE state IN ('denied', 'spent', 'expired');
";

/// How long a hold that is over is kept: for a day's figures. The journal keeps what was decided.
const KEPT_US: i64 = 25 * 3_600_000_000;
/// Old holds that are removed at a time.
const REMOVED_MAX: u32 = 1_000;

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

    /// Ends what is over, of all tenants, and overwrites what was kept of it for the person who decides. Every operation on
    /// holds does that first; a process that goes on calls it every few seconds, so that nothing waits for one.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub fn expire_holds(&self, now: Moment) -> Result<(), StoreError> {
        let (over, values) = ("state IN ('pending', 'approved') AND expires_us <= ?1", params![micros(now)]);
        let changed = {
            let connection = self.connection();
            let sql = format!("SELECT EXISTS (SELECT 1 FROM hold WHERE {over})");
            // Who has nothing to end does not wait for whoever writes.
            if !connection.query_row(&sql, values, |row| row.get::<_, bool>(0)).map_err(self.failed())? {
                return Ok(());
            }
            let sql = format!("UPDATE hold SET state = 'expired', arguments = '', targets = '' WHERE {over}");
            connection.execute(&sql, values).map_err(self.failed())?
        };
        if changed > 0 { self.forget() } else { Ok(()) }
    }

    /// Removes holds that have been over for more than a day, some at a time. Says whether there may be more.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub fn remove_old_holds(&self, now: Moment) -> Result<bool, StoreError> {
        let failed = self.failed();
        let mut connection = self.connection();
        let old = format!(
            "SELECT tenant, id FROM hold WHERE state IN ('denied', 'spent', 'expired') AND expires_us < ?1 LIMIT {REMOVED_MAX}"
        );
        let values = params![micros(now).saturating_sub(KEPT_US)];
        let sql = format!("SELECT EXISTS ({old})");
        if !connection.query_row(&sql, values, |row| row.get::<_, bool>(0)).map_err(&failed)? {
            return Ok(false);
        }
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        let sql = format!("DELETE FROM hold_decision WHERE (tenant, hold) IN ({old})");
        transaction.execute(&sql, values).map_err(&failed)?;
        let removed =
            transaction.execute(&format!("DELETE FROM hold WHERE (tenant, id) IN ({old})"), values).map_err(&failed)?;
        transaction.commit().map_err(&failed)?;
        Ok(removed >= REMOVED_MAX as usize)
    }

    /// Empties the write-ahead log, which still holds what was overwritten. If another process reads just now it
    /// stays until the next time.
    pub(crate) fn forget(&self) -> Result<(), StoreError> {
        let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
        self.connection().query_row(sql, [], |_| Ok(())).map_err(self.failed())
    }
}

impl TenantStore<'_> {
    fn approved(&self, binding: &Binding, now: Moment) -> Result<Option<Approval>, StoreError> {
        let connection = self.stores.connection();
        let sql = "SELECT id, approvals, needed FROM hold
                   WHERE tenant = ?1 AND binding = ?2 AND state = 'approved'
                   AND expires_us > ?3 AND decided_us <= ?3 LIMIT 1";
        let values = params![self.tenant.as_str(), binding.as_bytes(), micros(now)];
        let failed = self.stores.failed();
        let mut statement = connection.prepare_cached(sql).map_err(&failed)?;
        let row = |row: &Row<'_>| Ok((row.get::<_, [u8; 16]>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?));
        let Some((id, approvals, needed)) = statement.query_row(values, row).optional().map_err(&failed)? else {
            return Ok(None);
        };
        let approvers = u8::try_from(needed).map_err(|_| StoreError::Damaged("hold"))?;
        Ok(Some(Approval { hold: HoldId::from_bytes(id), approvals: kinds(&approvals)?, approvers }))
    }

    fn state(&self, hold: HoldId, now: Moment) -> Result<Option<HoldState>, StoreError> {
        let connection = self.stores.connection();
        let failed = self.stores.failed();
        let sql = "SELECT state, expires_us > ?3 FROM hold WHERE tenant = ?1 AND id = ?2";
        let values = params![self.tenant.as_str(), hold.as_bytes(), micros(now)];
        let mut statement = connection.prepare_cached(sql).map_err(&failed)?;
        let row = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, bool>(1)?));
        let Some((state, lasts)) = statement.query_row(values, row).optional().map_err(&failed)? else {
            return Ok(None);
        };
        let state = HoldState::parse(&state).ok_or(StoreError::Damaged("hold"))?;
        // What is over may not have been written down as that yet.
        let over = !lasts && matches!(state, HoldState::Pending | HoldState::Approved);
        Ok(Some(if over { HoldState::Expired } else { state }))
    }

    fn place(&self, caller: &Caller, request: &HoldRequest<'_>) -> Result<Placed, StoreError> {
        self.stores.expire_holds(request.now)?;
        let failed = self.stores.failed();
        let mut connection = self.stores.connection();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        if let Some(known) = self.known(&transaction, request)? {
            return Ok(known);
        }
        if self.is_full(&transaction, caller, request)? {
            return Ok(Placed::Full);
        }
        self.insert(&transaction, caller, request).map_err(&failed)?;
        transaction.commit().map_err(&failed)?;
        Ok(Placed::Waits(request.id))
    }

    /// The hold of the same binding that waits, or that was denied and is not over.
    fn known(&self, transaction: &Connection, request: &HoldRequest<'_>) -> Result<Option<Placed>, StoreError> {
        let sql = "SELECT id, state FROM hold WHERE tenant = ?1 AND binding = ?2
                   AND (state = 'pending' OR (state = 'denied' AND expires_us > ?3)) ORDER BY state LIMIT 1";
        let values = params![self.tenant.as_str(), request.binding.as_bytes(), micros(request.now)];
        let row = |row: &Row<'_>| Ok((row.get::<_, [u8; 16]>(0)?, row.get::<_, String>(1)?));
        let found = transaction.query_row(sql, values, row).optional().map_err(self.stores.failed())?;
        Ok(found.map(|(id, state)| match state.as_str() {
            "pending" => Placed::Waits(HoldId::from_bytes(id)),
            _ => Placed::Denied(HoldId::from_bytes(id)),
        }))
    }

    /// Whether one more hold is too many for its person or for the tenant.
    fn is_full(
        &self,
        transaction: &Connection,
        caller: &Caller,
        request: &HoldRequest<'_>,
    ) -> Result<bool, StoreError> {
        let recent = "SELECT count(*) FROM hold WHERE tenant = ?1 AND user = ?2 AND placed_us > ?3";
        let hour_ago = micros(request.now).saturating_sub(3_600_000_000);
        let values = params![self.tenant.as_str(), caller.user().as_str(), hour_ago];
        let recent = transaction.query_row(recent, values, |row| row.get::<_, i64>(0)).map_err(self.stores.failed())?;
        let sql = "SELECT count(*), coalesce(sum(user = ?2), 0) FROM hold WHERE tenant = ?1 AND state = 'pending'";
        let values = params![self.tenant.as_str(), caller.user().as_str()];
        let row = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
        let (all, own) = transaction.query_row(sql, values, row).map_err(self.stores.failed())?;
        let count = |value: i64| usize::try_from(value).unwrap_or(usize::MAX);
        Ok(request.arguments.len() > limits::HOLD_ARGUMENT_BYTES_MAX
            || count(recent) >= limits::HOLDS_OF_PERSON_HOUR_MAX
            || count(all) >= limits::HOLDS_PENDING_MAX
            || count(own) >= limits::HOLDS_OF_PERSON_MAX)
    }

    fn insert(&self, transaction: &Connection, caller: &Caller, request: &HoldRequest<'_>) -> rusqlite::Result<usize> {
        let approvals: Vec<&str> = request.approvals.iter().map(ApprovalKind::as_str).collect();
        let host = caller.asserted_by();
        let sql = "INSERT INTO hold (tenant, id, user, agent, binding, approvals, action, arguments, explanation,
                                     placed_us, expires_us, state, effects, needed, reason, risk, server, tool, targets,
                                     identity, door, trajectory, host_user, host_agent)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, 'pending', ?12, ?13, ?14, ?15, ?16, ?17, ?18,
                           ?19, ?20, ?21, ?22, ?23)";
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
            mask(request.contract.effects.iter()),
            request.approvers,
            request.reason.as_str(),
            Risk::of(&request.contract.effects, request.targets.len()).rank(),
            request.contract.server.as_str(),
            request.contract.operation.to_string(),
            // Facts have no control characters.
            request.targets.join("\n"),
            caller.kind().as_str(),
            request.door.as_str(),
            request.trajectory.as_bytes(),
            host.map(|host| host.user().as_str()),
            host.map(|host| host.agent().as_str()),
        ];
        transaction.execute(sql, values)
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

    fn place(&self, caller: &Caller, request: &HoldRequest<'_>) -> Result<Placed, Fault> {
        self.of(caller).place(caller, request).map_err(|error| Fault::caused("the store of holds", error))
    }

    fn state(&self, caller: &Caller, hold: HoldId, now: Moment) -> Result<Option<HoldState>, Fault> {
        self.of(caller).state(hold, now).map_err(|error| Fault::caused("the store of holds", error))
    }

    fn spend(&self, caller: &Caller, approval: &Approval, now: Moment) -> Result<bool, Fault> {
        self.of(caller).spend(approval, now).map_err(|error| Fault::caused("the store of holds", error))
    }
}

/// Effects as bits, in the order of [`Effect::ALL`].
pub(crate) fn mask(effects: impl Iterator<Item = Effect>) -> i64 {
    let bit = |effect: Effect| Effect::ALL.iter().position(|known| *known == effect).map_or(0, |place| 1 << place);
    effects.map(bit).fold(0, |all, bit| all | bit)
}

/// Identifiers have no spaces, so a space separates them.
pub(crate) fn kinds(text: &str) -> Result<Vec<ApprovalKind>, StoreError> {
    text.split(' ').map(|kind| ApprovalKind::parse(kind).map_err(|_| StoreError::Damaged("hold"))).collect()
}

pub(crate) fn micros(moment: Moment) -> i64 {
    i64::try_from(moment.unix_us).unwrap_or(i64::MAX)
}

pub(crate) fn expiry(moment: Moment) -> i64 {
    micros(moment).saturating_add(i64::try_from(limits::HOLD_SECONDS * 1_000_000).unwrap_or(i64::MAX))
}
