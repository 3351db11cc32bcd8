//! Calls of the tenant: live, filtered, searched.

use maud::{Markup, html};
use refmon_core::decision::Decision;
use refmon_core::ids::CallId;
use refmon_core::kinds::plain::unix_seconds;
use refmon_core::reason::ReasonCode;

use crate::form::Fields;
use crate::look;
use crate::page::{self, Answer, Viewer};
use crate::text::Line;

/// Bytes of one filter.
const FILTER_BYTES_MAX: usize = 256;
/// Calls on one page.
pub const PAGE: u32 = 50;

/// A place among calls: when one was asked, in which run of refmon, and as which record of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// When, in microseconds since the Unix epoch.
    pub at_us: u64,
    /// The run.
    pub boot: [u8; 16],
    /// The record.
    pub counter: u64,
}

/// Which calls are asked for. Everything that is given must fit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallQuery {
    /// With this decision.
    pub decision: Option<&'static str>,
    /// With this reason.
    pub reason: Option<&'static str>,
    /// Of this tool.
    pub tool: Option<String>,
    /// Of this server.
    pub server: Option<String>,
    /// Of this person.
    pub user: Option<String>,
    /// Of this agent.
    pub agent: Option<String>,
    /// Not before.
    pub since_us: Option<u64>,
    /// Not after.
    pub until_us: Option<u64>,
    /// With this text in tool, server, agent or reason.
    pub text: Option<String>,
    /// Before this place.
    pub before: Option<Place>,
}

/// A call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Its identifier.
    pub id: CallId,
    /// When it arrived, in microseconds since the Unix epoch.
    pub at_us: u64,
    /// The person, by name if it is known, else by handle.
    pub who: String,
    /// The agent.
    pub agent: String,
    /// The server.
    pub server: String,
    /// What was asked for.
    pub tool: String,
    /// The decision.
    pub decision: &'static str,
    /// The reason.
    pub reason: ReasonCode,
    /// How it ended, if it ran and has.
    pub ended: Option<String>,
    /// How long the decision took.
    pub decide_us: u64,
    /// How long it ran.
    pub execute_us: Option<u64>,
}

/// Calls, the newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calls {
    /// The calls.
    pub calls: Vec<Call>,
    /// Where the next page begins.
    pub next: Option<Place>,
}

impl Place {
    fn print(self) -> String {
        let boot: String = self.boot.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{}.{boot}.{}", self.at_us, self.counter)
    }

    fn parse(text: &str) -> Option<Self> {
        let (at, rest) = text.split_once('.')?;
        let (boot, counter) = rest.split_once('.')?;
        let boot = u128::from_str_radix(boot, 16).ok().filter(|_| boot.len() == 32 && !boot.starts_with('+'))?;
        Some(Self { at_us: at.parse().ok()?, boot: boot.to_be_bytes(), counter: counter.parse().ok()? })
    }
}

/// Reads what is asked for: the query, or the names of the filters that cannot be read.
pub(crate) fn query(fields: &Fields) -> (CallQuery, Vec<&'static str>) {
    let mut wrong = Vec::new();
    let mut text = |name: &'static str| {
        let value = fields.get(name)?;
        if value.len() <= FILTER_BYTES_MAX {
            return Some(value.to_owned());
        }
        wrong.push(name);
        None
    };
    let (tool, server, user, agent) = (text("tool"), text("server"), text("user"), text("agent"));
    let words = text("q");
    let mut time = |name: &'static str| {
        let value = fields.get(name)?;
        // What a browser's field gives has no zone; times here are UTC.
        let spelled = if value.len() == 16 { format!("{value}:00Z") } else { value.to_owned() };
        let seconds = unix_seconds(&spelled).and_then(|seconds| u64::try_from(seconds).ok());
        if seconds.is_none() {
            wrong.push(name);
        }
        seconds.map(|seconds| seconds.saturating_mul(1_000_000))
    };
    let (since_us, until_us) = (time("since"), time("until"));
    let decisions = [Decision::Permit, Decision::Hold, Decision::Deny].map(Decision::as_str);
    let decision = fields.get("decision").map(|word| decisions.into_iter().find(|known| *known == word));
    let reason = fields.get("reason").map(|word| ReasonCode::parse(word).map(ReasonCode::as_str));
    let before = fields.get("before").map(Place::parse);
    wrong.extend(decision.is_some_and(|found| found.is_none()).then_some("decision"));
    wrong.extend(reason.is_some_and(|found| found.is_none()).then_some("reason"));
    wrong.extend(before.is_some_and(|found| found.is_none()).then_some("before"));
    let query = CallQuery {
        decision: decision.flatten(),
        reason: reason.flatten(),
        tool,
        server,
        user,
        agent,
        since_us,
        until_us,
        text: words,
        before: before.flatten(),
    };
    (query, wrong)
}

