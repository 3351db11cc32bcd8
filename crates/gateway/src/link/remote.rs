//! A link to a server over streamable HTTP (MCP specification, transports), in both eras.
//!
//! Each message is a POST of its own. Redirects are not followed. The credentials of the upstream are the
//! operator's and are added here, at egress; nothing of the client's credentials can get here.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use refmon_core::secret::Secret;
use tokio::task::AbortHandle;

use super::events::Events;
use super::guard::{Reachable, Resolver};
use super::message::{bounded, describe, mirror};
use crate::frame::Frame;
use crate::message::{Id, Kind};
use crate::session::{Observer, Session};
use crate::upstream::{Outbound, Upstream};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a connection may be idle and be used again. Many servers close one after five seconds, and a message that is
/// sent at that very moment is lost without a trace.
const IDLE: Duration = Duration::from_secs(3);
/// How long a server may take until it begins to answer.
const ANSWER: Duration = Duration::from_secs(600);
/// How long to wait before a stream of a server is asked for again, and how often without a message in between.
const RECONNECT: (Duration, usize) = (Duration::from_secs(1), 5);

pub(super) type Connector = HttpsConnector<HttpConnector<Resolver>>;

/// A server that is reached over HTTP.
pub struct Remote {
    pub(super) uri: Uri,
    pub(super) headers: Vec<(HeaderName, Secret<String>)>,
    pub(super) client: Client<Connector, Full<Bytes>>,
}

/// A remote server that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// The URL is not one.
    #[error("the `url` is not of the form `https://host/path`, without a user or password")]
    Url,
    /// The URL has no encryption, and its server is not said to be private.
    #[error(
        "the `url` is not encrypted; use `https`, or write `private = true` if the server is on this machine or in a private network"
    )]
    Plain,
    /// The URL names an address that is not public.
    #[error("the `url` is not a public address; if it is meant, write `private = true` for this server")]
    Private,
    /// A header cannot be sent.
    #[error("the header `{0}` is not a name, or is one that the protocol itself sets")]
    Header(String),
    /// The system's certificates cannot be read.
    #[error("the certificates of this system cannot be read; install `ca-certificates`")]
    Certificates(#[source] io::Error),
}

/// Headers that are the protocol's own.
const OWN: &[&str] = &[
    "host",
    "content-length",
    "content-type",
    "accept",
    "connection",
    "transfer-encoding",
    "mcp-session-id",
    "mcp-protocol-version",
    "mcp-method",
    "mcp-name",
];

impl Remote {
    /// Makes a remote server from its URL and the headers that carry the operator's credentials.
    ///
    /// # Errors
    /// [`RemoteError`] if the URL or a header cannot be used.
    pub fn new(
        url: &str,
        headers: impl IntoIterator<Item = (String, Secret<String>)>,
        reachable: Reachable,
    ) -> Result<Self, RemoteError> {
        let uri: Uri = url.parse().map_err(|_| RemoteError::Url)?;
        let host = uri.host().ok_or(RemoteError::Url)?;
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(RemoteError::Url);
        }
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if reachable == Reachable::Anywhere => {}
            Some("http") => return Err(RemoteError::Plain),
            _ => return Err(RemoteError::Url),
        }
        // A literal address is not looked up, so the resolver would not see it.
        if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            let refused = reachable.check(host, &[(address, 0).into()]).is_err();
            if refused {
                return Err(RemoteError::Private);
            }
        }
        let headers = headers.into_iter().map(|(name, value)| match name.parse::<HeaderName>() {
            Ok(parsed) if !OWN.contains(&parsed.as_str()) && HeaderValue::from_str(value.expose()).is_ok() => {
                Ok((parsed, value))
            }
            _ => Err(RemoteError::Header(name)),
        });
        Ok(Self { headers: headers.collect::<Result<_, _>>()?, client: client(reachable)?, uri })
    }

    /// A request with the operator's credentials, which are added here and nowhere else.
    pub(crate) fn request(
        &self,
        method: Method,
        body: Bytes,
        session: Option<HeaderValue>,
        extra: &HeaderMap,
    ) -> io::Result<Request<Full<Bytes>>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        headers.extend(extra.clone());
        if let Some(session) = session {
            headers.insert("mcp-session-id", session);
        }
        for (name, value) in &self.headers {
            let mut value = HeaderValue::from_str(value.expose()).map_err(io::Error::other)?;
            value.set_sensitive(true);
            headers.insert(name.clone(), value);
        }
        Ok(request)
    }

    /// Sends a request and waits until the server begins to answer.
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> io::Result<Response<Incoming>> {
        self.client.request(request).await.map_err(io::Error::other)
    }
}

