//! The profiles of OpenID AuthZEN: obligations, access requests, tools of MCP servers; and the document that describes all.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::gateway::{Gateway, KEYS, folder};
use crate::site::Host;

const EVALUATION: &str = "/access/v1/evaluation";

const POLICY: &str = r#"
@id("all") @reason("all is permitted")
permit (principal, action, resource);

@id("silent") @reason("what this says is for nobody") @obligation("withhold_output")
forbid (principal, action == Refmon::Action::"one/ask@1", resource)
unless { context.granted.contains("withhold_output") };

@id("person") @reason("canary of the policy") @approval("operator")
forbid (principal, action == Refmon::Action::"one/wait@1", resource)
unless { context.granted.contains("approval:operator") };
"#;

fn site(servers: &[(&str, &str)], extra: &str) -> Gateway {
    let folder = folder(servers, &format!("{KEYS}\n{extra}"));
    if servers.len() == 1 {
        fs::write(folder.path().join("policies/all.cedar"), POLICY).unwrap();
    }
    Gateway::over(folder)
}

/// A question about a tool of an MCP server, as the COAZ binding for MCP has it, with what the host has seen.
fn tool(gateway: &Gateway, id: &str, arguments: Value) -> Value {
    let (server, name) = id.split_once("__").unwrap_or(("one", id));
    let text = fs::read_to_string(gateway.folder().join(format!("contracts/{server}.definitions.json"))).unwrap();
    let known: Value = serde_json::from_str(&text).unwrap();
    let definition = known["tools"].as_array().unwrap().iter().find(|one| one["name"] == name).cloned();
    json!({
        "subject": { "type": "identity", "id": "ada" },
        "action": { "name": "tools/call", "properties": { "arguments": arguments } },
        "resource": { "type": "tool", "id": id, "properties": { "definition": definition.unwrap_or(json!({})) } },
        "context": { "agent": "http://agentprovider.example/app" },
    })
}

fn reason(host: &Host<'_>, body: &Value) -> String {
    let (status, answer) = host.post(EVALUATION, body);
    assert_eq!(status, 200, "{answer}");
    answer["context"]["reason"].as_str().unwrap().to_owned()
}

