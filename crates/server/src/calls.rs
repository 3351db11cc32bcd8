//! `/v1/calls`: for hosts that run calls themselves and say how they ended.
//!
//! | request | what it does |
//! |---|---|
//! | `POST /v1/calls` | decides on a call, and records the attempt |
//! | `POST /v1/calls/ID/outcome` | records how a permitted call ended, once, for the host that proposed it |
//!
//! INVARIANT: a permitted call has exactly one end: what its host reports, or `not-reported` when that takes too long, when
//! the gateway stops, or when the next one finds it open.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::StatusCode;
use refmon_core::caller::{Caller, IdentityKind};
use refmon_core::decision::Decision;
use refmon_core::ids::{AgentId, CallId, Scope, ServerName, TenantId, UserId};
use refmon_core::json::{Json, Members, Strictness};
use refmon_core::monitor::{Ask, InFlight, Monitor, Outcome, Verdict};
use refmon_core::ports::Moment;
use refmon_core::reason::ReasonCode;
use refmon_core::record::{Cause, Door, Status};
use refmon_core::untrusted::Untrusted;
use serde_json::{Value, json};

use crate::bodies;
use crate::decisions::{Decisions, Target, call_id, texts};
use crate::host::{Host, Named};
use crate::problem::Problem;
use crate::verdict::{Told, supported};

/// Calls of one person that are under way.
const OF_HOST_MAX: usize = 1_024;
/// Calls of all hosts that are under way.
const OF_ALL_MAX: usize = 65_536;

/// Who proposed a call, and may say how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Who {
    kind: IdentityKind,
    tenant: TenantId,
    user: UserId,
    agent: AgentId,
}

/// How many calls each person has under way, whatever the agent and the credential.
type Counts = Arc<Mutex<HashMap<(TenantId, UserId), usize>>>;

/// The calls that are under way at hosts.
pub(crate) struct OpenCalls {
    calls: Mutex<State>,
    counts: Counts,
    patience_us: u64,
}

#[derive(Default)]
struct State {
    open: HashMap<CallId, Open>,
    ended: bool,
}

struct Open {
    flight: InFlight,
    room: Room,
    since: Moment,
}

/// Room for one more call of a host. Dropped, it is free again.
struct Room {
    who: Who,
    counts: Counts,
}

impl Decisions {
    /// Decides on a call that the host will run itself.
    pub(crate) fn propose(&self, caller: &Arc<Caller>, body: &Bytes) -> Result<(StatusCode, Value), Problem> {
        let Ok(json) = Json::parse(body) else { return Err(self.unreadable(Door::Calls, caller)) };
        bodies::PROPOSAL.check(&json)?;
        let members = Members::parse(body, Strictness::Request).unwrap_or_default();
        let text = |name| json.member(name).and_then(Json::as_text).unwrap_or_default();
        let tool = text("tool");
        let server =
            ServerName::parse(text("server")).map_err(|_| Problem::Body("`/server` must be the name of a server"))?;
        let named = json.member("subject").filter(|subject| **subject != Json::Null);
        let named = named.map(|subject| self.named(caller, subject)).transpose()?;
        let listing = self.listing(&server, tool, json.member("definition"), json.member("pin"));
        let arguments = Cow::Borrowed(members.value("arguments").unwrap_or_default());
        let target = Target { server, ask: Ask::Tool(tool.to_owned()), listing, arguments };
        let supported = supported(texts(json.member("supported_obligations")).into_iter());
        let monitor = &self.parts.monitor;
        let verdict = match (named, self.calls.room(caller)) {
            (Some(None), _) => {
                let proposal = self.proposal(Door::Calls, caller, target, supported);
                Verdict::Deny(monitor.refuse(proposal, ReasonCode::UnknownSubject))
            }
            (_, None) => {
                let proposal = self.proposal(Door::Calls, caller, target, supported);
                Verdict::Deny(monitor.refuse(proposal, ReasonCode::TooManyCalls))
            }
            (named, Some(room)) => {
                let asking = named.flatten().map_or_else(|| Arc::clone(caller), Arc::new);
                let verdict = monitor.submit(self.proposal(Door::Calls, &asking, target, supported));
                return Ok(self.proposed(verdict, room));
            }
        };
        Ok(self.told(&Told::of(&verdict)))
    }

