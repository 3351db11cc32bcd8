//! Which path is whose.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use refmon_core::caller::Caller;
use refmon_core::limits;
use refmon_core::ports::Fault;
use serde_json::{Value, json};

use crate::decisions::{self, Decisions};
use crate::halts::{self, Halts};
use crate::holds::{self, Holds};
use crate::host::Host;
use crate::openapi::{self, ENDPOINTS, METADATA, Route};
use crate::problem::Problem;

/// The body of an answer: whole, or a stream that goes on.
pub type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Bytes of a request's body.
const BODY_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a body with arguments in it.
const ARGUMENTS_BODY_BYTES_MAX: usize = limits::ARGUMENT_BYTES_MAX + 64 * 1024;

/// The APIs.
pub struct Server {
    halts: Arc<dyn Halts>,
    holds: Arc<dyn Holds>,
    decisions: Arc<Decisions>,
    secure: bool,
}

impl Server {
    /// The APIs over what they act on. `secure`: whether clients reach them by TLS.
    ///
    /// # Errors
    /// A fault if there is no randomness.
    pub fn new(
        halts: Arc<dyn Halts>,
        holds: Arc<dyn Holds>,
        parts: decisions::Parts,
        secure: bool,
    ) -> Result<Self, Fault> {
        Ok(Self { halts, holds, decisions: Arc::new(Decisions::new(parts)?), secure })
    }

    /// Whether a path is answered here, and how many bytes a body sent to it may have. Whoever listens need not
    /// authenticate, nor read, what is nobody's.
    #[must_use]
    pub fn body_bytes_max(&self, path: &str) -> Option<usize> {
        if path.starts_with("/access/v1/") || path == "/v1/calls" || path.starts_with("/v1/calls/") {
            return Some(ARGUMENTS_BODY_BYTES_MAX);
        }
        path.starts_with("/v1/").then_some(BODY_BYTES_MAX)
    }

    /// Answers what needs no credential: where the decision API is.
    #[must_use]
    pub fn public(&self, head: &Parts) -> Option<Response<Body>> {
        if head.uri.path() != METADATA {
            return None;
        }
        if head.method != Method::GET {
            return Some(Problem::Method("GET").answer());
        }
        let scheme = if self.secure { "https" } else { "http" };
        // Whoever listens has made sure that the host is one that this gateway is known under.
        let host = head.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let origin = self.decisions.parts.origin.clone().unwrap_or_else(|| format!("{scheme}://{host}"));
        Some(json(StatusCode::OK, &metadata(&origin)))
    }

    /// Answers a request of an authenticated caller.
    pub async fn answer(&self, caller: Arc<Caller>, request: Request<Bytes>) -> Response<Body> {
        let path = request.uri().path();
        let holds = path.strip_prefix("/v1/holds").filter(|rest| rest.is_empty() || rest.starts_with('/'));
        if let Some(rest) = holds.map(str::to_owned) {
            let answered = holds::answer(&self.holds, caller, &request, &rest).await;
            return answered.unwrap_or_else(Problem::answer);
        }
        let answered = match path.strip_prefix("/v1/halts") {
            Some("") => halts::all(&self.halts, caller, &request).await,
            Some(rest) if rest.starts_with('/') => halts::one(&self.halts, caller, &request).await,
            _ => self.decide(caller, request).await,
        };
        answered.unwrap_or_else(Problem::answer)
    }

    /// Gives up calls whose outcome nobody reported in time. To be called every few seconds.
    pub fn sweep(&self) {
        self.decisions.sweep();
    }

    /// Gives up calls whose outcome nobody reported; what is permitted from now on is not waited for.
    pub fn end(&self) {
        self.decisions.end();
    }

    async fn decide(&self, caller: Arc<Caller>, request: Request<Bytes>) -> Result<Response<Body>, Problem> {
        let path = request.uri().path();
        let call = path.strip_prefix("/v1/calls/").and_then(|rest| rest.strip_suffix("/outcome")).map(str::to_owned);
        let route = match &call {
            Some(_) => Route::Outcome,
            None => ENDPOINTS.iter().find(|endpoint| endpoint.path == path).ok_or(Problem::NotFound)?.route,
        };
        let (parts, body) = request.into_parts();
        let expected = if route == Route::Document { Method::GET } else { Method::POST };
        if parts.method != expected {
            return Err(Problem::Method(if route == Route::Document { "GET" } else { "POST" }));
        }
        if route == Route::Document {
            return Ok(json(StatusCode::OK, &openapi::document()));
        }
        let declared = is_json(&parts.headers);
        let decisions = Arc::clone(&self.decisions);
        // What waits for the disk keeps nobody else waiting.
        let done = tokio::task::spawn_blocking(move || {
            let (status, value) = act(&decisions, route, &caller, (declared, &body), call.as_deref())?;
            Ok(json(status, &value))
        });
        done.await.map_err(|_| Problem::Unavailable)?
    }
}

fn act(
    decisions: &Decisions,
    route: Route,
    caller: &Arc<Caller>,
    (declared, body): (bool, &Bytes),
    call: Option<&str>,
) -> Result<(StatusCode, Value), Problem> {
    let host = || {
        let host = Host::of(caller)?;
        // OpenID AuthZEN knows no 415.
        if declared { Ok(host) } else { Err(Problem::Body("send `application/json`")) }
    };
    let fine = |value: Value| (StatusCode::OK, value);
    match route {
        Route::Calls | Route::Outcome if !declared => Err(Problem::MediaType),
        Route::Calls => decisions.propose(caller, body),
        Route::Outcome => decisions.outcome(caller, call.unwrap_or_default(), body),
        Route::Evaluation => decisions.evaluation(host()?, body).map(fine),
        Route::Evaluations => decisions.evaluations(host()?, body).map(fine),
        Route::Search(sought) => decisions.search(host()?, sought, body).map(fine),
        Route::Halts | Route::Halt | Route::Holds | Route::Metadata | Route::Document => Err(Problem::NotFound),
    }
}

/// Does something that waits for the disk, where it keeps nobody else waiting.
pub(crate) async fn act_on<P: ?Sized + Send + Sync + 'static, T: Send + 'static>(
    port: &Arc<P>,
    deed: impl FnOnce(&P) -> Result<T, Fault> + Send + 'static,
) -> Result<T, Problem> {
    let port = Arc::clone(port);
    let done = tokio::task::spawn_blocking(move || deed(&port)).await;
    done.ok().and_then(Result::ok).ok_or(Problem::Unavailable)
}

fn metadata(origin: &str) -> Value {
    json!({
        "policy_decision_point": origin,
        "access_evaluation_endpoint": format!("{origin}/access/v1/evaluation"),
        "access_evaluations_endpoint": format!("{origin}/access/v1/evaluations"),
        "search_subject_endpoint": format!("{origin}/access/v1/search/subject"),
        "search_resource_endpoint": format!("{origin}/access/v1/search/resource"),
        "search_action_endpoint": format!("{origin}/access/v1/search/action"),
        "supported_obligations": ["custom"],
    })
}

/// Whether a body is declared as JSON, once.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter().filter_map(|kind| kind.to_str().ok());
    let kind = types.next().and_then(|kind| kind.split(';').next()).unwrap_or_default();
    kind.trim().eq_ignore_ascii_case("application/json") && types.next().is_none()
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
    // Texts of strangers are in it; no browser is to take it for a page.
    answer.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}
