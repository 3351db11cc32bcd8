//! Holds: what waits, what the person who decides is shown, and how a call goes on that waited.

use crate::bundle::Bundle;
use crate::caller::Caller;
use crate::contract::{Contract, Role};
use crate::facts::{Fact, Facts};
use crate::hold::HoldState;
use crate::ids::HoldId;
use crate::ports::{Fault, HoldRequest, Placed};
use crate::reason::ReasonCode;

use super::{Judgement, Monitor, Proposal, Verdict, binding};

impl Monitor {
    /// The state of a hold of this caller's tenant; `None` if there is none. A store that does not answer has not decided.
    #[must_use]
    pub fn hold_state(&self, caller: &Caller, hold: HoldId) -> Option<HoldState> {
        self.ports.holds.state(caller, hold, self.ports.clock.now()).unwrap_or(Some(HoldState::Pending))
    }

    /// Decides on a call that waited, by the approval of this very hold. It is [`Monitor::submit`] with one
    /// difference: without that approval the answer is a denial, not another hold.
    pub fn resume(&self, proposal: Proposal, hold: HoldId) -> Verdict {
        self.decide(proposal, Some(hold))
    }

    /// Why a call that waited for this hold does not go on by it.
    pub(super) fn not_by(&self, caller: &Caller, hold: HoldId) -> ReasonCode {
        match self.hold_state(caller, hold) {
            Some(HoldState::Denied) => ReasonCode::ApprovalDenied,
            Some(HoldState::Expired) | None => ReasonCode::ApprovalTimeout,
            Some(HoldState::Pending | HoldState::Approved | HoldState::Spent) => ReasonCode::ApprovalVoid,
        }
    }

    /// Asks the store to keep a call for a person, with all that the person must know.
    pub(super) fn place(&self, bundle: &Bundle, proposal: &Proposal, judgement: &Judgement) -> Result<Placed, Fault> {
        let (Some(binding), Some(tool), Some(arguments)) =
            (binding(bundle, proposal, judgement), &judgement.tool, &judgement.canonical)
        else {
            return Err(Fault::Breach("a hold without a tool or arguments"));
        };
        let mut arguments = arguments.clone();
        if !proposal.beside.is_empty() {
            arguments.push_str(&format!(" and beside the arguments {}", proposal.beside));
        }
        let contract = &tool.contract;
        let targets = judgement.facts.as_ref().map(|facts| targets(contract, facts)).unwrap_or_default();
        let now = self.ports.clock.now();
        let mut random = [0u8; 10];
        self.ports.entropy.fill(&mut random)?;
        let request = HoldRequest {
            id: HoldId::uuid_v7(now.unix_us / 1_000, random),
            binding,
            approvals: &judgement.approvals,
            approvers: judgement.approvers,
            contract,
            action: &tool.action,
            arguments: &arguments,
            explanation: judgement.explanation.as_deref().unwrap_or_else(|| judgement.reason.sentence()),
            reason: judgement.reason,
            targets: &targets,
            door: proposal.door,
            trajectory: proposal.trajectory,
            now,
        };
        self.ports.holds.place(&proposal.caller, &request)
    }
}

/// What a call is aimed at: the values of the arguments that its contract calls targets, as the facts have them.
fn targets(contract: &Contract, facts: &Facts) -> Vec<String> {
    let rules = contract.arguments.values().filter(|rule| rule.role == Role::Target);
    let mut found = Vec::new();
    for fact in rules.filter_map(|rule| facts.of(rule.path.as_str())?.get("value")) {
        match fact {
            Fact::Text(text) => found.push(text.clone()),
            Fact::Texts(texts) => found.extend(texts.iter().cloned()),
            Fact::Flag(_) | Fact::Long(_) | Fact::Decimal(_) => {}
        }
    }
    found.sort();
    found.dedup();
    found
}
