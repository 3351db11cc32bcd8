//! The search index over the journal: a cache, never the truth. It is rebuilt from segments at any time.

use std::path::Path;

use refmon_core::ids::{CallId, HoldId, SubjectHandle, TenantId};
use refmon_core::record::{Asked, Record};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, params, params_from_iter};

use crate::{StoreError, database};

const SCHEMA: &[&str] = &["
    CREATE TABLE record (
        tenant   TEXT NOT NULL,
        unix_us  INTEGER NOT NULL,
        boot     BLOB NOT NULL,
        counter  INTEGER NOT NULL,
        kind     TEXT NOT NULL,
        call     BLOB,
        hold     BLOB,
        agent    TEXT,
        server   TEXT,
        tool     TEXT,
        decision TEXT,
        reason   TEXT,
        status   TEXT,
        bytes    BLOB NOT NULL,
        PRIMARY KEY (tenant, unix_us, boot, counter)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX record_call ON record (tenant, call) WHERE call IS NOT NULL;
    CREATE INDEX record_decision ON record (tenant, decision, unix_us) WHERE decision IS NOT NULL;
    CREATE TABLE place (boot BLOB PRIMARY KEY, segment INTEGER NOT NULL, offset INTEGER NOT NULL, counter INTEGER NOT NULL) STRICT;
", "CREATE INDEX record_hold ON record (tenant, hold) WHERE hold IS NOT NULL;", "
    ALTER TABLE record ADD COLUMN subject BLOB;
    DELETE FROM record;
    DELETE FROM place;
"];

/// The search index.
#[derive(Debug)]
pub struct Index {
    path: String,
    connection: Connection,
}

/// One record for the index, with the bytes that the journal holds.
#[derive(Debug)]
pub struct Entry<'a> {
    /// Its counter in that boot.
    pub counter: u64,
    /// The record.
    pub record: &'a Record,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// A place in the journal of one boot, as its reader counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The number of the segment.
    pub segment: u64,
    /// The offset in it.
    pub offset: u64,
    /// The counter of the next record.
    pub counter: u64,
}

/// What to look for. Everything that is given must fit.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// `permit`, `hold` or `deny`.
    pub decision: Option<String>,
    /// A reason code.
    pub reason: Option<String>,
    /// A server.
    pub server: Option<String>,
    /// A tool or method.
    pub tool: Option<String>,
    /// An agent.
    pub agent: Option<String>,
    /// A kind of record.
    pub kind: Option<String>,
    /// A person, by handle.
    pub subject: Option<SubjectHandle>,
    /// A text in server, tool, agent or reason.
    pub text: Option<String>,
    /// Not before, in microseconds since the Unix epoch.
    pub since_us: Option<u64>,
    /// Not after, in microseconds since the Unix epoch.
    pub until_us: Option<u64>,
    /// Before the record of this time, boot and counter.
    pub before: Option<(u64, [u8; 16], u64)>,
    /// At most this many, the newest.
    pub limit: u32,
}

/// Calls, counted by something that they have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// What they have in common.
    pub name: String,
    /// The decision.
    pub decision: String,
    /// How many.
    pub count: u64,
    /// When the last was, in microseconds since the Unix epoch.
    pub last_us: u64,
}

