//! `Host` and `Origin`: the guard against DNS rebinding and against other people's web pages.

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, StatusCode};

/// The names under which this gateway is known, each `host` or `host:port`.
#[derive(Debug, Clone)]
pub struct Known(Vec<String>);

impl Known {
    /// Takes the names. On loopback they are `localhost`, `127.0.0.1` and `[::1]` with the port.
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        Self(names.into_iter().map(|name| name.to_ascii_lowercase()).collect())
    }

    /// Whether a request may be looked at: it names exactly one known host, and comes from no page but a known one.
    ///
    /// # Errors
    /// The status to refuse it with.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), StatusCode> {
        let mut hosts = headers.get_all(HOST).iter();
        match (hosts.next().map(http::HeaderValue::to_str), hosts.next()) {
            (Some(Ok(host)), None) if self.knows(host) => {}
            (Some(Ok(_)), None) => return Err(StatusCode::FORBIDDEN),
            _ => return Err(StatusCode::BAD_REQUEST),
        }
        let origin_known = |origin: &http::HeaderValue| {
            let host = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
            host.is_some_and(|(scheme, host)| matches!(scheme, "http" | "https") && self.knows(host))
        };
        if headers.get_all(ORIGIN).iter().all(origin_known) { Ok(()) } else { Err(StatusCode::FORBIDDEN) }
    }

    fn knows(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        self.0.contains(&name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(headers: &[(http::HeaderName, &'static str)]) -> Option<u16> {
        let known = Known::new(["localhost:8700".to_owned(), "gate.example".to_owned()]);
        let headers = headers.iter().map(|(name, value)| (name.clone(), http::HeaderValue::from_static(value)));
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, value);
        }
        known.check(&map).err().map(|status| status.as_u16())
    }

    #[test]
    fn only_known_hosts_and_their_own_pages_pass() {
        assert_eq!(check(&[(HOST, "localhost:8700")]), None);
        assert_eq!(check(&[(HOST, "LOCALHOST:8700"), (ORIGIN, "http://localhost:8700")]), None);
        assert_eq!(check(&[(HOST, "gate.example"), (ORIGIN, "https://gate.example")]), None);
        for host in ["evil.example", "localhost", "localhost:8700.evil.example", "localhost:87000", ""] {
            assert_eq!(check(&[(HOST, host)]), Some(403), "{host}");
        }
        for origin in
            ["http://evil.example", "null", "http://localhost", "file://localhost:8700", "http://localhost:8700/", ""]
        {
            assert_eq!(check(&[(HOST, "localhost:8700"), (ORIGIN, origin)]), Some(403), "{origin}");
        }
        assert_eq!(
            check(&[(HOST, "gate.example"), (ORIGIN, "https://gate.example"), (ORIGIN, "http://evil.example")]),
            Some(403)
        );
        assert_eq!(check(&[]), Some(400));
        assert_eq!(check(&[(HOST, "localhost:8700"), (HOST, "evil.example")]), Some(400));
    }
}
