//! `refmon grant`: scopes for a time.

use std::sync::Arc;

use anyhow::{Result, bail};
use refmon_core::caller::Caller;
use refmon_core::ids::{AgentId, GrantId, IdError, Scope, UserId};
use refmon_core::ports::{self, Clock as _, Commitments as _, Entropy as _, Moment, Wait};
use refmon_core::record::{Act, Deed, Record};
use refmon_core::untrusted::visible;
use refmon_gateway::system::System;
use refmon_store::grants::{Grant, GrantError, GrantState, NewGrant};
use serde_json::{Value, json};

use crate::args::{Arguments, GrantCommand, GrantOptions};
use crate::config::ConfigError;
use crate::home::Home;
use crate::output::{Answer, Output, table, time};

/// Bytes of a reason.
const REASON_BYTES_MAX: usize = 1_024;

pub(crate) fn run(
    arguments: &Arguments,
    tenant: Option<&str>,
    command: &GrantCommand,
    output: Output,
) -> Result<Answer> {
    let home = Home::open(arguments)?;
    let caller = home.operator(tenant)?;
    match command {
        GrantCommand::Add(options) => add(&home, &caller, options, output),
        GrantCommand::List { all } => {
            let now = System::new().now();
            let grants = home.stores()?.of(&caller).grants(*all, now)?;
            let rows: Vec<Value> = grants.iter().map(value).collect();
            output.result(&json!(rows), || list(&grants, now));
            Ok(Answer::Yes)
        }
        GrantCommand::Revoke { id } => revoke(&home, &caller, id, output),
    }
}

fn add(home: &Home, caller: &Caller, options: &GrantOptions, output: Output) -> Result<Answer> {
    let system = Arc::new(System::new());
    let (new, to) = new(caller, options, &system)?;
    let keys = home.keys()?;
    let (by, subject) = (keys.subject(caller)?, keys.subject(&to)?);
    let reason = keys.commit(&to, new.reason.as_bytes())?;
    let (journal, _) = home.open_journal(Arc::<System>::clone(&system))?;
    // The journal may have had to be recovered first: the present is later now.
    let now = system.now();
    let given = home.stores()?.of(caller).give(&new, caller.user().as_str(), now, |until_us| {
        let (agent, scopes) = (new.agent.clone(), new.scopes.clone());
        let deed = Deed::Granted { grant: new.id, to: subject, agent, scopes, until_us, reason };
        ports::Journal::append(&journal, &act(caller, by, now, deed), Wait::Durable)
    });
    journal.close()?;
    let until = given.map_err(|error| match error {
        wrong @ (GrantError::Seconds | GrantError::Scopes) => anyhow::Error::new(ConfigError::new(wrong.to_string())),
        other => other.into(),
    })?;
    output.result(&json!({ "grant": new.id.to_string(), "until": time(until) }), || {
        format!("given until {}; to take it back: refmon grant revoke {}", time(until), new.id)
    });
    Ok(Answer::Yes)
}

/// Takes it back first and records then: what permits less must not wait for evidence.
fn revoke(home: &Home, caller: &Caller, id: &str, output: Output) -> Result<Answer> {
    let Some(grant) = GrantId::parse(id) else {
        bail!(ConfigError::new("this is not the identifier of a grant; see `refmon grant list`"));
    };
    let system = Arc::new(System::new());
    let was = home.stores()?.of(caller).revoke(grant, system.now())?;
    if was == Some(GrantState::Active) {
        let by = home.keys()?.subject(caller)?;
        let (journal, _) = home.open_journal(Arc::<System>::clone(&system))?;
        let record = act(caller, by, system.now(), Deed::Revoked { grant });
        ports::Journal::append(&journal, &record, Wait::Durable)?;
        journal.close()?;
    }
    let state = was.map_or("missing", GrantState::as_str);
    output.result(&json!({ "grant": id, "revoked": was == Some(GrantState::Active), "was": state }), || match was {
        None => "there is no such grant; see `refmon grant list --all`".to_owned(),
        Some(GrantState::Active) => "revoked; it adds nothing from now on".to_owned(),
        Some(_) => format!("nothing changed, for this grant is already {state}"),
    });
    Ok(if was == Some(GrantState::Active) { Answer::Yes } else { Answer::No })
}

