//! `refmon halt` and `refmon resume`: the switch that stops every call at once.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use refmon_core::caller::Caller;
use refmon_core::ids::SubjectHandle;
use refmon_core::ports::{Clock as _, Commitments as _, Wait};
use refmon_core::record::{Deed, Event, Notice, Record};
use refmon_core::untrusted::visible;
use refmon_gateway::system::System;
use refmon_store::authority::Switch;
use serde_json::{Value, json};

use crate::args::Arguments;
use crate::commands::grant::act;
use crate::config::ConfigError;
use crate::halts::{self, REASON_BYTES_MAX};
use crate::home::Home;
use crate::output::{Answer, Output, time};

/// Halts first and records then: the halt must not wait for evidence.
pub(crate) fn halt(arguments: &Arguments, reason: Option<&str>, output: Output) -> Result<Answer> {
    let home = Home::open(arguments)?;
    if reason.is_some_and(|reason| reason.len() > REASON_BYTES_MAX) {
        return Err(ConfigError::new(format!("`--reason` has at most {REASON_BYTES_MAX} bytes")).into());
    }
    home.data()?;
    let (switch, caller) = (home.switch(), home.caller()?);
    let at = time(System::new().now().unix_us);
    let words = json!({ "reason": reason, "at": at, "by": caller.user().as_str() });
    let made = switch.put_on(&format!("{words}\n"));
    let made = made.with_context(|| format!("the halt may not be complete: `{}`", switch.file().display()))?;
    if made {
        note(&home, |by| Event::Halted { by }).context("all calls are halted, but that could not be recorded")?;
    }
    // A configuration is also found by the folder that one stands in: whose calls these are must be said.
    let whose = home.file.display().to_string();
    output.result(&json!({ "halted": true, "changed": made, "config": whose }), || {
        if made {
            format!(
                "halted: every call of {whose} is denied from now on; calls under way are not stopped; `refmon resume` ends it"
            )
        } else {
            format!("nothing changed; {}", told(&switch))
        }
    });
    Ok(Answer::Yes)
}

/// Records first and resumes then: without evidence the halt stays.
pub(crate) fn resume(arguments: &Arguments, output: Output) -> Result<Answer> {
    let home = Home::open(arguments)?;
    let switch = home.switch();
    let on = switch.is_on().with_context(|| format!("`{}`", switch.file().display()))?;
    if on {
        note(&home, |by| Event::Resumed { by }).context("calls stay halted, for the end could not be recorded")?;
        switch.take_off().with_context(|| format!("`{}` could not be removed", switch.file().display()))?;
    }
    let halted = home.config.authority.halted;
    let whose = home.file.display().to_string();
    output.result(&json!({ "halted": halted, "changed": on, "config": whose }), || match (halted, on) {
        (true, _) => format!("still halted by `[authority] halted = true` in {whose}"),
        (false, true) => format!("resumed: calls of {whose} are judged as before"),
        (false, false) => format!("nothing changed; calls of {whose} were not halted"),
    });
    Ok(if halted { Answer::No } else { Answer::Yes })
}

/// Halts one tenant's calls.
pub(crate) fn halt_tenant(arguments: &Arguments, tenant: &str, reason: Option<&str>, output: Output) -> Result<Answer> {
    let home = Home::open(arguments)?;
    if reason.is_some_and(|reason| reason.len() > REASON_BYTES_MAX) {
        return Err(ConfigError::new(format!("`--reason` has at most {REASON_BYTES_MAX} bytes")).into());
    }
    home.data()?;
    let caller = home.operator(Some(tenant))?;
    let now = System::new().now().unix_us;
    let made = halts::put_on(&home.switch(), &caller, reason, now, |deed| record(&home, &caller, deed))?;
    output.result(&json!({ "halted": true, "tenant": tenant, "changed": made }), || {
        if made {
            "halted: every call of this tenant is denied from now on; `refmon resume --tenant` ends it".to_owned()
        } else {
            "nothing changed; this tenant's calls were halted already".to_owned()
        }
    });
    Ok(Answer::Yes)
}

/// Ends the halt of one tenant, and of nobody else.
pub(crate) fn resume_tenant(arguments: &Arguments, tenant: &str, output: Output) -> Result<Answer> {
    let home = Home::open(arguments)?;
    let caller = home.operator(Some(tenant))?;
    let on = halts::take_off(&home.switch(), &caller, |deed| record(&home, &caller, deed))?;
    let halted = halted(&home);
    output.result(&json!({ "halted": halted.is_some(), "tenant": tenant, "changed": on }), || match (&halted, on) {
        (Some(why), _) => format!("still halted: {why}"),
        (None, true) => "resumed: this tenant's calls are judged as before".to_owned(),
        (None, false) => "nothing changed; this tenant's calls were not halted".to_owned(),
    });
    Ok(if halted.is_some() { Answer::No } else { Answer::Yes })
}

fn record(home: &Home, caller: &Caller, deed: Deed) -> Result<()> {
    let system = Arc::new(System::new());
    let (at, by) = (system.now(), home.keys()?.subject(caller)?);
    let (journal, _) = home.open_journal(system)?;
    journal.append(&act(caller, by, at, deed), Wait::Durable)?;
    journal.close()?;
    Ok(())
}

/// Why calls are halted, in one line; `None` if they are not.
pub(crate) fn halted(home: &Home) -> Option<String> {
    if home.config.authority.halted {
        return Some(format!("every call is denied: `[authority] halted = true` in {}", home.file.display()));
    }
    let switch = home.switch();
    switch.is_on().unwrap_or(true).then(|| told(&switch))
}

/// What the file says, as far as it says anything.
fn told(switch: &Switch) -> String {
    let words: Value = switch.words().ok().and_then(|words| serde_json::from_str(&words).ok()).unwrap_or_default();
    let word = |name: &str, before: &str| {
        words.get(name).and_then(Value::as_str).map_or_else(String::new, |text| format!("{before}{}", visible(text)))
    };
    format!(
        "every call is denied: halted{}{}{} (`{}`); `refmon resume` ends it",
        word("by", " by "),
        word("at", " at "),
        word("reason", ": "),
        switch.file().display()
    )
}

fn note(home: &Home, event: impl FnOnce(SubjectHandle) -> Event) -> Result<()> {
    let system = Arc::new(System::new());
    let at = system.now();
    let by = home.keys()?.subject(&home.caller()?)?;
    let (journal, _) = home.open_journal(system)?;
    journal.append(&Record::Notice(Notice { at, event: event(by) }), Wait::Durable)?;
    journal.close()?;
    Ok(())
}
