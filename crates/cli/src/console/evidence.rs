//! Calls and their lives, from the journal through its index.

use std::collections::BTreeMap;

use anyhow::Result;
use refmon_audit::record::Envelope;
use refmon_console::sight::{Call, CallQuery, Calls, Life, PAGE, Place, Step, Tone};
use refmon_core::caller::{Caller, IdentityKind};
use refmon_core::decision::Decision;
use refmon_core::ids::{CallId, HoldId, PolicyId, SubjectHandle, UserId};
use refmon_core::record::{Asked, Attempt, Record, Resolved, Status};
use refmon_store::index::{Index, Query};

use super::sighted::Sighted;
use crate::commands::audit::{caught_up, decode};
use crate::output::Output;

/// The index with everything that the journal holds now.
pub(super) fn index(sighted: &Sighted) -> Result<Index> {
    let _alone = sighted.reading.lock();
    caught_up(&sighted.home, Output::new(true))
}

/// A day before now, in microseconds since the Unix epoch.
pub(super) fn yesterday(sighted: &Sighted) -> u64 {
    sighted.now().unix_us.saturating_sub(86_400_000_000)
}

pub(super) fn calls(sighted: &Sighted, visitor: &Caller, query: &CallQuery) -> Result<Calls> {
    let index = index(sighted)?;
    let nobody = Calls { calls: Vec::new(), next: None };
    let subject = match &query.user {
        None => None,
        Some(user) => match handle(sighted, visitor, user)? {
            Some(handle) => Some(handle),
            None => return Ok(nobody),
        },
    };
    let text = |word: Option<&'static str>| word.map(str::to_owned);
    let wanted = Query {
        decision: text(query.decision),
        reason: text(query.reason),
        server: query.server.clone(),
        tool: query.tool.clone(),
        agent: query.agent.clone(),
        kind: Some("attempt".to_owned()),
        subject,
        text: query.text.clone(),
        since_us: query.since_us,
        until_us: query.until_us,
        before: query.before.map(|Place { at_us, boot, counter }| (at_us, boot, counter)),
        limit: PAGE + 1,
    };
    let mut found = decode(index.search(visitor.tenant(), &wanted)?)?;
    found.reverse();
    let more = found.len() > PAGE as usize;
    found.truncate(PAGE as usize);
    let last = found.last().and_then(place);
    let names = names(sighted, visitor)?;
    let mut calls = Vec::new();
    for envelope in &found {
        let Record::Attempt(attempt) = &envelope.record else { continue };
        calls.push(call(&index, visitor, attempt, &names)?);
    }
    Ok(Calls { calls, next: last.filter(|_| more) })
}

fn place(envelope: &Envelope) -> Option<Place> {
    let Record::Attempt(attempt) = &envelope.record else { return None };
    Some(Place { at_us: attempt.at.unix_us, boot: *envelope.boot.as_bytes(), counter: envelope.counter })
}

fn call(index: &Index, visitor: &Caller, attempt: &Attempt, names: &Names) -> Result<Call> {
    let (mut ended, mut execute_us) = (None, None);
    if attempt.decision == Decision::Permit {
        for envelope in decode(index.call(visitor.tenant(), attempt.call)?)? {
            match envelope.record {
                Record::Completion(end) => {
                    let withheld = if end.released { "" } else { ", withheld" };
                    ended = Some(format!("{}{withheld}", end.status.as_str()));
                    execute_us = Some(end.execute_us);
                }
                Record::Indeterminate(end) => ended = Some(format!("unknown: {}", end.cause.as_str())),
                Record::Attempt(_) | Record::Resolution(_) | Record::Notice(_) | Record::Act(_) => {}
            }
        }
    }
    Ok(Call {
        id: attempt.call,
        at_us: attempt.at.unix_us,
        who: names.of(attempt.subject),
        agent: attempt.agent.to_string(),
        server: attempt.server.to_string(),
        tool: asked(attempt),
        decision: attempt.decision.as_str(),
        reason: attempt.reason,
        ended,
        decide_us: attempt.decide_us,
        execute_us,
    })
}

fn asked(attempt: &Attempt) -> String {
    match &attempt.asked {
        Asked::Known { operation, .. } => operation.to_string(),
        Asked::Unknown(name) => name.to_string(),
        Asked::Unnameable => "(no usable name)".to_owned(),
    }
}

// === who ===

/// The people of a tenant whose handles are known: those who have a key, and who looks. Evidence has handles only.
pub(super) struct Names(BTreeMap<SubjectHandle, String>);

