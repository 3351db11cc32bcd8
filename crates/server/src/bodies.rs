//! The bodies of the decision APIs, as tables.

use refmon_core::limits;

use crate::shape::{Kind, Shape, optional, required};

/// Evaluations in one request.
pub(crate) const EVALUATIONS_MAX: usize = 256;
/// Bytes of a text that has no narrower bound.
const TEXT_BYTES_MAX: usize = 4_096;
/// What `options.evaluations_semantic` may say.
pub(crate) const SEMANTICS: &[&str] = &["execute_all", "deny_on_first_deny", "permit_on_first_permit"];
/// What a host may say of how a call ended.
pub(crate) const STATUSES: &[&str] = &["ok", "tool-error", "protocol-error", "cancelled", "unknown"];

const TEXT: Kind = Kind::Text(TEXT_BYTES_MAX);

// === OpenID AuthZEN: members that are not known are ignored ===

pub(crate) const SUBJECT: Shape = Shape {
    name: "Subject",
    about: "Who asks. `user` and `identity` are users of refmon; the tenant is that of the credential.",
    fields: &[
        required("type", TEXT, "`user` or `identity`"),
        required("id", TEXT, "The user"),
        optional(
            "properties",
            Kind::Map,
            "Attributes. `scopes`: a list of scopes, of which those count that the host holds",
        ),
    ],
    open: true,
};

pub(crate) const RESOURCE: Shape = Shape {
    name: "Resource",
    about: "On what: a tool of an MCP server (type `tool`), or something of a host (type: the name of a server with `host = true`).",
    fields: &[
        required("type", TEXT, "`tool`, or the name of a server with `host = true`"),
        required("id", TEXT, "The tool as MCP lists it, or the identifier of the thing"),
        optional(
            "properties",
            Kind::Map,
            "Attributes. Of a tool: `definition` or `pin` as its server lists it, and `server` if the id is the tool's bare name",
        ),
    ],
    open: true,
};

pub(crate) const ACTION: Shape = Shape {
    name: "Action",
    about: "What is to be done.",
    fields: &[
        required("name", TEXT, "`tools/call` for a tool, else the name of the host's tool in its contract"),
        optional("properties", Kind::Map, "Attributes. Of `tools/call`: `arguments`"),
    ],
    open: true,
};

pub(crate) const CONTEXT: Shape = Shape {
    name: "Context",
    about: "In which circumstances.",
    fields: &[
        optional("agent", TEXT, "The agent through which the user acts; the host's own if it is absent"),
        optional("supported_obligations", Kind::Texts, "Obligations that the host can carry out"),
    ],
    open: true,
};

pub(crate) const EVALUATION: Shape = Shape {
    name: "Evaluation",
    about: "One question (OpenID AuthZEN 1.0, Access Evaluation).",
    fields: &[
        required("subject", Kind::Object(&SUBJECT), "Who"),
        required("action", Kind::Object(&ACTION), "What"),
        required("resource", Kind::Object(&RESOURCE), "On what"),
        optional("context", Kind::Object(&CONTEXT), "In which circumstances"),
    ],
    open: true,
};

const PARTIAL: Shape = Shape {
    name: "PartialEvaluation",
    about: "One of several questions. What is absent is taken whole from beside `evaluations`.",
    fields: &[
        optional("subject", Kind::Object(&SUBJECT), "Who"),
        optional("action", Kind::Object(&ACTION), "What"),
        optional("resource", Kind::Object(&RESOURCE), "On what"),
        optional("context", Kind::Object(&CONTEXT), "In which circumstances"),
    ],
    open: true,
};

const OPTIONS: Shape = Shape {
    name: "Options",
    about: "How several questions are answered.",
    fields: &[optional("evaluations_semantic", Kind::OneOf(SEMANTICS), "Where to stop; `execute_all` if it is absent")],
    open: true,
};

