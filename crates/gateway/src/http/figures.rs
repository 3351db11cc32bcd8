//! A listener of its own for one page of figures, such as Prometheus asks for. The public listener never has it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{Semaphore, watch};

use super::{Known, Listener};

/// Connections at the same time: a few scrapers.
const CONNECTIONS_MAX: usize = 16;
/// Bytes of a request's head, the least that the HTTP library takes.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// How long a scraper may take to send a request; an idle connection ends after it, too.
const HEAD: Duration = Duration::from_secs(30);

/// The text of a page, written anew for each request.
pub type Page = Arc<dyn Fn() -> String + Send + Sync>;

/// What is shown at `/metrics`.
#[derive(Clone)]
pub struct Figures {
    /// The names under which this listener is known.
    pub known: Known,
    /// The page.
    pub page: Page,
    /// Its media type.
    pub kind: &'static str,
    /// Whether calls can be recorded, and so made: at `/readyz`, for a public listener that speaks TLS.
    pub ready: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl Figures {
    /// Serves until told to stop.
    pub async fn serve(self, listener: Listener, mut stop: watch::Receiver<bool>) {
        let (figures, room) = (Arc::new(self), Arc::new(Semaphore::new(CONNECTIONS_MAX)));
        while !*stop.borrow() {
            let accepted = async { (Arc::clone(&room).acquire_owned().await, listener.socket.accept().await) };
            let (permit, connection) = tokio::select! {
                accepted = accepted => accepted,
                changed = stop.changed() => match changed { Ok(()) => continue, Err(_) => break },
            };
            let (Ok(permit), Ok((stream, _))) = (permit, connection) else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let figures = Arc::clone(&figures);
            let service = service_fn(move |request| {
                let figures = Arc::clone(&figures);
                async move { Ok::<_, Infallible>(figures.answer(&request)) }
            });
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(HEAD_BYTES_MAX);
            let connection = http.serve_connection(TokioIo::new(stream), service);
            let mut over = stop.clone();
            tokio::spawn(async move {
                tokio::select! {
                    // What goes wrong with a connection is the scraper's to notice.
                    _ended = connection => {}
                    _told = over.wait_for(|stop| *stop) => {}
                }
                drop(permit);
            });
        }
    }

    fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        if let Err(status) = self.known.check(request.headers()) {
            return plain(status, "these figures are not known under that name, or the page is not one of their own\n");
        }
        match (request.uri().path(), request.method()) {
            ("/metrics", &Method::GET) => {
                // The page may wait for a database.
                let text = tokio::task::block_in_place(|| (self.page)());
                answer(StatusCode::OK, self.kind, text.into())
            }
            ("/readyz", &Method::GET) => readiness((self.ready)()).map(|text| Full::new(text.into())),
            ("/metrics", _) => {
                let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, "use GET\n");
                answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
                answer
            }
            _ => plain(StatusCode::NOT_FOUND, "there is nothing here; figures are at /metrics\n"),
        }
    }
}

/// Whether calls can be recorded, as `/readyz` says it at each listener.
pub(super) fn readiness(ready: bool) -> Response<&'static str> {
    let (status, text) = match ready {
        true => (StatusCode::OK, "ready\n"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "calls cannot be recorded, so none is made\n"),
    };
    let mut response = Response::new(text);
    *response.status_mut() = status;
    response
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    answer(status, "text/plain; charset=utf-8", Bytes::from_static(text.as_bytes()))
}

fn answer(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

impl std::fmt::Debug for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Figures").field("known", &self.known).finish_non_exhaustive()
    }
}
