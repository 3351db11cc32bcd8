use refmon_core::contract::Contract;
use refmon_core::json::Json;
use refmon_core::kinds;

use super::*;
use crate::testing::{FakeFiles, ada, contracts, engine, unchecked_engine, with};

fn read() -> Contract {
    contracts("server = \"files\"\nversion = 3\n[tool.read]\neffects = [\"read\"]\nargs.path = { kind = \"path\", roots = [\"/srv\"] }").remove(0)
}

const SCHEMA: &str = r#"{"properties":{"path":{"type":"string"},"n":{"type":"integer"}}}"#;

fn explain(engine: &Engine, contract: &Contract, arguments: &str) -> Explanation {
    let json = Json::parse(arguments.as_bytes()).unwrap();
    let facts = kinds::extract(contract, &json, &FakeFiles).unwrap();
    with(&ada(), contract, &facts, &json, |question| engine.explain(question))
}

#[test]
fn a_near_miss_names_the_first_condition_that_fails_and_what_it_read() {
    let text = r#"
        @id("far") @reason("r") permit(principal, action, resource) when { context.contract.version == 9 };
        @id("near") @reason("r")
        permit(principal, action, resource)
        when { principal.scopes.contains("files:read") }
        when { context.facts has path && context.facts.path.extension == "md" };
        @id("elsewhere") @reason("r") permit(principal == Refmon::Agent::"x/y", action, resource);"#;
    let engine = engine(&[read()], SCHEMA, text);
    let explanation = explain(&engine, &read(), r#"{"path":"/srv/a.txt"}"#);
    let ids: Vec<&str> = explanation.near_misses.iter().map(|miss| miss.id.as_str()).collect();
    assert_eq!(ids, ["near", "far"]);
    let near = &explanation.near_misses[0];
    assert_eq!((near.condition.as_str(), near.line, near.met), ("context.facts.path.extension == \"md\"", 3, 2));
    let read = &near.read[0];
    assert_eq!((read.attribute.as_str(), read.value.as_str()), ("context.facts.path.extension", "\"txt\""));
    let printed = explanation.to_string();
    assert!(
        printed.contains("near would permit (test.cedar:3), but not: context.facts.path.extension == \"md\""),
        "{printed}"
    );
    assert!(printed.contains("context.facts[\"path\"].extension = \"txt\""), "{printed}");
}

#[test]
fn determining_policies_are_named_with_reason_and_place() {
    let text = "@id(\"p\") @reason(\"for all\")\npermit(principal, action, resource);\n\
                @id(\"d\") @reason(\"asks\") @approval(\"boss\")\nforbid(principal, action, resource) unless { context.granted.contains(\"approval:boss\") };";
    let engine = engine(&[read()], SCHEMA, text);
    let held = explain(&engine, &read(), "{}");
    assert_eq!(held.policies.len(), 1);
    let one = &held.policies[0];
    assert_eq!(
        (one.id.as_str(), one.line, one.reason.as_deref(), one.demands.as_deref()),
        ("d", 3, Some("asks"), Some("approval:boss"))
    );
    assert!(
        held.to_string()
            .starts_with("files/read@3: hold, until `boss` is approved\n  d forbids (test.cedar:3): asks\n"),
        "{held}"
    );
}

#[test]
fn an_error_is_explained() {
    let text = "@id(\"f\") @reason(\"r\") forbid(principal, action, resource) when { context.args.n > 1 };";
    let engine = unchecked_engine(&[read()], SCHEMA, text);
    let denied = explain(&engine, &read(), "{}");
    let error = denied.policies[0].error.as_deref().unwrap();
    assert!(error.contains('n'), "{error}");
    assert!(denied.to_string().contains("policy.error"));
}

#[test]
fn control_characters_of_values_are_escaped_and_long_ones_cut() {
    assert_eq!(short("a\u{1b}[2J"), "a\\u{1b}[2J");
    assert_eq!(short(&"x".repeat(500)).chars().count(), 401);
}

#[test]
fn a_condition_of_unless_is_shown_with_its_negation() {
    let shown = |text: &str| {
        let engine = engine(
            &[read()],
            SCHEMA,
            &format!("@id(\"p\") @reason(\"r\") permit(principal, action, resource) {text};"),
        );
        explain(&engine, &read(), r#"{"n":1}"#).near_misses[0].condition.clone()
    };
    assert_eq!(shown("unless { context.args has n }"), "!(context.args has n)");
    assert_eq!(shown("when { !(context.args has n) }"), "!(context.args has n)");
    assert_eq!(shown("when { context.contract.version\n   == 9 }"), "context.contract.version == 9");
}
