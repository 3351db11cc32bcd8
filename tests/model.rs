//! A second, naive monitor: what should happen, written down once more without types, ports or cleverness. Random
//! programs run on both; decision, reason, release and the whole sequence of records must agree.
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::too_many_lines,
    reason = "tests may unwrap, and a model is one piece"
)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use proptest::prelude::*;
use refmon_core::contract::{Effect, HoldMode};
use refmon_core::monitor::{Ask, InFlight, Outcome, Verdict};
use refmon_core::record::{Cause, Event, Record, Status};
use refmon_core::untrusted::Untrusted;
use support::{HOLD_SECONDS, SAYS, Says, World};

const TOOLS: usize = 4;

/// A tool of a random world.
#[derive(Clone, Copy, Debug)]
struct Tool {
    reads: bool,
    scope: bool,
    hold: HoldMode,
    says: Says,
}

/// One step of a random program.
#[derive(Clone, Debug)]
enum Step {
    Call { tool: usize, arguments: usize, tenant: usize, scoped: bool, listed: bool },
    Unknown,
    Decide { which: usize, approve: bool },
    Wait { seconds: u64 },
    Reload { digest: u8 },
    Journal { down: bool },
    Finish { which: usize, status: usize },
    Cancel { which: usize },
    Abandon { which: usize },
}

const ARGUMENTS: [(&str, Option<&str>); 6] = [
    ("", Some("{}")),
    ("{\"a\":1}", Some("{\"a\":1}")),
    ("{ \"a\" : 1.0 }", Some("{\"a\":1}")),
    ("{\"b\":2}", Some("{\"b\":2}")),
    ("{\"a\":1,\"a\":2}", None),
    ("[]", None),
];
/// The same arguments without white space.
const SPELLED: [&str; 6] = ["", "{\"a\":1}", "{\"a\":1.0}", "{\"b\":2}", "", ""];
const STATUSES: [Status; 4] = [Status::Ok, Status::ToolError, Status::ProtocolError, Status::Malformed];

/// The naive monitor.
struct Model {
    tools: [Tool; TOOLS],
    digest: u8,
    now: u64,
    journal_down: bool,
    log: Vec<String>,
    /// (tenant, tool, arguments as spelled, digest) → (state, expires, number of the hold)
    holds: Vec<(Key, &'static str, u64)>,
    flights: Vec<(usize, bool)>,
}

type Key = (usize, usize, &'static str, u8);

impl Model {
    /// Appends to the log unless the journal is down.
    fn record(&mut self, line: String) -> bool {
        if !self.journal_down {
            self.log.push(line);
        }
        !self.journal_down
    }

    fn call(&mut self, tool: usize, arguments: usize, tenant: usize, scoped: bool, listed: bool) -> String {
        let it = self.tools[tool];
        let (canonical, now) = (ARGUMENTS[arguments].1, self.now);
        let needs: &[&str] = match it.says {
            Says::Operator => &["operator"],
            Says::TwoApprovals => &["operator", "manager"],
            _ if it.hold == HoldMode::Always => &["operator"],
            _ => &[],
        };
        let refused = match (listed, scoped || !it.scope, canonical, it.says, it.hold) {
            (false, ..) => Some("tool.quarantined"),
            (_, false, ..) => Some("scope.missing"),
            (_, _, None, ..) => Some("arguments.malformed"),
            (_, _, _, Says::NoPermit, _) => Some("policy.no-permit"),
            (_, _, _, Says::Forbid, _) => Some("policy.forbidden"),
            (_, _, _, Says::Error, _) => Some("policy.error"),
            (_, _, _, Says::Operator | Says::TwoApprovals, HoldMode::Never) => Some("policy.hold-refused"),
            _ => None,
        };
        if let Some(reason) = refused {
            let recorded = self.record(format!("attempt deny {reason}"));
            return if recorded { format!("deny {reason}") } else { "deny audit.unavailable".to_owned() };
        }
        let withhold = it.says == Says::Withhold;
        if needs.is_empty() {
            return self.run(tool, withhold, "permitted");
        }
        // An approval is for the arguments as their numbers were spelled, white space aside.
        let key = (tenant, tool, SPELLED[arguments], self.digest);
        for hold in &mut self.holds {
            if hold.0 == key && hold.1 == "approved" && hold.2 > now {
                hold.1 = "spent";
                return self.run(tool, withhold, "approved");
            }
        }
        // What a person has denied stays denied until its hold is over.
        if self.holds.iter().any(|hold| hold.0 == key && hold.1 == "denied" && hold.2 > now) {
            let recorded = self.record("attempt deny approval.denied".to_owned());
            return if recorded { "deny approval.denied".to_owned() } else { "deny audit.unavailable".to_owned() };
        }
        if !self.holds.iter().any(|hold| hold.0 == key && hold.1 == "pending" && hold.2 > now) {
            self.holds.push((key, "pending", now + HOLD_SECONDS));
        }
        let policy = matches!(it.says, Says::Operator | Says::TwoApprovals);
        let reason = if policy { "hold.policy" } else { "hold.contract" };
        let recorded = self.record(format!("attempt hold {reason}"));
        if recorded { format!("hold {reason}") } else { "deny audit.unavailable".to_owned() }
    }

    fn run(&mut self, tool: usize, withhold: bool, reason: &str) -> String {
        if !self.record(format!("attempt permit {reason}")) {
            return "deny audit.unavailable".to_owned();
        }
        self.flights.push((tool, withhold));
        format!("permit {reason}")
    }

    fn decide(&mut self, which: usize, approve: bool) {
        if let Some(hold) = self.holds.get_mut(which)
            && hold.1 == "pending"
            && hold.2 > self.now
        {
            *hold = if approve { (hold.0, "approved", self.now + HOLD_SECONDS) } else { (hold.0, "denied", hold.2) };
        }
    }

    fn finish(&mut self, which: usize, status: Status) -> String {
        let (_, withhold) = self.flights.remove(which);
        let shown = !withhold && !matches!(status, Status::Malformed | Status::Cancelled);
        if !self.record(format!("completion {} {shown}", status.as_str())) {
            return "withheld audit.unavailable".to_owned();
        }
        if shown { "released".to_owned() } else { "withheld permitted".to_owned() }
    }
}

/// A line for a record of the real monitor, in the model's words.
fn line(record: &Record) -> String {
    match record {
        Record::Attempt(attempt) => format!("attempt {} {}", attempt.decision.as_str(), attempt.reason),
        Record::Completion(end) => format!("completion {} {}", end.status.as_str(), end.released),
        Record::Indeterminate(end) => format!("indeterminate {}", end.cause.as_str()),
        Record::Notice(notice) => match notice.event {
            Event::Started(_) => "started".to_owned(),
            Event::Activated(_) => "activated".to_owned(),
            _ => "other".to_owned(),
        },
        Record::Resolution(_) => "resolution".to_owned(),
        Record::Act(_) => "act".to_owned(),
    }
}

fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Released(_) => "released".to_owned(),
        Outcome::Withheld(withheld) => format!("withheld {}", withheld.reason()),
    }
}

