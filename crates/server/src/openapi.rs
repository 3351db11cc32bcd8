//! The endpoints, as a table, and the OpenAPI 3.1 document that is made of it.
//!
//! No crate derives this. Bodies are read through the strict gate and not by types with `serde`, so what a crate would derive
//! is not what is checked; the tables of `shape` are.

use http::Method;
use serde_json::{Map, Value, json};

use crate::search::Sought;
use crate::shape::Shape;
use crate::{answers, bodies};

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    Halts,
    Halt,
    Holds,
    Calls,
    Outcome,
    Evaluation,
    Evaluations,
    Search(Sought),
    Metadata,
    Document,
}

/// One method of one path.
pub(crate) struct Endpoint {
    pub(crate) route: Route,
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    name: &'static str,
    about: &'static str,
    /// The scope that the caller must hold; `None` if any will do.
    scope: Option<&'static str>,
    body: Option<&'static Shape>,
    answers: &'static [(u16, &'static Shape)],
    problems: &'static [u16],
}

const HALT_SCOPE: Option<&str> = Some(crate::halts::SCOPE);
const HOST_SCOPE: Option<&str> = Some(crate::host::SCOPE);

/// Every endpoint. A new API gets its rows here, and its arm in [`crate::server`].
pub(crate) const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        route: Route::Halts,
        method: Method::GET,
        path: "/v1/halts",
        name: "listHalts",
        about: "The halts that deny this tenant's calls",
        scope: HALT_SCOPE,
        body: None,
        answers: &[(200, &answers::HALTS)],
        problems: &[401, 403, 503],
    },
    Endpoint {
        route: Route::Halts,
        method: Method::POST,
        path: "/v1/halts",
        name: "halt",
        about: "Halts the tenant's calls",
        scope: HALT_SCOPE,
        body: Some(&answers::HALT_REQUEST),
        answers: &[(201, &answers::HALT_CHANGED), (200, &answers::HALT_CHANGED)],
        problems: &[400, 401, 403, 413, 415, 503],
    },
    Endpoint {
        route: Route::Halt,
        method: Method::DELETE,
        path: "/v1/halts/tenant",
        name: "resume",
        about: "Ends the tenant's own halt",
        scope: HALT_SCOPE,
        body: None,
        answers: &[(200, &answers::HALT_CHANGED)],
        problems: &[401, 403, 503],
    },
    Endpoint {
        route: Route::Holds,
        method: Method::GET,
        path: "/v1/holds",
        name: "listHolds",
        about: "Calls that wait for a person: what the caller could decide on, and the caller's own",
        scope: None,
        body: None,
        answers: &[(200, &answers::HOLDS)],
        problems: &[400, 401, 503],
    },
    Endpoint {
        route: Route::Holds,
        method: Method::GET,
        path: "/v1/holds/figures",
        name: "holdFigures",
        about: "How much is asked of the people who decide, and what they say; needs `refmon:approve` or a part of it",
        scope: None,
        body: None,
        answers: &[(200, &answers::HOLD_FIGURES)],
        problems: &[401, 403, 503],
    },
    Endpoint {
        route: Route::Holds,
        method: Method::GET,
        path: "/v1/holds/{hold}",
        name: "showHold",
        about: "One hold",
        scope: None,
        body: None,
        answers: &[(200, &answers::WAITING)],
        problems: &[401, 404, 503],
    },
    deciding(
        "/v1/holds/{hold}/approve",
        "approve",
        "Lets exactly this call run once, when as many people as are needed have",
    ),
    deciding("/v1/holds/{hold}/deny", "deny", "Refuses this call until its hold is over"),
    Endpoint {
        route: Route::Calls,
        method: Method::POST,
        path: "/v1/calls",
        name: "propose",
        about: "Decides on a call that the host will run itself; with `subject`, the scope `refmon:decide` is needed",
        scope: None,
        body: Some(&bodies::PROPOSAL),
        answers: &[(201, &answers::PROPOSED), (200, &answers::PROPOSED)],
        problems: &[400, 401, 403, 413, 415, 503],
    },
    Endpoint {
        route: Route::Outcome,
        method: Method::POST,
        path: "/v1/calls/{call}/outcome",
        name: "report",
        about: "Records how a permitted call ended, once, for the host that proposed it",
        scope: None,
        body: Some(&bodies::OUTCOME),
        answers: &[(200, &answers::RECORDED)],
        problems: &[400, 401, 404, 413, 415, 503],
    },
    Endpoint {
        route: Route::Evaluation,
        method: Method::POST,
        path: "/access/v1/evaluation",
        name: "evaluate",
        about: "Answers one question",
        scope: HOST_SCOPE,
        body: Some(&bodies::EVALUATION),
        answers: &[(200, &answers::DECISION)],
        problems: &[400, 401, 403, 413],
    },
    Endpoint {
        route: Route::Evaluations,
        method: Method::POST,
        path: "/access/v1/evaluations",
        name: "evaluateAll",
        about: "Answers several questions",
        scope: HOST_SCOPE,
        body: Some(&bodies::EVALUATIONS),
        answers: &[(200, &answers::DECISIONS)],
        problems: &[400, 401, 403, 413],
    },
    searching("subject", Sought::Subject, "searchSubjects", "Who may do this", &bodies::SEARCH_SUBJECT),
    searching("resource", Sought::Resource, "searchResources", "On what this may be done", &bodies::SEARCH_RESOURCE),
    searching("action", Sought::Action, "searchActions", "What may be done here", &bodies::SEARCH_ACTION),
    Endpoint {
        route: Route::Metadata,
        method: Method::GET,
        path: METADATA,
        name: "metadata",
        about: "Where the decision API is; for this no credential is needed",
        scope: None,
        body: None,
        answers: &[(200, &answers::METADATA)],
        problems: &[],
    },
    Endpoint {
        route: Route::Document,
        method: Method::GET,
        path: "/v1/openapi.json",
        name: "openapi",
        about: "This document",
        scope: None,
        body: None,
        answers: &[(200, &answers::DOCUMENT)],
        problems: &[401],
    },
];