impl Names {
    pub(super) fn of(&self, handle: SubjectHandle) -> String {
        self.0.get(&handle).cloned().unwrap_or_else(|| handle.to_string())
    }
}

pub(super) fn names(sighted: &Sighted, visitor: &Caller) -> Result<Names> {
    let keys = sighted.home.api_keys()?.list()?;
    let users = keys.into_iter().filter(|key| key.tenant == *visitor.tenant()).map(|key| key.user.to_string());
    let local = sighted.home.caller()?;
    let local = Some(local.user().to_string()).filter(|_| local.tenant() == visitor.tenant());
    let mut names = BTreeMap::new();
    for user in users.chain([visitor.user().to_string()]).chain(local) {
        if let Some(handle) = handle(sighted, visitor, &user)? {
            names.insert(handle, user);
        }
    }
    Ok(Names(names))
}

/// The handle of a person of the visitor's tenant. Who has none gets none by being asked about.
fn handle(sighted: &Sighted, visitor: &Caller, user: &str) -> Result<Option<SubjectHandle>> {
    let Ok(user) = UserId::parse(user) else { return Ok(None) };
    let (tenant, agent) = (visitor.tenant().clone(), visitor.agent().clone());
    let person = Caller::authenticated(IdentityKind::ApiKey, tenant, user, agent, []);
    Ok(sighted.holds.keys.handle(&person)?)
}

// === one call's life ===

pub(super) fn life(sighted: &Sighted, visitor: &Caller, id: CallId) -> Result<Option<Life>> {
    let index = index(sighted)?;
    let mut records = decode(index.call(visitor.tenant(), id)?)?;
    let own = records.iter().find_map(|envelope| match &envelope.record {
        Record::Attempt(attempt) => Some(attempt.as_ref().clone()),
        _ => None,
    });
    let Some(attempt) = own else { return Ok(None) };
    let place = records.first().map(|first| format!("{}, record {}", first.boot, first.counter)).unwrap_or_default();
    if let Some(hold) = attempt.hold {
        let known: Vec<_> = records.iter().map(|envelope| (envelope.boot, envelope.counter)).collect();
        let more = decode(index.hold(visitor.tenant(), hold)?)?;
        records.extend(more.into_iter().filter(|envelope| !known.contains(&(envelope.boot, envelope.counter))));
    }
    let names = names(sighted, visitor)?;
    let mut steps: Vec<Step> = records.iter().flat_map(|envelope| steps(&envelope.record, id, &names)).collect();
    steps.sort_by_key(|step| step.at_us);
    if let Some(last) = records.iter().filter_map(|envelope| ended_us(&envelope.record, id)).max() {
        let detail = "in the journal: the attempt was durable before anything ran".to_owned();
        steps.push(Step { name: "Record", tone: Tone::Plain, at_us: last, detail, other: None });
    }
    Ok(Some(Life {
        id,
        tool: asked(&attempt),
        server: attempt.server.to_string(),
        decision: attempt.decision.as_str(),
        why: attempt.reason.sentence(),
        remedies: attempt.reason.remedies().iter().map(|remedy| remedy.sentence()).collect(),
        facts: facts(&attempt, &names, place),
        steps,
    }))
}

/// When the last of a call's own records was made.
fn ended_us(record: &Record, id: CallId) -> Option<u64> {
    match record {
        Record::Attempt(attempt) if attempt.call == id => Some(attempt.at.unix_us.saturating_add(attempt.decide_us)),
        Record::Completion(end) if end.call == id => Some(end.at.unix_us),
        Record::Indeterminate(end) if end.call == id => Some(end.at.unix_us),
        _ => None,
    }
}

fn steps(record: &Record, id: CallId, names: &Names) -> Vec<Step> {
    let other = |call: CallId| Some(call).filter(|call| *call != id);
    match record {
        Record::Attempt(attempt) => attempted(attempt, other(attempt.call), names),
        Record::Completion(end) => {
            let tone = match end.status {
                Status::Ok | Status::InputRequired => Tone::Permit,
                Status::ToolError | Status::ProtocolError | Status::Cancelled | Status::Malformed => Tone::Deny,
            };
            let given = if end.released { "given to the agent" } else { "withheld from the agent" };
            let detail = format!("{}: {} bytes, {given}", end.status.as_str(), end.result_bytes);
            vec![Step { name: "Outcome", tone, at_us: end.at.unix_us, detail, other: other(end.call) }]
        }
        Record::Indeterminate(end) => {
            let detail = format!("nobody knows how it ended: {}", end.cause.as_str());
            vec![Step { name: "Outcome", tone: Tone::Deny, at_us: end.at.unix_us, detail, other: other(end.call) }]
        }
        Record::Resolution(end) => {
            let (name, tone) = match end.resolved {
                Resolved::Approved => ("Approved", Tone::Permit),
                Resolved::Denied => ("Denied", Tone::Deny),
            };
            let share = end.share.map(|share| format!(", {} of {}", share.number, share.needed)).unwrap_or_default();
            let own = if end.self_approved { ", who asked for it" } else { "" };
            let detail = format!("by {}{own}{share}", names.of(end.by));
            vec![Step { name, tone, at_us: end.at.unix_us, detail, other: None }]
        }
        Record::Notice(_) | Record::Act(_) => Vec::new(),
    }
}

