//! Ports in memory, and a monitor over them, for the tests across crates. Nothing inside the core is replaced.
#![allow(
    clippy::unwrap_used,
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::allow_attributes,
    reason = "each test uses its part"
)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use refmon_core::bundle::{Bundle, Listing, Tool};
use refmon_core::caller::Caller;
use refmon_core::contract::{Contract, Effect, Effects, HoldMode};
use refmon_core::decision::{Obligation, Ruling};
use refmon_core::digest::{Binding, BundleDigest, Pin};
use refmon_core::hold::HoldState;
use refmon_core::ids::{
    AgentId, ApprovalKind, HoldId, Operation, PolicyId, Scope, ServerName, SubjectHandle, TenantId, ToolName,
    TrajectoryId, UserId,
};
use refmon_core::monitor::{Ask, Monitor, Ports, Proposal, Route};
use refmon_core::ports::{
    Approval, Clock, Commitments, Entropy, Fault, Files, HoldRequest, Holds, Journal, Location, Moment, Placed, Policy,
    Question, ScopeGrant, ScopeGrants, Wait,
};
use refmon_core::reason::ReasonCode;
use refmon_core::record::{Commitment, Door, Record};

/// The world outside of a monitor, in memory. Every port call counts as a step, and one step may fail.
#[derive(Default)]
pub struct World {
    pub now_s: AtomicU64,
    pub entropy: AtomicU64,
    pub steps: AtomicU64,
    /// The step that fails, counted from 1; 0 for none.
    pub fail_at: AtomicU64,
    pub journal_down: AtomicBool,
    pub records: Mutex<Vec<(Record, Wait)>>,
    pub holds: Mutex<BTreeMap<[u8; 16], Held>>,
    /// Grants, each with the tenant that it is of and the second of its end.
    pub grants: Mutex<Vec<(String, u64, ScopeGrant)>>,
}

#[derive(Clone, Debug)]
pub struct Held {
    pub tenant: String,
    pub binding: Binding,
    pub approvals: Vec<ApprovalKind>,
    pub approvers: u8,
    pub state: &'static str,
    pub expires_s: u64,
}

pub const HOLD_SECONDS: u64 = 600;

impl World {
    fn step(&self) -> Result<(), Fault> {
        let step = self.steps.fetch_add(1, Ordering::SeqCst) + 1;
        if self.fail_at.load(Ordering::SeqCst) == step { Err(Fault::unavailable("a port")) } else { Ok(()) }
    }

    pub fn records(&self) -> Vec<Record> {
        self.records.lock().unwrap().iter().map(|(record, _)| record.clone()).collect()
    }

    pub fn decide(&self, id: HoldId, approve: bool) {
        let now = self.now_s.load(Ordering::SeqCst);
        let mut holds = self.holds.lock().unwrap();
        let Some(held) = holds.get_mut(id.as_bytes()) else { return };
        if held.state == "pending" && held.expires_s > now {
            held.state = if approve { "approved" } else { "denied" };
            // What was denied is over when its hold is.
            if approve {
                held.expires_s = now + HOLD_SECONDS;
            }
        }
    }
}

impl Clock for World {
    fn now(&self) -> Moment {
        let seconds = self.now_s.load(Ordering::SeqCst);
        Moment { unix_us: seconds * 1_000_000, monotonic_ns: seconds * 1_000_000_000 }
    }
}

impl Entropy for World {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), Fault> {
        self.step()?;
        let number = self.entropy.fetch_add(1, Ordering::SeqCst).to_be_bytes();
        for (slot, byte) in buffer.iter_mut().rev().zip(number.iter().rev()) {
            *slot = *byte;
        }
        Ok(())
    }
}

impl Journal for World {
    fn append(&self, record: &Record, wait: Wait) -> Result<(), Fault> {
        self.step()?;
        if self.journal_down.load(Ordering::SeqCst) {
            return Err(Fault::unavailable("the journal"));
        }
        self.records.lock().unwrap().push((record.clone(), wait));
        Ok(())
    }
}

impl Commitments for World {
    fn subject(&self, _: &Caller) -> Result<SubjectHandle, Fault> {
        self.step()?;
        Ok(SubjectHandle::from_bytes([7; 16]))
    }

