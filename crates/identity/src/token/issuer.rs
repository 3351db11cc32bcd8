//! An issuer, as the operator configures it.

use std::sync::Arc;

use refmon_core::ids::TenantId;
use url::Url;

use crate::limits;
use crate::resource::{self, AddressError, Resource};
use crate::roles::Roles;

use super::Algorithm;
use super::mapping::{AgentFrom, ScopesFrom, TenantFrom};

const LEEWAY_SECONDS: u64 = 30;

/// An issuer whose tokens are accepted: its name, whom its tokens must be made out to, and how its claims are read.
///
/// INVARIANT: no value of it accepts tokens without a signature, an audience, an expiry, a tenant, a user or an agent.
#[derive(Debug, Clone)]
pub struct Issuer {
    text: Box<str>,
    url: Url,
    audience: Resource,
    algorithms: Vec<Algorithm>,
    leeway_seconds: u64,
    required_claims: Vec<String>,
    tenant: TenantFrom,
    user: String,
    agent: AgentFrom,
    scopes: ScopesFrom,
    roles: Option<(String, Arc<Roles>)>,
}

/// An issuer that cannot be configured like this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IssuerError {
    /// Its address is not one.
    #[error("the issuer's URL is not acceptable")]
    Address(#[from] AddressError),
    /// No algorithm is left.
    #[error("the issuer's list of algorithms is empty; name at least one of `RS256`, `PS256`, `ES256`, `EdDSA`")]
    NoAlgorithm,
    /// The leeway is too long.
    #[error("the leeway is longer than {} seconds; set the clocks instead", limits::LEEWAY_SECONDS_MAX)]
    Leeway,
    /// A claim has no name.
    #[error("a claim's name is empty; name the claim or leave the setting out")]
    ClaimName,
    /// No tenant is listed.
    #[error("the issuer's list of tenants is empty; name the tenants that it may speak for")]
    NoTenant,
}

impl Issuer {
    /// An issuer by its exact name, with the resource that its tokens must be made out to and where the tenant comes
    /// from. The rest has the strictest defaults that common issuers meet.
    ///
    /// # Errors
    /// [`IssuerError`] if the URL is not https (or http on a loopback host), or the source of the tenant is empty.
    pub fn new(url: &str, audience: Resource, tenant: TenantFrom) -> Result<Self, IssuerError> {
        match &tenant {
            TenantFrom::Fixed(_) => {}
            TenantFrom::AnyIn(name) => named(name)?,
            TenantFrom::Claim { name, tenants } => {
                named(name)?;
                if tenants.is_empty() {
                    return Err(IssuerError::NoTenant);
                }
            }
        }
        Ok(Self {
            url: resource::endpoint(url)?,
            text: url.into(),
            audience,
            algorithms: Algorithm::ALL.to_vec(),
            leeway_seconds: LEEWAY_SECONDS,
            required_claims: Vec::new(),
            tenant,
            user: "sub".to_owned(),
            agent: AgentFrom::Standard,
            scopes: ScopesFrom::Standard,
            roles: None,
        })
    }

    /// Accepts these algorithms only.
    ///
    /// # Errors
    /// [`IssuerError::NoAlgorithm`] if there are none.
    pub fn with_algorithms(mut self, algorithms: Vec<Algorithm>) -> Result<Self, IssuerError> {
        if algorithms.is_empty() {
            return Err(IssuerError::NoAlgorithm);
        }
        self.algorithms = algorithms;
        Ok(self)
    }

    /// Lets clocks differ by this much.
    ///
    /// # Errors
    /// [`IssuerError::Leeway`] if it is longer than [`limits::LEEWAY_SECONDS_MAX`].
    pub fn with_leeway_seconds(mut self, seconds: u64) -> Result<Self, IssuerError> {
        if seconds > limits::LEEWAY_SECONDS_MAX {
            return Err(IssuerError::Leeway);
        }
        self.leeway_seconds = seconds;
        Ok(self)
    }

    /// Refuses tokens that lack one of these claims, or have it as `null`, beside those that are always required.
    ///
    /// # Errors
    /// [`IssuerError::ClaimName`] if a name is empty.
    pub fn with_required_claims(mut self, names: Vec<String>) -> Result<Self, IssuerError> {
        names.iter().try_for_each(|name| named(name))?;
        self.required_claims = names;
        Ok(self)
    }

    /// Takes the user from this claim instead of `sub`.
    ///
    /// # Errors
    /// [`IssuerError::ClaimName`] if the name is empty.
    pub fn with_user(mut self, claim: &str) -> Result<Self, IssuerError> {
        named(claim)?;
        self.user = claim.to_owned();
        Ok(self)
    }

    /// Takes the agent from elsewhere.
    ///
    /// # Errors
    /// [`IssuerError::ClaimName`] if a name is empty.
    pub fn with_agent(mut self, from: AgentFrom) -> Result<Self, IssuerError> {
        if let AgentFrom::Claim(name) = &from {
            named(name)?;
        }
        self.agent = from;
        Ok(self)
    }

