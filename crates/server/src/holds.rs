//! `/v1/holds`: calls that wait for a person, for the people who decide.
//!
//! | request | what it does |
//! |---|---|
//! | `GET /v1/holds` | the queue: what the caller could decide on, and the caller's own |
//! | `GET /v1/holds/figures` | how much is asked of people, and what they say |
//! | `GET /v1/holds/{id}` | one hold |
//! | `POST /v1/holds/{id}/approve`, `/deny` with `{"reason": "…"}` | decides |
//!
//! A decision needs the scope `refmon:approve`, or `refmon:approve:` with each effect of the tool behind it, at that moment.
//! Whoever asked cannot approve. A hold of another tenant, one that the caller may not see, and none at all get one and the
//! same answer. What agents wrote comes as text in JSON, with what is invisible in it made visible.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use refmon_core::caller::Caller;
use refmon_core::hold::HoldState;
use refmon_core::ids::HoldId;
use refmon_core::json::Json;
use refmon_core::ports::Fault;
use refmon_core::record::Resolved;
use serde_json::Value;

use crate::answers::HOLD_DECISION;
use crate::problem::Problem;
use crate::server::{self, Body, act_on};

/// The states of a hold.
pub(crate) const STATES: &[&str] = &[
    HoldState::Pending.as_str(),
    HoldState::Approved.as_str(),
    HoldState::Denied.as_str(),
    HoldState::Spent.as_str(),
    HoldState::Expired.as_str(),
];
/// Holds on one page, unless fewer are asked for.
const PAGE_MAX: u32 = 100;

/// Which holds are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Of this state only.
    pub state: Option<&'static str>,
    /// The rank, time and identifier of the hold that the page before ended with.
    pub after: Option<(u8, u64, HoldId)>,
    /// At most this many: from 1 to 100.
    pub limit: u32,
}

/// What became of a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decided {
    /// It counts, and is recorded.
    Done(Value),
    /// The same person had decided so before.
    Unchanged(Value),
    /// The hold is decided already, or over.
    NotPending(&'static str),
    /// Who asked cannot approve.
    SamePerson,
    /// There is no such hold for this caller.
    Missing,
}

/// The queue. Each call is about the tenant of the caller, and shows what this caller may see; bodies of answers are as the
/// OpenAPI document says. No caller is the person at the machine here.
pub trait Holds: Send + Sync {
    /// A page.
    ///
    /// # Errors
    /// A fault if the store does not answer.
    fn list(&self, caller: &Caller, query: &Query) -> Result<Value, Fault>;

    /// One hold; `None` if there is none that this caller may see.
    ///
    /// # Errors
    /// A fault if the store does not answer.
    fn find(&self, caller: &Caller, id: HoldId) -> Result<Option<Value>, Fault>;

    /// Decides, durably and recorded when it returns.
    ///
    /// # Errors
    /// A fault if nothing was decided.
    fn decide(&self, caller: &Caller, id: HoldId, resolved: Resolved, reason: Option<&str>) -> Result<Decided, Fault>;

    /// The figures; `None` if the caller could decide on nothing.
    ///
    /// # Errors
    /// A fault if the store does not answer.
    fn figures(&self, caller: &Caller) -> Result<Option<Value>, Fault>;
}

type Answered = Result<Response<Body>, Problem>;

