//! The certification scenario of the OpenID AuthZEN Authorization API 1.0, each case by the section that has it
//! (openid/authzen, `certification/authorization-api-1_0-scenario.md`).

use serde_json::{Value, json};

use crate::gateway::Gateway;
use crate::site::{Host, Served, folder, schema};

/// Section 1.4: who may do what.
const POLICY: &str = r#"
@id("read") @reason("both read")
permit (principal, action == Refmon::Action::"record/read@1", resource)
when {
    context.args has id && context.args.id == "record-1" &&
    (principal.user == Refmon::User::"local/alice" || principal.user == Refmon::User::"local/bob")
};

@id("write") @reason("alice writes what is not archived")
permit (principal, action == Refmon::Action::"record/write@1", resource)
when { principal.user == Refmon::User::"local/alice" }
unless {
    context.args has resource && context.args.resource has status && context.args.resource.status == "archived"
};

@id("admin") @reason("administrators write what is archived")
permit (principal, action == Refmon::Action::"record/write@1", resource)
when {
    context.args has subject && context.args.subject has role && context.args.subject.role == "admin" &&
    context.args has resource && context.args.resource has status && context.args.resource.status == "archived"
};

@id("delete") @reason("alice deletes softly")
permit (principal, action == Refmon::Action::"record/delete@1", resource)
when {
    principal.user == Refmon::User::"local/alice" &&
    context.args has action && context.args.action has soft && context.args.action.soft
};
"#;

/// Sections 1.1 and 1.2: subjects and resources.
const DIRECTORY: &str = r#"
[[subject]]
type = "user"
id = "alice"

[[subject]]
type = "user"
id = "bob"
properties = { role = "admin" }

[[resource]]
type = "record"
id = "record-1"
properties = { status = "active" }

[[resource]]
type = "record"
id = "record-2"
properties = { status = "archived" }
"#;

fn site() -> Gateway {
    let text = json!({ "type": "string" });
    let schema =
        schema(&json!({ "status": text }), &json!({ "soft": { "type": "boolean" } }), &json!({ "role": text }));
    let server = Served { name: "record", tools: &[("read", ""), ("write", ""), ("delete", "")], schema };
    Gateway::over(folder(&[server], POLICY, DIRECTORY, ""))
}

const EVALUATION: &str = "/access/v1/evaluation";
const EVALUATIONS: &str = "/access/v1/evaluations";

/// A question: who, what (with properties), on what (with properties).
fn question(subject: Value, action: Value, resource: Value) -> Value {
    json!({ "subject": subject, "action": action, "resource": resource })
}

fn user(id: &str) -> Value {
    json!({ "type": "user", "id": id })
}

fn admin() -> Value {
    json!({ "type": "user", "id": "bob", "properties": { "role": "admin" } })
}

fn act(name: &str) -> Value {
    json!({ "name": name })
}

fn soft(soft: bool) -> Value {
    json!({ "name": "delete", "properties": { "soft": soft } })
}

fn record(number: u8) -> Value {
    json!({ "type": "record", "id": format!("record-{number}") })
}

fn with_status(number: u8, status: &str) -> Value {
    json!({ "type": "record", "id": format!("record-{number}"), "properties": { "status": status } })
}

fn context() -> Value {
    json!({ "time": "2025-06-27T18:03-07:00", "ip": "192.168.1.1" })
}

/// The same with another member.
fn with(mut body: Value, name: &str, value: Value) -> Value {
    body[name] = value;
    body
}

/// The same without a member.
fn without(mut body: Value, name: &str) -> Value {
    body.as_object_mut().unwrap().remove(name);
    body
}

