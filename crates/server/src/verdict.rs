//! What is told of a decision: reason code, record, remedies, never anything of a policy.

use jiff::Timestamp;
use refmon_core::decision::{Decision, Obligation};
use refmon_core::ids::{CallId, HoldId};
use refmon_core::limits::HOLD_SECONDS;
use refmon_core::monitor::{Judgement, Verdict};
use refmon_core::reason::ReasonCode;
use serde_json::{Map, Value, json};

/// What is told of a decision.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) decision: Decision,
    pub(crate) reason: ReasonCode,
    /// The record; `None` if there could be none.
    pub(crate) record: Option<CallId>,
    expected: Option<(String, String)>,
    approvals: Vec<String>,
    hold: Option<HoldId>,
    obligations: Vec<Obligation>,
}

impl Told {
    pub(crate) fn of(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Permit(permit) => Self {
                decision: Decision::Permit,
                reason: permit.reason(),
                record: Some(permit.call()),
                expected: None,
                approvals: Vec::new(),
                hold: None,
                obligations: permit.obligations().to_vec(),
            },
            Verdict::Hold(held) => Self {
                hold: Some(held.hold()),
                approvals: held.judgement().approvals.iter().map(ToString::to_string).collect(),
                ..Self::refused(Decision::Hold, Some(held.call()), held.judgement())
            },
            Verdict::Deny(denied) => Self::refused(Decision::Deny, denied.call(), denied.judgement()),
        }
    }

    pub(crate) fn refused(decision: Decision, record: Option<CallId>, judgement: &Judgement) -> Self {
        Self {
            decision,
            reason: judgement.reason,
            record,
            expected: judgement.expected.clone(),
            approvals: Vec::new(),
            hold: None,
            obligations: Vec::new(),
        }
    }

    /// The decision as MCP clients get it under `refmon.dev/verdict`.
    pub(crate) fn verdict(&self) -> Value {
        let (pointer, expected) = self.expected.clone().unzip();
        let mut value = json!({
            "decision": self.decision.as_str(),
            "reason": self.reason.as_str(),
            "record": self.record.map(|record| record.to_string()),
            "pointer": pointer,
            "expected": expected,
            "remedies": self.reason.remedies().iter().map(|remedy| remedy.as_str()).collect::<Vec<_>>(),
        });
        if let (Some(hold), Some(value)) = (self.hold, value.as_object_mut()) {
            value.insert("approvals".to_owned(), json!(self.approvals));
            value.insert("hold".to_owned(), json!(hold.to_string()));
        }
        value
    }

    /// What waits for a person, if something does.
    pub(crate) fn task(&self, origin: &str) -> Option<Value> {
        self.hold.map(|hold| task(hold, origin))
    }

    /// The obligations as the AuthZEN profile has them. refmon's are none of its registered types, so they are `custom`.
    pub(crate) fn obligations(&self) -> Vec<Value> {
        obligations(&self.obligations)
    }

    /// An AuthZEN decision.
    pub(crate) fn access(&self, origin: &str) -> Value {
        let mut context = Map::new();
        context.insert("reason".to_owned(), json!(self.reason.as_str()));
        if let Some(record) = self.record {
            context.insert("evaluation_id".to_owned(), json!(record.to_string()));
        }
        if self.decision != Decision::Permit {
            context.insert("reason_user".to_owned(), json!({ "403": self.sentence() }));
        }
        if !self.obligations.is_empty() {
            context.insert("obligations".to_owned(), json!(self.obligations()));
        }
        if let (Some(hold), Some(_)) = (self.hold, self.record) {
            context.insert("access_request".to_owned(), access_request(hold, origin));
        }
        context.insert("refmon.dev/verdict".to_owned(), self.verdict());
        json!({ "decision": self.decision == Decision::Permit, "context": context })
    }

    fn sentence(&self) -> String {
        let remedies: Vec<&str> = self.reason.remedies().iter().map(|remedy| remedy.sentence()).collect();
        let expected = self.expected.as_ref().map(|(pointer, expected)| {
            let place = if pointer.is_empty() { String::new() } else { format!(" at {pointer}") };
            format!(" (expected{place}: {expected})")
        });
        let todo =
            if remedies.is_empty() { String::new() } else { format!(". What to do: {}", remedies.join("; or ")) };
        format!("{}{}{todo}", self.reason.sentence(), expected.unwrap_or_default())
    }
}

pub(crate) fn obligations(all: &[Obligation]) -> Vec<Value> {
    let one = |(number, obligation): (usize, &Obligation)| {
        let properties = json!({ "vendor": "refmon.dev", "obligation": obligation.as_str() });
        json!({ "id": format!("obligation-{}", number.saturating_add(1)), "type": "custom", "properties": properties })
    };
    all.iter().enumerate().map(one).collect()
}

/// The obligations that a host says it can carry out. `custom` stands for all that refmon has, for a host that does not know
/// one of them must take the answer for a denial.
pub(crate) fn supported<'n>(mut names: impl Iterator<Item = &'n str>) -> &'static [Obligation] {
    const ALL: &[Obligation] = &Obligation::ALL;
    const { assert!(ALL.len() == 1, "with several obligations, those that are named are to be chosen") };
    if names.any(|name| name == "custom" || Obligation::parse(name).is_some()) { ALL } else { &[] }
}

/// A hold waits since the moment that its identifier was made in.
fn expiry(hold: HoldId) -> String {
    let [a, b, c, d, e, f, ..] = *hold.as_bytes();
    let made = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
    let ends = i64::try_from(made.saturating_add(HOLD_SECONDS.saturating_mul(1_000))).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(ends).unwrap_or(Timestamp::MAX).to_string()
}

/// A hold as a task of the AuthZEN profile for access requests.
fn task(hold: HoldId, origin: &str) -> Value {
    json!({
        "id": hold.to_string(),
        "status": "pending",
        "status_endpoint": format!("{origin}/v1/holds/{hold}"),
        "expires_at": expiry(hold),
    })
}

/// A denial that a person can lift. The request for that is made: the task is what it became.
fn access_request(hold: HoldId, origin: &str) -> Value {
    json!({
        "template": "refmon-hold",
        "expires_at": expiry(hold),
        "task": task(hold, origin),
        "display": {
            "title": "A person decides",
            "description": "The call waits for an approval. Once it is approved, ask the identical question again: it is permitted once.",
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_expires_ten_minutes_after_its_identifier_was_made() {
        assert_eq!(expiry(HoldId::uuid_v7(1_800_000_000_000, [0; 10])), "2027-01-15T08:10:00Z");
        assert!(!expiry(HoldId::from_bytes([0xff; 16])).is_empty());
    }

    #[test]
    fn only_obligations_that_refmon_has_are_supported() {
        assert!(supported(["step-up", "notification", ""].into_iter()).is_empty());
        assert_eq!(supported(["x", "withhold_output"].into_iter()), [Obligation::WithholdOutput]);
        assert_eq!(supported(["custom"].into_iter()), [Obligation::WithholdOutput]);
    }
}
