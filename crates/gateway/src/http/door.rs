//! The door `/mcp`: a request in, messages out.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ACCEPT, ALLOW, AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HeaderName,
    HeaderValue, TRANSFER_ENCODING, WWW_AUTHENTICATE,
};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use refmon_core::caller::Caller;
use refmon_core::json::{Members, Strictness};
use refmon_core::reason::ReasonCode;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::body::{self, Answer, BodyError};
use super::figures::readiness;
use super::guard::Known;
use super::headers::{self, Disagreement};
use super::room::{Full, Room, Stay};
use super::{Authenticate, Beside, Peer, standing};
use crate::hub::{Client, Hub, Out, SHORT};
use crate::message::{Id, Kind, Message, MessageError, id_of_refused, is_identifier};
use crate::method::{LEGACY, NEWER, Side, VERSIONS, find};
use crate::reply::Reply;

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Bytes of a session's first message.
const HELLO_BYTES_MAX: usize = 64 * 1024;

/// What every connection needs.
pub(super) struct Gate {
    pub(super) hub: Arc<Hub>,
    pub(super) known: Known,
    pub(super) authenticate: Arc<dyn Authenticate>,
    pub(super) ready: Arc<dyn Fn() -> bool + Send + Sync>,
    pub(super) beside: Option<Arc<dyn Beside>>,
    pub(super) room: Room,
}

type Answered = Response<Answer>;

impl Gate {
    /// Answers one HTTP request.
    pub(super) async fn handle(&self, request: Request<Incoming>, peer: &Arc<Peer>) -> Answered {
        if let Err(status) = self.known.check(request.headers()) {
            let text = "this gateway is not known under that name, or the page is not one of its own";
            return parting(refused(status, text));
        }
        if !request.headers().contains_key(TRANSFER_ENCODING) {
            return self.routed(request, peer).await;
        }
        // RFC 9112, section 6.1: with a length beside it, who stands in front may have seen another end of the request.
        // hyper hides a length that comes second, so that no request may follow any body in chunks.
        let answer = if request.headers().contains_key(CONTENT_LENGTH) {
            refused(StatusCode::BAD_REQUEST, "send `Content-Length` or `Transfer-Encoding`, not both")
        } else {
            self.routed(request, peer).await
        };
        parting(answer)
    }

    async fn routed(&self, request: Request<Incoming>, peer: &Arc<Peer>) -> Answered {
        match request.uri().path() {
            "/mcp" => self.mcp(request, peer).await,
            "/healthz" if request.method() == Method::GET => parting(plain(StatusCode::OK, "alive\n")),
            "/readyz" if request.method() == Method::GET => {
                let said = readiness((self.ready)());
                parting(plain(said.status(), said.into_body()))
            }
            "/.well-known/oauth-protected-resource" | "/.well-known/oauth-protected-resource/mcp"
                if request.method() == Method::GET =>
            {
                parting(match self.authenticate.metadata() {
                    Some(metadata) => json_answer(StatusCode::OK, metadata.into_bytes()),
                    None => refused(StatusCode::NOT_FOUND, "there is nothing here"),
                })
            }
            _ => {
                // Whoever numbers its requests finds the number in the answer, whatever that is (OpenID AuthZEN 1.0, 10.1.3).
                let number = request.headers().get(&REQUEST_ID).cloned();
                let mut answer = self.beside(request, peer).await;
                if let Some(number) = number {
                    answer.headers_mut().insert(REQUEST_ID, number);
                }
                answer
            }
        }
    }

