//! `refmon holds`: the queue of calls that wait for a person.

use std::sync::Arc;

use anyhow::{Result, bail};
use refmon_core::caller::Caller;
use refmon_core::ids::HoldId;
use refmon_core::ports::{Clock as _, Commitments as _, Moment, Wait};
use refmon_core::record::{Record, Resolution, Resolved};
use refmon_gateway::system::System;
use refmon_store::holds::{Decided, Hold};
use serde_json::{Value, json};

use crate::args::{Arguments, HoldsCommand};
use crate::home::Home;
use crate::output::{Answer, Output, table, time};

/// Bytes of arguments beyond which their length is pointed out.
const LONG: usize = 2_000;

pub(crate) fn run(
    arguments: &Arguments,
    tenant: Option<&str>,
    command: &HoldsCommand,
    output: Output,
) -> Result<Answer> {
    let home = Home::open(arguments)?;
    let (caller, stores) = (home.operator(tenant)?, home.stores()?);
    let now = System::new().now();
    let store = stores.of(&caller);
    match command {
        HoldsCommand::List { all } => {
            let holds = store.holds(*all, now)?;
            let rows: Vec<Value> = holds.iter().map(value).collect();
            output.result(&json!(rows), || list(&holds, now));
            Ok(Answer::Yes)
        }
        HoldsCommand::Show { id } => {
            let Some(hold) = store.hold(parse(id)?, now)? else { return missing(id, output) };
            output.result(&value(&hold), || show(&hold));
            Ok(Answer::Yes)
        }
        HoldsCommand::Approve { id } => decide(&home, &caller, id, Resolved::Approved, output),
        HoldsCommand::Deny { id } => decide(&home, &caller, id, Resolved::Denied, output),
    }
}

/// Records the decision durably, then lets it take effect: an approval without evidence does not exist.
fn decide(home: &Home, caller: &Caller, id: &str, resolved: Resolved, output: Output) -> Result<Answer> {
    let (stores, system) = (home.stores()?, Arc::new(System::new()));
    let hold_id = parse(id)?;
    let Some(hold) = stores.of(caller).hold(hold_id, system.now())? else { return missing(id, output) };
    let (journal, _) = home.open_journal(Arc::<System>::clone(&system))?;
    let by = home.keys()?.subject(caller)?;
    // The journal may have had to be recovered first: the present is later now.
    let now = system.now();
    let approve = resolved == Resolved::Approved;
    let decided = stores.of(caller).decide(hold_id, approve, caller.user().as_str(), now, || {
        let self_approved = hold.user == caller.user().as_str();
        let tenant = caller.tenant().clone();
        let record = Record::Resolution(Resolution { hold: hold_id, at: now, tenant, resolved, by, self_approved });
        refmon_core::ports::Journal::append(&journal, &record, Wait::Durable)
    })?;
    journal.close()?;
    match decided {
        Decided::Done => {
            let next = if approve {
                "approved; send the identical call again within ten minutes, and it runs once"
            } else {
                "denied"
            };
            output.result(&json!({ "hold": id, "state": resolved.as_str() }), || format!("{}: {next}", hold.action));
            Ok(Answer::Yes)
        }
        Decided::NotPending(state) => {
            output.result(&json!({ "hold": id, "state": state.as_str(), "error": "not pending" }), || {
                format!("{}: nothing changed, for this hold is already {}", hold.action, state.as_str())
            });
            Ok(Answer::No)
        }
        Decided::Missing => missing(id, output),
    }
}

fn parse(id: &str) -> Result<HoldId> {
    match HoldId::parse(id) {
        Some(id) => Ok(id),
        None => bail!(crate::config::ConfigError::new(format!(
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

fn value(hold: &Hold) -> Value {
    json!({
        "hold": hold.id.to_string(), "state": hold.state.as_str(), "user": hold.user, "agent": hold.agent,
        "action": hold.action, "approvals": hold.approvals, "arguments": hold.arguments, "why": hold.explanation,
        "placed": time(hold.placed_us), "expires": time(hold.expires_us), "decided_by": hold.decided_by,
    })
}

fn list(holds: &[Hold], now: Moment) -> String {
    if holds.is_empty() {
        return "no call waits".to_owned();
    }
    let rows = holds.iter().map(|hold| {
        let left = hold.expires_us.saturating_sub(now.unix_us) / 1_000_000;
        let left = if left > 0 { format!("{left} s") } else { String::new() };
        vec![
            hold.id.to_string(),
            hold.state.as_str().to_owned(),
            hold.action.clone(),
            hold.agent.clone(),
            hold.user.clone(),
            left,
        ]
    });
    format!(
        "{}\n\nrefmon holds show ID · approve ID · deny ID",
        table(&["hold", "state", "call", "agent", "user", "expires in"], rows)
    )
}

fn show(hold: &Hold) -> String {
    let arguments =
        if hold.arguments.is_empty() { "(wiped with the decision)".to_owned() } else { visible(&hold.arguments) };
    let bytes = hold.arguments.len();
    let mut rows = vec![
        ("call", hold.action.clone()),
        ("arguments", arguments),
        ("why", hold.explanation.clone()),
        ("needs", hold.approvals.join(", ")),
        ("agent", hold.agent.clone()),
        ("user", hold.user.clone()),
        ("asked", time(hold.placed_us)),
        ("expires", time(hold.expires_us)),
        ("state", hold.state.as_str().to_owned()),
    ];
    if !hold.arguments.is_ascii() {
        // Letters that look alike, are blank, or change the order of what stands beside them show what they are.
        rows.insert(2, ("in ASCII", crate::output::ascii(&hold.arguments)));
    }
    if bytes > LONG {
        rows.insert(2, ("length", format!("{bytes} bytes: look at all of them")));
    }
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    rows.iter().map(|(name, text)| format!("{name:width$}  {text}")).collect::<Vec<_>>().join("\n")
}

/// Text with every character that could deceive the reader escaped.
pub(crate) fn visible(text: &str) -> String {
    let plain = |c: char| c == ' ' || (!c.is_control() && !c.is_whitespace() && (c.is_ascii() || c.is_alphanumeric()));
    text.chars().map(|c| if plain(c) { c.to_string() } else { c.escape_unicode().to_string() }).collect()
}
