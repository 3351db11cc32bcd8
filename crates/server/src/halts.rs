//! `/v1/halts`: the kill switch of the caller's tenant.
//!
//! | request | what it does |
//! |---|---|
//! | `GET /v1/halts` | the halts that deny this tenant's calls: its own, and the operator's |
//! | `POST /v1/halts` with `{"reason": "…"}` | halts the tenant's calls |
//! | `DELETE /v1/halts/tenant` | ends that halt, and no other |
//!
//! All need the scope `refmon:halt`. Whoever lacks it, and whoever names another tenant's halt or none, gets one and the
//! same answer, whatever is there.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use refmon_core::caller::Caller;
use refmon_core::json::Json;
use refmon_core::ports::Fault;
use serde_json::{Value, json};

use crate::problem::Problem;
use crate::server::{self, Body, act_on};

/// The scope that halts need.
pub const SCOPE: &str = "refmon:halt";
/// The identifier of a tenant's own halt.
const TENANT: &str = "tenant";
/// Bytes of a reason.
const REASON_BYTES_MAX: usize = 1_024;

/// A halt that denies the caller's calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Halt {
    /// The operator's, over all tenants. What it says is the operator's own.
    Operator,
    /// The tenant's own.
    Tenant {
        /// Why.
        reason: Option<String>,
        /// Who.
        by: Option<String>,
        /// When, as RFC 3339 has it.
        at: Option<String>,
    },
}

/// The switches. Each call is about the tenant of the caller, and durable and recorded when it returns.
pub trait Halts: Send + Sync {
    /// The halts that deny this caller's calls.
    ///
    /// # Errors
    /// A fault if that cannot be found out.
    fn list(&self, caller: &Caller) -> Result<Vec<Halt>, Fault>;

    /// Halts the calls of the caller's tenant: first that, then its record. `false` if they were halted by this switch.
    ///
    /// # Errors
    /// A fault if it may not be on, or is not recorded.
    fn put_on(&self, caller: &Caller, reason: Option<&str>) -> Result<bool, Fault>;

    /// Ends the halt of the caller's tenant: first its record, then that. `false` if it was off.
    ///
    /// # Errors
    /// A fault if it may still be on.
    fn take_off(&self, caller: &Caller) -> Result<bool, Fault>;
}

type Answered = Result<Response<Body>, Problem>;

/// `/v1/halts`
pub(crate) async fn all(halts: &Arc<dyn Halts>, caller: Arc<Caller>, request: &Request<Bytes>) -> Answered {
    may_halt(&caller)?;
    match *request.method() {
        Method::GET => {
            let found = act_on(halts, move |halts| halts.list(&caller)).await?;
            Ok(server::json(StatusCode::OK, &json!({ "halts": found.iter().map(value).collect::<Vec<_>>() })))
        }
        Method::POST => {
            let reason = reason(request)?;
            let made = act_on(halts, move |halts| halts.put_on(&caller, reason.as_deref())).await?;
            let status = if made { StatusCode::CREATED } else { StatusCode::OK };
            Ok(server::json(status, &json!({ "id": TENANT, "halted": true, "changed": made })))
        }
        _ => Err(Problem::Method("GET, POST")),
    }
}

/// `/v1/halts/…`
pub(crate) async fn one(halts: &Arc<dyn Halts>, caller: Arc<Caller>, request: &Request<Bytes>) -> Answered {
    may_halt(&caller)?;
    if request.uri().path() != "/v1/halts/tenant" {
        return Err(Problem::Forbidden);
    }
    if request.method() != Method::DELETE {
        return Err(Problem::Method("DELETE"));
    }
    let (changed, left) = act_on(halts, move |halts| Ok((halts.take_off(&caller)?, halts.list(&caller)?))).await?;
    Ok(server::json(StatusCode::OK, &json!({ "id": TENANT, "halted": !left.is_empty(), "changed": changed })))
}

fn may_halt(caller: &Caller) -> Result<(), Problem> {
    let holds = caller.scopes().iter().any(|scope| scope.as_str() == SCOPE);
    if holds { Ok(()) } else { Err(Problem::Forbidden) }
}

/// The reason in a body, which has one reading and nothing else in it.
fn reason(request: &Request<Bytes>) -> Result<Option<String>, Problem> {
    if !server::is_json(request.headers()) {
        return Err(Problem::MediaType);
    }
    let json =
        Json::parse(request.body()).map_err(|_| Problem::Body("the body must be JSON with exactly one reading"))?;
    let members = json.as_object().ok_or(Problem::Body("the body must be an object"))?;
    let mut reason = None;
    for (name, value) in members {
        match (name.as_ref(), value) {
            ("reason", Json::Null) => {}
            ("reason", Json::Text(text)) if text.len() <= REASON_BYTES_MAX => reason = Some(text.to_string()),
            ("reason", _) => return Err(Problem::Body("`reason` must be a text of at most 1024 bytes")),
            _ => return Err(Problem::Body("the body has a member other than `reason`")),
        }
    }
    Ok(reason)
}

fn value(halt: &Halt) -> Value {
    match halt {
        Halt::Operator => json!({ "id": "operator" }),
        Halt::Tenant { reason, by, at } => json!({ "id": TENANT, "reason": reason, "by": by, "at": at }),
    }
}
