//! Servers: their tools, what those are pinned to, and what has changed since.

use maud::{Markup, html};
use refmon_core::contract::Effect;

use crate::look;
use crate::page::{Answer, Place, Viewer, token};
use crate::pages::call::Tone;
use crate::text::{Block, Line};

/// Characters of one difference.
const DIFF_CHARS: usize = 16 * 1024;

/// A server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its name.
    pub name: String,
    /// How it is reached.
    pub how: &'static str,
    /// The version of its contract.
    pub version: Option<u32>,
    /// Its tools and methods.
    pub tools: Vec<Tool>,
    /// Whether it can be asked what it lists.
    pub compare: Comparable,
}

/// Whether a server can be asked what it lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparable {
    /// It lists its tools.
    Lists,
    /// A host runs it, and it lists nothing.
    Hosted,
}

/// A tool or a method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// What running it does.
    pub effects: Vec<Effect>,
    /// The scopes that a caller needs.
    pub scopes: Vec<String>,
    /// When its calls wait.
    pub hold: &'static str,
    /// What it is pinned to; none for a method.
    pub pin: Option<String>,
    /// When a call met another definition than that, in the last day.
    pub quarantined_us: Option<u64>,
}

/// What differs between a contract's definitions and what the server lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The tool.
    pub tool: String,
    /// What became of it.
    pub what: &'static str,
    /// The difference.
    pub diff: String,
}

/// What a server lists now, against what its contract was made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compared {
    /// The differences; none if there is none.
    Changes(Vec<Change>),
    /// The server did not answer.
    Silent,
}

pub(crate) fn show(viewer: Viewer<'_>, servers: &[Server], compared: Option<(&str, &Compared)>) -> Answer {
    let body = html! {
        div.head { h1 { "Servers" } }
        p.lead { "What each server's contract says of its tools. A tool whose definition is not the pinned one is hidden and cannot be called." }
        @for server in servers {
            section {
                div.head {
                    h2 { (Line(&server.name)) span.dim { " · " (server.how) @if let Some(version) = server.version { " · contract version " (version) } } }
                    @if server.compare == Comparable::Lists {
                        form method="post" action="/servers" {
                            input type="hidden" name="server" value=(server.name);
                            (token(viewer.token))
                            button type="submit" { "Compare with what it lists now" }
                        }
                    }
                }
                @if let Some((_, compared)) = compared.filter(|(name, _)| *name == server.name) { (difference(compared)) }
                (tools(&server.tools))
            }
        }
    };
    Answer::page(Place::Servers, "Servers", body)
}

fn difference(compared: &Compared) -> Markup {
    html! {
        div role="status" {
            @match compared {
                Compared::Silent => p.alert { "The server did not answer, so nothing is known of what it lists. The operator's log says why." },
                Compared::Changes(changes) if changes.is_empty() => p.fine { "It lists exactly what its contract was made for." },
                Compared::Changes(changes) => {
                    p.warn { (changes.len()) " differences. Whoever runs refmon looks at them with " code { "refmon contract diff" } " and takes them up with " code { "refmon contract accept" } "." }
                    @for change in changes {
                        h3 { (look::badge(Tone::Hold, change.what)) " " (Line(&change.tool)) }
                        @if !change.diff.is_empty() { (Block { text: &change.diff, label: "Difference", chars_max: DIFF_CHARS }) }
                    }
                }
            }
        }
    }
}

fn tools(tools: &[Tool]) -> Markup {
    html! {
        @if tools.is_empty() { p.dim { "Its contract describes nothing, so nothing of it can be called." } } @else {
            div.wide { table {
                thead { tr {
                    th scope="col" { "Tool" } th scope="col" { "Effects" } th scope="col" { "Scopes" } th scope="col" { "Waits" } th scope="col" { "Definition" }
                } }
                tbody { @for tool in tools { tr {
                    td { strong { (Line(&tool.name)) } }
                    td { (look::effects(&tool.effects)) }
                    td { @for scope in &tool.scopes { code.effect { (Line(scope)) } " " } @if tool.scopes.is_empty() { span.dim { "none" } } }
                    td { (tool.hold) }
                    td {
                        @match (&tool.pin, tool.quarantined_us) {
                            (_, Some(at)) => { (look::badge(Tone::Deny, "changed")) " met " (look::moment(at)) },
                            (Some(pin), None) => { (look::badge(Tone::Permit, "pinned")) " " code.dim title=(pin) { (pin.chars().take(19).collect::<String>()) "…" } },
                            (None, None) => span.dim { "a method of the protocol" },
                        }
                    }
                } } }
            } }
        }
    }
}
