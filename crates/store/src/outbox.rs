//! Holds that somebody outside is to be told of: a queue that outlives the process, and that several processes share.
//!
//! INVARIANT: a hold that waits is offered until somebody has been told of it or it is over. Who takes one has it for a time; of
//! two processes that look at once, one gets it.

use refmon_core::contract::Effect;
use refmon_core::ids::HoldId;
use refmon_core::ports::Moment;
use rusqlite::{Row, TransactionBehavior, params};

use crate::desk::effects;
use crate::holds::micros;
use crate::{StoreError, Stores};

/// What came with the queue.
pub(crate) const SCHEMA: &str = "
    ALTER TABLE hold ADD COLUMN told INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE hold ADD COLUMN tell_tries INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE hold ADD COLUMN tell_after_us INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX hold_untold ON hold (tell_after_us) WHERE state = 'pending' AND told = 0;
";

/// Holds that are taken at a time.
const TAKEN_MAX: u32 = 16;
/// Seconds after which a hold is offered again, doubled with each try.
const FIRST_SECONDS: i64 = 2;
/// The most seconds between two tries.
const LAST_SECONDS: i64 = 60;

/// A hold that somebody is to be told of. Neither its arguments nor its targets are in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untold {
    /// The tenant.
    pub tenant: String,
    /// The hold.
    pub id: HoldId,
    /// Who asks.
    pub user: String,
    /// By which agent.
    pub agent: String,
    /// For what: `server/operation@version`.
    pub action: String,
    /// What the tool does.
    pub effects: Vec<Effect>,
    /// The rank ([`crate::risk::Risk`]).
    pub risk: u8,
    /// The reason code.
    pub reason: String,
    /// Why it waits.
    pub explanation: String,
    /// When it was placed, in microseconds since the Unix epoch.
    pub placed_us: u64,
    /// When it is over.
    pub expires_us: u64,
}

impl Stores {
    /// Takes some of the holds that wait and that nobody was told of, of all tenants. Each is offered again, ever later, until
    /// [`Stores::told`].
    ///
    /// # Errors
    /// [`StoreError`] if the database fails or a row is damaged.
    pub fn take_untold(&self, now: Moment) -> Result<Vec<Untold>, StoreError> {
        let failed = self.failed();
        let mut connection = self.connection();
        let due = "state = 'pending' AND told = 0 AND tell_after_us <= ?1 AND expires_us > ?1";
        let some = format!("SELECT EXISTS (SELECT 1 FROM hold WHERE {due})");
        // Who has nothing to tell does not wait for whoever writes.
        if !connection.query_row(&some, params![micros(now)], |row| row.get::<_, bool>(0)).map_err(&failed)? {
            return Ok(Vec::new());
        }
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        let sql = format!(
            "UPDATE hold SET tell_tries = tell_tries + 1,
                             tell_after_us = ?1 + 1000000 * min({LAST_SECONDS}, {FIRST_SECONDS} << min(tell_tries, 16))
             WHERE (tenant, id) IN (SELECT tenant, id FROM hold WHERE {due} ORDER BY tell_after_us, risk DESC LIMIT {TAKEN_MAX})
             RETURNING tenant, id, user, agent, action, effects, risk, reason, explanation, placed_us, expires_us"
        );
        let taken = {
            let mut statement = transaction.prepare_cached(&sql).map_err(&failed)?;
            let rows = statement.query_map(params![micros(now)], read).map_err(&failed)?;
            rows.collect::<Result<Vec<_>, _>>().map_err(&failed)?
        };
        transaction.commit().map_err(&failed)?;
        Ok(taken)
    }

    /// Says that somebody was told of a hold, so that it is offered no more.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub fn told(&self, untold: &Untold) -> Result<(), StoreError> {
        let sql = "UPDATE hold SET told = 1 WHERE tenant = ?1 AND id = ?2";
        let values = params![untold.tenant, untold.id.as_bytes()];
        self.connection().execute(sql, values).map(drop).map_err(self.failed())
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Untold> {
    let micros = |value: i64| u64::try_from(value).unwrap_or_default();
    Ok(Untold {
        tenant: row.get(0)?,
        id: HoldId::from_bytes(row.get(1)?),
        user: row.get(2)?,
        agent: row.get(3)?,
        action: row.get(4)?,
        effects: effects(row.get(5)?),
        risk: row.get(6)?,
        reason: row.get(7)?,
        explanation: row.get(8)?,
        placed_us: micros(row.get(9)?),
        expires_us: micros(row.get(10)?),
    })
}
