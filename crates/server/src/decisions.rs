//! From a question to a [`Proposal`]: who is named, which tool is meant, which bytes are the arguments.
//!
//! A question is about a tool of an MCP server (resource type `tool`, action `tools/call`, as the COAZ binding for MCP has
//! it), or about something of a host (resource type: a server with `host = true`; action: a tool of its contract). Both end
//! in the same proposal as a call through `/mcp`, so both get the same verdict.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use refmon_core::bundle::{Listing, pin};
use refmon_core::caller::Caller;
use refmon_core::decision::Obligation;
use refmon_core::digest::{Hasher, Pin};
use refmon_core::ids::{CallId, Operation, Scope, ServerName, TenantId, ToolName, TrajectoryId};
use refmon_core::json::{Json, Members, Strictness};
use refmon_core::monitor::{Ask, Monitor, Proposal, Route};
use refmon_core::ports::{Clock, Entropy, Fault};
use refmon_core::reason::ReasonCode;
use refmon_core::record::Door;

use crate::calls::OpenCalls;
use crate::directory::{Directory, Known};
use crate::host::{Host, Named};
use crate::problem::Problem;
use crate::verdict;

/// The type of a resource that is a tool of an MCP server.
const TOOL: &str = "tool";
/// The action on it.
const TOOLS_CALL: &str = "tools/call";
/// Between the name of a server and the name of its tool, as `/mcp` lists them.
const SEPARATOR: &str = "__";

/// The servers of the configuration: at least one.
#[derive(Debug, Clone)]
pub struct Servers {
    first: ServerName,
    /// MCP servers, which list their tools themselves. Whoever asks has seen the list, and says what stood there.
    listed: Vec<ServerName>,
    /// What hosts run themselves. Their definitions file is their listing.
    host: Vec<ServerName>,
}

impl Servers {
    /// MCP servers, which list their tools themselves, and what hosts run, whose definitions file is their listing. `None`
    /// if there is none of either.
    #[must_use]
    pub fn new(listed: Vec<ServerName>, host: Vec<ServerName>) -> Option<Self> {
        let first = listed.iter().chain(&host).next()?.clone();
        Some(Self { first, listed, host })
    }
}

/// What the decision APIs need.
pub struct Parts {
    /// The monitor.
    pub monitor: Arc<Monitor>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// The servers of the configuration.
    pub servers: Servers,
    /// The operator's directories.
    pub directories: BTreeMap<TenantId, Directory>,
    /// The origin (scheme, host and port) under which hosts know this gateway, if the operator says one.
    pub origin: Option<String>,
    /// Seconds that the outcome of a call is waited for.
    pub outcome_seconds: u64,
}

/// The decision APIs.
pub(crate) struct Decisions {
    pub(crate) parts: Parts,
    pub(crate) calls: OpenCalls,
    seed: [u8; 16],
}

/// A question, read. Its texts are a stranger's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question<'a> {
    pub(crate) subject: Entity<'a>,
    pub(crate) action: Action<'a>,
    pub(crate) resource: Entity<'a>,
    pub(crate) context: Option<&'a Json<'a>>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Entity<'a> {
    pub(crate) kind: &'a str,
    pub(crate) id: &'a str,
    pub(crate) properties: Option<&'a Json<'a>>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Action<'a> {
    pub(crate) name: &'a str,
    pub(crate) properties: Option<&'a Json<'a>>,
    /// The arguments of `tools/call`, as they are spelled.
    pub(crate) arguments: &'a [u8],
}

/// What a question comes to: a proposal to judge, or one that is refused without a look at the arguments.
#[derive(Debug)]
pub(crate) enum Prepared {
    Judge(Proposal),
    Refuse(Proposal, ReasonCode),
}

/// A tool, as whoever asks has it.
pub(crate) struct Target<'a> {
    pub(crate) server: ServerName,
    pub(crate) ask: Ask,
    pub(crate) listing: Listing,
    pub(crate) arguments: Cow<'a, [u8]>,
}

impl Decisions {
    pub(crate) fn new(parts: Parts) -> Result<Self, Fault> {
        let mut seed = [0; 16];
        parts.entropy.fill(&mut seed)?;
        let calls = OpenCalls::new(parts.outcome_seconds);
        Ok(Self { parts, calls, seed })
    }

    /// What stands before the path in URLs.
    pub(crate) fn origin(&self) -> &str {
        self.parts.origin.as_deref().unwrap_or_default()
    }

    pub(crate) fn directory(&self, caller: &Caller) -> Option<&Directory> {
        self.parts.directories.get(caller.tenant())
    }

