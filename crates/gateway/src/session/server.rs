//! What comes from the server: every word of it written by a stranger.

use std::io;
use std::sync::Arc;

use refmon_core::bundle::Listing;
use refmon_core::ids::Method;
use refmon_core::json::{Members, Strictness};
use refmon_core::monitor::{Ask, Proposal, Verdict};
use refmon_core::reason::ReasonCode;
use refmon_core::record::{Cause, Status};
use refmon_core::untrusted::Shown;
use serde_json::json;

use super::listing::Asked;
use super::{Pending, Session, State, code, untrusted};
use crate::frame::Frame;
use crate::message::{Id, Kind, Message, id_of_refused};
use crate::method::{Cleared, Side, Treatment, VERSIONS, find};
use crate::reply::{Reply, Shape};
use crate::upstream::Outbound;

/// Notifications with words of the server's own about a call that is under way. They say which one it is, or not.
const OUTPUT: &[&str] = &[
    "notifications/progress",
    "notifications/message",
    "notifications/tasks/status",
    "notifications/resources/updated",
];

impl Session {
    /// Handles a frame of the server.
    ///
    /// # Errors
    /// An error of the stream to the client: the session is over.
    pub fn from_server(&self, frame: Frame) -> io::Result<()> {
        let bytes = match frame {
            Frame::Line(bytes) => bytes,
            Frame::End => return Ok(()),
            Frame::TooLong => {
                self.nonsense("the server sent a message over the size limit; it was dropped");
                return Ok(());
            }
        };
        if self.terms.credentials.shown_in(&bytes) {
            self.nonsense("the server repeated a credential that it was given; the message was dropped");
            self.refuse_answer(bytes, "it shows a credential of the operator's");
            return Ok(());
        }
        let message = match Message::parse(bytes.clone(), Strictness::Data) {
            Ok(message) => message,
            Err(error) => {
                let shown = String::from_utf8_lossy(&bytes);
                let text = format!("the server wrote something that is not a message ({error}): `{}`", Shown(&shown));
                self.nonsense(&text);
                self.refuse_answer(bytes, &error.to_string());
                return Ok(());
            }
        };
        match &message.kind {
            Kind::Request(method, id) => {
                let (method, id) = (method.clone(), id.clone());
                self.server_request(message, &method, id)
            }
            Kind::Notification(method) => {
                let method = method.clone();
                self.server_notification(message, &method)
            }
            Kind::Result(id) | Kind::Error(Some(id)) => {
                let id = id.clone();
                self.server_answer(private(message), &id)
            }
            Kind::Error(None) => {
                self.nonsense("the server reported an error that answers no request; it was dropped");
                Ok(())
            }
        }
    }

    /// A frame that has no single reading, or shows what it must not. If it tells whose answer it is, that call ends as
    /// malformed; nothing of the frame reaches the client.
    fn refuse_answer(&self, bytes: Vec<u8>, why: &str) {
        let Some(id) = id_of_refused(&bytes) else { return };
        let pending = {
            let mut state = self.state();
            state.cancelled.remove(&id.canonical);
            state.sent(&id.canonical)
        };
        let text = format!("the tool server's answer was refused: {why}");
        match pending {
            Some(Pending::Judged { flight, .. }) => {
                drop(self.monitor.finish(flight.returned(untrusted(bytes), Status::Malformed)));
                self.answer_client(Reply::protocol_error(Some(&id), code::INTERNAL, &text, None));
            }
            Some(Pending::OwnListing) => self.own_listing_failed(),
            Some(Pending::Passed | Pending::Handshake | Pending::ToolList(_)) => {
                self.answer_client(Reply::protocol_error(Some(&id), code::INTERNAL, &text, None));
            }
            // INVARIANT: what waits here was not sent, see `State::sent`.
            Some(Pending::Held(_)) | None => {}
        }
    }

    fn server_request(&self, message: Message, method: &str, id: Id) -> io::Result<()> {
        let row = find(method, Side::Server, true);
        let full = {
            let state = self.state();
            state.from_server.contains_key(&id.canonical) || !self.has_room(&state)
        };
        let treatment = row.map(|row| row.treatment).filter(|_| !full);
        match (treatment, row) {
            (Some(Treatment::Judged(method)), _) => self.judge_server(message, method, &id),
            (Some(_), Some(row)) => {
                let Some(cleared) = Cleared::by(row, message) else { return Ok(()) };
                self.state().from_server.insert(id.canonical, Pending::Passed);
                self.to_client.send(Outbound::cleared(cleared))
            }
            _ => {
                let reason = if full { ReasonCode::TooManyCalls } else { ReasonCode::UnknownMethod };
                drop(self.refuse(Ask::Unknown, reason, Vec::new()));
                self.nonsense(&format!("the server's request `{}` was denied ({reason})", Shown(method)));
                let text = "refmon does not mediate this request, so it is denied";
                self.answer_server(Reply::protocol_error(Some(&id), code::METHOD_NOT_FOUND, text, None))
            }
        }
    }