    /// What is not MCP: for an authenticated caller, and within a bound, as MCP is.
    async fn beside(&self, request: Request<Incoming>, peer: &Peer) -> Answered {
        let (mut parts, body) = request.into_parts();
        if let Some(answer) = self.beside.as_ref().and_then(|beside| beside.public(&parts)) {
            return parting(answer.map(|body| Answer::Beside(body, None)));
        }
        let answerer = self.beside.as_ref();
        if let Some((beside, bytes_max)) =
            answerer.and_then(|beside| Some((beside, beside.page_bytes_max(parts.uri.path())?)))
        {
            return self.page(beside, parts, (body, bytes_max)).await;
        }
        let found = answerer.and_then(|beside| Some((beside, beside.body_bytes_max(parts.uri.path())?)));
        let Some((beside, bytes_max)) = found else {
            return parting(refused(StatusCode::NOT_FOUND, "there is nothing here; MCP is at /mcp"));
        };
        parts.headers.remove(COOKIE);
        let caller = match self.caller(&parts.headers, peer).await {
            Ok(caller) => caller,
            Err(answer) => return *answer,
        };
        let Some(request_room) = self.room.enter(&caller) else { return crowded() };
        let size = hyper::body::Body::size_hint(&body).exact().unwrap_or(bytes_max as u64).min(bytes_max as u64);
        let Ok(room) = self.room.take(&caller, Some(size)).await else {
            return refused(StatusCode::TOO_MANY_REQUESTS, "too many large messages at the same time");
        };
        let bytes = match whole(body, bytes_max).await {
            Ok(bytes) => bytes,
            Err(answer) => return *answer,
        };
        let turn = self.room.turn(&caller, bytes_max, bytes.len()).await;
        let beside = Arc::clone(beside);
        in_the_end(async move {
            let answer = beside.answer(caller, Request::from_parts(parts, Bytes::from(bytes))).await;
            drop((turn, room));
            answer.map(|body| Answer::Beside(body, Some(Arc::new(request_room))))
        })
        .await
    }

    /// A page: for a visitor whom it knows, or for one of a few strangers, who keep no connection.
    async fn page(&self, beside: &Arc<dyn Beside>, mut parts: Parts, (body, max): (Incoming, usize)) -> Answered {
        parts.headers.remove(AUTHORIZATION);
        let visitor = beside.visitor(&mut parts).await;
        let room = visitor.as_ref().map_or_else(|| self.room.admit(), |visitor| self.room.enter(visitor));
        let Some(room) = room else { return parting(crowded()) };
        let bytes = match whole(body, max).await {
            Ok(bytes) => bytes,
            Err(answer) => return parting(*answer),
        };
        let turn = match &visitor {
            Some(visitor) => Some(self.room.turn(visitor, max, bytes.len()).await),
            None => None,
        };
        let beside = Arc::clone(beside);
        let answer = in_the_end(async move {
            let answer = beside.visit(Request::from_parts(parts, Bytes::from(bytes))).await;
            drop(turn);
            answer.map(|body| Answer::Beside(body, Some(Arc::new(room))))
        })
        .await;
        if visitor.is_some() { answer } else { parting(answer) }
    }

    /// The caller of a request, or the answer to nobody.
    async fn caller(&self, headers: &HeaderMap, peer: &Peer) -> Result<Arc<Caller>, Box<Answered>> {
        self.authenticate.authenticate(headers, peer).await.map_err(|error| {
            let mut answer = refused(StatusCode::UNAUTHORIZED, "a valid credential is needed");
            if let Ok(challenge) = HeaderValue::from_str(&error.challenge) {
                answer.headers_mut().insert(WWW_AUTHENTICATE, challenge);
            }
            Box::new(parting(answer))
        })
    }

    async fn mcp(&self, request: Request<Incoming>, peer: &Arc<Peer>) -> Answered {
        let caller = match self.caller(request.headers(), peer).await {
            Ok(caller) => caller,
            Err(answer) => return *answer,
        };
        let Some(place) = self.room.enter(&caller).map(Arc::new) else { return crowded() };
        let credential = standing::credential(request.headers());
        let answer = self.authenticated(request, &caller, Stay::new(&place)).await;
        let standing = || standing::of(&self.authenticate, credential, peer, &caller);
        answer.map(|body| body.while_standing(standing).keeping(place))
    }