#[test]
fn section_1_4_and_2_every_mandated_decision_and_every_accepted_request() {
    let gateway = site();
    let host = Host::new(&gateway, "local", &["refmon:decide"]);
    let read = || question(user("alice"), act("read"), record(1));
    let cases = [
        ("1.4 rule 1, 2.2.1", read(), true),
        ("1.4 rule 2", question(user("alice"), act("write"), record(1)), true),
        ("1.4 rule 3", question(user("bob"), act("read"), record(1)), true),
        ("1.4 rule 4, 2.2.2", question(user("bob"), act("write"), record(1)), false),
        ("2.2.3", with(read(), "context", context()), true),
        ("1.4 rule 5, 2.2.4", question(user("alice"), act("write"), with_status(2, "archived")), false),
        ("1.4 rule 6, 2.2.5", question(admin(), act("write"), with_status(2, "archived")), true),
        ("1.4 rule 7, 2.2.6", question(user("alice"), soft(true), record(1)), true),
        ("1.4 rule 8, 2.2.7", question(user("alice"), soft(false), record(1)), false),
        (
            "2.2.8",
            question(
                json!({ "type": "user", "id": "alice", "properties": { "department": "Sales", "role": "manager" } }),
                json!({ "name": "read", "properties": { "method": "GET" } }),
                json!({ "type": "record", "id": "record-1", "properties": { "status": "active", "owner": "bob" } }),
            ),
            true,
        ),
        ("2.2.9", with(with(read(), "foo", json!("bar")), "futureField", json!({ "nested": true })), true),
        ("1.6, the directory has what the question leaves out", question(user("bob"), act("write"), record(2)), true),
        ("an unknown subject", question(user("nonexistent-user"), act("read"), record(1)), false),
        ("an unknown action", question(user("alice"), act("fly"), record(1)), false),
        ("an unknown type", question(user("alice"), act("read"), json!({ "type": "spaceship", "id": "1" })), false),
    ];
    for (section, body, expected) in &cases {
        let (status, answer) = host.post(EVALUATION, body);
        // 2.3.1 and 2.3.2: the form of the answer.
        assert_eq!((status, &answer["decision"]), (200, &json!(expected)), "{section}: {answer}");
        assert!(answer["context"].is_object(), "{section}: {answer}");
    }
    // 2.6: the same question again and again.
    for _ in 0..5 {
        assert!(host.decides(&read()));
    }
}

#[test]
fn section_2_4_what_is_wrong_is_a_bad_request() {
    let gateway = site();
    let host = Host::new(&gateway, "local", &["refmon:decide"]);
    let read = || question(user("alice"), act("read"), record(1));
    let cases = [
        ("2.4.1 subject", without(read(), "subject")),
        ("2.4.1 action", without(read(), "action")),
        ("2.4.1 resource", without(read(), "resource")),
        ("2.4.2 subject.type", with(read(), "subject", json!({ "id": "alice" }))),
        ("2.4.2 subject.id", with(read(), "subject", json!({ "type": "user" }))),
        ("2.4.2 action.name", with(read(), "action", json!({}))),
        ("2.4.2 resource.type", with(read(), "resource", json!({ "id": "record-1" }))),
        ("2.4.2 resource.id", with(read(), "resource", json!({ "type": "record" }))),
        ("2.4.6 subject", with(read(), "subject", json!("alice"))),
        ("2.4.6 action.name", with(read(), "action", json!({ "name": 123 }))),
    ];
    for (section, body) in &cases {
        let (status, problem) = host.post(EVALUATION, body);
        assert_eq!((status, &problem["status"]), (400, &json!(400)), "{section}: {problem}");
    }
    let plain = host.ask("POST", EVALUATION, &[("content-type", "text/plain")], &read().to_string());
    assert_eq!(plain.status, 400, "2.4.3: {plain:?}");
    for (section, body) in [("2.4.4", "{\"subject\":"), ("2.4.5", "")] {
        let answer = host.ask("POST", EVALUATION, &[], body);
        assert_eq!(answer.status, 400, "{section}: {answer:?}");
        assert_eq!(answer.headers["content-type"], "application/problem+json", "{section}");
    }
}