pub(super) fn client(reachable: Reachable) -> Result<Client<Connector, Full<Bytes>>, RemoteError> {
    let mut http = HttpConnector::new_with_resolver(Resolver(reachable));
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(CONNECT));
    let https = hyper_rustls::HttpsConnectorBuilder::new().with_native_roots().map_err(RemoteError::Certificates)?;
    let connector = https.https_or_http().enable_http1().wrap_connector(http);
    Ok(Client::builder(TokioExecutor::new()).pool_idle_timeout(IDLE).build(connector))
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remote").field("host", &self.uri.host()).finish_non_exhaustive()
    }
}

/// What the server has told about the session.
#[derive(Default)]
struct Told {
    session: Option<HeaderValue>,
    version: Option<HeaderValue>,
    under_way: HashMap<String, AbortHandle>,
    stream: Option<AbortHandle>,
    closed: bool,
    /// What is called when the server has forgotten the session.
    gone: Option<Box<dyn FnOnce() + Send>>,
}

/// A link to a remote server.
pub(crate) struct RemoteLink {
    spec: Arc<super::spec::Spec>,
    session: Mutex<Weak<Session>>,
    told: Mutex<Told>,
    observer: Arc<dyn Observer>,
    runtime: tokio::runtime::Handle,
    me: Weak<Self>,
}

