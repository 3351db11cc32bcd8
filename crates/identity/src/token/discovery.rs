//! Where an issuer's keys are (OpenID Connect Discovery 1.0; RFC 8414).

use refmon_core::json::{Json, Strictness};
use url::Url;

use crate::fetch::{self, Fetch, FetchError};
use crate::refused::DocumentError;
use crate::resource;

use super::Issuer;
use super::key::KeySet;

const METADATA: &str = "metadata";

/// Fetches the keys of an issuer: its metadata, and then what they point to.
pub(super) async fn keys(fetch: &dyn Fetch, issuer: &Issuer) -> Result<KeySet, DocumentError> {
    let url = keys_url(issuer, &metadata(fetch, issuer).await?)?;
    let failed = |source| DocumentError::Fetch { document: "key set", source };
    KeySet::parse(&fetch::bounded(fetch, &url).await.map_err(failed)?)
}

/// The second place is asked only if the first has nothing: a document that is wrong is not a document that is absent.
async fn metadata(fetch: &dyn Fetch, issuer: &Issuer) -> Result<Vec<u8>, DocumentError> {
    let failed = |source| DocumentError::Fetch { document: METADATA, source };
    match fetch::bounded(fetch, &openid_url(issuer)).await {
        Err(FetchError::Absent | FetchError::Unavailable { .. }) => {
            let url = resource::well_known(issuer.url(), "oauth-authorization-server");
            fetch::bounded(fetch, &url).await.map_err(failed)
        }
        answer => answer.map_err(failed),
    }
}

/// OpenID Connect appends its well-known name to the issuer's path; RFC 8414 puts it in front.
fn openid_url(issuer: &Issuer) -> Url {
    let mut url = issuer.url().clone();
    let path = format!("{}/.well-known/openid-configuration", url.path().trim_end_matches('/'));
    url.set_path(&path);
    url
}

fn keys_url(issuer: &Issuer, metadata: &[u8]) -> Result<Url, DocumentError> {
    let json = Json::parse_with(metadata, Strictness::Data)
        .map_err(|source| DocumentError::Malformed { document: METADATA, source })?;
    let text = |member: &'static str| {
        let found = json.member(member).and_then(Json::as_text);
        found.ok_or(DocumentError::Member { document: METADATA, member })
    };
    // RFC 8414, section 3.3: another name means that these are not this issuer's metadata.
    if text("issuer")? != issuer.as_str() {
        return Err(DocumentError::OtherIssuer);
    }
    let url = resource::address(text("jwks_uri")?).map_err(DocumentError::Address)?;
    // An issuer on the network has no keys on this machine: the address would name a service of ours.
    if url.scheme() == "http" && issuer.url().scheme() != "http" {
        return Err(DocumentError::Address(resource::AddressError::Insecure));
    }
    Ok(url)
}
