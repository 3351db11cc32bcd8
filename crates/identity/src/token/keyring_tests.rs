//! Keys over time: fetched rarely, withdrawn in time, and never from elsewhere.

use std::future::Future as _;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::limits::{FETCH_PAUSE_SECONDS, KEYS_BELIEVED_SECONDS, KEYS_FRESH_SECONDS};
use crate::refused::Why;
use crate::testing_tests::{A, NOW, Signer, Web, at, base64, claims, door, present, with};

const METADATA: &str = "https://a.example/.well-known/openid-configuration";
const OAUTH_METADATA: &str = "https://a.example/.well-known/oauth-authorization-server";
/// Metadata and keys.
const PAGES: usize = 2;

/// A token that is valid for a day.
fn long(signer: &Signer, kid: &str) -> String {
    signer.token(kid, &with(claims(A), "exp", json!(NOW + 86_400)))
}

fn reason(result: Result<impl Sized, Why>) -> String {
    let why = result.err().expect("the token is refused");
    let source = std::error::Error::source(&why).map(|source| format!("{why}: {source}"));
    source.unwrap_or_else(|| why.to_string())
}

#[test]
fn keys_are_fetched_once_for_many_tokens() {
    let (web, signer) = (Arc::new(Web::default()), Signer::p256());
    web.issuer(A, &[signer.jwk("k1")]);
    let door = door(&web);
    for user in 0..50 {
        let token = signer.token("k1", &with(claims(A), "sub", json!(format!("u{user}"))));
        assert!(present(&door, &token, NOW + user).is_ok());
    }
    assert_eq!(web.fetched(), PAGES);
    let later = NOW + KEYS_FRESH_SECONDS;
    assert!(present(&door, &long(&signer, "k1"), later).is_ok());
    assert_eq!(web.fetched(), 2 * PAGES);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_flood_of_unknown_keys_is_no_flood_of_fetches(steps in prop::collection::vec((0u64..40, any::<u32>()), 1..60)) {
        let (web, signer) = (Arc::new(Web::default()), Signer::ed25519());
        web.issuer(A, &[signer.jwk("k1")]);
        let door = door(&web);
        let mut now = NOW;
        for (seconds, kid) in steps {
            now += seconds;
            let refused = present(&door, &long(&signer, &format!("unknown-{kid}")), now);
            prop_assert!(matches!(refused, Err(Why::Key)));
            prop_assert!(present(&door, &long(&signer, "k1"), now).is_ok(), "the flood hurts nobody else");
        }
        let attempts = usize::try_from((now - NOW) / FETCH_PAUSE_SECONDS).unwrap() + 1;
        prop_assert!(web.fetched() <= attempts * PAGES, "{} pages, {attempts} attempts allowed", web.fetched());
    }
}

#[test]
fn a_flood_is_no_flood_of_fetches_if_the_issuer_is_down() {
    let (web, signer) = (Arc::new(Web::default()), Signer::ed25519());
    let door = door(&web);
    for second in 0..FETCH_PAUSE_SECONDS {
        let refused = reason(present(&door, &long(&signer, "k1"), NOW + second));
        assert!(refused.contains("metadata cannot be fetched"), "{refused}");
    }
    assert_eq!(web.fetched(), 2, "both places of the metadata, once");
    web.issuer(A, &[signer.jwk("k1")]);
    assert!(present(&door, &long(&signer, "k1"), NOW + FETCH_PAUSE_SECONDS).is_ok());
}

#[test]
fn a_new_key_works_after_the_pause_and_a_withdrawn_one_stops() {
    let (web, old, new) = (Arc::new(Web::default()), Signer::p256(), Signer::p256());
    web.issuer(A, &[old.jwk("old")]);
    let door = door(&web);
    assert!(present(&door, &long(&old, "old"), NOW).is_ok());
    web.issuer(A, &[new.jwk("new")]);
    assert!(matches!(present(&door, &long(&new, "new"), NOW + 29), Err(Why::Key)), "the pause is not over");
    let remembered = long(&old, "old");
    assert!(present(&door, &remembered, NOW + 29).is_ok(), "nobody has asked yet");
    assert!(present(&door, &long(&new, "new"), NOW + 30).is_ok());
    assert!(matches!(present(&door, &remembered, NOW + 30), Err(Why::Key)), "not even a remembered token");
    assert!(matches!(present(&door, &long(&old, "new"), NOW + 30), Err(Why::Signature)));
}

