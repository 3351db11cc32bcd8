//! Who sees holds, and who decides on them.
//!
//! A [`Desk`] is one person at the queue of one tenant. By a credential it shows the holds that this person could decide on
//! (a scope for each effect of the tool, looked up at that moment, grants included) and the person's own; at the machine it
//! shows all. Nobody but the person at the machine approves what that person asked for.
//!
//! INVARIANT: of the approvals of a hold no two are of one person, by the key of `hold_decision`.

use std::collections::BTreeMap;

use refmon_core::caller::{Caller, IdentityKind};
use refmon_core::contract::Effect;
use refmon_core::ids::HoldId;
use refmon_core::ports::{Fault, Moment};
use refmon_core::record::{Resolved, Share};
use rusqlite::{Connection, OptionalExtension as _, Row, TransactionBehavior, named_params, params};

pub use crate::figures::{Asked, Figures};
use crate::holds::{HoldState, expiry, kinds, mask, micros};
use crate::{StoreError, Stores};

/// The scope for every effect; with `:` and the name of an effect behind it, for that one.
pub const SCOPE: &str = "refmon:approve";
/// Holds on one page.
pub const PAGE_MAX: u32 = 100;
/// Batches on one page.
const BATCHES_MAX: u32 = 100;

/// A hold, as those see it who decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Its identifier.
    pub id: HoldId,
    /// Who asked.
    pub user: String,
    /// Through which agent.
    pub agent: String,
    /// How the caller was authenticated; empty in a hold from before that was kept.
    pub identity: String,
    /// The user and the agent of the host that named the caller.
    pub host: Option<(String, String)>,
    /// The door.
    pub door: String,
    /// The run of the agent.
    pub trajectory: Option<[u8; 16]>,
    /// The approvals that are needed.
    pub approvals: Vec<String>,
    /// How many people must approve.
    pub needed: u8,
    /// The operation, as `server/operation@version`.
    pub action: String,
    /// The server.
    pub server: String,
    /// The tool or method.
    pub tool: String,
    /// What running it does; empty in a hold from before that was kept.
    pub effects: Vec<Effect>,
    /// What it is aimed at; empty once the hold is decided.
    pub targets: Vec<String>,
    /// The rank ([`crate::risk::Risk`]).
    pub risk: u8,
    /// The canonical arguments; empty in a list, and once the hold is decided.
    pub arguments: String,
    /// Their size; 0 once the hold is decided.
    pub argument_bytes: u64,
    /// The reason code.
    pub reason: String,
    /// Why it is held.
    pub explanation: String,
    /// When it was asked, in microseconds since the Unix epoch.
    pub placed_us: u64,
    /// When it or its approval expires.
    pub expires_us: u64,
    /// Its state.
    pub state: HoldState,
    /// Who decided what, the earliest first.
    pub decisions: Vec<Decision>,
}

/// What one person decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Who.
    pub user: String,
    /// Through which agent or program.
    pub agent: String,
    /// How that person was authenticated.
    pub identity: String,
    /// Whether it is an approval.
    pub approves: bool,
    /// Whether it is the person who asked.
    pub own: bool,
    /// Why, in that person's words.
    pub reason: Option<String>,
    /// When, in microseconds since the Unix epoch.
    pub at_us: u64,
}

/// A hold, as far as one person sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// The person could decide on it.
    ToDecide(Box<Hold>),
    /// It is the person's own, and others decide.
    Own {
        /// Its identifier.
        id: HoldId,
        /// The operation.
        action: String,
        /// Its state.
        state: HoldState,
        /// The arguments, if this very agent sent them; empty in a list, and once the hold is decided.
        arguments: String,
        /// When it was asked.
        placed_us: u64,
        /// When it or its approval expires.
        expires_us: u64,
    },
}

/// A place in the queue: rank, time and identifier of a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The rank.
    pub risk: u8,
    /// When it was asked.
    pub placed_us: u64,
    /// The hold.
    pub id: HoldId,
}

/// A page of the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Holds, the highest rank first, of one rank the oldest first.
    pub holds: Vec<Seen>,
    /// Where the next page begins, if there is one.
    pub next: Option<Place>,
    /// How many of the holds that this person sees are in each state.
    pub counts: BTreeMap<&'static str, u64>,
    /// The waiting holds that this person could decide on, put together by effects and targets.
    pub batches: Vec<Batch>,
}

/// Holds that wait, with the same effects on the same targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The effects.
    pub effects: Vec<Effect>,
    /// The targets.
    pub targets: Vec<String>,
    /// How many.
    pub count: u64,
    /// The highest rank among them.
    pub risk: u8,
    /// When the oldest was asked.
    pub oldest_us: u64,
}