    /// A server that asks for an effect (sampling, elicitation, roots) is judged like an agent that does.
    fn judge_server(&self, message: Message, method: Method, id: &Id) -> io::Result<()> {
        if self.withholds() {
            let denied = self.refuse(Ask::Method(method), ReasonCode::ObligationUnsupported, message.bytes);
            return self.answer_server(Reply::denied(Shape::Method, id, &denied));
        }
        let (range, now) = (message.body.clone(), self.clock.now());
        let listing = Arc::new(Listing::default());
        let proposal = Proposal::new(&self.route, Ask::Method(method), listing, message.bytes, range, now);
        match self.monitor.submit(proposal) {
            Verdict::Deny(denied) => self.answer_server(Reply::denied(Shape::Method, id, &denied)),
            Verdict::Hold(held) => self.answer_server(Reply::held(Shape::Method, id, &held)),
            Verdict::Permit(permit) => {
                let (outbound, flight) = Outbound::permitted(permit);
                let pending = Pending::Judged { flight, shape: Shape::Method };
                self.state().from_server.insert(id.canonical.clone(), pending);
                if let Err(error) = self.to_client.send(outbound) {
                    let pending = self.state().from_server.remove(&id.canonical);
                    if let Some(Pending::Judged { flight, .. }) = pending {
                        self.abandon(flight, Cause::NotSent);
                    }
                    return Err(error);
                }
                Ok(())
            }
        }
    }

    fn answer_server(&self, reply: Reply) -> io::Result<()> {
        // A server that does not read its answer is seen by the thread that writes to it.
        drop(self.to_server.send(Outbound::cleared(Cleared::answer(reply.into_bytes()))));
        Ok(())
    }

    fn server_notification(&self, message: Message, method: &str) -> io::Result<()> {
        let Some(row) = find(method, Side::Server, false) else {
            self.nonsense(&format!("the server's notification `{}` is not mediated and was dropped", Shown(method)));
            return Ok(());
        };
        if row.treatment == Treatment::ToolsChanged {
            self.tools_changed();
        }
        if OUTPUT.contains(&row.name) && self.withholds() {
            return Ok(());
        }
        let nobody = Id { canonical: String::new(), spelled: Vec::new() };
        if self.deny_input(&message, Shape::Method, &nobody).is_some() {
            self.nonsense(&format!("the server's `{}` asks for what was denied, and was dropped", row.name));
            return Ok(());
        }
        let Some(cleared) = Cleared::by(row, message) else { return Ok(()) };
        self.to_client.send(Outbound::cleared(cleared))
    }

    /// Whether a call is under way whose output the agent must not see, or was cancelled and may go on.
    fn withholds(&self) -> bool {
        let mut state = self.state();
        let State { quiet, cancelled, from_client, .. } = &mut *state;
        quiet.retain(|id| cancelled.contains(id));
        let withheld = |pending: &Pending| matches!(pending, Pending::Judged { flight, .. } if flight.withholds());
        !quiet.is_empty() || from_client.values().any(withheld)
    }

    fn server_answer(&self, message: Message, id: &Id) -> io::Result<()> {
        let pending = {
            let mut state = self.state();
            if state.cancelled.remove(&id.canonical) {
                return Ok(());
            }
            state.sent(&id.canonical)
        };
        let Some(pending) = pending else {
            self.nonsense("the server answered a request that is not open; the answer was dropped");
            return Ok(());
        };
        // A client acts on requests inside any answer, whatever else the answer says of itself.
        let shape = if let Pending::Judged { shape, .. } = &pending { *shape } else { Shape::Method };
        let quiet = matches!(&pending, Pending::Judged { flight, .. } if flight.withholds());
        if quiet && (!message.span("task").is_empty() || message.text("resultType").as_deref() == Some("task")) {
            self.state().kept_task = true;
        }
        let denied = if quiet && !message.span("inputRequests").is_empty() {
            let denied = self.refuse(Ask::Unknown, ReasonCode::ObligationUnsupported, Vec::new());
            Some(Reply::denied(shape, id, &denied))
        } else {
            self.deny_input(&message, shape, id)
        };
        match (pending, denied) {
            (Pending::Judged { flight, .. }, denied) => {
                let status = status(&message);
                let (bytes, read) = message.apart();
                let returned = flight.returned(untrusted(bytes), status);
                match denied {
                    Some(reply) => {
                        drop(self.monitor.finish(returned.withheld()));
                        self.answer_client(reply);
                    }
                    None => self.finish(returned, read, (shape, id), self.to_client.as_ref()),
                }
                Ok(())
            }
            (Pending::OwnListing, _) => {
                self.own_listing_page(&message);
                Ok(())
            }
            (_, Some(reply)) => {
                self.answer_client(reply);
                Ok(())
            }
            // INVARIANT: what waits here was not sent, see `State::sent`.
            (Pending::Held(_), None) => Ok(()),
            (Pending::Passed, None) => self.to_client.send(Outbound::cleared(Cleared::answer(message.bytes))),
            (Pending::Handshake, None) => self.handshake(message, id),
            (Pending::ToolList(asked), None) => self.tool_list(&message, asked, id),
        }
    }