#[test]
fn section_2_5_and_5_headers() {
    let gateway = site();
    let host = Host::new(&gateway, "local", &["refmon:decide"]);
    let body = question(user("alice"), act("read"), record(1)).to_string();
    let number = "bfe9eb29-ab87-4ca3-be83-a1d5d8305716";
    let answer = host.ask("POST", EVALUATION, &[("x-request-id", number)], &body);
    assert_eq!((answer.status, answer.headers["x-request-id"].as_str()), (200, number), "2.5.1, 5");
    assert_eq!(answer.headers["content-type"], "application/json", "5");
    let wrong = host.ask("POST", EVALUATION, &[("x-request-id", number)], "{}");
    assert_eq!((wrong.status, wrong.headers["x-request-id"].as_str()), (400, number));
    let nobody = Host { gateway: &gateway, key: "refmon_00_00".to_owned() };
    let nobody = nobody.ask("POST", EVALUATION, &[("x-request-id", number)], &body);
    assert_eq!((nobody.status, nobody.headers["x-request-id"].as_str()), (401, number));
    assert_eq!(host.ask("POST", EVALUATION, &[], &body).headers.get("x-request-id"), None, "2.5.2");
    let parameters = host.ask("POST", EVALUATION, &[("content-type", "application/json; charset=utf-8")], &body);
    assert_eq!(parameters.status, 200);
}

/// The decisions on several questions, in their order.
fn decisions(host: &Host<'_>, section: &str, body: &Value) -> Vec<bool> {
    let (status, answer) = host.post(EVALUATIONS, body);
    assert_eq!(status, 200, "{section}: {answer}");
    assert!(answer.get("decision").is_none(), "3.3.4: {answer}");
    let listed = answer["evaluations"].as_array().unwrap_or_else(|| panic!("{section}: {answer}"));
    listed.iter().map(|one| one["decision"].as_bool().unwrap()).collect()
}

/// Sections 3.2 and 3.4.1: several questions in one request, and the decisions in their order.
fn several() -> Vec<(&'static str, Value, Vec<bool>)> {
    let archived = || with_status(2, "archived");
    vec![
        (
            "3.2.1",
            json!({ "subject": user("alice"), "action": act("read"), "evaluations": [
                { "resource": record(1) }, { "resource": record(2) },
            ]}),
            vec![true, false],
        ),
        (
            "3.2.2",
            json!({ "subject": user("bob"), "resource": record(1), "evaluations": [
                { "action": act("read") }, { "action": act("write") },
            ]}),
            vec![true, false],
        ),
        (
            "3.2.3",
            json!({ "subject": user("alice"), "action": act("write"), "evaluations": [
                { "resource": with_status(1, "active") }, { "resource": archived() },
            ]}),
            vec![true, false],
        ),
        (
            "3.2.4",
            json!({ "action": act("write"), "resource": archived(), "evaluations": [
                { "subject": user("alice") }, { "subject": admin() },
            ]}),
            vec![false, true],
        ),
        (
            "3.2.5",
            json!({ "evaluations": [
                question(user("alice"), act("read"), record(1)), question(user("bob"), act("write"), record(1)),
            ]}),
            vec![true, false],
        ),
        (
            "3.2.6",
            json!({ "subject": user("alice"), "action": act("read"), "context": { "time": "2025-06-27T18:03-07:00" },
                "evaluations": [
                    { "resource": record(1) },
                    { "resource": record(2), "context": { "time": "2025-06-27T19:00-07:00", "source": "batch-override" } },
                ],
            }),
            vec![true, false],
        ),
        (
            "3.2.7",
            json!({ "subject": user("alice"), "action": act("write"), "resource": with_status(1, "active"),
                "evaluations": [{}, { "resource": archived() }] }),
            vec![true, false],
        ),
        (
            "3.4.1",
            json!({ "subject": user("alice"), "action": act("read"), "options": { "evaluations_semantic": "execute_all" },
                "evaluations": [{ "resource": record(1) }, {}] }),
            vec![true, false],
        ),
    ]
}

#[test]
fn section_3_several_questions() {
    let gateway = site();
    let host = Host::new(&gateway, "local", &["refmon:decide"]);
    let cases = several();
    for (section, body, expected) in &cases {
        assert_eq!(&decisions(&host, section, body), expected, "{section}");
    }
    let failed = host.post(EVALUATIONS, &cases[7].1).1;
    assert_eq!(failed["evaluations"][1]["context"]["error"]["status"], 400, "3.4.1: {failed}");
    let read = question(user("alice"), act("read"), record(1));
    for (section, body) in [("3.4.2", read.clone()), ("3.4.3", with(read, "evaluations", json!([])))] {
        let (status, answer) = host.post(EVALUATIONS, &body);
        assert_eq!((status, &answer["decision"]), (200, &json!(true)), "{section}: {answer}");
        assert!(answer.get("evaluations").is_none(), "{section}: {answer}");
    }
}

