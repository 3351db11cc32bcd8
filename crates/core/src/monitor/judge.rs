//! Judging: from bytes to a judgement, without side effects. `refmon check` and every door use this one function.

use std::borrow::Cow;
use std::sync::Arc;

use crate::bundle::{Bundle, Listing, Tool};
use crate::caller::Caller;
use crate::contract::HoldMode;
use crate::decision::{Decision, Grants, Objection, Obligation, Ruling, Veto};
use crate::facts::Facts;
use crate::ids::{ApprovalKind, HoldId, Method, Operation, PolicyId, ServerName, ToolName};
use crate::json::{Json, same_ignoring_case};
use crate::kinds::{self, Obstacle, Refusal};
use crate::limits;
use crate::ports::{Approval, Fault, Files, Inspector, Moment, Question, ScopeGrant, ScopeGrants, UNDECLARED};
use crate::reason::ReasonCode;
use crate::record::Asked;

/// The approval that a contract with `hold = "always"`, or an inspector, asks for.
pub const OPERATOR: &str = "operator";

/// What a door was asked for, before anything is known about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// A tool, by the name that the agent gave.
    Tool(String),
    /// A method that is judged like a tool.
    Method(Method),
    /// Something else. It is denied, and the attempt recorded.
    Unknown,
}

/// What a judgement is made in.
#[derive(Clone, Copy)]
pub struct Situation<'a> {
    /// The bundle in force.
    pub bundle: &'a Bundle,
    /// What people have given callers for a time.
    pub grants: &'a dyn ScopeGrants,
    /// The file system.
    pub files: &'a dyn Files,
    /// The inspectors.
    pub inspectors: &'a [Arc<dyn Inspector>],
    /// Verified approvals.
    pub granted: &'a Grants,
    /// The present moment.
    pub now: Moment,
}

impl std::fmt::Debug for Situation<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Situation").field("bundle", self.bundle).field("now", &self.now).finish_non_exhaustive()
    }
}

/// What was decided, and why.
#[derive(Debug)]
pub struct Judgement {
    /// The decision.
    pub decision: Decision,
    /// Its reason.
    pub reason: ReasonCode,
    /// What was asked for.
    pub asked: Asked,
    /// The tool, if a contract describes it.
    pub tool: Option<Arc<Tool>>,
    /// The canonical arguments, if they have one reading.
    pub canonical: Option<String>,
    /// What the arguments mean, if they have a meaning.
    pub facts: Option<Facts>,
    /// The names of the declared top-level arguments.
    pub names: Vec<String>,
    /// The policies that determined the decision.
    pub policies: Vec<PolicyId>,
    /// Approvals that are missing, or that were used.
    pub approvals: Vec<ApprovalKind>,
    /// How many people must approve, if it is held.
    pub approvers: u8,
    /// What must be done with the result.
    pub obligations: Vec<Obligation>,
    /// The policy's own words on why, for people.
    pub explanation: Option<String>,
    /// Where the arguments are wrong: a JSON pointer, and what was expected there.
    pub expected: Option<(String, String)>,
    /// The hold that was made or used.
    pub hold: Option<HoldId>,
    /// The grants whose scopes the caller has beside those of the credential.
    pub grants: Vec<ScopeGrant>,
}

impl Judgement {
    /// The judgement that one starts with: deny.
    const fn denied(asked: Asked, reason: ReasonCode) -> Self {
        Self {
            decision: Decision::Deny,
            reason,
            asked,
            tool: None,
            canonical: None,
            facts: None,
            names: Vec::new(),
            policies: Vec::new(),
            approvals: Vec::new(),
            approvers: 1,
            obligations: Vec::new(),
            explanation: None,
            expected: None,
            hold: None,
            grants: Vec::new(),
        }
    }

    /// A denial by the door itself, which has not looked at the arguments.
    pub(super) fn of_door(ask: &Ask, reason: ReasonCode) -> Self {
        let asked = match ask {
            Ask::Tool(name) => ToolName::parse(name).map_or(Asked::Unnameable, Asked::Unknown),
            Ask::Method(method) => Asked::Known { operation: Operation::Method(*method), version: 0, pin: None },
            Ask::Unknown => Asked::Unnameable,
        };
        Self::denied(asked, reason)
    }

    /// The same judgement, but refused for another reason.
    pub(super) fn refused(self, reason: ReasonCode) -> Self {
        Self { decision: Decision::Deny, reason, ..self }
    }

    /// The same judgement, but with a veto. Nothing that it waits for would help.
    pub(super) fn vetoed(mut self, veto: Veto) -> Self {
        self.approvals.clear();
        self.expected = veto.expected.map(|expected| (String::new(), expected));
        self.refused(veto.reason)
    }

    pub(super) fn approved_by(self, approval: Approval) -> Self {
        Self { reason: ReasonCode::Approved, hold: Some(approval.hold), approvals: approval.approvals, ..self }
    }

    fn expecting(mut self, refusal: Refusal) -> Self {
        self.expected = Some((refusal.pointer, refusal.expected));
        self.refused(refusal.reason)
    }

