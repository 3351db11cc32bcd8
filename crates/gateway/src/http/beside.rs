//! What is answered beside MCP on the same listener: APIs and pages, by whoever is given for it.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use refmon_core::caller::Caller;

/// Who a visitor is: a person whom a page knows, or nobody yet.
pub type Visiting<'a> = Pin<Box<dyn Future<Output = Option<Arc<Caller>>> + Send + 'a>>;

/// What an answer comes to. Its body may be a stream that goes on; a client that reads slowly is read slowly for.
pub type Answering<'a> = Pin<Box<dyn Future<Output = Response<UnsyncBoxBody<Bytes, Infallible>>> + Send + 'a>>;

/// Answers requests at paths that are not the gateway's own.
///
/// It is given what this listener has made sure of: `Host` and `Origin` are known ones, the caller is authenticated, and
/// the body is whole and within its bound. It never reaches a server.
///
/// INVARIANT: a path is an API's or a page's. A request to an API has no cookie any more when it gets here, and one to a page
/// no `Authorization`: neither credential opens what the other is for.
pub trait Beside: Send + Sync {
    /// Whether it answers at a path, and how many bytes a body sent there may have. What nobody answers is not found,
    /// without a look at the credential.
    fn body_bytes_max(&self, path: &str) -> Option<usize>;

    /// Answers what is for everybody who knows this gateway's name, such as a document about its APIs; `None` for all
    /// else, which needs a credential. The body of such a request is not read.
    fn public(&self, _head: &Parts) -> Option<Response<UnsyncBoxBody<Bytes, Infallible>>> {
        None
    }

    /// Answers a request of a caller.
    fn answer<'a>(&'a self, caller: Arc<Caller>, request: Request<Bytes>) -> Answering<'a>;

    /// Whether a path is a page's, for visitors with a browser and so without an `Authorization` header, and how many bytes a
    /// body sent there may have.
    fn page_bytes_max(&self, _path: &str) -> Option<usize> {
        None
    }

    /// Who a visitor of a page is. What it learns it may leave in the head's extensions, for [`Beside::visit`].
    fn visitor<'a>(&'a self, _head: &'a mut Parts) -> Visiting<'a> {
        Box::pin(std::future::ready(None))
    }

    /// Answers a visitor of a page, whom [`Beside::visitor`] has looked at.
    fn visit<'a>(&'a self, request: Request<Bytes>) -> Answering<'a> {
        let mut nothing = Response::new(UnsyncBoxBody::default());
        *nothing.status_mut() = StatusCode::NOT_FOUND;
        drop(request);
        Box::pin(std::future::ready(nothing))
    }
}
