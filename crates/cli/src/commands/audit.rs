//! `refmon audit`: the evidence, read and verified.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use refmon_audit::reader::{self, Cursor, Follower};
use refmon_audit::record::{self, Envelope};
use refmon_audit::{fsck, verify};
use refmon_core::ids::{CallId, TenantId};
use refmon_core::kinds::plain::unix_seconds;
use refmon_core::record::{Asked, Asserter, Attempt, Commitment, Deed, EnforcedBy, Event, Record};
use refmon_store::index::{Entry, Index, Place, Query};
use serde_json::{Value, json};

use crate::args::{Arguments, AuditCommand, SearchOptions};
use crate::config::ConfigError;
use crate::home::Home;
use crate::output::{Answer, Output, coloured, table, time};

/// Records that are put into the index at once.
const BATCH: usize = 5_000;
/// How often new records are looked for.
const FOLLOW: Duration = Duration::from_millis(200);

pub(crate) fn run(arguments: &Arguments, command: &AuditCommand, output: Output) -> Result<Answer> {
    let home = Home::open(arguments)?;
    match command {
        AuditCommand::Tail { follow, lines } => tail(&home, *follow, *lines, output),
        AuditCommand::Search(options) => search(&home, options, output),
        AuditCommand::Show { call } => show(&home, call, output),
        AuditCommand::Verify => verify(&home, output),
        AuditCommand::Fsck => fsck(&home, output),
    }
}

fn tail(home: &Home, follow: bool, lines: usize, output: Output) -> Result<Answer> {
    let mut follower = if follow { Some(Follower::from_now(&home.journal_folder())?) } else { None };
    let limit = u32::try_from(lines).unwrap_or(u32::MAX);
    for envelope in find(home, home.caller()?.tenant(), &Query { limit, ..Query::default() }, output)? {
        output.event(&value(&envelope), || line(&envelope.record));
    }
    while let Some(follower) = follower.as_mut() {
        for entry in follower.poll(1_000)? {
            output.event(&value(&entry.envelope), || line(&entry.envelope.record));
        }
        std::thread::sleep(FOLLOW);
    }
    Ok(Answer::Yes)
}

fn search(home: &Home, options: &SearchOptions, output: Output) -> Result<Answer> {
    let since = options.since.as_deref().map(|text| {
        let seconds = unix_seconds(text).and_then(|seconds| u64::try_from(seconds).ok());
        seconds.ok_or_else(|| {
            ConfigError::new("`--since` takes a date (`2026-01-31`) or an RFC 3339 time with its offset")
        })
    });
    let query = Query {
        decision: options.decision.clone(),
        reason: options.reason.clone(),
        server: options.server.clone(),
        tool: options.tool.clone(),
        agent: options.agent.clone(),
        kind: options.kind.clone(),
        since_us: since.transpose()?.map(|seconds| seconds.saturating_mul(1_000_000)),
        limit: options.limit,
        ..Query::default()
    };
    let tenant = match &options.tenant {
        Some(tenant) => TenantId::parse(tenant).map_err(|error| ConfigError::new(format!("`--tenant`: {error}")))?,
        None => home.caller()?.tenant().clone(),
    };
    let found = find(home, &tenant, &query, output)?;
    let rows: Vec<Value> = found.iter().map(value).collect();
    output.result(&json!(rows), || {
        let lines: Vec<String> = found.iter().map(|envelope| line(&envelope.record)).collect();
        if lines.is_empty() { "no record fits".to_owned() } else { lines.join("\n") }
    });
    Ok(if found.is_empty() { Answer::No } else { Answer::Yes })
}

/// The records of one call.
pub(crate) fn of_call(home: &Home, call: &str, output: Output) -> Result<Vec<Envelope>> {
    let Some(call) = CallId::parse(call) else {
        bail!(ConfigError::new("that is not a call's identifier; see `refmon audit tail`"));
    };
    let index = caught_up(home, output)?;
    decode(index.call(home.caller()?.tenant(), call)?)
}

fn show(home: &Home, call: &str, output: Output) -> Result<Answer> {
    let mut found = of_call(home, call, output)?;
    chain(home, &mut found, output)?;
    let rows: Vec<Value> = found.iter().map(value).collect();
    output.result(&json!(rows), || {
        if found.is_empty() {
            return "there is no record of this call".to_owned();
        }
        found.iter().map(|envelope| pairs(&value(envelope))).collect::<Vec<_>>().join("\n\n")
    });
    Ok(if found.is_empty() { Answer::No } else { Answer::Yes })
}

