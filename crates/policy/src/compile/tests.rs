use refmon_core::contract::Effect;
use refmon_core::decision::Decision;

use super::*;
use crate::testing::{ada, ask, compiled, contract, engine};

/// The attributes of `args` that policy sees, as text, and those that it does not.
fn shapes(schema: &str) -> (Vec<String>, Vec<String>) {
    let json = Json::parse(schema.as_bytes()).unwrap();
    let (shapes, hidden) = shape::arguments(Some(&json));
    // Whatever the shapes are, Cedar accepts the schema.
    compiled(&[contract("s", "t", &[Effect::Read])], schema);
    let shapes = shapes.iter().map(|(name, shape)| format!("{name}: {shape:?}")).collect();
    (shapes, hidden.into_iter().map(|hidden| format!("{}: {}", hidden.attribute, hidden.reason)).collect())
}

#[test]
fn plain_types_are_seen() {
    let (seen, hidden) = shapes(
        r#"{"properties":{"a":{"type":"string"},"b":{"type":"integer"},"c":{"type":"boolean"},"d":{"enum":["x","y"]},
        "e":{"const":3},"f":{"type":["string","null"]},"g":{"type":"array","items":{"type":"string"}},
        "h":{"type":"array","items":{"type":"integer"}},"i":{"type":"object","properties":{"j":{"type":"string"}}},
        "k":{"enum":["x",null]}}}"#,
    );
    assert_eq!(
        seen,
        [
            "a: Text",
            "b: Long",
            "c: Flag",
            "d: Text",
            "e: Long",
            "f: Text",
            "g: Texts",
            "h: Longs",
            "i: Record({\"j\": Text})",
            "k: Text"
        ]
    );
    assert!(hidden.is_empty(), "{hidden:?}");
}

#[test]
fn a_number_is_seen_only_if_all_its_values_are_exact() {
    let (seen, hidden) = shapes(
        r#"{"properties":{"a":{"type":"number"},"b":{"type":"number","minimum":0,"maximum":100,"multipleOf":0.01},
        "c":{"type":"number","minimum":0,"maximum":100},"d":{"type":"number","multipleOf":0.00001,"minimum":0,"maximum":1},
        "e":{"type":"number","enum":[1.5,2]},"f":{"type":"number","multipleOf":1,"minimum":0,"maximum":1e300}}}"#,
    );
    assert_eq!(seen, ["b: Decimal", "e: Decimal"]);
    assert_eq!(hidden.len(), 4);
}

#[test]
fn references_are_followed_wherever_they_lead_inside_the_schema() {
    let (seen, hidden) = shapes(
        r##"{"properties":{"a":{"$ref":"#/$defs/x"},"b":{"$ref":"#/definitions/y"},"c":{"$ref":"#/properties/a"},
        "d":{"$ref":"#/$defs/missing"},"e":{"$ref":"#named"},"r":{"$ref":"#/$defs/tree"},"s":{"$ref":"#/properties/s"}},
        "$defs":{"x":{"type":"string"},"n":{"$anchor":"named","type":"integer"},
        "tree":{"type":"object","properties":{"name":{"type":"string"},"left":{"$ref":"#/$defs/tree"}}}},
        "definitions":{"y":{"type":"integer"}}}"##,
    );
    assert_eq!(seen, ["a: Text", "b: Long", "c: Text", "e: Long", "r: Record({\"name\": Text})"]);
    assert_eq!(
        hidden.iter().map(|one| one.split(':').next().unwrap()).collect::<Vec<_>>(),
        ["args.d", "args.r.left", "args.s"]
    );
}

#[test]
fn alternatives_are_seen_if_they_agree() {
    let (seen, hidden) = shapes(
        r#"{"properties":{"a":{"oneOf":[{"type":"string"},{"type":"null"}]},"b":{"anyOf":[{"type":"string"},{"type":"integer"}]},
        "c":{"allOf":[{"type":"string"},{"minLength":1}]},"d":{"oneOf":[{"const":"x"},{"const":"y"}]},
        "e":{"anyOf":[{"type":"string"},true]},"f":{"allOf":[{"type":"string"},{"type":"integer"}]},
        "g":{"type":["string","integer"]},"h":{"anyOf":[{"type":"string"},false]},
        "i":{"type":"array","items":{"anyOf":[{"type":"string"},{"type":"null"}]}}}}"#,
    );
    assert_eq!(seen, ["a: Text", "c: Text", "d: Text", "h: Text"]);
    assert_eq!(hidden.len(), 5, "{hidden:?}");
}

