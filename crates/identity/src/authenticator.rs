//! The one door: a request's `Authorization` headers in, a caller or a refusal out.

use std::collections::BTreeSet;
use std::sync::Arc;

use refmon_core::caller::{Caller, IdentityKind};
use refmon_core::ports::Moment;

use crate::api_key::{ApiKeys, PREFIX};
use crate::cache::{Remembered, TokenDigest};
use crate::certificate::Certificates;
use crate::fetch::Fetch;
use crate::limits;
use crate::refused::{Refused, Why};
use crate::token::{Issuer, Verifier, unverified_issuer};

/// The ways in that the operator has configured.
#[derive(Debug)]
pub struct Authenticator {
    local: Option<Arc<Caller>>,
    keys: Option<ApiKeys>,
    verifiers: Vec<Verifier>,
    certificates: Option<Certificates>,
    remembered: Remembered,
}

/// Ways in that do not go together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// There is no way in.
    #[error("nobody could be authenticated; configure a local caller, API keys or an issuer")]
    NoWayIn,
    /// The local caller was authenticated by something else.
    #[error("the caller without a credential must be the local one; make it with `Caller::local`")]
    NotLocal,
    /// An issuer is there twice.
    #[error("the issuer `{0}` is configured twice; keep one of them")]
    SameIssuer(String),
    /// One of several issuers may speak for any tenant.
    #[error("the issuer `{0}` may speak for any tenant, beside other issuers; list its tenants")]
    AnyTenant(String),
    /// A certificate's name is not a URI.
    #[error("`{0}` is not a URI as certificates have them among their names, such as `spiffe://example.org/agent`")]
    NotAUri(String),
    /// A certificate is there twice.
    #[error("the certificate name `{0}` is mapped twice; keep one of them")]
    SameCertificate(String),
    /// Two issuers may speak for the same tenant, and so for each other's users.
    #[error("the issuer `{issuer}` may speak for the tenant `{tenant}` of another issuer; let one of them have it")]
    SameTenant {
        /// The second of the two.
        issuer: String,
        /// The tenant.
        tenant: String,
    },
}

impl Authenticator {
    /// Puts the ways in together. `local` is the caller of requests without a credential: only for a door that nobody
    /// but the person at this machine can reach.
    ///
    /// # Errors
    /// [`SetupError`] if there is no way in, or if an issuer could speak for another one's tenants: the same user name
    /// from two issuers would be one person.
    pub fn new(
        local: Option<Caller>,
        keys: Option<ApiKeys>,
        issuers: Vec<Issuer>,
        fetch: &Arc<dyn Fetch>,
    ) -> Result<Self, SetupError> {
        if local.is_none() && keys.is_none() && issuers.is_empty() {
            return Err(SetupError::NoWayIn);
        }
        if local.as_ref().is_some_and(|local| local.kind() != IdentityKind::Local) {
            return Err(SetupError::NotLocal);
        }
        apart(&issuers)?;
        let verifiers = issuers.into_iter().map(|issuer| Verifier::new(issuer, Arc::clone(fetch))).collect();
        Ok(Self { local: local.map(Arc::new), keys, verifiers, certificates: None, remembered: Remembered::default() })
    }

    /// A door at which a client certificate is the one credential.
    #[must_use]
    pub fn of_certificates(certificates: Certificates) -> Self {
        let (certificates, remembered) = (Some(certificates), Remembered::default());
        Self { local: None, keys: None, verifiers: Vec::new(), certificates, remembered }
    }

    /// Authenticates a request that came over a connection with a verified client certificate, by the URIs among its
    /// names. A second credential in the request is one too many: nobody could say which of them counts.
    ///
    /// # Errors
    /// [`Refused`] unless certificates are configured and exactly this one is mapped.
    pub fn by_certificate(&self, uris: &[String], authorization: &[&[u8]]) -> Result<Arc<Caller>, Refused> {
        let certificates = self.certificates.as_ref().ok_or(Why::NotConfigured)?;
        if authorization.is_empty() { certificates.caller(uris) } else { Err(Why::SeveralCredentials.into()) }
    }