#[test]
fn several_questions_end_where_their_semantic_says() {
    let gateway = site();
    let host = Host::new(&gateway, "local", &["refmon:decide"]);
    let three = |semantic: &str| {
        json!({ "subject": user("alice"), "options": { "evaluations_semantic": semantic }, "resource": record(1),
            "evaluations": [{ "action": act("read") }, { "action": soft(false) }, { "action": act("write") }] })
    };
    assert_eq!(decisions(&host, "execute_all", &three("execute_all")), [true, false, true]);
    assert_eq!(decisions(&host, "deny_on_first_deny", &three("deny_on_first_deny")), [true, false]);
    assert_eq!(decisions(&host, "permit_on_first_permit", &three("permit_on_first_permit")), [true]);
    assert_eq!(host.post(EVALUATIONS, &three("permit_all")).0, 400);
    let whole = json!({ "evaluations": "x", "subject": user("alice"), "action": act("read"), "resource": record(1) });
    assert_eq!(host.post(EVALUATIONS, &whole).0, 400);
}

#[test]
fn section_4_searches() {
    let gateway = site();
    let host = Host::new(&gateway, "local", &["refmon:decide"]);
    let kind = |name: &str| json!({ "type": name });
    let readers = || question(kind("user"), act("read"), record(1));
    let readable = || question(user("alice"), act("read"), kind("record"));
    let doable = || json!({ "subject": user("alice"), "resource": record(1) });
    let cases = [
        ("4.2.1", "subject", readers(), vec!["alice", "bob"]),
        ("4.2.2", "subject", with(readers(), "context", context()), vec!["alice", "bob"]),
        ("4.2.3", "subject", with(readers(), "subject", user("alice")), vec!["alice", "bob"]),
        ("4.2.4", "subject", question(kind("user"), act("write"), with_status(2, "archived")), vec!["bob"]),
        ("4.3.1", "resource", readable(), vec!["record-1"]),
        ("4.3.2", "resource", with(readable(), "context", context()), vec!["record-1"]),
        ("4.3.3", "resource", with(readable(), "resource", record(1)), vec!["record-1"]),
        ("4.3.4", "resource", question(admin(), act("write"), kind("record")), vec!["record-2"]),
        ("4.4.1", "action", doable(), vec!["read", "write"]),
        ("4.4.2", "action", with(doable(), "context", context()), vec!["read", "write"]),
        ("4.4.3", "action", json!({ "subject": admin(), "resource": with_status(2, "archived") }), vec!["write"]),
        ("4.6.1 action", "action", with(doable(), "subject", user("nonexistent-user")), vec![]),
        ("4.6.1 resource", "resource", with(readable(), "subject", user("nonexistent-user")), vec![]),
        ("4.6.1 subject", "subject", with(readers(), "resource", record(9)), vec![]),
        ("4.6.2 subject", "subject", with(readers(), "subject", kind("spaceship")), vec![]),
        ("4.6.2 resource", "resource", with(readable(), "resource", kind("spaceship")), vec![]),
        ("4.6.2 action", "action", with(doable(), "resource", json!({ "type": "spaceship", "id": "1" })), vec![]),
    ];
    for (section, what, body, expected) in &cases {
        assert_eq!(&host.finds(what, body), expected, "{section}");
    }
    let wrong = [
        ("4.7.1 subject", "subject", without(readers(), "action")),
        ("4.7.1 resource", "resource", without(readable(), "subject")),
        ("4.7.1 action", "action", without(doable(), "resource")),
        ("4.7.2 subject", "subject", with(readers(), "resource", kind("record"))),
        ("4.7.2 resource", "resource", with(readable(), "subject", kind("user"))),
        ("4.7.2 action", "action", with(doable(), "subject", kind("user"))),
    ];
    for (section, what, body) in &wrong {
        let (status, answer) = host.post(&format!("/access/v1/search/{what}"), body);
        assert_eq!(status, 400, "{section}: {answer}");
    }
}

