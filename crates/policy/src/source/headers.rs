//! `x-mcp-header`: the arguments that a definition wants to see in headers.

use refmon_core::bundle::Mirrored;
use refmon_core::json::Json;

/// The keyword (MCP 2026-07-28, custom headers from tool parameters).
const KEYWORD: &str = "x-mcp-header";
/// Steps that lead to an argument.
const DEPTH_MAX: usize = 16;

/// The arguments that a schema wants to see in headers: texts, whole numbers and switches that only `properties` lead to,
/// each with a name that can be part of a header's and that no other one has. An annotation that is none is left out, so
/// that no header is made for it.
pub(super) fn mirrored(schema: &Json<'_>) -> Vec<Mirrored> {
    let mut found = Vec::new();
    collect(schema, &mut Vec::new(), &mut found);
    let twice: Vec<String> = found
        .iter()
        .filter(|one: &&Mirrored| found.iter().filter(|other| other.header == one.header).count() > 1)
        .map(|one| one.header.clone())
        .collect();
    found.retain(|one| !twice.contains(&one.header));
    found
}

fn collect(schema: &Json<'_>, path: &mut Vec<String>, found: &mut Vec<Mirrored>) {
    if path.len() >= DEPTH_MAX {
        return;
    }
    for (name, property) in schema.member("properties").and_then(Json::as_object).unwrap_or_default() {
        path.push(name.to_string());
        let primitive =
            matches!(property.member("type").and_then(Json::as_text), Some("string" | "integer" | "boolean"));
        if let Some(header) = property.member(KEYWORD).and_then(Json::as_text).filter(|name| primitive && token(name)) {
            found.push(Mirrored { header: header.to_ascii_lowercase(), path: path.clone() });
        }
        collect(property, path, found);
        path.pop();
    }
}

/// A token (RFC 9110, section 5.6.2).
fn token(name: &str) -> bool {
    let part = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.len() <= 128 && name.bytes().all(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_count_where_only_properties_lead_to_them() {
        let schema = r#"{"properties":{
            "region":{"type":"string","x-mcp-header":"Region"},
            "deep":{"type":"object","properties":{"n":{"type":"integer","x-mcp-header":"N"}}},
            "float":{"type":"number","x-mcp-header":"Float"},
            "list":{"type":"array","items":{"properties":{"x":{"type":"string","x-mcp-header":"X"}}}},
            "bad":{"type":"string","x-mcp-header":"a b"},
            "empty":{"type":"string","x-mcp-header":""},
            "one":{"type":"boolean","x-mcp-header":"Same"},
            "two":{"type":"boolean","x-mcp-header":"SAME"}},
            "anyOf":[{"properties":{"y":{"type":"string","x-mcp-header":"Y"}}}]}"#;
        let found = mirrored(&Json::parse(schema.as_bytes()).unwrap());
        let said: Vec<(&str, String)> = found.iter().map(|one| (one.header.as_str(), one.path.join("."))).collect();
        assert_eq!(said, [("region", "region".to_owned()), ("n", "deep.n".to_owned())]);
    }
}
