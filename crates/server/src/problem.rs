//! Problems: what is wrong with a request, as `application/problem+json` (RFC 9457).

use std::borrow::Cow;

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use refmon_core::ids::CallId;
use refmon_core::reason::ReasonCode;
use serde_json::json;

use crate::server::{Body, whole};

/// A problem. Its words are ours: nothing of the request stands in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// Nothing is at this path.
    NotFound,
    /// The method is not one of these.
    Method(&'static str),
    /// The caller lacks the scope, or asks for something of another tenant, or for something that does not exist: which of
    /// them is not said.
    Forbidden,
    /// The caller may not name others.
    NotAHost,
    /// The caller has no open call of this identifier: it never had, it has ended, or it is somebody else's. Which of them
    /// is not said.
    NoCall,
    /// There is no hold of this identifier that the caller may see: which of the reasons for that is not said.
    NoHold,
    /// Who asked for a call cannot approve it.
    SamePerson,
    /// The hold has this state, so nothing is left to decide.
    Decided(&'static str),
    /// The caller could decide on nothing.
    NoApprover,
    /// The body is not declared as JSON.
    MediaType,
    /// The body is not what belongs there.
    Body(&'static str),
    /// A part of the body is not what belongs there.
    Shape(String),
    /// The body has no single reading. The attempt is denied, and recorded if that was possible.
    Unreadable(Option<CallId>),
    /// What is needed to answer does not answer.
    Unavailable,
}

impl Problem {
    fn parts(&self) -> (StatusCode, &'static str, Cow<'static, str>) {
        let (status, code, detail) = match self {
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found", "there is nothing here"),
            Self::Method(_) => (StatusCode::METHOD_NOT_ALLOWED, "method", "use a method of the header `Allow`"),
            Self::Forbidden => (
                StatusCode::FORBIDDEN,
                "forbidden",
                "this needs the scope `refmon:halt`, and is for your own tenant only",
            ),
            Self::NotAHost => (
                StatusCode::FORBIDDEN,
                "forbidden",
                "to ask for others, your credential needs the scope `refmon:decide`",
            ),
            Self::NoCall => (StatusCode::NOT_FOUND, "no-call", "you have no open call of this identifier"),
            Self::NoHold => {
                (StatusCode::NOT_FOUND, "no-hold", "there is no hold of this identifier that you could decide on")
            }
            Self::SamePerson => {
                (StatusCode::FORBIDDEN, "same-person", "whoever asked for a call cannot approve it; another person can")
            }
            Self::Decided(state) => {
                let detail = format!("nothing changed, for this hold is already {state}");
                return (StatusCode::CONFLICT, "decided", detail.into());
            }
            Self::NoApprover => (
                StatusCode::FORBIDDEN,
                "forbidden",
                "this needs the scope `refmon:approve`, alone or with an effect behind it",
            ),
            Self::MediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type", "send `application/json`"),
            Self::Body(detail) => (StatusCode::BAD_REQUEST, "body", *detail),
            Self::Shape(detail) => return (StatusCode::BAD_REQUEST, "body", detail.clone().into()),
            Self::Unreadable(_) => {
                (StatusCode::BAD_REQUEST, "unreadable", "the body must be JSON with exactly one reading")
            }
            Self::Unavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "this could not be done, or not be recorded")
            }
        };
        (status, code, detail.into())
    }

    /// The answer.
    #[must_use]
    pub fn answer(self) -> Response<Body> {
        let (status, code, detail) = self.parts();
        let title = status.canonical_reason().unwrap_or_default();
        let mut value =
            json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "code": code, "detail": detail });
        if let (Self::Unreadable(record), Some(value)) = (&self, value.as_object_mut()) {
            value.insert("reason".to_owned(), json!(ReasonCode::MalformedArguments.as_str()));
            value.insert("record".to_owned(), json!(record.map(|record| record.to_string())));
        }
        if let (Self::Decided(state), Some(value)) = (&self, value.as_object_mut()) {
            value.insert("state".to_owned(), json!(state));
        }
        let mut answer = Response::new(whole(value.to_string()));
        *answer.status_mut() = status;
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Self::Method(allowed) = self {
            headers.insert(ALLOW, HeaderValue::from_static(allowed));
        }
        answer
    }
}
