//! From bytes to a header and claims with one reading each.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use refmon_core::json::{Json, Strictness};

use crate::limits;
use crate::refused::Why;

use super::Algorithm;

/// The decoded parts of a compact JWS (RFC 7515, section 3.1). Nothing about them is verified.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    /// What the signature is over.
    pub(super) signed: &'a [u8],
    header: Vec<u8>,
    claims: Vec<u8>,
    /// The signature.
    pub(super) signature: Vec<u8>,
}

/// What is used of a header.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) algorithm: Algorithm,
    pub(super) key_id: Option<String>,
    /// The token is declared as an access token: `at+jwt` (RFC 9068, section 2.1).
    pub(super) access_token: bool,
}

impl<'a> Parts<'a> {
    /// Cuts and decodes: exactly three parts, unpadded base64url, no spare bits, so that no two texts are one token.
    pub(super) fn parse(token: &'a str) -> Result<Self, Why> {
        if token.len() > limits::CREDENTIAL_BYTES_MAX {
            return Err(Why::TooLong);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Why::Compact)?;
        let (header, claims) = signed.split_once('.').ok_or(Why::Compact)?;
        // A dot is outside of the alphabet, so a fourth part does not decode.
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| Why::Compact);
        Ok(Self {
            signed: signed.as_bytes(),
            header: decode(header)?,
            claims: decode(claims)?,
            signature: decode(signature)?,
        })
    }

    /// The claims, through the gate.
    pub(super) fn claims(&self) -> Result<Json<'_>, Why> {
        object(&self.claims, "payload")
    }

    /// The header, through the gate.
    pub(super) fn header(&self) -> Result<Header, Why> {
        let json = object(&self.header, "header")?;
        // `b64` changes what is signed (RFC 7797), `zip` and `enc` what is read (RFC 7516).
        for member in ["crit", "jku", "jwk", "x5u", "x5c", "b64", "zip", "enc"] {
            if json.member(member).is_some() {
                return Err(Why::Header(member));
            }
        }
        let access_token = match json.member("typ") {
            None => false,
            Some(typ) => access_token(typ.as_text().ok_or(Why::Header("typ"))?)?,
        };
        let algorithm = json.member("alg").and_then(Json::as_text).ok_or(Why::Header("alg"))?;
        let key_id = match json.member("kid") {
            None => None,
            Some(key_id) => Some(key_id.as_text().filter(|text| fits(text)).ok_or(Why::Header("kid"))?.to_owned()),
        };
        Ok(Header { algorithm: Algorithm::parse(algorithm).ok_or(Why::Algorithm)?, key_id, access_token })
    }
}

/// Whether a key identifier has a sensible length. It is only ever compared: it is no path and no query.
pub(super) fn fits(key_id: &str) -> bool {
    !key_id.is_empty() && key_id.len() <= limits::KEY_ID_BYTES_MAX
}

/// Media types ignore case, and `application/` may be left out (RFC 7515, section 4.1.9).
fn access_token(typ: &str) -> Result<bool, Why> {
    let typ = typ.to_ascii_lowercase();
    match typ.strip_prefix("application/").unwrap_or(&typ) {
        "at+jwt" => Ok(true),
        "jwt" => Ok(false),
        _ => Err(Why::Header("typ")),
    }
}

fn object<'a>(bytes: &'a [u8], part: &'static str) -> Result<Json<'a>, Why> {
    let json = Json::parse_with(bytes, Strictness::Request).map_err(|source| Why::Malformed { part, source })?;
    if json.as_object().is_some() { Ok(json) } else { Err(Why::Compact) }
}
