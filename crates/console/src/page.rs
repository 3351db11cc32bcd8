//! The frame round every page, and the headers of every answer.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, SET_COOKIE};
use http::{Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use maud::{DOCTYPE, Markup, html};
use refmon_core::caller::Caller;
use refmon_core::secret::Secret;

use crate::console::Body;
use crate::guard::TOKEN;
use crate::sight::{Reach, Rights};
use crate::text::Line;

/// What a page may load and do: what this console serves, and nothing that stands in the page itself.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// A page of the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Approvals,
    Calls,
    Agents,
    Servers,
    Policies,
    Budgets,
    Health,
    Nowhere,
}

/// The navigation: address and name of each page. The first is for everybody, the rest for who may look at the tenant.
const PLACES: &[(Place, &str, &str)] = &[
    (Place::Approvals, "/", "Approvals"),
    (Place::Calls, "/calls", "Calls"),
    (Place::Agents, "/agents", "Agents and tools"),
    (Place::Servers, "/servers", "Servers"),
    (Place::Policies, "/policies", "Policies"),
    (Place::Budgets, "/budgets", "Budgets"),
    (Place::Health, "/health", "Health"),
];

/// Who looks at a page.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Viewer<'a> {
    pub(crate) caller: &'a Caller,
    pub(crate) rights: &'a Rights,
    pub(crate) token: &'a Secret<String>,
}

/// What is in a page.
pub(crate) struct Page {
    pub(crate) place: Place,
    pub(crate) title: String,
    pub(crate) body: Markup,
}

/// What a request comes to.
pub(crate) enum Answer {
    Page(StatusCode, Page),
    /// Another address of this console.
    To(String),
    /// Plain text.
    Text(String),
}

/// The hidden field that every form carries.
pub(crate) fn token(token: &Secret<String>) -> Markup {
    html! { input type="hidden" name=(TOKEN) value=(token.expose()); }
}

impl Answer {
    pub(crate) fn page(place: Place, title: impl Into<String>, body: Markup) -> Self {
        Self::Page(StatusCode::OK, Page { place, title: title.into(), body })
    }

    /// A page that says why something was not done.
    pub(crate) fn refusal(status: StatusCode, title: &str, words: &str) -> Self {
        let body = html! {
            h1 { (title) }
            p { (words) }
            p { a.button href="/" { "Back to approvals" } }
        };
        Self::Page(status, Page { place: Place::Nowhere, title: title.to_owned(), body })
    }

    /// The one answer for what is not there and what is not for the visitor.
    pub(crate) fn missing() -> Self {
        Self::refusal(
            StatusCode::NOT_FOUND,
            "Nothing here",
            "There is nothing at this address that you could see. It may never have been there, or it is not for you.",
        )
    }

    pub(crate) fn into_response(self, viewer: Viewer<'_>) -> Response<Body> {
        match self {
            Self::Page(status, page) => document(status, &page.title, framed(viewer, &page)),
            Self::To(address) => see_other(&address),
            Self::Text(text) => answer(StatusCode::OK, "text/plain; charset=utf-8", text),
        }
    }
}

/// A page inside the frame of those who are logged in.
fn framed(viewer: Viewer<'_>, page: &Page) -> Markup {
    let places = PLACES.iter().filter(|(place, ..)| *place == Place::Approvals || viewer.rights.reach == Reach::Tenant);
    html! {
        header.side {
            a.brand href="/" { (mark()) span { "refmon" } }
            nav aria-label="Pages" {
                ul {
                    @for (place, address, name) in places {
                        li { a href=(address) aria-current=[(*place == page.place).then_some("page")] { (name) } }
                    }
                }
            }
            div.who {
                p { span.dim { "Signed in as" } br; strong { (Line(viewer.caller.user().as_str())) } }
                p { span.dim { "Tenant" } br; (Line(viewer.caller.tenant().as_str())) }
                form method="post" action="/logout" {
                    (token(viewer.token))
                    button.quiet type="submit" { "Sign out" }
                }
            }
        }
        main #main tabindex="-1" {
            (page.body)
            @if viewer.rights.reach == Reach::Holds {
                p.note {
                    "You see calls that you asked for or could decide on. To see all calls of the tenant, and who may do what, "
                    "your credential needs the scope " code { "refmon:view" } "."
                }
            }
        }
    }
}

/// A page for people who are not logged in.
pub(crate) fn outside(status: StatusCode, title: &str, body: &Markup) -> Response<Body> {
    document(
        status,
        title,
        html! { main #main.outside tabindex="-1" { a.brand href="/" { (mark()) span { "refmon" } } (body) } },
    )
}

fn document(status: StatusCode, title: &str, body: Markup) -> Response<Body> {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · refmon" }
                link rel="stylesheet" href="/assets/console.css";
                link rel="icon" type="image/svg+xml" href="/assets/mark.svg";
                script src="/assets/console.js" defer {}
            }
            body { a.skip href="#main" { "Skip to content" } (body) }
        }
    };
    answer(status, "text/html; charset=utf-8", page.into_string())
}

/// The mark: a gate with one way through.
fn mark() -> Markup {
    html! {
        svg.mark viewBox="0 0 24 24" width="24" height="24" aria-hidden="true" {
            path d="M3 3h7v5H8v8h2v5H3zM14 3h7v18h-7v-5h2V8h-2z" {}
            path.way d="M2 11h14v-3l6 4-6 4v-3H2z" {}
        }
    }
}

/// Sends the browser to another page of this console.
pub(crate) fn see_other(address: &str) -> Response<Body> {
    let mut answer = answer(StatusCode::SEE_OTHER, "text/plain; charset=utf-8", String::new());
    // Addresses are put together here, of identifiers and of paths that were checked.
    if let Ok(address) = HeaderValue::from_str(address) {
        answer.headers_mut().insert(LOCATION, address);
    }
    answer
}

/// An answer with a cookie in it.
pub(crate) fn with_cookie(mut answer: Response<Body>, cookie: &str) -> Response<Body> {
    if let Ok(mut cookie) = HeaderValue::from_str(cookie) {
        cookie.set_sensitive(true);
        answer.headers_mut().append(SET_COOKIE, cookie);
    }
    answer
}

/// A file of the console. Browsers ask again each time; it is small and changes with the program.
pub(crate) fn asset(kind: &'static str, text: &'static str) -> Response<Body> {
    answer(StatusCode::OK, kind, text.to_owned())
}

fn answer(status: StatusCode, kind: &'static str, text: String) -> Response<Body> {
    let mut answer = Response::new(Full::new(Bytes::from(text)).boxed_unsync());
    *answer.status_mut() = status;
    guard(answer.headers_mut());
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

fn guard(headers: &mut HeaderMap) {
    let mut put = |name: &'static str, value: &'static str| {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    };
    put("content-security-policy", POLICY);
    put("x-content-type-options", "nosniff");
    put("x-frame-options", "DENY");
    // Not `no-referrer`: with that, browsers send `Origin: null` with our own forms, which could then not be told from others'.
    // Other sites learn of no address in either case.
    put("referrer-policy", "same-origin");
    put("cross-origin-opener-policy", "same-origin");
    put("cross-origin-resource-policy", "same-origin");
    put("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()");
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
}
