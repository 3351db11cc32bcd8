//! The method table: every method of the protocol in both eras, and how it is mediated. A method that is not
//! here does not pass.

use refmon_core::ids::Method;
use refmon_core::json::{Members, Strictness};

use crate::message::Message;

/// Who sends a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The agent's side.
    Client,
    /// The tool server.
    Server,
}

/// How a method is mediated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// A tool call: the monitor decides.
    Tool,
    /// Judged like a tool: the monitor decides, by the contract's entry for the method.
    Judged(Method),
    /// Judged as [`Method::ResourcesSubscribe`] if it subscribes to resources, else passed on.
    Listen,
    /// The answer is filtered to the tools that the caller could be permitted to call.
    ToolList,
    /// The handshake: passed on, the version in the answer is checked.
    Handshake,
    /// Passed on unread: it acts on nothing.
    Pass,
    /// Passed on; the call it names is recorded as cancelled.
    Cancel,
    /// Passed on; the server's tools are looked at again before the next call.
    ToolsChanged,
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The method's name on the wire.
    pub name: &'static str,
    /// Who may send it.
    pub from: Side,
    /// Whether it is a request (with an identifier) or a notification.
    pub request: bool,
    /// How it is mediated.
    pub treatment: Treatment,
    /// The eras that have it, for people.
    pub eras: &'static str,
}

const BOTH: &str = "both";
/// What [`Row::eras`] says of a method that ended with 2025-11-25.
pub const LEGACY: &str = "to 2025-11-25";
const MODERN: &str = "from 2026-07-28";

const fn row(name: &'static str, from: Side, request: bool, treatment: Treatment, eras: &'static str) -> Row {
    Row { name, from, request, treatment, eras }
}

/// Every method that passes in some form.
pub const TABLE: &[Row] = &[
    row("tools/call", Side::Client, true, Treatment::Tool, BOTH),
    row("tools/list", Side::Client, true, Treatment::ToolList, BOTH),
    row("resources/list", Side::Client, true, Treatment::Judged(Method::ResourcesList), BOTH),
    row("resources/templates/list", Side::Client, true, Treatment::Judged(Method::ResourceTemplatesList), BOTH),
    row("resources/read", Side::Client, true, Treatment::Judged(Method::ResourcesRead), BOTH),
    row("resources/subscribe", Side::Client, true, Treatment::Judged(Method::ResourcesSubscribe), LEGACY),
    row("resources/unsubscribe", Side::Client, true, Treatment::Pass, LEGACY),
    row("prompts/list", Side::Client, true, Treatment::Judged(Method::PromptsList), BOTH),
    row("prompts/get", Side::Client, true, Treatment::Judged(Method::PromptsGet), BOTH),
    row("completion/complete", Side::Client, true, Treatment::Judged(Method::CompletionComplete), BOTH),
    row("tasks/get", Side::Client, true, Treatment::Judged(Method::TasksGet), BOTH),
    row("tasks/result", Side::Client, true, Treatment::Judged(Method::TasksResult), LEGACY),
    row("tasks/list", Side::Client, true, Treatment::Judged(Method::TasksList), LEGACY),
    row("tasks/cancel", Side::Client, true, Treatment::Judged(Method::TasksCancel), BOTH),
    row("tasks/update", Side::Client, true, Treatment::Judged(Method::TasksUpdate), MODERN),
    row("subscriptions/listen", Side::Client, true, Treatment::Listen, MODERN),
    row("logging/setLevel", Side::Client, true, Treatment::Pass, LEGACY),
    row("initialize", Side::Client, true, Treatment::Handshake, LEGACY),
    row("server/discover", Side::Client, true, Treatment::Pass, MODERN),
    row("ping", Side::Client, true, Treatment::Pass, LEGACY),
    row("notifications/initialized", Side::Client, false, Treatment::Pass, LEGACY),
    row("notifications/cancelled", Side::Client, false, Treatment::Cancel, BOTH),
    row("notifications/progress", Side::Client, false, Treatment::Pass, LEGACY),
    row("notifications/roots/list_changed", Side::Client, false, Treatment::Pass, LEGACY),
    row("notifications/tasks/status", Side::Client, false, Treatment::Pass, LEGACY),
    row("sampling/createMessage", Side::Server, true, Treatment::Judged(Method::SamplingCreateMessage), LEGACY),
    row("elicitation/create", Side::Server, true, Treatment::Judged(Method::ElicitationCreate), LEGACY),
    row("roots/list", Side::Server, true, Treatment::Judged(Method::RootsList), LEGACY),
    row("tasks/get", Side::Server, true, Treatment::Judged(Method::TasksGet), LEGACY),
    row("tasks/result", Side::Server, true, Treatment::Judged(Method::TasksResult), LEGACY),
    row("tasks/list", Side::Server, true, Treatment::Judged(Method::TasksList), LEGACY),
    row("tasks/cancel", Side::Server, true, Treatment::Judged(Method::TasksCancel), LEGACY),
    row("ping", Side::Server, true, Treatment::Pass, LEGACY),
    row("notifications/cancelled", Side::Server, false, Treatment::Pass, BOTH),
    row("notifications/progress", Side::Server, false, Treatment::Pass, BOTH),
    row("notifications/message", Side::Server, false, Treatment::Pass, BOTH),
    row("notifications/tools/list_changed", Side::Server, false, Treatment::ToolsChanged, BOTH),
    row("notifications/prompts/list_changed", Side::Server, false, Treatment::Pass, BOTH),
    row("notifications/resources/list_changed", Side::Server, false, Treatment::Pass, BOTH),
    row("notifications/resources/updated", Side::Server, false, Treatment::Pass, BOTH),
    row("notifications/subscriptions/acknowledged", Side::Server, false, Treatment::Pass, MODERN),
    row("notifications/elicitation/complete", Side::Server, false, Treatment::Pass, LEGACY),
    row("notifications/tasks/status", Side::Server, false, Treatment::Pass, LEGACY),
];

