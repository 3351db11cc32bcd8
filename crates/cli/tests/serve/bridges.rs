//! A client of one era and a server of the other.

use std::io::{BufRead as _, BufReader, Write as _};

use serde_json::{Value, json};

use crate::gateway::{Gateway, KEYS, LOCAL, call, modern, request};

/// A newer client's call, with more members of its parameters.
fn ask(gateway: &Gateway, key: Option<&str>, arguments: Value, more: &[(&str, &Value)]) -> Value {
    let mut params = json!({ "name": "ask", "arguments": arguments });
    more.iter().for_each(|(name, value)| params[*name] = (*value).clone());
    gateway.modern(key, "tools/call", params).last()
}

#[test]
fn a_newer_client_lists_and_calls_an_older_server() {
    let gateway = Gateway::start(&[("one", "legacy")], LOCAL);
    let discovered = gateway.modern(None, "server/discover", json!({})).last()["result"].clone();
    assert_eq!(discovered["supportedVersions"], json!(["2026-07-28"]));
    assert_eq!(discovered["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "era");
    let listed = gateway.modern(None, "tools/list", json!({})).last()["result"].clone();
    assert_eq!((&listed["resultType"], &listed["cacheScope"]), (&json!("complete"), &json!("private")), "{listed}");
    assert_eq!(listed["tools"].as_array().unwrap().len(), 3);
    let answer = gateway.modern(None, "tools/call", json!({ "name": "echo", "arguments": { "text": "x" } }));
    assert_eq!((answer.text().as_str(), &answer.last()["result"]["resultType"]), ("x", &json!("complete")));
}

#[test]
fn an_older_servers_question_reaches_a_newer_client_and_its_answer_the_very_call() {
    let gateway = Gateway::start(&[("one", "legacy")], LOCAL);
    let asked = ask(&gateway, None, json!({}), &[])["result"].clone();
    assert_eq!(asked["resultType"], "input_required", "{asked}");
    let (name, question) = asked["inputRequests"].as_object().unwrap().iter().next().unwrap();
    assert_eq!(question["method"], "elicitation/create");
    assert_eq!(question["params"]["message"], "Who are you?");
    let answers = json!({ name: { "action": "accept", "content": { "name": "ada" } } });
    let retry = [("inputResponses", &answers), ("requestState", &asked["requestState"])];
    let answer = ask(&gateway, None, json!({}), &retry);
    assert_eq!(answer["result"]["content"][0]["text"], "hello ada", "{answer}");
    assert_eq!(answer["result"]["resultType"], "complete");
    assert_eq!(gateway.log("one").len(), 1, "the call ran once");
    let again = ask(&gateway, None, json!({}), &retry);
    assert_eq!(again["error"]["code"], -32602, "a handle is good for one retry: {again}");
    assert_eq!(gateway.log("one").len(), 1);
}

#[test]
fn a_handle_is_its_callers_and_its_requests_alone() {
    let gateway = Gateway::start(&[("one", "legacy")], KEYS);
    let ((_, ada), (_, bob), (_, other)) =
        (gateway.key("ada", "acme"), gateway.key("bob", "acme"), gateway.key("ada", "other"));
    let asked = ask(&gateway, Some(&ada), json!({ "text": "a" }), &[])["result"].clone();
    let name = asked["inputRequests"].as_object().unwrap().keys().next().unwrap().clone();
    let answers = json!({ name: { "action": "accept", "content": { "name": "mallory" } } });
    let state = asked["requestState"].as_str().unwrap();
    let changed =
        json!(format!("{}{}", state.get(..state.len() - 1).unwrap(), if state.ends_with('0') { '1' } else { '0' }));
    for (key, arguments, state) in [
        (&bob, json!({ "text": "a" }), &asked["requestState"]),
        (&other, json!({ "text": "a" }), &asked["requestState"]),
        (&ada, json!({ "text": "b" }), &asked["requestState"]),
        (&ada, json!({ "text": "a" }), &changed),
        (&ada, json!({ "text": "a" }), &json!("refmon-")),
        (&ada, json!({ "text": "a" }), &json!(7)),
    ] {
        let answer = ask(&gateway, Some(key), arguments, &[("inputResponses", &answers), ("requestState", state)]);
        assert_eq!(answer["error"]["code"], -32602, "{answer}");
    }
    let retry = [("inputResponses", &answers), ("requestState", &asked["requestState"])];
    let answer = ask(&gateway, Some(&ada), json!({ "text": "a" }), &retry);
    assert_eq!(answer["result"]["content"][0]["text"], "hello mallory", "its own caller can still answer: {answer}");
}

#[test]
fn a_question_that_the_client_cannot_answer_is_refused_to_the_server() {
    let gateway = Gateway::start(&[("one", "legacy")], LOCAL);
    let (headers, body) = modern("tools/call", json!({ "name": "ask", "arguments": {} }));
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let unable = body.replace(
        r#""io.modelcontextprotocol/clientCapabilities":{"elicitation":{}}"#,
        r#""io.modelcontextprotocol/clientCapabilities":{}"#,
    );
    assert_ne!(unable, body);
    assert_eq!(gateway.ask("POST", &headers, &unable).text(), "nobody answers");
}

#[test]
fn an_older_client_calls_a_newer_server_and_answers_its_questions() {
    let gateway = Gateway::start(&[("one", "modern")], LOCAL);
    let session = gateway.begin(None);
    let listed = gateway.within(&session, None, &request("tools/list", json!({}))).last();
    assert_eq!(listed["result"]["tools"].as_array().unwrap().len(), 3);
    assert_eq!(gateway.within(&session, None, &call("echo", json!({ "text": "x" }))).text(), "x");
    assert_eq!(gateway.within(&session, None, &request("ping", json!({}))).last()["result"], json!({}));
    let mut stream = gateway.connect();
    let headers = [("mcp-session-id", session.as_str())];
    stream.write_all(gateway.written("POST", &headers, &call("ask", json!({}))).as_bytes()).unwrap();
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    let mut data = move || -> Value {
        let line = lines.find(|line| line.starts_with("data: ")).expect("the stream goes on");
        serde_json::from_str(line.trim_start_matches("data: ")).unwrap()
    };
    let question = data();
    assert_eq!(question["method"], "elicitation/create", "{question}");
    let answer = json!({
        "jsonrpc": "2.0", "id": question["id"],
        "result": { "action": "accept", "content": { "name": "ada" } },
    });
    assert_eq!(gateway.within(&session, None, &answer.to_string()).status, 202);
    assert_eq!(data()["result"]["content"][0]["text"], "hello ada");
}

#[test]
fn servers_of_both_eras_stand_behind_one_endpoint() {
    let gateway = Gateway::start(&[("one", "legacy"), ("two", "modern")], LOCAL);
    let session = gateway.begin(None);
    for (name, text) in [("one__echo", "a"), ("two__echo", "b")] {
        assert_eq!(gateway.within(&session, None, &call(name, json!({ "text": text }))).text(), text, "{name}");
        let params = json!({ "name": name, "arguments": { "text": text } });
        assert_eq!(gateway.modern(None, "tools/call", params).text(), text, "{name}");
    }
    let listed = gateway.modern(None, "tools/list", json!({})).last();
    assert_eq!(listed["result"]["tools"].as_array().unwrap().len(), 6, "{listed}");
    let listed = gateway.within(&session, None, &request("tools/list", json!({}))).last();
    assert_eq!(listed["result"]["tools"].as_array().unwrap().len(), 6, "{listed}");
}