    fn faulted(self, fault: &Fault) -> Self {
        let reason = match fault {
            Fault::Unavailable { .. } => ReasonCode::Unavailable,
            Fault::Breach(_) => ReasonCode::Breach,
        };
        self.refused(reason)
    }

    /// Climbs the ladder: takes another opinion if it is stricter.
    fn climb(&mut self, decision: Decision, reason: ReasonCode) {
        if decision > self.decision {
            self.decision = decision;
            self.reason = reason;
        }
    }
}

/// Judges a call. Nothing is recorded and nothing runs.
#[must_use]
pub fn judge(
    situation: &Situation<'_>,
    caller: &Caller,
    server: &ServerName,
    ask: &Ask,
    listing: &Listing,
    arguments: &[u8],
    supported: &[Obligation],
) -> Judgement {
    let mut judgement = find(situation.bundle, server, ask);
    if let Some(veto) = situation.inspectors.iter().find_map(|inspector| inspector.preclude(caller, situation.now)) {
        return judgement.vetoed(veto);
    }
    let Some(tool) = judgement.tool.clone() else { return judgement };
    if !listing.matches(&tool.contract) {
        return judgement.refused(ReasonCode::Quarantined);
    }
    let caller = match situation.grants.in_force(caller, situation.now) {
        Ok(grants) => entitled(&mut judgement, caller, grants),
        Err(fault) => return judgement.faulted(&fault),
    };
    let caller = caller.as_ref();
    if let Some(scope) = tool.contract.required_scopes.iter().find(|scope| !caller.holds(scope)) {
        judgement.expected = Some((String::new(), format!("the scope `{scope}`")));
        return judgement.refused(ReasonCode::MissingScope);
    }
    let json = match parse(arguments, &tool) {
        Ok(json) => json,
        Err(refusal) => return judgement.expecting(refusal),
    };
    let members = json.as_object().unwrap_or_default();
    judgement.names =
        members.iter().map(|(key, _)| key.to_string()).filter(|key| tool.properties.contains(key)).collect();
    judgement.canonical = Some(json.canonical());
    if let Some(mismatch) = tool.schema.as_ref().and_then(|schema| schema.check(&json).err()) {
        let undeclared = mismatch.expected.starts_with(UNDECLARED);
        let reason = if undeclared { ReasonCode::UndeclaredProperty } else { ReasonCode::SchemaMismatch };
        return judgement.expecting(Refusal { reason, pointer: mismatch.pointer, expected: mismatch.expected });
    }
    if let Some(known) = look_alike(members, &tool) {
        let expected = format!("no key that differs from `{known}` in case only");
        return judgement.expecting(Refusal { reason: ReasonCode::AmbiguousText, pointer: String::new(), expected });
    }
    if let Operation::Method(_) = tool.contract.operation {
        match kinds::path::no_files_of_ours(&json, situation.files) {
            Ok(()) => {}
            Err(Obstacle::Refused(refusal)) => return judgement.expecting(refusal),
            Err(Obstacle::Fault(fault)) => return judgement.faulted(&fault),
        }
    }
    let facts = match kinds::extract(&tool.contract, &json, situation.files) {
        Ok(facts) => facts,
        Err(Obstacle::Refused(refusal)) => return judgement.expecting(refusal),
        Err(Obstacle::Fault(fault)) => return judgement.faulted(&fault),
    };
    let question = Question {
        caller,
        tool: &tool,
        facts: &facts,
        arguments: &json,
        granted: situation.granted,
        now: situation.now,
    };
    apply(&mut judgement, situation.bundle.policy().rule(&question));
    contract_hold(&mut judgement, tool.contract.hold, situation.granted);
    if judgement.obligations.iter().any(|obligation| !supported.contains(obligation)) {
        judgement.climb(Decision::Deny, ReasonCode::ObligationUnsupported);
    }
    // Inspectors come last, so that a denial without them keeps its reason. What they hold, a contract may rule out.
    let mut judgement = inspect(judgement, situation, &question);
    contract_hold(&mut judgement, tool.contract.hold, situation.granted);
    judgement.facts = Some(facts);
    judgement
}

/// The caller with what it was given for a time.
fn entitled<'c>(judgement: &mut Judgement, caller: &'c Caller, grants: Vec<ScopeGrant>) -> Cow<'c, Caller> {
    if grants.is_empty() {
        return Cow::Borrowed(caller);
    }
    judgement.grants = grants;
    Cow::Owned(caller.with_grants(&judgement.grants))
}

/// The declared property that an undeclared one is to a parser that ignores case. An open schema lets such a key pass.
fn look_alike<'t>(members: &[(Cow<'_, str>, Json<'_>)], tool: &'t Tool) -> Option<&'t str> {
    let undeclared = members.iter().filter(|(key, _)| !tool.properties.contains(key.as_ref()));
    undeclared
        .filter_map(|(key, _)| tool.properties.iter().find(|known| same_ignoring_case(known, key)))
        .map(String::as_str)
        .next()
}