/// With `evaluations` that are not empty. Without, the body is an [`EVALUATION`].
pub(crate) const EVALUATIONS: Shape = Shape {
    name: "Evaluations",
    about: "Several questions (OpenID AuthZEN 1.0, Access Evaluations). Without `evaluations`, one.",
    fields: &[
        optional("subject", Kind::Map, "Who, for questions that do not say it"),
        optional("action", Kind::Map, "What, for questions that do not say it"),
        optional("resource", Kind::Map, "On what, for questions that do not say it"),
        optional("context", Kind::Object(&CONTEXT), "In which circumstances, for questions that do not say it"),
        optional("evaluations", Kind::Objects(&PARTIAL, EVALUATIONS_MAX), "The questions"),
        optional("options", Kind::Object(&OPTIONS), "How they are answered"),
    ],
    open: true,
};

const SOUGHT: Shape = Shape {
    name: "Sought",
    about: "What is looked for. An `id` is ignored.",
    fields: &[required("type", TEXT, "Its type"), optional("properties", Kind::Map, "Attributes that all have")],
    open: true,
};

const PAGE: Shape = Shape {
    name: "Page",
    about: "Which part of the results.",
    fields: &[
        optional("token", Kind::Text(256), "`next_token` of the page before"),
        optional("limit", Kind::Count, "At most so many results"),
    ],
    open: true,
};

pub(crate) const SEARCH_SUBJECT: Shape = Shape {
    name: "SubjectSearch",
    about: "Who may do this?",
    fields: &[
        required("subject", Kind::Object(&SOUGHT), "Of which type"),
        required("action", Kind::Object(&ACTION), "What"),
        required("resource", Kind::Object(&RESOURCE), "On what"),
        optional("context", Kind::Object(&CONTEXT), "In which circumstances"),
        optional("page", Kind::Object(&PAGE), "Which part"),
    ],
    open: true,
};

pub(crate) const SEARCH_RESOURCE: Shape = Shape {
    name: "ResourceSearch",
    about: "On what may this subject do this?",
    fields: &[
        required("subject", Kind::Object(&SUBJECT), "Who"),
        required("action", Kind::Object(&ACTION), "What"),
        required("resource", Kind::Object(&SOUGHT), "Of which type"),
        optional("context", Kind::Object(&CONTEXT), "In which circumstances"),
        optional("page", Kind::Object(&PAGE), "Which part"),
    ],
    open: true,
};

pub(crate) const SEARCH_ACTION: Shape = Shape {
    name: "ActionSearch",
    about: "What may this subject do here?",
    fields: &[
        required("subject", Kind::Object(&SUBJECT), "Who"),
        required("resource", Kind::Object(&RESOURCE), "On what"),
        optional("context", Kind::Object(&CONTEXT), "In which circumstances"),
        optional("page", Kind::Object(&PAGE), "Which part"),
    ],
    open: true,
};

// === hosts that run calls themselves: members that are not known are refused ===

const NAMED: Shape = Shape {
    name: "Named",
    about: "Somebody else than the holder of the credential, of the same tenant. This needs the scope `refmon:decide`.",
    fields: &[
        required("type", TEXT, "`user` or `identity`"),
        required("id", TEXT, "The user"),
        optional("scopes", Kind::Texts, "The user's scopes, of which those count that the host holds"),
        optional("agent", TEXT, "The agent through which the user acts; the host's own if it is absent"),
    ],
    open: false,
};

pub(crate) const PROPOSAL: Shape = Shape {
    name: "Proposal",
    about: "A call that the host will run itself, if it may.",
    fields: &[
        required("server", Kind::Text(limits::ID_BYTES_MAX), "The server, as in `refmon.toml`"),
        required("tool", TEXT, "The tool, without its server's name"),
        optional("arguments", Kind::Any, "The arguments. They are judged as the bytes that they are"),
        optional("definition", Kind::Map, "The tool's definition as the host has it from its server"),
        optional("pin", TEXT, "Or its pin, `sha256:…`"),
        optional("supported_obligations", Kind::Texts, "Obligations that the host can carry out"),
        optional("subject", Kind::Object(&NAMED), "For whom, if not for the holder of the credential"),
    ],
    open: false,
};

pub(crate) const OUTCOME: Shape = Shape {
    name: "Outcome",
    about: "How a call ended.",
    fields: &[
        required("status", Kind::OneOf(STATUSES), "How it ended; `unknown` if the host does not know"),
        optional("result", Kind::Any, "What came back. A commitment to its bytes is kept, and nothing else of it"),
        optional("result_digest", TEXT, "Or its digest, `sha256:…`; the commitment is then to this text"),
    ],
    open: false,
};
