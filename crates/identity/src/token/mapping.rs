//! From verified claims to the parts of a caller.

use std::sync::Arc;

use refmon_core::ids::{AgentId, Scope, TenantId, UserId};
use refmon_core::json::Json;
use refmon_core::limits as core_limits;

use crate::limits;
use crate::refused::Why;
use crate::roles::Roles;

/// Where a token's tenant comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TenantFrom {
    /// Every token of the issuer is of this tenant.
    Fixed(TenantId),
    /// A claim names the tenant, which must be one of these.
    Claim {
        /// The claim.
        name: String,
        /// The tenants that the issuer may speak for.
        tenants: Vec<TenantId>,
    },
    /// A claim names the tenant, whatever it is: for an issuer that is the only one.
    AnyIn(String),
}

/// Where a token's agent comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentFrom {
    /// `act.sub` if the token has `act` (RFC 8693, section 4.1), else `azp`, else `client_id`. The first that is there
    /// counts, and is not passed over if it is not acceptable.
    Standard,
    /// A claim.
    Claim(String),
}

/// Where a token's scopes come from: a text with single spaces between scopes, or an array of texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScopesFrom {
    /// `scope` (RFC 8693, section 4.2), else `scp`.
    Standard,
    /// A claim.
    Claim(String),
}

/// The tenant that a token is of.
pub(super) fn tenant(from: &TenantFrom, claims: &Json<'_>) -> Result<TenantId, Why> {
    match from {
        TenantFrom::Fixed(tenant) => Ok(tenant.clone()),
        TenantFrom::AnyIn(name) => claimed_tenant(claims, name),
        TenantFrom::Claim { name, tenants } => {
            let tenant = claimed_tenant(claims, name)?;
            if tenants.contains(&tenant) { Ok(tenant) } else { Err(absent(name)) }
        }
    }
}

/// A tenant's name becomes a part of paths and addresses at some doors, so one from outside has no path in it.
fn claimed_tenant(claims: &Json<'_>, name: &str) -> Result<TenantId, Why> {
    let text = text(claims, name)?;
    let path = text.contains('/') || text == "." || text == "..";
    TenantId::parse(text).ok().filter(|_| !path).ok_or_else(|| absent(name))
}

/// The person that a token acts for.
pub(super) fn user(name: &str, claims: &Json<'_>) -> Result<UserId, Why> {
    UserId::parse(text(claims, name)?).map_err(|_| absent(name))
}

/// The agent that a token was given to.
pub(super) fn agent(from: &AgentFrom, claims: &Json<'_>) -> Result<AgentId, Why> {
    let (name, text) = match from {
        AgentFrom::Claim(name) => (name.as_str(), text(claims, name)?),
        AgentFrom::Standard => match claims.member("act") {
            Some(actor) => ("act", actor.member("sub").and_then(Json::as_text).ok_or_else(|| absent("act"))?),
            None if claims.member("azp").is_some() => ("azp", text(claims, "azp")?),
            None => ("client_id", text(claims, "client_id")?),
        },
    };
    AgentId::parse(text).map_err(|_| absent(name))
}

/// The scopes of a token. No claim means no scopes.
pub(super) fn scopes(from: &ScopesFrom, claims: &Json<'_>) -> Result<Vec<Scope>, Why> {
    let name = match from {
        ScopesFrom::Claim(name) => name.as_str(),
        ScopesFrom::Standard if claims.member("scope").is_some() => "scope",
        ScopesFrom::Standard => "scp",
    };
    texts(claims, name, limits::SCOPES_MAX)?
        .into_iter()
        .map(|text| Scope::parse(text).map_err(|_| absent(name)))
        .collect()
}

/// The scopes that the roles of a token grant. No claim means no roles, and a name that is no role's grants nothing.
pub(super) fn roles((name, roles): &(String, Arc<Roles>), claims: &Json<'_>) -> Result<Vec<Scope>, Why> {
    let names = texts(claims, name, limits::ROLES_MAX)?;
    if names.iter().any(|name| name.len() > core_limits::ID_BYTES_MAX) {
        return Err(absent(name));
    }
    Ok(roles.expand(names))
}

/// A text with single spaces between its words, or an array of texts.
fn texts<'a>(claims: &'a Json<'_>, name: &str, max: usize) -> Result<Vec<&'a str>, Why> {
    let texts: Vec<&str> = match claims.member(name) {
        None => Vec::new(),
        Some(Json::Text(text)) if text.is_empty() => Vec::new(),
        Some(Json::Text(text)) => text.split(' ').collect(),
        Some(Json::List(items)) => {
            items.iter().map(Json::as_text).collect::<Option<_>>().ok_or_else(|| absent(name))?
        }
        Some(Json::Null | Json::Bool(_) | Json::Number(_) | Json::Object(_)) => return Err(absent(name)),
    };
    if texts.len() > max { Err(absent(name)) } else { Ok(texts) }
}

fn text<'a>(claims: &'a Json<'_>, name: &str) -> Result<&'a str, Why> {
    claims.member(name).and_then(Json::as_text).ok_or_else(|| absent(name))
}

/// The refusal for a claim that is not there, or not as it should be.
pub(super) fn absent(name: &str) -> Why {
    Why::Claim(name.into())
}
