//! W3C trace context: which span of the client's a call belongs to.
//!
//! A client says it in `_meta` of the request (MCP, trace context) or in the header `traceparent` of the HTTP request that
//! carries it; the former counts, because one HTTP connection may carry several requests. It is a claim of a stranger: it
//! is read as 24 bytes or not at all, and no decision depends on it. The monitor knows nothing of it. While a call is
//! judged, the thread that judges it remembers the parent, so that whoever watches the journal can ask for it.

use std::cell::Cell;

use crate::message::Message;

/// The span of a client, as `traceparent` names it (W3C Trace Context, section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace.
    pub trace: [u8; 16],
    /// The span in it.
    pub span: [u8; 8],
}

thread_local! {
    static PARENT: Cell<Option<TraceParent>> = const { Cell::new(None) };
}

/// The parent of the call that this thread is judging, if its client named one.
#[must_use]
pub fn parent() -> Option<TraceParent> {
    PARENT.get()
}

/// Does some work under a parent. Without one, that of the work around it stays.
pub(crate) fn within<T>(parent: Option<TraceParent>, work: impl FnOnce() -> T) -> T {
    struct Restore(Option<TraceParent>);
    impl Drop for Restore {
        fn drop(&mut self) {
            PARENT.set(self.0);
        }
    }
    let _restore = Restore(PARENT.get());
    if parent.is_some() {
        PARENT.set(parent);
    }
    work()
}

/// The parent that a message itself names.
pub(crate) fn of(message: &Message) -> Option<TraceParent> {
    TraceParent::parse(&message.members("_meta").text("traceparent")?)
}

impl TraceParent {
    /// Parses the value of `traceparent`: version, trace, span and flags. Later versions may have more behind them.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let version: [u8; 1] = hex(version)?;
        let _flags: [u8; 1] = hex(flags)?;
        if version == [0xff] || (version == [0] && parts.next().is_some()) {
            return None;
        }
        let parent = Self { trace: hex(trace)?, span: hex(span)? };
        (parent.trace != [0; 16] && parent.span != [0; 8]).then_some(parent)
    }
}

/// Bytes in lower-case hexadecimal, as many as fit exactly.
fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    if text.len() != N * 2 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use refmon_core::json::Strictness;

    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_parent_is_read_as_the_standard_says_or_not_at_all() {
        let parent = TraceParent::parse(GOOD).unwrap();
        assert_eq!((parent.trace[0], parent.trace[15], parent.span[0], parent.span[7]), (0x0a, 0x9c, 0xb7, 0x31));
        assert_eq!(TraceParent::parse(&GOOD.replacen("00", "cc", 1)), Some(parent), "a later version");
        assert_eq!(TraceParent::parse(&format!("{}-more", GOOD.replacen("00", "01", 1))), Some(parent));
        for bad in [
            "",
            "00",
            &GOOD.to_uppercase(),
            &GOOD.replacen("00", "ff", 1),
            &format!("{GOOD}-more"),
            &format!(" {GOOD}"),
            &GOOD.replace("-01", "-1"),
            &GOOD.replace("-01", "-zz"),
            &GOOD.replace("b7ad6b7169203331", "0000000000000000"),
            &GOOD.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            &GOOD.replace("0af7", "0aé"),
        ] {
            assert_eq!(TraceParent::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_message_counts_before_what_carries_it_and_nothing_stays_behind() {
        let text = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"_meta":{{"traceparent":"{GOOD}"}}}}}}"#
        );
        let message = Message::parse(text.into_bytes(), Strictness::Request).unwrap();
        let (own, carrier) = (TraceParent::parse(GOOD), TraceParent { trace: [1; 16], span: [1; 8] });
        assert_eq!(of(&message), own);
        let seen = within(Some(carrier), || (parent(), within(of(&message), parent), within(None, parent), parent()));
        assert_eq!(seen, (Some(carrier), own, Some(carrier), Some(carrier)));
        assert_eq!(parent(), None);
        let numbers = br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"_meta":{"traceparent":7}}}"#;
        assert_eq!(of(&Message::parse(numbers.to_vec(), Strictness::Request).unwrap()), None);
    }
}
