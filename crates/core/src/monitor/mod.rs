//! The monitor: the one choke point.
//!
//! [`Monitor::submit`] takes a [`Proposal`] and answers with a [`Verdict`]; it cannot fail, only deny. The order
//! within it is the promise: judge ([`judge()`]), then record durably, then mint. [`Monitor::finish`] takes what
//! came back, records it, and only then lets go of it. [`Authorized`], [`Held`], [`Denied`] and [`Released`] are
//! made in this file and nowhere else.
//!
//! ```text
//! submit ── judge ──▶ permit ───────────────────────▶ journal attempt ──▶ Authorized
//!             │                                            ▲
//!             ├────▶ hold ── approval for it? ── yes ── judge again with it as a fact, spend it
//!             │                                └ no ─▶ store hold ──▶ journal attempt ──▶ Held
//!             └────▶ deny ─────────────────────────▶ journal attempt ──▶ Denied
//! ```

mod binding;
mod hold;
pub mod judge;
mod states;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use binding::{asserter, binding};
pub use judge::{Ask, Judgement, Situation, judge};
pub use states::{Authorized, Denied, Held, InFlight, Outcome, Proposal, Released, Returned, Route, Verdict, Withheld};

use crate::bundle::Bundle;
use crate::caller::Caller;
use crate::decision::{Decision, Grants, Veto};
use crate::ids::{CallId, HoldId, Operation, ServerName};
use crate::ports::{
    Approval, Clock, Commitments, Entropy, Fault, Files, Holds, Imminent, Inspector, Journal, Moment, Placed,
    ScopeGrants, Wait,
};
use crate::reason::ReasonCode;
use crate::record::{Attempt, Cause, Completion, Event, Indeterminate, Notice, Record, Status};

/// Everything that the monitor needs from the outside. A monitor without a journal cannot be made.
#[derive(Clone)]
pub struct Ports {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Evidence.
    pub journal: Arc<dyn Journal>,
    /// Commitments and handles.
    pub commitments: Arc<dyn Commitments>,
    /// Holds and approvals.
    pub holds: Arc<dyn Holds>,
    /// Scopes that people give for a time.
    pub grants: Arc<dyn ScopeGrants>,
    /// The file system, for judging paths.
    pub files: Arc<dyn Files>,
    /// Inspectors, which can only object.
    pub inspectors: Vec<Arc<dyn Inspector>>,
}

/// The reference monitor.
pub struct Monitor {
    bundle: RwLock<Arc<Bundle>>,
    ports: Ports,
}

impl Monitor {
    /// Makes a monitor and records that it started.
    ///
    /// # Errors
    /// A fault if that cannot be recorded: a monitor without evidence does not exist.
    pub fn new(bundle: Bundle, ports: Ports) -> Result<Self, Fault> {
        let monitor = Self { bundle: RwLock::new(Arc::new(bundle)), ports };
        monitor.note(Event::Started(monitor.bundle().digest()))?;
        Ok(monitor)
    }

