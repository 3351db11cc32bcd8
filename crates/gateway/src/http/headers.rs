//! Headers that mirror the body: what they say must be what the body says (MCP 2026-07-28, server validation).

use base64::Engine as _;
use http::{HeaderMap, HeaderValue};
use refmon_core::json::{Json, Strictness};

use crate::message::{Kind, Message};
use crate::method::{NEWER, VERSIONS};

/// How headers begin that mirror an argument of a tool (MCP 2026-07-28, custom headers from tool parameters).
const PARAMETER: &str = "mcp-param-";
/// Bytes of a number or a switch in a header.
const SCALAR_BYTES_MAX: usize = 64;

/// The header that names the client's span (W3C Trace Context).
const TRACE_PARENT: &str = "traceparent";

/// How a request disagrees with its headers.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Disagreement {
    /// The version is not one that is mediated, or not in this form.
    Version(String),
    /// Header and body differ, or one of them lacks what the other has.
    Mismatch(&'static str),
}

/// The one value of a header; an error if there are several, or it is not text.
pub(super) fn single<'h>(headers: &'h HeaderMap, name: &'static str) -> Result<Option<&'h str>, Disagreement> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| Disagreement::Mismatch(name)),
        (Some(_), Some(_)) => Err(Disagreement::Mismatch(name)),
    }
}

/// Whether a message is of the era in which each request stands for itself.
pub(super) fn is_modern(headers: &HeaderMap, message: &Message) -> bool {
    let header = headers.get("mcp-protocol-version").and_then(|value| value.to_str().ok());
    message.version().is_some() || header.is_some_and(|version| version >= NEWER)
}

/// Compares the headers of a request from 2026-07-28 on with its body.
pub(super) fn agree(headers: &HeaderMap, message: &Message) -> Result<(), Disagreement> {
    let (Kind::Request(method, _) | Kind::Notification(method)) = &message.kind else {
        return Err(Disagreement::Mismatch("mcp-method"));
    };
    let header = single(headers, "mcp-protocol-version")?;
    let body = message.version();
    match (header, body.as_deref()) {
        (Some(header), Some(body)) if header != body => return Err(Disagreement::Mismatch("mcp-protocol-version")),
        (None, Some(_)) => return Err(Disagreement::Mismatch("mcp-protocol-version")),
        (Some(version), _) if version < NEWER || !VERSIONS.contains(&version) => {
            return Err(Disagreement::Version(version.to_owned()));
        }
        _ => {}
    }
    if matches!(message.kind, Kind::Notification(_)) {
        return Ok(());
    }
    if single(headers, "mcp-method")? != Some(method.as_str()) {
        return Err(Disagreement::Mismatch("mcp-method"));
    }
    let name = match method.as_str() {
        "tools/call" | "prompts/get" => message.text("name"),
        "resources/read" => message.text("uri"),
        _ => None,
    };
    let header = single(headers, "mcp-name")?.map(decoded).transpose()?;
    match (name, header) {
        (Some(name), Some(header)) if name == header => mirrored(headers, message),
        (None, None) => Ok(()),
        // Other methods have no name; what the header says about them is nobody's.
        (None, Some(_)) if !matches!(method.as_str(), "tools/call" | "prompts/get" | "resources/read") => Ok(()),
        _ => Err(Disagreement::Mismatch("mcp-name")),
    }
}

/// Compares `Mcp-Param-*` headers with the arguments: what says something else was not made by a client that follows the
/// specification. They go no further; see `link::message::mirror`.
fn mirrored(headers: &HeaderMap, message: &Message) -> Result<(), Disagreement> {
    const NAME: &str = "mcp-param";
    let mut said = headers.iter().filter(|(name, _)| name.as_str().starts_with(PARAMETER)).peekable();
    if said.peek().is_none() {
        return Ok(());
    }
    let arguments = message.value("arguments").and_then(|value| Json::parse_with(value, Strictness::Data).ok());
    for (name, value) in said {
        let value = value.to_str().ok().and_then(|value| decoded(value).ok()).ok_or(Disagreement::Mismatch(NAME))?;
        let once = headers.get_all(name).iter().nth(1).is_none();
        let parsed = Json::parse(value.as_bytes()).ok().filter(|_| value.len() <= SCALAR_BYTES_MAX);
        let scalar = parsed.filter(|parsed| matches!(parsed, Json::Bool(_) | Json::Number(_)));
        if !once || !arguments.as_ref().is_some_and(|arguments| says(arguments, &value, scalar.as_ref())) {
            return Err(Disagreement::Mismatch(NAME));
        }
    }
    Ok(())
}

