//! Mail addresses and domain names.
//!
//! A mail address here is one address without display name, comment, quoting or routing: the common core of
//! RFC 5321 that every program reads alike: no `%` or `!`, which some take for a way by another host, nothing that a shell or a mailer
//! acts on (`|`, `/`, a backquote), and no `-` at its
//! beginning, which some take for an option. Domain names are compared in their ASCII form (UTS 46), in lower
//! case.

use super::url::{below, one_name, registered};
use super::{Answer, Unfit, unfit};
use crate::facts::{Fact, FactType};
use crate::reason::ReasonCode;

/// Facts of a mail address: `value` with the domain in ASCII lower case, `local` part, `domain`, `registered`
/// domain or empty.
pub const EMAIL_FACTS: &[(&str, FactType)] =
    &[("value", FactType::Text), ("local", FactType::Text), ("domain", FactType::Text), ("registered", FactType::Text)];

/// Facts of a domain name: `value` in ASCII lower case, `registered` domain or empty.
pub const DOMAIN_FACTS: &[(&str, FactType)] = &[("value", FactType::Text), ("registered", FactType::Text)];

pub(super) fn email(text: &str, domains: &[String]) -> Answer {
    let wrong = || unfit(ReasonCode::KindMismatch, "one mail address without a display name");
    let (local, domain) = text.split_once('@').ok_or_else(wrong)?;
    let atom = |c: char| c.is_ascii_alphanumeric() || "#&'+-=_~.".contains(c);
    let dots = local.starts_with(['.', '-']) || local.ends_with('.') || local.contains("..");
    if local.is_empty() || local.len() > 64 || !local.chars().all(atom) || dots {
        return Err(wrong());
    }
    let domain = name(domain)?;
    if !domains.is_empty() && !domains.contains(&domain) {
        return Err(unfit(ReasonCode::HostRefused, "a mail address in a domain that the contract allows"));
    }
    Ok([
        ("value", Fact::Text(format!("{local}@{domain}"))),
        ("local", Fact::Text(local.to_owned())),
        ("registered", Fact::Text(registered(&domain))),
        ("domain", Fact::Text(domain)),
    ]
    .into())
}

pub(super) fn domain(text: &str, domains: &[String]) -> Answer {
    let domain = name(text)?;
    if !domains.is_empty() && !domains.iter().any(|allowed| below(&domain, allowed)) {
        return Err(unfit(ReasonCode::HostRefused, "a domain that the contract allows"));
    }
    Ok([("registered", Fact::Text(registered(&domain))), ("value", Fact::Text(domain))].into())
}

/// A domain name of at least two labels, in ASCII lower case.
fn name(text: &str) -> Result<String, Unfit> {
    let wrong = || unfit(ReasonCode::KindMismatch, "a domain name");
    let ascii = match url::Host::parse(text) {
        Ok(url::Host::Domain(name)) => name.to_ascii_lowercase(),
        _ => return Err(wrong()),
    };
    let label = |label: &str| {
        let plain = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        !label.is_empty() && label.len() <= 63 && plain && !label.starts_with('-') && !label.ends_with('-')
    };
    let fits = ascii.len() <= 253 && ascii.contains('.') && ascii.split('.').all(label);
    if fits && !text.contains('%') && one_name(text) { Ok(ascii) } else { Err(wrong()) }
}
