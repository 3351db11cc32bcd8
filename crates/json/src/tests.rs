use proptest::prelude::*;

use super::*;

fn defect(text: &str) -> Option<Defect> {
    scan(text.as_bytes(), Strictness::Request).err().map(|malformed| malformed.defect)
}

#[test]
fn what_has_two_readings_is_refused() {
    for (text, expected) in [
        (r#"{"a":1,"a":2}"#, Defect::DuplicateKey),
        (r#"{"a":1,"\u0061":2}"#, Defect::DuplicateKey),
        (r#"[[{"x":{"a":1,"b":2,"a":1}}]]"#, Defect::DuplicateKey),
        (r#"{"name":1,"Name":2}"#, Defect::CaseVariantKey),
        (r#"{"a\u0000":1}"#, Defect::NulInKey),
        (r#""\ud800""#, Defect::Surrogate),
        (r#""\ud800\u0041""#, Defect::Surrogate),
        (r#""\udc00""#, Defect::Surrogate),
        ("{} {}", Defect::Trailing),
        ("{}x", Defect::Trailing),
        ("\u{feff}{}", Defect::Syntax),
        ("{\"a\":1,}", Defect::Syntax),
        ("[1,]", Defect::Syntax),
        ("01", Defect::Trailing),
        ("1.", Defect::Truncated),
        (".5", Defect::Syntax),
        ("+1", Defect::Syntax),
        ("NaN", Defect::Syntax),
        ("'a'", Defect::Syntax),
        ("\"a\nb\"", Defect::Syntax),
        ("// c\n1", Defect::Syntax),
        ("", Defect::Truncated),
        ("[", Defect::Truncated),
        ("tru", Defect::Truncated),
    ] {
        assert_eq!(defect(text), Some(expected), "{text}");
    }
    assert_eq!(scan(b"\"\xff\"", Strictness::Request).unwrap_err().defect, Defect::Utf8);
    assert_eq!(scan(br#"{"name":1,"Name":2}"#, Strictness::Data), Ok(()));
}

#[test]
fn many_keys_are_checked_as_strictly_as_few() {
    let keys: Vec<String> = (0..100).map(|n| format!("\"k{n}\":0")).collect();
    assert_eq!(defect(&format!("{{{}}}", keys.join(","))), None);
    assert_eq!(defect(&format!("{{{},\"k3\":0}}", keys.join(","))), Some(Defect::DuplicateKey));
    assert_eq!(defect(&format!("{{{},\"K3\":0}}", keys.join(","))), Some(Defect::CaseVariantKey));
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(defect(&nested(JSON_DEPTH_MAX)), None);
    assert_eq!(defect(&nested(JSON_DEPTH_MAX + 1)), Some(Defect::Depth));
    assert_eq!(defect(&"[".repeat(1_000_000)), Some(Defect::Depth));
}

#[test]
fn members_are_spans_of_the_original_bytes() {
    let members = Members::parse(br#" { "a" : [1, 2 ] , "\u0062":1e3,"c":{"d":"x"} } "#, Strictness::Request).unwrap();
    assert_eq!(members.value("a"), Some(&b"[1, 2 ]"[..]));
    assert_eq!(members.value("b"), Some(&b"1e3"[..]));
    assert_eq!(members.value("A"), None);
    assert_eq!(members.all().len(), 3);
    assert!(Members::parse(b"[]", Strictness::Request).is_err());
    assert!(Members::parse(b"{}", Strictness::Request).unwrap().all().is_empty());
}

#[test]
fn members_of_members_are_those_that_a_second_pass_would_find() {
    let text = br#"{"a":{"b":{"c":1},"d":[{}]},"e":{},"f":"{}","a2":{"x":1}}"#;
    let members = Members::parse_deeper(text, Strictness::Request, &["a", "e", "f", "g"]).unwrap();
    assert_eq!(members.all(), Members::parse(text, Strictness::Request).unwrap().all());
    for key in ["a", "e"] {
        let again = Members::parse(members.value(key).unwrap(), Strictness::Request).unwrap();
        assert_eq!(members.of(key), Some(&again), "{key}");
    }
    assert!(["f", "g", "a2"].iter().all(|key| members.of(key).is_none()));
    // What is wrong is found at any depth, and where it is.
    for (text, offset) in
        [(r#"{"a":{"b":1,"b":2}}"#, 12), (r#"{"a":{"b":{"x":1,"x":2}}}"#, 17), (r#"{"a":{"b":1,"B":2}}"#, 12)]
    {
        let error = Members::parse_deeper(text.as_bytes(), Strictness::Request, &["a"]).unwrap_err();
        assert_eq!((error.offset, Json::parse(text.as_bytes()).unwrap_err()), (offset, error), "{text}");
    }
}

#[test]
fn the_canonical_form_is_that_of_rfc_8785() {
    for (text, canonical) in [
        (r#"{"b":1,"a":[true,false,null]}"#, r#"{"a":[true,false,null],"b":1}"#),
        // Section 3.2.3: sorted by UTF-16 code units, so that U+1F600 comes before U+FB33.
        (
            r#"{"\ufb33":1,"\ud83d\ude00":2,"\u20ac":3,"\r":4,"1":5}"#,
            "{\"\\r\":4,\"1\":5,\"€\":3,\"😀\":2,\"\u{fb33}\":1}",
        ),
        (r#""\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/""#, "\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\""),
        // Section 3.2.2.3, but for the first number, whose last digits a double would lose.
        (
            "[333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001]",
            "[333333333.33333329,1e+30,4.5,0.002,1e-27]",
        ),
        ("[-0, 0.0, -0.0e5, 100, 1e2, 1.0]", "[0,0,0,100,100,1]"),
        (
            "[1e21, 1e20, 123456789012345678901234567890]",
            "[1e+21,100000000000000000000,123456789012345678901234567890]",
        ),
        ("[1e-6, 1e-7, 12345e-10]", "[0.000001,1e-7,0.0000012345]"),
    ] {
        assert_eq!(Json::parse(text.as_bytes()).unwrap().canonical(), canonical, "{text}");
    }
}

#[test]
fn numbers_that_programs_read_differently_are_found() {
    for (text, pointer) in [
        ("{\"a\":[1,18446744073709551616]}", Some("/a/1")),
        ("{\"a/b\":1e400}", Some("/a~1b")),
        ("0.10000000000000000001", Some("")),
        ("9007199254740993.0", Some("")),
        ("[9007199254740992]", Some("/0")),
        ("-9007199254740993", Some("")),
        ("[0.1, 1e3, -9007199254740991, 9007199254740991, 4.50, 5e-324]", None),
    ] {
        assert_eq!(Json::parse(text.as_bytes()).unwrap().ambiguous_number().as_deref(), pointer, "{text}");
    }
}

#[test]
fn numbers_convert_exactly_or_not_at_all() {
    let number = |text: &'static str| *Json::parse(text.as_bytes()).unwrap().as_number().unwrap();
    assert_eq!(number("1e3").as_i64(), Some(1000));
    assert_eq!(number("1.0").as_i64(), Some(1));
    assert_eq!(number("1.5").as_i64(), None);
    assert_eq!(number("9223372036854775808").as_i64(), None);
    assert_eq!(number("-9223372036854775808").as_i64(), Some(i64::MIN));
    assert_eq!(number("12.3456").as_decimal4(), Some(123_456));
    assert_eq!(number("12.34567").as_decimal4(), None);
    assert_eq!(number("1e18").as_decimal4(), None);
    assert_eq!(number("0e999999").as_i64(), Some(0));
    assert_eq!(number("1e999999").as_i64(), None);
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::Value;
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |f| f.is_finite()).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::btree_map("[a-z\\u{e9}\\u{1F600}]{0,6}", inner, 0..8)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_the_gate_lets_through_other_parsers_read_alike(value in any_json()) {
        let text = serde_json::to_string_pretty(&value).unwrap();
        let json = Json::parse(text.as_bytes()).unwrap();
        let canonical = json.canonical();
        prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&canonical).unwrap(), normal(value));
        prop_assert_eq!(Json::parse(canonical.as_bytes()).unwrap().canonical(), canonical);
    }

    #[test]
    fn the_gate_never_accepts_what_another_parser_refuses(bytes in prop::collection::vec(prop::sample::select(&b"{}[]\",:0123.eE+-\\untrfals \n\x00\xff\xc3\xa9"[..]), 0..24)) {
        if scan(&bytes, Strictness::Data).is_ok() {
            let huge_exponent = serde_json::from_slice::<serde_json::Value>(&bytes).err().is_some_and(|e| e.to_string().contains("number out of range"));
            prop_assert!(huge_exponent || serde_json::from_slice::<serde_json::Value>(&bytes).is_ok());
        }
    }
}

/// Floats that are whole become integers in the canonical form, and so does minus zero.
fn normal(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() => {
                let text = format!("{float}");
                let short = float.fract() == 0.0 && text.trim_start_matches('-').len() <= 21;
                let whole = text.parse::<i64>().map(Value::from).or_else(|_| text.parse::<u64>().map(Value::from));
                if short { whole.unwrap_or_else(|_| Value::from(float)) } else { Value::from(float) }
            }
            _ => Value::Number(number),
        },
        Value::Array(items) => Value::Array(items.into_iter().map(normal).collect()),
        Value::Object(map) => Value::Object(map.into_iter().map(|(k, v)| (k, normal(v))).collect()),
        other => other,
    }
}

#[test]
fn an_approval_can_tell_numbers_apart_that_have_one_canonical_form() {
    let json = |text: &'static str| Json::parse(text.as_bytes()).unwrap();
    for (one, other) in [("[1]", "[1.0]"), ("[1]", "[1e0]"), ("[0]", "[-0.0]"), ("{\"n\":10}", "{\"n\":1e1}")] {
        assert_eq!(json(one).canonical(), json(other).canonical(), "{other}");
        assert_ne!(json(one).spelled(), json(other).spelled(), "{other}");
    }
    assert_eq!(json("{\"b\": 1.0,\"a\":[true]}").spelled(), "{\"a\":[true],\"b\":1.0}");
}
