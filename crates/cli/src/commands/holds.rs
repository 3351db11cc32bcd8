//! `refmon holds`: the queue of calls that wait for a person, for the person at the machine.

use std::sync::Arc;

use anyhow::{Result, bail};
use refmon_core::caller::Caller;
use refmon_core::ids::HoldId;
use refmon_core::ports::{Clock as _, Commitments as _, Moment};
use refmon_core::record::Resolved;
use refmon_core::untrusted::{ascii, visible};
use refmon_gateway::system::System;
use refmon_store::desk::{Decided, Figures, Hold, PAGE_MAX, Page, Seen};
use refmon_store::holds::HoldState;
use refmon_store::risk::Risk;
use serde_json::{Value, json};

use crate::args::{Arguments, HoldsCommand};
use crate::config::ConfigError;
use crate::home::Home;
use crate::output::{Answer, Output, table, time};
use crate::queue;

/// Bytes of arguments beyond which their length is pointed out.
const LONG: u64 = 2_000;
/// Holds that are listed at most.
const LISTED_MAX: usize = 1_024;

pub(crate) fn run(
    arguments: &Arguments,
    tenant: Option<&str>,
    command: &HoldsCommand,
    output: Output,
) -> Result<Answer> {
    let home = Home::open(arguments)?;
    let (caller, stores) = (home.operator(tenant)?, home.stores()?);
    let now = System::new().now();
    let desk = stores.desk_at_machine(&caller);
    match command {
        HoldsCommand::List { all } => {
            let state = (!*all).then_some(HoldState::Pending);
            let mut page = desk.list(state, None, PAGE_MAX, now)?;
            while let Some(place) = page.next.filter(|_| page.holds.len() < LISTED_MAX) {
                let more = desk.list(state, Some(place), PAGE_MAX, now)?;
                page.holds.extend(more.holds);
                page.next = more.next;
            }
            let rows: Vec<Value> = page.holds.iter().map(|seen| queue::value(seen, false)).collect();
            output.result(&json!(rows), || list(&page, now));
            Ok(Answer::Yes)
        }
        HoldsCommand::Show { id } => {
            let Some(seen) = desk.find(parse(id)?, now)? else { return missing(id, output) };
            output.result(&queue::value(&seen, true), || show(&seen));
            Ok(Answer::Yes)
        }
        HoldsCommand::Approve { id, reason } => {
            decide(&home, &caller, id, (Resolved::Approved, reason.as_deref()), output)
        }
        HoldsCommand::Deny { id, reason } => decide(&home, &caller, id, (Resolved::Denied, reason.as_deref()), output),
        HoldsCommand::Figures => {
            let Some(found) = desk.figures(now)? else { bail!("the person at the machine could decide on nothing") };
            output.result(&queue::figures(&found), || figures(&found));
            Ok(Answer::Yes)
        }
    }
}

/// Records the decision durably, then lets it take effect: an approval without evidence does not exist.
fn decide(
    home: &Home,
    caller: &Caller,
    id: &str,
    (resolved, reason): (Resolved, Option<&str>),
    output: Output,
) -> Result<Answer> {
    if reason.is_some_and(|reason| reason.len() > queue::REASON_BYTES_MAX) {
        bail!(ConfigError::new(format!("`--reason` has at most {} bytes", queue::REASON_BYTES_MAX)));
    }
    let (stores, system) = (home.stores()?, Arc::new(System::new()));
    let hold_id = parse(id)?;
    let desk = stores.desk_at_machine(caller);
    let Some(Seen::ToDecide(hold)) = desk.find(hold_id, system.now())? else { return missing(id, output) };
    let (journal, _) = home.open_journal(Arc::<System>::clone(&system))?;
    let by = home.keys()?.subject(caller)?;
    // The journal may have had to be recovered first: the present is later now.
    let now = system.now();
    let decided = queue::decide(&desk, hold_id, (resolved, reason), now, (&journal, by), caller.tenant());
    journal.close()?;
    match decided? {
        Decided::Done(progress) => {
            output.result(&queue::progress(hold_id, progress, true), || {
                let next = match progress.state {
                    HoldState::Pending => {
                        format!("approved by {} of {}; it waits for another person", progress.approved, progress.needed)
                    }
                    HoldState::Denied => "denied; the identical call stays denied until its hold is over".to_owned(),
                    _ => "approved; send the identical call again within ten minutes, and it runs once".to_owned(),
                };
                format!("{}: {next}", hold.action)
            });
            Ok(Answer::Yes)
        }
        Decided::Unchanged(progress) => {
            output.result(&queue::progress(hold_id, progress, false), || {
                let (state, approved, needed) = (progress.state.as_str(), progress.approved, progress.needed);
                format!("{}: nothing changed, for you decided so before ({state}, {approved} of {needed})", hold.action)
            });
            Ok(Answer::Yes)
        }
        Decided::NotPending(state) => {
            output.result(&json!({ "hold": id, "state": state.as_str(), "error": "not pending" }), || {
                format!("{}: nothing changed, for this hold is already {}", hold.action, state.as_str())
            });
            Ok(Answer::No)
        }
        Decided::SamePerson => bail!("whoever asked for a call cannot approve it; another person can"),
        Decided::Missing => missing(id, output),
    }
}