    async fn authenticated(&self, request: Request<Incoming>, caller: &Arc<Caller>, stay: Stay) -> Answered {
        match *request.method() {
            Method::POST => self.post(request, caller, stay).await,
            Method::GET => self.stream(request.headers(), caller),
            Method::DELETE => match session(request.headers()) {
                Ok(Some(id)) if self.hub.end(id, caller) => empty(StatusCode::NO_CONTENT),
                Ok(_) => no_session(),
                Err(_) => bad_session(),
            },
            _ => {
                let mut answer = refused(StatusCode::METHOD_NOT_ALLOWED, "use POST, GET or DELETE");
                answer.headers_mut().insert(ALLOW, HeaderValue::from_static("POST, GET, DELETE"));
                answer
            }
        }
    }

    /// The stream of a session up to 2025-11-25 that carries what belongs to no request.
    fn stream(&self, headers: &HeaderMap, caller: &Caller) -> Answered {
        if !accepts(headers, "text/event-stream") {
            return refused(StatusCode::NOT_ACCEPTABLE, "accept `text/event-stream`");
        }
        let client = match session(headers) {
            Ok(Some(id)) => self.hub.find(id, caller),
            Ok(None) => {
                let mut answer = refused(StatusCode::METHOD_NOT_ALLOWED, "a stream needs a session");
                answer.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
                return answer;
            }
            Err(_) => return bad_session(),
        };
        match client.map(|client| client.unsolicited()) {
            Some(Some(messages)) => events(None, messages),
            Some(None) => refused(StatusCode::CONFLICT, "this session has its stream already"),
            None => no_session(),
        }
    }

    async fn post(&self, request: Request<Incoming>, caller: &Arc<Caller>, stay: Stay) -> Answered {
        let (parts, body) = request.into_parts();
        if !is_json(&parts.headers) {
            return refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send `application/json`");
        }
        if !accepts(&parts.headers, "application/json") {
            return refused(StatusCode::NOT_ACCEPTABLE, "accept `application/json` and `text/event-stream`");
        }
        let mut room = match self.room.take(caller, hyper::body::Body::size_hint(&body).exact()).await {
            Ok(room) => room,
            Err(Full) => return refused(StatusCode::TOO_MANY_REQUESTS, "too many large messages at the same time"),
        };
        let bytes = match body::read(body).await {
            Ok(bytes) => bytes,
            Err(error) => return self.unread(error, caller),
        };
        room.fit(bytes.len());
        let stay = stay.with(room);
        let parse = || Message::parse(bytes.clone(), Strictness::Request);
        let parsed = if bytes.len() <= SHORT { parse() } else { tokio::task::block_in_place(parse) };
        let message = match parsed {
            Ok(message) => message,
            Err(error) => return self.malformed(bytes, &error, caller),
        };
        // Each notification of progress repeats it.
        if message.members("_meta").value("progressToken").is_some_and(|token| !is_identifier(token)) {
            let _recorded = self.hub.refuse(caller, ReasonCode::MalformedArguments, bytes);
            let text = "`progressToken` must be a string of at most 1024 bytes or a whole number";
            return json_answer(
                StatusCode::BAD_REQUEST,
                Reply::protocol_error(id(&message), -32_602, text, None).into_bytes(),
            );
        }
        if headers::is_modern(&parts.headers, &message) {
            self.modern(&parts.headers, message, caller, stay).await
        } else {
            self.legacy(&parts.headers, message, caller, stay).await
        }
    }

