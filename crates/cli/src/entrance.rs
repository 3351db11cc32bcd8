//! Who `refmon serve` lets in: the configuration as an [`Authenticator`], behind the gateway's port.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use refmon_core::caller::Caller;
use refmon_core::ids::{Scope, TenantId};
use refmon_core::ports::Clock;
use refmon_gateway::http::{Authenticate, Authenticated, Unauthenticated};
use refmon_gateway::link::{Documents, Reachable};
use refmon_gateway::session::Observer;
use refmon_identity::Authenticator;
use refmon_identity::fetch::{Fetch, FetchError};
use refmon_identity::resource::Resource;
use refmon_identity::token::{AgentFrom, Algorithm, Issuer, ScopesFrom, TenantFrom};

use crate::config::{ConfigError, Identity, IdentityKind};
use crate::home::Home;

/// Headers by which a reverse proxy says that a request is somebody else's.
const FORWARDED: &[&str] =
    &["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via"];

/// The entrance of `refmon serve`.
pub(crate) struct Entrance {
    authenticator: Authenticator,
    clock: Arc<dyn Clock>,
    resource: Option<Resource>,
    scopes: Vec<Scope>,
    observer: Arc<dyn Observer>,
    /// The second in which the operator was last told of a refusal, so that a flood of them floods no log.
    told: AtomicU64,
    whom: String,
}

impl Entrance {
    /// Builds the entrance that the configuration describes. `scopes` are those that tools ask for.
    pub(crate) fn new(
        home: &Home,
        clock: Arc<dyn Clock>,
        scopes: Vec<Scope>,
        observer: Arc<dyn Observer>,
    ) -> Result<Self> {
        let identity = &home.config.identity;
        let listen = &home.config.listen;
        let outside = !listen.http.ip().is_loopback() || !listen.hosts.is_empty();
        let wrong = |text: String| ConfigError::new(format!("{}: {text}", home.file.display()));
        if identity.kind == IdentityKind::Local && outside {
            return Err(wrong(
                "[identity] kind = \"local\" lets in whoever reaches the gateway, so it listens at 127.0.0.1 and has no other `hosts`; use `kind = \"keys\"` or `kind = \"oidc\"` for others".to_owned(),
            )
            .into());
        }
        if !listen.http.ip().is_loopback() && !listen.behind_tls {
            return Err(wrong(format!(
                "[listen] http = \"{}\" would send credentials in the clear; put a reverse proxy with TLS in front and write `behind_tls = true`, or listen at 127.0.0.1",
                listen.http
            ))
            .into());
        }
        let (issuers, resource) = match identity.kind {
            IdentityKind::Oidc => {
                let (issuer, resource) = issuer(identity).map_err(wrong)?;
                (vec![issuer], Some(resource))
            }
            IdentityKind::Local | IdentityKind::Keys => {
                if identity.issuer.is_some() || identity.audience.is_some() {
                    return Err(
                        wrong("[identity] `issuer` and `audience` belong to `kind = \"oidc\"`".to_owned()).into()
                    );
                }
                (Vec::new(), None)
            }
        };
        let local: Option<Caller> = if identity.kind == IdentityKind::Local { Some(home.caller()?) } else { None };
        let whom = match (&local, issuers.first()) {
            (Some(caller), _) => {
                format!("this machine as {} (tenant {}), and API keys", caller.user(), caller.tenant())
            }
            (None, Some(issuer)) => format!("tokens of {}, and API keys", issuer.as_str()),
            (None, None) => "API keys (`refmon key add`)".to_owned(),
        };
        let fetch: Arc<dyn Fetch> = Arc::new(Fetcher(Documents::new().context("certificates")?));
        let authenticator = Authenticator::new(local, Some(home.api_keys()?), issuers, &fetch)
            .map_err(|error| wrong(format!("[identity] {error}")))?;
        Ok(Self { authenticator, clock, resource, scopes, observer, told: AtomicU64::new(0), whom })
    }

    /// Who is let in, for people.
    pub(crate) fn whom(&self) -> &str {
        &self.whom
    }

    fn tell(&self, why: &str) {
        let second = self.clock.now().unix_us / 1_000_000;
        if self.told.swap(second, Ordering::Relaxed) != second {
            self.observer.notice(&format!("a request was turned away: {why}"));
        }
    }
}

