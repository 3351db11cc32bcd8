//! Who `refmon serve` lets in: the configuration as an [`Authenticator`], behind the gateway's port.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use refmon_core::caller::{Caller, IdentityKind as Kind};
use refmon_core::ids::{Scope, TenantId};
use refmon_core::ports::Clock;
use refmon_core::secret::Secret;
use refmon_core::untrusted::Shown;
use refmon_gateway::http::{Authenticate, Authenticated, Peer, Unauthenticated};
use refmon_gateway::link::{Documents, Reachable};
use refmon_gateway::session::Observer;
use refmon_identity::fetch::{Fetch, FetchError};
use refmon_identity::resource::Resource;
use refmon_identity::token::{AgentFrom, Algorithm, Issuer, ScopesFrom, TenantFrom};
use refmon_identity::{Authenticator, Roles};

use crate::config::ConfigError;
use crate::home::Home;
use crate::identity::{Identity, IdentityKind, IssuerTable, Issuers};

/// Headers by which a reverse proxy says that a request is somebody else's.
const FORWARDED: &[&str] = &[
    "forwarded",
    "via",
    "x-real-ip",
    "client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "fastly-client-ip",
    "fly-client-ip",
    "x-envoy-external-address",
    "x-original-forwarded-for",
    "x-original-host",
    "tailscale-user-login",
];
/// How those headers begin of which proxies have their own.
const FORWARDED_FAMILY: &str = "x-forwarded";

/// The entrance of `refmon serve`.
pub(crate) struct Entrance {
    authenticator: Authenticator,
    clock: Arc<dyn Clock>,
    resource: Option<Resource>,
    scopes: Vec<Scope>,
    roles: Arc<Roles>,
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
        if listen.tls.is_some() && listen.behind_tls {
            return Err(wrong("[listen] has both `tls` and `behind_tls`; keep the one that is so".to_owned()).into());
        }
        let client_ca = listen.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
        if client_ca != (identity.kind == IdentityKind::Certificates) {
            return Err(wrong(
                "[listen] tls.client_ca and [identity] kind = \"certificates\" go together: the certificates of those authorities are the one credential".to_owned(),
            )
            .into());
        }
        if !listen.http.ip().is_loopback() && !listen.behind_tls && listen.tls.is_none() {
            return Err(wrong(format!(
                "[listen] http = \"{}\" would send credentials in the clear; write `tls = {{ certificate = …, key = … }}`, put a reverse proxy with TLS in front and write `behind_tls = true`, or listen at 127.0.0.1",
                listen.http
            ))
            .into());
        }
        let roles = Arc::new(home.config.roles.parse().map_err(wrong)?);
        let (issuers, resource) = match identity.kind {
            IdentityKind::Oidc => {
                let (issuers, resource) = issuers(identity, &roles).map_err(wrong)?;
                (issuers, Some(resource))
            }
            IdentityKind::Local | IdentityKind::Keys | IdentityKind::Certificates => {
                if !matches!(identity.issuer, Issuers::None) || identity.audience.is_some() {
                    return Err(
                        wrong("[identity] `issuer` and `audience` belong to `kind = \"oidc\"`".to_owned()).into()
                    );
                }
                (Vec::new(), None)
            }
        };
        let local: Option<Caller> = if identity.kind == IdentityKind::Local { Some(home.caller()?) } else { None };
        let whom = match &local {
            None if client_ca => format!("client certificates, {} of them mapped", identity.certificates.len()),
            Some(caller) => format!("this machine as {} (tenant {}), and API keys", caller.user(), caller.tenant()),
            None if issuers.is_empty() => "API keys (`refmon key add`)".to_owned(),
            None => {
                let names: Vec<&str> = issuers.iter().map(Issuer::as_str).collect();
                format!("tokens of {}, and API keys", names.join(", "))
            }
        };
        let fetch: Arc<dyn Fetch> = Arc::new(Fetcher(Documents::new().context("certificates")?));
        let authenticator = if client_ca {
            Authenticator::of_certificates(identity.certificates(&roles).map_err(wrong)?)
        } else {
            Authenticator::new(local, Some(home.api_keys()?.with_roles(Arc::clone(&roles))), issuers, &fetch)
                .map_err(|error| wrong(format!("[identity] {error}")))?
        };
        Ok(Self { authenticator, clock, resource, scopes, roles, observer, told: AtomicU64::new(0), whom })
    }

    /// Who is let in, for people.
    pub(crate) fn whom(&self) -> &str {
        &self.whom
    }

    /// The caller of an API key that a person has pasted into a page. No other credential is one there, and without one
    /// nobody is the person at the machine.
    pub(crate) async fn by_key(&self, key: &str) -> Option<Arc<Caller>> {
        let value = Secret::new(format!("Bearer {key}"));
        let found = self.authenticator.authenticate(&[value.expose().as_bytes()], self.clock.now()).await;
        self.tell_unknown_roles();
        match found {
            Ok(caller) => Some(caller).filter(|caller| caller.kind() == Kind::ApiKey),
            Err(refused) => {
                self.tell(&format!("at the console: {}", refused.why()));
                None
            }
        }
    }

    /// Says which roles credentials have named that nobody has defined: each once.
    fn tell_unknown_roles(&self) {
        for name in self.roles.newly_unknown() {
            let name = Shown(&name);
            self.observer.notice(&format!(
                "a credential names the role `{name}`, which [roles] does not define: it grants nothing"
            ));
        }
    }

    fn tell(&self, why: &str) {
        let second = self.clock.now().unix_us / 1_000_000;
        if self.told.swap(second, Ordering::Relaxed) != second {
            self.observer.notice(&format!("a request was turned away: {why}"));
        }
    }
}

