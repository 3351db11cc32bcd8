//! What comes from the client.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use refmon_core::bundle::Listing;
use refmon_core::ids::{HoldId, Method};
use refmon_core::json::{Json, Strictness};
use refmon_core::monitor::{Ask, Proposal, Route, Verdict};
use refmon_core::ports::Moment;
use refmon_core::reason::ReasonCode;
use refmon_core::record::{Cause, Status};
use refmon_core::untrusted::Shown;
use serde_json::json;

use super::listing::{Asked, OWN_ID};
use super::{Pending, Session, code, untrusted};
use crate::frame::Frame;
use crate::message::{Id, Kind, Message, MessageError, id_of_refused};
use crate::method::{Cleared, Row, Side, Treatment, VERSIONS, find, subscribes};
use crate::reply::{Reply, Shape};
use crate::trace;
use crate::upstream::Outbound;

impl Session {
    /// Handles a frame of the client.
    ///
    /// # Errors
    /// An error of the stream to the server: the session is over.
    pub fn from_client(&self, frame: Frame) -> io::Result<()> {
        let arrived = self.clock.now();
        let bytes = match frame {
            Frame::Line(bytes) => bytes,
            Frame::End => return Ok(()),
            Frame::TooLong => {
                let denied = self.refuse(Ask::Unknown, ReasonCode::MalformedArguments, Vec::new());
                let text = format!("the message is longer than {} bytes", refmon_core::limits::FRAME_BYTES_MAX);
                let record = json!({ "record": denied.call().map(|call| call.to_string()) });
                self.answer_client(Reply::protocol_error(None, code::INVALID_REQUEST, &text, Some(record)));
                return Ok(());
            }
        };
        match Message::parse(bytes.clone(), Strictness::Request) {
            Err(error) => self.malformed(bytes, &error),
            Ok(message) => match &message.kind {
                Kind::Request(method, id) => {
                    let (method, id) = (method.clone(), id.clone());
                    return self.client_request(message, &method, id, arrived);
                }
                Kind::Notification(method) => {
                    let method = method.clone();
                    return self.client_notification(message, &method);
                }
                Kind::Result(id) => {
                    let id = id.clone();
                    return self.client_answer(message, &id, Status::Ok);
                }
                Kind::Error(Some(id)) => {
                    let id = id.clone();
                    return self.client_answer(message, &id, Status::ProtocolError);
                }
                Kind::Error(None) => {
                    self.observer.notice("the client sent an error that answers nothing; it was dropped")
                }
            },
        }
        Ok(())
    }

    fn malformed(&self, bytes: Vec<u8>, error: &MessageError) {
        let id = id_of_refused(&bytes);
        let denied = self.refuse(Ask::Unknown, ReasonCode::MalformedArguments, bytes);
        let code = if matches!(error, MessageError::Malformed(_)) { code::PARSE } else { code::INVALID_REQUEST };
        let data = json!({
            "reason": ReasonCode::MalformedArguments.as_str(),
            "record": denied.call().map(|call| call.to_string()),
        });
        self.answer_client(Reply::protocol_error(id.as_ref(), code, &error.to_string(), Some(data)));
    }

