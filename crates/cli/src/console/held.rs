//! Calls that wait, as the console shows them: the desk of a credential, as at `/v1/holds`.

use refmon_console::sight::{Batch, Decided, Decision, Hold, Part, Queue, QueueQuery};
use refmon_core::caller::Caller;
use refmon_core::hold::HoldState;
use refmon_core::ids::HoldId;
use refmon_core::ports::Fault;
use refmon_core::record::Resolved;
use refmon_store::desk::{self, Desk, Place, Seen};
use refmon_store::risk::Risk;

use super::evidence;
use super::sighted::Sighted;

/// Holds on one page.
const PAGE: u32 = 50;

pub(super) fn queue(sighted: &Sighted, visitor: &Caller, query: &QueueQuery) -> Result<Queue, Fault> {
    let after = query.after.map(|(risk, placed_us, id)| Place { risk, placed_us, id });
    let (desk, now) = (sighted.holds.stores.desk(visitor), sighted.now());
    let page = desk.list(query.state, after, PAGE, now).map_err(|error| sighted.failed(error))?;
    let batches = page.batches.into_iter();
    Ok(Queue {
        holds: page.holds.into_iter().map(|seen| shown(&desk, visitor, seen)).collect(),
        counts: page.counts,
        batches: batches.map(|one| Batch { effects: one.effects, targets: one.targets, count: one.count }).collect(),
        next: page.next.map(|place| format!("{}.{}.{}", place.risk, place.placed_us, place.id)),
        now_us: now.unix_us,
    })
}

pub(super) fn hold(sighted: &Sighted, visitor: &Caller, id: HoldId) -> Result<Option<(Hold, u64)>, Fault> {
    let (desk, now) = (sighted.holds.stores.desk(visitor), sighted.now());
    let Some(seen) = desk.find(id, now).map_err(|error| sighted.failed(error))? else { return Ok(None) };
    let mut hold = shown(&desk, visitor, seen);
    if hold.part != Part::AskedOnly {
        // A page that cannot name the rule still says why.
        hold.rules = evidence::rules(sighted, visitor, id).unwrap_or_default();
    }
    Ok(Some((hold, now.unix_us)))
}

pub(super) const fn decided(decided: desk::Decided) -> Decided {
    match decided {
        desk::Decided::Done(desk::Progress { state, approved, needed }) => Decided::Done { state, approved, needed },
        desk::Decided::Unchanged(_) => Decided::Unchanged,
        desk::Decided::NotPending(state) => Decided::NotPending(state),
        desk::Decided::SamePerson => Decided::SamePerson,
        desk::Decided::Missing => Decided::Missing,
    }
}

fn shown(desk: &Desk<'_>, visitor: &Caller, seen: Seen) -> Hold {
    match seen {
        Seen::ToDecide(hold) => {
            let part = if desk.is_own(&hold) { Part::Asked } else { Part::Decides };
            to_decide(*hold, part)
        }
        Seen::Own { id, action, state, arguments, placed_us, expires_us } => {
            own(visitor, (id, action, arguments), state, (placed_us, expires_us))
        }
    }
}

fn to_decide(hold: desk::Hold, part: Part) -> Hold {
    let approved = hold.approvals_so_far();
    let decisions = hold.decisions.into_iter().map(|one| Decision {
        user: one.user,
        resolved: if one.approves { Resolved::Approved } else { Resolved::Denied },
        reason: one.reason,
        at_us: one.at_us,
    });
    Hold {
        id: hold.id,
        state: hold.state,
        part,
        user: hold.user,
        agent: hold.agent,
        identity: hold.identity,
        host: hold.host,
        door: hold.door,
        server: hold.server,
        tool: hold.tool,
        action: hold.action,
        effects: hold.effects,
        targets: hold.targets,
        risk: (hold.risk, Risk::words(hold.risk)),
        reason: hold.reason,
        why: hold.explanation,
        rules: Vec::new(),
        needed: hold.needed.max(1),
        approved,
        decisions: decisions.collect(),
        arguments: hold.arguments,
        placed_us: hold.placed_us,
        expires_us: hold.expires_us,
    }
}

/// What whoever asked, and decides on nothing, sees of it.
fn own(
    visitor: &Caller,
    (id, action, arguments): (HoldId, String, String),
    state: HoldState,
    (placed_us, expires_us): (u64, u64),
) -> Hold {
    // `server/operation@version`: a server's name has no slash in configurations that start.
    let (server, rest) = action.split_once('/').unwrap_or(("", &action));
    let tool = rest.rsplit_once('@').map_or(rest, |(tool, _)| tool).to_owned();
    Hold {
        id,
        state,
        part: Part::AskedOnly,
        user: visitor.user().to_string(),
        agent: String::new(),
        identity: String::new(),
        host: None,
        door: String::new(),
        server: server.to_owned(),
        tool,
        action,
        effects: Vec::new(),
        targets: Vec::new(),
        risk: (0, ""),
        reason: String::new(),
        why: String::new(),
        rules: Vec::new(),
        needed: 1,
        approved: 0,
        decisions: Vec::new(),
        arguments,
        placed_us,
        expires_us,
    }
}