/// Whether one of the scalars in a value is what a header says.
fn says(json: &Json<'_>, header: &str, scalar: Option<&Json<'_>>) -> bool {
    match (json, scalar) {
        (Json::Text(text), _) => text == header,
        (Json::Bool(flag), Some(Json::Bool(said))) => flag == said,
        (Json::Number(number), Some(Json::Number(said))) => match (number.as_i64(), said.as_i64()) {
            (Some(number), Some(said)) => number == said,
            (None, None) => number.as_f64() == said.as_f64(),
            _ => false,
        },
        (Json::Null | Json::Bool(_) | Json::Number(_), _) => false,
        (Json::List(items), _) => items.iter().any(|item| says(item, header, scalar)),
        (Json::Object(members), _) => members.iter().any(|(_, value)| says(value, header, scalar)),
    }
}

/// A header value as the client meant it (MCP 2026-07-28, value encoding).
fn decoded(value: &str) -> Result<String, Disagreement> {
    let Some(inner) = value.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) else {
        return Ok(value.to_owned());
    };
    let bytes = base64::engine::general_purpose::STANDARD.decode(inner).ok();
    bytes.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or(Disagreement::Mismatch("mcp-name"))
}

/// What a request's headers say that its body does not: the parent of its trace.
pub(super) fn traced(headers: &HeaderMap) -> HeaderMap<HeaderValue> {
    parent(headers).into_iter().collect()
}

/// The one `traceparent`; it ends here.
fn parent(headers: &HeaderMap) -> Option<(http::HeaderName, HeaderValue)> {
    let value = single(headers, TRACE_PARENT).ok()??;
    Some((http::HeaderName::from_static(TRACE_PARENT), HeaderValue::from_str(value).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(headers: &[(&'static str, &'static str)], name: &str, meta: &str) -> Result<(), Disagreement> {
        let text =
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{name}","_meta":{meta}}}}}"#);
        let message = Message::parse(text.into_bytes(), Strictness::Request).unwrap();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        agree(&map, &message)
    }

    #[test]
    fn a_parameter_in_a_header_is_one_of_the_arguments() {
        let arguments = r#"{"region":"eu","n":42,"yes":true,"deep":[{"x":"é"}],"none":null}"#;
        let text = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"echo","arguments":{arguments},"_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}}}}"#
        );
        let message = Message::parse(text.into_bytes(), Strictness::Request).unwrap();
        let check = |parameters: &[(&'static str, &'static str)]| {
            let own = [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call"), ("mcp-name", "echo")];
            let mut map = HeaderMap::new();
            for (name, value) in own.iter().chain(parameters) {
                map.append(*name, HeaderValue::from_static(value));
            }
            agree(&map, &message)
        };
        for value in ["eu", "42", "true", "=?base64?w6k=?="] {
            assert_eq!(check(&[("mcp-param-x", value)]), Ok(()), "{value}");
        }
        for value in ["us", "", "EU", "43", "null", "region", "{}", "=?base64?!?=", "=?base64?dXM=?="] {
            assert_eq!(check(&[("mcp-param-x", value)]), Err(Disagreement::Mismatch("mcp-param")), "{value}");
        }
        let twice = [("mcp-param-x", "eu"), ("mcp-param-x", "eu")];
        assert_eq!(check(&twice), Err(Disagreement::Mismatch("mcp-param")));
    }

    #[test]
    fn header_and_body_say_the_same_or_the_request_is_refused() {
        let version = ("mcp-protocol-version", "2026-07-28");
        let method = ("mcp-method", "tools/call");
        let meta = r#"{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}"#;
        let all = [version, method, ("mcp-name", "echo")];
        assert_eq!(check(&all, "echo", meta), Ok(()));
        assert_eq!(check(&[version, method, ("mcp-name", "=?base64?w6k=?=")], "é", meta), Ok(()));
        for (headers, name, wrong) in [
            (&[version, method][..], "echo", "mcp-name"),
            (&all, "Echo", "mcp-name"),
            (&[version, method, ("mcp-name", "echo"), ("mcp-name", "rm")], "echo", "mcp-name"),
            (&[version, method, ("mcp-name", "=?base64?!!?=")], "echo", "mcp-name"),
            (&[version, ("mcp-method", "tools/list"), ("mcp-name", "echo")], "echo", "mcp-method"),
            (&[version, ("mcp-method", "Tools/Call"), ("mcp-name", "echo")], "echo", "mcp-method"),
            (&[version, ("mcp-name", "echo")], "echo", "mcp-method"),
            (&[method, ("mcp-name", "echo")], "echo", "mcp-protocol-version"),
            (&[("mcp-protocol-version", "2025-11-25"), method, ("mcp-name", "echo")], "echo", "mcp-protocol-version"),
        ] {
            assert_eq!(check(headers, name, meta), Err(Disagreement::Mismatch(wrong)), "{headers:?}");
        }
        let future = r#"{"io.modelcontextprotocol/protocolVersion":"2099-01-01"}"#;
        let headers = [("mcp-protocol-version", "2099-01-01"), method, ("mcp-name", "echo")];
        assert_eq!(check(&headers, "echo", future), Err(Disagreement::Version("2099-01-01".into())));
    }
}
