//! The bodies of the decision APIs, each put to every path: no panic, nothing but an answer of the API's own, nothing
//! permitted without a single reading, and nobody named with more than the host has or of another tenant.
#![no_main]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use libfuzzer_sys::fuzz_target;
use refmon_core::bundle::{Bundle, Tool};
use refmon_core::caller::{Caller, IdentityKind};
use refmon_core::contract::{Contract, Effect, Effects, HoldMode};
use refmon_core::decision::Ruling;
use refmon_core::digest::{Binding, BundleDigest, Pin};
use refmon_core::hold::HoldState;
use refmon_core::ids::{AgentId, HoldId, Operation, Scope, ServerName, SubjectHandle, TenantId, ToolName, UserId};
use refmon_core::json::Json;
use refmon_core::monitor::{Monitor, Ports};
use refmon_core::ports::{
    Approval, Clock, Commitments, Entropy, Fault, Files, HoldRequest, Holds, Journal, Location, Moment,
    NoGrants, Placed, Policy, Question, Wait,
};
use refmon_core::record::Resolved;
use refmon_core::record::{Commitment, Record};
use refmon_server::holds::{Decided, Query};
use refmon_server::{Directory, Halt, Halts, Known, Parts, Server, Servers};

const PATHS: [&str; 9] = [
    "/access/v1/evaluation",
    "/access/v1/evaluations",
    "/access/v1/search/subject",
    "/access/v1/search/resource",
    "/access/v1/search/action",
    "/v1/calls",
    "/v1/calls/01900000-0000-7000-8000-000000000000/outcome",
    "/v1/holds/01900000-0000-7000-8000-000000000000/approve",
    "/v1/holds/01900000-0000-7000-8000-000000000000/deny",
];

struct World(AtomicU64);

impl Clock for World {
    fn now(&self) -> Moment {
        Moment { unix_us: 1_795_000_000_000_000, monotonic_ns: 1_000_000 }
    }
}

impl Entropy for World {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), Fault> {
        let number = self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        buffer.iter_mut().zip(number.iter().cycle()).for_each(|(byte, random)| *byte = *random);
        Ok(())
    }
}

impl Journal for World {
    fn append(&self, _: &Record, _: Wait) -> Result<(), Fault> {
        Ok(())
    }
}

impl Commitments for World {
    fn subject(&self, _: &Caller) -> Result<SubjectHandle, Fault> {
        Ok(SubjectHandle::from_bytes([1; 16]))
    }

    fn commit(&self, _: &Caller, _: &[u8]) -> Result<Commitment, Fault> {
        Ok(Commitment { salt: [0; 16], mac: [0; 32] })
    }
}

impl Holds for World {
    fn approved(&self, _: &Caller, _: &Binding, _: Moment) -> Result<Option<Approval>, Fault> {
        Ok(None)
    }

    fn place(&self, _: &Caller, request: &HoldRequest<'_>) -> Result<Placed, Fault> {
        Ok(Placed::Waits(request.id))
    }

    fn state(&self, _: &Caller, _: HoldId, _: Moment) -> Result<Option<HoldState>, Fault> {
        Ok(None)
    }

    fn spend(&self, _: &Caller, _: &Approval, _: Moment) -> Result<bool, Fault> {
        Ok(false)
    }
}

impl Files for World {
    fn locate(&self, _: &str, _: &[std::path::PathBuf]) -> Result<Location, Fault> {
        Err(Fault::unavailable("files"))
    }
}

impl refmon_server::Holds for World {
    fn list(&self, _: &Caller, _: &Query) -> Result<serde_json::Value, Fault> {
        Ok(serde_json::Value::Null)
    }

    fn find(&self, _: &Caller, _: HoldId) -> Result<Option<serde_json::Value>, Fault> {
        Ok(None)
    }

    fn decide(&self, _: &Caller, _: HoldId, _: Resolved, reason: Option<&str>) -> Result<Decided, Fault> {
        assert!(reason.is_none_or(|reason| reason.len() <= 1_024));
        Ok(Decided::Missing)
    }

    fn figures(&self, _: &Caller) -> Result<Option<serde_json::Value>, Fault> {
        Ok(None)
    }
}

impl Halts for World {
    fn list(&self, _: &Caller) -> Result<Vec<Halt>, Fault> {
        Ok(Vec::new())
    }

    fn put_on(&self, _: &Caller, _: Option<&str>) -> Result<bool, Fault> {
        Ok(false)
    }