impl RemoteLink {
    pub(crate) fn new(
        spec: Arc<super::spec::Spec>,
        observer: Arc<dyn Observer>,
        runtime: tokio::runtime::Handle,
    ) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            spec,
            session: Mutex::default(),
            told: Mutex::default(),
            observer,
            runtime,
            me: Weak::clone(me),
        })
    }

    pub(crate) fn listen(&self, session: Weak<Session>, gone: impl FnOnce() + Send + 'static) {
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = session;
        self.told().gone = Some(Box::new(gone));
    }

    /// Says which protocol version was agreed on.
    pub(crate) fn agreed(&self, version: &str) {
        self.told().version = HeaderValue::from_str(version).ok();
    }

    /// Ends what is under way and tells the server that its session is over.
    pub(crate) fn close(&self) {
        let mut told = self.told();
        if std::mem::replace(&mut told.closed, true) {
            return;
        }
        let stream = told.stream.take();
        for handle in told.under_way.drain().map(|(_, handle)| handle).chain(stream) {
            handle.abort();
        }
        let session = told.session.take();
        drop(told);
        if session.is_some() {
            let request = self
                .remote()
                .and_then(|remote| remote.request(Method::DELETE, Bytes::new(), session, &HeaderMap::new()));
            let (Some(link), Ok(request)) = (self.me.upgrade(), request) else { return };
            self.runtime.spawn(async move { drop(tokio::time::timeout(CONNECT, link.ask(request)).await) });
        }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn session(&self) -> Option<Arc<Session>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner).upgrade()
    }

    fn remote(&self) -> io::Result<&Remote> {
        match &self.spec.reach {
            super::spec::Reach::Remote(remote) => Ok(remote),
            super::spec::Reach::Command(_) => Err(io::Error::other("a command is not a remote server")),
        }
    }

    async fn ask(&self, request: Request<Full<Bytes>>) -> io::Result<Response<Incoming>> {
        tokio::time::timeout(ANSWER, self.remote()?.send(request)).await.map_err(io::Error::other)?
    }

    /// Sends one message and hands over what comes back for it.
    async fn exchange(self: Arc<Self>, message: Sent, request: Request<Full<Bytes>>) {
        if let Err(error) = self.answered(&message, request).await {
            let name = &self.spec.name;
            self.observer.notice(&format!("the server `{name}` could not be asked: {}", chain(&error)));
        }
        if let Some(id) = &message.id {
            self.told().under_way.remove(&id.canonical);
            if let Some(session) = self.session() {
                session.lost(id);
            }
        }
    }

    async fn answered(self: &Arc<Self>, message: &Sent, request: Request<Full<Bytes>>) -> io::Result<()> {
        let response = self.ask(request).await?;
        if message.method == "initialize" && response.status().is_success() {
            self.told().session = response.headers().get("mcp-session-id").cloned();
        }
        if message.method == "notifications/initialized" && response.status().is_success() {
            self.open_stream();
        }
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let (events, json) = (kind.starts_with("text/event-stream"), kind.starts_with("application/json"));
        let forgotten = response.status() == StatusCode::NOT_FOUND && self.told().session.is_some();
        match response.status() {
            // A server up to 2025-11-25 that does not know the session any more: a new one must be begun.
            StatusCode::NOT_FOUND if forgotten => {
                // Whoever is told of it and asks again at once must find another session.
                let gone = self.told().gone.take();
                if let Some(gone) = gone {
                    gone();
                }
                if let (Some(id), Some(session)) = (&message.id, self.session()) {
                    session.lost(id);
                }
                Err(io::Error::other("it has forgotten the session; the next request begins another"))
            }
            StatusCode::ACCEPTED | StatusCode::NO_CONTENT => Ok(()),
            status if status.is_success() && events => self.read_events(response.into_body()).await.map(drop),
            // A refused request may come with a JSON-RPC error that says why.
            _ if json && message.id.is_some() => {
                let body = bounded(response.into_body()).await?;
                self.hand_over(body);
                Ok(())
            }
            status if status.is_success() => Ok(()),
            status => Err(io::Error::other(format!("it answered with HTTP status {status}"))),
        }
    }

    /// Reads events until the stream ends. Says how many messages there were.
    async fn read_events(&self, mut body: Incoming) -> io::Result<usize> {
        let (mut events, mut count) = (Events::default(), 0usize);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(io::Error::other)?;
            let Some(bytes) = frame.data_ref() else { continue };
            let found = events.push(bytes).map_err(|_| io::Error::other("an event is over the size limit"))?;
            for data in found {
                count = count.saturating_add(1);
                self.hand_over(data);
            }
        }
        Ok(count)
    }

    fn hand_over(&self, bytes: Vec<u8>) {
        if let Some(session) = self.session() {
            // An error here is one of the way to the client, which is looked after there.
            drop(session.from_server(Frame::Line(bytes)));
        }
    }

    /// Opens the stream on which a server up to 2025-11-25 sends what belongs to no request.
    fn open_stream(self: &Arc<Self>) {
        let link = Arc::clone(self);
        let task = self.runtime.spawn(async move {
            let mut failures = 0;
            while failures < RECONNECT.1 {
                let session = link.told().session.clone();
                let extra = link.version();
                let request =
                    link.remote().and_then(|remote| remote.request(Method::GET, Bytes::new(), session, &extra));
                let Ok(request) = request else { return };
                match link.ask(request).await {
                    Ok(response) if response.status().is_success() => {
                        match link.read_events(response.into_body()).await {
                            Ok(1..) => failures = 0,
                            Ok(0) | Err(_) => failures += 1,
                        }
                    }
                    // Most servers that answer with an error have no such stream.
                    Ok(_) => return,
                    Err(_) => failures += 1,
                }
                tokio::time::sleep(RECONNECT.0).await;
            }
        });
        self.told().stream = Some(task.abort_handle());
    }

    fn version(&self) -> HeaderMap {
        self.told()
            .version
            .clone()
            .map(|version| (HeaderName::from_static("mcp-protocol-version"), version))
            .into_iter()
            .collect()
    }
}

