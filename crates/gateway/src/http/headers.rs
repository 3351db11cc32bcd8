//! Headers that mirror the body: what they say must be what the body says (MCP 2026-07-28, server validation).

use base64::Engine as _;
use http::{HeaderMap, HeaderValue};
use refmon_core::json::{Json, Number, Strictness};
use refmon_core::limits;

use crate::message::{Kind, Message};
use crate::method::{NEWER, VERSIONS};

/// How headers begin that mirror an argument of a tool (MCP 2026-07-28, custom headers from tool parameters).
const PARAMETER: &str = "mcp-param-";
/// Headers of one request that mirror arguments.
const PARAMETERS_MAX: usize = 16;
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
/// specification. They go no further; see `link::message::mirror`. The arguments are looked through once, whatever the headers.
fn mirrored(headers: &HeaderMap, message: &Message) -> Result<(), Disagreement> {
    let wrong = || Disagreement::Mismatch("mcp-param");
    let mut said = Vec::new();
    for (name, value) in headers.iter().filter(|(name, _)| name.as_str().starts_with(PARAMETER)) {
        let once = headers.get_all(name).iter().nth(1).is_none();
        let text = value.to_str().ok().and_then(|value| decoded(value).ok()).filter(|_| once).ok_or_else(wrong)?;
        said.push(Said { scalar: scalar(&text), text });
    }
    if said.is_empty() {
        return Ok(());
    }
    let arguments = message.value("arguments").filter(|bytes| bytes.len() <= limits::ARGUMENT_BYTES_MAX);
    // What is too large is never permitted, so nothing is lost by not looking at it.
    if said.len() > PARAMETERS_MAX || arguments.is_none() {
        return Err(wrong());
    }
    if let Some(Ok(arguments)) = arguments.map(|bytes| Json::parse_with(bytes, Strictness::Data)) {
        cross_off(&arguments, &mut said);
    }
    if said.is_empty() { Ok(()) } else { Err(wrong()) }
}

/// What a header says: its text, and the number or the switch that this may stand for.
struct Said {
    text: String,
    scalar: Option<Scalar>,
}

#[derive(PartialEq)]
enum Scalar {
    Flag(bool),
    Whole(i64),
    Real(f64),
}

fn scalar(text: &str) -> Option<Scalar> {
    if text.len() > SCALAR_BYTES_MAX {
        return None;
    }
    match Json::parse(text.as_bytes()).ok()? {
        Json::Bool(flag) => Some(Scalar::Flag(flag)),
        Json::Number(number) => of_number(&number),
        Json::Null | Json::Text(_) | Json::List(_) | Json::Object(_) => None,
    }
}

fn of_number(number: &Number<'_>) -> Option<Scalar> {
    number.as_i64().map(Scalar::Whole).or_else(|| number.as_f64().map(Scalar::Real))
}

/// Takes away what one of the scalars in a value says.
fn cross_off(json: &Json<'_>, said: &mut Vec<Said>) {
    if said.is_empty() {
        return;
    }
    match json {
        Json::Null => {}
        Json::Text(text) => said.retain(|said| said.text != *text),
        Json::Bool(flag) => said.retain(|said| said.scalar != Some(Scalar::Flag(*flag))),
        Json::Number(number) => {
            let own = of_number(number);
            said.retain(|said| own.is_none() || said.scalar != own);
        }
        Json::List(items) => items.iter().for_each(|item| cross_off(item, said)),
        Json::Object(members) => members.iter().for_each(|(_, value)| cross_off(value, said)),
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
        let names = ["mcp-param-a", "mcp-param-b", "mcp-param-c", "mcp-param-d"];
        let four: Vec<_> = names.into_iter().zip(["eu", "42", "eu", "true"]).collect();
        assert_eq!(check(&four), Ok(()), "two may say the same");
        let many: Vec<(&'static str, &'static str)> =
            (0..=PARAMETERS_MAX).map(|at| (&*format!("mcp-param-{at}").leak(), "eu")).collect();
        assert_eq!(check(&many), Err(Disagreement::Mismatch("mcp-param")), "more than anybody needs");
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
