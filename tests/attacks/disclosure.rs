//! What a refusal gives away. stacklok/toolhive#4374 (denied tools in search and lists), #6066 and BerriAI/litellm#29936
//! (configuration and credentials of other servers in the text of an error).

use serde_json::{Value, json};

use crate::stage::{Setting, Stage, bundle, call, code, definitions, sources};

#[test]
fn a_tool_that_could_never_be_permitted_is_not_listed() {
    let stage = Stage::new();
    let mut tools = definitions();
    tools
        .push(json!({ "name": "stranger", "description": "Without a contract.", "inputSchema": { "type": "object" } }));
    let seen: Value = serde_json::from_str(&stage.list(&tools).concat()).unwrap();
    let names: Vec<&str> =
        seen["result"]["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    // `export` has no permit, `scoped` wants a scope, the stranger has no contract; `delete` waits for a person.
    assert_eq!(names, ["read", "secret", "write", "delete", "save"]);
}

/// The text of a refusal, without what is different each time.
fn text(stage: &Stage, tool: &str) -> (String, Value) {
    let answer = stage.refused(call(1, tool, "{}"));
    let verdict = &answer["result"]["_meta"]["refmon.dev/verdict"];
    let record = verdict["record"].as_str().unwrap().to_owned();
    (answer.to_string().replace(&record, "RECORD"), answer)
}

#[test]
fn a_refusal_does_not_tell_of_policies_contracts_or_other_tools() {
    let stage = Stage::new();
    for (tool, reason) in [("export", "policy.no-permit"), ("scoped", "scope.missing"), ("nobody", "tool.unknown")] {
        let (text, answer) = text(&stage, tool);
        assert_eq!(code(&answer), reason);
        let others = definitions();
        let others = others.iter().filter_map(|other| other["description"].as_str());
        for word in others
            .chain(["baseline", "attacks.", "Cedar", "cedar", "Refmon::", "sha256", ".toml", "/tests/", "forbid ("])
        {
            assert!(!text.contains(word), "{tool}: `{word}` in {text}");
        }
    }
}

#[test]
fn a_forbidden_call_does_not_show_the_policys_own_words() {
    let folder = tempfile::TempDir::new().unwrap();
    let policy = r#"@id("inner.name") @reason("the auditors of CANARY are here this week") forbid (principal, action == Refmon::Action::"s/read@1", resource);"#;
    std::fs::write(folder.path().join("one.cedar"), policy).unwrap();
    let setting = Setting {
        bundle: bundle(&refmon_policy::Sources { policy_dir: Some(folder.path().to_owned()), ..sources() }),
        ..Setting::default()
    };
    let stage = Stage::of(setting);
    let (text, answer) = text(&stage, "read");
    assert_eq!(code(&answer), "policy.forbidden");
    assert!(!text.contains("CANARY") && !text.contains("inner.name"), "{text}");
}

#[test]
fn a_tool_without_a_contract_and_one_that_does_not_exist_look_alike() {
    let stage = Stage::new();
    let mut tools = definitions();
    tools.push(json!({ "name": "stranger", "inputSchema": { "type": "object" } }));
    stage.list(&tools);
    assert_eq!(text(&stage, "stranger").0, text(&stage, "missing").0);
}

#[test]
fn a_refusal_does_not_repeat_the_value_that_was_refused() {
    let stage = Stage::new();
    let answer = stage.refused(call(1, "save", r#"{"path":"/home/CANARY/x"}"#));
    assert_eq!(code(&answer), "arguments.outside-roots");
    assert!(!answer.to_string().contains("CANARY"), "{answer}");
    let answer = stage.refused(call(2, "read", r#"{"n":"CANARY"}"#));
    assert_eq!(code(&answer), "arguments.schema");
    assert!(!answer.to_string().contains("CANARY"), "{answer}");
}
