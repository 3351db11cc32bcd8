//! Queries, forms and cookies. All come from strangers: they are bounded, and a name that is given twice makes the whole
//! unreadable, for nobody could say which value counts.

use std::collections::BTreeMap;

use http::HeaderMap;
use http::header::{CONTENT_TYPE, COOKIE};

use crate::session::ID_CHARS;

/// Fields of one form or query.
const FIELDS_MAX: usize = 32;
/// Bytes of a query.
const QUERY_BYTES_MAX: usize = 4 * 1024;
/// Cookies of one request that are looked at.
const COOKIES_MAX: usize = 128;

/// The fields of a form or a query, each once.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields(BTreeMap<String, String>);

impl Fields {
    /// Reads a query.
    #[must_use]
    pub(crate) fn of_query(query: &str) -> Option<Self> {
        if query.len() > QUERY_BYTES_MAX { None } else { Self::parse(query.as_bytes()) }
    }

    /// Reads the body of a form that a browser sent as such. Its size was bounded before it was read.
    #[must_use]
    pub(crate) fn of_form(headers: &HeaderMap, body: &[u8]) -> Option<Self> {
        let kind = headers.get(CONTENT_TYPE)?.to_str().ok()?.split(';').next()?.trim();
        if kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") { Self::parse(body) } else { None }
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut fields = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(bytes) {
            if fields.len() >= FIELDS_MAX || fields.insert(name.into_owned(), value.into_owned()).is_some() {
                return None;
            }
        }
        Some(Self(fields))
    }

    /// A field that is not blank.
    #[must_use]
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    /// A field as it was sent.
    #[must_use]
    pub(crate) fn whole(&self, name: &str) -> &str {
        self.0.get(name).map(String::as_str).unwrap_or_default()
    }
}

/// The session's identifier in the cookies of a request. Two cookies of its name are none: one of them is somebody else's work.
#[must_use]
pub(crate) fn session_id<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let texts = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = texts.flat_map(|text| text.split(';')).take(COOKIES_MAX);
    let mut own = pairs.filter_map(|pair| pair.trim().split_once('=')).filter(|(own, _)| *own == name);
    let (_, id) = own.next()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let fits = id.len() == ID_CHARS && id.bytes().all(plain) && own.next().is_none();
    fits.then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_given_twice_makes_a_form_unreadable() {
        let fields = Fields::of_query("a=1&b=%3Cb%3E+x&c=").unwrap();
        assert_eq!((fields.get("a"), fields.get("b"), fields.get("c")), (Some("1"), Some("<b> x"), None));
        assert_eq!(Fields::of_query("a=1&a=1"), None);
        assert_eq!(Fields::of_query(&"a".repeat(QUERY_BYTES_MAX + 1)), None);
        let many: Vec<String> = (0..=FIELDS_MAX).map(|number| format!("f{number}=")).collect();
        assert_eq!(Fields::of_query(&many.join("&")), None);
        let mut headers = HeaderMap::new();
        assert_eq!(Fields::of_form(&headers, b"a=1"), None);
        headers.insert(CONTENT_TYPE, http::HeaderValue::from_static("text/plain"));
        assert_eq!(Fields::of_form(&headers, b"a=1"), None, "another site can send that without asking");
    }

    #[test]
    fn a_cookie_is_one_identifier_or_none() {
        let found = |cookies: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for cookie in cookies {
                headers.append(COOKIE, http::HeaderValue::from_static(cookie));
            }
            session_id(&headers, "own").map(str::to_owned)
        };
        const ID: &str = "own=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
        assert!(found(&[ID]).is_some());
        assert!(found(&["other=1; own=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; x=y"]).is_some());
        assert_eq!(found(&[ID, ID]), None);
        for cookie in ["", "own", "own=", "own=short", "Own=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"] {
            assert_eq!(found(&[cookie]), None, "{cookie}");
        }
        assert_eq!(found(&["own=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa%"]), None);
    }
}
