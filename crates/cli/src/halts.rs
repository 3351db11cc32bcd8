//! Halts of one tenant: what `refmon halt --tenant` and the API do.

use std::io;

use anyhow::{Context as _, Result};
use refmon_core::caller::Caller;
use refmon_core::record::Deed;
use refmon_store::authority::Switch;
use serde_json::{Value, json};

use crate::output::time;

/// Bytes of a reason; what is longer does not fit into what is read back.
pub(crate) const REASON_BYTES_MAX: usize = 1_024;

/// A tenant's halt that is on, as far as its file says anything.
#[derive(Debug, Default)]
pub(crate) struct Words {
    pub(crate) reason: Option<String>,
    pub(crate) by: Option<String>,
    pub(crate) at: Option<String>,
}

/// Halts first and records then: the halt must not wait for evidence. `false` if it was on already.
pub(crate) fn put_on(
    everybody: &Switch,
    caller: &Caller,
    reason: Option<&str>,
    unix_us: u64,
    record: impl FnOnce(Deed) -> Result<()>,
) -> Result<bool> {
    let switch = everybody.of_tenant(caller.tenant());
    let (by, tenant) = (caller.user().as_str(), caller.tenant().as_str());
    let words = json!({ "reason": reason, "at": time(unix_us), "by": by, "tenant": tenant });
    let made = switch.put_on(&format!("{words}\n"));
    let made = made.with_context(|| format!("the halt may not be complete: `{}`", switch.file().display()))?;
    if made {
        record(Deed::Halted).context("the tenant's calls are halted, but that could not be recorded")?;
    }
    Ok(made)
}

/// Records first and resumes then: without evidence the halt stays. `false` if it was off already.
pub(crate) fn take_off(everybody: &Switch, caller: &Caller, record: impl FnOnce(Deed) -> Result<()>) -> Result<bool> {
    let switch = everybody.of_tenant(caller.tenant());
    if !switch.is_on().with_context(|| format!("`{}`", switch.file().display()))? {
        return Ok(false);
    }
    record(Deed::Resumed).context("the tenant's calls stay halted, for the end could not be recorded")?;
    switch.take_off().with_context(|| format!("`{}` could not be removed", switch.file().display()))
}

/// The tenant's halt, if it is on.
pub(crate) fn on(everybody: &Switch, caller: &Caller) -> io::Result<Option<Words>> {
    let switch = everybody.of_tenant(caller.tenant());
    if !switch.is_on()? {
        return Ok(None);
    }
    let words: Value = switch.words().ok().and_then(|words| serde_json::from_str(&words).ok()).unwrap_or_default();
    let word = |name: &str| words.get(name).and_then(Value::as_str).map(str::to_owned);
    Ok(Some(Words { reason: word("reason"), by: word("by"), at: word("at") }))
}