    /// Whom a host proposes a call for; `None` if that cannot be told.
    fn named(&self, caller: &Arc<Caller>, subject: &Json<'_>) -> Result<Option<Caller>, Problem> {
        let host = Host::of(caller)?;
        let text = |name| subject.member(name).and_then(Json::as_text);
        let (kind, id) = (text("type").unwrap_or_default(), text("id").unwrap_or_default());
        let known = self.directory(caller).and_then(|known| known.subject(kind, id)).and_then(|known| known.scopes());
        let said = subject.member("scopes").filter(|scopes| **scopes != Json::Null);
        let said =
            said.map(|said| texts(Some(said)).into_iter().filter_map(|scope| Scope::parse(scope).ok()).collect());
        let scopes = known.map(<[Scope]>::to_vec).or(said);
        Ok(host.name(Named { kind, id, agent: text("agent"), scopes }))
    }

    fn proposed(&self, verdict: Verdict, room: Room) -> (StatusCode, Value) {
        let told = Told::of(&verdict);
        if let Verdict::Permit(permit) = verdict {
            let (_, flight) = permit.dispatch();
            let now = self.parts.clock.now();
            if let Err(flight) = self.calls.keep(flight, room, now) {
                // The gateway stops: what the host does now is not waited for any more.
                let _recorded = self.parts.monitor.abandon(flight, Cause::NotReported).is_ok();
            }
        }
        self.told(&told)
    }

    fn told(&self, told: &Told) -> (StatusCode, Value) {
        let mut value = told.verdict();
        if let Some(value) = value.as_object_mut() {
            let call = value.remove("record").unwrap_or_default();
            if told.decision == Decision::Permit {
                let path = format!("{}/v1/calls/{}/outcome", self.origin(), call.as_str().unwrap_or_default());
                value.insert("outcome".to_owned(), json!({ "url": path, "seconds": self.parts.outcome_seconds }));
            }
            if let Some(task) = told.task(self.origin()) {
                value.insert("hold".to_owned(), task);
            }
            value.insert("call".to_owned(), call);
            value.insert("obligations".to_owned(), json!(told.obligations()));
        }
        (if told.record.is_some() { StatusCode::CREATED } else { StatusCode::OK }, value)
    }

    /// Records how a call ended.
    pub(crate) fn outcome(&self, caller: &Arc<Caller>, id: &str, body: &Bytes) -> Result<(StatusCode, Value), Problem> {
        let json = Json::parse(body).map_err(|_| Problem::Body("the body must be JSON with exactly one reading"))?;
        bodies::OUTCOME.check(&json)?;
        let members = Members::parse(body, Strictness::Request).unwrap_or_default();
        let given = |name: &str| json.member(name).filter(|value| **value != Json::Null);
        let result = match (given("result"), given("result_digest")) {
            (Some(_), Some(_)) => return Err(Problem::Body("give `result` or `result_digest`, not both")),
            (Some(_), None) => members.value("result").unwrap_or_default(),
            (None, digest) => digest.and_then(Json::as_text).unwrap_or_default().as_bytes(),
        };
        let status = json.member("status").and_then(Json::as_text).unwrap_or_default();
        let call = call_id(id)?;
        let flight = self.calls.take(call, caller).ok_or(Problem::NoCall)?;
        let recorded = end(&self.parts.monitor, flight, status, result);
        if !recorded {
            return Err(Problem::Unavailable);
        }
        Ok((StatusCode::OK, json!({ "call": call.to_string(), "status": status, "recorded": true })))
    }

    /// Gives up what was not reported in time.
    pub(crate) fn sweep(&self) {
        let late = self.calls.late(self.parts.clock.now());
        self.give_up(late);
    }