/// Behind the records of a call: what else belongs to its hold, from the attempt that was held over each person's decision to
/// the attempt that ran.
fn chain(home: &Home, found: &mut Vec<Envelope>, output: Output) -> Result<()> {
    let hold = found.iter().find_map(|envelope| match &envelope.record {
        Record::Attempt(attempt) => attempt.hold,
        _ => None,
    });
    let Some(hold) = hold else { return Ok(()) };
    let of_hold = decode(caught_up(home, output)?.hold(home.caller()?.tenant(), hold)?)?;
    let known: Vec<_> = found.iter().map(|envelope| (envelope.boot, envelope.counter)).collect();
    found.extend(of_hold.into_iter().filter(|envelope| !known.contains(&(envelope.boot, envelope.counter))));
    Ok(())
}

fn find(home: &Home, tenant: &TenantId, query: &Query, output: Output) -> Result<Vec<Envelope>> {
    let index = caught_up(home, output)?;
    decode(index.search(tenant, query)?)
}

pub(crate) fn decode(rows: Vec<Vec<u8>>) -> Result<Vec<Envelope>> {
    let damaged = "the index holds a record that cannot be read; remove `index.db` in the data folder, it is rebuilt";
    rows.iter().map(|bytes| record::decode(bytes).context(damaged)).collect()
}

/// The index, with everything in it that the journal holds now.
pub(crate) fn caught_up(home: &Home, output: Output) -> Result<Index> {
    let mut index = Index::open(&home.data()?.join("index.db"))?;
    let journal = home.journal_folder();
    let mut told = 0usize;
    for boot in reader::boots(&journal)? {
        let start = index.place(*boot.as_bytes())?.map_or_else(
            || Cursor::start(boot),
            |Place { segment, offset, counter }| Cursor { boot, segment, offset, counter },
        );
        let mut entries = reader::since(&journal, start);
        loop {
            let batch: Vec<reader::Entry> = entries.by_ref().take(BATCH).collect::<Result<_, _>>()?;
            let Some(last) = batch.last() else { break };
            let Cursor { segment, offset, counter, .. } = last.next;
            let bytes: Vec<Vec<u8>> =
                batch.iter().map(|entry| record::encode(&entry.envelope)).collect::<Result<_, _>>()?;
            let rows = batch.iter().zip(&bytes).map(|(entry, bytes)| Entry {
                counter: entry.envelope.counter,
                record: &entry.envelope.record,
                bytes,
            });
            index.add(*boot.as_bytes(), rows, Place { segment, offset, counter })?;
            told += batch.len();
            if told > 10 * BATCH && !output.json {
                output.say(&format!("indexing: {told} records"));
            }
        }
    }
    Ok(index)
}

fn verify(home: &Home, output: Output) -> Result<Answer> {
    let report = verify::verify(&begun(home)?).context("the journal cannot be read")?;
    let counts = report.counts;
    let findings: Vec<String> = report.findings().map(ToString::to_string).collect();
    let summary = json!({
        "intact": report.is_intact(), "records": counts.intact, "completed": counts.completed,
        "indeterminate": counts.indeterminate, "open": counts.open, "refused": counts.refused,
        "violations": counts.violations, "boots": report.boots.len(), "segments": counts.segments, "findings": findings,
    });
    output.result(&summary, || {
        let rows = [
            ("records", counts.intact),
            ("calls completed", counts.completed),
            ("calls indeterminate", counts.indeterminate),
            ("calls open", counts.open),
            ("calls held or denied", counts.refused),
            ("violations", counts.violations),
        ];
        let counted = table(&["what", "number"], rows.map(|(what, number)| vec![what.to_owned(), number.to_string()]));
        let verdict = if report.is_intact() {
            "intact, as far as a journal can show by itself; that nothing was cut off its end, and no whole run taken out, needs a copy kept elsewhere"
        } else {
            "NOT INTACT"
        };
        format!("{counted}\n{}\n{verdict}", findings.join("\n"))
    });
    Ok(if report.is_intact() { Answer::Yes } else { Answer::No })
}

fn fsck(home: &Home, output: Output) -> Result<Answer> {
    let boots = fsck::fsck(&begun(home)?).context("the journal cannot be read")?;
    let rows = boots.iter().map(|boot| {
        json!({
            "boot": boot.boot.to_string(), "state": state(boot.state), "segments": boot.segments.len(),
            "bytes": boot.segments.iter().map(|(_, bytes)| bytes).sum::<u64>(), "leftovers": boot.leftovers, "next": plan(&boot.plan),
        })
    });
    output.result(&rows.collect(), || {
        table(
            &["boot", "state", "segments", "the next start"],
            boots.iter().map(|boot| {
                vec![
                    boot.boot.to_string(),
                    state(boot.state).to_owned(),
                    boot.segments.len().to_string(),
                    plan(&boot.plan),
                ]
            }),
        )
    });
    Ok(Answer::Yes)
}