fn parse(id: &str) -> Result<HoldId> {
    match HoldId::parse(id) {
        Some(id) => Ok(id),
        None => bail!(ConfigError::new(format!(
            "`{}` is not a hold's identifier; see `refmon holds list`",
            refmon_core::untrusted::Shown(id)
        ))),
    }
}

fn missing(id: &str, output: Output) -> Result<Answer> {
    output.result(&json!({ "hold": id, "error": "missing" }), || {
        "there is no such hold; see `refmon holds list --all`".to_owned()
    });
    Ok(Answer::No)
}

fn list(page: &Page, now: Moment) -> String {
    if page.holds.is_empty() {
        return "no call waits".to_owned();
    }
    let rows = page.holds.iter().filter_map(|seen| match seen {
        Seen::ToDecide(hold) => Some(hold),
        Seen::Own { .. } => None,
    });
    let rows = rows.map(|hold| {
        let left = hold.expires_us.saturating_sub(now.unix_us) / 1_000_000;
        let left = if left > 0 { format!("{left} s") } else { String::new() };
        vec![
            hold.id.to_string(),
            hold.state.as_str().to_owned(),
            hold.action.clone(),
            effects(hold),
            Risk::words(hold.risk).to_owned(),
            format!("{} of {}", hold.approvals_so_far(), hold.needed),
            hold.agent.clone(),
            hold.user.clone(),
            left,
        ]
    });
    format!(
        "{}\n\nrefmon holds show ID · approve ID · deny ID",
        table(&["hold", "state", "call", "effects", "risk", "approved", "agent", "user", "expires in"], rows)
    )
}

fn effects(hold: &Hold) -> String {
    hold.effects.iter().map(|effect| effect.as_str()).collect::<Vec<_>>().join(" ")
}

fn show(seen: &Seen) -> String {
    let Seen::ToDecide(hold) = seen else { return String::new() };
    let arguments = if hold.arguments.is_empty() { "(wiped)".to_owned() } else { visible(&hold.arguments) };
    let mut rows = vec![("call", hold.action.clone()), ("arguments", arguments)];
    if hold.argument_bytes > LONG {
        rows.push(("length", format!("{} bytes: look at all of them", hold.argument_bytes)));
    }
    if !hold.arguments.is_ascii() {
        // Letters that look alike, are blank, or change the order of what stands beside them show what they are.
        rows.push(("in ASCII", ascii(&hold.arguments)));
    }
    if !hold.targets.is_empty() {
        let targets: Vec<String> = hold.targets.iter().map(|target| visible(target)).collect();
        rows.push(("targets", targets.join(", ")));
    }
    let host = hold.host.as_ref().map(|(user, agent)| format!(" (named by {user}, {agent})")).unwrap_or_default();
    rows.extend([
        ("effects", effects(hold)),
        ("risk", Risk::words(hold.risk).to_owned()),
        ("why", visible(&hold.explanation)),
        (
            "needs",
            format!(
                "{} ({} of {} people have approved)",
                hold.approvals.join(", "),
                hold.approvals_so_far(),
                hold.needed
            ),
        ),
        ("agent", hold.agent.clone()),
        ("user", format!("{}{host}", hold.user)),
        ("asked", time(hold.placed_us)),
        ("expires", time(hold.expires_us)),
        ("state", hold.state.as_str().to_owned()),
    ]);
    rows.extend(hold.decisions.iter().map(|decision| {
        let what = if decision.approves { "approved" } else { "denied" };
        let own = if decision.own && decision.approves { ", who asked" } else { "" };
        let why = decision.reason.as_deref().map(|reason| format!(": {}", visible(reason))).unwrap_or_default();
        (what, format!("by {}{own} ({}) at {}{why}", decision.user, decision.identity, time(decision.at_us)))
    }));
    rows.push(("next", queue::next(hold)));
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    rows.iter().map(|(name, text)| format!("{name:width$}  {text}")).collect::<Vec<_>>().join("\n")
}

fn figures(found: &Figures) -> String {
    let median = found.median_ms.map_or_else(|| "-".to_owned(), |median| format!("{} s", median / 1_000));
    let rows = found.asked.iter().map(|one| vec![time(one.hour_us), one.agent.clone(), one.count.to_string()]);
    format!(
        "{}\n\nin 24 hours: {} asked, {} approved, {} denied, {} undecided; median time to decide: {median}",
        table(&["hour", "agent", "asked"], rows),
        found.placed,
        found.approved,
        found.denied,
        found.undecided
    )
}
