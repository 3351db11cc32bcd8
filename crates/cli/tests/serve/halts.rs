//! `/v1/halts`: the kill switch by API.

use serde_json::{Value, json};

use crate::gateway::{Answer, Gateway, KEYS, LOCAL, refmon};

fn key(gateway: &Gateway, tenant: &str, scopes: &[&str]) -> String {
    let mut arguments = vec!["key", "add", "--user", "ada", "--tenant", tenant];
    arguments.extend(scopes.iter().flat_map(|scope| ["--scope", scope]));
    gateway.command(&arguments)["key"].as_str().unwrap().to_owned()
}

fn api(gateway: &Gateway, key: Option<&str>, method: &str, path: &str, extra: &[(&str, &str)], body: &str) -> Answer {
    let bearer = key.map(|key| format!("Bearer {key}"));
    let mut headers: Vec<(&str, &str)> = extra.to_vec();
    headers.extend(bearer.iter().map(|value| ("authorization", value.as_str())));
    let request = gateway.written(method, &headers, body).replacen(" /mcp ", &format!(" {path} "), 1);
    gateway.raw(request.as_bytes())
}

fn call(gateway: &Gateway, key: &str) -> String {
    let answer = gateway.modern(Some(key), "tools/call", json!({ "name": "echo", "arguments": { "text": "x" } }));
    let reason = answer.last()["result"]["_meta"]["refmon.dev/verdict"]["reason"].as_str().map(str::to_owned);
    reason.unwrap_or_else(|| answer.text())
}

fn value(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("{answer:?}"))
}

// Found here: what an agent said after a halt reached the server that had asked before it.
#[test]
fn after_a_halt_no_answer_reaches_a_server_that_asked_before() {
    let gateway = Gateway::start(&[("one", "legacy")], LOCAL);
    let session = gateway.begin_able(None, &json!({ "elicitation": {} }));
    let headers = [("mcp-session-id", session.as_str())];
    let mut stream = gateway.stream("POST", &headers, &crate::gateway::call("ask", json!({})));
    let question = stream.next().unwrap();
    assert_eq!(question["method"], "elicitation/create", "{question}");
    gateway.command(&["halt", "--reason", "enough"]);
    let content = json!({ "name": "canary" });
    let answer =
        json!({ "jsonrpc": "2.0", "id": question["id"], "result": { "action": "accept", "content": content } });
    assert_eq!(gateway.within(&session, None, &answer.to_string()).status, 202);
    let last = stream.last().unwrap().to_string();
    assert!(!last.contains("canary") && !json!(gateway.log("one")).to_string().contains("canary"), "{last}");
}

