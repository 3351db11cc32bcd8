//! The structure of a schema: which parts apply to the same value, which to its members, and where references
//! lead.

use std::collections::BTreeSet;

use refmon_core::json::Json;

use super::SchemaError;

/// Where a part of a schema applies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// To the value itself.
    Here,
    /// To the member of this name.
    Member(String),
    /// To members by pattern, or to all that are left.
    Members,
    /// To elements of a list.
    Elements,
}

const HERE_ONE: [&str; 4] = ["not", "if", "then", "else"];
const HERE_LIST: [&str; 3] = ["allOf", "anyOf", "oneOf"];
const HERE_MAP: [&str; 2] = ["dependentSchemas", "dependencies"];
const MEMBERS_ONE: [&str; 3] = ["additionalProperties", "unevaluatedProperties", "propertyNames"];
const ELEMENTS_ONE: [&str; 4] = ["additionalItems", "unevaluatedItems", "contains", "items"];
const ELEMENTS_LIST: [&str; 2] = ["items", "prefixItems"];
const REFERENCES: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];
const KEPT_MAP: [&str; 2] = ["$defs", "definitions"];

/// The parts that a schema applies, without those behind references.
pub(crate) fn parts<'s, 'j>(schema: &'s Json<'j>) -> Vec<(Place, &'s Json<'j>)> {
    let mut parts = Vec::new();
    let one = |parts: &mut Vec<_>, keys: &[&str], place: Place| {
        parts.extend(
            keys.iter().filter_map(|key| schema.member(key)).filter(is_schema).map(|part| (place.clone(), part)),
        );
    };
    let list = |parts: &mut Vec<_>, keys: &[&str], place: Place| {
        let lists = keys.iter().filter_map(|key| schema.member(key)?.as_list());
        parts.extend(lists.flatten().filter(is_schema).map(|part| (place.clone(), part)));
    };
    let map = |keys: &'static [&'static str]| {
        keys.iter().filter_map(|key| schema.member(key)?.as_object()).flatten().filter(|(_, part)| is_schema(&part))
    };
    one(&mut parts, &HERE_ONE, Place::Here);
    list(&mut parts, &HERE_LIST, Place::Here);
    parts.extend(map(&HERE_MAP).map(|(_, part)| (Place::Here, part)));
    parts.extend(map(&["properties"]).map(|(name, part)| (Place::Member(name.to_string()), part)));
    parts.extend(map(&["patternProperties"]).map(|(_, part)| (Place::Members, part)));
    one(&mut parts, &MEMBERS_ONE, Place::Members);
    one(&mut parts, &ELEMENTS_ONE, Place::Elements);
    list(&mut parts, &ELEMENTS_LIST, Place::Elements);
    parts
}

/// The parts that a schema only keeps for references.
pub(crate) fn kept<'s, 'j>(schema: &'s Json<'j>) -> impl Iterator<Item = &'s Json<'j>> {
    KEPT_MAP.iter().filter_map(|key| schema.member(key)?.as_object()).flatten().map(|(_, part)| part).filter(is_schema)
}

/// The references of a schema itself.
pub(crate) fn references<'s>(schema: &'s Json<'_>) -> impl Iterator<Item = &'s str> {
    REFERENCES.iter().filter_map(|key| schema.member(key)?.as_text())
}

/// Follows a reference into the schema it stands in.
///
/// # Errors
/// If it does not point into the schema, or points to nothing.
pub(crate) fn resolve<'s, 'j>(root: &'s Json<'j>, reference: &str) -> Result<&'s Json<'j>, SchemaError> {
    let Some(fragment) = reference.strip_prefix('#') else {
        return Err(SchemaError::RemoteReference(reference.chars().take(200).collect()));
    };
    let found = if fragment.is_empty() {
        Some(root)
    } else if let Some(pointer) = fragment.strip_prefix('/') {
        pointer.split('/').try_fold(root, step)
    } else {
        anchor(root, fragment)
    };
    found.filter(is_schema).ok_or_else(|| SchemaError::DanglingReference(reference.chars().take(200).collect()))
}

fn step<'s, 'j>(schema: &'s Json<'j>, token: &str) -> Option<&'s Json<'j>> {
    let token = percent_decoded(token)?.replace("~1", "/").replace("~0", "~");
    match schema {
        Json::Object(_) => schema.member(&token),
        Json::List(items) => items.get(token.parse::<usize>().ok()?),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Text(_) => None,
    }
}

fn percent_decoded(token: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(token.len());
    let mut rest = token.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        let (high, low) = (digit(rest.next())?, digit(rest.next())?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok()
}

fn anchor<'s, 'j>(schema: &'s Json<'j>, name: &str) -> Option<&'s Json<'j>> {
    let named = |key: &str| schema.member(key).and_then(Json::as_text) == Some(name);
    if named("$anchor") || named("$dynamicAnchor") {
        return Some(schema);
    }
    parts(schema).into_iter().map(|(_, part)| part).chain(kept(schema)).find_map(|part| anchor(part, name))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that `filter` asks for")]
fn is_schema(json: &&Json<'_>) -> bool {
    matches!(json, Json::Object(_) | Json::Bool(_))
}

/// The properties that apply to the value itself, in any alternative and behind local references.
pub(crate) fn properties(root: &Json<'_>) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for schema in here(root, root) {
        names.extend(
            schema
                .member("properties")
                .and_then(Json::as_object)
                .into_iter()
                .flatten()
                .map(|(name, _)| name.to_string()),
        );
    }
    names
}

/// The schema and all parts that apply to the same value, in any alternative and behind local references. A
/// reference that leads nowhere is left out.
pub(crate) fn here<'s, 'j>(root: &'s Json<'j>, schema: &'s Json<'j>) -> Vec<&'s Json<'j>> {
    let mut found: Vec<&Json<'_>> = Vec::new();
    let mut waiting = vec![schema];
    while let Some(next) = waiting.pop() {
        if found.iter().any(|seen| std::ptr::eq(*seen, next)) {
            continue;
        }
        found.push(next);
        waiting.extend(parts(next).into_iter().filter(|(place, _)| *place == Place::Here).map(|(_, part)| part));
        waiting.extend(references(next).filter_map(|reference| resolve(root, reference).ok()));
    }
    found
}
