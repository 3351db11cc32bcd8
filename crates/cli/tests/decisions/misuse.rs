//! What hosts, and callers that are none, try and do not get.

use serde_json::{Value, json};

use crate::gateway::{Answer, Gateway};
use crate::site::{Host, Served, ended, folder, records, schema};

const POLICY: &str = r#"
@id("all") @reason("all is permitted")
permit (principal, action, resource);

@id("carol") @reason("carol of this tenant is not served")
forbid (principal, action, resource)
when { principal.user == Refmon::User::"local/carol" };

@id("bots") @reason("no bots")
forbid (principal, action, resource)
when { principal == Refmon::Agent::"local/bot" };
"#;

const DIRECTORY: &str = r#"
[[subject]]
type = "user"
id = "alice"
[[subject]]
type = "user"
id = "dave"
scopes = ["shop:sell"]
[[resource]]
type = "shop"
id = "1"
"#;

fn site(extra: &str) -> Gateway {
    let schema = schema(&json!({}), &json!({}), &json!({}));
    let tools = [("look", ""), ("sell", "required_scopes = [\"shop:sell\"]")];
    Gateway::over(folder(&[Served { name: "shop", tools: &tools, schema }], POLICY, DIRECTORY, extra))
}

fn question(user: &str, action: &str) -> Value {
    json!({
        "subject": { "type": "user", "id": user },
        "action": { "name": action },
        "resource": { "type": "shop", "id": "1" },
    })
}

const ACCESS: [&str; 5] = [
    "/access/v1/evaluation",
    "/access/v1/evaluations",
    "/access/v1/search/subject",
    "/access/v1/search/resource",
    "/access/v1/search/action",
];

fn reason(answer: &Value) -> &str {
    answer["context"]["reason"].as_str().unwrap_or_else(|| panic!("{answer}"))
}

#[test]
fn without_the_scope_nobody_is_named_and_nothing_is_said() {
    let gateway = site("");
    let bare = Host::new(&gateway, "local", &["shop:sell", "refmon:halt"]);
    let body = question("alice", "look").to_string();
    let refused: Vec<Answer> = ACCESS.iter().map(|path| bare.ask("POST", path, &[], &body)).collect();
    assert_eq!((refused[0].status, refused[0].headers["content-type"].as_str()), (403, "application/problem+json"));
    assert!(refused.iter().all(|answer| *answer == refused[0]), "{refused:?}");
    let wrong = bare.ask("POST", ACCESS[0], &[], "{\"a\":1,\"a\":1}");
    assert_eq!(wrong, refused[0], "what is wrong with a body is not said either");
    let call = json!({ "server": "shop", "tool": "look", "arguments": { "id": "1" },
        "subject": { "type": "user", "id": "alice" } });
    assert_eq!(bare.post("/v1/calls", &call).0, 403);
    for path in ACCESS {
        let nobody = Host { gateway: &gateway, key: "refmon_00_00".to_owned() };
        assert_eq!(nobody.ask("POST", path, &[], &body).status, 401);
    }
    assert!(records(&gateway, &["--kind", "attempt"]).is_empty());
}

#[test]
fn a_host_speaks_for_its_own_tenant_only() {
    let gateway = site("");
    let (own, other) =
        (Host::new(&gateway, "local", &["refmon:decide"]), Host::new(&gateway, "other", &["refmon:decide"]));
    // The forbid is about one tenant's Carol; the other tenant's is somebody else.
    assert!(!own.decides(&question("carol", "look")));
    let mut body = question("carol", "look");
    for place in ["subject", "resource", "context"] {
        body[place]["tenant"] = json!("local");
        body[place]["properties"] = json!({ "tenant": "local" });
    }
    body["tenant"] = json!("local");
    assert!(other.decides(&body));
    let search = json!({ "subject": { "type": "user" }, "action": { "name": "look" },
        "resource": { "type": "shop", "id": "1" } });
    assert_eq!(own.finds("subject", &search), ["alice", "dave"]);
    assert!(other.finds("subject", &search).is_empty(), "a directory is its tenant's");
    let found = gateway.command(&["audit", "search", "--tenant", "other", "--kind", "attempt"]);
    assert_eq!((found[0]["tenant"].as_str(), found.as_array().unwrap().len()), (Some("other"), 1), "{found}");
}

