//! One hold: who wants what, why it waits, what happens next, and the decision.

use http::StatusCode;
use maud::{Markup, html};
use refmon_core::hold::HoldState;
use refmon_core::limits::HOLD_SECONDS;
use refmon_core::record::Resolved;
use refmon_core::untrusted::{ascii, visible};

use crate::look;
use crate::page::{Answer, Page, Place, Viewer, token};
use crate::sight::{Decided, Hold, Part};
use crate::text::{Block, Line, could_deceive, pretty};

/// Characters of arguments on the page. The whole is on a page of its own.
const ARGUMENTS_CHARS: usize = 32 * 1024;
/// Bytes of a reason.
pub(crate) const REASON_BYTES_MAX: usize = 1_024;
/// Minutes for which an approval may be used.
const MINUTES: u64 = HOLD_SECONDS / 60;

/// What the page says about a decision that was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    Nothing,
    SamePerson,
    NotPending(HoldState),
    ReasonTooLong,
}

/// Where a decision leads to: the hold, which shows it, or the reason why there is none.
pub(crate) fn decided(decided: Decided) -> Said {
    match decided {
        Decided::Done { .. } | Decided::Unchanged | Decided::Missing => Said::Nothing,
        Decided::NotPending(state) => Said::NotPending(state),
        Decided::SamePerson => Said::SamePerson,
    }
}

pub(crate) fn show(viewer: Viewer<'_>, hold: &Hold, now_us: u64, said: Said) -> Answer {
    let status = match said {
        Said::Nothing => StatusCode::OK,
        Said::SamePerson => StatusCode::FORBIDDEN,
        Said::NotPending(_) => StatusCode::CONFLICT,
        Said::ReasonTooLong => StatusCode::BAD_REQUEST,
    };
    let body = html! {
        p.crumb { a href="/" { "Approvals" } }
        @if let Some(words) = words(said) { p.alert role="alert" { (words) } }
        div.head {
            h1 { (asks(hold)) }
            div.badges {
                (look::state(hold.state))
                @if hold.part != Part::AskedOnly { (look::risk(hold.risk)) }
            }
        }
        div.split {
            div {
                @if hold.part != Part::AskedOnly { (what(hold)) }
                (arguments(hold))
                @if hold.part != Part::AskedOnly { (why(hold)) (who(hold)) }
            }
            aside.decide aria-label="Decision" {
                (next(hold, now_us))
                (progress(hold))
                (form(viewer, hold))
            }
        }
    };
    Answer::Page(status, Page { place: Place::Approvals, title: "A call that waits".to_owned(), body })
}

/// The canonical arguments as plain text, whole.
pub(crate) fn text(hold: &Hold) -> Answer {
    Answer::Text(visible(&hold.arguments))
}

fn words(said: Said) -> Option<String> {
    match said {
        Said::Nothing => None,
        Said::SamePerson => {
            Some("Nothing changed: whoever asked for a call cannot approve it. Another person can.".to_owned())
        }
        Said::NotPending(state) => {
            let how = match state {
                HoldState::Pending => "waits",
                HoldState::Approved => "has been approved",
                HoldState::Denied => "has been denied",
                HoldState::Spent => "has run already",
                HoldState::Expired => "has expired",
            };
            Some(format!("Nothing changed: this call {how} in the meantime."))
        }
        Said::ReasonTooLong => Some(format!("Nothing was decided: a reason has at most {REASON_BYTES_MAX} bytes.")),
    }
}

fn asks(hold: &Hold) -> Markup {
    html! {
        @if hold.part == Part::AskedOnly { "You want" } @else { (Line(&hold.user)) " wants" }
        " to run " (Line(&hold.tool)) " on " (Line(&hold.server))
    }
}

fn what(hold: &Hold) -> Markup {
    html! {
        section aria-labelledby="what" {
            h2 #what { "What it would do" }
            dl {
                dt { "Effects" } dd { (look::effects(&hold.effects)) @if hold.effects.is_empty() { "not known" } }
                @if !hold.targets.is_empty() {
                    dt { "Aimed at" }
                    dd { ul.plain { @for target in hold.targets.iter().take(64) { li { (Line(target)) } } } }
                }
                dt { "Operation" } dd { code { (Line(&hold.action)) } }
            }
        }
    }
}

fn arguments(hold: &Hold) -> Markup {
    let laid = pretty(&hold.arguments);
    html! {
        section aria-labelledby="arguments" {
            h2 #arguments { "With these arguments" }
            @if hold.arguments.is_empty() {
                p.dim {
                    @if hold.state == HoldState::Pending { "They are shown to those who can decide, and to the agent that sent them." }
                    @else { "They were kept for the decision only, and have been erased." }
                }
            } @else {
                (Block { text: &laid, label: "Arguments", chars_max: ARGUMENTS_CHARS })
                @if laid.chars().nth(ARGUMENTS_CHARS).is_some() {
                    p { a href={ "/holds/" (hold.id) "/arguments" } { "Read all " (hold.arguments.len()) " bytes before you decide" } }
                }
                @if could_deceive(&hold.arguments) {
                    h3 { "The same in ASCII" }
                    p.dim { "Some letters above are not ASCII and may look like others. Here each of them is written as its number." }
                    (Block { text: &ascii(&laid), label: "Arguments in ASCII", chars_max: ARGUMENTS_CHARS })
                }
            }
        }
    }
}

