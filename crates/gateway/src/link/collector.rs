//! A receiver of documents, a collector of telemetry or a webhook: nothing of what it answers is used but the status.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http::header::{CONTENT_TYPE, HeaderValue};
use http_body_util::Full;
use refmon_core::secret::Secret;

use super::guard::Reachable;
use super::remote::{Remote, RemoteError};

/// How long a collector may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// Where telemetry is sent, with the operator's own credentials. Redirects are not followed.
#[derive(Debug)]
pub struct Collector(Remote);

impl Collector {
    /// Makes a collector from its URL. The operator names it, so it may be anywhere; but what is sent to other machines is
    /// encrypted, unless the operator says that the way there is private.
    ///
    /// # Errors
    /// [`RemoteError`] if the URL or a header cannot be used.
    pub fn new(
        url: &str,
        headers: impl IntoIterator<Item = (String, Secret<String>)>,
        private: bool,
    ) -> Result<Self, RemoteError> {
        let remote = Remote::new(url, headers, Reachable::Anywhere)?;
        if remote.uri.scheme_str() == Some("http") && !private && !is_this_machine(remote.uri.host()) {
            return Err(RemoteError::Plain);
        }
        Ok(Self(remote))
    }

    /// Sends a JSON document.
    ///
    /// # Errors
    /// An error of the connection, a status other than success, or more than five seconds.
    pub async fn send(&self, json: Vec<u8>) -> io::Result<()> {
        self.send_with(json, &[]).await
    }

    /// Sends a JSON document with headers of its own.
    ///
    /// # Errors
    /// As [`Collector::send`].
    pub async fn send_with(&self, json: Vec<u8>, more: &[(&'static str, String)]) -> io::Result<()> {
        let Remote { uri, headers, client } = &self.0;
        let mut request = Request::post(uri.clone()).header(CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            let mut value = HeaderValue::from_str(value.expose()).map_err(io::Error::other)?;
            value.set_sensitive(true);
            request = request.header(name, value);
        }
        for (name, value) in more {
            request = request.header(*name, value);
        }
        let request = request.body(Full::new(Bytes::from(json))).map_err(io::Error::other)?;
        let answered = tokio::time::timeout(ANSWER, client.request(request)).await.map_err(io::Error::other)?;
        let status = answered.map_err(io::Error::other)?.status();
        if status.is_success() {
            Ok(())
        } else {
            Err(io::Error::other(format!("it answered with HTTP status {status}")))
        }
    }
}

fn is_this_machine(host: Option<&str>) -> bool {
    let host = host.unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leaves_this_machine_is_encrypted_unless_its_way_is_said_to_be_private() {
        let new = |url: &str, private| Collector::new(url, [], private).map(drop).map_err(|error| error.to_string());
        for url in
            ["http://127.0.0.1:4318/v1/traces", "http://[::1]:4318/", "http://localhost/x", "https://otel.example/x"]
        {
            assert_eq!(new(url, false), Ok(()), "{url}");
        }
        for url in ["http://otel.example/v1/traces", "http://10.0.0.1/", "http://localhost.example/"] {
            assert!(new(url, false).unwrap_err().contains("private = true"), "{url}");
            assert_eq!(new(url, true), Ok(()), "{url}");
        }
        for url in ["ftp://127.0.0.1/", "http://u:p@127.0.0.1/", "/v1/traces"] {
            assert!(new(url, true).is_err(), "{url}");
        }
    }
}