impl Index {
    /// Opens the index, creating it.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be opened. It may be removed: it is rebuilt.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { path: path.display().to_string(), connection: database::open(path, SCHEMA)? })
    }

    /// Where the index ends in the journal of a boot; `None` if it has nothing of it.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub fn place(&self, boot: [u8; 16]) -> Result<Option<Place>, StoreError> {
        let sql = "SELECT segment, offset, counter FROM place WHERE boot = ?1";
        let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?));
        let found =
            self.connection.query_row(sql, params![boot], row).optional().map_err(|error| self.failed(error))?;
        let unsigned = |value: i64| u64::try_from(value).map_err(|_| StoreError::Damaged("place"));
        let place = |(segment, offset, counter)| {
            Ok(Place { segment: unsigned(segment)?, offset: unsigned(offset)?, counter: unsigned(counter)? })
        };
        found.map(place).transpose()
    }

    /// Adds records of one boot and moves its place, both or neither. A record that is there already stays as it
    /// is.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub fn add<'e>(
        &mut self,
        boot: [u8; 16],
        entries: impl IntoIterator<Item = Entry<'e>>,
        place: Place,
    ) -> Result<(), StoreError> {
        let path = self.path.clone();
        let failed = |source| StoreError::Database { path: path.clone(), source };
        let transaction = self.connection.transaction().map_err(failed)?;
        {
            let sql =
                "INSERT OR IGNORE INTO record (tenant, unix_us, boot, counter, kind, call, hold, agent, server, tool,
                       decision, reason, status, bytes, subject)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";
            let mut statement = transaction.prepare_cached(sql).map_err(failed)?;
            for entry in entries {
                let row = columns(entry.record);
                let time = i64::try_from(row.unix_us).unwrap_or(i64::MAX);
                let counter = i64::try_from(entry.counter).unwrap_or(i64::MAX);
                let [kind, agent, server, tool, decision, reason, status] = row.texts;
                let values = params![
                    row.tenant,
                    time,
                    boot,
                    counter,
                    kind,
                    row.call.map(|call| *call.as_bytes()),
                    row.hold.map(|hold| *hold.as_bytes()),
                    agent,
                    server,
                    tool,
                    decision,
                    reason,
                    status,
                    entry.bytes,
                    row.subject.map(|subject| *subject.as_bytes()),
                ];
                statement.execute(values).map_err(failed)?;
            }
            let sql = "INSERT INTO place VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE
                       SET segment = excluded.segment, offset = excluded.offset, counter = excluded.counter";
            let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
            let values = params![boot, signed(place.segment), signed(place.offset), signed(place.counter)];
            transaction.execute(sql, values).map_err(failed)?;
        }
        transaction.commit().map_err(failed)
    }

    /// The bytes of the records that fit, the oldest first. Records about the monitor itself belong to no tenant
    /// and are found with every tenant's.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub fn search(&self, tenant: &TenantId, query: &Query) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut sql = "SELECT bytes FROM record WHERE tenant IN (?, '')".to_owned();
        let mut values = vec![Value::from(tenant.as_str().to_owned())];
        let exact = [
            ("decision", &query.decision),
            ("reason", &query.reason),
            ("server", &query.server),
            ("tool", &query.tool),
            ("agent", &query.agent),
            ("kind", &query.kind),
        ];
        for (column, wanted) in exact {
            if let Some(wanted) = wanted {
                sql.push_str(&format!(" AND {column} = ?"));
                values.push(Value::from(wanted.clone()));
            }
        }
        if let Some(subject) = query.subject {
            sql.push_str(" AND subject = ?");
            values.push(Value::from(subject.as_bytes().to_vec()));
        }
        if let Some(text) = &query.text {
            let columns = ["server", "tool", "agent", "reason"].map(|column| format!("instr({column}, ?)"));
            sql.push_str(&format!(" AND ({})", columns.join(" OR ")));
            values.extend(columns.iter().map(|_| Value::from(text.clone())));
        }
        let signed = |value: u64| Value::from(i64::try_from(value).unwrap_or(i64::MAX));
        for (sign, bound) in [(">=", query.since_us), ("<=", query.until_us)] {
            if let Some(bound) = bound {
                sql.push_str(&format!(" AND unix_us {sign} ?"));
                values.push(signed(bound));
            }
        }
        if let Some((unix_us, boot, counter)) = query.before {
            sql.push_str(" AND (unix_us, boot, counter) < (?, ?, ?)");
            values.extend([signed(unix_us), Value::from(boot.to_vec()), signed(counter)]);
        }
        sql.push_str(" ORDER BY unix_us DESC, boot DESC, counter DESC LIMIT ?");
        values.push(Value::from(i64::from(query.limit)));
        let mut found = self.rows(&sql, values)?;
        found.reverse();
        Ok(found)
    }

    /// The bytes of all records of one call, the oldest first.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub fn call(&self, tenant: &TenantId, call: CallId) -> Result<Vec<Vec<u8>>, StoreError> {
        let sql = "SELECT bytes FROM record WHERE tenant = ? AND call = ? ORDER BY unix_us, boot, counter";
        self.rows(sql, vec![Value::from(tenant.as_str().to_owned()), Value::from(call.as_bytes().to_vec())])
    }

    /// The bytes of all records that name one hold, the oldest first.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub fn hold(&self, tenant: &TenantId, hold: HoldId) -> Result<Vec<Vec<u8>>, StoreError> {
        let sql = "SELECT bytes FROM record WHERE tenant = ? AND hold = ? ORDER BY unix_us, boot, counter";
        self.rows(sql, vec![Value::from(tenant.as_str().to_owned()), Value::from(hold.as_bytes().to_vec())])
    }

    /// How many calls each agent of a tenant has asked for since a moment, by decision, and when the last was; at most so many rows,
    /// the most recent first.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub fn agents(&self, tenant: &TenantId, since_us: u64, limit: u32) -> Result<Vec<Counted>, StoreError> {
        let sql = "SELECT agent, decision, count(*), max(unix_us) FROM record
                   WHERE tenant = ?1 AND unix_us >= ?2 AND kind = 'attempt' AND agent IS NOT NULL AND decision IS NOT NULL
                   GROUP BY agent, decision ORDER BY max(unix_us) DESC LIMIT ?3";
        self.counted(sql, tenant, since_us, limit)
    }

    /// How many calls of a tenant were decided for each reason since a moment, and when the last was.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub fn reasons(&self, tenant: &TenantId, since_us: u64) -> Result<Vec<Counted>, StoreError> {
        let sql = "SELECT reason, decision, count(*), max(unix_us) FROM record
                   WHERE tenant = ?1 AND unix_us >= ?2 AND kind = 'attempt' AND reason IS NOT NULL AND decision IS NOT NULL
                   GROUP BY reason, decision LIMIT ?3";
        self.counted(sql, tenant, since_us, 1_000)
    }

    fn counted(&self, sql: &str, tenant: &TenantId, since_us: u64, limit: u32) -> Result<Vec<Counted>, StoreError> {
        let failed = |error| self.failed(error);
        let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
        let since = i64::try_from(since_us).unwrap_or(i64::MAX);
        let rows = statement.query_map(params![tenant.as_str(), since, limit], |row| {
            let unsigned = |value: i64| u64::try_from(value).unwrap_or_default();
            let (name, decision) = (row.get(0)?, row.get(1)?);
            Ok(Counted { name, decision, count: unsigned(row.get(2)?), last_us: unsigned(row.get(3)?) })
        });
        rows.map_err(failed)?.collect::<Result<_, _>>().map_err(failed)
    }

    fn rows(&self, sql: &str, values: Vec<Value>) -> Result<Vec<Vec<u8>>, StoreError> {
        let failed = |error| self.failed(error);
        let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
        let rows = statement.query_map(params_from_iter(values), |row| row.get(0)).map_err(failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }

    fn failed(&self, source: rusqlite::Error) -> StoreError {
        StoreError::Database { path: self.path.clone(), source }
    }
}