#[test]
fn a_halt_by_the_api_stops_the_tenants_calls_until_it_is_ended() {
    let gateway = Gateway::start(&[("one", "modern")], KEYS);
    let (own, other) = (key(&gateway, "local", &["refmon:halt", "one:use"]), key(&gateway, "other", &["one:use"]));
    let ask = |method, path, body| api(&gateway, Some(&own), method, path, &[], body);
    assert_eq!(value(&ask("GET", "/v1/halts", "")), json!({ "halts": [] }));
    let made = ask("POST", "/v1/halts", r#"{"reason":"canary"}"#);
    assert_eq!((made.status, value(&made)), (201, json!({ "id": "tenant", "halted": true, "changed": true })));
    let again = ask("POST", "/v1/halts", "{}");
    assert_eq!((again.status, value(&again)["changed"].clone()), (200, json!(false)));
    assert_eq!((call(&gateway, &own).as_str(), call(&gateway, &other).as_str()), ("authority.halted", "x"));
    let listed = value(&ask("GET", "/v1/halts", ""));
    assert_eq!((&listed["halts"][0]["reason"], &listed["halts"][0]["by"]), (&json!("canary"), &json!("ada")));
    assert_eq!(listed["halts"].as_array().unwrap().len(), 1);
    let ended = ask("DELETE", "/v1/halts/tenant", "");
    assert_eq!((ended.status, value(&ended)), (200, json!({ "id": "tenant", "halted": false, "changed": true })));
    assert_eq!(call(&gateway, &own), "x");
    assert_eq!(value(&ask("DELETE", "/v1/halts/tenant", ""))["changed"], false);

    // The operator's halt is seen, says nothing of its own, and is not the API's to end.
    gateway.command(&["halt", "--reason", "of the operator"]);
    assert_eq!(value(&ask("GET", "/v1/halts", "")), json!({ "halts": [{ "id": "operator" }] }));
    assert_eq!(ask("DELETE", "/v1/halts/operator", "").status, 403);
    assert_eq!(value(&ask("DELETE", "/v1/halts/tenant", ""))["halted"], true);
    assert_eq!(call(&gateway, &own), "authority.halted");

    let out = refmon(gateway.folder(), &["--json", "audit", "search", "--kind", "act"]).output().unwrap();
    let acts: Vec<Value> = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(acts.len(), 2, "{acts:?}");
    assert!(acts.iter().all(|act| act["tenant"] == "local" && act["identity"] == "api-key"), "{acts:?}");
    assert!(!format!("{acts:?}").contains("canary"));
}

#[test]
fn without_the_scope_and_of_another_tenant_the_answer_is_one_and_the_same() {
    let gateway = Gateway::start(&[("one", "modern")], KEYS);
    let (bare, own) = (key(&gateway, "local", &["one:use"]), key(&gateway, "local", &["refmon:halt"]));
    gateway.command(&["halt", "--tenant", "other"]);
    let foreign = api(&gateway, Some(&own), "DELETE", "/v1/halts/other", &[], "");
    assert_eq!((foreign.status, foreign.headers["content-type"].as_str()), (403, "application/problem+json"));
    for (key, method, path) in [
        (&own, "DELETE", "/v1/halts/missing"),
        (&own, "DELETE", "/v1/halts/"),
        (&own, "DELETE", "/v1/halts/tenant/"),
        (&own, "GET", "/v1/halts/other"),
        (&bare, "DELETE", "/v1/halts/other"),
        (&bare, "DELETE", "/v1/halts/tenant"),
        (&bare, "GET", "/v1/halts"),
        (&bare, "POST", "/v1/halts"),
    ] {
        assert_eq!(api(&gateway, Some(key), method, path, &[], "{}"), foreign, "{method} {path}");
    }
    assert_eq!(gateway.command(&["resume", "--tenant", "other"])["changed"], true, "it was not ended by anybody");
    assert_eq!(call(&gateway, &bare), "x", "and none began");
}

#[test]
fn a_request_that_is_not_in_order_halts_nothing() {
    let gateway = Gateway::start(&[("one", "modern")], KEYS);
    let own = key(&gateway, "local", &["refmon:halt", "one:use"]);
    let long = format!(r#"{{"reason":"{}"}}"#, "x".repeat(1_025));
    let large = format!("{{{}}}", " ".repeat(16 * 1024));
    for (body, extra, status) in [
        ("", &[][..], 400),
        ("null", &[], 400),
        ("[]", &[], 400),
        (r#"{"reason":"a","reason":"b"}"#, &[], 400),
        (r#"{"reason":1}"#, &[], 400),
        (r#"{"tenant":"other"}"#, &[], 400),
        (r#"{"reason":"a"} x"#, &[], 400),
        (long.as_str(), &[], 400),
        (large.as_str(), &[], 413),
        ("{}", &[("content-type", "text/plain")], 415),
        ("{}", &[("content-type", "application/x-www-form-urlencoded")], 415),
        ("{}", &[("origin", "http://evil.example")], 403),
        ("{}", &[("host", "evil.example")], 403),
    ] {
        let answer = api(&gateway, Some(&own), "POST", "/v1/halts", extra, body);
        assert_eq!(answer.status, status, "{body:.40} {extra:?}: {answer:?}");
        if matches!(status, 400 | 415) {
            let problem = value(&answer);
            assert_eq!(answer.headers["content-type"], "application/problem+json");
            assert_eq!((&problem["status"], &problem["type"]), (&json!(status), &json!("about:blank")), "{problem}");
        }
    }
    for credential in [None, Some("refmon_00_00")] {
        let answer = api(&gateway, credential, "POST", "/v1/halts", &[], "{}");
        assert_eq!(answer.status, 401, "{answer:?}");
    }
    assert_eq!(api(&gateway, Some(&own), "PUT", "/v1/halts", &[], "{}").headers["allow"], "GET, POST");
    assert_eq!(api(&gateway, Some(&own), "GET", "/v1/nothing", &[], "").status, 404);
    assert_eq!(api(&gateway, None, "GET", "/nothing", &[], "").status, 404);
    assert_eq!(call(&gateway, &own), "x");
}