    /// Takes the scopes from elsewhere.
    ///
    /// # Errors
    /// [`IssuerError::ClaimName`] if a name is empty.
    pub fn with_scopes(mut self, from: ScopesFrom) -> Result<Self, IssuerError> {
        if let ScopesFrom::Claim(name) = &from {
            named(name)?;
        }
        self.scopes = from;
        Ok(self)
    }

    /// Takes roles from a claim, and what they grant from the operator. Without it, tokens have no roles.
    ///
    /// # Errors
    /// [`IssuerError::ClaimName`] if the name is empty.
    pub fn with_roles(mut self, claim: &str, roles: Arc<Roles>) -> Result<Self, IssuerError> {
        named(claim)?;
        self.roles = Some((claim.to_owned(), roles));
        Ok(self)
    }

    /// The issuer's name, as it was spelled: names are compared byte by byte (RFC 8414, section 4).
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whom tokens must be made out to.
    #[must_use]
    pub const fn audience(&self) -> &Resource {
        &self.audience
    }

    /// The tenants that the issuer may speak for; `None` if that is any tenant.
    #[must_use]
    pub fn tenants(&self) -> Option<&[TenantId]> {
        match &self.tenant {
            TenantFrom::Fixed(tenant) => Some(std::slice::from_ref(tenant)),
            TenantFrom::Claim { tenants, .. } => Some(tenants),
            TenantFrom::AnyIn(_) => None,
        }
    }

    pub(super) const fn url(&self) -> &Url {
        &self.url
    }

    pub(super) fn accepts(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    pub(super) const fn leeway_seconds(&self) -> u64 {
        self.leeway_seconds
    }

    pub(super) fn required_claims(&self) -> &[String] {
        &self.required_claims
    }

    pub(super) const fn tenant_from(&self) -> &TenantFrom {
        &self.tenant
    }

    pub(super) fn user_claim(&self) -> &str {
        &self.user
    }

    pub(super) const fn agent_from(&self) -> &AgentFrom {
        &self.agent
    }

    pub(super) const fn scopes_from(&self) -> &ScopesFrom {
        &self.scopes
    }

    pub(super) const fn roles_from(&self) -> Option<&(String, Arc<Roles>)> {
        self.roles.as_ref()
    }
}

fn named(claim: &str) -> Result<(), IssuerError> {
    if claim.is_empty() { Err(IssuerError::ClaimName) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issuer(url: &str) -> Result<Issuer, IssuerError> {
        let audience = Resource::parse("https://r.example/mcp").unwrap();
        Issuer::new(url, audience, TenantFrom::AnyIn("tenant".to_owned()))
    }

    #[test]
    fn no_setting_loosens_a_check() {
        assert!(issuer("https://a.example").is_ok() && issuer("http://127.0.0.1:9000/realms/x").is_ok());
        assert_eq!(issuer("http://a.example").unwrap_err(), AddressError::Insecure.into());
        assert_eq!(issuer("https://a.example?x").unwrap_err(), AddressError::Excess.into());
        let issuer = || issuer("https://a.example").unwrap();
        assert_eq!(issuer().with_algorithms(vec![]).unwrap_err(), IssuerError::NoAlgorithm);
        assert_eq!(issuer().with_leeway_seconds(301).unwrap_err(), IssuerError::Leeway);
        assert!(issuer().with_leeway_seconds(300).is_ok());
        assert_eq!(issuer().with_user("").unwrap_err(), IssuerError::ClaimName);
        assert_eq!(issuer().with_required_claims(vec![String::new()]).unwrap_err(), IssuerError::ClaimName);
        assert_eq!(issuer().with_agent(AgentFrom::Claim(String::new())).unwrap_err(), IssuerError::ClaimName);
        assert_eq!(issuer().with_scopes(ScopesFrom::Claim(String::new())).unwrap_err(), IssuerError::ClaimName);
        let audience = || Resource::parse("https://r.example/mcp").unwrap();
        let none = TenantFrom::Claim { name: "t".to_owned(), tenants: vec![] };
        assert_eq!(Issuer::new("https://a.example", audience(), none).unwrap_err(), IssuerError::NoTenant);
        let unnamed = TenantFrom::AnyIn(String::new());
        assert_eq!(Issuer::new("https://a.example", audience(), unnamed).unwrap_err(), IssuerError::ClaimName);
    }

    #[test]
    fn an_algorithm_without_a_public_key_has_no_name() {
        for name in ["none", "None", "NONE", "HS256", "HS384", "HS512", "rs256", "", "RS1"] {
            assert_eq!(Algorithm::parse(name), None, "{name}");
        }
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::parse(algorithm.as_str()), Some(algorithm));
        }
    }
}