    fn unread(&self, error: BodyError, caller: &Arc<Caller>) -> Answered {
        let record = self.hub.refuse(caller, ReasonCode::MalformedArguments, Vec::new());
        let (status, text) = match error {
            BodyError::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "the message is too large"),
            BodyError::TooSlow => (StatusCode::REQUEST_TIMEOUT, "the message took too long to arrive"),
            BodyError::Broken => (StatusCode::BAD_REQUEST, "the message broke off"),
        };
        let record = json!({ "record": record.map(|record| record.to_string()) });
        json_answer(status, Reply::protocol_error(None, -32_600, text, Some(record)).into_bytes())
    }

    fn malformed(&self, bytes: Vec<u8>, error: &MessageError, caller: &Arc<Caller>) -> Answered {
        let id = id_of_refused(&bytes);
        let record = self.hub.refuse(caller, ReasonCode::MalformedArguments, bytes);
        let code = if matches!(error, MessageError::Malformed(_)) { -32_700 } else { -32_600 };
        let data = json!({
            "reason": ReasonCode::MalformedArguments.as_str(),
            "record": record.map(|record| record.to_string()),
        });
        let reply = Reply::protocol_error(id.as_ref(), code, &error.to_string(), Some(data));
        json_answer(StatusCode::BAD_REQUEST, reply.into_bytes())
    }

    // === from 2026-07-28 on ===

    async fn modern(&self, headers: &HeaderMap, message: Message, caller: &Arc<Caller>, stay: Stay) -> Answered {
        let agree = || headers::agree(headers, &message);
        let agreed = if message.bytes.len() <= SHORT { agree() } else { tokio::task::block_in_place(agree) };
        if let Err(disagreement) = agreed {
            let (code, text, data) = match disagreement {
                Disagreement::Version(requested) => {
                    let data = json!({ "supported": [NEWER], "requested": requested });
                    (-32_022, "refmon does not mediate this protocol version".to_owned(), Some(data))
                }
                Disagreement::Mismatch(header) => {
                    (-32_020, format!("the header `{header}` does not say what the body says"), None)
                }
            };
            let _recorded = self.hub.refuse(caller, ReasonCode::MalformedArguments, message.bytes.clone());
            let reply = Reply::protocol_error(id(&message), code, &text, data);
            return json_answer(StatusCode::BAD_REQUEST, reply.into_bytes());
        }
        if let Some(missing) = missing_meta(&message) {
            let _recorded = self.hub.refuse(caller, ReasonCode::MalformedArguments, message.bytes.clone());
            let text = format!("`_meta` lacks `{missing}`, which every request has");
            let reply = Reply::protocol_error(id(&message), -32_602, &text, None);
            return json_answer(StatusCode::BAD_REQUEST, reply.into_bytes());
        }
        if let Kind::Request(method, id) = &message.kind
            && find(method, Side::Client, true).is_none_or(|row| row.eras == LEGACY)
        {
            let record = self.hub.refuse(caller, ReasonCode::UnknownMethod, message.bytes.clone());
            let data = json!({
                "reason": ReasonCode::UnknownMethod.as_str(),
                "record": record.map(|record| record.to_string()),
            });
            let text = "refmon does not mediate this method in this protocol version, so it is denied";
            let reply = Reply::protocol_error(Some(id), -32_601, text, Some(data));
            return json_answer(StatusCode::NOT_FOUND, reply.into_bytes());
        }
        let client = match self.hub.shared_by(caller) {
            Ok(Some(client)) => client,
            Ok(None) => return refused(StatusCode::SERVICE_UNAVAILABLE, "too many clients; try again later"),
            Err(_) => return refused(StatusCode::SERVICE_UNAVAILABLE, "unavailable; try again later"),
        };
        match &message.kind {
            Kind::Request(..) => answer(client.request(message, headers::traced(headers), stay), true).await,
            Kind::Notification(_) => {
                client.notify(message).await;
                empty(StatusCode::ACCEPTED)
            }
            Kind::Result(_) | Kind::Error(_) => refused(StatusCode::BAD_REQUEST, "send requests and notifications"),
        }
    }

    // === up to 2025-11-25 ===

    async fn legacy(&self, headers: &HeaderMap, message: Message, caller: &Arc<Caller>, stay: Stay) -> Answered {
        let session = match session(headers) {
            Ok(session) => session,
            Err(_) => return bad_session(),
        };
        let version = headers::single(headers, "mcp-protocol-version");
        if !matches!(version, Ok(None)) && !matches!(version, Ok(Some(version)) if VERSIONS.contains(&version)) {
            return refused(StatusCode::BAD_REQUEST, "`MCP-Protocol-Version` is not one that refmon mediates");
        }
        let begins = matches!(&message.kind, Kind::Request(method, _) if method == "initialize");
        match (begins, session) {
            (true, None) => self.begin(message, caller, stay).await,
            (true, Some(_)) => refused(StatusCode::BAD_REQUEST, "this session has begun already"),
            (false, None) => {
                let _recorded = self.hub.refuse(caller, ReasonCode::MalformedArguments, message.bytes.clone());
                let text = "a request without `Mcp-Session-Id`; begin with `initialize`";
                let reply = Reply::protocol_error(id(&message), -32_600, text, None);
                json_answer(StatusCode::BAD_REQUEST, reply.into_bytes())
            }
            (false, Some(session)) => match self.hub.find(session, caller) {
                Some(client) => self.within(&client, headers, message, stay).await,
                None => no_session(),
            },
        }
    }

    async fn begin(&self, hello: Message, caller: &Arc<Caller>, stay: Stay) -> Answered {
        // It is remembered for as long as the session.
        if hello.bytes.len() > HELLO_BYTES_MAX {
            return refused(StatusCode::PAYLOAD_TOO_LARGE, "an `initialize` of at most 64 KiB begins a session");
        }
        let copy = Message::parse(hello.bytes.clone(), Strictness::Request);
        let (session, client) = match (copy, self.hub.begin(caller, hello)) {
            (Ok(copy), Ok(Some((session, client)))) => (session, (client, copy)),
            (_, Ok(None)) => return refused(StatusCode::TOO_MANY_REQUESTS, "too many sessions; end some first"),
            _ => return refused(StatusCode::SERVICE_UNAVAILABLE, "unavailable; try again later"),
        };
        let (client, hello) = client;
        // A client that goes away meanwhile never learns of its session, so that must not stay.
        let mut begun = Begun { hub: &self.hub, session: Some((&session, caller)) };
        let first = client.request(hello, HeaderMap::new(), stay).recv().await;
        let Some(Out::Last(bytes)) = first else {
            return refused(StatusCode::BAD_GATEWAY, "the tool server did not answer");
        };
        // A handshake that failed begins no session.
        let agreed = Members::parse(&bytes, Strictness::Lenient).is_ok_and(|members| members.find("result").is_some());
        let mut answer = json_answer(StatusCode::OK, bytes);
        if let (true, Ok(session)) = (agreed, HeaderValue::from_str(&session)) {
            begun.session = None;
            answer.headers_mut().insert(SESSION, session);
        }
        answer
    }

    async fn within(&self, client: &Arc<Client>, headers: &HeaderMap, message: Message, stay: Stay) -> Answered {
        match &message.kind {
            Kind::Request(..) => answer(client.request(message, headers::traced(headers), stay), false).await,
            Kind::Notification(_) => {
                client.notify(message).await;
                empty(StatusCode::ACCEPTED)
            }
            Kind::Result(_) | Kind::Error(_) => {
                // An answer to a request that nobody made is dropped; so is one that came twice.
                let _waited_for = client.answer(message);
                empty(StatusCode::ACCEPTED)
            }
        }
    }
}

