//! Asking a server over streamable HTTP, in both eras.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use refmon_core::json::Strictness;
use serde_json::Value;

use super::offer::{self, Offer, ProbeError, Wire, refusal};
use crate::link::Remote;
use crate::link::events::Events;
use crate::link::message::{bounded, describe};
use crate::message::{Kind, Message};

/// How long a server may take for one answer.
const ANSWER_WAIT: Duration = Duration::from_secs(60);

/// Asks a server at its URL.
pub(super) fn ask(remote: &Remote) -> Result<Offer, ProbeError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut posts = Posts { remote, runtime, session: None, version: None };
    let offer = offer::of(&mut posts);
    posts.end();
    offer
}

struct Posts<'r> {
    remote: &'r Remote,
    runtime: tokio::runtime::Runtime,
    /// What a server up to 2025-11-25 told in the handshake.
    session: Option<HeaderValue>,
    version: Option<HeaderValue>,
}

impl Wire for Posts<'_> {
    fn notify(&mut self, message: &Value) -> Result<(), ProbeError> {
        let posted = async { tokio::time::timeout(ANSWER_WAIT, self.post(message)).await };
        let response = self.runtime.block_on(posted).map_err(|_| ProbeError::Silent("notifications/initialized"))??;
        if response.status().is_success() { Ok(()) } else { Err(refused(&response)) }
    }

    fn request(&mut self, method: &'static str, number: u64, message: &Value) -> Result<Message, ProbeError> {
        let answered = async { tokio::time::timeout(ANSWER_WAIT, self.answer(method, number, message)).await };
        let (answer, session) = self.runtime.block_on(answered).map_err(|_| ProbeError::Silent(method))??;
        if method == "initialize" && matches!(answer.kind, Kind::Result(_)) {
            self.session = session;
            let version = answer.text("protocolVersion");
            self.version = version.and_then(|version| HeaderValue::from_str(&version).ok());
        }
        Ok(answer)
    }
}

impl Posts<'_> {
    async fn post(&self, message: &Value) -> Result<Response<Incoming>, ProbeError> {
        let text = message.to_string().into_bytes();
        let parsed = Message::parse(text, Strictness::Data).map_err(io::Error::other)?;
        let mut extra = HeaderMap::new();
        match (&parsed.kind, parsed.version()) {
            (Kind::Request(method, _), Some(version)) => describe(&parsed, &version, method, &mut extra),
            _ => extra
                .extend(self.version.clone().map(|version| (HeaderName::from_static("mcp-protocol-version"), version))),
        }
        let request = self.remote.request(Method::POST, Bytes::from(parsed.bytes), self.session.clone(), &extra)?;
        self.remote.send(request).await.map_err(ProbeError::Unreachable)
    }

    /// The answer to a request, and the session that came with it.
    async fn answer(
        &self,
        method: &'static str,
        number: u64,
        message: &Value,
    ) -> Result<(Message, Option<HeaderValue>), ProbeError> {
        let response = self.post(message).await?;
        let session = response.headers().get("mcp-session-id").cloned();
        let mut error = refused(&response);
        if matches!(error, ProbeError::Credential(_)) {
            return Err(error);
        }
        let is = |kind: &str| media_type(&response).starts_with(kind);
        let (events, json, success) = (is("text/event-stream"), is("application/json"), response.status().is_success());
        if success && events {
            error = ProbeError::Answer(method);
            if let Some(answer) = self.read_events(number, response.into_body()).await? {
                return Ok((answer, session));
            }
        } else if json {
            let body = bounded(response.into_body()).await.map_err(ProbeError::Unreachable)?;
            if let Ok(answer) = Message::parse(body, Strictness::Data)
                && matches!(answer.kind, Kind::Result(_) | Kind::Error(_))
            {
                return Ok((answer, session));
            }
        }
        Err(error)
    }

    /// Reads events until the answer has come. What the server asks meanwhile is refused.
    async fn read_events(&self, number: u64, mut body: Incoming) -> Result<Option<Message>, ProbeError> {
        let mut events = Events::default();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| ProbeError::Unreachable(io::Error::other(error)))?;
            let Some(bytes) = frame.data_ref() else { continue };
            let found = events.push(bytes).map_err(|_| io::Error::other("an event is over the size limit"))?;
            for data in found {
                let Ok(message) = Message::parse(data, Strictness::Data) else { continue };
                match &message.kind {
                    Kind::Result(id) | Kind::Error(Some(id)) if id.canonical == number.to_string() => {
                        return Ok(Some(message));
                    }
                    _ => {
                        if let Some(refused) = refusal(&message) {
                            drop(self.post(&refused).await?);
                        }
                    }
                }
            }
        }
        Ok(None)
    }

    /// Ends the session at the server, if there is one.
    fn end(&self) {
        let Some(session) = self.session.clone() else { return };
        let version = self.version.clone().map(|version| (HeaderName::from_static("mcp-protocol-version"), version));
        let request = self.remote.request(Method::DELETE, Bytes::new(), Some(session), &version.into_iter().collect());
        let Ok(request) = request else { return };
        // A server that does not hear of it forgets the session by itself.
        let sent = async { tokio::time::timeout(Duration::from_secs(5), self.remote.send(request)).await };
        drop(self.runtime.block_on(sent));
    }
}

fn media_type(response: &Response<Incoming>) -> String {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// What an answer means that is none.
fn refused(response: &Response<Incoming>) -> ProbeError {
    let status = response.status();
    if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        return ProbeError::Credential(status.as_u16());
    }
    let kind = media_type(response);
    let kind = if kind.is_empty() { "nothing in it".to_owned() } else { kind.escape_debug().take(64).collect() };
    ProbeError::NotMcp { status: status.as_u16(), kind }
}