fn bundle(tools: &[Tool; TOOLS], digest: u8) -> refmon_core::bundle::Bundle {
    support::bundle(
        digest,
        tools.iter().enumerate().map(|(number, tool)| {
            let effects: &[Effect] = if tool.reads { &[Effect::Read] } else { &[Effect::Write] };
            let scopes: &[&str] = if tool.scope { &["x"] } else { &[] };
            (support::contract(&format!("t{number}"), effects, scopes, tool.hold, 1), tool.says)
        }),
    )
}

fn agree(tools: [Tool; TOOLS], program: &[Step]) -> Result<(), TestCaseError> {
    let world = Arc::new(World::default());
    let monitor = support::monitor(&world, bundle(&tools, 0));
    let mut model = Model {
        tools,
        digest: 0,
        now: 0,
        journal_down: false,
        log: vec!["started".into()],
        holds: vec![],
        flights: vec![],
    };
    let mut flights: Vec<InFlight> = Vec::new();
    let mut holds: BTreeMap<[u8; 16], usize> = BTreeMap::new();
    let names: Vec<String> = (0..TOOLS).map(|number| format!("t{number}")).collect();
    for step in program {
        match *step {
            Step::Call { tool, arguments, tenant, scoped, listed } => {
                let caller = support::caller(["one", "two"][tenant], if scoped { &["x"] } else { &[] });
                let listing = support::listing(&[(&names[tool], if listed { 1 } else { 9 })]);
                let proposal = support::proposal(
                    &world,
                    &caller,
                    Ask::Tool(names[tool].clone()),
                    &listing,
                    ARGUMENTS[arguments].0,
                );
                let expected = model.call(tool, arguments, tenant, scoped, listed);
                let got = match monitor.submit(proposal) {
                    Verdict::Permit(permit) => {
                        let reason = permit.reason();
                        let (bytes, flight) = permit.dispatch();
                        prop_assert_eq!(
                            bytes.open().as_slice(),
                            ARGUMENTS[arguments].0.as_bytes(),
                            "what was judged is what is sent"
                        );
                        flights.push(flight);
                        format!("permit {reason}")
                    }
                    Verdict::Hold(held) => {
                        let number = holds.len();
                        holds.entry(*held.hold().as_bytes()).or_insert(number);
                        format!("hold {}", held.judgement().reason)
                    }
                    Verdict::Deny(denied) => {
                        prop_assert_eq!(
                            denied.call().is_none(),
                            denied.judgement().reason.as_str() == "audit.unavailable"
                        );
                        format!("deny {}", denied.judgement().reason)
                    }
                };
                prop_assert_eq!(got, expected, "{:?}", step);
                // A hold whose record failed was stored all the same; both sides count it.
                for id in world.holds.lock().unwrap().keys() {
                    let number = holds.len();
                    holds.entry(*id).or_insert(number);
                }
            }
            Step::Unknown => {
                let caller = support::caller("one", &[]);
                let proposal =
                    support::proposal(&world, &caller, Ask::Tool("nobody".into()), &support::listing(&[]), "{}");
                let recorded = model.record("attempt deny tool.unknown".into());
                let Verdict::Deny(denied) = monitor.submit(proposal) else {
                    return Err(TestCaseError::fail("an unknown tool ran"));
                };
                prop_assert_eq!(denied.call().is_some(), recorded);
            }
            Step::Decide { which, approve } => {
                model.decide(which, approve);
                if let Some((id, _)) = holds.iter().find(|(_, number)| **number == which) {
                    world.decide(refmon_core::ids::HoldId::from_bytes(*id), approve);
                }
            }
            Step::Wait { seconds } => {
                model.now += seconds;
                world.now_s.fetch_add(seconds, Ordering::SeqCst);
            }
            Step::Reload { digest } => {
                let recorded = model.record("activated".into());
                prop_assert_eq!(monitor.activate(bundle(&tools, digest)).is_ok(), recorded);
                if recorded {
                    model.digest = digest;
                }
            }
            Step::Journal { down } => {
                model.journal_down = down;
                world.journal_down.store(down, Ordering::SeqCst);
            }
            Step::Finish { which, status } if !flights.is_empty() => {
                let (which, status) = (which % flights.len(), STATUSES[status]);
                let returned = flights.remove(which).returned(Untrusted::new(b"{}".to_vec()), status);
                prop_assert_eq!(outcome(&monitor.finish(returned)), model.finish(which, status));
            }
            Step::Cancel { which } if !flights.is_empty() => {
                let which = which % flights.len();
                let got = outcome(&monitor.finish(flights.remove(which).cancelled()));
                prop_assert_eq!(got, model.finish(which, Status::Cancelled));
            }
            Step::Abandon { which } if !flights.is_empty() => {
                let which = which % flights.len();
                model.flights.remove(which);
                let recorded = model.record("indeterminate session-ended".into());
                prop_assert_eq!(monitor.abandon(flights.remove(which), Cause::SessionEnded).is_ok(), recorded);
            }
            Step::Finish { .. } | Step::Cancel { .. } | Step::Abandon { .. } => {}
        }
    }
    let log: Vec<String> = world.records().iter().map(line).collect();
    prop_assert_eq!(log, model.log);
    Ok(())
}

