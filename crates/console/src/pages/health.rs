//! Health: what holds at this moment, and how that is known.

use maud::html;

use crate::look;
use crate::page::{Answer, Place, Viewer};
use crate::pages::call::Tone;
use crate::text::Line;

/// Whether a promise holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// It holds.
    Holds,
    /// It holds with an exception that somebody should know.
    Except,
    /// It does not.
    Fails,
}

/// A promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promise {
    /// What is promised.
    pub name: &'static str,
    /// Whether it holds.
    pub word: Word,
    /// How that is known.
    pub how: String,
}

/// What holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// The promises.
    pub promises: Vec<Promise>,
}

pub(crate) fn show(_: Viewer<'_>, health: &Health) -> Answer {
    let failing = health.promises.iter().filter(|one| one.word == Word::Fails).count();
    let body = html! {
        div.head { h1 { "Health" } p.live data-live-state hidden { "live" } }
        div #health data-live {
            p.lead { @if failing == 0 { "Everything that was looked at holds." } @else { (failing) " of " (health.promises.len()) " promises do not hold at this moment." } }
            div #promises { div.wide { table {
                thead { tr { th scope="col" { "Promise" } th scope="col" { "Now" } th scope="col" { "How that is known" } } }
                tbody { @for promise in &health.promises { tr {
                    td { strong { (promise.name) } }
                    td { @match promise.word {
                        Word::Holds => (look::badge(Tone::Permit, "holds")),
                        Word::Except => (look::badge(Tone::Hold, "with exceptions")),
                        Word::Fails => (look::badge(Tone::Deny, "does not hold")),
                    } }
                    td { (Line(&promise.how)) }
                } } }
            } } }
        }
        p.dim { "Looked at anew with each view of this page. " code { "refmon doctor" } " at the machine looks at more, and " code { "refmon audit verify" } " at every record." }
    };
    Answer::page(Place::Health, "Health", body)
}
