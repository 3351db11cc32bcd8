use super::*;

fn compile(schema: &str, undeclared: bool) -> Result<Schema, SchemaError> {
    Schema::compile(&Json::parse(schema.as_bytes()).unwrap(), undeclared)
}

fn check(schema: &str, arguments: &str) -> Result<(), Mismatch> {
    compile(schema, false).unwrap().check(&Json::parse(arguments.as_bytes()).unwrap())
}

#[test]
fn a_mismatch_names_place_and_expectation_but_never_the_value() {
    let schema = r#"{"type":"object","properties":{"n":{"type":"integer","maximum":5},"s":{"enum":["a","b"]},
        "p":{"pattern":"^x+$","type":"string"},"m":{"multipleOf":2},"c":{"const":"k"}},"required":["n"]}"#;
    for (arguments, pointer, expected) in [
        (r#"{"n":"hunter2"}"#, "/n", "a value of the type `integer`"),
        (r#"{"n":777777}"#, "/n", "a number of at most 5"),
        (r#"{"n":1,"s":"hunter2"}"#, "/s", "one of the values that the schema lists"),
        (r#"{"n":1,"p":"hunter2"}"#, "/p", "text that matches `^x+$`"),
        (r#"{"n":1,"m":777777}"#, "/m", "a multiple of 2"),
        (r#"{"n":1,"c":"hunter2"}"#, "/c", "the constant that the schema states"),
        (r#"{"s":"a"}"#, "", "the property `n`"),
    ] {
        let mismatch = check(schema, arguments).unwrap_err();
        assert_eq!((mismatch.pointer.as_str(), mismatch.expected.as_str()), (pointer, expected), "{arguments}");
        assert!(!format!("{mismatch:?}").contains("hunter2") && !format!("{mismatch:?}").contains("777777"));
    }
    assert_eq!(check(schema, r#"{"n":5,"s":"a","p":"xx","m":4,"c":"k"}"#), Ok(()));
}

#[test]
fn an_undeclared_property_is_refused_and_told_apart() {
    let plain = r#"{"type":"object","properties":{"a":{"type":"string"},"o":{"type":"object","properties":{"b":{}}},
        "l":{"items":{"properties":{"c":{}}}}}}"#;
    for arguments in [r#"{"z":1}"#, r#"{"o":{"z":1}}"#, r#"{"l":[{"z":1}]}"#, r#"{"a":1,"z":1}"#] {
        let mismatch = check(plain, arguments).unwrap_err();
        assert!(mismatch.expected.starts_with(UNDECLARED), "{arguments}: {mismatch:?}");
    }
    assert_eq!(check(plain, r#"{"a":"x","o":{"b":1},"l":[{"c":1}]}"#), Ok(()));
    let through = compile(plain, true).unwrap();
    assert_eq!(through.check(&Json::parse(br#"{"z":1}"#).unwrap()), Ok(()));
}

#[test]
fn a_schema_without_properties_takes_none() {
    assert!(check(r#"{"type":"object"}"#, r#"{"z":1}"#).unwrap_err().expected.starts_with(UNDECLARED));
    assert_eq!(check(r#"{"type":"object"}"#, "{}"), Ok(()));
}

#[test]
fn a_combination_is_closed_where_its_draft_can_see_through_it() {
    let schema =
        r##"{"allOf":[{"$ref":"#/$defs/base"}],"properties":{"a":{}},"$defs":{"base":{"properties":{"b":{}}}}}"##;
    assert_eq!(check(schema, r#"{"a":1,"b":2}"#), Ok(()));
    assert!(check(schema, r#"{"z":1}"#).unwrap_err().expected.starts_with(UNDECLARED));
    let old = r##"{"$schema":"http://json-schema.org/draft-07/schema#","allOf":[{"properties":{"b":{}}}],"properties":{"a":{}}}"##;
    assert_eq!(compile(old, false).unwrap().open().len(), 1);
    assert_eq!(check(old, r#"{"b":1}"#), Ok(()));
}

#[test]
fn an_explicit_word_about_further_properties_stays() {
    let schema = r#"{"properties":{"a":{}},"additionalProperties":{"type":"string"}}"#;
    assert_eq!(check(schema, r#"{"z":"text"}"#), Ok(()));
    assert!(!check(schema, r#"{"z":1}"#).unwrap_err().expected.starts_with(UNDECLARED));
    assert_eq!(compile(schema, false).unwrap().open().len(), 1);
}

#[test]
fn an_older_draft_is_followed_where_it_is_declared() {
    let seven =
        r##"{"$schema":"http://json-schema.org/draft-07/schema#","properties":{"l":{"items":[{"type":"string"}]}}}"##;
    assert!(check(seven, r#"{"l":[1]}"#).is_err());
    let four = r##"{"$schema":"http://json-schema.org/draft-04/schema#","properties":{"n":{"maximum":5,"exclusiveMaximum":true}}}"##;
    assert!(check(four, r#"{"n":5}"#).is_err());
    assert_eq!(check(four, r#"{"n":4}"#), Ok(()));
}

#[test]
fn nothing_is_fetched() {
    for reference in ["https://evil.example/s.json", "file:///etc/passwd", "other.json", "urn:x:y"] {
        let schema = format!(r#"{{"properties":{{"a":{{"$ref":"{reference}"}}}}}}"#);
        assert_eq!(compile(&schema, false).unwrap_err(), SchemaError::RemoteReference(reference.to_owned()));
    }
    let inner = r##"{"properties":{"a":{"$id":"https://evil.example/","$ref":"#/b"}},"b":{}}"##;
    assert!(compile(inner, false).is_err());
    assert!(matches!(compile(r##"{"$ref":"#/$defs/nothing"}"##, false), Err(SchemaError::DanglingReference(_))));
}

#[test]
fn a_schema_that_could_run_away_is_refused() {
    assert!(matches!(compile(r##"{"$ref":"#"}"##, false), Err(SchemaError::Endless(_))));
    assert!(matches!(
        compile(r##"{"anyOf":[{"$ref":"#/$defs/a"}],"$defs":{"a":{"not":{"$ref":"#"}}}}"##, false),
        Err(SchemaError::Endless(_))
    ));
    let levels: Vec<String> = (0..40)
        .map(|n| format!(r##""l{n}":{{"anyOf":[{{"$ref":"#/$defs/l{}"}},{{"$ref":"#/$defs/l{}"}}]}}"##, n + 1, n + 1))
        .collect();
    let flat = format!(r##"{{"$ref":"#/$defs/l0","$defs":{{{},"l40":{{}}}}}}"##, levels.join(","));
    assert_eq!(compile(&flat, false).unwrap_err(), SchemaError::Explosive);
    let deep = r##"{"anyOf":[{"properties":{"x":{"$ref":"#"}}},{"properties":{"x":{"$ref":"#"},"y":{}}}]}"##;
    assert_eq!(compile(deep, false).unwrap_err(), SchemaError::Explosive);
    assert!(matches!(compile(r#"{"properties":{"a":{"pattern":"(a)\\1"}}}"#, false), Err(SchemaError::Invalid(_))));
}

#[test]
fn an_ordinary_recursive_schema_is_fine() {
    let tree = r##"{"properties":{"name":{"type":"string"},"children":{"type":"array","items":{"$ref":"#"}}}}"##;
    assert_eq!(check(tree, r#"{"name":"a","children":[{"name":"b","children":[]}]}"#), Ok(()));
    assert!(check(tree, r#"{"children":[{"name":1}]}"#).is_err());
}

#[test]
fn whole_numbers_are_exact_up_to_64_bits() {
    let schema = r#"{"properties":{"n":{"type":"integer","maximum":9007199254740992}}}"#;
    assert!(check(schema, r#"{"n":9007199254740993}"#).is_err());
    assert_eq!(check(schema, r#"{"n":9007199254740992}"#), Ok(()));
    assert!(to_value(&Json::parse(b"99999999999999999999").unwrap()).is_none());
}

#[test]
fn declared_properties_are_found_in_every_alternative() {
    let schema = r##"{"properties":{"a":{}},"oneOf":[{"properties":{"b":{}}},{"$ref":"#/$defs/c"}],"$defs":{"c":{"properties":{"c":{}}}}}"##;
    let names: Vec<String> = compile(schema, false).unwrap().properties().iter().cloned().collect();
    assert_eq!(names, ["a", "b", "c"]);
}
