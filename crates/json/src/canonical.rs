//! The canonical form (RFC 8785), with whole numbers kept exact.

use super::{Json, Number};

pub(super) fn write(json: &Json<'_>) -> String {
    let mut out = String::new();
    value(&mut out, json, &|out, number| out.push_str(&number.canonical()));
    out
}

/// The same with every number as it was spelled.
pub(super) fn spelled(json: &Json<'_>) -> String {
    let mut out = String::new();
    value(&mut out, json, &|out, number| out.push_str(number.as_str()));
    out
}

fn value(out: &mut String, json: &Json<'_>, write: &dyn Fn(&mut String, &Number<'_>)) {
    match json {
        Json::Null => out.push_str("null"),
        Json::Bool(true) => out.push_str("true"),
        Json::Bool(false) => out.push_str("false"),
        Json::Number(number) => write(out, number),
        Json::Text(text) => string(out, text),
        Json::List(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                value(out, item, write);
            }
            out.push(']');
        }
        Json::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            out.push('{');
            for (index, (key, member)) in sorted.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                string(out, key);
                out.push(':');
                value(out, member, write);
            }
            out.push('}');
        }
    }
}

/// Escapes only what must be (RFC 8785, section 3.2.2.2).
fn string(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            control if u32::from(control) < 0x20 => out.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => out.push(other),
        }
    }
    out.push('"');
}
