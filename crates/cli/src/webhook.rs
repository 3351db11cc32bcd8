//! The webhook: somebody outside is told that a call waits for a person.
//!
//! One `POST` for each hold, as Slack's incoming webhooks take it, with the same as data in `metadata`. It is signed as the
//! Standard Webhooks specification says (1.0, "signature scheme": HMAC-SHA-256 over identifier, time and body). What is sent
//! says who asks for what and why it waits; arguments and targets are not in it, and nothing that is answered is used but the
//! status. A link leads to the console, where whoever follows it must log in: it carries no right.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use refmon_core::ports::Clock;
use refmon_core::secret::Secret;
use refmon_core::untrusted::visible;
use refmon_gateway::link::Collector;
use refmon_gateway::session::Observer;
use refmon_store::Stores;
use refmon_store::outbox::Untold;
use refmon_store::risk::Risk;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::config::{ConfigError, check_value};
use crate::output::time;
use crate::secrets;

/// How often it is looked whether there is somebody to tell of.
const LOOK: Duration = Duration::from_secs(1);
/// Characters of a stranger's text in a message.
const TEXT_MAX: usize = 300;
/// Bytes of a key for signatures (Standard Webhooks: 24 to 64; less can be guessed).
const KEY_BYTES_MIN: usize = 24;

/// `[holds.webhook]` of `refmon.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Where it is told; a reference, where the address is itself a secret, as Slack's are.
    pub(crate) url: String,
    /// The key of the signatures, by reference: `whsec_` and base64, or any text of 24 bytes or more.
    pub(crate) secret: Option<String>,
    /// Whether the way there is private, and may do without encryption.
    #[serde(default)]
    pub(crate) private: bool,
    /// Where people open the console, for links: scheme, host and port.
    pub(crate) console: Option<String>,
}

impl Settings {
    /// Looks at what needs no lookup.
    pub(crate) fn check(&self) -> Result<(), String> {
        let wrong = |what: String| format!("[holds.webhook] {what}");
        if secrets::literal("url", &self.url) || self.url.contains("hooks.slack.com/services/") {
            let text =
                "`url` has a secret in it; put it into the environment and write `url = \"env://HOLDS_WEBHOOK\"`";
            return Err(wrong(text.to_owned()));
        }
        let Some(secret) = &self.secret else { return Ok(()) };
        check_value("SECRET", secret).map_err(wrong)
    }
}

/// Who is told.
pub(crate) struct Webhook {
    collector: Collector,
    key: Option<Secret<Vec<u8>>>,
    console: Option<String>,
}

impl Webhook {
    pub(crate) fn new(collector: Collector, secret: Option<Secret<String>>, console: Option<String>) -> Result<Self> {
        let key = secret.map(|secret| key(secret.expose())).transpose()?;
        Ok(Self { collector, key, console })
    }

    /// Tells of what waits, until it is dropped. A receiver that hangs keeps only the next message waiting, and what could not
    /// be delivered is tried again while it waits, by whichever gateway is there.
    pub(crate) async fn run(self, stores: Stores, clock: Arc<dyn Clock>, observer: Arc<dyn Observer>) {
        let stores = Arc::new(stores);
        let mut every = tokio::time::interval(LOOK);
        let mut failing = false;
        loop {
            every.tick().await;
            let (from, now) = (Arc::clone(&stores), clock.now());
            let taken = tokio::task::spawn_blocking(move || from.take_untold(now)).await;
            let Ok(Ok(taken)) = taken else {
                self.said(&mut failing, &observer, Err("the queue cannot be read".to_owned()));
                continue;
            };
            for untold in taken {
                let sent = self.send(&untold, clock.now().unix_us / 1_000_000).await;
                let delivered = sent.is_ok();
                self.said(&mut failing, &observer, sent.map_err(|error| error.to_string()));
                if delivered {
                    let to = Arc::clone(&stores);
                    // What cannot be noted as told is told again: receivers know it by its identifier.
                    let _noted = tokio::task::spawn_blocking(move || to.told(&untold)).await;
                }
            }
        }
    }

    fn said(&self, failing: &mut bool, observer: &Arc<dyn Observer>, sent: Result<(), String>) {
        match sent {
            Ok(()) if std::mem::take(failing) => observer.notice("the webhook of holds is reached again"),
            Err(error) if !std::mem::replace(failing, true) => {
                observer.notice(&format!("the webhook of holds fails, and is tried again: {error}"));
            }
            Ok(()) | Err(_) => {}
        }
    }

    async fn send(&self, untold: &Untold, seconds: u64) -> std::io::Result<()> {
        let body = message(untold, self.console.as_deref()).to_string();
        let id = untold.id.to_string();
        let mut headers = vec![("webhook-id", id.clone()), ("webhook-timestamp", seconds.to_string())];
        if let Some(key) = &self.key {
            headers.push(("webhook-signature", signature(key.expose(), &id, seconds, &body)));
        }
        self.collector.send_with(body.into_bytes(), &headers).await
    }
}

