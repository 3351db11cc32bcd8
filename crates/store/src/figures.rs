//! Figures about the people who decide: how much is asked of them, and what they say.

use refmon_core::ports::Moment;
use rusqlite::named_params;

use crate::StoreError;
use crate::desk::{DECIDABLE, Desk};
use crate::holds::micros;

/// Microseconds of a day, which the figures are about.
const DAY_US: i64 = 86_400_000_000;
/// Rows of a table.
const ROWS_MAX: u32 = 1_000;

/// Figures of the last 24 hours, of the holds that a person could decide on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figures {
    /// How often each agent asked in each hour, the latest hour first.
    pub asked: Vec<Asked>,
    /// Holds that were placed.
    pub placed: u64,
    /// Of those, how many were approved.
    pub approved: u64,
    /// How many were denied.
    pub denied: u64,
    /// How many nobody decided on.
    pub undecided: u64,
    /// The median of the milliseconds from asking to the decision; `None` if none was decided.
    pub median_ms: Option<u64>,
}

/// How often an agent asked in an hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The agent.
    pub agent: String,
    /// When the hour began, in microseconds since the Unix epoch.
    pub hour_us: u64,
    /// How often.
    pub count: u64,
}

impl Desk<'_> {
    /// The figures. `None` if this person could decide on nothing.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub fn figures(&self, now: Moment) -> Result<Option<Figures>, StoreError> {
        self.stores.expire_holds(now)?;
        let reach = self.reach(now)?;
        if reach == 0 {
            return Ok(None);
        }
        self.counted(reach, micros(now).saturating_sub(DAY_US)).map(Some).map_err(self.stores.failed())
    }

    fn counted(&self, reach: i64, since: i64) -> rusqlite::Result<Figures> {
        let connection = self.stores.connection();
        let tenant = self.caller.tenant().as_str();
        let values =
            named_params! { ":tenant": tenant, ":machine": self.at_machine(), ":reach": reach, ":since": since };
        let recent = format!("FROM hold WHERE tenant = :tenant AND placed_us > :since AND {DECIDABLE}");
        let unsigned = |value: i64| u64::try_from(value).unwrap_or_default();
        let mut statement = connection.prepare_cached(&format!(
            "SELECT agent, placed_us / 3600000000 AS hour, count(*) {recent}
             GROUP BY agent, hour ORDER BY hour DESC, count(*) DESC, agent LIMIT {ROWS_MAX}"
        ))?;
        let rows = statement.query_map(values, |row| {
            let hour_us = unsigned(row.get::<_, i64>(1)?.saturating_mul(3_600_000_000));
            Ok(Asked { agent: row.get(0)?, hour_us, count: unsigned(row.get(2)?) })
        })?;
        let asked = rows.collect::<Result<_, _>>()?;
        let sql = format!(
            "SELECT count(*), coalesce(sum(decided_us IS NOT NULL AND state <> 'denied'), 0),
                    coalesce(sum(state = 'denied'), 0) {recent}"
        );
        let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?));
        let (placed, approved, denied) = connection.query_row(&sql, values, row)?;
        let decided = unsigned(approved.saturating_add(denied));
        let sql = format!(
            "SELECT decided_us - placed_us {recent} AND decided_us IS NOT NULL ORDER BY 1 LIMIT 1 OFFSET :middle"
        );
        let middle = i64::try_from(decided.saturating_sub(1) / 2).unwrap_or_default();
        let values = named_params! {
            ":tenant": tenant, ":machine": self.at_machine(), ":reach": reach, ":since": since, ":middle": middle,
        };
        let median =
            if decided == 0 { None } else { Some(connection.query_row(&sql, values, |row| row.get::<_, i64>(0))?) };
        Ok(Figures {
            asked,
            placed: unsigned(placed),
            approved: unsigned(approved),
            denied: unsigned(denied),
            undecided: unsigned(placed.saturating_sub(approved).saturating_sub(denied)),
            median_ms: median.map(|median| unsigned(median / 1_000)),
        })
    }
}