    fn take_off(&self, _: &Caller) -> Result<bool, Fault> {
        Ok(false)
    }
}

/// Permits everything, and checks who asks.
struct Permissive;

impl Policy for Permissive {
    fn rule(&self, question: &Question<'_>) -> Ruling {
        let (caller, host) = (question.caller, &*HOST);
        assert_eq!(caller.tenant(), host.tenant());
        let named = caller.kind() == IdentityKind::Asserted;
        assert!(named || caller == host.as_ref());
        assert!(
            !named || caller.scopes().iter().all(|scope| host.holds(scope) && !scope.as_str().starts_with("refmon:"))
        );
        Ruling::Permit { policies: Vec::new(), obligations: Vec::new() }
    }

    fn conceivable(&self, _: &Caller, _: &Tool) -> bool {
        true
    }
}

static HOST: LazyLock<Arc<Caller>> = LazyLock::new(|| {
    let scopes = ["refmon:decide", "refmon:halt", "shop:use"].map(|scope| Scope::parse(scope).expect("a scope"));
    let (tenant, user) = (TenantId::parse("acme").expect("a tenant"), UserId::parse("till").expect("a user"));
    let agent = AgentId::parse("shop").expect("an agent");
    Arc::new(Caller::authenticated(IdentityKind::ApiKey, tenant, user, agent, scopes))
});

fn tool(server: &str) -> Tool {
    let contract = Contract {
        server: ServerName::parse(server).expect("a server"),
        operation: Operation::Tool(ToolName::parse("look").expect("a tool")),
        version: 1,
        pin: Some(Pin::from_bytes([7; 32])),
        effects: Effects::new([Effect::Read]).expect("an effect"),
        required_scopes: Vec::new(),
        hold: HoldMode::Policy,
        undeclared: true,
        arguments: BTreeMap::new(),
    };
    Tool { action: contract.action(), contract, schema: None, properties: Default::default(), headers: Vec::new() }
}

static SERVER: LazyLock<Server> = LazyLock::new(|| {
    let world = Arc::new(World(AtomicU64::new(0)));
    let bundle = Bundle::new(BundleDigest::from_bytes([0; 32]), [tool("shop"), tool("one")], Box::new(Permissive));
    let ports = Ports {
        clock: Arc::<World>::clone(&world),
        entropy: Arc::<World>::clone(&world),
        journal: Arc::<World>::clone(&world),
        commitments: Arc::<World>::clone(&world),
        holds: Arc::<World>::clone(&world),
        grants: Arc::new(NoGrants),
        files: Arc::<World>::clone(&world),
        inspectors: Vec::new(),
    };
    let name = |name| ServerName::parse(name).expect("a server");
    let known = || Known::new(None, r#"{"role":"clerk"}"#.to_owned()).expect("an object");
    let mut directory = Directory::default();
    directory.add_subject("user".to_owned(), "ada".to_owned(), known()).expect("once");
    directory.add_resource("shop".to_owned(), "1".to_owned(), known()).expect("once");
    let parts = Parts {
        monitor: Arc::new(Monitor::new(bundle, ports).expect("a monitor")),
        clock: Arc::<World>::clone(&world),
        entropy: Arc::<World>::clone(&world),
        servers: Servers::new(vec![name("one")], vec![name("shop")]).expect("a server"),
        directories: BTreeMap::from([(HOST.tenant().clone(), directory)]),
        origin: None,
        // What was permitted is given up at once: nothing stays from one input to the next.
        outcome_seconds: 0,
    };
    Server::new(Arc::<World>::clone(&world), world, parts, true).expect("randomness")
});

static RUNTIME: LazyLock<tokio::runtime::Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_current_thread().build().expect("a runtime"));

fuzz_target!(|bytes: &[u8]| {
    let readable = Json::parse(bytes).is_ok();
    for path in PATHS {
        let request = Request::post(path).header("content-type", "application/json");
        let request = request.body(Bytes::copy_from_slice(bytes)).expect("a request");
        let (status, body) = RUNTIME.block_on(async {
            let answer = SERVER.answer(Arc::clone(&HOST), request).await;
            let status = answer.status();
            (status, answer.into_body().collect().await.expect("a body").to_bytes())
        });
        SERVER.sweep();
        assert!(matches!(status.as_u16(), 200 | 201 | 400 | 404), "{path}: {status}");
        assert!(readable || matches!(status, StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND), "{path}");
        let value: serde_json::Value = serde_json::from_slice(&body).expect("an answer is JSON");
        assert!(value.is_object());
    }
});
