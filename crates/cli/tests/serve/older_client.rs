//! A client up to 2025-11-25 in front of a server from 2026-07-28 on: every method that both eras have.

use serde_json::{Value, json};

use crate::gateway::{Gateway, LOCAL, Stream, call, request};

/// A client with a session.
struct Older<'g> {
    gateway: &'g Gateway,
    session: String,
}

impl<'g> Older<'g> {
    fn begin(gateway: &'g Gateway) -> Self {
        let able = json!({ "sampling": {}, "roots": {}, "elicitation": { "form": {}, "url": {} } });
        let older = Self { gateway, session: gateway.begin_able(None, &able) };
        let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        assert_eq!(older.tell(&ready), 202);
        older
    }

    fn tell(&self, message: &Value) -> u16 {
        self.gateway.within(&self.session, None, &message.to_string()).status
    }

    fn ask(&self, method: &str, params: Value) -> Value {
        self.gateway.within(&self.session, None, &request(method, params)).last()
    }

    fn result(&self, method: &str, params: Value) -> Value {
        let answer = self.ask(method, params);
        assert!(answer["result"].is_object(), "{method}: {answer}");
        answer["result"].clone()
    }

    fn stream(&self, method: &str, body: &str) -> Stream {
        self.gateway.stream(method, &[("mcp-session-id", &self.session), ("mcp-protocol-version", "2025-11-25")], body)
    }
}

#[test]
fn an_older_client_has_a_newer_servers_lists_resources_prompts_and_completions() {
    for servers in [&[("one", "full modern")][..], &[("one", "full modern"), ("two", "legacy")]] {
        let gateway = Gateway::start(servers, LOCAL);
        let older = Older::begin(&gateway);
        let own = |name: &str| if servers.len() > 1 { format!("one__{name}") } else { name.to_owned() };
        let mut cursor = None::<Value>;
        let mut prompts = Vec::new();
        loop {
            let params = cursor.take().map_or_else(|| json!({}), |cursor| json!({ "cursor": cursor }));
            let page = older.result("prompts/list", params);
            prompts.extend(
                page["prompts"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned()),
            );
            match page.get("nextCursor") {
                Some(next) => cursor = Some(next.clone()),
                None => break,
            }
        }
        assert_eq!(prompts, [own("greet"), own("leave")]);
        assert_eq!(older.result("resources/list", json!({}))["resources"][0]["uri"], "mem://a");
        assert_eq!(older.result("resources/templates/list", json!({}))["resourceTemplates"][0]["name"], "any");
        let read = older.result("resources/read", json!({ "uri": "mem://b" }));
        assert_eq!(read["contents"][0]["text"], "text of mem://b");
        assert_eq!(older.ask("resources/read", json!({ "uri": "mem://none" }))["error"]["code"], -32602);
        let prompt = older.result("prompts/get", json!({ "name": own("greet"), "arguments": { "whom": "ada" } }));
        assert_eq!(prompt["messages"][0]["content"]["text"], "greet ada");
        let reference = json!({ "ref": { "type": "ref/prompt", "name": own("greet") }, "argument": { "name": "whom", "value": "a" } });
        assert_eq!(older.result("completion/complete", reference)["completion"]["values"], json!(["a!"]));
        assert_eq!(older.result("ping", json!({})), json!({}));
    }
}

#[test]
fn a_newer_server_can_ask_an_older_client_for_a_sample_an_answer_a_visit_and_its_roots() {
    let gateway = Gateway::start(&[("one", "full modern")], LOCAL);
    let older = Older::begin(&gateway);
    for (tool, method, answer, text) in [
        (
            "sample",
            "sampling/createMessage",
            json!({ "role": "assistant", "model": "m", "content": { "type": "text", "text": "hi" } }),
            "sampled hi",
        ),
        ("elicit", "elicitation/create", json!({ "action": "accept", "content": { "name": "ada" } }), "hello ada"),
        ("elicit", "elicitation/create", json!({ "action": "cancel" }), "cancel"),
        ("visit", "elicitation/create", json!({ "action": "accept" }), "visited accept"),
        ("roots", "roots/list", json!({ "roots": [{ "uri": "file:///w" }] }), "roots file:///w"),
    ] {
        let mut stream = older.stream("POST", &call(tool, json!({})));
        let question = stream.next().unwrap();
        assert_eq!(question["method"], method, "{tool}: {question}");
        assert_eq!(older.tell(&json!({ "jsonrpc": "2.0", "id": question["id"], "result": answer })), 202);
        let got = stream.next().unwrap();
        assert_eq!((&got["id"], &got["result"]["content"][0]["text"]), (&json!(7), &json!(text)), "{tool}: {got}");
    }
    let mut stream = older.stream("POST", &call("sample", json!({})));
    let question = stream.next().unwrap();
    let refused = json!({ "jsonrpc": "2.0", "id": question["id"], "error": { "code": -1, "message": "no" } });
    assert_eq!(older.tell(&refused), 202);
    assert_eq!(stream.next().unwrap()["error"]["code"], -32603, "a question that the client refuses ends the call");
}