    fn tool_list(&self, message: &Message, asked: Asked, id: &Id) -> io::Result<()> {
        if let Some(bytes) = self.filter_tools(message, asked) {
            return self.to_client.send(Outbound::cleared(Cleared::answer(bytes)));
        }
        let text = "the tool server's answer is not a list of tools that can be filtered, so it is denied";
        self.answer_client(Reply::protocol_error(Some(id), code::INTERNAL, text, None));
        Ok(())
    }

    /// Lets a handshake through if the server chose a version whose methods are mediated.
    fn handshake(&self, message: Message, id: &Id) -> io::Result<()> {
        let version = message.text("protocolVersion");
        let known = |version: &String| VERSIONS.contains(&version.as_str());
        if matches!(message.kind, Kind::Result(_)) && !version.as_ref().is_some_and(known) {
            self.nonsense("the server chose a protocol version that refmon does not mediate");
            let text = "the tool server chose a protocol version that refmon does not mediate";
            let data = json!({ "supported": VERSIONS });
            self.answer_client(Reply::protocol_error(Some(id), code::UNSUPPORTED_VERSION, text, Some(data)));
            return Ok(());
        }
        self.to_client.send(Outbound::cleared(Cleared::answer(message.bytes)))
    }

    /// The requests inside an answer are requests of the server (MCP 2026-07-28, multi round-trip requests): each is
    /// judged, and one refusal withholds the whole answer. What has another shape is refused.
    fn deny_input(&self, message: &Message, shape: Shape, id: &Id) -> Option<Reply> {
        let Ok(requests) = Members::parse(message.value("inputRequests")?, Strictness::Data) else {
            return Some(Reply::denied(shape, id, &self.refuse(Ask::Unknown, ReasonCode::UnknownMethod, Vec::new())));
        };
        for request in requests.all() {
            let members = Members::parse(request.value, Strictness::Data).unwrap_or_default();
            let method = members.text("method").and_then(|method| {
                find(&method, Side::Server, true).filter(|row| matches!(row.treatment, Treatment::Judged(_)))?;
                Method::parse(&method)
            });
            let bytes = request.value.to_vec();
            let range = members.value("params").map_or(0..0, |params| {
                let start = params.as_ptr().addr().saturating_sub(request.value.as_ptr().addr());
                start..start.saturating_add(params.len())
            });
            let ask = method.map_or(Ask::Unknown, Ask::Method);
            let listing = Arc::new(Listing::default());
            match self.monitor.submit(Proposal::new(&self.route, ask, listing, bytes, range, self.clock.now())) {
                Verdict::Permit(permit) => {
                    let (bytes, flight) = permit.dispatch();
                    drop(self.monitor.finish(flight.returned(bytes, Status::InputRequired)));
                }
                Verdict::Hold(held) => return Some(Reply::held(shape, id, &held)),
                Verdict::Deny(denied) => return Some(Reply::denied(shape, id, &denied)),
            }
        }
        None
    }
}

/// The answer, for its caller alone: who else may see it is not for a cache to say (MCP 2026-07-28, caching). It was judged
/// for this caller, and another may not ask for it.
fn private(answer: Message) -> Message {
    let (scope, own) = (answer.span("cacheScope"), b"\"private\"");
    if scope.is_empty() || answer.bytes.get(scope.clone()) == Some(own) {
        return answer;
    }
    match Message::parse(answer.with(vec![(scope, own.to_vec())]), Strictness::Data) {
        Ok(changed) => changed,
        // INVARIANT: a value in place of a value leaves a message that has one reading.
        Err(_) => answer,
    }
}

/// How a call ended, by the server's own account.
fn status(message: &Message) -> Status {
    if matches!(message.kind, Kind::Error(_)) {
        return Status::ProtocolError;
    }
    if message.text("resultType").as_deref() == Some("input_required") {
        return Status::InputRequired;
    }
    match message.value("isError") {
        Some(b"true") => Status::ToolError,
        _ => Status::Ok,
    }
}