struct Columns {
    tenant: String,
    unix_us: u64,
    call: Option<CallId>,
    hold: Option<HoldId>,
    subject: Option<SubjectHandle>,
    /// kind, agent, server, tool, decision, reason, status
    texts: [Option<String>; 7],
}

fn columns(record: &Record) -> Columns {
    let own = |text: &str| Some(text.to_owned());
    match record {
        Record::Attempt(attempt) => {
            let tool = match &attempt.asked {
                Asked::Known { operation, .. } => Some(operation.to_string()),
                Asked::Unknown(name) => Some(name.to_string()),
                Asked::Unnameable => None,
            };
            let (decision, reason) = (own(attempt.decision.as_str()), own(attempt.reason.as_str()));
            let (agent, server) = (own(attempt.agent.as_str()), own(attempt.server.as_str()));
            Columns {
                tenant: attempt.tenant.to_string(),
                unix_us: attempt.at.unix_us,
                call: Some(attempt.call),
                hold: attempt.hold,
                subject: Some(attempt.subject),
                texts: [own("attempt"), agent, server, tool, decision, reason, None],
            }
        }
        Record::Completion(end) => Columns {
            tenant: end.tenant.to_string(),
            unix_us: end.at.unix_us,
            call: Some(end.call),
            hold: None,
            subject: None,
            texts: [own("completion"), None, None, None, None, None, own(end.status.as_str())],
        },
        Record::Indeterminate(end) => Columns {
            tenant: end.tenant.to_string(),
            unix_us: end.at.unix_us,
            call: Some(end.call),
            hold: None,
            subject: None,
            texts: [own("indeterminate"), None, None, None, None, None, own(end.cause.as_str())],
        },
        Record::Resolution(end) => Columns {
            tenant: end.tenant.to_string(),
            unix_us: end.at.unix_us,
            call: None,
            hold: Some(end.hold),
            subject: None,
            texts: [own("resolution"), None, None, None, None, None, own(end.resolved.as_str())],
        },
        Record::Notice(notice) => Columns {
            tenant: String::new(),
            unix_us: notice.at.unix_us,
            call: None,
            hold: None,
            subject: None,
            texts: [own("notice"), None, None, None, None, None, None],
        },
        Record::Act(act) => Columns {
            tenant: act.tenant.to_string(),
            unix_us: act.at.unix_us,
            call: None,
            hold: None,
            subject: None,
            texts: [own("act"), None, None, None, None, None, None],
        },
    }
}