    /// A question as a proposal.
    pub(crate) fn prepare(&self, host: Host<'_>, question: &Question<'_>) -> Prepared {
        let directory = self.directory(host.caller());
        let known = directory.and_then(|known| known.subject(question.subject.kind, question.subject.id));
        let target = self.target(directory, question, known);
        let supported = question.context.and_then(|context| context.member("supported_obligations"));
        let supported = verdict::supported(texts(supported).into_iter());
        let agent = match question.context.and_then(|context| context.member("agent")) {
            None | Some(Json::Null) => None,
            // What is no text is no identifier.
            Some(agent) => Some(agent.as_text().unwrap_or_default()),
        };
        let scopes = scopes(known, question.subject.properties);
        let named = host.name(Named { kind: question.subject.kind, id: question.subject.id, agent, scopes });
        match named {
            Some(caller) => Prepared::Judge(self.proposal(Door::Access, &Arc::new(caller), target, supported)),
            None => Prepared::Refuse(
                self.proposal(Door::Access, host.caller(), target, supported),
                ReasonCode::UnknownSubject,
            ),
        }
    }

    pub(crate) fn proposal(
        &self,
        door: Door,
        caller: &Arc<Caller>,
        target: Target<'_>,
        supported: &'static [Obligation],
    ) -> Proposal {
        let trajectory = self.trajectory(caller);
        let route = Route { door, caller: Arc::clone(caller), trajectory, server: target.server, supported };
        let bytes = target.arguments.into_owned();
        let all = 0..bytes.len();
        Proposal::new(&route, target.ask, Arc::new(target.listing), bytes, all, self.parts.clock.now())
    }

    /// Refuses a body without a single reading: the attempt is denied and recorded, as at `/mcp`.
    pub(crate) fn unreadable(&self, door: Door, caller: &Arc<Caller>) -> Problem {
        let target = Target {
            server: self.first(),
            ask: Ask::Unknown,
            listing: Listing::default(),
            arguments: Cow::Borrowed(&[]),
        };
        let proposal = self.proposal(door, caller, target, &[]);
        Problem::Unreadable(self.parts.monitor.refuse(proposal, ReasonCode::MalformedArguments).call())
    }

    /// All calls of a caller within this process are one run: nothing says where one ends.
    fn trajectory(&self, caller: &Caller) -> TrajectoryId {
        let mut hasher = Hasher::new("refmon/trajectory/v1");
        for part in [caller.tenant().as_str(), caller.user().as_str(), caller.agent().as_str()] {
            hasher.part(part.as_bytes());
        }
        hasher.part(&self.seed);
        TrajectoryId::from_bytes(hasher.finish().first_chunk().copied().unwrap_or(self.seed))
    }

    // === which tool ===

    fn target<'a>(
        &self,
        directory: Option<&Directory>,
        question: &Question<'a>,
        subject: Option<&Known>,
    ) -> Target<'a> {
        let resource = &question.resource;
        let known = directory.and_then(|known| known.resource(resource.kind, resource.id)).map(Known::properties);
        if resource.kind == TOOL && question.action.name == TOOLS_CALL {
            let property = |name: &str| {
                let own = resource.properties.and_then(|properties| properties.member(name));
                own.or_else(|| known.as_ref()?.member(name))
            };
            let (server, tool) = self.find(property("server").and_then(Json::as_text), resource.id);
            let listing = self.listing(&server, &tool, property("definition"), property("pin"));
            return Target {
                server,
                ask: Ask::Tool(tool),
                listing,
                arguments: Cow::Borrowed(question.action.arguments),
            };
        }
        let tool = question.action.name;
        let arguments = Cow::Owned(about(question, known.as_ref(), subject).spelled().into_bytes());
        match ServerName::parse(resource.kind) {
            Ok(server) => {
                let listing = self.listing(&server, tool, None, None);
                Target { server, ask: Ask::Tool(tool.to_owned()), listing, arguments }
            }
            Err(_) => {
                Target { server: self.first(), ask: Ask::Tool(nobodys(tool)), listing: Listing::default(), arguments }
            }
        }
    }

    /// The server and its tool, by the name that `/mcp` lists: with its server's in front, unless there is only one.
    fn find(&self, server: Option<&str>, name: &str) -> (ServerName, String) {
        let listed = |server: &str| self.parts.servers.listed.iter().find(|known| known.as_str() == server).cloned();
        let found = match (server, self.parts.servers.listed.as_slice()) {
            (Some(server), _) => listed(server).map(|server| (server, name.to_owned())),
            (None, [only]) => Some((only.clone(), name.to_owned())),
            (None, _) => name.split_once(SEPARATOR).and_then(|(server, own)| Some((listed(server)?, own.to_owned()))),
        };
        found.unwrap_or_else(|| (self.first(), nobodys(name)))
    }

    /// What is listed under a tool's name: of a host, what its definitions file has; of another server, what whoever asks
    /// has seen there. Two claims that differ are none.
    pub(crate) fn listing(
        &self,
        server: &ServerName,
        tool: &str,
        definition: Option<&Json<'_>>,
        claimed: Option<&Json<'_>>,
    ) -> Listing {
        let Ok(name) = ToolName::parse(tool) else { return Listing::default() };
        if self.parts.servers.host.contains(server) {
            let bundle = self.parts.monitor.bundle();
            let pin = bundle.tool(server, &Operation::Tool(name.clone())).and_then(|tool| tool.contract.pin);
            return Listing::new(pin.map(|pin| (name, pin)));
        }
        let seen = definition.filter(|definition| definition.as_object().is_some()).map(pin);
        let claimed = claimed.and_then(Json::as_text).map(Pin::parse);
        let pin = match (seen, claimed) {
            (Some(seen), None) => Some(seen),
            (Some(seen), Some(claimed)) => claimed.filter(|claimed| *claimed == seen),
            (None, claimed) => claimed.flatten(),
        };
        Listing::new(pin.map(|pin| (name, pin)))
    }

    /// Where a question is recorded that is about no server at all.
    fn first(&self) -> ServerName {
        self.parts.servers.first.clone()
    }
}

