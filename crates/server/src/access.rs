//! `/access/v1/evaluation` and `/access/v1/evaluations`: OpenID AuthZEN 1.0 for hosts.
//!
//! A question is judged and recorded as a call is. What becomes of a permit is the host's business and not known here, so
//! each permitted attempt is closed at once, as `not-reported`.

use bytes::Bytes;
use refmon_core::json::{Json, Members, Strictness};
use refmon_core::limits;
use refmon_core::monitor::Verdict;
use refmon_core::record::{Cause, Door};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::bodies::{self, SEMANTICS};
use crate::decisions::{Decisions, Prepared, Question};
use crate::host::Host;
use crate::problem::Problem;
use crate::verdict::Told;

/// Bytes of all questions of one request, each with what it shares with the others: all of them are read and judged.
pub(crate) const SHARED_BYTES_MAX: usize = 2 * limits::ARGUMENT_BYTES_MAX;

/// The members that stand for one question. What is absent from one of several is taken whole from beside them.
const MEMBERS: [&str; 4] = ["subject", "action", "resource", "context"];

impl Decisions {
    /// Answers one question.
    pub(crate) fn evaluation(&self, host: Host<'_>, body: &Bytes) -> Result<Value, Problem> {
        let Ok(json) = Json::parse(body) else { return Err(self.unreadable(Door::Access, host.caller())) };
        self.one(host, &json, body)
    }

    /// Answers several questions, or one if there is no list of several.
    pub(crate) fn evaluations(&self, host: Host<'_>, body: &Bytes) -> Result<Value, Problem> {
        let Ok(json) = Json::parse(body) else { return Err(self.unreadable(Door::Access, host.caller())) };
        let several = json.member("evaluations").is_some_and(|list| list.as_list().is_none_or(|list| !list.is_empty()));
        if !several || json.member("evaluations") == Some(&Json::Null) {
            return self.one(host, &json, body);
        }
        bodies::EVALUATIONS.check(&json)?;
        let beside = Members::parse(body, Strictness::Request).unwrap_or_default();
        let listed = beside.value("evaluations").unwrap_or_default();
        let listed: Vec<&RawValue> =
            serde_json::from_slice(listed).map_err(|_| Problem::Body("`/evaluations` must be a list of objects"))?;
        let shared: usize = MEMBERS.iter().filter_map(|name| beside.value(name)).map(<[u8]>::len).sum();
        if shared.saturating_mul(listed.len()).saturating_add(body.len()) > SHARED_BYTES_MAX {
            return Err(Problem::Body(
                "what the questions share is too large for so many of them; ask fewer at a time",
            ));
        }
        let semantic = json.member("options").and_then(|options| options.member("evaluations_semantic"));
        let stop = match SEMANTICS.iter().position(|known| semantic.and_then(Json::as_text) == Some(known)) {
            Some(1) => Some(false),
            Some(2) => Some(true),
            _ => None,
        };
        let mut answers = Vec::new();
        for question in listed {
            let answer =
                self.listed(host, &beside, question.get().as_bytes()).unwrap_or_else(|problem| failed(&problem));
            let decision = answer.get("decision").and_then(Value::as_bool);
            answers.push(answer);
            if decision.is_some() && decision == stop {
                break;
            }
        }
        Ok(json!({ "evaluations": answers }))
    }

    fn one(&self, host: Host<'_>, json: &Json<'_>, body: &[u8]) -> Result<Value, Problem> {
        bodies::EVALUATION.check(json)?;
        let members = Members::parse(body, Strictness::Request).unwrap_or_default();
        let (Some(subject), Some(action), Some(resource)) =
            (json.member("subject"), json.member("action"), json.member("resource"))
        else {
            return Err(Problem::Body("`/subject`, `/action` and `/resource` are needed"));
        };
        let spelled = members.value("action").unwrap_or_default();
        Ok(self.answer(host, &Question::read(subject, (action, spelled), resource, json.member("context"))))
    }

    /// One of several questions, put together from its own members and those beside the list.
    fn listed(&self, host: Host<'_>, beside: &Members<'_>, question: &[u8]) -> Result<Value, Problem> {
        let own =
            Members::parse(question, Strictness::Request).map_err(|_| Problem::Body("a question must be an object"))?;
        let mut whole = String::from("{");
        for name in MEMBERS {
            let value = own.value(name).filter(|value| *value != b"null").or_else(|| beside.value(name));
            let Some(Ok(value)) = value.map(std::str::from_utf8) else { continue };
            if whole.len() > 1 {
                whole.push(',');
            }
            whole.push_str(&format!("\"{name}\":{value}"));
        }
        whole.push('}');
        let json = Json::parse(whole.as_bytes()).map_err(|_| Problem::Body("a question must have one reading"))?;
        self.one(host, &json, whole.as_bytes())
    }

    fn answer(&self, host: Host<'_>, question: &Question<'_>) -> Value {
        let monitor = &self.parts.monitor;
        let verdict = match self.prepare(host, question) {
            Prepared::Judge(proposal) => monitor.submit(proposal),
            Prepared::Refuse(proposal, reason) => Verdict::Deny(monitor.refuse(proposal, reason)),
        };
        let told = Told::of(&verdict);
        if let Verdict::Permit(permit) = verdict {
            let (_, flight) = permit.dispatch();
            // If this cannot be recorded, the attempt stays open, and is closed when the journal is next opened.
            let _recorded = monitor.abandon(flight, Cause::NotReported).is_ok();
        }
        told.access(self.origin())
    }
}

/// A question that could not be read, among others that could.
fn failed(problem: &Problem) -> Value {
    let message = match problem {
        Problem::Shape(message) => message.as_str(),
        Problem::Body(message) => message,
        _ => "the question cannot be answered",
    };
    json!({ "decision": false, "context": { "error": { "status": 400, "message": message } } })
}
