//! Tool definitions as a server lists them: reading a page of `tools/list`, and cutting tools out of one.

use std::ops::Range;

use refmon_core::bundle::{Listing, pin};
use refmon_core::digest::Pin;
use refmon_core::ids::ToolName;
use refmon_core::json::{Json, Strictness};
use refmon_core::limits;

use crate::message::Message;

/// One page of `tools/list`.
#[derive(Debug)]
pub struct Page {
    /// The tools, in the order they came.
    pub tools: Vec<Definition>,
    /// The cursor of the next page.
    pub next: Option<String>,
    list: Range<usize>,
}

/// One tool definition.
#[derive(Debug)]
pub struct Definition {
    /// Its name; `None` if that is not an identifier. Such a tool is never shown.
    pub name: Option<ToolName>,
    /// Its pin.
    pub pin: Pin,
    /// The definition as it came.
    pub text: Vec<u8>,
}

impl Page {
    /// Reads the result of `tools/list`; `None` if it is not one.
    #[must_use]
    pub fn read(message: &Message) -> Option<Self> {
        let list = message.span("tools");
        let bytes = message.bytes.get(list.clone())?;
        let Json::List(items) = Json::parse_with(bytes, Strictness::Data).ok()? else { return None };
        if items.len() > limits::TOOLS_MAX {
            return None;
        }
        let spans = elements(bytes);
        let tools = items
            .iter()
            .zip(spans)
            .map(|(item, span)| Definition {
                name: item.member("name").and_then(Json::as_text).and_then(|name| ToolName::parse(name).ok()),
                pin: pin(item),
                text: bytes.get(span).unwrap_or_default().to_vec(),
            })
            .collect();
        Some(Self { tools, next: message.text("nextCursor"), list })
    }

    /// What the page lists, for comparing with contracts.
    #[must_use]
    pub fn listing(&self) -> Listing {
        Listing::new(self.tools.iter().filter_map(|tool| Some((tool.name.clone()?, tool.pin))))
    }

    /// The message with only the tools that are kept. No other byte changes.
    #[must_use]
    pub fn keep(&self, message: &Message, kept: impl Fn(&Definition) -> bool) -> Vec<u8> {
        let stay: Vec<&[u8]> = self.tools.iter().filter(|tool| kept(tool)).map(|tool| tool.text.as_slice()).collect();
        let mut edits = Vec::new();
        if stay.len() != self.tools.len() {
            let mut list = b"[".to_vec();
            list.extend(stay.join(&b","[..]));
            list.push(b']');
            edits.push((self.list.clone(), list));
        }
        message.with(edits)
    }
}

/// The spans of the elements of an array that has been through the gate.
pub(crate) fn elements(array: &[u8]) -> Vec<Range<usize>> {
    let (mut spans, mut depth, mut start, mut text, mut escaped) = (Vec::new(), 0usize, 1usize, false, false);
    for (at, &byte) in array.iter().enumerate() {
        if text {
            (text, escaped) = (escaped || byte != b'"', !escaped && byte == b'\\');
            continue;
        }
        match byte {
            b'"' => text = true,
            b'[' | b'{' => depth = depth.saturating_add(1),
            b',' if depth == 1 => {
                spans.push(start..at);
                start = at.saturating_add(1);
            }
            b']' | b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 && array.get(start..at).is_some_and(|rest| !rest.trim_ascii().is_empty()) {
                    spans.push(start..at);
                }
            }
            _ => {}
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> Message {
        Message::parse(text.as_bytes().to_vec(), Strictness::Data).unwrap()
    }

    #[test]
    fn cutting_a_tool_leaves_every_other_byte() {
        let text = r#"{"jsonrpc":"2.0","id":1,"result":{"x":1.0,"tools":[ {"name":"a","q":"],\"["} , {"name":"b"},{"name":"c","n":1e3}],"cacheScope":"public","y":[]}}"#;
        let message = message(text);
        let page = Page::read(&message).unwrap();
        assert_eq!(page.keep(&message, |_| true), text.as_bytes());
        let kept = page.keep(&message, |tool| tool.name.as_ref().unwrap().as_str() != "b");
        let expected = r#"{"jsonrpc":"2.0","id":1,"result":{"x":1.0,"tools":[ {"name":"a","q":"],\"["} ,{"name":"c","n":1e3}],"cacheScope":"public","y":[]}}"#;
        assert_eq!(String::from_utf8(kept).unwrap(), expected);
        let none = page.keep(&message, |_| false);
        assert!(String::from_utf8(none).unwrap().contains(r#""tools":[],"#));
    }

    #[test]
    fn a_tool_without_a_proper_name_has_none() {
        let message = message(
            r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"a b"},{"name":7},{},{"name":"ok"}],"nextCursor":"n"}}"#,
        );
        let page = Page::read(&message).unwrap();
        assert_eq!(page.tools.iter().filter(|tool| tool.name.is_some()).count(), 1);
        assert_eq!(page.next.as_deref(), Some("n"));
    }

    #[test]
    fn what_is_no_tool_list_is_none() {
        for body in [r#"{"tools":{}}"#, r#"{"tools":null}"#, "{}", "[]"] {
            assert!(
                Page::read(&message(&format!(r#"{{"jsonrpc":"2.0","id":1,"result":{body}}}"#))).is_none(),
                "{body}"
            );
        }
    }
}
