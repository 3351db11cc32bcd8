//! An issuer's public keys (RFC 7517).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use refmon_core::json::{Json, Strictness};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey,
};

use crate::limits;
use crate::refused::{DocumentError, Why};

use super::Algorithm;
use super::compact::{Header, fits};

const DOCUMENT: &str = "key set";
const RSA_BITS_MIN: usize = 2_048;

/// One key that can verify.
#[derive(Debug)]
pub(super) struct Key {
    id: Option<String>,
    /// The one algorithm that the issuer wants it used with, if it says so.
    algorithm: Option<Algorithm>,
    material: Material,
}

#[derive(Debug)]
enum Material {
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    P256(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// The keys of one issuer, as of one fetch.
#[derive(Debug)]
pub(super) struct KeySet(Vec<Key>);

impl KeySet {
    /// Parses a key set. What cannot verify a token is left out, not an error, so that an issuer can add kinds of keys
    /// that are unknown here: shared secrets, short RSA keys, other curves, keys for encryption.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        let json = Json::parse_with(bytes, Strictness::Data)
            .map_err(|source| DocumentError::Malformed { document: DOCUMENT, source })?;
        let keys = json.member("keys").and_then(Json::as_list);
        let keys = keys.ok_or(DocumentError::Member { document: DOCUMENT, member: "keys" })?;
        if keys.len() > limits::ISSUER_KEYS_MAX {
            return Err(DocumentError::TooManyKeys);
        }
        Ok(Self(keys.iter().filter_map(Key::parse).collect()))
    }

    /// The single key that a token of this header can have been signed with.
    pub(super) fn find(&self, header: &Header) -> Option<&Key> {
        let mut fitting = self.0.iter().filter(|key| key.fits(header));
        let first = fitting.next()?;
        // Two keys under one name, or several and no name: which one was meant is not for us to try out.
        if fitting.next().is_some() { None } else { Some(first) }
    }
}

impl Key {
    fn parse(json: &Json<'_>) -> Option<Self> {
        let text = |name: &str| json.member(name).map(|value| value.as_text().ok_or(()));
        let optional = |name: &str| text(name).transpose().ok();
        if optional("use")?.is_some_and(|usage| usage != "sig") || json.member("d").is_some() {
            return None;
        }
        if let Some(operations) = json.member("key_ops") {
            operations.as_list()?.iter().find(|operation| operation.as_text() == Some("verify"))?;
        }
        let algorithm = match optional("alg")? {
            None => None,
            Some(name) => Some(Algorithm::parse(name)?),
        };
        let id = match optional("kid")? {
            None => None,
            Some(id) => Some(id.to_owned()).filter(|id| fits(id)),
        };
        let bytes = |name: &str| URL_SAFE_NO_PAD.decode(json.member(name)?.as_text()?).ok();
        let curve = optional("crv")?;
        let material = match (optional("kty")??, curve) {
            ("RSA", _) => Material::Rsa {
                modulus: bytes("n").filter(|modulus| bits(modulus) >= RSA_BITS_MIN)?,
                exponent: bytes("e")?,
            },
            ("EC", Some("P-256")) => Material::P256(point(&bytes("x")?, &bytes("y")?)?),
            ("OKP", Some("Ed25519")) => Material::Ed25519(bytes("x").filter(|x| x.len() == 32)?),
            _ => return None,
        };
        Some(Self { id, algorithm, material })
    }

    fn fits(&self, header: &Header) -> bool {
        let named = header.key_id.is_none() || header.key_id == self.id;
        let meant = self.algorithm.is_none_or(|algorithm| algorithm == header.algorithm);
        let able = match (header.algorithm, &self.material) {
            (Algorithm::Rs256 | Algorithm::Ps256, Material::Rsa { .. })
            | (Algorithm::Es256, Material::P256(_))
            | (Algorithm::EdDsa, Material::Ed25519(_)) => true,
            (Algorithm::Rs256 | Algorithm::Ps256, Material::P256(_) | Material::Ed25519(_))
            | (Algorithm::Es256, Material::Rsa { .. } | Material::Ed25519(_))
            | (Algorithm::EdDsa, Material::Rsa { .. } | Material::P256(_)) => false,
        };
        named && meant && able
    }

    /// Verifies a signature. A key of another kind than the algorithm's verifies nothing.
    pub(super) fn verify(&self, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> Result<(), Why> {
        let verified = match (algorithm, &self.material) {
            (Algorithm::Rs256, Material::Rsa { modulus, exponent }) => {
                RsaPublicKeyComponents { n: modulus, e: exponent }.verify(
                    &RSA_PKCS1_2048_8192_SHA256,
                    signed,
                    signature,
                )
            }
            (Algorithm::Ps256, Material::Rsa { modulus, exponent }) => {
                RsaPublicKeyComponents { n: modulus, e: exponent }.verify(&RSA_PSS_2048_8192_SHA256, signed, signature)
            }
            (Algorithm::Es256, Material::P256(point)) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed, signature)
            }
            (Algorithm::EdDsa, Material::Ed25519(point)) => {
                UnparsedPublicKey::new(&ED25519, point).verify(signed, signature)
            }
            (Algorithm::Rs256 | Algorithm::Ps256 | Algorithm::Es256 | Algorithm::EdDsa, _) => return Err(Why::Key),
        };
        verified.map_err(|_| Why::Signature)
    }
}

/// An uncompressed point (SEC 1, section 2.3.3). Whether it is on the curve is checked where it is used.
fn point(x: &[u8], y: &[u8]) -> Option<Vec<u8>> {
    let whole = x.len() == 32 && y.len() == 32;
    whole.then(|| [&[4], x, y].concat())
}

fn bits(number: &[u8]) -> usize {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let Some(first) = number.get(zeros) else { return 0 };
    let spare = usize::try_from(first.leading_zeros()).unwrap_or(8);
    (number.len().saturating_sub(zeros)).saturating_mul(8).saturating_sub(spare)
}
