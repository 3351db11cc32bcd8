//! Text of strangers in pages.
//!
//! It is isolated from the text round it, read from left to right whatever it says, and what is invisible, blank or turns the
//! order of text round in it is written out and marked. What is long is cut, and it is said how long it is.

use maud::{Markup, Render, html};
use refmon_core::untrusted::visible;

/// Characters of a name or a value in a line.
const LINE_CHARS: usize = 160;

/// Text of a stranger within a line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line<'a>(pub(crate) &'a str);

impl Render for Line<'_> {
    fn render(&self) -> Markup {
        let (head, left) = cut(self.0, LINE_CHARS);
        html! {
            bdi.x dir="ltr" { (Marked(head)) @if left > 0 { "…" } }
            @if left > 0 { " " span.dim { "(" (left) " more characters)" } }
        }
    }
}

/// Text of a stranger as a block of its own, which scrolls. Line ends are its own where `pretty` made them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Block<'a> {
    pub(crate) text: &'a str,
    pub(crate) label: &'a str,
    pub(crate) chars_max: usize,
}

impl Render for Block<'_> {
    fn render(&self) -> Markup {
        let (head, left) = cut(self.text, self.chars_max);
        html! {
            pre.block tabindex="0" role="region" aria-label=(self.label) dir="ltr" {
                @for (number, line) in head.split('\n').enumerate() {
                    @if number > 0 { "\n" }
                    (Marked(line))
                }
                @if left > 0 { "…" }
            }
            @if left > 0 {
                p.warn { "Only the first " (self.chars_max) " characters are shown here; " (left) " more follow." }
            }
        }
    }
}

/// Text with what is invisible in it written out and marked.
struct Marked<'a>(&'a str);

impl Render for Marked<'_> {
    fn render(&self) -> Markup {
        html! {
            @for (hidden, run) in runs(self.0) {
                @if hidden { mark title="a character that would not be visible" { (visible(run)) } } @else { (run) }
            }
        }
    }
}

/// The text in runs: what shows as it is, and what does not.
fn runs(text: &str) -> Vec<(bool, &str)> {
    let hidden = |character: char| visible(character.encode_utf8(&mut [0; 4])) != character.to_string();
    let mut runs: Vec<(bool, usize, usize)> = Vec::new();
    for (start, character) in text.char_indices() {
        let (hidden, end) =
            (!character.is_ascii_graphic() && hidden(character), start.saturating_add(character.len_utf8()));
        match runs.last_mut() {
            Some(last) if last.0 == hidden => last.2 = end,
            _ => runs.push((hidden, start, end)),
        }
    }
    runs.into_iter().filter_map(|(hidden, start, end)| Some((hidden, text.get(start..end)?))).collect()
}

/// The first so many characters, and how many are left.
fn cut(text: &str, chars_max: usize) -> (&str, usize) {
    let end = text.char_indices().nth(chars_max).map_or(text.len(), |(end, _)| end);
    let (head, rest) = text.split_at_checked(end).unwrap_or((text, ""));
    (head, rest.chars().count())
}

/// JSON in canonical form, with a line for each member. It is only laid out: every character stays, in its order.
pub(crate) fn pretty(json: &str) -> String {
    let mut out = String::with_capacity(json.len().saturating_mul(2));
    let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
    let mut characters = json.chars().peekable();
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth.min(32)));
    };
    while let Some(character) = characters.next() {
        if quoted {
            out.push(character);
            (quoted, escaped) = (escaped || character != '"', !escaped && character == '\\');
            continue;
        }
        match character {
            '{' | '[' => {
                out.push(character);
                if let Some(close) = characters.next_if(|next| matches!(next, '}' | ']')) {
                    out.push(close);
                } else {
                    depth = depth.saturating_add(1);
                    line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(character);
            }
            ',' => {
                out.push(',');
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            _ => {
                quoted = character == '"';
                out.push(character);
            }
        }
    }
    out
}

/// Whether letters beyond ASCII stand in a text, which may look like others.
pub(crate) fn could_deceive(text: &str) -> bool {
    !text.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_strangers_is_no_markup_and_hides_nothing() {
        let shown = Line("<script>alert(1)</script>\u{202e}\u{200b}x\u{1b}[2J").render().into_string();
        assert!(!shown.contains("<script") && !shown.contains('\u{202e}') && !shown.contains('\u{1b}'), "{shown}");
        assert!(shown.contains("\\u{202e}\\u{200b}</mark>x<mark"), "{shown}");
        let long = Line(&"é".repeat(100_000)).render().into_string();
        assert!(long.len() < 1_000 && long.contains("99840 more characters"), "{long}");
        let block = Block { text: &"x".repeat(100), label: "l", chars_max: 10 }.render().into_string();
        assert!(block.contains("xxxxxxxxxx…") && block.contains("90 more follow"), "{block}");
    }

    #[test]
    fn laying_out_loses_and_adds_nothing_but_blanks() {
        let json = r#"{"a":[1,2,{"b":"x, {\"y\": [\\"}],"c":{},"d":[]}"#;
        let laid = pretty(json);
        assert!(laid.contains("\n  \"c\": {},") && laid.contains(r#""x, {\"y\": [\\""#), "{laid}");
        let plain = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
        assert_eq!(plain(&laid), plain(json));
    }
}
