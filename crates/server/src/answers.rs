//! The bodies of answers, as tables. They are what the OpenAPI document says; nothing is checked against them.

use crate::bodies::EVALUATIONS_MAX;
use crate::shape::{Kind, Shape, optional, required};

const TEXT: Kind = Kind::Text(4_096);

pub(crate) const PROBLEM: Shape = Shape {
    name: "Problem",
    about: "What is wrong with a request (RFC 9457).",
    fields: &[
        required("type", TEXT, "`about:blank`"),
        required("title", TEXT, "The status in words"),
        required("status", Kind::Count, "The status"),
        required("code", TEXT, "A word for programs"),
        required("detail", TEXT, "A sentence for people"),
        optional("reason", TEXT, "The reason code, if an attempt was denied for it"),
        optional("record", TEXT, "Its record"),
    ],
    open: true,
};

pub(crate) const DECISION: Shape = Shape {
    name: "Decision",
    about: "The answer to one question.",
    fields: &[
        required("decision", Kind::Flag, "Whether it is permitted"),
        optional("context", Kind::Object(&DECISION_CONTEXT), "Why, and what to do"),
    ],
    open: true,
};

const DECISION_CONTEXT: Shape = Shape {
    name: "DecisionContext",
    about: "Why it was decided so, and what to do.",
    fields: &[
        optional("reason", TEXT, "The reason code"),
        optional("evaluation_id", TEXT, "The record"),
        optional("reason_user", Kind::Map, "The reason in words"),
        optional("obligations", Kind::Objects(&OBLIGATION, 1), "What the host must do with the result"),
        optional("access_request", Kind::Map, "What waits for a person (AuthZEN profile for access requests)"),
        optional("error", Kind::Map, "Why one of several questions could not be read"),
        optional("refmon.dev/verdict", Kind::Object(&VERDICT), "The verdict, as MCP clients get it"),
    ],
    open: true,
};

pub(crate) const DECISIONS: Shape = Shape {
    name: "Decisions",
    about: "The answers, in the order of the questions; or one answer, if one question was asked.",
    fields: &[
        optional("evaluations", Kind::Objects(&DECISION, EVALUATIONS_MAX), "The answers"),
        optional("decision", Kind::Flag, "Whether it is permitted"),
        optional("context", Kind::Object(&DECISION_CONTEXT), "Why, and what to do"),
    ],
    open: true,
};

const OBLIGATION: Shape = Shape {
    name: "Obligation",
    about: "Something that the host must do (AuthZEN profile for obligations).",
    fields: &[
        required("id", TEXT, "Its name in this answer"),
        required("type", TEXT, "`custom`"),
        required("properties", Kind::Map, "`obligation`: which one of refmon's"),
    ],
    open: true,
};

const HOLD: Shape = Shape {
    name: "Hold",
    about: "What waits for a person.",
    fields: &[
        required("id", TEXT, "The hold"),
        required("status", TEXT, "`pending`"),
        required("status_endpoint", TEXT, "Where its status is"),
        required("expires_at", TEXT, "Until when it waits"),
    ],
    open: true,
};

const VERDICT: Shape = Shape {
    name: "Verdict",
    about: "What was decided.",
    fields: &[
        required("decision", Kind::OneOf(&["permit", "hold", "deny"]), "The decision"),
        required("reason", TEXT, "The reason code"),
        optional("record", TEXT, "The record"),
        optional("pointer", TEXT, "Where the arguments are wrong (RFC 6901)"),
        optional("expected", TEXT, "What was expected there"),
        required("remedies", Kind::Texts, "What would make it acceptable"),
        optional("approvals", Kind::Texts, "The approvals that are missing"),
        optional("hold", TEXT, "The hold that waits for a person"),
    ],
    open: true,
};

pub(crate) const PROPOSED: Shape = Shape {
    name: "Proposed",
    about: "What was decided on a call.",
    fields: &[
        optional("call", TEXT, "The call, which is its record; `null` if the denial could not be recorded"),
        required("decision", Kind::OneOf(&["permit", "hold", "deny"]), "The decision"),
        required("reason", TEXT, "The reason code"),
        optional("pointer", TEXT, "Where the arguments are wrong (RFC 6901)"),
        optional("expected", TEXT, "What was expected there"),
        required("remedies", Kind::Texts, "What would make it acceptable"),
        optional("approvals", Kind::Texts, "The approvals that are missing"),
        optional("hold", Kind::Object(&HOLD), "What waits for a person"),
        required("obligations", Kind::Objects(&OBLIGATION, 1), "What the host must do with the result"),
        optional("outcome", Kind::Map, "Where the host says how a permitted call ended, and within how many seconds"),
    ],
    open: true,
};