/// What is remembered of a message that was sent.
struct Sent {
    method: String,
    id: Option<Id>,
}

impl Upstream for Arc<RemoteLink> {
    fn send(&self, message: Outbound) -> io::Result<()> {
        let message = message.into_message().map_err(io::Error::other)?;
        let (method, id) = match &message.kind {
            Kind::Request(method, id) => (method.clone(), Some(id.clone())),
            Kind::Notification(method) => (method.clone(), None),
            Kind::Result(_) | Kind::Error(_) => (String::new(), None),
        };
        let cancelled = (method == "notifications/cancelled").then(|| message.value("requestId")).flatten();
        let mut told = self.told();
        if told.closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if let Some(id) = cancelled.and_then(|id| std::str::from_utf8(id).ok()) {
            let handle = told.under_way.remove(id);
            if told.session.is_none() {
                // From 2026-07-28 on, closing the request's own stream is the cancellation.
                drop(told);
                if let Some(handle) = handle {
                    handle.abort();
                }
                // Nothing can come for it any more.
                if let Some(session) = self.session() {
                    session.lost(&Id { canonical: id.to_owned(), spelled: id.as_bytes().to_vec() });
                }
                return Ok(());
            }
        }
        let session = told.session.clone();
        // A server up to 2025-11-25 knows nothing of a newer client's version and headers.
        let modern = message.version().filter(|_| told.version.is_none());
        drop(told);
        let mut extra = if method == "initialize" { HeaderMap::new() } else { self.version() };
        if let Some(version) = &modern {
            describe(&message, version, &method, &mut extra);
            let tool = message.text("name").filter(|_| method == "tools/call");
            if let Some(tool) = tool.and_then(|name| self.session()?.tool(&name)) {
                mirror(&tool, &message, &mut extra);
            }
        }
        let request = self.remote()?.request(Method::POST, Bytes::from(message.bytes), session, &extra)?;
        let sent = Sent { method, id: id.clone() };
        // The task takes itself out again, which it can only do after this lock is given back.
        let mut told = self.told();
        let task = self.runtime.spawn(Arc::clone(self).exchange(sent, request));
        if let Some(id) = id {
            told.under_way.insert(id.canonical, task.abort_handle());
        }
        Ok(())
    }
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

impl std::fmt::Debug for RemoteLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteLink").field("server", &self.spec.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_public_and_encrypted_unless_the_operator_says_private() {
        let new = |url, reachable| Remote::new(url, [], reachable).map(drop).map_err(|error| error.to_string());
        assert!(new("https://mcp.example/mcp", Reachable::Public).is_ok());
        assert!(new("http://127.0.0.1:9/mcp", Reachable::Anywhere).is_ok());
        for url in [
            "http://mcp.example/",
            "https://127.0.0.1/",
            "https://[::1]/",
            "https://169.254.169.254/",
            "https://10.0.0.1/mcp",
        ] {
            assert!(new(url, Reachable::Public).unwrap_err().contains("private = true"), "{url}");
        }
        for url in ["ftp://mcp.example/", "mcp.example", "https:///x", "", "https://user:secret@mcp.example/"] {
            assert!(new(url, Reachable::Anywhere).is_err(), "{url}");
        }
    }

    #[test]
    fn a_credential_cannot_replace_what_the_protocol_sets() {
        for (name, value, fits) in [
            ("Authorization", "Bearer x", true),
            ("Mcp-Session-Id", "x", false),
            ("Host", "x", false),
            ("a b", "x", false),
            ("X", "a\nb", false),
        ] {
            let header = [(name.to_owned(), Secret::new(value.to_owned()))];
            assert_eq!(Remote::new("https://mcp.example/", header, Reachable::Public).is_ok(), fits, "{name}");
        }
    }
}