#[test]
fn a_withdrawn_key_stops_when_the_keys_are_old_even_if_nobody_brings_a_new_one() {
    let (web, old) = (Arc::new(Web::default()), Signer::p256());
    web.issuer(A, &[old.jwk("old")]);
    let door = door(&web);
    assert!(present(&door, &long(&old, "old"), NOW).is_ok());
    web.issuer(A, &[Signer::p256().jwk("new")]);
    assert!(matches!(present(&door, &long(&old, "old"), NOW + KEYS_FRESH_SECONDS), Err(Why::Key)));
}

#[test]
fn keys_that_cannot_be_fetched_anew_are_believed_for_a_while_and_no_longer() {
    let (web, signer) = (Arc::new(Web::default()), Signer::p256());
    web.issuer(A, &[signer.jwk("k1")]);
    let door = door(&web);
    assert!(present(&door, &long(&signer, "k1"), NOW).is_ok());
    web.remove(METADATA);
    for seconds in [KEYS_FRESH_SECONDS, KEYS_BELIEVED_SECONDS - 1] {
        assert!(present(&door, &long(&signer, "k1"), NOW + seconds).is_ok());
    }
    let refused = reason(present(&door, &long(&signer, "k1"), NOW + KEYS_BELIEVED_SECONDS));
    assert!(refused.contains("keys cannot be had"), "{refused}");
    web.issuer(A, &[signer.jwk("k1")]);
    assert!(present(&door, &long(&signer, "k1"), NOW + KEYS_BELIEVED_SECONDS + FETCH_PAUSE_SECONDS).is_ok());
}

#[test]
fn a_client_that_hangs_up_does_not_take_the_fetch_with_it() {
    let (web, signer) = (Arc::new(Web::default()), Signer::p256());
    web.issuer(A, &[signer.jwk("k1")]);
    let door = door(&web);
    let value = format!("Bearer {}", long(&signer, "k1"));
    web.stalled.store(true, Ordering::SeqCst);
    for second in 0..10 {
        let headers = [value.as_bytes()];
        let mut waiting = pin!(door.authenticate(&headers, at(NOW + second)));
        let polled = waiting.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(polled, Poll::Pending));
    }
    assert_eq!(web.fetched(), 1, "one attempt, begun by the first and continued by the others");
    web.stalled.store(false, Ordering::SeqCst);
    let continued = NOW + KEYS_FRESH_SECONDS - 1;
    assert!(present(&door, &long(&signer, "k1"), continued).is_ok());
    assert_eq!(web.fetched(), PAGES);
    assert!(present(&door, &long(&signer, "k1"), continued + 1).is_ok());
    assert_eq!(web.fetched(), 2 * PAGES, "keys are as old as the attempt that brought them");
}

#[test]
fn known_tokens_do_not_wait_for_a_slow_issuer() {
    let (web, signer) = (Arc::new(Web::default()), Signer::p256());
    web.issuer(A, &[signer.jwk("k1")]);
    let door = door(&web);
    assert!(present(&door, &long(&signer, "k1"), NOW).is_ok());
    web.stalled.store(true, Ordering::SeqCst);
    let (first, second) = (format!("Bearer {}", long(&signer, "k1")), long(&signer, "k1"));
    let later = NOW + KEYS_FRESH_SECONDS;
    let headers = [first.as_bytes()];
    let mut waiting = pin!(door.authenticate(&headers, at(later)));
    assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending(), "one asks");
    assert!(present(&door, &second, later).is_ok(), "the others go on");
}

#[test]
fn metadata_may_stand_in_the_place_of_oauth() {
    let (web, signer) = (Arc::new(Web::default()), Signer::p256());
    web.issuer(A, &[signer.jwk("k1")]);
    web.remove(METADATA);
    web.put(OAUTH_METADATA, json!({ "issuer": A, "jwks_uri": "https://keys.example/a?x=1" }).to_string());
    web.put("https://keys.example/a?x=1", json!({ "keys": [signer.jwk("k1")] }).to_string());
    assert!(present(&door(&web), &long(&signer, "k1"), NOW).is_ok());
}