    /// Authenticates a request by all values of its `Authorization` headers.
    ///
    /// Without a value the local caller is meant, if there is one. With a value that value decides, whatever else
    /// is configured. The file of API keys is looked at on each use, so this may wait for the disk.
    ///
    /// # Errors
    /// [`Refused`] for everything but exactly one credential that is in order.
    pub async fn authenticate(&self, authorization: &[&[u8]], now: Moment) -> Result<Arc<Caller>, Refused> {
        let credential = match authorization {
            [] => return self.local.as_ref().map(Arc::clone).ok_or_else(|| Why::NoCredential.into()),
            [value] => bearer(value)?,
            _ => return Err(Why::SeveralCredentials.into()),
        };
        // No token begins like a key: its header would have to be an object, and `refmon_` does not decode to a brace.
        if credential.starts_with(PREFIX) {
            let keys = self.keys.as_ref().ok_or(Why::NotConfigured)?;
            return keys.authenticate(credential, now).map(Arc::new);
        }
        self.by_token(credential, now).await
    }

    /// The issuers whose tokens are accepted, for the metadata of the resource.
    pub fn issuers(&self) -> impl Iterator<Item = &Issuer> {
        self.verifiers.iter().map(Verifier::issuer)
    }

    /// The API keys, for whoever lists, issues and revokes them.
    #[must_use]
    pub const fn keys(&self) -> Option<&ApiKeys> {
        self.keys.as_ref()
    }

    async fn by_token(&self, token: &str, now: Moment) -> Result<Arc<Caller>, Refused> {
        if self.verifiers.is_empty() {
            return Err(Why::NotConfigured.into());
        }
        let digest = TokenDigest::of(token);
        let generation = |index: usize| self.verifiers.get(index).map(|verifier| verifier.generation(now));
        if let Some(caller) = self.remembered.find(&digest, now, generation) {
            return Ok(caller);
        }
        let issuer = unverified_issuer(token)?;
        let mut verifiers = self.verifiers.iter().enumerate();
        let (index, verifier) =
            verifiers.find(|(_, verifier)| verifier.issuer().as_str() == issuer).ok_or(Why::Issuer)?;
        let verified = verifier.verify(token, now).await?;
        Ok(self.remembered.keep(digest, index, verified, now))
    }

    #[cfg(test)]
    pub(crate) fn remembered(&self) -> usize {
        self.remembered.len()
    }
}

/// Cuts a header's value: the scheme in any case (RFC 9110, section 11.1), one space, and a credential of visible
/// ASCII. RFC 6750 allows more spaces; one spelling is enough.
fn bearer(value: &[u8]) -> Result<&str, Why> {
    if value.len() > limits::CREDENTIAL_BYTES_MAX.saturating_add("Bearer ".len()) {
        return Err(Why::TooLong);
    }
    let text = str::from_utf8(value).map_err(|_| Why::Scheme)?;
    let (scheme, credential) = text.split_once(' ').ok_or(Why::Scheme)?;
    let plain = !credential.is_empty() && credential.bytes().all(|byte| byte.is_ascii_graphic());
    if plain && scheme.eq_ignore_ascii_case("Bearer") { Ok(credential) } else { Err(Why::Scheme) }
}

/// Of several issuers, each has its own tenants.
fn apart(issuers: &[Issuer]) -> Result<(), SetupError> {
    let mut names = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for issuer in issuers {
        let name = issuer.as_str().to_owned();
        if !names.insert(issuer.as_str()) {
            return Err(SetupError::SameIssuer(name));
        }
        let Some(tenants) = issuer.tenants() else {
            if issuers.len() > 1 {
                return Err(SetupError::AnyTenant(name));
            }
            continue;
        };
        let own: BTreeSet<_> = tenants.iter().collect();
        if let Some(tenant) = own.iter().find(|tenant| taken.contains(**tenant)) {
            return Err(SetupError::SameTenant { issuer: name, tenant: tenant.to_string() });
        }
        taken.extend(own);
    }
    Ok(())
}
