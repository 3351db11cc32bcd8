//! The envelope of a message, the frames of a stream and a trace's parent: no panic, spans inside the frame, and
//! what clears acts on nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use refmon_core::json::Strictness;
use refmon_gateway::definitions::Page;
use refmon_gateway::message::{Kind, Message, id_of_refused};
use refmon_gateway::method::{Cleared, Side, TABLE, Treatment, find};
use refmon_gateway::trace::TraceParent;

fuzz_target!(|bytes: &[u8]| {
    let _id = id_of_refused(bytes);
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Some(parent) = TraceParent::parse(text)
    {
        assert!(text.len() >= 55 && parent.trace != [0; 16] && parent.span != [0; 8]);
    }
    let Ok(message) = Message::parse(bytes.to_vec(), Strictness::Request) else { return };
    assert!(message.body.end <= bytes.len());
    for key in ["name", "arguments", "_meta", "tools", "cacheScope"] {
        let span = message.span(key);
        assert!(span.start <= span.end && span.end <= bytes.len());
    }
    if let Some(page) = Page::read(&message) {
        // A list that is kept whole is the same list.
        assert_eq!(page.keep(&message, |_| true), bytes);
        let none = page.keep(&message, |_| false);
        Message::parse(none, Strictness::Data).expect("a filtered answer is a message");
    }
    let request = matches!(message.kind, Kind::Request(..));
    if let Kind::Request(method, _) | Kind::Notification(method) = &message.kind {
        if let Some(row) = find(method, Side::Client, request) {
            let acts = matches!(row.treatment, Treatment::Tool | Treatment::Judged(_));
            assert!(TABLE.iter().any(|known| known.name == row.name));
            assert!(!(acts && Cleared::by(row, message).is_some()));
        }
    }
});