/// The first protocol version of the newer era.
pub const NEWER: &str = "2026-07-28";

/// Protocol versions whose methods the table holds.
pub const VERSIONS: &[&str] = &["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"];

/// Finds the row of a method, by exact name, sender and kind.
#[must_use]
pub fn find(name: &str, from: Side, request: bool) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.name == name && row.from == from && row.request == request)
}

/// A message that may pass without a permit: its method acts on nothing, or it answers what was let through.
#[derive(Debug)]
pub struct Cleared(Vec<u8>);

impl Cleared {
    /// Clears a message whose row says so. A tool call or a judged method never clears.
    #[must_use]
    pub fn by(row: &Row, message: Message) -> Option<Self> {
        match row.treatment {
            Treatment::Tool | Treatment::Judged(_) => None,
            Treatment::Listen if subscribes(&message) => None,
            Treatment::Listen
            | Treatment::ToolList
            | Treatment::Handshake
            | Treatment::Pass
            | Treatment::Cancel
            | Treatment::ToolsChanged => Some(Self(message.bytes)),
        }
    }

    /// Clears an answer to a request of the server that was let through to the client, or an error for one that
    /// was not.
    pub(crate) const fn answer(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Clears refmon's own `tools/list`.
    pub(crate) const fn own_listing(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes to send.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// What a listener may ask for unjudged: that lists have changed.
const LISTS: &[&str] = &["toolsListChanged", "promptsListChanged", "resourcesListChanged"];

/// Whether a `subscriptions/listen` asks for the changes of resources, or for anything else that is not known to be
/// harmless: that is judged. A server that ignores case takes `ResourceSubscriptions` for what it knows.
#[must_use]
pub fn subscribes(message: &Message) -> bool {
    let filter = message.value("notifications").map(|filter| Members::parse(filter, Strictness::Lenient));
    let harmless = |filter: &Members<'_>| filter.all().iter().all(|member| LISTS.contains(&member.key.as_ref()));
    !matches!(filter, Some(Ok(filter)) if harmless(&filter))
}

#[cfg(test)]
mod tests {
    use refmon_core::json::Strictness;

    use super::*;

    #[test]
    fn every_judged_method_has_a_row() {
        for method in Method::ALL {
            assert!(
                TABLE.iter().any(|row| row.name == method.as_str() && row.treatment == Treatment::Judged(method)),
                "{method}"
            );
        }
    }

    #[test]
    fn a_row_is_found_by_exact_name_sender_and_kind() {
        assert!(find("tools/call", Side::Client, true).is_some());
        assert!(find("tools/call", Side::Server, true).is_none());
        assert!(find("tools/call", Side::Client, false).is_none());
        assert!(find("Tools/call", Side::Client, true).is_none());
        assert!(find("tools/call ", Side::Client, true).is_none());
        assert!(find("sampling/createMessage", Side::Client, true).is_none());
    }

    #[test]
    fn a_listener_clears_only_without_resources() {
        let row = find("subscriptions/listen", Side::Client, true).unwrap();
        for (filter, clears) in [
            ("{}", true),
            (r#"{"toolsListChanged":true}"#, true),
            (r#"{"toolsListChanged":true,"promptsListChanged":false,"resourcesListChanged":true}"#, true),
            (r#"{"resourceSubscriptions":["x"]}"#, false),
            (r#"{"ResourceSubscriptions":["x"]}"#, false),
            (r#"{"re\u017fourceSubscriptions":["x"]}"#, false),
            (r#"{"anything":["x"]}"#, false),
            ("[]", false),
        ] {
            let text = format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{{"notifications":{filter}}}}}"#
            );
            let message = Message::parse(text.into_bytes(), Strictness::Request).unwrap();
            assert_eq!(Cleared::by(row, message).is_some(), clears, "{filter}");
        }
    }

    #[test]
    fn a_tool_call_never_clears() {
        for row in TABLE {
            let bytes = br#"{"jsonrpc":"2.0","method":"x","params":{"notifications":{}}}"#.to_vec();
            let message = Message::parse(bytes, Strictness::Request).unwrap();
            let acts = matches!(row.treatment, Treatment::Tool | Treatment::Judged(_));
            assert_eq!(Cleared::by(row, message).is_none(), acts, "{}", row.name);
        }
    }
}