fn any_tool() -> impl Strategy<Value = Tool> {
    let hold = prop_oneof![Just(HoldMode::Always), Just(HoldMode::Policy), Just(HoldMode::Never)];
    (any::<bool>(), any::<bool>(), hold, proptest::sample::select(&SAYS[..]))
        .prop_map(|(reads, scope, hold, says)| Tool { reads, scope, hold, says })
}

fn any_step() -> impl Strategy<Value = Step> {
    let call = (0..TOOLS, 0..ARGUMENTS.len(), 0..2usize, prop::bool::weighted(0.8), prop::bool::weighted(0.9))
        .prop_map(|(tool, arguments, tenant, scoped, listed)| Step::Call { tool, arguments, tenant, scoped, listed });
    prop_oneof![
        10 => call,
        1 => Just(Step::Unknown),
        5 => (0..6usize, prop::bool::weighted(0.8)).prop_map(|(which, approve)| Step::Decide { which, approve }),
        2 => prop_oneof![1..20u64, 590..620u64].prop_map(|seconds| Step::Wait { seconds }),
        1 => (0..3u8).prop_map(|digest| Step::Reload { digest }),
        1 => prop::bool::weighted(0.3).prop_map(|down| Step::Journal { down }),
        4 => (0..8usize, 0..STATUSES.len()).prop_map(|(which, status)| Step::Finish { which, status }),
        1 => (0..8usize).prop_map(|which| Step::Cancel { which }),
        1 => (0..8usize).prop_map(|which| Step::Abandon { which }),
    ]
}

/// 100,000 programs with `REFMON_LONG=1`, 3,000 without.
fn programs() -> u32 {
    if std::env::var_os("REFMON_LONG").is_some() { 100_000 } else { 3_000 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: programs(), failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn monitor_and_model_agree_on_decision_record_and_release(
        tools in prop::array::uniform4(any_tool()),
        program in prop::collection::vec(any_step(), 1..40),
    ) {
        agree(tools, &program)?;
    }
}
