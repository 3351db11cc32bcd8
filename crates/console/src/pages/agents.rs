//! Agents and tools: who calls, and what each may do.

use maud::{Markup, html};
use refmon_core::contract::Effect;

use crate::form::Fields;
use crate::look;
use crate::page::{Answer, Place, Viewer};
use crate::pages::call::Tone;
use crate::text::Line;

/// Whom the matrix is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Asked {
    /// Nobody.
    #[default]
    Nobody,
    /// Who has this key.
    Key(String),
    /// Somebody with these scopes, as the identity provider would say it.
    Named {
        /// The person.
        user: String,
        /// The agent.
        agent: String,
        /// The scopes, in words.
        scopes: String,
    },
}

/// A key of the tenant that counts now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its public part.
    pub id: String,
    /// The person.
    pub user: String,
    /// The agent.
    pub agent: String,
    /// What it may, roles and grants included.
    pub scopes: Vec<String>,
}

/// An agent that the journal has met in the last day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Met {
    /// The agent.
    pub agent: String,
    /// Its calls by decision.
    pub counts: [(&'static str, u64); 3],
    /// When it last called, in microseconds since the Unix epoch.
    pub last_us: u64,
}

/// What becomes of calls of one tool, as far as caller and tool alone say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// They are permitted.
    Permit,
    /// They wait for a person.
    Hold,
    /// They are denied.
    Deny,
    /// It depends on their arguments.
    Depends,
}

/// One row of the matrix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The server.
    pub server: String,
    /// The tool or method.
    pub tool: String,
    /// What running it does.
    pub effects: Vec<Effect>,
    /// What becomes of its calls.
    pub verdict: Verdict,
    /// Why.
    pub why: String,
}

/// Who calls, and what the one that is asked for may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matrix {
    /// The keys of the tenant.
    pub keys: Vec<Key>,
    /// The agents that were met.
    pub met: Vec<Met>,
    /// Whom the rows are about: person and agent. `None` if nobody was asked for, or there is no such one.
    pub of: Option<(String, String)>,
    /// The matrix.
    pub rows: Vec<Row>,
}

pub(crate) fn asked(fields: &Fields) -> Asked {
    let text = |name: &str| fields.get(name).unwrap_or_default().to_owned();
    match (fields.get("key"), fields.get("user")) {
        (Some(key), _) => Asked::Key(key.to_owned()),
        (None, Some(user)) => Asked::Named { user: user.to_owned(), agent: text("agent"), scopes: text("scopes") },
        (None, None) => Asked::Nobody,
    }
}

pub(crate) fn show(_: Viewer<'_>, fields: &Fields, asked: &Asked, matrix: &Matrix) -> Answer {
    let body = html! {
        div.head { h1 { "Agents and tools" } }
        p.lead { "Who calls in this tenant, and what becomes of each tool's calls. Nothing is permitted that no rule permits." }
        form.filters method="get" action="/agents" {
            div.fields {
                div.field.grow {
                    label for="f-key" { "Who" }
                    select #f-key name="key" {
                        option value="" { "choose a key" }
                        @for key in &matrix.keys {
                            option value=(key.id) selected[*asked == Asked::Key(key.id.clone())] {
                                (short(&key.user)) " through " (short(&key.agent)) " (" (key.id) ")"
                            }
                        }
                    }
                }
                button.primary type="submit" { "Show" }
            }
            details open[matches!(asked, Asked::Named { .. })] {
                summary { "Somebody without a key" }
                div.fields {
                    @for (name, label) in [("user", "Person"), ("agent", "Agent"), ("scopes", "Scopes, with spaces between")] {
                        div.field.grow { label for={ "f-" (name) } { (label) } input id={ "f-" (name) } name=(name) value=(fields.get(name).unwrap_or_default()) maxlength="1024"; }
                    }
                }
            }
        }
        @match (&matrix.of, asked) {
            (Some((user, agent)), _) => (rows(user, agent, &matrix.rows)),
            (None, Asked::Nobody) => {},
            (None, _) => p.alert role="alert" { "There is no such caller here, or its name or a scope is none." },
        }
        (met(&matrix.met))
        (keys(&matrix.keys))
    };
    Answer::page(Place::Agents, "Agents and tools", body)
}

/// A name in an option, which can have no markup.
fn short(name: &str) -> String {
    refmon_core::untrusted::Shown(name).to_string()
}

fn rows(user: &str, agent: &str, rows: &[Row]) -> Markup {
    html! {
        section aria-labelledby="matrix-of" {
            h2 #matrix-of { "What " (Line(user)) " through " (Line(agent)) " may do" }
            div #matrix { div.wide { table {
                thead { tr { th scope="col" { "Tool" } th scope="col" { "Effects" } th scope="col" { "Its calls" } th scope="col" { "Why" } } }
                tbody data-rows {
                    @for row in rows {
                        tr {
                            td { strong { (Line(&row.tool)) } br; span.dim { (Line(&row.server)) } }
                            td { (look::effects(&row.effects)) }
                            td { (verdict(row.verdict)) }
                            td { (Line(&row.why)) }
                        }
                    }
                }
            } } }
            p.dim { "As far as caller and tool alone say. For one call with its arguments, see " a href="/policies#explain" { "explain a call" } "." }
        }
    }
}

fn verdict(verdict: Verdict) -> Markup {
    match verdict {
        Verdict::Permit => look::badge(Tone::Permit, "permitted"),
        Verdict::Hold => look::badge(Tone::Hold, "held"),
        Verdict::Deny => look::badge(Tone::Deny, "denied"),
        Verdict::Depends => look::badge(Tone::Plain, "depends on arguments"),
    }
}

fn met(met: &[Met]) -> Markup {
    html! {
        section aria-labelledby="met" {
            h2 #met { "Agents of the last day" }
            @if met.is_empty() { p.dim { "No agent has called." } } @else {
                div.wide { table {
                    thead { tr {
                        th scope="col" { "Agent" } th.number scope="col" { "Permitted" } th.number scope="col" { "Held" }
                        th.number scope="col" { "Denied" } th scope="col" { "Last call (UTC)" }
                    } }
                    tbody { @for one in met { tr {
                        td { a href=(calls_of(&one.agent)) { (Line(&one.agent)) } }
                        @for (_, count) in one.counts { td.number { (count) } }
                        td { (look::moment(one.last_us)) }
                    } } }
                } }
            }
        }
    }
}

fn calls_of(agent: &str) -> String {
    format!("/calls?{}", form_urlencoded::Serializer::new(String::new()).append_pair("agent", agent).finish())
}

fn keys(keys: &[Key]) -> Markup {
    html! {
        section aria-labelledby="keys" {
            h2 #keys { "Keys that count" }
            @if keys.is_empty() { p.dim { "There is none." } } @else {
                div.wide { table {
                    thead { tr { th scope="col" { "Key" } th scope="col" { "Person" } th scope="col" { "Agent" } th scope="col" { "Scopes now" } } }
                    tbody { @for key in keys { tr {
                        td { a href={ "/agents?key=" (key.id) } { code { (key.id) } } }
                        td { (Line(&key.user)) } td { (Line(&key.agent)) }
                        td { @for scope in &key.scopes { code.effect { (Line(scope)) } " " } }
                    } } }
                } }
            }
        }
    }
}