    fn client_request(&self, message: Message, method: &str, id: Id, arrived: Moment) -> io::Result<()> {
        let modern = message.version();
        let shape = match (method, &modern) {
            ("tools/call", Some(_)) => Shape::ToolModern,
            ("tools/call", None) => Shape::ToolLegacy,
            _ => Shape::Method,
        };
        if let Some(version) = modern.filter(|version| !VERSIONS.contains(&version.as_str())) {
            drop(self.refuse(ask(method, &message), ReasonCode::UnknownMethod, Vec::new()));
            let data = json!({ "supported": VERSIONS, "requested": version });
            let text = "refmon does not mediate this protocol version";
            self.answer_client(Reply::protocol_error(Some(&id), code::UNSUPPORTED_VERSION, text, Some(data)));
            return Ok(());
        }
        let Some(row) = find(method, Side::Client, true) else {
            let denied = self.refuse(Ask::Unknown, ReasonCode::UnknownMethod, Vec::new());
            let data = json!({
                "reason": ReasonCode::UnknownMethod.as_str(),
                "record": denied.call().map(|call| call.to_string()),
            });
            let text = "refmon does not mediate this method, so it is denied";
            self.answer_client(Reply::protocol_error(Some(&id), code::METHOD_NOT_FOUND, text, Some(data)));
            return Ok(());
        };
        if let Some(reason) = self.no_room_for(&id) {
            let denied = self.refuse(ask(method, &message), reason, Vec::new());
            self.answer_client(Reply::denied(shape, &id, &denied));
            return Ok(());
        }
        match row.treatment {
            Treatment::Tool => {
                let range = message.span("arguments");
                self.judge(Call { ask: ask(method, &message), message, range, id, shape, arrived }, None)
            }
            // Tasks are whoever's knows their names: another caller's at a server that all reach with one credential, or one
            // whose output the agent must not see.
            Treatment::Judged(task) if task.as_str().starts_with("tasks/") && self.hides_tasks() => {
                let denied = self.refuse(Ask::Method(task), ReasonCode::UnknownMethod, message.bytes);
                self.answer_client(Reply::denied(shape, &id, &denied));
                Ok(())
            }
            Treatment::Judged(method) => {
                let range = message.body.clone();
                self.judge(Call { ask: Ask::Method(method), message, range, id, shape, arrived }, None)
            }
            Treatment::Listen if subscribes(&message) => {
                let range = message.body.clone();
                let ask = Ask::Method(Method::ResourcesSubscribe);
                self.judge(Call { ask, message, range, id, shape, arrived }, None)
            }
            Treatment::ToolList => {
                let (first, announced) = (message.span("cursor").is_empty(), self.state().tools.announced);
                self.pass_request(row, message, &id, Pending::ToolList(Asked { first, announced }))
            }
            Treatment::Handshake => self.pass_request(row, message, &id, Pending::Handshake),
            Treatment::Listen | Treatment::Pass | Treatment::Cancel | Treatment::ToolsChanged => {
                self.pass_request(row, message, &id, Pending::Passed)
            }
        }
    }

    fn hides_tasks(&self) -> bool {
        self.terms.shared || self.state().kept_task
    }

    fn no_room_for(&self, id: &Id) -> Option<ReasonCode> {
        let mut state = self.state();
        if state.cancelled.is_full() {
            state.cancelled.sweep(self.clock.now());
        }
        let taken = state.from_client.contains_key(&id.canonical) || state.cancelled.contains(&id.canonical);
        // refmon's own requests to the server have identifiers that begin like this.
        if taken || id.canonical.starts_with(OWN_ID) {
            return Some(ReasonCode::DuplicateCall);
        }
        (!self.has_room(&state)).then_some(ReasonCode::TooManyCalls)
    }

    fn pass_request(&self, row: &Row, message: Message, id: &Id, pending: Pending) -> io::Result<()> {
        let Some(cleared) = Cleared::by(row, message) else { return Ok(()) };
        self.state().from_client.insert(id.canonical.clone(), pending);
        self.to_server.send(Outbound::cleared(cleared))
    }