#[test]
fn a_host_gives_no_scope_that_it_lacks() {
    let gateway = site("");
    let rich = Host::new(&gateway, "local", &["refmon:decide", "shop:sell", "refmon:halt"]);
    let poor = Host::new(&gateway, "local", &["refmon:decide"]);
    let with = |user: &str, scopes: Value| {
        let mut body = question(user, "sell");
        body["subject"]["properties"] = json!({ "scopes": scopes });
        body
    };
    let told = |host: &Host<'_>, body: &Value| reason(&host.post(ACCESS[0], body).1).to_owned();
    assert_eq!(told(&rich, &question("bob", "sell")), "permitted", "nobody says any, so it is the host's");
    assert_eq!(told(&rich, &with("bob", json!(["shop:sell"]))), "permitted");
    assert_eq!(told(&rich, &with("bob", json!([]))), "scope.missing");
    assert_eq!(told(&rich, &with("bob", json!("shop:sell"))), "scope.missing", "what is no list gives none");
    assert_eq!(told(&rich, &with("dave", json!([]))), "permitted", "the operator's word goes before the host's");
    for body in [question("bob", "sell"), with("bob", json!(["shop:sell"])), question("dave", "sell")] {
        assert_eq!(told(&poor, &body), "scope.missing");
    }
    let call = |host: &Host<'_>, subject: Value| {
        let body = json!({ "server": "shop", "tool": "sell", "arguments": { "id": "1" }, "subject": subject });
        host.post("/v1/calls", &body).1["reason"].as_str().unwrap().to_owned()
    };
    assert_eq!(call(&rich, json!({ "type": "user", "id": "bob", "scopes": ["shop:sell"] })), "permitted");
    assert_eq!(call(&rich, json!({ "type": "user", "id": "bob", "scopes": [] })), "scope.missing");
    assert_eq!(call(&poor, json!({ "type": "user", "id": "bob", "scopes": ["shop:sell"] })), "scope.missing");
    // A grant to the user does not go beyond what the host holds.
    gateway.command(&["grant", "add", "--user", "bob", "--scope", "shop:sell", "--for", "1h", "--reason", "x"]);
    assert_eq!(told(&rich, &with("bob", json!([]))), "permitted");
    assert_eq!(told(&poor, &question("bob", "sell")), "scope.missing");
}

#[test]
fn a_subject_of_another_kind_or_without_a_name_is_denied_and_recorded() {
    let gateway = site("");
    let host = Host::new(&gateway, "local", &["refmon:decide"]);
    for (subject, context) in [
        (json!({ "type": "spaceship", "id": "alice" }), json!({})),
        (json!({ "type": "user", "id": "a b" }), json!({})),
        (json!({ "type": "user", "id": "" }), json!({})),
        (json!({ "type": "user", "id": "x".repeat(300) }), json!({})),
        (json!({ "type": "user", "id": "alice" }), json!({ "agent": "a b" })),
    ] {
        let mut body = question("alice", "look");
        (body["subject"], body["context"]) = (subject, context);
        let (status, answer) = host.post(ACCESS[0], &body);
        assert_eq!((status, reason(&answer)), (200, "subject.unknown"), "{body}");
    }
    let attempts = records(&gateway, &["--kind", "attempt"]);
    assert_eq!(attempts.len(), 5);
    assert!(attempts.iter().all(|one| one["identity"] == "api-key" && one["asserted_by"].is_null()), "{attempts:?}");
    let mut bot = question("alice", "look");
    bot["context"] = json!({ "agent": "bot" });
    assert_eq!(reason(&host.post(ACCESS[0], &bot).1), "policy.forbidden", "policies see the agent");
    bot["context"] = json!({ "agent": 7 });
    assert_eq!(host.post(ACCESS[0], &bot).0, 400);
}