#[test]
fn progress_and_log_messages_of_a_newer_server_reach_the_older_client() {
    let gateway = Gateway::start(&[("one", "full modern")], LOCAL);
    let older = Older::begin(&gateway);
    let steps = request("tools/call", json!({ "name": "steps", "arguments": {}, "_meta": { "progressToken": 41 } }));
    let messages: Vec<Value> = older.stream("POST", &steps).collect();
    let progress: Vec<&Value> = messages.iter().filter(|message| message["params"]["progressToken"] == 41).collect();
    assert_eq!((progress.len(), messages.len()), (3, 4), "{messages:?}");
    let data = || -> Vec<Value> {
        let messages = older.stream("POST", &call("chat", json!({ "text": "x" })));
        messages
            .filter(|message| message["method"] == "notifications/message")
            .map(|message| message["params"]["data"].clone())
            .collect()
    };
    assert!(data().is_empty(), "nobody has asked for messages");
    assert_eq!(older.result("logging/setLevel", json!({ "level": "warning" })), json!({}));
    assert_eq!(data(), ["warning x"]);
    older.result("logging/setLevel", json!({ "level": "debug" }));
    assert_eq!(data(), ["debug x", "warning x"]);
}

#[test]
fn an_older_client_that_cancels_a_call_cancels_it_at_the_newer_server() {
    let gateway = Gateway::start(&[("one", "full modern")], LOCAL);
    let older = Older::begin(&gateway);
    let waiting = older.stream("POST", &call("wait", json!({})));
    gateway.wait_for("one", "wait");
    let cancel = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 7 } });
    assert_eq!(older.tell(&cancel), 202);
    gateway.wait_for("one", "notifications/cancelled");
    assert_eq!(waiting.count(), 0, "a cancelled call has no answer");
    assert_eq!(
        older.result("tools/call", json!({ "name": "echo", "arguments": { "text": "on" } }))["content"][0]["text"],
        "on"
    );
}

/// What the stream of a session gets when everything changes, up to the last of the changes.
fn heard(older: &Older<'_>, stream: &mut Stream, change: &str, last: &str) -> Vec<String> {
    assert_eq!(older.result("tools/call", json!({ "name": change, "arguments": {} }))["content"][0]["text"], "changed");
    let mut heard: Vec<String> = Vec::new();
    while heard.last().is_none_or(|one| one != last) {
        let message = stream.next().unwrap();
        assert!(message["params"].get("_meta").is_none_or(|meta| meta == &json!({})), "{message}");
        let uri = message["params"]["uri"].as_str().unwrap_or_default();
        heard.push(format!("{} {uri}", message["method"].as_str().unwrap()).trim_end().to_owned());
    }
    heard
}

#[test]
fn an_older_clients_subscriptions_get_what_a_newer_server_announces() {
    for servers in [&[("one", "full modern")][..], &[("two", "legacy"), ("one", "full modern")]] {
        let gateway = Gateway::start(servers, LOCAL);
        let older = Older::begin(&gateway);
        let change = if servers.len() > 1 { "one__change" } else { "change" };
        let mut stream = older.stream("GET", "");
        gateway.wait_for("one", "subscriptions/listen");
        older.result("resources/subscribe", json!({ "uri": "mem://a" }));
        let lists = ["tools", "prompts", "resources"].map(|kind| format!("notifications/{kind}/list_changed"));
        let [updated_a, updated_b] = ["a", "b"].map(|name| format!("notifications/resources/updated mem://{name}"));
        assert_eq!(
            heard(&older, &mut stream, change, &updated_a),
            [&lists[..], std::slice::from_ref(&updated_a)].concat()
        );
        older.result("resources/subscribe", json!({ "uri": "mem://b" }));
        older.result("resources/unsubscribe", json!({ "uri": "mem://a" }));
        assert_eq!(
            heard(&older, &mut stream, change, &updated_b),
            [&lists[..], std::slice::from_ref(&updated_b)].concat()
        );
    }
}

#[test]
fn a_subscription_of_an_older_client_that_is_denied_says_so() {
    let folder = crate::gateway::folder(&[("one", "full modern")], LOCAL);
    let contract = folder.path().join("contracts/one.toml");
    let text = std::fs::read_to_string(&contract).unwrap();
    std::fs::write(&contract, text.replace("[method.\"resources/subscribe\"]\neffects = [\"read\"]\n", "")).unwrap();
    let gateway = Gateway::over(folder);
    let older = Older::begin(&gateway);
    let answer = older.ask("resources/subscribe", json!({ "uri": "mem://a" }));
    assert_eq!(answer["error"]["code"], -31000, "{answer}");
}

#[test]
fn subscriptions_of_an_older_client_are_bounded() {
    let gateway = Gateway::start(&[("one", "full modern")], LOCAL);
    let older = Older::begin(&gateway);
    let long = format!("mem://{}", "x".repeat(9 * 1024));
    assert_eq!(older.ask("resources/subscribe", json!({ "uri": long }))["error"]["code"], -32603);
    for number in 0..256 {
        older.result("resources/subscribe", json!({ "uri": format!("mem://{number}") }));
    }
    assert_eq!(older.ask("resources/subscribe", json!({ "uri": "mem://more" }))["error"]["code"], -32603);
    older.result("resources/unsubscribe", json!({ "uri": "mem://0" }));
    older.result("resources/subscribe", json!({ "uri": "mem://more" }));
}
