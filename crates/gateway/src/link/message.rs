//! A message as HTTP: the headers of a request, the body of an answer.

use std::io;

use base64::Engine as _;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use refmon_core::bundle::Tool;
use refmon_core::json::{Json, Strictness};
use refmon_core::limits;

use crate::message::Message;

/// The headers that mirror the body (MCP 2026-07-28, request metadata).
pub(crate) fn describe(message: &Message, version: &str, method: &str, headers: &mut HeaderMap) {
    let name = match method {
        "tools/call" | "prompts/get" => message.text("name"),
        "resources/read" => message.text("uri"),
        _ => None,
    };
    let headed = [("mcp-protocol-version", Some(version)), ("mcp-method", Some(method)), ("mcp-name", name.as_deref())];
    for (header, value) in headed {
        if let Some(Ok(value)) = value.map(|value| HeaderValue::from_str(&encoded(value))) {
            headers.insert(HeaderName::from_static(header), value);
        }
    }
}

/// Bytes of an argument in a header. A longer one is left out; the server refuses the call then.
const MIRRORED_BYTES_MAX: usize = 8 * 1024;

/// The headers that mirror arguments (MCP 2026-07-28, custom headers from tool parameters): those that the tool's pinned
/// definition wants, made of the very arguments that were judged. Nothing that a client says in such a header gets here.
pub(crate) fn mirror(tool: &Tool, message: &Message, headers: &mut HeaderMap) {
    if tool.headers.is_empty() {
        return;
    }
    let Some(Ok(arguments)) = message.value("arguments").map(|value| Json::parse_with(value, Strictness::Data)) else {
        return;
    };
    for one in &tool.headers {
        let value = one.path.iter().try_fold(&arguments, |at, name| at.member(name));
        let text = match value {
            Some(Json::Text(text)) => text.to_string(),
            Some(Json::Bool(flag)) => flag.to_string(),
            Some(Json::Number(number)) => number.as_i64().map(|number| number.to_string()).unwrap_or_default(),
            _ => continue,
        };
        let name = HeaderName::from_bytes(format!("mcp-param-{}", one.header).as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(&encoded(&text)))
            && text.len() <= MIRRORED_BYTES_MAX
        {
            headers.insert(name, value);
        }
    }
}

/// A header value, in the form for values that are not plain ASCII (MCP 2026-07-28, value encoding) where needed.
fn encoded(value: &str) -> String {
    let plain = value.bytes().all(|byte| matches!(byte, b' '..=b'~')) && value.trim() == value;
    let sentinel = value.starts_with("=?base64?") && value.ends_with("?=");
    if plain && !sentinel {
        return value.to_owned();
    }
    format!("=?base64?{}?=", base64::engine::general_purpose::STANDARD.encode(value))
}

/// Reads a body of at most one frame.
pub(crate) async fn bounded(body: Incoming) -> io::Result<Vec<u8>> {
    let limited = http_body_util::Limited::new(body, limits::FRAME_BYTES_MAX);
    Ok(limited.collect().await.map_err(io::Error::other)?.to_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_is_not_plain_is_encoded_as_the_specification_says() {
        for (value, header) in [
            ("us-west1", "us-west1"),
            ("Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="),
            (" padded ", "=?base64?IHBhZGRlZCA=?="),
            ("line1\nline2", "=?base64?bGluZTEKbGluZTI=?="),
            ("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
        ] {
            assert_eq!(encoded(value), header);
        }
    }
}