fn why(hold: &Hold) -> Markup {
    html! {
        section aria-labelledby="why" {
            h2 #why { "Why it waits" }
            p { (Line(&hold.why)) " " code.dim { (Line(&hold.reason)) } }
            @if !hold.rules.is_empty() {
                ul.plain {
                    @for (id, place, reason) in &hold.rules {
                        li { "Rule " code { (Line(id)) } " " span.dim { (Line(place)) } @if !reason.is_empty() { ": " (Line(reason)) } }
                    }
                }
            }
        }
    }
}

fn who(hold: &Hold) -> Markup {
    html! {
        section aria-labelledby="who" {
            h2 #who { "Who asks" }
            dl {
                dt { "Person" } dd { (Line(&hold.user)) }
                dt { "Agent" } dd { (Line(&hold.agent)) }
                @if let Some((user, agent)) = &hold.host {
                    dt { "Named by" } dd { (Line(user)) " through " (Line(agent)) ", a host that speaks for its users" }
                }
                dt { "Known by" } dd { (Line(&hold.identity)) }
                dt { "Door" } dd { (Line(&hold.door)) }
                dt { "Asked" } dd { (look::moment(hold.placed_us)) " UTC" }
            }
        }
    }
}

fn next(hold: &Hold, now_us: u64) -> Markup {
    let missing = hold.needed.max(1).saturating_sub(hold.approved);
    html! {
        h2 { "What happens next" }
        @match hold.state {
            HoldState::Pending => {
                p.due { "Expires " strong { (look::left(hold.expires_us, now_us)) } ", at " (look::clock(hold.expires_us)) }
                ul.next {
                    @if missing > 1 {
                        li { strong { "Approved by " (missing) " people" } ", exactly this call runs once: at once if the agent waits for it, else when it is sent again within " (MINUTES) " minutes." }
                    } @else {
                        li { strong { "Approved" } ", exactly this call runs once: at once if the agent waits for it, else when it is sent again within " (MINUTES) " minutes. Any change makes it another call, which waits anew." }
                    }
                    li { strong { "Denied" } ", it stays denied until " (look::clock(hold.expires_us)) "." }
                    li { strong { "Left alone" } ", it expires and nothing runs." }
                }
            }
            HoldState::Approved => p { "Exactly this call runs once, if the agent sends it again until " strong { (look::clock(hold.expires_us)) } ". Any change makes it another call, which waits anew." }
            HoldState::Denied => p { "This call is denied until " strong { (look::clock(hold.expires_us)) } ". Asked again after that, it would wait anew." }
            HoldState::Spent => p { "Nothing: the call has been let through, once." }
            HoldState::Expired => p { "Nothing: nobody decided, or nobody used the approval, in time. Asked again, the call would wait anew." }
        }
    }
}

fn progress(hold: &Hold) -> Markup {
    html! {
        @if hold.needed > 1 { p { strong { (hold.approved) " of " (hold.needed) } " people have approved." } }
        @if !hold.decisions.is_empty() {
            ul.plain.decisions {
                @for decision in &hold.decisions {
                    li {
                        @match decision.resolved {
                            Resolved::Approved => { (look::badge(crate::pages::call::Tone::Permit, "approved")) }
                            Resolved::Denied => { (look::badge(crate::pages::call::Tone::Deny, "denied")) }
                        }
                        " by " strong { (Line(&decision.user)) } " at " (look::clock(decision.at_us))
                        @if let Some(reason) = &decision.reason { p.said { (Line(reason)) } }
                    }
                }
            }
        }
    }
}

fn form(viewer: Viewer<'_>, hold: &Hold) -> Markup {
    let mine = hold.decisions.iter().any(|one| one.user == viewer.caller.user().as_str());
    html! {
        @if hold.state == HoldState::Pending {
            @if hold.part != Part::Decides {
                p.note { "You asked for this call, so you cannot approve it: that takes another person. You can withdraw it by denying it." }
            }
            @if mine && hold.part == Part::Decides {
                p.note { "You have approved. Another person has to approve as well; you can still deny." }
            }
            form.decision method="post" action={ "/holds/" (hold.id) } {
                (token(viewer.token))
                label for="reason" { "Reason " span.dim { "(optional, kept with the decision)" } }
                textarea #reason name="reason" rows="2" maxlength=(REASON_BYTES_MAX) {}
                div.buttons {
                    @if hold.part == Part::Decides && !mine {
                        button.primary type="submit" name="decision" value="approve" { "Approve once" }
                    }
                    button.danger type="submit" name="decision" value="deny" { "Deny" }
                }
            }
        } @else {
            p { a.button href="/" { "Back to approvals" } }
        }
    }
}
