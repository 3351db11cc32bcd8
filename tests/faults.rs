//! Every port fails once at every step of a script that goes through all paths of the monitor. Whatever fails: no
//! call is dispatched without a durable attempt, no answer of a side effect is released without a durable
//! completion, no approval is used twice, and nothing panics.
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::too_many_lines,
    reason = "tests may unwrap, and a model is one piece"
)]

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use refmon_core::contract::{Effect, HoldMode};
use refmon_core::decision::Decision;
use refmon_core::ids::{CallId, HoldId};
use refmon_core::monitor::{Ask, InFlight, Monitor, Outcome, Verdict};
use refmon_core::ports::Wait;
use refmon_core::record::{Cause, Record, Status};
use refmon_core::untrusted::Untrusted;
use support::{Says, World};

struct Run {
    world: Arc<World>,
    monitor: Monitor,
    dispatched: Vec<CallId>,
}

impl Run {
    /// Submits, and checks that a permit has its durable record before anything is done with it.
    fn call(&mut self, name: &str) -> (Option<InFlight>, Option<HoldId>) {
        let listing = support::listing(&[("read", 1), ("write", 1), ("hold", 1)]);
        let caller = support::caller("t", &[]);
        let proposal = support::proposal(&self.world, &caller, Ask::Tool(name.into()), &listing, "{\"a\":1}");
        match self.monitor.submit(proposal) {
            Verdict::Permit(permit) => {
                let records = self.world.records.lock().unwrap();
                let durable = records.iter().any(|(record, wait)| {
                    matches!(record, Record::Attempt(attempt) if attempt.call == permit.call() && attempt.decision == Decision::Permit)
                        && *wait == Wait::Durable
                });
                assert!(durable, "a permit without a durable attempt");
                drop(records);
                let (_, flight) = permit.dispatch();
                self.dispatched.push(flight.call());
                (Some(flight), None)
            }
            Verdict::Hold(held) => (None, Some(held.hold())),
            Verdict::Deny(_) => (None, None),
        }
    }

    fn finish(&self, flight: Option<InFlight>, side_effects: bool) {
        let Some(flight) = flight else { return };
        let call = flight.call();
        if let Outcome::Released(_) = self.monitor.finish(flight.returned(Untrusted::new(vec![1]), Status::Ok)) {
            let records = self.world.records.lock().unwrap();
            let recorded = records.iter().any(|(record, wait)| {
                matches!(record, Record::Completion(end) if end.call == call)
                    && (*wait == Wait::Durable || !side_effects)
            });
            assert!(recorded, "a release without its record");
        }
    }
}

/// The script. Returns how many steps the ports took.
fn script(fail_at: u64) -> u64 {
    let world = Arc::new(World::default());
    let tools = || {
        [
            (support::contract("read", &[Effect::Read], &[], HoldMode::Policy, 1), Says::Permit),
            (support::contract("write", &[Effect::Write], &[], HoldMode::Policy, 1), Says::Withhold),
            (support::contract("hold", &[Effect::Destructive], &[], HoldMode::Always, 1), Says::Operator),
        ]
    };
    world.fail_at.store(fail_at, Ordering::SeqCst);
    let Ok(monitor) = Monitor::new(support::bundle(1, tools()), support::ports(&world)) else {
        assert_eq!(fail_at, 1, "a monitor that cannot record its start does not exist");
        return 0;
    };
    let mut run = Run { world: Arc::clone(&world), monitor, dispatched: vec![] };
    let (flight, _) = run.call("read");
    run.finish(flight, false);
    let (flight, _) = run.call("write");
    run.finish(flight, true);
    let (_, hold) = run.call("hold");
    if let Some(hold) = hold {
        world.decide(hold, true);
    }
    let (first, _) = run.call("hold");
    let ran = usize::from(first.is_some());
    let (second, _) = run.call("hold");
    assert!(ran + usize::from(second.is_some()) <= 1, "one approval ran twice");
    run.finish(first, true);
    run.finish(second, true);
    let (_, unknown) = run.call("nobody");
    assert!(unknown.is_none());
    let (flight, _) = run.call("read");
    if let Some(flight) = flight {
        // A failure to record leaves the attempt open; the journal closes it when it is next opened.
        let _recorded = run.monitor.abandon(flight, Cause::ServerGone).is_ok();
    }
    let _activated = run.monitor.activate(support::bundle(2, tools())).is_ok();
    let attempts: Vec<CallId> = world
        .records()
        .iter()
        .filter_map(|record| match record {
            Record::Attempt(attempt) if attempt.decision == Decision::Permit => Some(attempt.call),
            _ => None,
        })
        .collect();
    assert!(run.dispatched.iter().all(|call| attempts.contains(call)), "a call ran that the journal does not know");
    world.steps.load(Ordering::SeqCst)
}

#[test]
fn no_fault_of_any_port_at_any_step_lets_a_call_run_unrecorded() {
    let steps = script(0);
    assert!(steps > 30, "the script goes through the ports: {steps}");
    for fail_at in 1..=steps + 2 {
        script(fail_at);
    }
}

#[test]
fn a_fault_denies_the_call_in_which_it_happens() {
    let world = Arc::new(World::default());
    let tools = [(support::contract("read", &[Effect::Read], &[], HoldMode::Policy, 1), Says::Permit)];
    let monitor = support::monitor(&world, support::bundle(1, tools));
    let start = world.steps.load(Ordering::SeqCst);
    let mut run = Run { world: Arc::clone(&world), monitor, dispatched: vec![] };
    assert!(run.call("read").0.is_some());
    let steps = world.steps.load(Ordering::SeqCst) - start;
    for offset in 1..=steps {
        world.fail_at.store(world.steps.load(Ordering::SeqCst) + offset, Ordering::SeqCst);
        assert!(run.call("read").0.is_none(), "step {offset}");
    }
}