/// The journal's folder, which the first run makes.
fn begun(home: &Home) -> Result<PathBuf> {
    let folder = home.journal_folder();
    if !folder.is_dir() {
        bail!("there is no journal in `{}` yet; it begins with the first `refmon wrap`", folder.display());
    }
    Ok(folder)
}

const fn state(state: verify::BootState) -> &'static str {
    match state {
        verify::BootState::Live => "live",
        verify::BootState::Closed => "closed",
        verify::BootState::NotClosed => "not closed",
    }
}

fn plan(plan: &fsck::Plan) -> String {
    match plan {
        fsck::Plan::Nothing => "does nothing".to_owned(),
        fsck::Plan::Recover { open, kept, torn_bytes } => {
            format!(
                "closes it: {open} calls become indeterminate, {kept} records are kept, {torn_bytes} torn bytes are cut"
            )
        }
        fsck::Plan::Mark => "writes the missing marker".to_owned(),
        fsck::Plan::LeaveAlone(findings) => {
            let why: Vec<String> = findings.iter().map(ToString::to_string).collect();
            format!("leaves it alone: {}", why.join("; "))
        }
    }
}

/// One record on one line.
fn line(record: &Record) -> String {
    match record {
        Record::Attempt(attempt) => {
            let hold = attempt.hold.map(|hold| format!(" hold {hold}")).unwrap_or_default();
            let (time, decision) = (time(attempt.at.unix_us), coloured(attempt.decision.as_str()));
            let enforced = match attempt.door.enforced_by() {
                EnforcedBy::Refmon => "",
                EnforcedBy::Asker => " (enforced by the caller)",
            };
            format!(
                "{time} {} {decision:6} {}/{} [{}]{hold}{enforced}",
                attempt.call,
                attempt.server,
                asked(attempt),
                attempt.reason
            )
        }
        Record::Completion(end) => {
            let withheld = if end.released { "" } else { " (withheld)" };
            format!(
                "{} {} ended  {}{withheld} {} bytes in {} µs",
                time(end.at.unix_us),
                end.call,
                end.status.as_str(),
                end.result_bytes,
                end.execute_us
            )
        }
        Record::Indeterminate(end) => {
            format!("{} {} ended  indeterminate ({})", time(end.at.unix_us), end.call, end.cause.as_str())
        }
        Record::Resolution(end) => {
            let own = if end.self_approved { " (by the one who asked)" } else { "" };
            let share =
                end.share.map(|share| format!(" {} of {} ({})", share.number, share.needed, share.identity.as_str()));
            let (what, share) = (end.resolved.as_str(), share.unwrap_or_default());
            format!("{} hold {} {what}{share}{own}", time(end.at.unix_us), end.hold)
        }
        Record::Notice(notice) => format!("{} refmon {}", time(notice.at.unix_us), event(&notice.event)),
        Record::Act(act) => format!("{} {} {}", time(act.at.unix_us), act.by, deed(&act.deed)),
    }
}

fn deed(deed: &Deed) -> String {
    match deed {
        Deed::Granted { grant, to, agent, scopes, until_us, .. } => {
            let scopes: Vec<&str> = scopes.iter().map(|scope| scope.as_str()).collect();
            let agent = agent.as_ref().map(|agent| format!(" through {agent}")).unwrap_or_default();
            format!("gave {} to {to}{agent} until {} (grant {grant})", scopes.join(" "), time(*until_us))
        }
        Deed::Revoked { grant } => format!("revoked grant {grant}"),
        Deed::Halted => "halted the tenant's calls".to_owned(),
        Deed::Resumed => "resumed the tenant's calls".to_owned(),
    }
}

fn event(event: &Event) -> String {
    match event {
        Event::Started(bundle) => format!("started with bundle {bundle}"),
        Event::Stopped => "stopped".to_owned(),
        Event::Recovered { open, torn_bytes } => {
            format!("recovered: {open} calls indeterminate, {torn_bytes} torn bytes cut")
        }
        Event::Activated(bundle) => format!("put bundle {bundle} in force"),
        Event::Refused(bundle) => format!("refused a broken bundle; {bundle} stays in force"),
        Event::Quarantined { server, tool } => format!("quarantined {server}/{tool}"),
        Event::Halted { by } => format!("halted all calls (by {by})"),
        Event::Resumed { by } => format!("resumed (by {by})"),
    }
}