/// `/v1/holds` and everything below it; `rest` is what stands behind that.
pub(crate) async fn answer(
    holds: &Arc<dyn Holds>,
    caller: Arc<Caller>,
    request: &Request<Bytes>,
    rest: &str,
) -> Answered {
    let reading = || if request.method() == Method::GET { Ok(()) } else { Err(Problem::Method("GET")) };
    let fine = |value: Value| server::json(StatusCode::OK, &value);
    match rest.trim_start_matches('/').split_once('/') {
        None if rest.is_empty() => {
            reading()?;
            let query = query(request.uri().query().unwrap_or_default())?;
            Ok(fine(act_on(holds, move |holds| holds.list(&caller, &query)).await?))
        }
        None if rest == "/figures" => {
            reading()?;
            let found = act_on(holds, move |holds| holds.figures(&caller)).await?;
            found.map(fine).ok_or(Problem::NoApprover)
        }
        None => {
            reading()?;
            let id = HoldId::parse(rest.trim_start_matches('/')).ok_or(Problem::NoHold)?;
            let found = act_on(holds, move |holds| holds.find(&caller, id)).await?;
            found.map(fine).ok_or(Problem::NoHold)
        }
        Some((id, verb @ ("approve" | "deny"))) => {
            if request.method() != Method::POST {
                return Err(Problem::Method("POST"));
            }
            let resolved = if verb == "approve" { Resolved::Approved } else { Resolved::Denied };
            let reason = reason(request)?;
            let id = HoldId::parse(id).ok_or(Problem::NoHold)?;
            match act_on(holds, move |holds| holds.decide(&caller, id, resolved, reason.as_deref())).await? {
                Decided::Done(value) | Decided::Unchanged(value) => Ok(fine(value)),
                Decided::NotPending(state) => Err(Problem::Decided(state)),
                Decided::SamePerson => Err(Problem::SamePerson),
                Decided::Missing => Err(Problem::NoHold),
            }
        }
        Some(_) => Err(Problem::NotFound),
    }
}

/// The reason in a body, which has one reading and nothing else in it.
fn reason(request: &Request<Bytes>) -> Result<Option<String>, Problem> {
    if !server::is_json(request.headers()) {
        return Err(Problem::MediaType);
    }
    let json =
        Json::parse(request.body()).map_err(|_| Problem::Body("the body must be JSON with exactly one reading"))?;
    HOLD_DECISION.check(&json)?;
    Ok(json.member("reason").and_then(Json::as_text).map(str::to_owned))
}

fn query(text: &str) -> Result<Query, Problem> {
    let mut query = Query { state: None, after: None, limit: PAGE_MAX };
    let mut seen: Vec<&str> = Vec::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if seen.contains(&name) {
            return Err(Problem::Body("a parameter is given twice"));
        }
        seen.push(name);
        match name {
            "state" => {
                let known = STATES.iter().find(|state| **state == value).copied();
                query.state =
                    Some(known.ok_or(Problem::Body("`state` is pending, approved, denied, spent or expired"))?);
            }
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=PAGE_MAX).contains(limit));
                query.limit = limit.ok_or(Problem::Body("`limit` is a number from 1 to 100"))?;
            }
            "cursor" => query.after = Some(cursor(value).ok_or(Problem::Body("`cursor` is `next` of a page before"))?),
            _ => return Err(Problem::Body("the parameters are `state`, `limit` and `cursor`")),
        }
    }
    Ok(query)
}

fn cursor(text: &str) -> Option<(u8, u64, HoldId)> {
    let (risk, rest) = text.split_once('.')?;
    let (placed, id) = rest.split_once('.')?;
    Some((risk.parse().ok()?, placed.parse().ok()?, HoldId::parse(id)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_asked_for_in_one_way_only() {
        let id = HoldId::from_bytes([7; 16]);
        let all = Query { state: None, after: None, limit: 100 };
        assert_eq!(query(""), Ok(all.clone()));
        assert_eq!(
            query(&format!("state=pending&limit=2&cursor=42.17.{id}")),
            Ok(Query { state: Some("pending"), after: Some((42, 17, id)), limit: 2 })
        );
        for text in [
            "state=",
            "state=Pending",
            "limit=0",
            "limit=101",
            "limit=x",
            "cursor=",
            "cursor=1.2",
            "cursor=256.1.x",
            "tenant=other",
            "state=pending&state=denied",
            "user",
            "cursor=-1.2.3",
        ] {
            assert!(query(text).is_err(), "{text}");
        }
    }
}