pub(crate) fn show(_: Viewer<'_>, fields: &Fields, wrong: &[&str], calls: &Calls) -> Answer {
    let body = html! {
        div.head {
            h1 { "Calls" }
            p.live data-live-state hidden { "live" }
        }
        p.lead { "Every call that an agent asked for, as the journal has it: decided and recorded before anything ran." }
        @if !wrong.is_empty() { p.alert role="alert" { "Not understood, and left out: " (wrong.join(", ")) "." } }
        (filters(fields))
        div #calls data-live {
            @if calls.calls.is_empty() {
                div.empty { p { strong { "No call fits." } } p.dim { "Take a filter away, or wait for an agent." } }
            } @else {
                div.wide {
                    table {
                        thead { tr {
                            th scope="col" { "Time (UTC)" } th scope="col" { "Decision" } th scope="col" { "Tool" }
                            th scope="col" { "Who" } th scope="col" { "Reason" } th scope="col" { "Ended" }
                            th.number scope="col" { "Ran" }
                        } }
                        tbody data-rows { @for call in &calls.calls { (row(call)) } }
                    }
                }
                @if let Some(next) = calls.next { p { a.button href=(older(fields, next)) { "Older" } } }
            }
        }
    };
    Answer::page(page::Place::Calls, "Calls", body)
}

fn older(fields: &Fields, next: Place) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for name in ["q", "decision", "reason", "tool", "server", "user", "agent", "since", "until"] {
        if let Some(value) = fields.get(name) {
            query.append_pair(name, value);
        }
    }
    format!("/calls?{}", query.append_pair("before", &next.print()).finish())
}

fn filters(fields: &Fields) -> Markup {
    let text = |name: &'static str, label: &str| {
        html! { div.field { label for={ "f-" (name) } { (label) } input id={ "f-" (name) } name=(name) value=(fields.get(name).unwrap_or_default()) maxlength=(FILTER_BYTES_MAX); } }
    };
    let more = ["server", "user", "agent", "reason", "since", "until"].iter().any(|name| fields.get(name).is_some());
    html! {
        form.filters method="get" action="/calls" role="search" {
            div.fields {
                div.field.grow { label for="f-q" { "Search" } input #f-q type="search" name="q" value=(fields.get("q").unwrap_or_default()) maxlength=(FILTER_BYTES_MAX) placeholder="tool, server, agent or reason"; }
                div.field {
                    label for="f-decision" { "Decision" }
                    select #f-decision name="decision" {
                        option value="" { "any" }
                        @for word in ["permit", "hold", "deny"] { option value=(word) selected[fields.get("decision") == Some(word)] { (word) } }
                    }
                }
                (text("tool", "Tool"))
                button.primary type="submit" { "Filter" }
                a.button href="/calls" { "Clear" }
            }
            details open[more] {
                summary { "More filters" }
                div.fields {
                    (text("server", "Server")) (text("user", "Person")) (text("agent", "Agent"))
                    div.field {
                        label for="f-reason" { "Reason" }
                        select #f-reason name="reason" {
                            option value="" { "any" }
                            @for code in ReasonCode::ALL { option value=(code.as_str()) selected[fields.get("reason") == Some(code.as_str())] { (code.as_str()) } }
                        }
                    }
                    @for (name, label) in [("since", "Since (UTC)"), ("until", "Until (UTC)")] {
                        div.field { label for={ "f-" (name) } { (label) } input id={ "f-" (name) } type="datetime-local" name=(name) value=(fields.get(name).unwrap_or_default()); }
                    }
                }
            }
        }
    }
}

fn row(call: &Call) -> Markup {
    html! {
        tr {
            td { a href={ "/calls/" (call.id) } data-row { (look::moment(call.at_us)) } }
            td { (look::decision(call.decision)) }
            td { strong { (Line(&call.tool)) } br; span.dim { (Line(&call.server)) } }
            td { (Line(&call.who)) br; span.dim { (Line(&call.agent)) } }
            td { (call.reason.sentence()) br; code.dim { (call.reason.as_str()) } }
            td { @if let Some(ended) = &call.ended { (Line(ended)) } @else { span.dim { "–" } } }
            td.number { @if let Some(us) = call.execute_us { (look::span(us)) } @else { span.dim { "–" } } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_read_or_named() {
        let read = |text: &str| query(&Fields::of_query(text).unwrap());
        let (query, wrong) = read("decision=deny&reason=policy.no-permit&tool=rm&since=2026-01-31T10:00&q=x");
        assert_eq!((query.decision, query.reason, wrong.len()), (Some("deny"), Some("policy.no-permit"), 0));
        assert_eq!((query.tool.as_deref(), query.text.as_deref()), (Some("rm"), Some("x")));
        assert_eq!(query.since_us, Some(1_769_853_600_000_000));
        let (query, wrong) = read("decision=Deny&reason=x&since=yesterday&before=1.2.3&tool=");
        assert_eq!(wrong, ["since", "decision", "reason", "before"]);
        assert_eq!(query, CallQuery::default());
        let place = Place { at_us: 17, boot: [0xab; 16], counter: 3 };
        assert_eq!(Place::parse(&place.print()), Some(place));
    }
}