#[cfg(test)]
mod tests {
    use refmon_core::ports::Moment;
    use refmon_core::record::{Completion, Event, Notice, Status};

    use super::*;

    fn completion(tenant: &str, time: u64, status: Status) -> Record {
        let at = Moment { unix_us: time, monotonic_ns: 0 };
        let call = CallId::from_bytes([u8::try_from(time).unwrap(); 16]);
        let tenant = TenantId::parse(tenant).unwrap();
        Record::Completion(Completion {
            call,
            at,
            tenant,
            status,
            released: true,
            result: None,
            result_bytes: 0,
            execute_us: 0,
        })
    }

    #[test]
    fn a_search_finds_the_tenants_own_records_and_the_monitors() {
        let folder = tempfile::tempdir().unwrap();
        let mut index = Index::open(&folder.path().join("index.db")).unwrap();
        let (boot, end) = ([7; 16], Place { segment: 1, offset: 64, counter: 4 });
        assert_eq!(index.place(boot).unwrap(), None);
        let notice = Record::Notice(Notice { at: Moment { unix_us: 3, monotonic_ns: 0 }, event: Event::Stopped });
        let records = [completion("a", 1, Status::Ok), completion("b", 2, Status::Ok), notice];
        let bytes = [[1u8], [2], [3]];
        for _ in 0..2 {
            let entries =
                records.iter().zip(&bytes).map(|(record, bytes)| Entry { counter: u64::from(bytes[0]), record, bytes });
            index.add(boot, entries, end).unwrap();
        }
        assert_eq!(index.place(boot).unwrap(), Some(end));
        assert_eq!(index.place([8; 16]).unwrap(), None);
        let tenant = TenantId::parse("a").unwrap();
        let all = Query { limit: 10, ..Query::default() };
        assert_eq!(index.search(&tenant, &all).unwrap(), [vec![1], vec![3]]);
        let notices = Query { kind: Some("notice".into()), ..all.clone() };
        assert_eq!(index.search(&tenant, &notices).unwrap(), [vec![3]]);
        assert_eq!(index.search(&tenant, &Query { limit: 1, ..all.clone() }).unwrap(), [vec![3]]);
        let before = Query { before: Some((3, boot, 3)), ..all.clone() };
        assert_eq!(index.search(&tenant, &before).unwrap(), [vec![1]]);
        let until = Query { until_us: Some(2), since_us: Some(1), ..all.clone() };
        assert_eq!(index.search(&tenant, &until).unwrap(), [vec![1]]);
        assert!(index.search(&tenant, &Query { text: Some("%".into()), ..all }).unwrap().is_empty());
        assert_eq!(index.call(&tenant, CallId::from_bytes([1; 16])).unwrap(), [vec![1]]);
        assert!(index.call(&tenant, CallId::from_bytes([2; 16])).unwrap().is_empty());
    }
}