#[test]
fn metadata_that_cannot_be_believed_bring_no_keys() {
    let signer = Signer::p256();
    let keys = format!("{A}/keys");
    let rows = [
        ("another issuer", json!({ "issuer": "https://b.example", "jwks_uri": keys }).to_string(), "another issuer"),
        ("a slash more", json!({ "issuer": format!("{A}/"), "jwks_uri": keys }).to_string(), "another issuer"),
        ("no issuer", json!({ "jwks_uri": keys }).to_string(), "lacks `issuer`"),
        ("no keys", json!({ "issuer": A }).to_string(), "lacks `jwks_uri`"),
        ("keys over http", json!({ "issuer": A, "jwks_uri": "http://a.example/keys" }).to_string(), "not trusted"),
        (
            "keys on this machine",
            json!({ "issuer": A, "jwks_uri": "http://127.0.0.1/keys" }).to_string(),
            "not trusted",
        ),
        ("keys in a file", json!({ "issuer": A, "jwks_uri": "file:///keys" }).to_string(), "not trusted"),
        ("two issuers", format!(r#"{{"issuer":"{A}","issuer":"{A}","jwks_uri":"{keys}"}}"#), "single reading"),
        ("a page for people", "<html>".to_owned(), "single reading"),
        ("a large page", " ".repeat(1024 * 1024 + 1), "cannot be fetched"),
    ];
    for (name, page, expected) in rows {
        let web = Arc::new(Web::default());
        web.issuer(A, &[signer.jwk("k1")]);
        // What stands in the second place would do, but the first one is wrong, not absent.
        web.put(OAUTH_METADATA, json!({ "issuer": A, "jwks_uri": keys }).to_string());
        web.put(METADATA, page);
        let refused = reason(present(&door(&web), &long(&signer, "k1"), NOW));
        assert!(refused.contains(expected), "{name}: {refused}");
    }
}

#[test]
fn keys_that_do_not_verify_are_left_out() {
    let signer = Signer::p256();
    let good = signer.jwk("k1");
    let secret = json!({ "kty": "oct", "kid": "k1", "k": base64("secret") });
    let bad = [
        secret.clone(),
        with(good.clone(), "use", json!("enc")),
        with(good.clone(), "key_ops", json!(["sign"])),
        with(good.clone(), "alg", json!("ES384")),
        with(good.clone(), "alg", json!("HS256")),
        with(good.clone(), "crv", json!("P-384")),
        with(good.clone(), "kty", json!("RSA")),
        with(good.clone(), "kty", Value::Null),
        with(good.clone(), "x", json!("AA")),
        with(good.clone(), "x", json!("*")),
        with(good.clone(), "d", json!("AA")),
        with(good.clone(), "kid", json!(7)),
        with(good.clone(), "kid", json!("")),
        with(good.clone(), "kid", Value::Null),
        json!("key"),
    ];
    for key in bad {
        let web = Arc::new(Web::default());
        web.issuer(A, std::slice::from_ref(&key));
        assert!(matches!(present(&door(&web), &long(&signer, "k1"), NOW), Err(Why::Key)), "{key}");
        web.issuer(A, &[key.clone(), good.clone()]);
        assert!(present(&door(&web), &long(&signer, "k1"), NOW).is_ok(), "a key that is in order beside {key}");
    }
    let web = Arc::new(Web::default());
    web.issuer(A, &[good.clone(), good.clone()]);
    assert!(matches!(present(&door(&web), &long(&signer, "k1"), NOW), Err(Why::Key)), "one name, two keys");
    web.issuer(A, &[with(good, "key_ops", json!(["verify"]))]);
    assert!(present(&door(&web), &long(&signer, "k1"), NOW).is_ok());
}

#[test]
fn a_key_set_is_bounded_and_has_one_reading() {
    let signer = Signer::p256();
    let many: Vec<Value> = (0..257).map(|number| signer.jwk(&number.to_string())).collect();
    for (page, expected) in [
        (json!({ "keys": many }).to_string(), "more than 256"),
        (json!({ "keys": {} }).to_string(), "lacks `keys`"),
        (r#"{"keys":[],"keys":[]}"#.to_owned(), "single reading"),
    ] {
        let web = Arc::new(Web::default());
        web.issuer(A, &[]);
        web.put("https://a.example/keys", page);
        let refused = reason(present(&door(&web), &long(&signer, "1"), NOW));
        assert!(refused.contains(expected), "{refused}");
    }
}