/// A body as a whole, or the answer to one that cannot be had.
async fn whole(body: Incoming, bytes_max: usize) -> Result<Vec<u8>, Box<Answered>> {
    body::read_at_most(body, bytes_max).await.map_err(|error| {
        Box::new(match error {
            BodyError::TooLarge => refused(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large"),
            BodyError::TooSlow => refused(StatusCode::REQUEST_TIMEOUT, "the body took too long to arrive"),
            BodyError::Broken => refused(StatusCode::BAD_REQUEST, "the body broke off"),
        })
    })
}

/// Answers by what goes on when the client hangs up: what it took (turn, room) is not free before it has ended.
async fn in_the_end(answering: impl Future<Output = Answered> + Send + 'static) -> Answered {
    let done = tokio::spawn(answering).await;
    done.unwrap_or_else(|_| refused(StatusCode::INTERNAL_SERVER_ERROR, "unavailable; try again later"))
}

/// A session that ends unless its client learns of it.
struct Begun<'g> {
    hub: &'g Hub,
    session: Option<(&'g str, &'g Caller)>,
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        if let Some((session, caller)) = self.session {
            self.hub.end(session, caller);
        }
    }
}

/// The answer to a request: JSON if nothing comes before it, else a stream.
async fn answer(mut messages: mpsc::Receiver<Out>, modern: bool) -> Answered {
    match messages.recv().await {
        Some(Out::Last(bytes)) => json_answer(if modern { status(&bytes) } else { StatusCode::OK }, bytes),
        first => events(first, messages),
    }
}