fn asked(attempt: &Attempt) -> String {
    match &attempt.asked {
        Asked::Known { operation, version, .. } => format!("{operation}@{version}"),
        Asked::Unknown(name) => format!("{name} (no contract)"),
        Asked::Unnameable => "(no usable name)".to_owned(),
    }
}

/// A record as JSON.
fn value(envelope: &Envelope) -> Value {
    let mut value = body(&envelope.record);
    if let Some(members) = value.as_object_mut() {
        members.insert("boot".to_owned(), json!(envelope.boot.to_string()));
        members.insert("counter".to_owned(), json!(envelope.counter));
    }
    value
}

fn body(record: &Record) -> Value {
    match record {
        Record::Attempt(attempt) => attempt_value(attempt),
        Record::Completion(end) => json!({
            "kind": "completion", "time": time(end.at.unix_us), "call": end.call.to_string(), "tenant": end.tenant.as_str(),
            "status": end.status.as_str(), "released": end.released, "result": end.result.map(commitment),
            "result_bytes": end.result_bytes, "execute_us": end.execute_us,
        }),
        Record::Indeterminate(end) => json!({
            "kind": "indeterminate", "time": time(end.at.unix_us), "call": end.call.to_string(),
            "tenant": end.tenant.as_str(), "cause": end.cause.as_str(),
        }),
        Record::Resolution(end) => json!({
            "kind": "resolution", "time": time(end.at.unix_us), "hold": end.hold.to_string(), "tenant": end.tenant.as_str(),
            "resolved": end.resolved.as_str(), "by": end.by.to_string(), "self_approved": end.self_approved,
            "identity": end.share.map(|share| share.identity.as_str()), "number": end.share.map(|share| share.number),
            "needed": end.share.map(|share| share.needed),
        }),
        Record::Notice(notice) => {
            json!({ "kind": "notice", "time": time(notice.at.unix_us), "event": event(&notice.event) })
        }
        Record::Act(act) => {
            let mut value = json!({
                "kind": "act", "time": time(act.at.unix_us), "tenant": act.tenant.as_str(), "by": act.by.to_string(),
                "identity": act.identity.as_str(), "deed": deed(&act.deed),
            });
            if let Deed::Granted { grant, to, agent, scopes, until_us, reason } = &act.deed {
                value["granted"] = json!({
                    "grant": grant.to_string(), "to": to.to_string(), "agent": agent.as_ref().map(|agent| agent.as_str()),
                    "scopes": scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>(), "until": time(*until_us),
                    "reason": commitment(*reason),
                });
            }
            value
        }
    }
}

fn attempt_value(attempt: &Attempt) -> Value {
    let texts = |items: Vec<&str>| items.into_iter().map(str::to_owned).collect::<Vec<_>>();
    json!({
        "kind": "attempt", "time": time(attempt.at.unix_us), "call": attempt.call.to_string(),
        "tenant": attempt.tenant.as_str(), "subject": attempt.subject.to_string(), "identity": attempt.identity.as_str(),
        "agent": attempt.agent.as_str(), "trajectory": attempt.trajectory.to_string(), "door": attempt.door.as_str(),
        "server": attempt.server.as_str(), "asked": asked(attempt), "decision": attempt.decision.as_str(),
        "reason": attempt.reason.as_str(), "policies": texts(attempt.policies.iter().map(|id| id.as_str()).collect()),
        "approvals": texts(attempt.approvals.iter().map(|kind| kind.as_str()).collect()),
        "obligations": texts(attempt.obligations.iter().map(|obligation| obligation.as_str()).collect()),
        "bundle": attempt.bundle.to_string(), "hold": attempt.hold.map(|hold| hold.to_string()),
        "arguments": attempt.arguments.map(commitment), "argument_bytes": attempt.argument_bytes,
        "argument_names": attempt.argument_names, "decide_us": attempt.decide_us,
        "grants": attempt.grants.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "enforced_by": attempt.door.enforced_by().as_str(), "asserted_by": attempt.asserted_by.as_ref().map(asserter),
    })
}

fn asserter(host: &Asserter) -> Value {
    json!({ "subject": host.subject.to_string(), "agent": host.agent.as_str(), "identity": host.identity.as_str() })
}

fn commitment(commitment: Commitment) -> Value {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    json!({ "salt": hex(&commitment.salt), "hmac_sha256": hex(&commitment.mac) })
}

/// The members of a record, a line each.
fn pairs(value: &Value) -> String {
    let members = value.as_object().map(|members| members.iter().collect::<Vec<_>>()).unwrap_or_default();
    let width = members.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    members.iter().map(|(name, value)| format!("{name:width$}  {}", text(value))).collect::<Vec<_>>().join("\n")
}
