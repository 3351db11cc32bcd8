//! The queue of holds as people and programs see it: what `refmon holds` and `/v1/holds` answer, in the same words.

use refmon_core::ids::{HoldId, TrajectoryId};
use refmon_core::limits::HOLD_SECONDS;
use refmon_core::ports::{Journal, Moment, Wait};
use refmon_core::record::{Record, Resolution, Resolved};
use refmon_core::untrusted::{ascii, visible};
use refmon_store::StoreError;
use refmon_store::desk::{Batch, Decided, Decision, Desk, Figures, Hold, Page, Progress, Seen};
use refmon_store::holds::HoldState;
use refmon_store::risk::Risk;
use serde_json::{Value, json};

use crate::output::time;

/// Targets that are shown.
const TARGETS_SHOWN: usize = 16;
/// Bytes of a reason.
pub(crate) const REASON_BYTES_MAX: usize = 1_024;

/// Decides, with a record of it that is durable before the decision counts.
pub(crate) fn decide(
    desk: &Desk<'_>,
    id: HoldId,
    (resolved, reason): (Resolved, Option<&str>),
    now: Moment,
    (journal, by): (&dyn Journal, refmon_core::ids::SubjectHandle),
    tenant: &refmon_core::ids::TenantId,
) -> Result<Decided, StoreError> {
    desk.decide(id, resolved, reason, now, |vote| {
        let record = Record::Resolution(Resolution {
            hold: id,
            at: now,
            tenant: tenant.clone(),
            resolved: vote.resolved,
            by,
            self_approved: vote.self_approved,
            share: Some(vote.share),
        });
        journal.append(&record, Wait::Durable)
    })
}

/// A page of the queue.
pub(crate) fn page(page: &Page) -> Value {
    let next = page.next.map(|place| format!("{}.{}.{}", place.risk, place.placed_us, place.id));
    json!({
        "holds": page.holds.iter().map(|seen| value(seen, false)).collect::<Vec<_>>(), "counts": page.counts,
        "batches": page.batches.iter().map(batch).collect::<Vec<_>>(), "next": next,
    })
}

fn batch(batch: &Batch) -> Value {
    let (targets, target_count) = targets(&batch.targets);
    json!({
        "effects": batch.effects.iter().map(|effect| effect.as_str()).collect::<Vec<_>>(), "targets": targets,
        "target_count": target_count, "count": batch.count, "risk": batch.risk, "oldest": time(batch.oldest_us),
    })
}

/// A hold. What strangers wrote is text in it, with what is invisible escaped.
pub(crate) fn value(seen: &Seen, whole: bool) -> Value {
    let hold = match seen {
        Seen::ToDecide(hold) => hold,
        Seen::Own { id, action, state, arguments, placed_us, expires_us } => {
            let mut value = json!({
                "hold": id.to_string(), "state": state.as_str(), "action": action, "placed": time(*placed_us),
                "expires": time(*expires_us),
            });
            if whole {
                value["arguments"] = json!(visible(arguments));
            }
            return value;
        }
    };
    let (targets, target_count) = targets(&hold.targets);
    let host = hold.host.as_ref().map(|(user, agent)| json!({ "user": user, "agent": agent }));
    let mut value = json!({
        "hold": hold.id.to_string(), "state": hold.state.as_str(), "user": hold.user, "agent": hold.agent,
        "identity": hold.identity, "asserted_by": host, "door": hold.door,
        "trajectory": hold.trajectory.map(|bytes| TrajectoryId::from_bytes(bytes).to_string()), "server": hold.server,
        "tool": hold.tool, "action": hold.action,
        "effects": hold.effects.iter().map(|effect| effect.as_str()).collect::<Vec<_>>(), "targets": targets,
        "target_count": target_count, "risk": hold.risk, "risk_words": Risk::words(hold.risk), "approvals": hold.approvals,
        "needed": hold.needed, "approved": hold.approvals_so_far(), "argument_bytes": hold.argument_bytes,
        "decisions": hold.decisions.iter().map(decision).collect::<Vec<_>>(), "reason": hold.reason,
        "why": visible(&hold.explanation), "placed": time(hold.placed_us), "expires": time(hold.expires_us),
        "next": next(hold),
    });
    if whole {
        value["arguments"] = json!(visible(&hold.arguments));
        if !hold.arguments.is_ascii() {
            // Letters that look alike show what they are.
            value["arguments_ascii"] = json!(ascii(&hold.arguments));
        }
    }
    value
}

fn decision(decision: &Decision) -> Value {
    json!({
        "user": decision.user, "agent": decision.agent, "identity": decision.identity,
        "decision": if decision.approves { "approved" } else { "denied" },
        "self_approved": decision.own && decision.approves, "reason": decision.reason.as_deref().map(visible),
        "at": time(decision.at_us),
    })
}

fn targets(all: &[String]) -> (Vec<String>, usize) {
    (all.iter().take(TARGETS_SHOWN).map(|target| visible(target)).collect(), all.len())
}

/// What happens next with a hold.
pub(crate) fn next(hold: &Hold) -> String {
    let minutes = HOLD_SECONDS / 60;
    let until = time(hold.expires_us);
    match hold.state {
        HoldState::Pending => {
            let missing = hold.needed.max(1).saturating_sub(hold.approvals_so_far());
            let who = if missing > 1 { format!("{missing} people approve") } else { "one person approves".to_owned() };
            format!("it runs once if {who} until {until} and the identical call is sent again within {minutes} minutes")
        }
        HoldState::Approved => format!("the identical call runs once, if it is sent again until {until}"),
        HoldState::Denied => format!("the identical call is denied until {until}"),
        HoldState::Spent => "nothing: the call was let through".to_owned(),
        HoldState::Expired => "nothing: the identical call would wait anew".to_owned(),
    }
}

/// How far a hold is.
pub(crate) fn progress(id: HoldId, progress: Progress, changed: bool) -> Value {
    let Progress { state, approved, needed } = progress;
    json!({
        "hold": id.to_string(), "state": state.as_str(), "approved": approved, "needed": needed, "changed": changed,
    })
}

/// The figures of the last 24 hours.
pub(crate) fn figures(figures: &Figures) -> Value {
    let decided = figures.approved.saturating_add(figures.denied);
    let percent = figures.approved.saturating_mul(100).checked_div(decided);
    let asked = figures.asked.iter();
    let asked = asked.map(|one| json!({ "agent": one.agent, "hour": time(one.hour_us), "count": one.count }));
    json!({
        "asked": asked.collect::<Vec<_>>(), "placed": figures.placed, "approved": figures.approved, "denied": figures.denied,
        "undecided": figures.undecided, "approval_percent": percent, "median_ms": figures.median_ms,
    })
}