#[test]
fn a_tool_is_asked_for_by_the_name_that_mcp_lists() {
    let gateway = site(&[("one", "modern")], "");
    let host = Host::new(&gateway, "local", &["one:use", "refmon:decide"]);
    let echo = tool(&gateway, "echo", json!({ "text": "x" }));
    assert_eq!(reason(&host, &echo), "permitted");
    let id = host.post(EVALUATION, &echo).1["context"]["evaluation_id"].as_str().unwrap().to_owned();
    let attempt = gateway.command(&["audit", "show", &id])[0].clone();
    assert_eq!(
        (&attempt["server"], &attempt["asked"], &attempt["agent"], &attempt["argument_bytes"]),
        (&json!("one"), &json!("echo@1"), &json!("http://agentprovider.example/app"), &json!(r#"{"text":"x"}"#.len())),
        "{attempt}"
    );
    let change = |change: &dyn Fn(&mut Value)| {
        let mut body = echo.clone();
        change(&mut body);
        reason(&host, &body)
    };
    assert_eq!(change(&|body| body["resource"]["properties"] = json!({})), "tool.quarantined");
    assert_eq!(change(&|body| body["resource"]["properties"]["definition"]["title"] = json!("x")), "tool.quarantined");
    assert_eq!(change(&|body| body["resource"]["properties"]["server"] = json!("one")), "permitted");
    assert_eq!(change(&|body| body["resource"]["properties"]["server"] = json!("two")), "tool.unknown");
    assert_eq!(change(&|body| body["resource"]["id"] = json!("one__echo")), "tool.unknown");
    assert_eq!(change(&|body| body["action"]["name"] = json!("tools/list")), "tool.unknown");
    assert_eq!(change(&|body| body["action"]["properties"]["arguments"] = json!({ "text": 1 })), "arguments.schema");
    assert_eq!(change(&|body| drop(body["action"].as_object_mut().unwrap().remove("properties"))), "permitted");
    let gateway = site(&[("one", "modern"), ("two", "modern")], "");
    let host = Host::new(&gateway, "local", &["one:use", "two:use", "refmon:decide"]);
    assert_eq!(reason(&host, &tool(&gateway, "two__echo", json!({ "text": "x" }))), "permitted");
    assert_eq!(reason(&host, &tool(&gateway, "echo", json!({ "text": "x" }))), "tool.unknown");
    // What a host says of a server that lists its tools itself is no listing.
    let direct = json!({ "subject": { "type": "user", "id": "ada" }, "action": { "name": "echo" },
        "resource": { "type": "one", "id": "1" } });
    assert_eq!(reason(&host, &direct), "tool.quarantined");
}

#[test]
fn an_obligation_is_given_to_a_host_that_can_carry_it_out_and_denies_any_other() {
    let gateway = site(&[("one", "modern")], "");
    let host = Host::new(&gateway, "local", &["one:use", "refmon:decide"]);
    let with = |supported: Value| {
        let mut body = tool(&gateway, "ask", json!({ "text": "x" }));
        body["context"]["supported_obligations"] = supported;
        host.post(EVALUATION, &body).1
    };
    for supported in [Value::Null, json!([]), json!(["step-up", "notification"])] {
        let answer = with(supported);
        assert_eq!(
            (&answer["decision"], &answer["context"]["reason"]),
            (&json!(false), &json!("policy.obligation-unsupported")),
            "{answer}"
        );
        assert!(answer["context"].get("obligations").is_none(), "{answer}");
    }
    for supported in [json!(["custom"]), json!(["withhold_output"])] {
        let answer = with(supported);
        assert_eq!(answer["decision"], true, "{answer}");
        let expected = json!([{ "id": "obligation-1", "type": "custom",
            "properties": { "vendor": "refmon.dev", "obligation": "withhold_output" } }]);
        assert_eq!(answer["context"]["obligations"], expected);
    }
    let call = |supported: Value| {
        let seen = tool(&gateway, "ask", json!({}));
        let body = json!({ "server": "one", "tool": "ask", "arguments": { "text": "x" },
            "definition": seen["resource"]["properties"]["definition"], "supported_obligations": supported });
        host.post("/v1/calls", &body).1
    };
    assert_eq!(call(json!([]))["reason"], "policy.obligation-unsupported");
    let permitted = call(json!(["withhold_output"]));
    assert_eq!(permitted["obligations"][0]["properties"]["obligation"], "withhold_output");
    let id = permitted["call"].as_str().unwrap();
    assert_eq!(host.post(&format!("/v1/calls/{id}/outcome"), &json!({ "status": "ok", "result": 1 })).0, 200);
    assert_eq!(gateway.command(&["audit", "show", id])[1]["released"], false);
}

#[test]
fn a_hold_is_a_denial_that_a_person_can_lift_once() {
    let gateway = site(&[("one", "modern")], "[access]\norigin = \"https://gate.example\"");
    let host = Host::new(&gateway, "local", &["one:use", "refmon:decide"]);
    let body = tool(&gateway, "wait", json!({ "text": "x" }));
    let (_, answer) = host.post(EVALUATION, &body);
    let context = &answer["context"];
    assert_eq!((&answer["decision"], &context["reason"]), (&json!(false), &json!("hold.policy")), "{answer}");
    let (request, verdict) = (&context["access_request"], &context["refmon.dev/verdict"]);
    let hold = request["task"]["id"].as_str().unwrap();
    assert_eq!(request["task"]["status_endpoint"], json!(format!("https://gate.example/v1/holds/{hold}")));
    assert_eq!(
        (&request["task"]["status"], &request["expires_at"]),
        (&json!("pending"), &request["task"]["expires_at"])
    );
    assert_eq!((&verdict["decision"], &verdict["approvals"]), (&json!("hold"), &json!(["operator"])));
    assert_eq!(verdict["hold"], json!(hold), "as MCP clients get it");
    assert_eq!(verdict["remedies"], json!(["await_approval"]));
    assert!(!answer.to_string().contains("canary") && !answer.to_string().contains("person\""), "{answer}");
    let again = host.post(EVALUATION, &body).1;
    assert_eq!(again["context"]["access_request"], *request, "the same question waits for the same person");

    gateway.command(&["holds", "approve", hold]);
    // Another host's, another subject's and another argument's question is another one.
    let other = Host::named(&gateway, "other", "local", &["one:use", "refmon:decide"]);
    assert_eq!(reason(&other, &body), "hold.policy");
    let mut changed = body.clone();
    changed["subject"]["id"] = json!("bob");
    assert_eq!(reason(&host, &changed), "hold.policy");
    assert_eq!(reason(&host, &body), "approved");
    assert_eq!(reason(&host, &body), "hold.policy", "an approval is for one call");
}

#[test]
fn a_held_call_of_a_host_is_approved_for_that_very_call_and_runs_once() {
    let gateway = site(&[("one", "modern")], "");
    let host = Host::new(&gateway, "local", &["one:use"]);
    let seen = tool(&gateway, "wait", json!({}));
    let body = json!({ "server": "one", "tool": "wait", "arguments": { "text": "x" },
        "definition": seen["resource"]["properties"]["definition"] });
    let (status, held) = host.post("/v1/calls", &body);
    assert_eq!((status, &held["decision"], &held["approvals"]), (201, &json!("hold"), &json!(["operator"])), "{held}");
    assert!(held.get("outcome").is_none(), "{held}");
    let hold = held["hold"]["id"].as_str().unwrap();
    assert_eq!(held["hold"]["status_endpoint"], json!(format!("/v1/holds/{hold}")));
    let id = held["call"].as_str().unwrap();
    assert_eq!(host.post(&format!("/v1/calls/{id}/outcome"), &json!({ "status": "ok" })).0, 404, "it does not run");
    gateway.command(&["holds", "approve", hold]);
    let (_, permitted) = host.post("/v1/calls", &body);
    assert_eq!((&permitted["decision"], &permitted["reason"]), (&json!("permit"), &json!("approved")), "{permitted}");
    let id = permitted["call"].as_str().unwrap();
    assert_eq!(host.post(&format!("/v1/calls/{id}/outcome"), &json!({ "status": "ok" })).0, 200);
    assert_eq!(host.post("/v1/calls", &body).1["decision"], "hold");
}

#[test]
fn the_document_is_what_the_tables_say_and_what_is_served() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/openapi.json");
    let text = format!("{:#}\n", refmon_server::openapi::document());
    if std::env::var_os("REFMON_BLESS").is_some() {
        fs::write(&path, &text).unwrap();
    }
    assert!(fs::read_to_string(&path).unwrap_or_default() == text, "refresh it with REFMON_BLESS=1 and read the diff");
    let gateway = site(&[("one", "modern")], "");
    let host = Host::new(&gateway, "local", &["refmon:decide", "refmon:halt"]);
    let served = host.ask("GET", "/v1/openapi.json", &[], "");
    let document: Value = serde_json::from_str(&served.body).unwrap();
    assert_eq!((served.status, &document), (200, &serde_json::from_str(&text).unwrap()));
    // Every path is answered by somebody, and every reference leads somewhere.
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let answer =
                host.ask(&method.to_uppercase(), &path.replace("{call}", "x").replace("{hold}", "x"), &[], "{}");
            assert!(
                !matches!(answer.status, 405 | 500..) && answer.body != "there is nothing here",
                "{path}: {answer:?}"
            );
        }
    }
    for reference in text.split("#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(document["components"]["schemas"][name].is_object(), "{name}");
    }
}