    fn commit(&self, _: &Caller, bytes: &[u8]) -> Result<Commitment, Fault> {
        self.step()?;
        let mut mac = [0; 32];
        mac[0] = u8::try_from(bytes.len() % 256).unwrap();
        Ok(Commitment { salt: [0; 16], mac })
    }
}

impl Files for World {
    fn locate(&self, absolute: &str, roots: &[PathBuf]) -> Result<Location, Fault> {
        self.step()?;
        let root = roots.iter().position(|root| absolute.starts_with(&format!("{}/", root.display())));
        Ok(Location {
            canonical: absolute.to_owned(),
            root,
            exists: false,
            guarded: false,
            encloses: false,
            personal: false,
        })
    }
}

impl Holds for World {
    fn approved(&self, caller: &Caller, binding: &Binding, now: Moment) -> Result<Option<Approval>, Fault> {
        self.step()?;
        let holds = self.holds.lock().unwrap();
        let fits = |held: &&Held| {
            held.tenant == caller.tenant().as_str()
                && held.binding == *binding
                && held.state == "approved"
                && held.expires_s > now.unix_us / 1_000_000
        };
        Ok(holds.iter().find(|(_, held)| fits(held)).map(|(id, held)| Approval {
            hold: HoldId::from_bytes(*id),
            approvals: held.approvals.clone(),
            approvers: held.approvers,
        }))
    }

    fn place(&self, caller: &Caller, request: &HoldRequest<'_>) -> Result<Placed, Fault> {
        self.step()?;
        let now = request.now.unix_us / 1_000_000;
        let mut holds = self.holds.lock().unwrap();
        let same = |held: &&Held| {
            held.tenant == caller.tenant().as_str()
                && held.binding == request.binding
                && matches!(held.state, "pending" | "denied")
                && held.expires_s > now
        };
        if let Some((id, held)) = holds.iter().find(|(_, held)| same(held)) {
            let id = HoldId::from_bytes(*id);
            return Ok(if held.state == "denied" { Placed::Denied(id) } else { Placed::Waits(id) });
        }
        let held = Held {
            tenant: caller.tenant().to_string(),
            binding: request.binding,
            approvals: request.approvals.to_vec(),
            approvers: request.approvers,
            state: "pending",
            expires_s: now + HOLD_SECONDS,
        };
        holds.insert(*request.id.as_bytes(), held);
        Ok(Placed::Waits(request.id))
    }

    fn state(&self, caller: &Caller, hold: HoldId, now: Moment) -> Result<Option<HoldState>, Fault> {
        let holds = self.holds.lock().unwrap();
        let own = |held: &&Held| held.tenant == caller.tenant().as_str();
        let Some(held) = holds.get(hold.as_bytes()).filter(own) else { return Ok(None) };
        let over = held.expires_s <= now.unix_us / 1_000_000 && matches!(held.state, "pending" | "approved");
        Ok(if over { Some(HoldState::Expired) } else { HoldState::parse(held.state) })
    }

    fn spend(&self, _: &Caller, approval: &Approval, _: Moment) -> Result<bool, Fault> {
        self.step()?;
        let mut holds = self.holds.lock().unwrap();
        let held = holds.get_mut(approval.hold.as_bytes()).filter(|held| held.state == "approved");
        Ok(held.map(|held| held.state = "spent").is_some())
    }
}

impl ScopeGrants for World {
    fn in_force(&self, caller: &Caller, now: Moment) -> Result<Vec<ScopeGrant>, Fault> {
        self.step()?;
        let grants = self.grants.lock().unwrap();
        let in_force = grants
            .iter()
            .filter(|(tenant, until, _)| tenant == caller.tenant().as_str() && *until > now.unix_us / 1_000_000);
        Ok(in_force.map(|(_, _, grant)| grant.clone()).collect())
    }
}

/// What a tool's policy says, as data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    Permit,
    Withhold,
    Operator,
    TwoApprovals,
    NoPermit,
    Forbid,
    Error,
}

pub const SAYS: [Says; 7] =
    [Says::Permit, Says::Withhold, Says::Operator, Says::TwoApprovals, Says::NoPermit, Says::Forbid, Says::Error];

/// A policy that is a table from tools to answers.
pub struct Table(pub BTreeMap<String, Says>);