/// The status that goes with an error from 2026-07-28 on (MCP, streamable HTTP).
fn status(bytes: &[u8]) -> StatusCode {
    if !bytes.windows(7).any(|window| window == b"\"error\"") {
        return StatusCode::OK;
    }
    let members = Members::parse(bytes, Strictness::Lenient).unwrap_or_default();
    let error = members.value("error").and_then(|error| serde_json::from_slice::<Value>(error).ok());
    match error.and_then(|error| error.get("code")?.as_i64()) {
        Some(-32_601) => StatusCode::NOT_FOUND,
        Some(-32_022..=-32_020 | -32_700 | -32_600) => StatusCode::BAD_REQUEST,
        _ => StatusCode::OK,
    }
}

/// What every request from 2026-07-28 on must say of itself, and this one does not.
fn missing_meta(message: &Message) -> Option<&'static str> {
    if !matches!(message.kind, Kind::Request(..)) {
        return None;
    }
    let meta = message.members("_meta");
    let needed = ["io.modelcontextprotocol/protocolVersion", "io.modelcontextprotocol/clientCapabilities"];
    needed.into_iter().find(|key| meta.find(key).is_none())
}

fn id(message: &Message) -> Option<&Id> {
    match &message.kind {
        Kind::Request(_, id) | Kind::Result(id) | Kind::Error(Some(id)) => Some(id),
        Kind::Notification(_) | Kind::Error(None) => None,
    }
}

fn session(headers: &HeaderMap) -> Result<Option<&str>, Disagreement> {
    headers::single(headers, "mcp-session-id")
}

fn bad_session() -> Answered {
    refused(StatusCode::BAD_REQUEST, "one `Mcp-Session-Id` of plain text, please")
}

/// The answer for a session that has ended, never was, or is somebody else's.
/// The last answer on its connection. Who has not said who it is, or may be read as two, keeps none.
fn parting(mut answer: Answered) -> Answered {
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}

fn crowded() -> Answered {
    refused(StatusCode::TOO_MANY_REQUESTS, "you have too many requests and streams open; close one first")
}

fn no_session() -> Answered {
    let text = "there is no such session; begin with `initialize`";
    json_answer(StatusCode::NOT_FOUND, Reply::protocol_error(None, -32_600, text, None).into_bytes())
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

/// Whether a media type is accepted. A client that says nothing accepts everything (RFC 9110, section 12.5.1).
fn accepts(headers: &HeaderMap, kind: &str) -> bool {
    let mut accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).peekable();
    let family = kind.split('/').next().unwrap_or_default();
    let fits = |range: &str| {
        let range = range.split(';').next().unwrap_or_default().trim();
        range.eq_ignore_ascii_case(kind) || range == "*/*" || range.strip_suffix("/*") == Some(family)
    };
    accepted.peek().is_none() || accepted.any(|value| value.split(',').any(fits))
}

fn response(status: StatusCode, body: Answer) -> Answered {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn json_answer(status: StatusCode, bytes: impl Into<Bytes>) -> Answered {
    let mut response = response(status, Answer::whole(bytes));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn events(first: Option<Out>, rest: mpsc::Receiver<Out>) -> Answered {
    let mut response = response(StatusCode::OK, Answer::events(first, rest));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

fn plain(status: StatusCode, text: &'static str) -> Answered {
    let mut response = response(status, Answer::whole(Bytes::from_static(text.as_bytes())));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn empty(status: StatusCode) -> Answered {
    response(status, Answer::empty())
}

fn refused(status: StatusCode, text: &str) -> Answered {
    json_answer(status, Reply::protocol_error(None, -32_600, text, None).into_bytes())
}
