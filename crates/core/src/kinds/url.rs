//! URLs.
//!
//! Parsed as browsers and most clients do (WHATWG URL Standard), so that every spelling of an address is
//! recognised: `0x7f.1`, `2130706433`, `[::ffff:127.0.0.1]`, `localhost.`. Refused as ambiguous, because parsers
//! disagree about them: user names and passwords, backslashes, surrounding spaces, other than two slashes before the host,
//! and hosts with anything but letters, digits, `-`, `_` and `.` in them.
//!
//! An address is *private* if it is not on the public Internet: loopback, link-local (which holds the metadata
//! services), private, shared, documentation, multicast and reserved ranges of IPv4 and IPv6, IPv4 inside IPv6 in
//! every transition form, names of the local machine and network, and public names that are known to resolve to
//! whatever address they spell. A public name can still resolve to a private address: that is seen only by who
//! resolves it, so a tool that fetches needs its own guard or a network without a way inside.

use std::net::{Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

use super::{Answer, unfit};
use crate::facts::{Fact, FactType};
use crate::reason::ReasonCode;

/// Facts of a URL: `value` normalised, `scheme`, `host` in lower case without a final dot, `port` (0 if the
/// scheme has none), `domain` registered domain or empty, `path`, `ip` the host is an address, `private`.
pub const FACTS: &[(&str, FactType)] = &[
    ("value", FactType::Text),
    ("scheme", FactType::Text),
    ("host", FactType::Text),
    ("port", FactType::Long),
    ("domain", FactType::Text),
    ("path", FactType::Text),
    ("ip", FactType::Flag),
    ("private", FactType::Flag),
];

/// Names that stand for the machine or its network.
const LOCAL_NAMES: &[&str] =
    &["localhost", "local", "localdomain", "internal", "intranet", "lan", "home", "corp", "home.arpa"];
/// Public names below which any address can be spelled, or that resolve to the loopback address.
const ECHO_NAMES: &[&str] = &["nip.io", "sslip.io", "xip.io", "localtest.me", "lvh.me", "vcap.me", "lacolhost.com"];

pub(super) fn facts(text: &str, schemes: &[String], hosts: &[String], private_allowed: bool) -> Answer {
    if text.contains(['\\', ' ']) {
        return Err(unfit(ReasonCode::AmbiguousText, "a URL without spaces and backslashes"));
    }
    let url = Url::parse(text).map_err(|_| unfit(ReasonCode::KindMismatch, "an absolute URL"))?;
    if url.has_host() && !text.get(url.scheme().len()..).is_some_and(spells_an_authority) {
        return Err(unfit(ReasonCode::AmbiguousText, "a URL with two slashes before its host, and no escapes in that"));
    }
    if !url.username().is_empty() || url.password().is_some() || has_user_info(text) {
        return Err(unfit(ReasonCode::AmbiguousText, "a URL without user name and password"));
    }
    if !schemes.iter().any(|scheme| scheme == url.scheme()) {
        return Err(unfit(ReasonCode::HostRefused, format!("one of the schemes {}", schemes.join(", "))));
    }
    let host = url.host_str().filter(|host| !host.is_empty()).and_then(|host| Host::parse(host).ok());
    let host = host.ok_or_else(|| unfit(ReasonCode::KindMismatch, "a URL with a host"))?;
    if matches!(&host, Host::Domain(name) if !plain(name)) {
        return Err(unfit(ReasonCode::AmbiguousText, "a host of letters, digits, `-`, `_` and `.`"));
    }
    let (name, ip) = match &host {
        Host::Domain(name) => (name.trim_end_matches('.').to_ascii_lowercase(), false),
        Host::Ipv4(address) => (address.to_string(), true),
        Host::Ipv6(address) => (address.to_string(), true),
    };
    let private = match &host {
        Host::Domain(_) => private_name(&name),
        Host::Ipv4(address) => private_v4(*address),
        Host::Ipv6(address) => private_v6(*address),
    };
    if private && !private_allowed {
        return Err(unfit(ReasonCode::PrivateAddress, "an address on the public Internet"));
    }
    if !hosts.is_empty() && !hosts.iter().any(|allowed| below(&name, allowed)) {
        return Err(unfit(ReasonCode::HostRefused, "a host that the contract allows"));
    }
    let domain = if ip { String::new() } else { registered(&name) };
    Ok([
        ("value", Fact::Text(url.to_string())),
        ("scheme", Fact::Text(url.scheme().to_owned())),
        ("port", Fact::Long(i64::from(url.port_or_known_default().unwrap_or(0)))),
        ("path", Fact::Text(url.path().to_owned())),
        ("host", Fact::Text(name)),
        ("domain", Fact::Text(domain)),
        ("ip", Fact::Flag(ip)),
        ("private", Fact::Flag(private)),
    ]
    .into())
}

/// Whether what follows the scheme is `://` and no third slash: parsers disagree where the host of another one begins.
fn spells_an_authority(rest: &str) -> bool {
    let authority = rest.strip_prefix("://").and_then(|rest| rest.split(['/', '?', '#']).next());
    // An escape in a host is a letter of it for some parsers, and its end for others.
    authority.is_some_and(|authority| !authority.is_empty() && !authority.contains('%') && one_name(authority))
}

/// Whether a name beyond ASCII is the same name by IDNA 2003 and 2008 (RFC 5894, section 7.2; UTS 46, section 7): for programs that
/// still read the older one, `ß` is `ss`.
pub(super) fn one_name(name: &str) -> bool {
    let differs = |c: char| matches!(c, '\u{df}' | '\u{3c2}' | '\u{1e9e}' | '\u{200c}' | '\u{200d}' | '\u{13a0}'..='\u{13fd}' | '\u{ab70}'..='\u{abbf}');
    !name.contains(differs)
}

/// Whether a host's name has only what every parser takes for a part of it: for some, a host ends at `;` or a quote.
fn plain(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// Whether the authority has an `@`, even with nothing before it.
fn has_user_info(text: &str) -> bool {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().is_some_and(|authority| authority.contains('@'))
}

/// Whether a name is `domain` or below it.
pub(super) fn below(name: &str, domain: &str) -> bool {
    name.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// The registered domain (one label below the public suffix), or empty.
pub(super) fn registered(name: &str) -> String {
    psl::domain_str(name).unwrap_or_default().to_owned()
}

/// Whether an address is globally reachable unicast, with no private address inside it.
#[must_use]
pub fn is_public_address(address: std::net::IpAddr) -> bool {
    match address {
        std::net::IpAddr::V4(address) => !private_v4(address),
        std::net::IpAddr::V6(address) => !private_v6(address),
    }
}

fn private_name(name: &str) -> bool {
    !name.contains('.')
        || LOCAL_NAMES.iter().any(|local| below(name, local))
        || ECHO_NAMES.iter().any(|echo| below(name, echo))
}

/// Ranges of the IANA IPv4 special-purpose registry that are not globally reachable, and multicast.
const fn private_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    matches!(
        (a, b, c),
        (0 | 10 | 127 | 224.., _, _)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 168, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (192, 31, 196)
            | (192, 52, 193)
            | (192, 175, 48)
            | (198, 18..=19, _)
            | (198, 51, 100)
            | (203, 0, 113)
    ) || matches!(address.octets(), [168, 63, 129, 16])
}

/// Only global unicast (2000::/3) is public, and only if no IPv4 address inside it is private.
fn private_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, _, _, _, g, h] = address.segments();
    let v4 = |high: u16, low: u16| {
        let ([w, x], [y, z]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(w, x, y, z)
    };
    if address.to_ipv4_mapped().is_some() || matches!(address.segments(), [0x64, 0xff9b, 0, 0, 0, 0, _, _]) {
        return private_v4(v4(g, h));
    }
    match (a, b) {
        // 6to4 (RFC 3056) and Teredo (RFC 4380, the client's address is inverted).
        (0x2002, _) => private_v4(v4(b, c)),
        (0x2001, 0) => true,
        // Documentation, benchmarking, ORCHID.
        (0x2001, 0xdb8 | 2 | 0x10..=0x2f) | (0x3fff, _) => true,
        (0x2000..=0x3fff, _) => false,
        _ => true,
    }
}
