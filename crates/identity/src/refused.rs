//! A refusal: one of three words for the client, the exact reason for the operator.
//!
//! INVARIANT: which check failed is told to the operator only. A client that learns whether a signature, an audience
//! or an expiry was wrong can search for what is right.
//!
//! INVARIANT: no variant holds a byte of a credential. Names in it are the operator's own or constants.

use std::fmt;
use std::sync::Arc;

use refmon_core::ids::Scope;
use refmon_core::json::Malformed;

use crate::api_key::KeyFileError;
use crate::fetch::FetchError;
use crate::resource::{AddressError, Resource};

/// All that a client learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outward {
    /// No credential was presented.
    Missing,
    /// A credential was presented, and is not accepted.
    Invalid,
    /// The caller is known, but holds too few scopes.
    Insufficient,
}

/// Why a credential was refused, for the operator's log.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Why {
    /// There is no `Authorization` header.
    #[error("no credential was presented")]
    NoCredential,
    /// There are several `Authorization` headers.
    #[error("the request has more than one `Authorization` header")]
    SeveralCredentials,
    /// The header is not `Bearer`, one space and a credential.
    #[error("the `Authorization` header is not `Bearer`, one space and a credential")]
    Scheme,
    /// The credential is too long.
    #[error("the credential is longer than {} bytes", crate::limits::CREDENTIAL_BYTES_MAX)]
    TooLong,
    /// Credentials of this kind are not configured.
    #[error("credentials of this kind are not configured; issue an API key or name an issuer")]
    NotConfigured,
    /// The caller lacks scopes.
    #[error("the caller lacks scopes")]
    Scopes(Vec<Scope>),
    /// The token is not three parts of unpadded base64url.
    #[error("the token is not a compact JWS (RFC 7515)")]
    Compact,
    /// Header or claims have no single reading.
    #[error("the token's {part} has no single reading")]
    Malformed {
        /// Which part.
        part: &'static str,
        /// What is wrong with it.
        source: Malformed,
    },
    /// The token's header has a member that must not be there, or not like this.
    #[error("the token's header member `{0}` is not acceptable")]
    Header(&'static str),
    /// The algorithm is not one of the issuer's.
    #[error("the token's algorithm is not on the issuer's list")]
    Algorithm,
    /// No configured issuer has this name.
    #[error("the token's issuer is not configured")]
    Issuer,
    /// The issuer has no key, or several, that the token may have been signed with.
    #[error("the issuer has no single key that fits the token's `kid` and `alg`")]
    Key,
    /// The signature does not fit.
    #[error("the token's signature does not fit")]
    Signature,
    /// A claim is absent or not acceptable.
    #[error("the token's claim `{0}` is absent or not acceptable")]
    Claim(Arc<str>),
    /// The token is no longer valid.
    #[error("the token has expired")]
    TokenExpired,
    /// The token is not valid yet.
    #[error("the token is not valid yet; compare the clocks if it should be")]
    NotYet,
    /// The token is bound to a key of its holder (RFC 7800), whose possession a bearer does not prove.
    #[error("the token is bound to a key of its holder; let the issuer make bearer tokens for this resource")]
    Bound,
    /// The token says who logged in (OpenID Connect), not who may come in.
    #[error("the token is an ID token; let the client send the access token")]
    IdToken,
    /// The issuer's keys cannot be had.
    #[error("the issuer's keys cannot be had")]
    Keys(#[source] Arc<DocumentError>),
    /// The certificate has no URI among its names, or several.
    #[error("the client certificate does not have exactly one URI among its subject alternative names")]
    CertificateNames,
    /// The certificate is nobody's.
    #[error("the client certificate is in order, but no `[[identity.certificate]]` has its URI")]
    CertificateUnmapped,
    /// The API key does not have its form.
    #[error("the API key is malformed")]
    ApiKeyForm,
    /// No API key has this identifier.
    #[error("the API key is unknown")]
    ApiKeyUnknown,
    /// The secret part of the API key is wrong.
    #[error("the API key's secret is wrong")]
    ApiKeySecret,
    /// The API key was revoked.
    #[error("the API key was revoked")]
    ApiKeyRevoked,
    /// The API key has expired.
    #[error("the API key has expired")]
    ApiKeyExpired,
    /// The file of API keys cannot be read, so every API key is refused.
    #[error("the file of API keys cannot be used; every API key is refused until it is repaired")]
    ApiKeyFile(#[source] Arc<KeyFileError>),
}

/// A document of an issuer that could not be had or believed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// It could not be fetched.
    #[error("the issuer's {document} cannot be fetched")]
    Fetch {
        /// Which document.
        document: &'static str,
        /// Why.
        source: FetchError,
    },
    /// It has no single reading.
    #[error("the issuer's {document} has no single reading")]
    Malformed {
        /// Which document.
        document: &'static str,
        /// What is wrong with it.
        source: Malformed,
    },
    /// It does not have its members.
    #[error("the issuer's {document} lacks `{member}`, or it has the wrong type")]
    Member {
        /// Which document.
        document: &'static str,
        /// Which member.
        member: &'static str,
    },
    /// The metadata are another issuer's.
    #[error("the issuer's metadata name another issuer; write the issuer's URL exactly as they do")]
    OtherIssuer,
    /// The keys are at an address that is not trusted.
    #[error("the issuer's metadata point to keys at an address that is not trusted")]
    Address(#[source] AddressError),
    /// There are too many keys.
    #[error("the issuer has more than {} keys", crate::limits::ISSUER_KEYS_MAX)]
    TooManyKeys,
    /// The keys are too old, and the last attempt to fetch them was only just made.
    #[error("the last attempt to fetch the issuer's keys failed; the next is made within 30 seconds")]
    Pause,
}

/// A credential that was refused.
#[derive(Debug, Clone)]
pub struct Refused {
    why: Why,
}

impl Refused {
    /// The caller lacks these scopes. For the door that knows which are needed.
    #[must_use]
    pub const fn insufficient(needed: Vec<Scope>) -> Self {
        Self { why: Why::Scopes(needed) }
    }

    /// What the client learns.
    #[must_use]
    pub const fn outward(&self) -> Outward {
        match self.why {
            Why::NoCredential => Outward::Missing,
            Why::Scopes(_) => Outward::Insufficient,
            _ => Outward::Invalid,
        }
    }

    /// The exact reason, for the operator's log only.
    #[must_use]
    pub const fn why(&self) -> &Why {
        &self.why
    }

    /// The HTTP status (RFC 6750, section 3.1).
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self.outward() {
            Outward::Missing | Outward::Invalid => 401,
            Outward::Insufficient => 403,
        }
    }

    /// The value of the `WWW-Authenticate` header (RFC 6750, section 3; RFC 9728, section 5.1). Without a resource the
    /// client is not sent to any issuer: only API keys are accepted.
    ///
    /// Nothing that was presented is repeated in it, so that nobody can write headers of ours.
    #[must_use]
    pub fn www_authenticate(&self, resource: Option<&Resource>) -> String {
        let mut value = String::from("Bearer realm=\"refmon\"");
        if let Some(resource) = resource {
            value.push_str(", resource_metadata=\"");
            value.push_str(resource.metadata_url().as_str());
            value.push('"');
        }
        match &self.why {
            // RFC 6750, section 3.1: a request without a credential is told no error.
            Why::NoCredential => {}
            Why::Scopes(needed) => {
                let needed: Vec<&str> = needed.iter().map(Scope::as_str).collect();
                // Scopes have neither quotes nor backslashes.
                value.push_str(&format!(", error=\"insufficient_scope\", scope=\"{}\"", needed.join(" ")));
            }
            _ => value.push_str(", error=\"invalid_token\""),
        }
        value
    }
}

impl From<Why> for Refused {
    fn from(why: Why) -> Self {
        Self { why }
    }
}

/// Prints what the client learns.
impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.outward() {
            Outward::Missing => "a credential is missing; send `Authorization: Bearer`",
            Outward::Invalid => "the credential is not accepted; get a new one",
            Outward::Insufficient => "the credential has too few scopes; ask for one with more",
        })
    }
}