/// How far a hold is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Its state.
    pub state: HoldState,
    /// How many people have approved.
    pub approved: u8,
    /// How many must.
    pub needed: u8,
}

/// What became of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decided {
    /// It counts, and is recorded.
    Done(Progress),
    /// The same person had decided so before.
    Unchanged(Progress),
    /// The hold was decided or over before, otherwise or by somebody else.
    NotPending(HoldState),
    /// Who asked cannot approve.
    SamePerson,
    /// There is no such hold for this person.
    Missing,
}

/// One person's decision, for the record of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vote {
    /// What was decided.
    pub resolved: Resolved,
    /// Whether somebody approves what he asked for himself.
    pub self_approved: bool,
    /// As what, and as which of how many.
    pub share: Share,
}

/// Where the person is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seat {
    Machine,
    Credential,
}

/// One person at the queue of one tenant.
#[derive(Debug)]
pub struct Desk<'a> {
    pub(crate) stores: &'a Stores,
    pub(crate) caller: &'a Caller,
    seat: Seat,
}

impl Stores {
    /// The desk of whoever brought a credential.
    #[must_use]
    pub const fn desk<'a>(&'a self, caller: &'a Caller) -> Desk<'a> {
        Desk { stores: self, caller, seat: Seat::Credential }
    }

    /// The desk of the person at the machine, who owns the database. A door that others can reach must not use it.
    #[must_use]
    pub const fn desk_at_machine<'a>(&'a self, caller: &'a Caller) -> Desk<'a> {
        Desk { stores: self, caller, seat: Seat::Machine }
    }
}

const COLUMNS: &str = "id, user, agent, identity, host_user, host_agent, door, trajectory, approvals, needed, action, server,
    tool, effects, targets, risk, arguments, length(CAST(arguments AS BLOB)), reason, explanation, placed_us, expires_us, state";
/// The same without the arguments, which may be large.
const WITHOUT_ARGUMENTS: &str = "id, user, agent, identity, host_user, host_agent, door, trajectory, approvals, needed, action,
    server, tool, effects, targets, risk, '', length(CAST(arguments AS BLOB)), reason, explanation, placed_us, expires_us, state";
/// What a person could decide on: `:reach` is the effects that the person has scopes for. A hold whose effects are not known
/// is for the machine only.
pub(crate) const DECIDABLE: &str = "(:machine OR (effects <> 0 AND (effects & ~:reach) = 0))";
const OWN: &str = "(user = :user OR (host_user = :user AND host_user IS NOT NULL))";

/// The effects of tools that this caller's scopes are enough to decide on.
pub fn decidable(caller: &Caller) -> impl Iterator<Item = Effect> {
    let holds = |name: &str| caller.scopes().iter().any(|scope| scope.as_str() == name);
    let all = holds(SCOPE);
    Effect::ALL.into_iter().filter(move |effect| all || holds(&format!("{SCOPE}:{}", effect.as_str())))
}