    /// Asks the monitor, and does what it says. A call that has waited goes on by the approval of its own hold only.
    pub(super) fn judge(&self, call: Call, waited: Option<HoldId>) -> io::Result<()> {
        let Call { ask, message, range, id, shape, arrived } = call;
        let listing = match &ask {
            Ask::Tool(_) => self.listing_for(&message),
            Ask::Method(_) | Ask::Unknown => Arc::new(Listing::default()),
        };
        // A task's result is fetched by another request, where an obligation on this one could not be met.
        let supported = if message.span("task").is_empty() { self.route.supported } else { &[] };
        let route = Route { supported, ..self.route.clone() };
        // The parameters of a method are judged as a whole, but for `_meta`.
        let beside = if matches!(ask, Ask::Tool(_)) { message.beside() } else { message.beside_envelope() };
        let parent = trace::of(&message);
        let (bytes, read) = message.apart();
        let asked = (ask.clone(), range.clone());
        let proposal = Proposal::new(&route, ask, listing, bytes, range, arrived).beside(beside);
        let verdict = trace::within(parent, || match waited {
            None => self.monitor.submit(proposal),
            Some(hold) => self.monitor.resume(proposal, hold),
        });
        match verdict {
            Verdict::Hold(held) => self.hold(held, asked, shape, &id),
            Verdict::Deny(denied) => self.answer_client(Reply::denied(shape, &id, &denied)),
            Verdict::Permit(permit) => {
                let (outbound, flight) = Outbound::permitted(permit);
                self.state().from_client.insert(id.canonical.clone(), Pending::Judged { flight, shape });
                if let Err(error) = self.to_server.send(outbound.known(read)) {
                    let pending = self.state().from_client.remove(&id.canonical);
                    if let Some(Pending::Judged { flight, .. }) = pending {
                        self.abandon(flight, Cause::NotSent);
                        let text = "the tool server does not take messages; the call may not have reached it";
                        self.answer_client(Reply::protocol_error(Some(&id), code::INTERNAL, text, None));
                    }
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn client_notification(&self, message: Message, method: &str) -> io::Result<()> {
        let Some(row) = find(method, Side::Client, false) else {
            drop(self.refuse(Ask::Unknown, ReasonCode::UnknownMethod, Vec::new()));
            self.observer
                .notice(&format!("the client's notification `{}` is not mediated and was dropped", Shown(method)));
            return Ok(());
        };
        if row.treatment == Treatment::Cancel && self.cancel(&message) == Cancelled::Here {
            return Ok(());
        }
        let Some(cleared) = Cleared::by(row, message) else { return Ok(()) };
        self.to_server.send(Outbound::cleared(cleared))
    }

    /// Forgets a cancelled request, and records it if it was a call. Whatever the server still answers is dropped; the call may have run.
    fn cancel(&self, message: &Message) -> Cancelled {
        let Some(id) = message.value("requestId").and_then(|value| Json::parse(value).ok()) else {
            return Cancelled::AtServer;
        };
        let mut state = self.state();
        let canonical = id.canonical();
        // The handshake cannot be cancelled (MCP specification, cancellation), and refmon's own request is its own.
        let known = state.from_client.get(&canonical);
        let cancellable = known.is_some_and(|pending| !matches!(pending, Pending::Handshake | Pending::OwnListing));
        if !cancellable {
            return Cancelled::AtServer;
        }
        let pending = state.from_client.remove(&canonical);
        if matches!(pending, Some(Pending::Held(_))) {
            return Cancelled::Here;
        }
        if matches!(&pending, Some(Pending::Judged { flight, .. }) if flight.withholds()) {
            state.quiet.insert(canonical.clone());
        }
        state.cancelled.insert(canonical, self.clock.now());
        drop(state);
        if let Some(Pending::Judged { flight, .. }) = pending {
            drop(self.monitor.finish(flight.cancelled()));
        }
        Cancelled::AtServer
    }

    /// An answer of the client to a request of the server.
    fn client_answer(&self, message: Message, id: &Id, status: Status) -> io::Result<()> {
        let pending = self.state().from_server.remove(&id.canonical);
        match pending {
            Some(Pending::Judged { flight, .. }) if self.monitor.precluded(&self.route.caller).is_some() => {
                // The question was permitted before the halt; the answer comes after it.
                let (bytes, _) = message.apart();
                drop(self.monitor.finish(flight.returned(untrusted(bytes), status).withheld()));
                let text = "refmon has halted this, so that no answer comes";
                drop(self.to_server.send(Outbound::reply(Reply::protocol_error(Some(id), code::INTERNAL, text, None))));
                Ok(())
            }
            Some(Pending::Judged { flight, shape }) => {
                let (bytes, read) = message.apart();
                self.finish(flight.returned(untrusted(bytes), status), read, (shape, id), self.to_server.as_ref());
                Ok(())
            }
            Some(Pending::Passed) => self.to_server.send(Outbound::cleared(Cleared::answer(message.bytes))),
            Some(Pending::Held(_) | Pending::Handshake | Pending::ToolList(_) | Pending::OwnListing) | None => {
                self.observer.notice("the client answered a request that nobody made; the answer was dropped");
                Ok(())
            }
        }
    }
}

/// A call on its way to the monitor.
pub(super) struct Call {
    pub(super) ask: Ask,
    pub(super) message: Message,
    pub(super) range: Range<usize>,
    pub(super) id: Id,
    pub(super) shape: Shape,
    pub(super) arrived: Moment,
}

/// Where a request that was cancelled is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cancelled {
    /// It waited for a person: no server has heard of it.
    Here,
    /// The server has it, or nobody.
    AtServer,
}

/// What a request asks for, as far as its method says.
fn ask(method: &str, message: &Message) -> Ask {
    if method == "tools/call" {
        return Ask::Tool(message.text("name").unwrap_or_default());
    }
    Method::parse(method).map_or(Ask::Unknown, Ask::Method)
}