/// Finds the tool. Without one, the judgement is a denial that stands.
fn find(bundle: &Bundle, server: &ServerName, ask: &Ask) -> Judgement {
    let operation = match ask {
        Ask::Method(method) => Operation::Method(*method),
        Ask::Unknown => return Judgement::denied(Asked::Unnameable, ReasonCode::UnknownMethod),
        Ask::Tool(name) => match ToolName::parse(name) {
            Ok(name) => Operation::Tool(name),
            Err(_) => return Judgement::denied(Asked::Unnameable, ReasonCode::UnknownTool),
        },
    };
    match (bundle.tool(server, &operation), operation) {
        (Some(tool), operation) => {
            let (version, pin) = (tool.contract.version, tool.contract.pin);
            let mut judgement = Judgement::denied(Asked::Known { operation, version, pin }, ReasonCode::Unavailable);
            judgement.tool = Some(Arc::clone(tool));
            judgement
        }
        (None, Operation::Tool(name)) => Judgement::denied(Asked::Unknown(name), ReasonCode::UnknownTool),
        (None, operation @ Operation::Method(_)) => {
            Judgement::denied(Asked::Known { operation, version: 0, pin: None }, ReasonCode::UnknownMethod)
        }
    }
}

/// Absent and `null` arguments are an empty object. The parameters of a protocol method are judged without `_meta`, which is
/// the protocol's own envelope.
fn parse<'a>(arguments: &'a [u8], tool: &Tool) -> Result<Json<'a>, Refusal> {
    let malformed = |pointer: String, expected: &str| Refusal {
        reason: ReasonCode::MalformedArguments,
        pointer,
        expected: expected.to_owned(),
    };
    if arguments.is_empty() {
        return Ok(Json::Object(Vec::new()));
    }
    if arguments.len() > limits::ARGUMENT_BYTES_MAX {
        return Err(malformed(String::new(), "arguments of at most 4 MiB"));
    }
    let json =
        Json::parse(arguments).map_err(|error| malformed(String::new(), &format!("one reading, but {error}")))?;
    let mut members = match json {
        Json::Object(members) => members,
        Json::Null => Vec::new(),
        Json::Bool(_) | Json::Number(_) | Json::Text(_) | Json::List(_) => {
            return Err(malformed(String::new(), "an object"));
        }
    };
    if matches!(tool.contract.operation, Operation::Method(_)) {
        members.retain(|(key, _)| key != "_meta");
    }
    let json = Json::Object(members);
    match json.ambiguous_number() {
        Some(pointer) => Err(malformed(
            pointer,
            "a number that every program reads alike: a whole one below 2^53, or write it as a string",
        )),
        None => Ok(json),
    }
}

fn apply(judgement: &mut Judgement, ruling: Ruling) {
    match ruling {
        Ruling::Permit { policies, obligations } => {
            judgement.decision = Decision::Permit;
            judgement.reason = ReasonCode::Permitted;
            judgement.policies = policies;
            judgement.obligations = obligations;
        }
        Ruling::Hold { policies, approvals, approvers, explanation } => {
            judgement.decision = Decision::Hold;
            judgement.reason = ReasonCode::PolicyHold;
            judgement.policies = policies;
            judgement.approvals = approvals;
            judgement.approvers = approvers.clamp(1, limits::APPROVERS_MAX);
            judgement.explanation = explanation;
        }
        Ruling::Deny { reason, policies, explanation } => {
            judgement.decision = Decision::Deny;
            judgement.reason = reason;
            judgement.policies = policies;
            judgement.explanation = explanation;
        }
    }
}

fn contract_hold(judgement: &mut Judgement, mode: HoldMode, granted: &Grants) {
    match mode {
        HoldMode::Policy => {}
        HoldMode::Always => ask_operator(judgement, ReasonCode::ContractHold, granted),
        HoldMode::Never if judgement.decision == Decision::Hold => {
            judgement.approvals.clear();
            judgement.climb(Decision::Deny, ReasonCode::HoldRefused);
        }
        HoldMode::Never => {}
    }
}

/// Asks for the operator's approval, unless it has been given.
fn ask_operator(judgement: &mut Judgement, reason: ReasonCode, granted: &Grants) {
    let Ok(operator) = ApprovalKind::parse(OPERATOR) else {
        return judgement.climb(Decision::Deny, ReasonCode::Breach);
    };
    if judgement.decision == Decision::Deny || granted.approvals().contains(&operator) {
        return;
    }
    if !judgement.approvals.contains(&operator) {
        judgement.approvals.push(operator);
    }
    judgement.climb(Decision::Hold, reason);
}

/// Asks the inspectors in their order. What policy denied is not asked about, and the first veto stands.
fn inspect(mut judgement: Judgement, situation: &Situation<'_>, question: &Question<'_>) -> Judgement {
    for inspector in situation.inspectors {
        if judgement.decision == Decision::Deny {
            break;
        }
        match inspector.examine(question) {
            None => {}
            Some(Objection::Hold(reason)) => ask_operator(&mut judgement, reason, situation.granted),
            Some(Objection::Deny(veto)) => judgement = judgement.vetoed(veto),
        }
    }
    judgement
}
