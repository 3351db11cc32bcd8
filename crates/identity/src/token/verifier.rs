//! One issuer's tokens: from text to a caller.

use std::sync::Arc;

use refmon_core::caller::Caller;
use refmon_core::json::Json;
use refmon_core::ports::Moment;

use crate::fetch::Fetch;
use crate::refused::Why;

use super::Issuer;
use super::claims::Signed;
use super::compact::Parts;
use super::key::Key;
use super::keyring::KeyRing;

/// A caller, and how long the token says so.
#[derive(Debug)]
pub(crate) struct Verified {
    pub(crate) caller: Caller,
    /// The second from which on the token is refused.
    pub(crate) until_seconds: u64,
    /// The generation of keys that it was verified with.
    pub(crate) generation: u64,
}

/// Verifies the tokens of one issuer.
#[derive(Debug)]
pub(crate) struct Verifier {
    issuer: Arc<Issuer>,
    keys: KeyRing,
}

/// The issuer that a token names. Nothing is verified: it only selects who is to verify.
pub(crate) fn unverified_issuer(token: &str) -> Result<String, Why> {
    let parts = Parts::parse(token)?;
    let claims = parts.claims()?;
    claims.member("iss").and_then(Json::as_text).map(str::to_owned).ok_or_else(|| Why::Claim("iss".into()))
}

impl Verifier {
    pub(crate) fn new(issuer: Issuer, fetch: Arc<dyn Fetch>) -> Self {
        let issuer = Arc::new(issuer);
        Self { keys: KeyRing::new(Arc::clone(&issuer), fetch), issuer }
    }

    pub(crate) fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    pub(crate) fn generation(&self, now: Moment) -> u64 {
        self.keys.generation(now)
    }

    /// Verifies a token: form, header, issuer, key, signature, claims.
    pub(crate) async fn verify(&self, token: &str, now: Moment) -> Result<Verified, Why> {
        let parts = Parts::parse(token)?;
        let header = parts.header()?;
        if !self.issuer.accepts(header.algorithm) {
            return Err(Why::Algorithm);
        }
        let claims = parts.claims()?;
        // The door has selected by it; it is compared here, where the keys are, so that no other door can forget.
        if claims.member("iss").and_then(Json::as_text) != Some(self.issuer.as_str()) {
            return Err(Why::Issuer);
        }
        let (keys, generation) = self.keys.keys_for(&header, now).await?;
        let key: &Key = keys.find(&header).ok_or(Why::Key)?;
        key.verify(header.algorithm, parts.signed, &parts.signature)?;
        let signed = Signed { issuer: &self.issuer, header: &header, claims: &claims };
        let (caller, until_seconds) = signed.caller(now.unix_us / 1_000_000)?;
        Ok(Verified { caller, until_seconds, generation })
    }
}