impl Policy for Table {
    fn rule(&self, question: &Question<'_>) -> Ruling {
        let policies = vec![PolicyId::parse("table").unwrap()];
        let deny = |reason| Ruling::Deny { reason, policies: policies.clone(), explanation: None };
        let needs = |kinds: &[&str]| {
            let missing: Vec<ApprovalKind> = kinds
                .iter()
                .map(|kind| ApprovalKind::parse(kind).unwrap())
                .filter(|kind| !question.granted.approvals().contains(kind))
                .collect();
            if missing.is_empty() {
                Ruling::Permit { policies: policies.clone(), obligations: vec![] }
            } else {
                Ruling::Hold { policies: policies.clone(), approvals: missing, approvers: 1, explanation: None }
            }
        };
        match self.0.get(&question.tool.contract.operation.to_string()) {
            Some(Says::Permit) => needs(&[]),
            Some(Says::Withhold) => Ruling::Permit { policies, obligations: vec![Obligation::WithholdOutput] },
            Some(Says::Operator) => needs(&["operator"]),
            Some(Says::TwoApprovals) => needs(&["operator", "manager"]),
            Some(Says::Forbid) => deny(ReasonCode::PolicyForbidden),
            Some(Says::Error) => deny(ReasonCode::PolicyError),
            Some(Says::NoPermit) | None => deny(ReasonCode::PolicyNoPermit),
        }
    }

    fn conceivable(&self, _: &Caller, tool: &Tool) -> bool {
        !matches!(self.0.get(&tool.contract.operation.to_string()), None | Some(Says::NoPermit | Says::Forbid))
    }
}

pub fn contract(name: &str, effects: &[Effect], scopes: &[&str], hold: HoldMode, pin: u8) -> Contract {
    Contract {
        server: server(),
        operation: Operation::Tool(ToolName::parse(name).unwrap()),
        version: 1,
        pin: Some(Pin::from_bytes([pin; 32])),
        effects: Effects::new(effects.iter().copied()).unwrap(),
        required_scopes: scopes.iter().map(|scope| Scope::parse(scope).unwrap()).collect(),
        hold,
        undeclared: true,
        arguments: BTreeMap::new(),
    }
}

pub fn tool(contract: Contract) -> Tool {
    Tool { action: contract.action(), contract, schema: None, properties: ["a".to_owned()].into(), headers: Vec::new() }
}

pub fn bundle(digest: u8, tools: impl IntoIterator<Item = (Contract, Says)>) -> Bundle {
    let (mut table, mut all) = (BTreeMap::new(), Vec::new());
    for (contract, says) in tools {
        table.insert(contract.operation.to_string(), says);
        all.push(tool(contract));
    }
    Bundle::new(BundleDigest::from_bytes([digest; 32]), all, Box::new(Table(table)))
}

pub fn server() -> ServerName {
    ServerName::parse("s").unwrap()
}

pub fn caller(tenant: &str, scopes: &[&str]) -> Caller {
    let scopes = scopes.iter().map(|scope| Scope::parse(scope).unwrap());
    Caller::local(TenantId::parse(tenant).unwrap(), UserId::parse("u").unwrap(), AgentId::parse("a").unwrap(), scopes)
}

pub fn listing(pins: &[(&str, u8)]) -> Arc<Listing> {
    Arc::new(Listing::new(pins.iter().map(|(name, pin)| (ToolName::parse(name).unwrap(), Pin::from_bytes([*pin; 32])))))
}

pub fn ports(world: &Arc<World>) -> Ports {
    Ports {
        clock: Arc::<World>::clone(world),
        entropy: Arc::<World>::clone(world),
        journal: Arc::<World>::clone(world),
        commitments: Arc::<World>::clone(world),
        holds: Arc::<World>::clone(world),
        grants: Arc::<World>::clone(world),
        files: Arc::<World>::clone(world),
        inspectors: vec![],
    }
}

pub fn monitor(world: &Arc<World>, bundle: Bundle) -> Monitor {
    Monitor::new(bundle, ports(world)).unwrap()
}

pub fn proposal(world: &World, caller: &Caller, ask: Ask, listing: &Arc<Listing>, arguments: &str) -> Proposal {
    let route = Route {
        door: Door::Library,
        caller: Arc::new(caller.clone()),
        trajectory: TrajectoryId::from_bytes([1; 16]),
        server: server(),
        supported: &[Obligation::WithholdOutput],
    };
    let bytes = arguments.as_bytes().to_vec();
    let range = 0..bytes.len();
    Proposal::new(&route, ask, Arc::clone(listing), bytes, range, world.now())
}