pub(crate) const RECORDED: Shape = Shape {
    name: "Recorded",
    about: "How a call ended, recorded.",
    fields: &[
        required("call", TEXT, "The call"),
        required("status", TEXT, "How it ended"),
        required("recorded", Kind::Flag, "`true`"),
    ],
    open: true,
};

pub(crate) const RESULTS: Shape = Shape {
    name: "Results",
    about: "What was found.",
    fields: &[
        required("results", Kind::Objects(&RESULT, 1_000), "Subjects, resources or actions"),
        optional("page", Kind::Object(&PAGE), "Whether there is more"),
    ],
    open: true,
};

const RESULT: Shape = Shape {
    name: "Result",
    about: "A subject or a resource (`type`, `id`), or an action (`name`).",
    fields: &[
        optional("type", TEXT, "Its type"),
        optional("id", TEXT, "Its identifier"),
        optional("name", TEXT, "The action"),
        optional("obligations", Kind::Objects(&OBLIGATION, 1), "What the host must do with the result"),
    ],
    open: true,
};

const PAGE: Shape = Shape {
    name: "ResultPage",
    about: "Whether there is more.",
    fields: &[
        required("next_token", TEXT, "For the next page; empty if this is the last one"),
        optional("count", Kind::Count, "How many results this page has"),
    ],
    open: true,
};

pub(crate) const METADATA: Shape = Shape {
    name: "Metadata",
    about: "Where the decision API is, and what it can do.",
    fields: &[
        required("policy_decision_point", TEXT, "The origin of this gateway"),
        required("access_evaluation_endpoint", TEXT, "For one question"),
        required("access_evaluations_endpoint", TEXT, "For several"),
        required("search_subject_endpoint", TEXT, "For subjects"),
        required("search_resource_endpoint", TEXT, "For resources"),
        required("search_action_endpoint", TEXT, "For actions"),
        required("supported_obligations", Kind::Texts, "`custom`"),
    ],
    open: true,
};

pub(crate) const HALTS: Shape = Shape {
    name: "Halts",
    about: "The halts that deny this tenant's calls.",
    fields: &[required("halts", Kind::Objects(&HALT, 2), "The operator's, and the tenant's own")],
    open: true,
};

const HALT: Shape = Shape {
    name: "Halt",
    about: "A halt.",
    fields: &[
        required("id", Kind::OneOf(&["operator", "tenant"]), "Whose it is"),
        optional("reason", TEXT, "Why"),
        optional("by", TEXT, "Who"),
        optional("at", TEXT, "When"),
    ],
    open: true,
};

pub(crate) const HALT_REQUEST: Shape = Shape {
    name: "HaltRequest",
    about: "A halt of the tenant's calls.",
    fields: &[optional("reason", Kind::Text(1_024), "Why")],
    open: false,
};

pub(crate) const HALT_CHANGED: Shape = Shape {
    name: "HaltChanged",
    about: "What is so now.",
    fields: &[
        required("id", TEXT, "`tenant`"),
        required("halted", Kind::Flag, "Whether the tenant's calls are denied"),
        required("changed", Kind::Flag, "Whether this request did that"),
    ],
    open: true,
};

pub(crate) const HOLDS: Shape = Shape {
    name: "Holds",
    about: "A page of the queue: the highest rank first, of one rank the oldest first.",
    fields: &[
        required("holds", Kind::Objects(&WAITING, 100), "The holds, without arguments"),
        required("counts", Kind::Map, "How many holds are in each state, of those that the caller sees"),
        required("batches", Kind::Objects(&BATCH, 100), "Waiting holds with the same effects on the same targets"),
        optional("next", TEXT, "`cursor` of the next page; `null` if this is the last one"),
    ],
    open: true,
};

