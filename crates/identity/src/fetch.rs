//! The port through which documents of an issuer are fetched.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;

use url::Url;

use crate::limits;

/// Fetches public documents.
///
/// An adapter bounds time and size, checks certificates, follows no redirect (the address was judged, the target of a
/// redirect was not), sends no credential and answers only with the body of a 200. What it fetches may be continued by
/// another task than the one that began it.
pub trait Fetch: Send + Sync + fmt::Debug {
    /// Fetches the body behind an address.
    ///
    /// # Errors
    /// [`FetchError`] if there is no such document or it cannot be had now.
    fn get<'a>(&'a self, url: &'a Url) -> Pin<Box<dyn Future<Output = Result<Vec<u8>, FetchError>> + Send + 'a>>;
}

/// A document that could not be fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The server answers, but has no such document.
    #[error("the server has no such document; compare the issuer's URL with its documentation")]
    Absent,
    /// The server does not answer, or not as it should.
    #[error("the server cannot be reached; check network, certificates and proxy")]
    Unavailable {
        /// What the adapter says.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The document is too large.
    #[error("the document is larger than {} bytes; it is not a document of an issuer", limits::DOCUMENT_BYTES_MAX)]
    TooLarge,
}

/// Fetches, and checks the size again: an adapter may be somebody else's code.
pub(crate) async fn bounded(fetch: &dyn Fetch, url: &Url) -> Result<Vec<u8>, FetchError> {
    let body = fetch.get(url).await?;
    if body.len() > limits::DOCUMENT_BYTES_MAX { Err(FetchError::TooLarge) } else { Ok(body) }
}