    /// Gives up what has not been reported, and waits for nothing any more.
    pub(crate) fn end(&self) {
        let left = self.calls.end();
        self.give_up(left);
    }

    fn give_up(&self, flights: Vec<InFlight>) {
        for flight in flights {
            // A call whose end cannot be recorded stays open, and is closed when the journal is next opened.
            let _recorded = self.parts.monitor.abandon(flight, Cause::NotReported).is_ok();
        }
    }
}

/// Records an end; whether that was possible.
fn end(monitor: &Monitor, flight: InFlight, status: &str, result: &[u8]) -> bool {
    let status = match status {
        "ok" => Status::Ok,
        "tool-error" => Status::ToolError,
        "protocol-error" => Status::ProtocolError,
        "cancelled" => return recorded(&monitor.finish(flight.cancelled())),
        _ => return monitor.abandon(flight, Cause::NotReported).is_ok(),
    };
    recorded(&monitor.finish(flight.returned(Untrusted::new(result.to_vec()), status)))
}

fn recorded(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Released(_) => true,
        Outcome::Withheld(withheld) => withheld.reason() != ReasonCode::AuditUnavailable,
    }
}

// === impl OpenCalls ===

impl OpenCalls {
    pub(crate) fn new(seconds: u64) -> Self {
        let patience_us = seconds.saturating_mul(1_000_000);
        Self { calls: Mutex::default(), counts: Arc::default(), patience_us }
    }

    /// Room for one more call of a host, before it is decided on.
    fn room(&self, caller: &Caller) -> Option<Room> {
        let who = Who::of(caller);
        let mut counts = lock(&self.counts);
        if counts.values().sum::<usize>() >= OF_ALL_MAX {
            return None;
        }
        let count = counts.entry(who.person()).or_default();
        if *count >= OF_HOST_MAX {
            return None;
        }
        *count = count.saturating_add(1);
        Some(Room { who, counts: Arc::clone(&self.counts) })
    }

    /// Keeps a call until its host says how it ended.
    fn keep(&self, flight: InFlight, room: Room, since: Moment) -> Result<(), InFlight> {
        let mut calls = lock(&self.calls);
        if calls.ended {
            return Err(flight);
        }
        calls.open.insert(flight.call(), Open { flight, room, since });
        Ok(())
    }

    /// Takes a call, for its host only.
    fn take(&self, call: CallId, caller: &Caller) -> Option<InFlight> {
        let who = Who::of(caller);
        let mut calls = lock(&self.calls);
        if calls.open.get(&call)?.room.who != who {
            return None;
        }
        let taken = calls.open.remove(&call);
        drop(calls);
        taken.map(|open| open.flight)
    }

    fn late(&self, now: Moment) -> Vec<InFlight> {
        let mut calls = lock(&self.calls);
        let late = |open: &Open| now.micros_since(open.since) >= self.patience_us;
        let late: Vec<CallId> = calls.open.iter().filter(|(_, open)| late(open)).map(|(call, _)| *call).collect();
        let taken: Vec<Open> = late.iter().filter_map(|call| calls.open.remove(call)).collect();
        drop(calls);
        taken.into_iter().map(|open| open.flight).collect()
    }

    fn end(&self) -> Vec<InFlight> {
        let mut calls = lock(&self.calls);
        calls.ended = true;
        let taken = std::mem::take(&mut calls.open);
        drop(calls);
        taken.into_values().map(|open| open.flight).collect()
    }
}

impl Who {
    fn of(caller: &Caller) -> Self {
        let (tenant, user, agent) = (caller.tenant().clone(), caller.user().clone(), caller.agent().clone());
        Self { kind: caller.kind(), tenant, user, agent }
    }

    fn person(&self) -> (TenantId, UserId) {
        (self.tenant.clone(), self.user.clone())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut counts = lock(&self.counts);
        let person = self.who.person();
        if let Some(count) = counts.get_mut(&person) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&person);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
