//! Closing a schema against properties that it does not declare.
//!
//! JSON Schema lets an object have any further property. A tool that reads one which its schema does not show
//! takes orders that nobody judged, so the schema is closed: an object that declares `properties` and says
//! nothing about further ones gets `additionalProperties: false`. Where an object is put together by `allOf`,
//! `anyOf`, `oneOf`, `$ref` and their like, `unevaluatedProperties: false` does the same (2019-09 and later).
//!
//! Limits, each reported as an open object: an explicit `additionalProperties` or `unevaluatedProperties` is the
//! author's word and stays; older drafts have no `unevaluatedProperties`; only objects that are reached by plain
//! `properties` and `items` are closed, not those behind a reference or in a branch of an alternative.

use serde_json::Value;

const MODERN: [&str; 2] = ["2019-09", "2020-12"];
const COMBINED: [&str; 11] = [
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "$ref",
    "$dynamicRef",
    "$recursiveRef",
    "dependentSchemas",
];

/// Closes the schema in place and returns what stays open.
pub(super) fn close(schema: &mut Value) -> Vec<String> {
    let modern = match schema.get("$schema").and_then(Value::as_str) {
        None => true,
        Some(uri) => MODERN.iter().any(|draft| uri.contains(draft)),
    };
    let mut open = Vec::new();
    object(schema, "", modern, true, &mut open);
    open
}

fn object(schema: &mut Value, pointer: &str, modern: bool, top: bool, open: &mut Vec<String>) {
    let Some(map) = schema.as_object_mut() else { return };
    if let Some(properties) = map.get_mut("properties").and_then(Value::as_object_mut) {
        for (name, property) in properties {
            let token = name.replace('~', "~0").replace('/', "~1");
            object(property, &format!("{pointer}/{token}"), modern, false, open);
        }
    }
    if let Some(items) = map.get_mut("items") {
        object(items, &format!("{pointer}/*"), modern, false, open);
    }
    if !top && !map.contains_key("properties") {
        return;
    }
    let explicit = |key: &str| map.get(key).is_some_and(|value| *value != Value::Bool(false));
    if explicit("additionalProperties") || explicit("unevaluatedProperties") {
        open.push(format!("`{pointer}/`: its schema allows further properties"));
        return;
    }
    if map.contains_key("additionalProperties") || map.contains_key("unevaluatedProperties") {
        return;
    }
    let combined = COMBINED.iter().any(|key| map.contains_key(*key));
    // Before 2019-09, what stands beside `$ref` is ignored, and nothing sees through combinations.
    if combined && !modern {
        open.push(format!("`{pointer}/`: its schema is a combination, and its draft cannot close one"));
        return;
    }
    let key = if combined { "unevaluatedProperties" } else { "additionalProperties" };
    map.insert(key.to_owned(), Value::Bool(false));
}