/// The record of what somebody did for a tenant.
pub(crate) fn act(caller: &Caller, by: refmon_core::ids::SubjectHandle, at: Moment, deed: Deed) -> Record {
    Record::Act(Box::new(Act { at, tenant: caller.tenant().clone(), by, identity: caller.kind(), deed }))
}

fn new(caller: &Caller, options: &GrantOptions, system: &System) -> Result<(NewGrant, Caller)> {
    let wrong = |what: &str, error: IdError| ConfigError::new(format!("--{what}: {error}"));
    let scopes = options.scopes.iter().map(|scope| Scope::parse(scope).map_err(|error| wrong("scope", error)));
    let agent = options.agent.as_deref().map(AgentId::parse).transpose().map_err(|error| wrong("agent", error))?;
    if options.reason.trim().is_empty() || options.reason.len() > REASON_BYTES_MAX {
        bail!(ConfigError::new(format!("`--reason` says why, in at most {REASON_BYTES_MAX} bytes")));
    }
    let seconds = seconds(&options.time)
        .ok_or_else(|| ConfigError::new("`--for` is a number with s, m, h or d behind it, such as `2h`"))?;
    let mut random = [0; 10];
    system.fill(&mut random)?;
    let user = UserId::parse(&options.user).map_err(|error| wrong("user", error))?;
    // Who it is for decides whose key commits to the reason; an erasure of that person takes it along.
    let to = Caller::local(caller.tenant().clone(), user.clone(), caller.agent().clone(), []);
    let new = NewGrant {
        id: GrantId::uuid_v7(system.now().unix_us / 1_000, random),
        user,
        agent,
        scopes: scopes.collect::<Result<_, _>>()?,
        reason: options.reason.clone(),
        seconds,
    };
    Ok((new, to))
}

/// Reads `90s`, `30m`, `2h`, `3d`.
fn seconds(text: &str) -> Option<u64> {
    let unit = match text.chars().last()? {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    let number = text.get(..text.len().checked_sub(1)?)?;
    let plain = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    number.parse::<u64>().ok().filter(|_| plain)?.checked_mul(unit)
}

fn value(grant: &Grant) -> Value {
    json!({
        "grant": grant.id.to_string(), "state": grant.state.as_str(), "user": grant.user, "agent": grant.agent,
        "scopes": grant.scopes.iter().map(Scope::as_str).collect::<Vec<_>>(), "reason": grant.reason,
        "given": time(grant.given_us), "given_by": grant.given_by, "until": time(grant.until_us),
    })
}

fn list(grants: &[Grant], now: Moment) -> String {
    if grants.is_empty() {
        return "no grant is in force".to_owned();
    }
    let rows = grants.iter().map(|grant| {
        let left = grant.until_us.saturating_sub(now.unix_us) / 1_000_000;
        let left = if grant.state == GrantState::Active { format!("{left} s") } else { String::new() };
        let scopes: Vec<&str> = grant.scopes.iter().map(Scope::as_str).collect();
        vec![
            grant.id.to_string(),
            grant.state.as_str().to_owned(),
            grant.user.clone(),
            grant.agent.clone().unwrap_or_else(|| "(any)".to_owned()),
            scopes.join(" "),
            left,
            grant.given_by.clone(),
            visible(&grant.reason),
        ]
    });
    table(&["grant", "state", "user", "agent", "scopes", "ends in", "by", "why"], rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_whole_number_with_its_unit() {
        assert_eq!(["90s", "30m", "2h", "3d"].map(seconds), [Some(90), Some(1_800), Some(7_200), Some(259_200)]);
        for text in ["", "h", "2", "2 h", "+2h", "-2h", "2.5h", "2w", "2H", "1h30m", "99999999999999999999d", "2\u{e9}"]
        {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