/// A hold for the people who decide. Who asked and could not decide gets the first members only.
pub(crate) const WAITING: Shape = Shape {
    name: "Waiting",
    about: "A call that waits for a person. Whoever asked for it, and could not decide on it, sees hold, state, action, \
            arguments that this very agent sent, placed and expires only.",
    fields: &[
        required("hold", TEXT, "The hold"),
        required("state", Kind::OneOf(crate::holds::STATES), "Its state"),
        required("action", TEXT, "The operation: server, tool, version of the contract"),
        optional(
            "arguments",
            Kind::Text(64 * 1024 * 1024),
            "The canonical arguments, with what is invisible escaped; wiped with the decision",
        ),
        required("placed", TEXT, "When it was asked"),
        required("expires", TEXT, "When the hold, its approval or its denial is over"),
        optional(
            "arguments_ascii",
            Kind::Text(64 * 1024 * 1024),
            "The same in ASCII, if there is anything else in them",
        ),
        optional("argument_bytes", Kind::Count, "Their size"),
        optional("user", TEXT, "Who asked"),
        optional("agent", TEXT, "Through which agent"),
        optional("identity", TEXT, "How the caller was authenticated"),
        optional("asserted_by", Kind::Map, "`user` and `agent` of the host that named the caller"),
        optional("door", TEXT, "The door"),
        optional("trajectory", TEXT, "The run of the agent"),
        optional("server", TEXT, "The server"),
        optional("tool", TEXT, "The tool or method"),
        optional("effects", Kind::Texts, "What running it does"),
        optional("targets", Kind::Texts, "What it is aimed at: the first 16"),
        optional("target_count", Kind::Count, "How many targets there are"),
        optional("risk", Kind::Count, "Its rank"),
        optional("risk_words", TEXT, "Its rank in words"),
        optional("approvals", Kind::Texts, "The approvals that are needed"),
        optional("needed", Kind::Count, "How many people must approve"),
        optional("approved", Kind::Count, "How many have"),
        optional("decisions", Kind::Objects(&HOLD_VOTE, 4), "Who decided what"),
        optional("reason", TEXT, "The reason code"),
        optional("why", TEXT, "Why it is held"),
        optional("next", TEXT, "What happens next"),
    ],
    open: true,
};

const HOLD_VOTE: Shape = Shape {
    name: "HoldVote",
    about: "One person's decision.",
    fields: &[
        required("user", TEXT, "Who"),
        required("agent", TEXT, "Through which agent or program"),
        required("identity", TEXT, "How that person was authenticated"),
        required("decision", Kind::OneOf(&["approved", "denied"]), "What"),
        required("self_approved", Kind::Flag, "Whether who approved is who asked"),
        optional("reason", TEXT, "Why"),
        required("at", TEXT, "When"),
    ],
    open: true,
};

const BATCH: Shape = Shape {
    name: "Batch",
    about: "Waiting holds with the same effects on the same targets.",
    fields: &[
        required("effects", Kind::Texts, "The effects"),
        required("targets", Kind::Texts, "The targets: the first 16"),
        required("target_count", Kind::Count, "How many targets there are"),
        required("count", Kind::Count, "How many holds"),
        required("risk", Kind::Count, "The highest rank among them"),
        required("oldest", TEXT, "When the oldest was asked"),
    ],
    open: true,
};

pub(crate) const HOLD_DECISION: Shape = Shape {
    name: "HoldDecision",
    about: "Why a person decides so. It is kept with the hold, not in the evidence.",
    fields: &[optional("reason", Kind::Text(1_024), "Why")],
    open: false,
};

pub(crate) const HOLD_DECIDED: Shape = Shape {
    name: "HoldDecided",
    about: "How far the hold is.",
    fields: &[
        required("hold", TEXT, "The hold"),
        required("state", Kind::OneOf(crate::holds::STATES), "Its state"),
        required("approved", Kind::Count, "How many people have approved"),
        required("needed", Kind::Count, "How many must"),
        required("changed", Kind::Flag, "Whether this request did that"),
    ],
    open: true,
};

pub(crate) const HOLD_FIGURES: Shape = Shape {
    name: "HoldFigures",
    about: "The last 24 hours, of the holds that the caller could decide on.",
    fields: &[
        required("asked", Kind::Objects(&HOLD_ASKED, 1_000), "How often each agent asked in each hour"),
        required("placed", Kind::Count, "Holds"),
        required("approved", Kind::Count, "Of those, approved"),
        required("denied", Kind::Count, "Denied"),
        required("undecided", Kind::Count, "Not decided"),
        optional("approval_percent", Kind::Count, "Of 100 that were decided, how many were approved; rounded down"),
        optional("median_ms", Kind::Count, "The median of the time from asking to the decision"),
    ],
    open: true,
};

const HOLD_ASKED: Shape = Shape {
    name: "HoldAsked",
    about: "How often an agent asked in an hour.",
    fields: &[
        required("agent", TEXT, "The agent"),
        required("hour", TEXT, "When the hour began"),
        required("count", Kind::Count, "How often"),
    ],
    open: true,
};

/// The document that describes these APIs.
pub(crate) const DOCUMENT: Shape = Shape {
    name: "Document",
    about: "An OpenAPI 3.1 document.",
    fields: &[required("openapi", TEXT, "`3.1.0`")],
    open: true,
};
