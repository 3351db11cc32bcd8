//! A client from 2026-07-28 on in front of a server up to 2025-11-25: every method that both eras have.

use serde_json::{Value, json};

use crate::gateway::{Gateway, KEYS, LOCAL};

const ABLE: &str = "io.modelcontextprotocol/clientCapabilities";

/// The result of a request that both eras have.
fn result(gateway: &Gateway, method: &str, params: Value) -> Value {
    let answer = gateway.modern(None, method, params).last();
    assert_eq!(answer["result"]["resultType"], "complete", "{method}: {answer}");
    answer["result"].clone()
}

/// All pages of a list, and how many there were.
fn pages(gateway: &Gateway, method: &str, key: &str) -> (Vec<Value>, usize) {
    let (mut found, mut cursor, mut count) = (Vec::new(), None::<Value>, 0);
    loop {
        let params = cursor.take().map_or_else(|| json!({}), |cursor| json!({ "cursor": cursor }));
        let page = result(gateway, method, params);
        assert_eq!((&page["ttlMs"], &page["cacheScope"]), (&json!(0), &json!("private")), "{method}: {page}");
        found.extend(page[key].as_array().unwrap().iter().cloned());
        count += 1;
        match page.get("nextCursor") {
            Some(next) => cursor = Some(next.clone()),
            None => return (found, count),
        }
    }
}

fn named(items: &[Value]) -> Vec<&str> {
    items.iter().map(|item| item["name"].as_str().unwrap()).collect()
}

#[test]
fn a_newer_client_has_an_older_servers_lists_resources_prompts_and_completions() {
    let gateway = Gateway::start(&[("one", "full legacy")], LOCAL);
    let (tools, count) = pages(&gateway, "tools/list", "tools");
    assert_eq!((tools.len(), count), (9, 3));
    let (resources, count) = pages(&gateway, "resources/list", "resources");
    assert_eq!((named(&resources), count), (vec!["a", "b"], 2));
    assert_eq!(named(&pages(&gateway, "resources/templates/list", "resourceTemplates").0), ["any"]);
    assert_eq!(named(&pages(&gateway, "prompts/list", "prompts").0), ["greet", "leave"]);
    let read = result(&gateway, "resources/read", json!({ "uri": "mem://a" }));
    assert_eq!(read["contents"][0]["text"], "text of mem://a");
    let missing = gateway.modern(None, "resources/read", json!({ "uri": "mem://none" })).last();
    assert_eq!(missing["error"]["code"], -32602, "{missing}");
    let prompt = result(&gateway, "prompts/get", json!({ "name": "greet", "arguments": { "whom": "ada" } }));
    assert_eq!(prompt["messages"][0]["content"]["text"], "greet ada");
    let reference =
        json!({ "ref": { "type": "ref/prompt", "name": "greet" }, "argument": { "name": "whom", "value": "a" } });
    assert_eq!(result(&gateway, "completion/complete", reference)["completion"]["values"], json!(["a!"]));
}

#[test]
fn pages_of_several_servers_of_both_eras_are_one_list() {
    let gateway = Gateway::start(&[("one", "full legacy"), ("two", "full modern")], LOCAL);
    let (tools, count) = pages(&gateway, "tools/list", "tools");
    let names = named(&tools);
    assert_eq!((names.len(), count), (18, 3), "{names:?}");
    assert!(names.contains(&"one__change") && names.contains(&"two__change"), "{names:?}");
    let (prompts, count) = pages(&gateway, "prompts/list", "prompts");
    assert_eq!((named(&prompts), count), (vec!["one__greet", "two__greet", "one__leave", "two__leave"], 2));
    let prompt = result(&gateway, "prompts/get", json!({ "name": "two__leave", "arguments": { "whom": "bob" } }));
    assert_eq!(prompt["messages"][0]["content"]["text"], "leave bob");
    for cursor in [json!("x"), json!("eyJ0aHJlZSI6IjEifQ"), json!("e30x")] {
        let answer = gateway.modern(None, "tools/list", json!({ "cursor": cursor })).last();
        assert_eq!(answer["error"]["code"], -32602, "{cursor}: {answer}");
    }
}

