//! Whether claims are in force: for us, now, and as an access token.

use refmon_core::caller::{Caller, IdentityKind};
use refmon_core::json::Json;

use crate::limits;
use crate::refused::Why;

use super::Issuer;
use super::compact::Header;
use super::mapping::{self, absent};

/// Members of an ID token that access tokens do not have (OpenID Connect Core 1.0, sections 2 and 3.3.2.11). Some
/// issuers put a `nonce` into access tokens too; they can declare those as `at+jwt`.
const ID_TOKEN_CLAIMS: [&str; 4] = ["nonce", "at_hash", "c_hash", "s_hash"];

/// Claims whose signature was verified, of the issuer that they name.
#[derive(Debug)]
pub(super) struct Signed<'a> {
    pub(super) issuer: &'a Issuer,
    pub(super) header: &'a Header,
    pub(super) claims: &'a Json<'a>,
}

impl Signed<'_> {
    /// The caller, and the second from which on the token is refused. All checks are here, so all are made.
    pub(super) fn caller(&self, now_seconds: u64) -> Result<(Caller, u64), Why> {
        let until = self.in_force(now_seconds)?;
        self.for_us()?;
        self.access_token()?;
        for name in self.issuer.required_claims() {
            self.claims.member(name).filter(|value| **value != Json::Null).ok_or_else(|| absent(name))?;
        }
        let tenant = mapping::tenant(self.issuer.tenant_from(), self.claims)?;
        let user = mapping::user(self.issuer.user_claim(), self.claims)?;
        let agent = mapping::agent(self.issuer.agent_from(), self.claims)?;
        let mut scopes = mapping::scopes(self.issuer.scopes_from(), self.claims)?;
        if let Some(from) = self.issuer.roles_from() {
            scopes.extend(mapping::roles(from, self.claims)?);
        }
        Ok((Caller::authenticated(IdentityKind::Token, tenant, user, agent, scopes), until))
    }

    /// RFC 7519, sections 4.1.4 to 4.1.6.
    fn in_force(&self, now: u64) -> Result<u64, Why> {
        let leeway = self.issuer.leeway_seconds();
        let until = self.time("exp")?.ok_or_else(|| absent("exp"))?.saturating_add(leeway);
        let latest = now.saturating_add(leeway);
        let early = [self.time("nbf")?, self.time("iat")?].into_iter().flatten().any(|from| from > latest);
        if early {
            return Err(Why::NotYet);
        }
        if now >= until { Err(Why::TokenExpired) } else { Ok(until) }
    }

    /// RFC 7519, section 4.1.3, but a list must be texts throughout.
    fn for_us(&self) -> Result<(), Why> {
        let ours = self.issuer.audience().as_str();
        let meant = match self.claims.member("aud") {
            Some(Json::Text(text)) => text == ours,
            Some(Json::List(items)) => {
                items.iter().all(|item| item.as_text().is_some())
                    && items.iter().any(|item| item.as_text() == Some(ours))
            }
            None | Some(Json::Null | Json::Bool(_) | Json::Number(_) | Json::Object(_)) => false,
        };
        if meant { Ok(()) } else { Err(absent("aud")) }
    }

    fn access_token(&self) -> Result<(), Why> {
        if self.claims.member("cnf").is_some() {
            return Err(Why::Bound);
        }
        let id_token = ID_TOKEN_CLAIMS.iter().any(|name| self.claims.member(name).is_some());
        if id_token && !self.header.access_token { Err(Why::IdToken) } else { Ok(()) }
    }

    /// A second since 1970, in digits only: parsers disagree about fractions, exponents and whatever is larger than a
    /// double can tell apart.
    fn time(&self, name: &str) -> Result<Option<u64>, Why> {
        let Some(value) = self.claims.member(name) else { return Ok(None) };
        let seconds = value.as_number().and_then(|number| number.as_str().parse().ok());
        let seconds = seconds.filter(|seconds| *seconds <= limits::UNIX_SECONDS_MAX);
        seconds.map(Some).ok_or_else(|| absent(name))
    }
}