fn attempted(attempt: &Attempt, other: Option<CallId>, names: &Names) -> Vec<Step> {
    let (arrived, judged) = (attempt.at.unix_us, attempt.at.unix_us.saturating_add(attempt.decide_us));
    let step = |name, tone, at_us, detail| Step { name, tone, at_us, detail, other };
    let who = format!("{} through {}, at {}", names.of(attempt.subject), attempt.agent, attempt.door.as_str());
    let policies: Vec<&str> = attempt.policies.iter().map(|id| id.as_str()).collect();
    let by = if policies.is_empty() { String::new() } else { format!(" (rules: {})", policies.join(", ")) };
    let why = format!("{}{by}", attempt.reason.sentence());
    let mut steps = vec![step("Door", Tone::Plain, arrived, who)];
    match attempt.decision {
        Decision::Permit => {
            steps.push(step("Permitted", Tone::Permit, judged, why));
            steps.push(step("Run", Tone::Permit, judged, "handed to the server, once".to_owned()));
        }
        Decision::Hold => {
            steps.push(step("Judged", Tone::Hold, judged, why));
            let hold = attempt.hold.map(|hold| format!("waits for a person, as {hold}")).unwrap_or_default();
            steps.push(step("Held", Tone::Hold, judged, hold));
        }
        Decision::Deny => steps.push(step("Denied", Tone::Deny, judged, why)),
    }
    steps
}

fn facts(attempt: &Attempt, names: &Names, place: String) -> Vec<(&'static str, String)> {
    let list = |items: Vec<String>| if items.is_empty() { "none".to_owned() } else { items.join(", ") };
    let mut facts = vec![
        ("Call", attempt.call.to_string()),
        ("Person", names.of(attempt.subject)),
        ("Agent", attempt.agent.to_string()),
        ("Known by", attempt.identity.as_str().to_owned()),
        ("Door", attempt.door.as_str().to_owned()),
        ("Reason", attempt.reason.as_str().to_owned()),
        ("Rules", list(attempt.policies.iter().map(ToString::to_string).collect())),
        ("Arguments", format!("{} ({} bytes)", list(attempt.argument_names.clone()), attempt.argument_bytes)),
        ("Decided in", format!("{} µs", attempt.decide_us)),
        ("Bundle", attempt.bundle.to_string()),
        ("Journal", place),
    ];
    if let Some(host) = &attempt.asserted_by {
        facts.push(("Named by", format!("{} through {}", names.of(host.subject), host.agent)));
    }
    if let Some(hold) = attempt.hold {
        facts.push(("Hold", hold.to_string()));
    }
    if !attempt.grants.is_empty() {
        facts.push(("Grants", list(attempt.grants.iter().map(ToString::to_string).collect())));
    }
    facts
}

/// The policies that wanted a hold: name, place, reason.
pub(super) fn rules(sighted: &Sighted, visitor: &Caller, id: HoldId) -> Result<Vec<(String, String, String)>> {
    let records = decode(index(sighted)?.hold(visitor.tenant(), id)?)?;
    let policies = records.iter().find_map(|envelope| match &envelope.record {
        Record::Attempt(attempt) if attempt.decision == Decision::Hold => Some(attempt.policies.clone()),
        _ => None,
    });
    let Some(policies) = policies.filter(|policies| !policies.is_empty()) else { return Ok(Vec::new()) };
    let loaded = sighted.loaded()?;
    let rule = |id: &PolicyId| loaded.engine.rules().iter().find(|rule| rule.id() == id);
    // Permits are in the record, too, and are no reason to wait.
    let wanting = policies.iter().filter(|id| rule(id).is_none_or(|rule| !rule.is_permit()));
    let described = wanting.map(|id| {
        let rule = rule(id);
        let place = rule.map_or_else(|| "no longer there".to_owned(), super::rules::place);
        let reason = rule.and_then(|rule| rule.reason()).unwrap_or_default().to_owned();
        (id.to_string(), place, reason)
    });
    Ok(described.collect())
}
