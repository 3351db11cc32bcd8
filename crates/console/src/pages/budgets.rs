//! Budgets: how much calls of the tenant may do, and how often they met an end of it.

use maud::html;

use crate::page::{Answer, Place, Viewer};
use crate::text::Line;

/// A budget that counts calls of the tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// Which calls count.
    pub counts: String,
    /// How much there is, and in which time.
    pub allowance: String,
    /// Who or what has a bucket of its own.
    pub per: &'static str,
}

/// The limits of the tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budgets {
    /// The budgets.
    pub budgets: Vec<Budget>,
    /// Who can only read.
    pub read_only: Vec<String>,
    /// Calls that were denied in the last day: for want of budget, and in read-only mode.
    pub denied: (u64, u64),
}

pub(crate) fn show(_: Viewer<'_>, budgets: &Budgets) -> Answer {
    let (spent, read_only) = budgets.denied;
    let body = html! {
        div.head { h1 { "Budgets" } }
        p.lead { "How much calls of this tenant may do, whatever policy permits. A budget is taken once for each call that runs, and fills again evenly." }
        section aria-labelledby="limits" {
            h2 #limits { "Limits" }
            @if budgets.budgets.is_empty() { p.dim { "There is no budget. Whoever runs refmon writes them as " code { "[[authority.budget]]" } "." } } @else {
                div.wide { table {
                    thead { tr { th scope="col" { "Which calls" } th scope="col" { "How much" } th scope="col" { "For each" } } }
                    tbody { @for budget in &budgets.budgets { tr { td { (Line(&budget.counts)) } td { (budget.allowance) } td { (budget.per) } } } }
                } }
            }
            p { a href="/calls?reason=authority.budget" { (spent) " calls" } " found a budget used up in the last day." }
        }
        section aria-labelledby="reading" {
            h2 #reading { "Read-only mode" }
            @if budgets.read_only.is_empty() { p.dim { "Nobody is in it." } } @else {
                ul.plain { @for whom in &budgets.read_only { li { (Line(whom)) } } }
            }
            p { a href="/calls?reason=authority.read-only" { (read_only) " calls" } " were denied for it in the last day." }
        }
    };
    Answer::page(Place::Budgets, "Budgets", body)
}