#[test]
fn an_older_server_can_ask_a_newer_client_for_a_sample_an_answer_a_visit_and_its_roots() {
    let gateway = Gateway::start(&[("one", "full legacy")], LOCAL);
    let able = json!({ "sampling": {}, "roots": {}, "elicitation": { "form": {}, "url": {} } });
    for (tool, method, answer, text) in [
        (
            "sample",
            "sampling/createMessage",
            json!({ "role": "assistant", "model": "m", "content": { "type": "text", "text": "hi" } }),
            "sampled hi",
        ),
        ("elicit", "elicitation/create", json!({ "action": "accept", "content": { "name": "ada" } }), "hello ada"),
        ("elicit", "elicitation/create", json!({ "action": "decline" }), "decline"),
        ("visit", "elicitation/create", json!({ "action": "accept" }), "visited accept"),
        ("roots", "roots/list", json!({ "roots": [{ "uri": "file:///w" }] }), "roots file:///w"),
    ] {
        let call = |more: &[(&str, Value)]| {
            let mut params = json!({ "name": tool, "arguments": {}, "_meta": { ABLE: able } });
            more.iter().for_each(|(name, value)| params[*name] = value.clone());
            gateway.modern(None, "tools/call", params).last()["result"].clone()
        };
        let asked = call(&[]);
        assert_eq!(asked["resultType"], "input_required", "{tool}: {asked}");
        let (key, question) = asked["inputRequests"].as_object().unwrap().iter().next().unwrap();
        assert_eq!(question["method"], method);
        if tool == "visit" {
            assert_eq!(question["params"]["url"], "https://example.com/in");
        }
        let got = call(&[("inputResponses", json!({ key: answer })), ("requestState", asked["requestState"].clone())]);
        assert_eq!(
            (&got["content"][0]["text"], &got["resultType"]),
            (&json!(text), &json!("complete")),
            "{tool}: {got}"
        );
    }
    let unable =
        gateway.modern(None, "tools/call", json!({ "name": "sample", "arguments": {}, "_meta": { ABLE: {} } }));
    assert_eq!(unable.text(), "refused", "what the client cannot do is refused to the server");
}

#[test]
fn progress_and_log_messages_of_an_older_server_reach_the_newer_clients_own_request() {
    let gateway = Gateway::start(&[("one", "full legacy")], LOCAL);
    let steps = json!({ "name": "steps", "arguments": {}, "_meta": { "progressToken": "t/1" } });
    let messages = gateway.modern(None, "tools/call", steps).messages();
    let progress: Vec<(&Value, &Value)> = messages
        .iter()
        .filter(|message| message["method"] == "notifications/progress")
        .map(|message| (&message["params"]["progressToken"], &message["params"]["progress"]))
        .collect();
    assert_eq!(progress, [(&json!("t/1"), &json!(1)), (&json!("t/1"), &json!(2)), (&json!("t/1"), &json!(3))]);
    let data = |meta: Value| -> Vec<Value> {
        let answer =
            gateway.modern(None, "tools/call", json!({ "name": "chat", "arguments": { "text": "x" }, "_meta": meta }));
        let logs = answer.messages().into_iter().filter(|message| message["method"] == "notifications/message");
        logs.map(|message| message["params"]["data"].clone()).collect()
    };
    assert_eq!(data(json!({ "io.modelcontextprotocol/logLevel": "debug" })), ["debug x", "warning x"]);
    assert_eq!(data(json!({ "io.modelcontextprotocol/logLevel": "warning" })), ["warning x"]);
    assert!(data(json!({})).is_empty(), "a request without a level gets no messages");
}

#[test]
fn a_newer_client_that_closes_its_request_cancels_it_at_the_older_server() {
    let gateway = Gateway::start(&[("one", "full legacy")], LOCAL);
    let waiting = gateway.modern_stream(None, "tools/call", json!({ "name": "wait", "arguments": {} }));
    gateway.wait_for("one", "wait");
    drop(waiting);
    gateway.wait_for("one", "notifications/cancelled");
    assert_eq!(
        gateway.modern(None, "tools/call", json!({ "name": "echo", "arguments": { "text": "on" } })).text(),
        "on"
    );
}

