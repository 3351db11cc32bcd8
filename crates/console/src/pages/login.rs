//! The page for people who are not logged in.

use http::{Response, StatusCode};
use maud::html;

use crate::console::Body;
use crate::page;

/// Bytes of the path that a login comes back to.
const NEXT_BYTES_MAX: usize = 512;

/// What the page says about the attempt before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    /// Nothing.
    Welcome,
    /// The credential is none; which of the reasons for that is not said.
    Refused,
    /// The form came without a session: nothing was done.
    Over,
    /// The form did not come from a page of this console.
    Foreign,
    /// There is no room for one more session, or no randomness.
    Unavailable,
}

impl Said {
    const fn status(self) -> StatusCode {
        match self {
            Self::Welcome => StatusCode::OK,
            Self::Refused | Self::Over => StatusCode::UNAUTHORIZED,
            Self::Foreign => StatusCode::FORBIDDEN,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    const fn words(self) -> Option<&'static str> {
        match self {
            Self::Welcome => None,
            Self::Refused => Some("That did not work. The key is not one that is accepted here."),
            Self::Over => Some("Your session has ended, so nothing was done. Sign in again."),
            Self::Foreign => Some("That form did not come from a page of this console, so nothing was done."),
            Self::Unavailable => Some("Signing in is not possible at the moment. Try again later."),
        }
    }
}

/// The page.
pub(crate) fn show(said: Said, next: &str) -> Response<Body> {
    let body = html! {
        h1 { "Sign in" }
        @if let Some(words) = said.words() { p.alert role="alert" { (words) } }
        form.login method="post" action="/login" {
            input type="hidden" name="next" value=(next);
            label for="key" { "API key" }
            input #key type="password" name="key" autocomplete="current-password" spellcheck="false" required autofocus
                maxlength="256" placeholder="refmon_…" aria-describedby="key-help";
            p #key-help.dim {
                "A key for people, from whoever runs refmon: "
                code { "refmon key add --user boss --agent console --scope refmon:approve --scope refmon:view" }
            }
            button.primary type="submit" { "Sign in" }
        }
    };
    page::outside(said.status(), "Sign in", &body)
}

/// Where a login leads to: an address of this console, or its first page. A browser takes `//` and `/\` for other hosts.
pub(crate) fn next(wanted: Option<&str>) -> &str {
    let own = |path: &&str| {
        path.len() <= NEXT_BYTES_MAX
            && path.starts_with('/')
            && !path.starts_with("//")
            && !path.starts_with("/log")
            && path.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'"' | b'<' | b'>'))
    };
    wanted.filter(own).unwrap_or("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_to_a_page_of_this_console_only() {
        assert_eq!(next(Some("/holds/0123?x=1")), "/holds/0123?x=1");
        for wanted in [
            None,
            Some(""),
            Some("//evil.example"),
            Some("/\\evil.example"),
            Some("https://evil.example"),
            Some("/a\r\nSet-Cookie: x"),
            Some("/logout"),
            Some("javascript:alert(1)"),
        ] {
            assert_eq!(next(wanted), "/", "{wanted:?}");
        }
    }
}
