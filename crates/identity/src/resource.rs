//! Our own name as an OAuth resource, and the document that says who issues tokens for it.

use refmon_core::ids::Scope;
use url::{Host, Url};

use crate::token::Issuer;

/// The URL that tokens must be made out to (RFC 8707), kept as it was spelled: audiences are compared byte by byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    text: Box<str>,
    url: Url,
}

/// An address that cannot be trusted with tokens or keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// It is no absolute URL.
    #[error("the address is not an absolute URL; write it as `https://host/path`")]
    Syntax,
    /// It is neither https, nor http on a loopback host.
    #[error("the address must begin with `https://`; `http://` is for loopback hosts only")]
    Insecure,
    /// It has a user, a query or a fragment.
    #[error("the address must not have a user, a query or a fragment; remove it")]
    Excess,
    /// It has bytes that would need quoting in a header.
    #[error("the address has characters outside of a URL's own; percent-encode them")]
    Alphabet,
}

impl Resource {
    /// Parses our resource URL: https, or http on a loopback host; no user, query or fragment.
    ///
    /// # Errors
    /// [`AddressError`] if it is not such an address.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        Ok(Self { url: endpoint(text)?, text: text.into() })
    }

    /// The URL as it was spelled.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Where the metadata is served: the well-known name stands between host and path (RFC 9728, section 3.1).
    #[must_use]
    pub fn metadata_url(&self) -> Url {
        well_known(&self.url, "oauth-protected-resource")
    }

    /// The protected resource metadata (RFC 9728, section 2) as JSON.
    ///
    /// It names the issuers that make tokens out to this very resource, and no others.
    #[must_use]
    pub fn metadata<'a>(&self, issuers: impl IntoIterator<Item = &'a Issuer>, scopes: &[Scope]) -> String {
        let issuers = issuers.into_iter().filter(|issuer| issuer.audience() == self).map(Issuer::as_str);
        let mut document = serde_json::json!({
            "resource": self.as_str(),
            "authorization_servers": issuers.collect::<Vec<_>>(),
            "bearer_methods_supported": ["header"],
        });
        if let Some(members) = document.as_object_mut().filter(|_| !scopes.is_empty()) {
            let scopes: Vec<&str> = scopes.iter().map(Scope::as_str).collect();
            members.insert("scopes_supported".to_owned(), scopes.into());
        }
        document.to_string()
    }
}

/// Parses an address that is compared, kept or extended: no user, query or fragment.
pub(crate) fn endpoint(text: &str) -> Result<Url, AddressError> {
    let url = address(text)?;
    let excess = url.query().is_some() || url.fragment().is_some();
    if excess { Err(AddressError::Excess) } else { Ok(url) }
}

/// Parses an address that is only fetched from. It may have a query.
pub(crate) fn address(text: &str) -> Result<Url, AddressError> {
    // The parser drops tabs and line breaks; what is compared as text must not have any.
    if !text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\')) {
        return Err(AddressError::Alphabet);
    }
    let url = Url::parse(text).map_err(|_| AddressError::Syntax)?;
    let secure = match url.scheme() {
        "https" => url.host().is_some(),
        "http" => url.host().is_some_and(|host| is_loopback(&host)),
        _ => false,
    };
    if !secure {
        return Err(AddressError::Insecure);
    }
    let excess = !url.username().is_empty() || url.password().is_some();
    if excess { Err(AddressError::Excess) } else { Ok(url) }
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost",
        Host::Ipv4(ip) => ip.is_loopback(),
        Host::Ipv6(ip) => ip.is_loopback(),
    }
}

/// The well-known address of a URL: the name between host and path (RFC 8615; RFC 8414, section 3.1).
pub(crate) fn well_known(url: &Url, name: &str) -> Url {
    let path = format!("/.well-known/{name}{}", url.path().trim_end_matches('/'));
    let mut at = url.clone();
    at.set_path(&path);
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_https_or_loopback() {
        for text in [
            "https://r.example",
            "https://r.example/mcp",
            "http://127.0.0.1:8080/",
            "http://[::1]",
            "http://localhost/a",
        ] {
            assert_eq!(Resource::parse(text).unwrap().as_str(), text);
        }
        let rows = [
            ("http://r.example", AddressError::Insecure),
            ("http://localhost.example", AddressError::Insecure),
            ("http://0.0.0.0", AddressError::Insecure),
            ("file:///etc/passwd", AddressError::Insecure),
            ("r.example", AddressError::Syntax),
            ("https://u@r.example", AddressError::Excess),
            ("https://r.example?a", AddressError::Excess),
            ("https://r.example#a", AddressError::Excess),
            ("https://r.example/\n", AddressError::Alphabet),
            ("https://r.example/\"", AddressError::Alphabet),
        ];
        for (text, error) in rows {
            assert_eq!(Resource::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn the_metadata_stand_between_host_and_path() {
        let url = |text| Resource::parse(text).unwrap().metadata_url().to_string();
        assert_eq!(url("https://r.example/mcp"), "https://r.example/.well-known/oauth-protected-resource/mcp");
        assert_eq!(url("https://r.example"), "https://r.example/.well-known/oauth-protected-resource");
        assert_eq!(url("http://[::1]:8/"), "http://[::1]:8/.well-known/oauth-protected-resource");
    }
}