/// A name that is no tool's.
fn nobodys(name: &str) -> String {
    format!("no server/{name}")
}

/// The arguments of a question about something of a host.
fn about<'a>(question: &Question<'a>, resource: Option<&Json<'a>>, subject: Option<&'a Known>) -> Json<'a> {
    let mut members = vec![(Cow::Borrowed("id"), Json::Text(Cow::Borrowed(question.resource.id)))];
    let subject = subject.map(Known::properties);
    for (name, own, known) in [
        ("resource", question.resource.properties, resource),
        ("action", question.action.properties, None),
        ("subject", question.subject.properties, subject.as_ref()),
    ] {
        let mut merged: Vec<_> = own.and_then(Json::as_object).unwrap_or_default().to_vec();
        for (key, value) in known.and_then(Json::as_object).unwrap_or_default() {
            if !merged.iter().any(|(own, _)| own == key) {
                merged.push((key.clone(), value.clone()));
            }
        }
        if name == "subject" {
            // They are scopes by now, and policies see them as such.
            merged.retain(|(key, _)| key != "scopes");
        }
        if !merged.is_empty() {
            members.push((Cow::Borrowed(name), Json::Object(merged)));
        }
    }
    Json::Object(members)
}

/// The scopes of a subject: what the operator says, else what the host says; `None` if nobody says anything. What is no
/// list of scopes gives none.
fn scopes(known: Option<&Known>, properties: Option<&Json<'_>>) -> Option<Vec<Scope>> {
    if let Some(scopes) = known.and_then(Known::scopes) {
        return Some(scopes.to_vec());
    }
    let said = properties?.member("scopes")?;
    Some(texts(Some(said)).into_iter().filter_map(|scope| Scope::parse(scope).ok()).collect())
}

pub(crate) fn texts<'a>(list: Option<&'a Json<'_>>) -> Vec<&'a str> {
    list.and_then(Json::as_list).unwrap_or_default().iter().filter_map(Json::as_text).collect()
}

impl<'a> Question<'a> {
    /// Reads a question whose members have been checked, from the members' values.
    pub(crate) fn read(
        subject: &'a Json<'a>,
        (action, spelled): (&'a Json<'a>, &'a [u8]),
        resource: &'a Json<'a>,
        context: Option<&'a Json<'a>>,
    ) -> Self {
        Self {
            subject: Entity::read(subject),
            action: Action::read(action, spelled),
            resource: Entity::read(resource),
            context,
        }
    }
}

impl<'a> Entity<'a> {
    pub(crate) fn read(json: &'a Json<'a>) -> Self {
        let text = |name| json.member(name).and_then(Json::as_text).unwrap_or_default();
        Self { kind: text("type"), id: text("id"), properties: json.member("properties") }
    }
}

impl<'a> Action<'a> {
    pub(crate) fn read(json: &'a Json<'a>, spelled: &'a [u8]) -> Self {
        let name = json.member("name").and_then(Json::as_text).unwrap_or_default();
        // The same bytes have been through the gate at the same strictness.
        let inner = |bytes, key: &str| Members::parse(bytes, Strictness::Request).ok()?.value(key);
        let arguments = inner(spelled, "properties").and_then(|properties| inner(properties, "arguments"));
        Self { name, properties: json.member("properties"), arguments: arguments.unwrap_or_default() }
    }
}

/// The identifier of a call in a path.
pub(crate) fn call_id(text: &str) -> Result<CallId, Problem> {
    CallId::parse(text).ok_or(Problem::NoCall)
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").field("servers", &self.servers).field("origin", &self.origin).finish_non_exhaustive()
    }
}
