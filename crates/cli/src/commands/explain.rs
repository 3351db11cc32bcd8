//! `refmon explain`: why a recorded call was decided as it was. Arguments are not recorded, so it speaks of the
//! record and of the policies that it names; `refmon check` judges a call anew.

use anyhow::Result;
use refmon_core::record::{Attempt, Record};
use refmon_policy::Loaded;
use serde_json::json;

use crate::args::Arguments;
use crate::home::Home;
use crate::output::{Answer, Output, coloured};

pub(crate) fn run(arguments: &Arguments, call: &str, output: Output) -> Result<Answer> {
    let home = Home::open(arguments)?;
    let found = super::audit::of_call(&home, call, output)?;
    let attempt = found.iter().find_map(|envelope| match &envelope.record {
        Record::Attempt(attempt) => Some(attempt),
        _ => None,
    });
    let Some(attempt) = attempt else {
        output.result(&json!({ "call": call, "error": "missing" }), || "there is no record of this call".to_owned());
        return Ok(Answer::No);
    };
    let loaded = home.load()?;
    let same = loaded.bundle.digest() == attempt.bundle;
    let policies = policies(attempt, &loaded);
    let value = json!({
        "call": call, "decision": attempt.decision.as_str(), "reason": attempt.reason.as_str(),
        "sentence": attempt.reason.sentence(), "bundle": attempt.bundle.to_string(), "bundle_in_force": same,
        "grants": attempt.grants.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "policies": policies.iter().map(|(id, place, reason)| json!({ "id": id, "place": place, "reason": reason })).collect::<Vec<_>>(),
        "remedies": attempt.reason.remedies().iter().map(|remedy| remedy.as_str()).collect::<Vec<_>>(),
    });
    output.result(&value, || {
        let mut lines = vec![format!(
            "{}: {} [{}]",
            coloured(attempt.decision.as_str()),
            attempt.reason.sentence(),
            attempt.reason
        )];
        lines.extend(policies.iter().map(|(id, place, reason)| format!("policy {id} ({place}): {reason}")));
        lines.extend(attempt.grants.iter().map(|grant| {
            format!("grant {grant} was in force; what it gave, until when and why: refmon grant list --all")
        }));
        lines.extend(attempt.reason.remedies().iter().map(|remedy| format!("what to do: {}", remedy.sentence())));
        if !same {
            lines.push("the contracts or policies have changed since".to_owned());
        }
        lines.push("to judge the call anew, with every condition: refmon check CALL.json".to_owned());
        lines.join("\n")
    });
    Ok(Answer::Yes)
}

/// The policies that a record names: identifier, place, the policy's own reason.
fn policies(attempt: &Attempt, loaded: &Loaded) -> Vec<(String, String, String)> {
    let describe = |id: &refmon_core::ids::PolicyId| {
        let rule = loaded.engine.rules().iter().find(|rule| rule.id() == id);
        let place = rule
            .map_or_else(|| "no longer there".to_owned(), |rule| format!("{}:{}", rule.file().display(), rule.line()));
        let reason = rule.and_then(|rule| rule.reason()).unwrap_or_default().to_owned();
        (id.to_string(), place, reason)
    };
    attempt.policies.iter().map(describe).collect()
}
