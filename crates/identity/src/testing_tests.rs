//! An issuer and its network, for tests: real keys, a web of pages that counts, and time as a number.

use std::collections::HashMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use refmon_core::caller::Caller;
use refmon_core::ports::Moment;
use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};
use url::Url;

use crate::Authenticator;
use crate::fetch::{Fetch, FetchError};
use crate::refused::{Refused, Why};
use crate::resource::Resource;
use crate::token::{Issuer, TenantFrom};

pub(crate) const A: &str = "https://a.example";
pub(crate) const B: &str = "https://b.example/realms/b";
pub(crate) const RESOURCE: &str = "https://refmon.example/mcp";
/// The present, unless a test says otherwise.
pub(crate) const NOW: u64 = 1_800_000_000;

pub(crate) fn at(seconds: u64) -> Moment {
    Moment { unix_us: seconds * 1_000_000, monotonic_ns: (seconds - NOW / 2) * 1_000_000_000 }
}

/// Polls once. What waits for nobody is ready then.
pub(crate) fn run<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the future waits"),
    }
}

pub(crate) fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Pages by address. Counts what is fetched, and can make whoever fetches wait.
#[derive(Debug, Default)]
pub(crate) struct Web {
    pages: Mutex<HashMap<String, Vec<u8>>>,
    fetched: AtomicUsize,
    pub(crate) stalled: AtomicBool,
}

impl Web {
    pub(crate) fn put(&self, url: &str, page: impl Into<Vec<u8>>) {
        self.pages.lock().unwrap().insert(url.to_owned(), page.into());
    }

    pub(crate) fn remove(&self, url: &str) {
        self.pages.lock().unwrap().remove(url);
    }

    pub(crate) fn fetched(&self) -> usize {
        self.fetched.load(Ordering::SeqCst)
    }

    /// An issuer whose keys are these.
    pub(crate) fn issuer(&self, issuer: &str, keys: &[Value]) {
        let metadata = json!({ "issuer": issuer, "jwks_uri": format!("{issuer}/keys") });
        self.put(&format!("{issuer}/.well-known/openid-configuration"), metadata.to_string());
        self.put(&format!("{issuer}/keys"), json!({ "keys": keys }).to_string());
    }
}

impl Fetch for Web {
    fn get<'a>(&'a self, url: &'a Url) -> Pin<Box<dyn Future<Output = Result<Vec<u8>, FetchError>> + Send + 'a>> {
        self.fetched.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            std::future::poll_fn(|_| if self.stalled.load(Ordering::SeqCst) { Poll::Pending } else { Poll::Ready(()) })
                .await;
            self.pages.lock().unwrap().get(url.as_str()).cloned().ok_or(FetchError::Absent)
        })
    }
}