/// What a subscription to everything gets when everything changes.
fn heard(gateway: &Gateway, change: &str) -> Vec<Value> {
    let wanted =
        json!({ "toolsListChanged": true, "resourcesListChanged": true, "resourceSubscriptions": ["mem://a"] });
    let mut stream = gateway.modern_stream(None, "subscriptions/listen", json!({ "notifications": wanted }));
    let acknowledged = stream.next().unwrap();
    assert_eq!(acknowledged["method"], "notifications/subscriptions/acknowledged", "{acknowledged}");
    assert_eq!(acknowledged["params"]["notifications"], wanted);
    assert_eq!(gateway.modern(None, "tools/call", json!({ "name": change, "arguments": {} })).text(), "changed");
    let mut heard = Vec::new();
    while heard.last() != Some(&json!("notifications/resources/updated mem://a")) {
        let message = stream.next().unwrap();
        assert_eq!(message["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 7, "{message}");
        let uri = message["params"]["uri"].as_str().unwrap_or_default();
        heard.push(json!(format!("{} {uri}", message["method"].as_str().unwrap()).trim_end()));
    }
    heard
}

const CHANGES: [&str; 3] = [
    "notifications/tools/list_changed",
    "notifications/resources/list_changed",
    "notifications/resources/updated mem://a",
];

#[test]
fn a_newer_clients_subscription_gets_what_an_older_server_announces_and_ends_with_its_stream() {
    let gateway = Gateway::start(&[("one", "full legacy")], LOCAL);
    assert_eq!(heard(&gateway, "change"), CHANGES);
    gateway.wait_for("one", "resources/unsubscribe");
}

#[test]
fn a_newer_clients_subscription_reaches_every_server_of_several() {
    let gateway = Gateway::start(&[("one", "full legacy"), ("two", "full modern")], LOCAL);
    assert_eq!(heard(&gateway, "one__change"), CHANGES);
    gateway.wait_for("one", "resources/unsubscribe");
    assert_eq!(heard(&gateway, "two__change"), CHANGES);
}

#[test]
fn a_subscription_that_is_denied_is_not_acknowledged() {
    let folder = crate::gateway::folder(&[("one", "full legacy")], LOCAL);
    let contract = folder.path().join("contracts/one.toml");
    let text = std::fs::read_to_string(&contract).unwrap();
    let without = text.replace("[method.\"resources/subscribe\"]\neffects = [\"read\"]\n", "");
    assert_ne!(text, without);
    std::fs::write(&contract, without).unwrap();
    let gateway = Gateway::over(folder);
    let wanted = json!({ "toolsListChanged": true, "resourceSubscriptions": ["mem://a"] });
    let mut stream = gateway.modern_stream(None, "subscriptions/listen", json!({ "notifications": wanted }));
    let acknowledged = stream.next().unwrap();
    assert_eq!(acknowledged["params"]["notifications"], json!({ "toolsListChanged": true }), "{acknowledged}");
    assert!(!gateway.log("one").iter().any(|entry| entry[0] == "resources/subscribe"));
}

#[test]
fn a_stream_ends_with_the_key_that_it_was_opened_with() {
    let gateway = Gateway::start(&[("one", "full legacy")], KEYS);
    let ((id, ada), (_, bob)) = (gateway.key("ada", "acme"), gateway.key("bob", "acme"));
    let listen = json!({ "notifications": { "toolsListChanged": true } });
    let mut stream = gateway.modern_stream(Some(&ada), "subscriptions/listen", listen.clone());
    let mut other = gateway.modern_stream(Some(&bob), "subscriptions/listen", listen);
    assert!(stream.next().is_some() && other.next().is_some());
    gateway.command(&["key", "revoke", &id]);
    assert_eq!(stream.next(), None, "the stream of a revoked key ends by itself");
    assert_eq!(
        gateway.modern(Some(&bob), "tools/call", json!({ "name": "change", "arguments": {} })).text(),
        "changed"
    );
    assert_eq!(other.next().unwrap()["method"], "notifications/tools/list_changed", "another key's goes on");
}