impl Authenticate for Entrance {
    fn authenticate<'a>(&'a self, headers: &'a HeaderMap, peer: &'a Peer) -> Authenticated<'a> {
        Box::pin(async move {
            let values: Vec<&[u8]> = headers.get_all(AUTHORIZATION).iter().map(http::HeaderValue::as_bytes).collect();
            let found = match peer.certificate() {
                Some(uris) => self.authenticator.by_certificate(uris, &values),
                None => self.authenticator.authenticate(&values, self.clock.now()).await,
            };
            self.tell_unknown_roles();
            let refused = match found {
                // A reverse proxy on this machine makes everybody's requests its own; they are not this person's.
                Ok(caller)
                    if caller.kind() == Kind::Local
                        && values.is_empty()
                        && (!peer.is_loopback() || forwarded(headers)) =>
                {
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
    headers.keys().any(|name| name.as_str().starts_with(FORWARDED_FAMILY) || FORWARDED.contains(&name.as_str()))
}

/// The issuers of the configuration, and what their tokens must be made out to.
fn issuers(identity: &Identity, roles: &Arc<Roles>) -> Result<(Vec<Issuer>, Resource), String> {
    let needs = |key: &str| format!("[identity] kind = \"oidc\" needs `{key}`");
    let tables = identity.issuers()?;
    if tables.is_empty() {
        return Err(needs("issuer"));
    }
    let audience = identity.audience.as_deref().ok_or_else(|| needs("audience"))?;
    let resource = Resource::parse(audience).map_err(|error| format!("[identity] audience: {error}"))?;
    let several = tables.len() > 1;
    let made = tables.iter().map(|table| {
        let place = |what| {
            if several { format!("[[identity.issuer]] {}: {what}", table.url) } else { format!("[identity] {what}") }
        };
        issuer(table, &resource, roles).map_err(place)
    });
    Ok((made.collect::<Result<_, _>>()?, resource))
}

fn issuer(table: &IssuerTable, resource: &Resource, roles: &Arc<Roles>) -> Result<Issuer, String> {
    let tenant = |text: &String| TenantId::parse(text).map_err(|error| format!("tenants: {error}"));
    let from = match (&table.tenant_claim, &table.tenant) {
        (None, Some(fixed)) => TenantFrom::Fixed(tenant(fixed)?),
        (None, None) => return Err("it has neither `tenant` nor `tenant_claim`".to_owned()),
        (Some(name), _) if table.tenants.is_empty() => TenantFrom::AnyIn(name.clone()),
        (Some(name), _) => {
            let tenants = table.tenants.iter().map(tenant).collect::<Result<_, _>>()?;
            TenantFrom::Claim { name: name.clone(), tenants }
        }
    };
    let said = |error: refmon_identity::token::IssuerError| match std::error::Error::source(&error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    };
    let mut issuer = Issuer::new(&table.url, resource.clone(), from).map_err(said)?;
    if !table.algorithms.is_empty() {
        let known = |text: &String| {
            Algorithm::parse(text)
                .ok_or_else(|| format!("algorithms: `{text}` is not one of RS256, PS256, ES256, EdDSA"))
        };
        issuer = issuer.with_algorithms(table.algorithms.iter().map(known).collect::<Result<_, _>>()?).map_err(said)?;
    }
    if let Some(seconds) = table.leeway_seconds {
        issuer = issuer.with_leeway_seconds(seconds).map_err(said)?;
    }
    if let Some(claim) = &table.user_claim {
        issuer = issuer.with_user(claim).map_err(said)?;
    }
    if let Some(claim) = &table.agent_claim {
        issuer = issuer.with_agent(AgentFrom::Claim(claim.clone())).map_err(said)?;
    }
    if let Some(claim) = &table.scope_claim {
        issuer = issuer.with_scopes(ScopesFrom::Claim(claim.clone())).map_err(said)?;
    }
    if let Some(claim) = &table.role_claim {
        issuer = issuer.with_roles(claim, Arc::clone(roles)).map_err(said)?;
    }
    issuer.with_required_claims(table.required_claims.clone()).map_err(said)
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