/// An RSA key of 2,048 bits (PKCS #8, DER) that was made for these tests and opens nothing else: `ring` signs with such
/// keys and makes none, and a crate that makes them would change how half of the workspace is compiled.
const RSA: &str = "
    MIIEvgIBADANBgkqhkiG9w0BAQEFAASCBKgwggSkAgEAAoIBAQCRM+0zU4XvcL08mogiflZ5+1JRfPhiSRiPyfQCuwW6lnRn6AQ260uhuSACUg
    oDK4WkLHsSbkTDcgZ2HFuLr8fR3tBEdkAe6k0tH8AheV8oX68vnjqt8NKhFqb+zwHSWNztYwbrcm5FFyZtfXMyYdT8aJT+L6G5eT632lOXqxRS
    jUuStHNVbtCMTkHgx8onCYYRIXdSVhTHS/+PMnw2WY7beYy3bU02Wmz9kU393b/2MHJgYta8gA8Dr1krgrdlNe17kK2DU66qd0D7C21ypm2Bfv
    Z5MUNl2zMGplkZF/1K/t6z7R77E9aHu4eOrijiG//axMX13id2ZcYSgQh6CIbxAgMBAAECggEABDr32IgJ64z/8vrYJ8rTfScEYeBkIil+TemQ
    IE0Yu/0hc8nPnjG04eMaf0bPUgJ3PTdz9+YjiAOcyrjXx/GPvtnqDwEhh4me+5BbdZB9myopWM681VjrT8IDHxTr3ZgQeEbrYVVl7OYYQ7rJkp
    0goVdeY+JLhEXAz2IDoeHudSRZTr2zNRccePE4yU2kQ4F5cA+qtzsZ3ksaNJe9Qxy3KJx113MHDQQLkQ6lKD+eZjmvChYIdjaYjh37AWP8t4yn
    4ywyR31RGZgmQJFFM1NbL08o9+e6GL0b2xSd4SHcAPx5iqxE3Uc3E1tQesjVgvWJl2uS1fzFe92omeWqi9MaKwKBgQDKYEgMhHeLS4Zyy0Nb+j
    AXH83GxGgy/pHZUfHDrv8IvsBeUVuGHHR6zoN4kKOTkecB2lC8mYh2DCfBvsGn4or36S/xb6Sa9+UYnZR/LQMLqzz8xswf8KFDxTCuGee7JuA+
    gk6fV8j640wkEBQUnpm4JOgkd+2gfRTS1xBgJUn//wKBgQC3rW2WJQl8qGVHp1+eDKr0ZsrsVmhlPbtk/84nGEFKbt4bREB3D60nT/EB2VeVWM
    E2BUVZ6heCk4hScz0a8yzSJCCCRkjv2oLujI0YFNsA3it9axaKagXEImBw/CPH05cjPlCTcjWxiFxfKX9xxYI5tvNcW5UZuK6KO7N7r015DwKB
    gQDEWS/uPSPDGS7D96RN++pmtSuwWuUB/O3C3PdlNUcp0/DOUb8r2jXE5NK3yhV62sc3i/pjUc8NQXPdTVeUrH7KUwt6AyjAVh2HiXQHA8P9sV
    FFqxdnMc808n/tmyKy+N/+pezkOoa7rIY2QwdIjix0dhJpN5Zs7I6klZbEwckPPwKBgQCC6XLvzpoCZSs6dMqrpS+7XgBHjhZ+Ag+sHr5aEumG
    GZroKC8iLOQm3s1RmgzYfxfGXt9dBIGZKXnB+iyVJrjNVb5t25ZkjYNAbqCph0PITJEGpOq94G8XqcC/Bpah9+cC0Ykwbfhi/mOH19XjyvfUFt
    dA/m04le6gy4hTIVDAdQKBgAJXQpbcvsj7wuncMlvofYqIjSwAlBLyYgVKQ4OUSef47W39GUe1acJ87+//6CvUDVCcrGlUw7FHXXECOFst3OrE
    yGRfxWGtMU0t0r0/usIrGamaee4hbin4Lvr6fNKHiDTqIUK0leAzMbWX7J6XJozGX7kZvPw8Sl6c/dMFg55w
";

/// A key pair of an issuer.
pub(crate) enum Signer {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(signature::RsaKeyPair),
}