#[test]
fn what_has_no_sound_type_is_named_with_its_reason() {
    let (seen, hidden) = shapes(
        r#"{"properties":{"a":{},"b":true,"c":false,"d":{"description":"text"},"e":{"type":"array"},"f":{"type":"object"},
        "g":{"type":"array","items":{"type":"object"}},"h":{"enum":["a",1]},"i":{"type":"array","prefixItems":[{}],"items":{"type":"string"}},
        "j":{"type":"null"},"k":{"type":"array","items":{"type":["string","null"]}},"l":{"type":[]},"m":{"type":"widget"},"n":{"enum":[{}]}}}"#,
    );
    assert!(seen.is_empty(), "{seen:?}");
    assert_eq!(hidden.len(), 14, "{hidden:#?}");
    assert!(hidden.iter().all(|one| one.starts_with("args.") && one.len() > 15));
    let (_, hidden) =
        shapes(r#"{"oneOf":[{"properties":{"x":{"type":"string"}}}],"properties":{"y":{"type":"string"}}}"#);
    assert_eq!(hidden, ["args.x: it is declared in an alternative only"]);
    assert_eq!(shapes(r#"{}"#), (Vec::new(), Vec::new()));
}

#[test]
fn a_record_is_seen_to_a_bounded_depth() {
    let mut schema = r#"{"type":"string"}"#.to_owned();
    for _ in 0..10 {
        schema = format!(r#"{{"type":"object","properties":{{"x":{schema}}}}}"#);
    }
    let (_, hidden) = shapes(&schema);
    assert_eq!(hidden, ["args.x.x.x.x.x.x: it nests too deep"]);
}

#[test]
fn odd_names_are_data() {
    let names =
        ["if", "a-b", "a::b", "__cedar", "__entity", "é", "", " ", "type", "Set", "a.b", "1x", "\\\"", "in", "has"];
    let properties: Vec<String> =
        names.iter().map(|name| format!("{}:{{\"type\":\"string\"}}", serde_json::Value::from(*name))).collect();
    let schema = format!("{{\"properties\":{{{}}}}}", properties.join(","));
    let (seen, hidden) = shapes(&schema);
    assert_eq!((seen.len(), hidden.len()), (names.len(), 0));
    let tools =
        ["call", "read", "external", "a-b", "a::b", "x/y", "if", "a@9", "Refmon", "Action", "__cedar", "*", "{}", "in"];
    let contracts: Vec<_> = tools.iter().map(|name| contract("srv", name, &[Effect::Read])).collect();
    let text = r#"@id("p") @reason("r") permit(principal, action in Refmon::Action::"read", resource) when { context.args["if"] == "x" || true };"#;
    let text = text
        .replace("context.args[\"if\"] == \"x\" || true", "context.args has \"if\" && context.args[\"if\"] == \"x\"");
    let engine = engine(&contracts, &schema, &text);
    for contract in &contracts {
        assert_eq!(ask(&engine, &ada(), contract, r#"{"if":"x"}"#, &[]).decision(), Decision::Permit);
        assert_eq!(ask(&engine, &ada(), contract, r#"{"if":"y"}"#, &[]).decision(), Decision::Deny);
    }
}

#[test]
fn a_tool_named_like_an_effect_group_is_not_the_group() {
    let external = contract("srv", "external", &[Effect::Read]);
    let send = contract("srv", "send", &[Effect::External]);
    let text = r#"@id("p") @reason("r") permit(principal, action, resource);
        @id("f") @reason("r") forbid(principal, action in Refmon::Action::"external", resource);"#;
    let engine = engine(&[external.clone(), send.clone()], "{}", text);
    assert_eq!(ask(&engine, &ada(), &external, "{}", &[]).decision(), Decision::Permit);
    assert_eq!(ask(&engine, &ada(), &send, "{}", &[]).decision(), Decision::Deny);
}

#[test]
fn two_operations_with_one_action_are_an_error() {
    let one = contract("a/b", "c", &[Effect::Read]);
    let two = contract("a", "b/c", &[Effect::Admin]);
    let error = compile([(&one, None), (&two, None)]).unwrap_err();
    assert_eq!(error, CompileError::Collision("a/b/c@1".to_owned()));
}

#[test]
fn the_schema_is_printed_for_people_and_cedar_reads_it() {
    let toml = "server = \"s\"\nversion = 1\n[tool.t]\neffects = [\"read\"]\nargs.\"l[].x\" = { kind = \"amount\" }";
    let contracts = crate::testing::contracts(toml);
    let compiled =
        compiled(&contracts, r#"{"properties":{"a-b":{"type":"object","properties":{"c":{"type":"integer"}}}}}"#);
    let text = compiled.text();
    let parsed =
        ValidatorSchema::from_cedarschema_str(&text, cedar_policy_core::extensions::Extensions::all_available());
    assert!(parsed.is_ok(), "{text}\n{:?}", parsed.err());
}

#[test]
fn a_schema_whose_parts_stand_for_very_many_is_cut() {
    let level = |n: usize| {
        let properties: Vec<String> = (0..60).map(|p| format!(r##""p{p}":{{"$ref":"#/$defs/l{}"}}"##, n + 1)).collect();
        format!(r#""l{n}":{{"type":"object","properties":{{{}}}}}"#, properties.join(","))
    };
    let levels: Vec<String> = (0..5).map(level).collect();
    let schema = format!(
        r##"{{"properties":{{"a":{{"$ref":"#/$defs/l0"}}}},"$defs":{{{},"l5":{{"type":"string"}}}}}}"##,
        levels.join(",")
    );
    let json = Json::parse(schema.as_bytes()).unwrap();
    let (_, hidden) = shape::arguments(Some(&json));
    assert!(hidden.iter().any(|one| one.reason.contains("too large")) && hidden.len() < 30_000);
    // Alternatives of alternatives, the same.
    let levels: Vec<String> = (0..40)
        .map(|n| format!(r##""l{n}":{{"anyOf":[{{"$ref":"#/$defs/l{}"}},{{"$ref":"#/$defs/l{}"}}]}}"##, n + 1, n + 1))
        .collect();
    let schema =
        format!(r##"{{"properties":{{"a":{{"$ref":"#/$defs/l0"}}}},"$defs":{{{},"l40":{{}}}}}}"##, levels.join(","));
    let json = Json::parse(schema.as_bytes()).unwrap();
    assert_eq!(shape::arguments(Some(&json)).1.len(), 1);
}