impl Authenticate for Entrance {
    fn authenticate<'a>(&'a self, headers: &'a HeaderMap, loopback: bool) -> Authenticated<'a> {
        Box::pin(async move {
            let values: Vec<&[u8]> = headers.get_all(AUTHORIZATION).iter().map(http::HeaderValue::as_bytes).collect();
            let found = self.authenticator.authenticate(&values, self.clock.now()).await;
            let refused = match found {
                // A reverse proxy on this machine makes everybody's requests its own; they are not this person's.
                Ok(caller) if values.is_empty() && (!loopback || forwarded(headers)) => {
                    drop(caller);
                    self.tell("it came without a credential through a proxy");
                    return Err(Unauthenticated { challenge: "Bearer realm=\"refmon\"".to_owned() });
                }
                Ok(caller) => return Ok(caller),
                Err(refused) => refused,
            };
            self.tell(&format!("{}", refused.why()));
            Err(Unauthenticated { challenge: refused.www_authenticate(self.resource.as_ref()) })
        })
    }

    fn metadata(&self) -> Option<String> {
        Some(self.resource.as_ref()?.metadata(self.authenticator.issuers(), &self.scopes))
    }
}

fn forwarded(headers: &HeaderMap) -> bool {
    FORWARDED.iter().any(|name| headers.contains_key(*name))
}

/// The issuer of the configuration, and what its tokens must be made out to.
fn issuer(identity: &Identity) -> Result<(Issuer, Resource), String> {
    let needs = |key: &str| format!("[identity] kind = \"oidc\" needs `{key}`");
    let url = identity.issuer.as_deref().ok_or_else(|| needs("issuer"))?;
    let audience = identity.audience.as_deref().ok_or_else(|| needs("audience"))?;
    let resource = Resource::parse(audience).map_err(|error| format!("[identity] audience: {error}"))?;
    let tenant = |text: &String| TenantId::parse(text).map_err(|error| format!("[identity] tenants: {error}"));
    let from = match &identity.tenant_claim {
        None => TenantFrom::Fixed(tenant(&identity.tenant)?),
        Some(name) if identity.tenants.is_empty() => TenantFrom::AnyIn(name.clone()),
        Some(name) => {
            let tenants = identity.tenants.iter().map(tenant).collect::<Result<_, _>>()?;
            TenantFrom::Claim { name: name.clone(), tenants }
        }
    };
    let said = |error: refmon_identity::token::IssuerError| match std::error::Error::source(&error) {
        Some(cause) => format!("[identity] {error}: {cause}"),
        None => format!("[identity] {error}"),
    };
    let mut issuer = Issuer::new(url, resource.clone(), from).map_err(said)?;
    if !identity.algorithms.is_empty() {
        let known = |text: &String| {
            Algorithm::parse(text)
                .ok_or_else(|| format!("[identity] algorithms: `{text}` is not one of RS256, PS256, ES256, EdDSA"))
        };
        issuer =
            issuer.with_algorithms(identity.algorithms.iter().map(known).collect::<Result<_, _>>()?).map_err(said)?;
    }
    if let Some(seconds) = identity.leeway_seconds {
        issuer = issuer.with_leeway_seconds(seconds).map_err(said)?;
    }
    if let Some(claim) = &identity.user_claim {
        issuer = issuer.with_user(claim).map_err(said)?;
    }
    if let Some(claim) = &identity.agent_claim {
        issuer = issuer.with_agent(AgentFrom::Claim(claim.clone())).map_err(said)?;
    }
    if let Some(claim) = &identity.scope_claim {
        issuer = issuer.with_scopes(ScopesFrom::Claim(claim.clone())).map_err(said)?;
    }
    let issuer = issuer.with_required_claims(identity.required_claims.clone()).map_err(said)?;
    Ok((issuer, resource))
}

/// The gateway's client for public documents, as the identity crate's port.
#[derive(Debug)]
struct Fetcher(Documents);

impl Fetch for Fetcher {
    fn get<'a>(
        &'a self,
        url: &'a url::Url,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<Vec<u8>, FetchError>> + Send + 'a>> {
        Box::pin(async move {
            // The operator named the issuer, and the identity crate lets plain HTTP be on loopback only.
            let found = self.0.get(url.as_str(), Reachable::Anywhere).await;
            found.map_err(|source| FetchError::Unavailable { source: Box::new(source) })?.ok_or(FetchError::Absent)
        })
    }
}