impl Signer {
    pub(crate) fn p256() -> Self {
        let algorithm = &signature::ECDSA_P256_SHA256_FIXED_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).unwrap();
        Self::P256(EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &SystemRandom::new()).unwrap())
    }

    pub(crate) fn ed25519() -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::Ed25519(Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap())
    }

    pub(crate) fn rsa() -> Self {
        let text: String = RSA.split_whitespace().collect();
        let document = ::base64::Engine::decode(&::base64::engine::general_purpose::STANDARD, text).unwrap();
        Self::Rsa(signature::RsaKeyPair::from_pkcs8(&document).unwrap())
    }

    pub(crate) fn algorithm(&self) -> &'static str {
        match self {
            Self::P256(_) => "ES256",
            Self::Ed25519(_) => "EdDSA",
            Self::Rsa(_) => "RS256",
        }
    }

    /// The public key's bytes, as somebody who confuses algorithms would use them.
    pub(crate) fn public(&self) -> Vec<u8> {
        match self {
            Self::P256(pair) => pair.public_key().as_ref().to_vec(),
            Self::Ed25519(pair) => pair.public_key().as_ref().to_vec(),
            Self::Rsa(pair) => pair.public_key().as_ref().to_vec(),
        }
    }

    pub(crate) fn jwk(&self, kid: &str) -> Value {
        let mut jwk = match self {
            Self::P256(pair) => {
                let point = pair.public_key().as_ref();
                json!({ "kty": "EC", "crv": "P-256", "x": base64(&point[1..33]), "y": base64(&point[33..]) })
            }
            Self::Ed25519(pair) => json!({ "kty": "OKP", "crv": "Ed25519", "x": base64(pair.public_key()) }),
            Self::Rsa(pair) => {
                let signature::RsaPublicKeyComponents { n, e } = rsa_components(pair);
                json!({ "kty": "RSA", "n": base64(n), "e": base64(e) })
            }
        };
        jwk["kid"] = kid.into();
        jwk["use"] = "sig".into();
        jwk
    }

    pub(crate) fn sign(&self, signed: &str) -> Vec<u8> {
        match self {
            Self::P256(pair) => pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap().as_ref().to_vec(),
            Self::Ed25519(pair) => pair.sign(signed.as_bytes()).as_ref().to_vec(),
            Self::Rsa(pair) => rsa_signature(pair, &signature::RSA_PKCS1_SHA256, signed),
        }
    }

    /// A token of a header and claims as they are spelled.
    pub(crate) fn raw(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", base64(header), base64(claims));
        format!("{signed}.{}", base64(self.sign(&signed)))
    }

    /// A token of claims, with an ordinary header.
    pub(crate) fn token(&self, kid: &str, claims: &Value) -> String {
        let header = json!({ "alg": self.algorithm(), "kid": kid, "typ": "at+jwt" });
        self.raw(&header.to_string(), &claims.to_string())
    }
}

pub(crate) fn rsa_components(pair: &signature::RsaKeyPair) -> signature::RsaPublicKeyComponents<Vec<u8>> {
    pair.public().into()
}

pub(crate) fn rsa_signature(
    pair: &signature::RsaKeyPair,
    padding: &'static dyn signature::RsaEncoding,
    signed: &str,
) -> Vec<u8> {
    let mut made = vec![0; pair.public().modulus_len()];
    pair.sign(padding, &SystemRandom::new(), signed.as_bytes(), &mut made).unwrap();
    made
}

/// Claims that are in order.
pub(crate) fn claims(issuer: &str) -> Value {
    json!({
        "iss": issuer, "aud": RESOURCE, "exp": NOW + 600, "iat": NOW - 5, "nbf": NOW - 5,
        "sub": "ada", "azp": "ide", "tenant": "acme", "scope": "mail:read mail:send",
    })
}

/// The claims with one of them changed, or taken away with `null`.
pub(crate) fn with(mut claims: Value, name: &str, value: Value) -> Value {
    let members = claims.as_object_mut().unwrap();
    if value.is_null() {
        members.remove(name)
    } else {
        members.insert(name.to_owned(), value)
    };
    claims
}

pub(crate) fn configured(issuer: &str, tenant: TenantFrom) -> Issuer {
    Issuer::new(issuer, Resource::parse(RESOURCE).unwrap(), tenant).unwrap()
}

/// A door that accepts tokens of issuer A, whatever tenant they name.
pub(crate) fn door(web: &Arc<Web>) -> Authenticator {
    let fetch: Arc<dyn Fetch> = Arc::clone(web) as _;
    let issuer = configured(A, TenantFrom::AnyIn("tenant".to_owned()));
    Authenticator::new(None, None, vec![issuer], &fetch).unwrap()
}

/// Presents a token and gives back the caller or the operator's reason.
pub(crate) fn present(door: &Authenticator, token: &str, seconds: u64) -> Result<Arc<Caller>, Why> {
    let value = format!("Bearer {token}");
    let refused = |refused: Refused| refused.why().clone();
    run(door.authenticate(&[value.as_bytes()], at(seconds))).map_err(refused)
}
