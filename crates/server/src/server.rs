//! Which path is whose.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use refmon_core::caller::Caller;
use serde_json::Value;

use crate::halts::{self, Halts};
use crate::problem::Problem;

/// The body of an answer: whole, or a stream that goes on.
pub type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Bytes of a request's body.
const BODY_BYTES_MAX: usize = 16 * 1024;

/// The APIs.
pub struct Server {
    halts: Arc<dyn Halts>,
}

impl Server {
    /// The APIs over what they act on.
    #[must_use]
    pub fn new(halts: Arc<dyn Halts>) -> Self {
        Self { halts }
    }

    /// Whether a path is answered here, and how many bytes a body sent to it may have. Whoever listens need not
    /// authenticate, nor read, what is nobody's.
    #[must_use]
    pub fn body_bytes_max(&self, path: &str) -> Option<usize> {
        path.starts_with("/v1/").then_some(BODY_BYTES_MAX)
    }

    /// Answers a request of an authenticated caller.
    pub async fn answer(&self, caller: Arc<Caller>, request: Request<Bytes>) -> Response<Body> {
        let path = request.uri().path();
        let answered = match path.strip_prefix("/v1/halts") {
            Some("") => halts::all(&self.halts, caller, &request).await,
            Some(rest) if rest.starts_with('/') => halts::one(&self.halts, caller, &request).await,
            _ => Err(Problem::NotFound),
        };
        answered.unwrap_or_else(Problem::answer)
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

pub(crate) fn whole(text: String) -> Body {
    Full::new(Bytes::from(text)).boxed_unsync()
}

pub(crate) fn json(status: StatusCode, value: &Value) -> Response<Body> {
    let mut answer = Response::new(whole(value.to_string()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
