//! Public documents over HTTP: what an issuer of tokens publishes about itself.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;

use super::guard::Reachable;
use super::remote::{Connector, RemoteError, client};

/// Bytes of a document.
const DOCUMENT_BYTES_MAX: usize = 1024 * 1024;
/// How long a document may take.
const DOCUMENT: Duration = Duration::from_secs(10);

/// A client for public documents: no credential, no redirect, bounded in time and size.
#[derive(Debug)]
pub struct Documents {
    public: Client<Connector, Full<Bytes>>,
    anywhere: Client<Connector, Full<Bytes>>,
}

impl Documents {
    /// Makes a client.
    ///
    /// # Errors
    /// [`RemoteError::Certificates`] if the certificates of this system cannot be read.
    pub fn new() -> Result<Self, RemoteError> {
        Ok(Self { public: client(Reachable::Public)?, anywhere: client(Reachable::Anywhere)? })
    }

    /// Fetches a document; `None` if the server has none there.
    ///
    /// # Errors
    /// An error of the connection, another status than 200 or 404, a document over 1 MiB, or more than ten seconds.
    pub async fn get(&self, url: &str, reachable: Reachable) -> io::Result<Option<Vec<u8>>> {
        let uri: Uri = url.parse().map_err(io::Error::other)?;
        let mut request = Request::new(Full::new(Bytes::new()));
        *request.method_mut() = Method::GET;
        *request.uri_mut() = uri;
        let client = if reachable == Reachable::Public { &self.public } else { &self.anywhere };
        let fetched = async {
            let response = client.request(request).await.map_err(io::Error::other)?;
            match response.status() {
                StatusCode::OK => {
                    let body = Limited::new(response.into_body(), DOCUMENT_BYTES_MAX).collect().await;
                    Ok(Some(body.map_err(io::Error::other)?.to_bytes().to_vec()))
                }
                StatusCode::NOT_FOUND => Ok(None),
                status => Err(io::Error::other(format!("it answered with HTTP status {status}"))),
            }
        };
        tokio::time::timeout(DOCUMENT, fetched).await.map_err(io::Error::other)?
    }
}