    /// The bundle in force.
    #[must_use]
    pub fn bundle(&self) -> Arc<Bundle> {
        Arc::clone(&self.bundle.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another bundle in force. Calls that are being judged keep theirs; none sees both.
    ///
    /// # Errors
    /// A fault if the change cannot be recorded; the old bundle stays.
    pub fn activate(&self, bundle: Bundle) -> Result<(), Fault> {
        self.note(Event::Activated(bundle.digest()))?;
        *self.bundle.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(bundle);
        Ok(())
    }

    /// Records an event of the monitor itself, durably.
    ///
    /// # Errors
    /// A fault of the journal.
    pub fn note(&self, event: Event) -> Result<(), Fault> {
        self.ports.journal.append(&Record::Notice(Notice { at: self.ports.clock.now(), event }), Wait::Durable)
    }

    /// Decides on a call. On return the attempt is recorded durably, whatever was decided; if it could not be,
    /// the answer is a denial.
    pub fn submit(&self, proposal: Proposal) -> Verdict {
        self.decide(proposal, None)
    }

    /// Decides on a new call, or on one that waited for a hold.
    fn decide(&self, proposal: Proposal, waited: Option<HoldId>) -> Verdict {
        let bundle = self.bundle();
        let judgement = self.judge(&bundle, &proposal, &Grants::none());
        match judgement.decision {
            Decision::Permit => self.permit(&bundle, proposal, judgement, None),
            Decision::Deny => self.deny(&bundle, proposal, judgement),
            Decision::Hold => match self.approval_for(&bundle, &proposal, &judgement) {
                Ok(Some(approval)) if waited.is_none_or(|hold| approval.hold == hold) => {
                    self.approved(&bundle, proposal, approval, judgement.approvers)
                }
                Ok(_) => match waited {
                    None => self.hold(&bundle, proposal, judgement),
                    Some(hold) => {
                        let reason = self.not_by(&proposal.caller, hold);
                        self.deny(&bundle, proposal, judgement.refused(reason))
                    }
                },
                Err(_) => self.deny(&bundle, proposal, judgement.refused(ReasonCode::Unavailable)),
            },
        }
    }

    /// What would be decided on a call now. Nothing is recorded, spent or minted, and an approval does not count.
    #[must_use]
    pub fn foresee(&self, proposal: &Proposal) -> Judgement {
        self.judge(&self.bundle(), proposal, &Grants::none())
    }

    /// Why nothing of this caller goes on at present: a halt, which also stops what was permitted before it.
    #[must_use]
    pub fn precluded(&self, caller: &Caller) -> Option<Veto> {
        self.ports.inspectors.iter().find_map(|inspector| inspector.preclude(caller, self.ports.clock.now()))
    }

    /// Denies a call for a reason that only its door knows (a limit, an identifier in use). It can only deny.
    pub fn refuse(&self, proposal: Proposal, reason: ReasonCode) -> Denied {
        let bundle = self.bundle();
        let judgement = Judgement::of_door(&proposal.ask, reason);
        match self.record(&bundle, &proposal, &judgement) {
            Ok((call, _)) => Denied { call: Some(call), judgement },
            Err(_) => Denied::unrecorded(judgement),
        }
    }

    /// Takes what came back, records it, and releases or withholds it. The outcome of a call with side effects
    /// is durable before the agent sees it.
    pub fn finish(&self, returned: Returned) -> Outcome {
        let Returned { flight, status, message } = returned;
        let now = self.ports.clock.now();
        let released = !flight.withhold && status != Status::Malformed && status != Status::Cancelled;
        let bytes = message.as_ref().map(|message| message.open().as_slice());
        let result = match bytes.map(|bytes| self.ports.commitments.commit(&flight.caller, bytes)).transpose() {
            Ok(result) => result,
            Err(_) => {
                return Outcome::Withheld(Withheld { call: flight.call, status, reason: ReasonCode::AuditUnavailable });
            }
        };
        let record = Record::Completion(Completion {
            call: flight.call,
            at: now,
            tenant: flight.caller.tenant().clone(),
            status,
            released,
            result,
            result_bytes: bytes.map_or(0, |bytes| bytes.len() as u64),
            execute_us: now.micros_since(flight.permitted),
        });
        let wait = if flight.side_effects { Wait::Durable } else { Wait::Queued };
        if self.ports.journal.append(&record, wait).is_err() {
            return Outcome::Withheld(Withheld { call: flight.call, status, reason: ReasonCode::AuditUnavailable });
        }
        match message {
            Some(message) if released => Outcome::Released(Released { call: flight.call, message }),
            _ => Outcome::Withheld(Withheld { call: flight.call, status, reason: ReasonCode::Permitted }),
        }
    }

    /// Records that nobody will learn how a call ended. That nobody said so need not be on the disk before the answer.
    ///
    /// # Errors
    /// A fault of the journal. The attempt stays open and is closed when the journal is next opened.
    pub fn abandon(&self, flight: InFlight, cause: Cause) -> Result<(), Fault> {
        let tenant = flight.caller.tenant().clone();
        let record = Indeterminate { call: flight.call, at: self.ports.clock.now(), tenant, cause };
        let wait = if cause == Cause::NotReported { Wait::Queued } else { Wait::Durable };
        self.ports.journal.append(&Record::Indeterminate(record), wait)
    }

    /// Whether a listed tool is shown to a caller: it has a contract made for exactly this definition, the caller
    /// holds its scopes, and some call of it could be permitted.
    #[must_use]
    pub fn shows(
        &self,
        caller: &Caller,
        server: &ServerName,
        operation: &Operation,
        listing: &crate::bundle::Listing,
    ) -> bool {
        let bundle = self.bundle();
        bundle.tool(server, operation).is_some_and(|tool| {
            let seen_by = |caller: &Caller| {
                tool.contract.required_scopes.iter().all(|scope| caller.holds(scope))
                    && bundle.policy().conceivable(caller, tool)
            };
            listing.matches(&tool.contract)
                && (seen_by(caller) || {
                    // Only who has been given something can see more than with the credential alone.
                    let grants = self.ports.grants.in_force(caller, self.ports.clock.now()).unwrap_or_default();
                    !grants.is_empty() && seen_by(&caller.with_grants(&grants))
                })
        })
    }

    // --- the steps of submit, in order ---
    fn judge(&self, bundle: &Bundle, proposal: &Proposal, granted: &Grants) -> Judgement {
        let situation = Situation {
            bundle,
            grants: self.ports.grants.as_ref(),
            files: self.ports.files.as_ref(),
            inspectors: &self.ports.inspectors,
            granted,
            now: self.ports.clock.now(),
        };
        judge(
            &situation,
            &proposal.caller,
            &proposal.server,
            &proposal.ask,
            &proposal.listing,
            proposal.arguments(),
            proposal.supported,
        )
    }

    fn approval_for(
        &self,
        bundle: &Bundle,
        proposal: &Proposal,
        judgement: &Judgement,
    ) -> Result<Option<Approval>, Fault> {
        let Some(binding) = binding(bundle, proposal, judgement) else { return Ok(None) };
        self.ports.holds.approved(&proposal.caller, &binding, self.ports.clock.now())
    }

    fn approved(&self, bundle: &Bundle, proposal: Proposal, approval: Approval, approvers: u8) -> Verdict {
        let judgement = self.judge(bundle, &proposal, &Grants::verified(approval.approvals.clone()));
        match judgement.decision {
            // More people may be needed now than when the hold was placed.
            Decision::Permit if approval.approvers < approvers => {
                self.deny(bundle, proposal, judgement.refused(ReasonCode::ApprovalVoid))
            }
            Decision::Permit => self.permit(bundle, proposal, judgement, Some(approval)),
            Decision::Hold => self.deny(bundle, proposal, judgement.refused(ReasonCode::ApprovalVoid)),
            Decision::Deny => self.deny(bundle, proposal, judgement),
        }
    }

    fn permit(
        &self,
        bundle: &Bundle,
        proposal: Proposal,
        mut judgement: Judgement,
        approval: Option<Approval>,
    ) -> Verdict {
        // What a call uses up is taken before its approval is spent: an empty budget must not cost a person's decision.
        if let Err(veto) = self.take(&proposal, &judgement) {
            return self.deny(bundle, proposal, judgement.vetoed(veto));
        }
        if let Some(approval) = approval {
            match self.ports.holds.spend(&proposal.caller, &approval, self.ports.clock.now()) {
                Ok(true) => judgement = judgement.approved_by(approval),
                Ok(false) => return self.deny(bundle, proposal, judgement.refused(ReasonCode::ApprovalVoid)),
                Err(_) => return self.deny(bundle, proposal, judgement.refused(ReasonCode::Unavailable)),
            }
        }
        match self.record(bundle, &proposal, &judgement) {
            Err(_) => Verdict::Deny(Denied::unrecorded(judgement)),
            Ok((call, permitted)) => Verdict::Permit(Authorized {
                flight: InFlight {
                    call,
                    permitted,
                    side_effects: judgement.tool.as_ref().is_none_or(|tool| !tool.contract.effects.only_reads()),
                    withhold: !judgement.obligations.is_empty(),
                    caller: proposal.caller,
                },
                message: proposal.message,
                reason: judgement.reason,
                obligations: judgement.obligations,
            }),
        }
    }

    fn take(&self, proposal: &Proposal, judgement: &Judgement) -> Result<(), Veto> {
        let (Some(tool), Some(facts), Some(canonical)) = (&judgement.tool, &judgement.facts, &judgement.canonical)
        else {
            return Err(ReasonCode::Breach.into());
        };
        let (caller, now) = (proposal.caller.as_ref(), self.ports.clock.now());
        let call = Imminent { caller, tool, facts, argument_bytes: canonical.len(), now };
        self.ports.inspectors.iter().try_for_each(|inspector| inspector.take(&call))
    }

    fn hold(&self, bundle: &Bundle, proposal: Proposal, mut judgement: Judgement) -> Verdict {
        let hold = match self.place(bundle, &proposal, &judgement) {
            Ok(Placed::Waits(hold)) => hold,
            Ok(Placed::Denied(hold)) => {
                judgement.hold = Some(hold);
                return self.deny(bundle, proposal, judgement.vetoed(ReasonCode::ApprovalDenied.into()));
            }
            Ok(Placed::Full) => return self.deny(bundle, proposal, judgement.vetoed(ReasonCode::HoldsFull.into())),
            Err(_) => return self.deny(bundle, proposal, judgement.refused(ReasonCode::Unavailable)),
        };
        judgement.hold = Some(hold);
        match self.record(bundle, &proposal, &judgement) {
            Ok((call, _)) => Verdict::Hold(Held { call, hold, judgement, message: proposal.message }),
            Err(_) => Verdict::Deny(Denied::unrecorded(judgement)),
        }
    }

    fn deny(&self, bundle: &Bundle, proposal: Proposal, judgement: Judgement) -> Verdict {
        Verdict::Deny(match self.record(bundle, &proposal, &judgement) {
            Ok((call, _)) => Denied { call: Some(call), judgement },
            Err(_) => Denied::unrecorded(judgement),
        })
    }

    /// Records the attempt durably. Nothing is minted before it returns `Ok`.
    fn record(&self, bundle: &Bundle, proposal: &Proposal, judgement: &Judgement) -> Result<(CallId, Moment), Fault> {
        let caller = &proposal.caller;
        let mut random = [0u8; 10];
        self.ports.entropy.fill(&mut random)?;
        let call = CallId::uuid_v7(proposal.arrived.unix_us / 1_000, random);
        let commit = |text: &String| self.ports.commitments.commit(caller, text.as_bytes());
        let decided = self.ports.clock.now();
        let attempt = Attempt {
            call,
            at: proposal.arrived,
            tenant: caller.tenant().clone(),
            subject: self.ports.commitments.subject(caller)?,
            identity: caller.kind(),
            agent: caller.agent().clone(),
            trajectory: proposal.trajectory,
            door: proposal.door,
            server: proposal.server.clone(),
            asked: judgement.asked.clone(),
            decision: judgement.decision,
            reason: judgement.reason,
            policies: judgement.policies.clone(),
            approvals: judgement.approvals.clone(),
            obligations: judgement.obligations.clone(),
            bundle: bundle.digest(),
            hold: judgement.hold,
            arguments: judgement.canonical.as_ref().map(commit).transpose()?,
            argument_bytes: proposal.arguments().len() as u64,
            argument_names: judgement.names.clone(),
            decide_us: decided.micros_since(proposal.arrived),
            grants: judgement.grants.iter().map(|grant| grant.id).collect(),
            asserted_by: asserter(self.ports.commitments.as_ref(), caller)?,
        };
        self.ports.journal.append(&Record::Attempt(Box::new(attempt)), Wait::Durable)?;
        Ok((call, self.ports.clock.now()))
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitor").field("bundle", &self.bundle()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ports").field("inspectors", &self.inspectors.len()).finish_non_exhaustive()
    }
}