impl Desk<'_> {
    /// The effects that this person has a scope for now, as bits.
    pub(crate) fn reach(&self, now: Moment) -> Result<i64, StoreError> {
        if self.seat == Seat::Machine {
            return Ok(mask(Effect::ALL.into_iter()));
        }
        let caller = self.caller.with_grants(&self.stores.current(self.caller, now)?);
        Ok(mask(decidable(&caller)))
    }

    pub(crate) fn at_machine(&self) -> bool {
        self.seat == Seat::Machine
    }

    /// The rows that this person sees. Who can decide on nothing has only rows of the person's own, which an index finds.
    fn visible(&self, reach: i64) -> String {
        if reach == 0 && !self.at_machine() {
            format!("({OWN} AND NOT :machine AND :reach = 0)")
        } else {
            format!("({DECIDABLE} OR {OWN})")
        }
    }

    fn tenant(&self) -> &str {
        self.caller.tenant().as_str()
    }

    /// Whether somebody of this desk is the one who asked, or the host that asked for him.
    #[must_use]
    pub fn is_own(&self, hold: &Hold) -> bool {
        let own = |user: &str| hold.user == user || hold.host.as_ref().is_some_and(|(host, _)| host == user);
        own(self.caller.user().as_str()) || self.caller.asserted_by().is_some_and(|host| own(host.user().as_str()))
    }

    fn may_decide(&self, hold: &Hold, reach: i64) -> bool {
        let effects = mask(hold.effects.iter().copied());
        self.at_machine() || (effects != 0 && effects & !reach == 0)
    }

    fn seen(&self, hold: Hold, reach: i64) -> Option<Seen> {
        if self.may_decide(&hold, reach) {
            return Some(Seen::ToDecide(Box::new(hold)));
        }
        if !self.is_own(&hold) {
            return None;
        }
        let (user, agent) = (self.caller.user().as_str(), self.caller.agent().as_str());
        let sent = match &hold.host {
            None => hold.user == user && hold.agent == agent,
            Some((host, host_agent)) => host == user && host_agent == agent,
        };
        let arguments = if sent { hold.arguments } else { String::new() };
        let Hold { id, action, state, placed_us, expires_us, .. } = hold;
        Some(Seen::Own { id, action, state, arguments, placed_us, expires_us })
    }

    /// One hold. `None` if there is none that this person sees.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails or the row is damaged.
    pub fn find(&self, id: HoldId, now: Moment) -> Result<Option<Seen>, StoreError> {
        self.stores.expire_holds(now)?;
        let reach = self.reach(now)?;
        let connection = self.stores.connection();
        Ok(self.row(&connection, id)?.and_then(|hold| self.seen(hold, reach)))
    }

    fn row(&self, connection: &Connection, id: HoldId) -> Result<Option<Hold>, StoreError> {
        let failed = self.stores.failed();
        let sql = format!("SELECT {COLUMNS} FROM hold WHERE tenant = ?1 AND id = ?2");
        let found = connection.query_row(&sql, params![self.tenant(), id.as_bytes()], |row| Ok(read(row))).optional();
        let Some(found) = found.map_err(&failed)? else { return Ok(None) };
        let mut hold = found.map_err(&failed)??;
        hold.decisions = self.decisions(connection, id).map_err(&failed)?;
        Ok(Some(hold))
    }

    fn decisions(&self, connection: &Connection, id: HoldId) -> rusqlite::Result<Vec<Decision>> {
        let sql = "SELECT user, agent, identity, verdict = 'approved', own, reason, at_us FROM hold_decision
                   WHERE tenant = ?1 AND hold = ?2 ORDER BY at_us, user";
        let mut statement = connection.prepare_cached(sql)?;
        let rows = statement.query_map(params![self.tenant(), id.as_bytes()], |row| {
            Ok(Decision {
                user: row.get(0)?,
                agent: row.get(1)?,
                identity: row.get(2)?,
                approves: row.get(3)?,
                own: row.get(4)?,
                reason: row.get(5)?,
                at_us: u64::try_from(row.get::<_, i64>(6)?).unwrap_or_default(),
            })
        })?;
        rows.collect()
    }

    /// A page of the queue, from a place on; of one state only, if one is given.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails or a row is damaged.
    pub fn list(
        &self,
        state: Option<HoldState>,
        after: Option<Place>,
        limit: u32,
        now: Moment,
    ) -> Result<Page, StoreError> {
        self.stores.expire_holds(now)?;
        let reach = self.reach(now)?;
        let failed = self.stores.failed();
        let connection = self.stores.connection();
        let (risk, placed, id) = after.map_or((i64::MAX, i64::MIN, Vec::new()), |place| {
            (place.risk.into(), i64::try_from(place.placed_us).unwrap_or(i64::MAX), place.id.as_bytes().to_vec())
        });
        let limit = limit.clamp(1, PAGE_MAX);
        let sql = format!(
            "SELECT {WITHOUT_ARGUMENTS} FROM hold WHERE tenant = :tenant AND {}
             AND (:state IS NULL OR state = :state)
             AND (risk < :risk OR (risk = :risk AND (placed_us > :placed OR (placed_us = :placed AND id > :id))))
             ORDER BY risk DESC, placed_us, id LIMIT :limit",
            self.visible(reach)
        );
        let mut statement = connection.prepare_cached(&sql).map_err(&failed)?;
        let values = named_params! {
            ":tenant": self.tenant(), ":machine": self.at_machine(), ":reach": reach, ":user": self.caller.user().as_str(),
            ":state": state.map(HoldState::as_str), ":risk": risk, ":placed": placed, ":id": id,
            ":limit": i64::from(limit) + 1,
        };
        let rows = statement.query_map(values, |row| Ok(read(row))).map_err(&failed)?;
        let mut holds = Vec::new();
        for row in rows {
            let mut hold = row.map_err(&failed)?.map_err(&failed)??;
            hold.decisions = self.decisions(&connection, hold.id).map_err(&failed)?;
            holds.push(hold);
        }
        let more = holds.len() > limit as usize;
        holds.truncate(limit as usize);
        let last = holds.last().map(|hold| Place { risk: hold.risk, placed_us: hold.placed_us, id: hold.id });
        Ok(Page {
            next: last.filter(|_| more),
            counts: self.counts(&connection, reach).map_err(&failed)?,
            batches: self.batches(&connection, reach).map_err(&failed)?,
            holds: holds.into_iter().filter_map(|hold| self.seen(hold, reach)).collect(),
        })
    }

    fn counts(&self, connection: &Connection, reach: i64) -> rusqlite::Result<BTreeMap<&'static str, u64>> {
        let sql = format!(
            "SELECT state, count(*) FROM hold WHERE tenant = :tenant AND {} GROUP BY state",
            self.visible(reach)
        );
        let mut statement = connection.prepare_cached(&sql)?;
        let values = named_params! {
            ":tenant": self.tenant(), ":machine": self.at_machine(), ":reach": reach, ":user": self.caller.user().as_str(),
        };
        let rows = statement.query_map(values, |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))?;
        let mut counts: BTreeMap<&'static str, u64> =
            ["pending", "approved", "denied", "spent", "expired"].map(|state| (state, 0)).into();
        for row in rows {
            let (state, count) = row?;
            if let Some(state) = HoldState::parse(&state) {
                counts.insert(state.as_str(), u64::try_from(count).unwrap_or_default());
            }
        }
        Ok(counts)
    }

    fn batches(&self, connection: &Connection, reach: i64) -> rusqlite::Result<Vec<Batch>> {
        let sql = format!(
            "SELECT effects, targets, count(*), max(risk), min(placed_us) FROM hold
             WHERE tenant = :tenant AND state = 'pending' AND {DECIDABLE}
             GROUP BY effects, targets ORDER BY max(risk) DESC, count(*) DESC, min(placed_us) LIMIT {BATCHES_MAX}"
        );
        let mut statement = connection.prepare_cached(&sql)?;
        let values = named_params! { ":tenant": self.tenant(), ":machine": self.at_machine(), ":reach": reach };
        let rows = statement.query_map(values, |row| {
            Ok(Batch {
                effects: effects(row.get(0)?),
                targets: lines(&row.get::<_, String>(1)?),
                count: u64::try_from(row.get::<_, i64>(2)?).unwrap_or_default(),
                risk: row.get(3)?,
                oldest_us: u64::try_from(row.get::<_, i64>(4)?).unwrap_or_default(),
            })
        })?;
        rows.collect()
    }

    /// Decides on a hold that waits: one denial ends it, and so do as many approvals as are needed. What may run may run for
    /// [`refmon_core::limits::HOLD_SECONDS`] from then on; what was denied stays denied until the hold would have been over.
    ///
    /// Scopes are looked up here. The decision and its record are one: of several people who decide at the same time each
    /// meets what the one before has left, and without the record nothing has been decided.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails or the decision cannot be recorded.
    pub fn decide(
        &self,
        id: HoldId,
        resolved: Resolved,
        reason: Option<&str>,
        now: Moment,
        record: impl FnOnce(Vote) -> Result<(), Fault>,
    ) -> Result<Decided, StoreError> {
        self.stores.expire_holds(now)?;
        let decided = {
            let failed = self.stores.failed();
            let mut connection = self.stores.connection();
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
            let Some(hold) = self.row(&transaction, id)? else { return Ok(Decided::Missing) };
            let progress = match self.allowed(&hold, resolved, now)? {
                Ok(progress) => progress,
                Err(otherwise) => return Ok(otherwise),
            };
            let own = self.is_own(&hold);
            let share = Share {
                identity: self.identity(),
                number: hold.approvals_so_far().saturating_add(1),
                needed: hold.needed.max(1),
            };
            self.write(&transaction, &hold, (resolved, own, reason), progress, now).map_err(&failed)?;
            record(Vote { resolved, self_approved: own && resolved == Resolved::Approved, share })
                .map_err(StoreError::Unrecorded)?;
            transaction.commit().map_err(&failed)?;
            progress
        };
        if decided.state != HoldState::Pending {
            self.stores.forget()?;
        }
        Ok(Decided::Done(decided))
    }

    fn identity(&self) -> IdentityKind {
        if self.at_machine() { IdentityKind::Local } else { self.caller.kind() }
    }

    /// What a decision leads to, if it may be made.
    fn allowed(&self, hold: &Hold, resolved: Resolved, now: Moment) -> Result<Result<Progress, Decided>, StoreError> {
        let (may_decide, own) = (self.may_decide(hold, self.reach(now)?), self.is_own(hold));
        if !may_decide && !own {
            return Ok(Err(Decided::Missing));
        }
        if resolved == Resolved::Approved && own && !self.at_machine() {
            return Ok(Err(Decided::SamePerson));
        }
        let (user, approves) = (self.caller.user().as_str(), resolved == Resolved::Approved);
        let approved = hold.approvals_so_far();
        let needed = hold.needed.max(1);
        if hold.decisions.iter().any(|decision| decision.user == user && decision.approves == approves) {
            return Ok(Err(Decided::Unchanged(Progress { state: hold.state, approved, needed })));
        }
        if hold.state != HoldState::Pending {
            return Ok(Err(Decided::NotPending(hold.state)));
        }
        if !approves {
            return Ok(Ok(Progress { state: HoldState::Denied, approved, needed }));
        }
        let approved = approved.saturating_add(1);
        let state = if approved >= needed { HoldState::Approved } else { HoldState::Pending };
        Ok(Ok(Progress { state, approved, needed }))
    }

    fn write(
        &self,
        transaction: &Connection,
        hold: &Hold,
        (resolved, own, reason): (Resolved, bool, Option<&str>),
        progress: Progress,
        now: Moment,
    ) -> rusqlite::Result<()> {
        let sql = "INSERT INTO hold_decision (tenant, hold, user, agent, identity, verdict, own, reason, at_us)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
        let (user, agent) = (self.caller.user().as_str(), self.caller.agent().as_str());
        let identity = self.identity().as_str();
        let values = params![
            self.tenant(),
            hold.id.as_bytes(),
            user,
            agent,
            identity,
            resolved.as_str(),
            own,
            reason,
            micros(now)
        ];
        transaction.execute(sql, values)?;
        // What was denied is over when its hold is.
        let ends = match progress.state {
            HoldState::Approved => expiry(now),
            _ => i64::try_from(hold.expires_us).unwrap_or(i64::MAX),
        };
        let sql = "UPDATE hold SET state = ?3, decided_us = ?4, decided_by = ?5, expires_us = ?6, arguments = '', targets = ''
                   WHERE tenant = ?1 AND id = ?2 AND state = 'pending' AND ?3 <> 'pending'";
        let state = progress.state.as_str();
        let values = params![self.tenant(), hold.id.as_bytes(), state, micros(now), user, ends];
        transaction.execute(sql, values).map(|_| ())
    }
}