// The reason is not the `source()`: a chain is printed whole by whoever shows errors to clients.
impl std::error::Error for Refused {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_learns_one_of_three_words() {
        let resource = Resource::parse("https://r.example/mcp").unwrap();
        let metadata = "resource_metadata=\"https://r.example/.well-known/oauth-protected-resource/mcp\"";
        let missing = Refused::from(Why::NoCredential);
        assert_eq!(missing.www_authenticate(Some(&resource)), format!("Bearer realm=\"refmon\", {metadata}"));
        assert_eq!(missing.status(), 401);
        let whys =
            [Why::Signature, Why::TokenExpired, Why::Key, Why::Issuer, Why::ApiKeyRevoked, Why::Claim("sub".into())];
        for why in whys {
            let refused = Refused::from(why);
            let expected = format!("Bearer realm=\"refmon\", {metadata}, error=\"invalid_token\"");
            assert_eq!(refused.www_authenticate(Some(&resource)), expected);
            assert_eq!(refused.to_string(), Refused::from(Why::Compact).to_string());
            assert_eq!((refused.outward(), refused.status()), (Outward::Invalid, 401));
        }
        assert_eq!(
            Refused::from(Why::ApiKeyForm).www_authenticate(None),
            "Bearer realm=\"refmon\", error=\"invalid_token\""
        );
    }

    #[test]
    fn lacking_scopes_are_named() {
        let scopes = ["a:read", "b"].map(|scope| Scope::parse(scope).unwrap()).to_vec();
        let refused = Refused::insufficient(scopes);
        let value = "Bearer realm=\"refmon\", error=\"insufficient_scope\", scope=\"a:read b\"";
        assert_eq!((refused.www_authenticate(None).as_str(), refused.status()), (value, 403));
    }
}