/// The bytes of a key.
fn key(secret: &str) -> Result<Secret<Vec<u8>>> {
    let bytes = match secret.strip_prefix("whsec_") {
        Some(encoded) => STANDARD.decode(encoded).ok(),
        None => Some(secret.as_bytes().to_vec()),
    };
    let bytes = bytes.filter(|bytes| bytes.len() >= KEY_BYTES_MIN);
    let wrong = || {
        ConfigError::new(format!(
            "[holds.webhook] `secret` must be {KEY_BYTES_MIN} bytes or more, or `whsec_` and such bytes as base64"
        ))
    };
    Ok(Secret::new(bytes.ok_or_else(wrong)?))
}

/// A signature (Standard Webhooks 1.0).
fn signature(key: &[u8], id: &str, seconds: u64, body: &str) -> String {
    // INVARIANT: HMAC takes keys of any length (RFC 2104, section 2).
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return String::new() };
    mac.update(format!("{id}.{seconds}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

/// What is told of a hold. Words of strangers are plain text in it, short, with what is invisible escaped.
fn message(untold: &Untold, console: Option<&str>) -> Value {
    let text = |text: &str| {
        let shown = visible(text);
        let cut: String = shown.chars().take(TEXT_MAX).collect();
        if cut.len() < shown.len() { format!("{cut}…") } else { cut }
    };
    let (user, agent, action) = (text(&untold.user), text(&untold.agent), text(&untold.action));
    let effects: Vec<&str> = untold.effects.iter().map(|effect| effect.as_str()).collect();
    let (risk, why, id) = (Risk::words(untold.risk), text(&untold.explanation), untold.id.to_string());
    let head = format!("{agent} (for {user}) waits for a person: {action}");
    let next = match console {
        Some(console) => format!("{console}/holds/{id}"),
        None => format!("refmon holds show {id}"),
    };
    let plain = |text: String| json!({ "type": "plain_text", "text": text, "emoji": false });
    let body = format!(
        "{head}\n{why} [{}]\nrisk: {risk}; effects: {}\nuntil {}",
        untold.reason,
        effects.join(", "),
        time(untold.expires_us)
    );
    let mut blocks = vec![json!({ "type": "section", "text": plain(body) })];
    match console {
        Some(_) => blocks.push(json!({ "type": "actions", "elements": [
            { "type": "button", "text": plain("Look at it".to_owned()), "url": next } ] })),
        None => blocks.push(json!({ "type": "section", "text": plain(next.clone()) })),
    }
    // Slack reads markup in this one, which stands in notifications.
    let escaped = head.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    json!({
        "text": escaped, "blocks": blocks,
        "metadata": { "event_type": "refmon_hold", "event_payload": {
            "hold": id, "tenant": untold.tenant, "user": user, "agent": agent, "action": action, "effects": effects.join(" "),
            "risk": risk, "reason": untold.reason, "why": why, "placed": time(untold.placed_us),
            "expires": time(untold.expires_us), "next": next,
        } },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example of the Standard Webhooks specification, from its reference libraries.
    #[test]
    fn a_signature_is_that_of_the_specification() {
        let key = key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let body = r#"{"test": 2432232314}"#;
        let signed = signature(key.expose(), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        for short in ["", "whsec_AAAA", "whsec_*", "twenty three characters"] {
            assert!(super::key(short).is_err(), "{short}");
        }
    }

    #[test]
    fn a_message_shows_what_strangers_wrote_as_plain_text_and_short() {
        let untold = Untold {
            tenant: "t".to_owned(),
            id: refmon_core::ids::HoldId::from_bytes([7; 16]),
            user: "<!channel>&\u{202e}".to_owned(),
            agent: "a".repeat(5_000),
            action: "s/t@1".to_owned(),
            effects: vec![refmon_core::contract::Effect::Write],
            risk: 20,
            reason: "hold.contract".to_owned(),
            explanation: "why\nnot".to_owned(),
            placed_us: 0,
            expires_us: 600_000_000,
        };
        let told = message(&untold, Some("https://refmon.example"));
        let text = told["text"].as_str().unwrap();
        assert!(text.contains("&lt;!channel&gt;&amp;\\u{202e}") && !text.contains('<'), "{text}");
        assert!(told.to_string().len() < 4_096 && told["blocks"][0]["text"]["type"] == "plain_text");
        assert_eq!(told["blocks"][1]["elements"][0]["url"], format!("https://refmon.example/holds/{}", untold.id));
        assert!(!told.to_string().contains('\u{202e}') && told.to_string().contains("why\\\\u{a}not"));
        assert!(message(&untold, None).to_string().contains("refmon holds show"));
    }
}