impl Hold {
    /// How many people have approved.
    #[must_use]
    pub fn approvals_so_far(&self) -> u8 {
        u8::try_from(self.decisions.iter().filter(|decision| decision.approves).count()).unwrap_or(u8::MAX)
    }
}

/// Reads a row. The outer error is of the database, the inner one of what stands there.
fn read(row: &Row<'_>) -> rusqlite::Result<Result<Hold, StoreError>> {
    let damaged = || StoreError::Damaged("hold");
    let unsigned = |value: i64| u64::try_from(value).map_err(|_| damaged());
    let (approvals, state): (String, String) = (row.get(8)?, row.get(22)?);
    let (bytes, placed, expires): (i64, i64, i64) = (row.get(17)?, row.get(20)?, row.get(21)?);
    let host = row.get::<_, Option<String>>(4)?.zip(row.get::<_, Option<String>>(5)?);
    let hold = Hold {
        id: HoldId::from_bytes(row.get(0)?),
        user: row.get(1)?,
        agent: row.get(2)?,
        identity: row.get(3)?,
        host,
        door: row.get(6)?,
        trajectory: row.get(7)?,
        approvals: Vec::new(),
        needed: row.get(9)?,
        action: row.get(10)?,
        server: row.get(11)?,
        tool: row.get(12)?,
        effects: effects(row.get(13)?),
        targets: lines(&row.get::<_, String>(14)?),
        risk: row.get(15)?,
        arguments: row.get(16)?,
        argument_bytes: 0,
        reason: row.get(18)?,
        explanation: row.get(19)?,
        placed_us: 0,
        expires_us: 0,
        state: HoldState::Expired,
        decisions: Vec::new(),
    };
    let parsed = || {
        Ok(Hold {
            approvals: kinds(&approvals)?.iter().map(ToString::to_string).collect(),
            argument_bytes: unsigned(bytes)?,
            placed_us: unsigned(placed)?,
            expires_us: unsigned(expires)?,
            state: HoldState::parse(&state).ok_or_else(damaged)?,
            ..hold
        })
    };
    Ok(parsed())
}

pub(crate) fn effects(bits: i64) -> Vec<Effect> {
    let known = Effect::ALL.into_iter().enumerate();
    known.filter(|(place, _)| bits >> place & 1 == 1).map(|(_, effect)| effect).collect()
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}
