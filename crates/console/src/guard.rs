//! What a form must show before anything is done.

use http::HeaderMap;
use http::header::{HOST, HeaderName, ORIGIN};
use refmon_core::secret::Secret;

use crate::form::Fields;
use crate::session::Session;

const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// The field of every form that has the session's token.
pub(crate) const TOKEN: &str = "token";

/// Whether a form came from a page of this very console: its `Origin` is the host that it was sent to, and a browser that says
/// how far the page is says that it is the same. Browsers send `Origin` with every form; what has none is no form of ours.
pub(crate) fn is_own_page(headers: &HeaderMap) -> bool {
    let one = |name: &HeaderName| {
        let mut values = headers.get_all(name).iter().map(|value| value.to_str().ok());
        match (values.next(), values.next()) {
            (Some(Some(value)), None) => Some(value),
            _ => None,
        }
    };
    let near = match headers.contains_key(&SITE) {
        true => one(&SITE) == Some("same-origin"),
        false => true,
    };
    let (origin, host) = (one(&ORIGIN).and_then(|origin| origin.split_once("://")), one(&HOST));
    near && origin
        .zip(host)
        .is_some_and(|((scheme, origin), host)| matches!(scheme, "http" | "https") && origin.eq_ignore_ascii_case(host))
}

/// Whether a form carries the token of its session. The comparison takes the same time whatever is sent.
pub(crate) fn has_token(form: &Fields, session: &Session) -> bool {
    form.get(TOKEN).is_some_and(|sent| Secret::new(sent.to_owned()) == *session.token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(headers: &[(&'static str, &'static str)]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, http::HeaderValue::from_static(value));
        }
        is_own_page(&map)
    }

    #[test]
    fn a_form_of_another_page_is_none_of_ours() {
        let host = ("host", "gate.example:8700");
        assert!(own(&[host, ("origin", "http://gate.example:8700")]));
        assert!(own(&[host, ("origin", "https://GATE.example:8700"), ("sec-fetch-site", "same-origin")]));
        for headers in [
            &[host][..],
            &[host, ("origin", "null")],
            &[host, ("origin", "http://gate.example")],
            &[host, ("origin", "http://evil.example")],
            &[host, ("origin", "ftp://gate.example:8700")],
            &[host, ("origin", "http://gate.example:8700"), ("origin", "http://gate.example:8700")],
            &[host, ("origin", "http://gate.example:8700"), ("sec-fetch-site", "same-site")],
            &[host, ("origin", "http://gate.example:8700"), ("sec-fetch-site", "cross-site")],
            &[host, ("origin", "http://gate.example:8700"), ("sec-fetch-site", "none")],
            &[("origin", "http://gate.example:8700")],
        ] {
            assert!(!own(headers), "{headers:?}");
        }
    }
}