#[test]
fn section_4_5_pages() {
    let gateway = site();
    let host = Host::new(&gateway, "local", &["refmon:decide"]);
    let search = |page: Value| {
        let body = with(question(json!({ "type": "user" }), act("read"), record(1)), "page", page);
        host.post("/access/v1/search/subject", &body)
    };
    let (status, first) = search(json!({ "limit": 1 }));
    assert_eq!((status, &first["results"]), (200, &json!([user("alice")])), "4.5.1: {first}");
    let token = first["page"]["next_token"].as_str().unwrap();
    assert!(!token.is_empty() && first["page"]["count"] == 1, "4.5.3: {first}");
    let (status, second) = search(json!({ "token": token }));
    assert_eq!((status, &second["results"]), (200, &json!([user("bob")])), "4.5.2: {second}");
    assert_eq!(second["page"]["next_token"], "", "4.5.2: {second}");
    // What is asked may not change between pages, and a token is of one search only.
    assert_eq!(search(json!({ "token": token, "limit": 1 })).0, 200);
    assert_eq!(search(json!({ "token": token, "limit": 2 })).0, 400);
    assert_eq!(search(json!({ "token": format!("A{token}") })).0, 400);
    let other = with(question(json!({ "type": "user" }), act("write"), record(1)), "page", json!({ "token": token }));
    assert_eq!(host.post("/access/v1/search/subject", &other).0, 400);
    assert_eq!(search(json!({ "limit": -1 })).0, 400);
    let all = host.post("/access/v1/search/subject", &question(json!({ "type": "user" }), act("read"), record(1))).1;
    assert!(all.get("page").is_none() && all["results"].as_array().unwrap().len() == 2, "{all}");
}

#[test]
fn section_6_the_metadata_needs_no_credential() {
    let gateway = site();
    let nobody = |method: &str, host: &str| {
        let request = format!(
            "{method} /.well-known/authzen-configuration HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"
        );
        gateway.raw(request.as_bytes())
    };
    let own = format!("localhost:{}", gateway.port);
    let answer = nobody("GET", &own);
    assert_eq!((answer.status, answer.headers["content-type"].as_str()), (200, "application/json"), "6.2");
    let value: Value = serde_json::from_str(&answer.body).unwrap();
    let origin = format!("http://{own}");
    assert_eq!(value["policy_decision_point"], json!(origin), "6.3, 6.5");
    for (member, path) in [
        ("access_evaluation_endpoint", "/access/v1/evaluation"),
        ("access_evaluations_endpoint", "/access/v1/evaluations"),
        ("search_subject_endpoint", "/access/v1/search/subject"),
        ("search_resource_endpoint", "/access/v1/search/resource"),
        ("search_action_endpoint", "/access/v1/search/action"),
    ] {
        assert_eq!(value[member], json!(format!("{origin}{path}")), "6.4");
    }
    assert_eq!(nobody("POST", &own).status, 405);
    assert_eq!(nobody("GET", "evil.example").status, 403);
    assert_eq!(nobody("GET", &own).headers.get("www-authenticate"), None);
}

#[test]
fn the_metadata_has_the_origin_that_the_operator_says() {
    let server = Served { name: "record", tools: &[("read", "")], schema: json!({ "type": "object" }) };
    let gateway = Gateway::over(folder(&[server], POLICY_NONE, "", "origin = \"https://gate.example\""));
    let request = format!(
        "GET /.well-known/authzen-configuration HTTP/1.1\r\nhost: localhost:{}\r\nconnection: close\r\n\r\n",
        gateway.port
    );
    let answer = gateway.raw(request.as_bytes());
    let value: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(value["access_evaluation_endpoint"], "https://gate.example/access/v1/evaluation");
}

const POLICY_NONE: &str = r#"@id("none") @reason("nothing") forbid (principal, action, resource);"#;
