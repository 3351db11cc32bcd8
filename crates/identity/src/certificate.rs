//! Callers by the names in their client certificates.
//!
//! The door has verified the certificate: its chain, its time, and that its holder has the key. What is left is whose it
//! is, and that is what the operator says: one URI in its subject alternative names (RFC 5280, section 4.2.1.6; SPIFFE
//! X509-SVID, section 2), compared byte for byte, is one caller. Neither the subject nor any other name counts.
//!
//! INVARIANT: a certificate that the operator has not mapped is nobody's, whoever has signed it.

use std::collections::BTreeMap;
use std::sync::Arc;

use refmon_core::caller::{Caller, IdentityKind};
use refmon_core::ids::{AgentId, Scope, TenantId, UserId};
use url::Url;

use crate::authenticator::SetupError;
use crate::refused::{Refused, Why};

/// Bytes of a URI in a certificate.
const URI_BYTES_MAX: usize = 2_048;

/// A certificate that the operator knows, and who holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapped {
    /// The URI among the certificate's subject alternative names.
    pub san: String,
    /// The tenant.
    pub tenant: TenantId,
    /// The person who answers for what the holder does.
    pub user: UserId,
    /// The agent that holds the certificate.
    pub agent: AgentId,
    /// The scopes.
    pub scopes: Vec<Scope>,
}

/// The certificates that the operator knows.
#[derive(Debug, Default)]
pub struct Certificates(BTreeMap<Box<str>, Arc<Caller>>);

impl Certificates {
    /// Takes the mapped certificates.
    ///
    /// # Errors
    /// [`SetupError`] if there is none, a name is not a URI, or a name is there twice.
    pub fn new(mapped: impl IntoIterator<Item = Mapped>) -> Result<Self, SetupError> {
        let mut callers = BTreeMap::new();
        for Mapped { san, tenant, user, agent, scopes } in mapped {
            let plain = san.bytes().all(|byte| byte.is_ascii_graphic()) && san.len() <= URI_BYTES_MAX;
            if !plain || Url::parse(&san).is_err() {
                return Err(SetupError::NotAUri(san));
            }
            let caller = Caller::authenticated(IdentityKind::Certificate, tenant, user, agent, scopes);
            if callers.insert(san.clone().into_boxed_str(), Arc::new(caller)).is_some() {
                return Err(SetupError::SameCertificate(san));
            }
        }
        if callers.is_empty() { Err(SetupError::NoWayIn) } else { Ok(Self(callers)) }
    }

    /// The caller of a verified certificate, by all URIs among its subject alternative names. With none or several it
    /// does not say who holds it.
    ///
    /// # Errors
    /// [`Refused`] for everything but exactly one URI that is mapped.
    pub fn caller(&self, uris: &[String]) -> Result<Arc<Caller>, Refused> {
        let [uri] = uris else { return Err(Why::CertificateNames.into()) };
        self.0.get(uri.as_str()).map(Arc::clone).ok_or_else(|| Why::CertificateUnmapped.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADA: &str = "spiffe://acme.example/agent/ada";

    fn mapped(san: &str) -> Mapped {
        let (tenant, user) = (TenantId::parse("acme").unwrap(), UserId::parse("ada").unwrap());
        Mapped { san: san.to_owned(), tenant, user, agent: AgentId::parse("ide").unwrap(), scopes: vec![] }
    }

    #[test]
    fn exactly_one_mapped_uri_is_a_caller_and_nothing_else_is() {
        let certificates = Certificates::new([mapped(ADA)]).unwrap();
        let caller = |uris: &[&str]| certificates.caller(&uris.iter().map(ToString::to_string).collect::<Vec<_>>());
        let found = caller(&[ADA]).unwrap();
        assert_eq!((found.kind(), found.user().as_str()), (IdentityKind::Certificate, "ada"));
        for uris in [&[][..], &[ADA, ADA], &[ADA, "spiffe://acme.example/agent/bob"]] {
            assert!(matches!(caller(uris).unwrap_err().why(), Why::CertificateNames), "{uris:?}");
        }
        for uri in [
            "",
            "spiffe://acme.example/agent/Ada",
            "spiffe://acme.example/agent/ada/",
            "SPIFFE://acme.example/agent/ada",
        ] {
            assert!(matches!(caller(&[uri]).unwrap_err().why(), Why::CertificateUnmapped), "{uri}");
        }
    }

    #[test]
    fn a_mapping_that_could_mean_two_callers_or_none_is_refused() {
        assert_eq!(Certificates::new([]).unwrap_err(), SetupError::NoWayIn);
        assert_eq!(Certificates::new([mapped(ADA), mapped(ADA)]).unwrap_err(), SetupError::SameCertificate(ADA.into()));
        for san in ["", "ada", "CN=ada", "spiffe://acme.example/a b", "spiffe://acme.example/\u{e9}"] {
            assert_eq!(Certificates::new([mapped(san)]).unwrap_err(), SetupError::NotAUri(san.into()), "{san}");
        }
    }
}
