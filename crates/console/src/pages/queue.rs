//! Approvals: what waits for a person.

use maud::{Markup, html};
use refmon_core::hold::HoldState;
use refmon_core::ids::HoldId;

use crate::form::Fields;
use crate::look;
use crate::page::{Answer, Place, Viewer};
use crate::sight::{Batch, Hold, Part, Queue, QueueQuery};
use crate::text::Line;

/// Targets of one row.
const TARGETS_SHOWN: usize = 3;

/// Reads what is asked for. What cannot be read asks for what waits.
pub(crate) fn query(fields: &Fields) -> QueueQuery {
    let state = match fields.get("state") {
        Some("all") => None,
        Some(state) => Some(HoldState::parse(state).unwrap_or(HoldState::Pending)),
        None => Some(HoldState::Pending),
    };
    QueueQuery { state, after: fields.get("after").and_then(after) }
}

fn after(text: &str) -> Option<(u8, u64, HoldId)> {
    let (risk, rest) = text.split_once('.')?;
    let (placed, id) = rest.split_once('.')?;
    Some((risk.parse().ok()?, placed.parse().ok()?, HoldId::parse(id)?))
}

pub(crate) fn show(viewer: Viewer<'_>, query: &QueueQuery, queue: &Queue) -> Answer {
    let waiting = queue.counts.get("pending").copied().unwrap_or_default();
    let title = if waiting == 0 { "Approvals".to_owned() } else { format!("({waiting}) Approvals") };
    let own = |address: &str| address.to_owned();
    let tabs = [
        (Some(HoldState::Pending), own("/"), "Waiting"),
        (Some(HoldState::Approved), own("/?state=approved"), "Approved"),
        (Some(HoldState::Denied), own("/?state=denied"), "Denied"),
        (Some(HoldState::Spent), own("/?state=spent"), "Has run"),
        (Some(HoldState::Expired), own("/?state=expired"), "Expired"),
    ];
    let body = html! {
        div.head {
            h1 { "Approvals" }
            p.live data-live-state hidden { "live" }
        }
        p.lead { (lead(viewer)) }
        div #queue data-live {
            nav.tabs aria-label="States" {
                @for (state, address, name) in tabs {
                    @let count = state.and_then(|state| queue.counts.get(state.as_str())).copied().unwrap_or_default();
                    a href=(address) aria-current=[(state == query.state).then_some("page")] {
                        (name) " " span.count { (count) }
                    }
                }
            }
            @if query.state == Some(HoldState::Pending) { (batches(&queue.batches)) }
            @if queue.holds.is_empty() { (empty(query)) } @else {
                ol.rows data-rows {
                    @for hold in &queue.holds { (row(hold, queue.now_us)) }
                }
                @if let Some(next) = &queue.next {
                    @let state = query.state.map_or("all", HoldState::as_str);
                    p { a.button href={ "/?state=" (state) "&after=" (next) } { "More" } }
                }
            }
        }
        p.keys { kbd { "j" } " " kbd { "k" } " next and previous, " kbd { "Enter" } " opens" }
    };
    Answer::page(Place::Approvals, title, body)
}

fn lead(viewer: Viewer<'_>) -> Markup {
    let decides = &viewer.rights.decides;
    html! {
        @if decides.is_empty() {
            "Your own calls that wait for somebody else. To decide on calls, your credential needs the scope "
            code { "refmon:approve" } "."
        } @else if decides.len() == refmon_core::contract::Effect::ALL.len() {
            "Calls that agents want to make and that a person has to decide on. The most consequential come first."
        } @else {
            "Calls that wait for a person. You can decide on tools that do nothing but " (look::effects(decides)) "."
        }
    }
}

fn empty(query: &QueueQuery) -> Markup {
    html! {
        div.empty {
            @if query.state == Some(HoldState::Pending) {
                p { strong { "Nothing waits for you." } }
                p.dim { "When an agent makes a call that a person has to decide on, it appears here within seconds." }
            } @else {
                p { "No call is in this state." }
            }
        }
    }
}

fn batches(batches: &[Batch]) -> Markup {
    let alike: Vec<&Batch> = batches.iter().filter(|batch| batch.count > 1).collect();
    html! {
        @if !alike.is_empty() {
            section.alike aria-label="Calls that are alike" {
                h2 { "Alike" }
                ul {
                    @for batch in alike {
                        li {
                            strong { (batch.count) " calls" } " " (look::effects(&batch.effects)) " "
                            @if batch.targets.is_empty() { span.dim { "with no known target" } } @else { "on " (targets(&batch.targets)) }
                        }
                    }
                }
            }
        }
    }
}

pub(crate) fn targets(all: &[String]) -> Markup {
    html! {
        @for (number, target) in all.iter().take(TARGETS_SHOWN).enumerate() { @if number > 0 { ", " } (Line(target)) }
        @if all.len() > TARGETS_SHOWN { " and " (all.len().saturating_sub(TARGETS_SHOWN)) " more" }
    }
}

fn row(hold: &Hold, now_us: u64) -> Markup {
    html! {
        li.row {
            a.row-link href={ "/holds/" (hold.id) } data-row {
                span.row-what {
                    @if hold.part == Part::AskedOnly { "You want to run " } @else {
                        strong { (Line(&hold.user)) } " wants to run "
                    }
                    strong { (Line(&hold.tool)) }
                    span.dim { " on " } (Line(&hold.server))
                }
                span.row-badges {
                    @if hold.part != Part::AskedOnly { (look::risk(hold.risk)) }
                    @if hold.state != HoldState::Pending { (look::state(hold.state)) }
                    @if hold.state == HoldState::Pending && hold.needed > 1 {
                        (look::badge(crate::pages::call::Tone::Hold, &format!("{} of {} approvals", hold.approved, hold.needed)))
                    }
                    @if matches!(hold.part, Part::Asked | Part::AskedOnly) { span.badge.plain { "your own" } }
                }
                @if hold.part != Part::AskedOnly {
                    span.row-why {
                        (look::effects(&hold.effects))
                        @if !hold.targets.is_empty() { span.dim { "on " } (targets(&hold.targets)) span.dim { " · " } }
                        (Line(&hold.why))
                    }
                }
                span.row-when {
                    @if !hold.agent.is_empty() { span { "through " (Line(&hold.agent)) } }
                    span { "asked " (look::clock(hold.placed_us)) }
                    @if hold.state == HoldState::Pending { span { "expires " (look::left(hold.expires_us, now_us)) } }
                }
            }
        }
    }
}