/// Where the metadata of the decision API is.
pub(crate) const METADATA: &str = "/.well-known/authzen-configuration";

const fn deciding(path: &'static str, name: &'static str, about: &'static str) -> Endpoint {
    Endpoint {
        route: Route::Holds,
        method: Method::POST,
        path,
        name,
        about,
        scope: Some("refmon:approve, or refmon:approve: with each effect of the tool behind it"),
        body: Some(&answers::HOLD_DECISION),
        answers: &[(200, &answers::HOLD_DECIDED)],
        problems: &[400, 401, 403, 404, 409, 413, 415, 503],
    }
}

const fn searching(
    last: &'static str,
    sought: Sought,
    name: &'static str,
    about: &'static str,
    body: &'static Shape,
) -> Endpoint {
    let path = match last.as_bytes() {
        b"subject" => "/access/v1/search/subject",
        b"resource" => "/access/v1/search/resource",
        _ => "/access/v1/search/action",
    };
    Endpoint {
        route: Route::Search(sought),
        method: Method::POST,
        path,
        name,
        about,
        scope: HOST_SCOPE,
        body: Some(body),
        answers: &[(200, &answers::RESULTS)],
        problems: &[400, 401, 403, 413],
    }
}

/// The OpenAPI 3.1 document of everything in the table.
#[must_use]
pub fn document() -> Value {
    let mut shapes = Vec::new();
    answers::PROBLEM.with_deeper(&mut shapes);
    let mut paths: Map<String, Value> = Map::new();
    for endpoint in ENDPOINTS {
        let answers = endpoint.answers.iter().map(|(_, shape)| *shape);
        endpoint.body.into_iter().chain(answers).for_each(|shape| shape.with_deeper(&mut shapes));
        let path = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            path.insert(endpoint.method.as_str().to_ascii_lowercase(), endpoint.operation());
        }
    }
    let schemas: Map<String, Value> = shapes.iter().map(|shape| (shape.name.to_owned(), shape.schema())).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "refmon",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Decisions of a reference monitor for tool-using AI agents",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "security": [{ "bearer": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key or an access token, as `[identity]` says. The tenant is that of the credential.",
                },
            },
            "schemas": schemas,
        },
    })
}

impl Endpoint {
    fn operation(&self) -> Value {
        let content = |kind: &str, shape: &Shape| json!({ kind: { "schema": shape.reference() } });
        let mut responses: Map<String, Value> = Map::new();
        for (status, shape) in self.answers {
            let answer = json!({ "description": shape.about, "content": content("application/json", shape) });
            responses.insert(status.to_string(), answer);
        }
        for status in self.problems {
            let problem = content("application/problem+json", &answers::PROBLEM);
            let said = http::StatusCode::from_u16(*status).ok().and_then(|status| status.canonical_reason());
            // What the listener itself refuses is refused in plain text.
            let answer = match status {
                401 | 413 => json!({ "description": said }),
                _ => json!({ "description": said, "content": problem }),
            };
            responses.insert(status.to_string(), answer);
        }
        let mut operation = json!({ "operationId": self.name, "summary": self.about, "responses": responses });
        let Some(members) = operation.as_object_mut() else { return operation };
        if let Some(scope) = self.scope {
            members.insert("description".to_owned(), json!(format!("Needs the scope `{scope}`.")));
        }
        if let Some(body) = self.body {
            let body = json!({ "required": true, "content": content("application/json", body) });
            members.insert("requestBody".to_owned(), body);
        }
        for name in ["call", "hold"].into_iter().filter(|name| self.path.contains(&format!("{{{name}}}"))) {
            let one = json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } });
            members.insert("parameters".to_owned(), json!([one]));
        }
        if self.name == "listHolds" {
            let parameter = |name: &str, schema: Value| json!({ "name": name, "in": "query", "schema": schema });
            let parameters = [
                parameter("state", json!({ "type": "string", "enum": crate::holds::STATES })),
                parameter("limit", json!({ "type": "integer", "minimum": 1, "maximum": 100 })),
                parameter("cursor", json!({ "type": "string", "description": "`next` of the page before" })),
            ];
            members.insert("parameters".to_owned(), json!(parameters));
        }
        if self.route == Route::Metadata {
            members.insert("security".to_owned(), json!([]));
        }
        operation
    }
}