#[test]
fn what_has_no_single_reading_is_refused_and_recorded() {
    let gateway = site("");
    let host = Host::new(&gateway, "local", &["refmon:decide"]);
    let good = question("alice", "look").to_string();
    let twice = good.replacen('{', r#"{"subject":{"type":"user","id":"carol"},"#, 1);
    let cases = [
        twice.clone(),
        good.replacen(r#""subject""#, r#""Subject":1,"subject""#, 1),
        good.replacen(r#""id":"#, r#""id":"carol","id":"#, 1),
        good.replacen("alice", "\\ud800", 1),
        format!("{good} x"),
        format!("\u{feff}{good}"),
        "[".repeat(200),
    ];
    for (number, body) in cases.iter().enumerate() {
        for path in [ACCESS[number % ACCESS.len()], "/v1/calls"] {
            let answer = host.ask("POST", path, &[], body);
            let problem: Value = serde_json::from_str(&answer.body).unwrap();
            assert_eq!((answer.status, &problem["reason"]), (400, &json!("arguments.malformed")), "{body}");
            let shown = gateway.command(&["audit", "show", problem["record"].as_str().unwrap()]);
            assert_eq!((&shown[0]["asked"], &shown[0]["decision"]), (&json!("(no usable name)"), &json!("deny")));
        }
    }
    let inside = json!({ "subject": { "type": "user", "id": "alice" }, "action": { "name": "look" } }).to_string();
    let listed = inside.replacen('{', r#"{"evaluations":[{"resource":{"type":"shop","id":"1","id":"2"}}],"#, 1);
    assert_eq!(host.ask("POST", ACCESS[1], &[], &listed).status, 400);
    assert_eq!(records(&gateway, &["--kind", "attempt"]).len(), 14 + 1);
}

#[test]
fn what_is_too_large_or_nowhere_is_refused() {
    let gateway = site("");
    let host = Host::new(&gateway, "local", &["refmon:decide"]);
    let many = |count: usize| {
        let mut body = question("alice", "look");
        body["evaluations"] = json!(vec![json!({}); count]);
        body
    };
    assert_eq!(host.post(ACCESS[1], &many(100_000)).0, 400);
    assert_eq!(host.post(ACCESS[1], &many(257)).0, 400);
    let (status, answer) = host.post(ACCESS[1], &many(256));
    assert_eq!((status, answer["evaluations"].as_array().unwrap().len()), (200, 256));
    let large = format!("{{\"x\":\"{}\"}}", "x".repeat(5 * 1024 * 1024));
    for path in [ACCESS[0], "/v1/calls", "/v1/calls/x/outcome"] {
        assert_eq!(host.ask("POST", path, &[], &large).status, 413, "{path}");
    }
    assert_eq!(host.ask("POST", "/v1/openapi.json", &[], &large).status, 413);
    for path in [
        "/access/v1/",
        "/access/v1/evaluation/",
        "/access/v1/search",
        "/access/v1/search/policy",
        "/v1/call",
        "/v1/calls/",
        "/v1/calls/x",
        "/access/v1/evaluation%2f",
    ] {
        assert_eq!(host.ask("POST", path, &[], "{}").status, 404, "{path}");
    }
    assert_eq!(host.ask("POST", "/access/v2/evaluation", &[], "{}").status, 404);
    for path in ["/access/v1/evaluation", "/v1/calls", "/access/v1/search/action"] {
        let answer = host.ask("GET", path, &[], "");
        assert_eq!((answer.status, answer.headers["allow"].as_str()), (405, "POST"), "{path}");
    }
    let evil = host.ask("POST", ACCESS[0], &[("origin", "http://evil.example")], "{}");
    assert_eq!(evil.status, 403);
}

#[test]
fn a_halt_and_a_budget_are_obeyed() {
    let budget = "[[authority.budget]]\nper = \"tenant\"\ncalls = 3\nwindow_seconds = 3600\n";
    let gateway = site(budget);
    let host = Host::new(&gateway, "local", &["refmon:decide", "refmon:halt"]);
    assert_eq!(host.post("/v1/halts", &json!({})).0, 201);
    assert_eq!(reason(&host.post(ACCESS[0], &question("alice", "look")).1), "authority.halted");
    let call = json!({ "server": "shop", "tool": "look", "arguments": { "id": "1" } });
    assert_eq!(host.post("/v1/calls", &call).1["reason"], "authority.halted");
    let search = json!({ "subject": { "type": "user" }, "action": { "name": "look" },
        "resource": { "type": "shop", "id": "1" } });
    assert!(host.finds("subject", &search).is_empty());
    assert_eq!(host.ask("DELETE", "/v1/halts/tenant", &[], "").status, 200);
    for _ in 0..5 {
        assert_eq!(host.finds("subject", &search), ["alice", "dave"], "a search takes nothing");
    }
    assert!(host.decides(&question("alice", "look")));
    assert_eq!(host.post("/v1/calls", &call).1["reason"], "permitted");
    assert!(host.decides(&question("bob", "look")));
    assert_eq!(reason(&host.post(ACCESS[0], &question("alice", "look")).1), "authority.budget");
    assert_eq!(host.post("/v1/calls", &call).1["reason"], "authority.budget");
}

#[test]
fn records_say_who_asserted_who_enforces_and_that_nobody_said_how_it_ended() {
    let gateway = site("");
    let host = Host::named(&gateway, "till", "local", &["refmon:decide"]);
    let (_, answer) = host.post(ACCESS[0], &question("alice", "look"));
    let shown = ended(&gateway, answer["context"]["evaluation_id"].as_str().unwrap());
    let (attempt, end) = (&shown[0], &shown[1]);
    assert_eq!(
        (&attempt["door"], &attempt["identity"], &attempt["enforced_by"], &attempt["agent"]),
        (&json!("access"), &json!("asserted"), &json!("caller"), &json!("shop")),
        "{shown}"
    );
    let by = &attempt["asserted_by"];
    assert_eq!((&by["identity"], &by["agent"]), (&json!("api-key"), &json!("shop")), "{shown}");
    assert!(by["subject"].is_string() && by["subject"] != attempt["subject"], "{shown}");
    assert_eq!((&end["kind"], &end["cause"]), (&json!("indeterminate"), &json!("not-reported")), "{shown}");
    assert!(!shown.to_string().contains("till") && !shown.to_string().contains("alice"), "{shown}");
    let again = host.post(ACCESS[0], &question("bob", "look")).1;
    let again = gateway.command(&["audit", "show", again["context"]["evaluation_id"].as_str().unwrap()]);
    assert_eq!(&again[0]["asserted_by"], by, "the same host is the same");
    let (folder, ended) = gateway.stop();
    assert!(ended);
    let verified = crate::gateway::refmon(folder.path(), &["--json", "audit", "verify"]).output().unwrap();
    let verified: Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!((&verified["intact"], &verified["open"]), (&json!(true), &json!(0)), "{verified}");
}

// Found here: what many questions share was read and judged as often as there are questions.
#[test]
fn what_many_questions_share_is_bounded_all_together() {
    let gateway = site("");
    let host = Host::new(&gateway, "local", &["refmon:decide", "shop:sell"]);
    let shared = json!({ "name": "look", "properties": { "x": "y".repeat(100_000) } });
    let ask = |questions: usize| {
        let body = json!({ "subject": { "type": "user", "id": "alice" }, "action": shared,
            "resource": { "type": "shop", "id": "1" }, "evaluations": vec![json!({}); questions] });
        host.post("/access/v1/evaluations", &body)
    };
    assert_eq!(ask(20).0, 200);
    let before = records(&gateway, &["--kind", "attempt"]).len();
    let (status, problem) = ask(200);
    assert_eq!(status, 400, "{problem}");
    assert!(problem.to_string().contains("fewer"), "{problem}");
    assert_eq!(records(&gateway, &["--kind", "attempt"]).len(), before, "nothing of it was judged");
}
