//! Policies: the rules in force, what lints say, and one call explained.

use maud::{Markup, html};
use refmon_core::reason::ReasonCode;

use crate::form::Fields;
use crate::look;
use crate::page::{Answer, Place, Viewer, token};
use crate::pages::call::Tone;
use crate::text::{Block, Line};

/// Characters of one rule or explanation.
const TEXT_CHARS: usize = 8 * 1024;

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleKind {
    /// It permits.
    Permit,
    /// It forbids.
    Forbid,
    /// It forbids what lacks an approval or an obligation.
    Demand,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its name.
    pub id: String,
    /// What it does.
    pub kind: RuleKind,
    /// Why, in the words of who wrote it.
    pub reason: String,
    /// What lifts it.
    pub demands: Option<String>,
    /// File and line.
    pub place: String,
    /// Its text.
    pub text: String,
}

/// What a lint found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The lint.
    pub lint: &'static str,
    /// The rule, if it is about one.
    pub rule: Option<String>,
    /// What is wrong, and what to do.
    pub message: String,
}

/// The rules in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policies {
    /// The bundle in force.
    pub bundle: String,
    /// Whether the files are what is in force.
    pub files: Files,
    /// The rules.
    pub rules: Vec<Rule>,
    /// What lints say.
    pub findings: Vec<Finding>,
    /// Servers and their tools, for the form.
    pub tools: Vec<(String, String)>,
}

/// Whether the files on disk are what is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Files {
    /// They are.
    InForce,
    /// They were changed, and have not been taken up.
    Changed,
}

/// A call that nobody makes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Question {
    /// The server.
    pub server: String,
    /// The tool.
    pub tool: String,
    /// The arguments, as they would be sent.
    pub arguments: String,
    /// Who asks.
    pub user: String,
    /// Through which agent.
    pub agent: String,
    /// With which scopes.
    pub scopes: String,
}

/// What would be decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Explained {
    /// A judgement.
    Judged {
        /// The decision.
        decision: &'static str,
        /// Its reason.
        reason: ReasonCode,
        /// Where the arguments are wrong, and what was expected there.
        expected: Option<(String, String)>,
        /// The rules that determine it.
        rules: Vec<String>,
        /// The engine's own explanation.
        text: Option<String>,
    },
    /// The question is none: why.
    Wrong(String),
}

pub(crate) fn question(form: &Fields) -> Question {
    let text = |name: &str| form.get(name).unwrap_or_default().to_owned();
    // One field names both, for the browser has no other way to choose among pairs.
    let (server, tool) = form.get("operation").and_then(|both| both.split_once('/')).unwrap_or_default();
    Question {
        server: server.to_owned(),
        tool: tool.to_owned(),
        arguments: text("arguments"),
        user: text("user"),
        agent: text("agent"),
        scopes: text("scopes"),
    }
}

pub(crate) fn show(viewer: Viewer<'_>, policies: &Policies, explained: Option<(&Question, &Explained)>) -> Answer {
    let body = html! {
        div.head { h1 { "Policies" } }
        p.lead { "The rules in force. What no rule permits is denied, a rule that forbids beats every permit, and one that cannot be evaluated denies." }
        @if policies.files == Files::Changed { p.alert role="alert" { "The files on disk are not what is in force: they are being taken up, or are broken. What follows is what the files say." } }
        (explain(viewer, policies, explained))
        (lints(&policies.findings))
        section aria-labelledby="rules" {
            h2 #rules { (policies.rules.len()) " rules" }
            p.dim { "Bundle " code { (policies.bundle) } }
            @for rule in &policies.rules { (rule_(rule)) }
        }
    };
    Answer::page(Place::Policies, "Policies", body)
}

fn rule_(rule: &Rule) -> Markup {
    let (tone, word) = match rule.kind {
        RuleKind::Permit => (Tone::Permit, "permits"),
        RuleKind::Forbid => (Tone::Deny, "forbids"),
        RuleKind::Demand => (Tone::Hold, "asks for"),
    };
    html! {
        details.rule {
            summary {
                (look::badge(tone, word)) " "
                @if let Some(demands) = &rule.demands { code { (Line(demands)) } " " }
                strong { (Line(&rule.id)) } " " span.dim { (Line(&rule.place)) }
                @if !rule.reason.is_empty() { br; (Line(&rule.reason)) }
            }
            (Block { text: &rule.text, label: "The rule", chars_max: TEXT_CHARS })
        }
    }
}

fn lints(findings: &[Finding]) -> Markup {
    html! {
        @if !findings.is_empty() {
            section aria-labelledby="lints" {
                h2 #lints { "What lints say" }
                ul.plain { @for finding in findings {
                    li { (look::badge(Tone::Hold, finding.lint)) " " @if let Some(rule) = &finding.rule { code { (Line(rule)) } " " } (Line(&finding.message)) }
                } }
            }
        }
    }
}

fn explain(viewer: Viewer<'_>, policies: &Policies, explained: Option<(&Question, &Explained)>) -> Markup {
    let asked = explained.map(|(question, _)| question.clone()).unwrap_or_default();
    let chosen = format!("{}/{}", asked.server, asked.tool);
    html! {
        section #explain aria-labelledby="explain-title" {
            h2 #explain-title { "Explain a call" }
            p.dim { "Judges a call that nobody makes, by the function that decides on real ones. Nothing is recorded and nothing runs." }
            @if let Some((_, explained)) = explained { (answer(explained)) }
            form method="post" action="/policies" {
                (token(viewer.token))
                div.fields {
                    div.field.grow {
                        label for="f-operation" { "Tool" }
                        select #f-operation name="operation" {
                            @for (server, tool) in &policies.tools {
                                @let both = format!("{server}/{tool}");
                                option value=(both) selected[both == chosen] { (refmon_core::untrusted::Shown(&both)) }
                            }
                        }
                    }
                    @for (name, label, value) in [("user", "Person", &asked.user), ("agent", "Agent", &asked.agent), ("scopes", "Scopes, with spaces between", &asked.scopes)] {
                        div.field.grow { label for={ "f-" (name) } { (label) } input id={ "f-" (name) } name=(name) value=(value) maxlength="1024"; }
                    }
                }
                label for="f-arguments" { "Arguments as JSON" }
                textarea.code #f-arguments name="arguments" rows="4" spellcheck="false" placeholder="{}" { (asked.arguments) }
                p { button.primary type="submit" { "Explain" } }
            }
        }
    }
}

fn answer(explained: &Explained) -> Markup {
    html! {
        div.answer role="status" {
            @match explained {
                Explained::Wrong(why) => p.alert { "That is no call: " (Line(why)) },
                Explained::Judged { decision, reason, expected, rules, text } => {
                    p { (look::decision(decision)) " " (reason.sentence()) " " code.dim { (reason.as_str()) } }
                    @if let Some((pointer, expected)) = expected {
                        p { "Expected" @if !pointer.is_empty() { " at " code { (Line(pointer)) } } ": " (Line(expected)) }
                    }
                    @if !rules.is_empty() { p { "Rules: " @for rule in rules { code { (Line(rule)) } " " } } }
                    @for remedy in reason.remedies() { p.dim { "What to do: " (remedy.sentence()) "." } }
                    @if let Some(text) = text { (Block { text, label: "Explanation", chars_max: TEXT_CHARS }) }
                }
            }
        }
    }
}
