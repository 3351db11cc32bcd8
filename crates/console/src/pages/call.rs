//! One call's life, drawn from door to record.

use maud::{Markup, html};
use refmon_core::ids::CallId;

use crate::look;
use crate::page::{self, Answer, Viewer};
use crate::text::Line;

/// Steps that are drawn. A call has few; a chain of repeated attempts may have more, and the table has them all.
const DRAWN_MAX: usize = 24;
/// Pixels from one step to the next.
const STRIDE: usize = 100;
/// Pixels before the first step.
const MARGIN: usize = 50;

/// What a step means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// It goes on.
    Permit,
    /// It waits.
    Hold,
    /// It ends here.
    Deny,
    /// None of these.
    Plain,
}

/// A step of a call's life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What happened, in one or two words.
    pub name: &'static str,
    /// What it means.
    pub tone: Tone,
    /// When, in microseconds since the Unix epoch.
    pub at_us: u64,
    /// More of it.
    pub detail: String,
    /// The call that it belongs to, if that is another one of the same hold.
    pub other: Option<CallId>,
}

/// One call's life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Life {
    /// The call.
    pub id: CallId,
    /// The tool.
    pub tool: String,
    /// The server.
    pub server: String,
    /// The decision.
    pub decision: &'static str,
    /// Its reason, as a sentence.
    pub why: &'static str,
    /// What can be done about it.
    pub remedies: Vec<&'static str>,
    /// Everything else that the record says: name and value.
    pub facts: Vec<(&'static str, String)>,
    /// The steps, the earliest first.
    pub steps: Vec<Step>,
}

impl Tone {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Permit => "permit",
            Self::Hold => "hold",
            Self::Deny => "deny",
            Self::Plain => "plain",
        }
    }
}

pub(crate) fn show(_: Viewer<'_>, life: &Life) -> Answer {
    let body = html! {
        p.crumb { a href="/calls" { "Calls" } }
        div.head {
            h1 { (Line(&life.tool)) span.dim { " on " } (Line(&life.server)) }
            div.badges { (look::decision(life.decision)) }
        }
        p.lead { (life.why) "." }
        @if !life.remedies.is_empty() {
            p { "What to do: " (life.remedies.join("; or ")) "." }
        }
        div #life data-live {
            section aria-labelledby="timeline" {
                h2 #timeline { "From door to record" }
                (drawn(&life.steps))
                (told(&life.steps))
            }
        }
        section aria-labelledby="record" {
            h2 #record { "What the record says" }
            p.dim { "Arguments and results are not recorded: the journal has commitments to them." }
            dl { @for (name, value) in &life.facts { dt { (name) } dd { (Line(value)) } } }
        }
    };
    Answer::page(page::Place::Calls, "One call", body)
}

/// The steps as a drawing. Its meaning is in the table below it.
fn drawn(steps: &[Step]) -> Markup {
    let shown: Vec<&Step> = steps.iter().take(DRAWN_MAX).collect();
    let width = shown.len().saturating_mul(STRIDE);
    let x = |number: usize| MARGIN.saturating_add(number.saturating_mul(STRIDE));
    html! {
        div.wide tabindex="0" role="group" aria-label="Timeline, scrolls sideways" {
            svg.timeline width=(width) height="130" viewBox={ "0 0 " (width) " 130" } role="img" aria-label="The steps of this call, as in the table below" {
                @for (number, pair) in shown.windows(2).enumerate() {
                    @if let [before, after] = pair {
                        line.way x1=(x(number)) y1="60" x2=(x(number.saturating_add(1))) y2="60" {}
                        text.gap x=(x(number).saturating_add(STRIDE / 2)) y="50" text-anchor="middle" {
                            (look::span(after.at_us.saturating_sub(before.at_us)))
                        }
                    }
                }
                @for (number, step) in shown.iter().enumerate() {
                    g class={ "step " (step.tone.as_str()) } {
                        (shape(step.tone, x(number)))
                        text.name x=(x(number)) y="28" text-anchor="middle" { (step.name) }
                        text.time x=(x(number)) y="92" text-anchor="middle" { (look::precise(step.at_us)) }
                        @if step.other.is_some() { text.time x=(x(number)) y="110" text-anchor="middle" { "another attempt" } }
                    }
                }
            }
        }
        @if steps.len() > DRAWN_MAX { p.dim { (steps.len().saturating_sub(DRAWN_MAX)) " more steps are in the table." } }
    }
}

/// A shape for each meaning, so that colour is not all that tells them apart.
fn shape(tone: Tone, x: usize) -> Markup {
    let (left, right) = (x.saturating_sub(10), x.saturating_add(10));
    html! {
        @match tone {
            Tone::Permit | Tone::Plain => circle cx=(x) cy="60" r="9" {},
            Tone::Hold => path d={ "M" (x) " 48L" (right.saturating_add(2)) " 60L" (x) " 72L" (left.saturating_sub(2)) " 60z" } {},
            Tone::Deny => rect x=(left) y="50" width="20" height="20" rx="3" {},
        }
    }
}

fn told(steps: &[Step]) -> Markup {
    html! {
        div.wide {
            table {
                thead { tr { th scope="col" { "Time (UTC)" } th scope="col" { "Step" } th scope="col" { "What happened" } } }
                tbody {
                    @for step in steps {
                        tr {
                            td { (look::precise(step.at_us)) }
                            td { (look::badge(step.tone, step.name)) }
                            td {
                                (Line(&step.detail))
                                @if let Some(other) = step.other { " " a href={ "/calls/" (other) } { "that attempt" } }
                            }
                        }
                    }
                }
            }
        }
    }
}
