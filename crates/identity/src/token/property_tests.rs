//! Laws of tokens.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::refused::Outward;
use crate::testing_tests::{A, NOW, Signer, Web, at, base64, claims, door, present, run};

fn signers() -> [Signer; 2] {
    [Signer::p256(), Signer::ed25519()]
}

#[test]
fn no_byte_of_a_token_can_be_changed() {
    for signer in signers() {
        let web = Arc::new(Web::default());
        web.issuer(A, &[signer.jwk("k1")]);
        let door = door(&web);
        let token = signer.token("k1", &claims(A));
        assert!(present(&door, &token, NOW).is_ok());
        let bytes = token.as_bytes();
        // Every place, with a bit changed, the next digit, a dot, and a byte that is no text.
        for place in 0..bytes.len() {
            for byte in [bytes[place] ^ 1, bytes[place].wrapping_add(1), bytes[place] ^ 0x20, b'.', 0, 0xff] {
                let mut value = format!("Bearer {token}").into_bytes();
                value["Bearer ".len() + place] = byte;
                let accepted = run(door.authenticate(&[&value], at(NOW))).is_ok();
                assert_eq!(accepted, byte == bytes[place], "{}: byte {place} as {byte}", signer.algorithm());
            }
        }
    }
}

/// Claims in which each value may be anything.
fn wild() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        Just(json!("acme")),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| prop::collection::vec(inner, 0..3).prop_map(Value::from))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn arbitrary_bytes_neither_panic_nor_pass(
        values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..3),
    ) {
        let door = door(&Arc::new(Web::default()));
        let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
        let refused = run(door.authenticate(&values, at(NOW))).unwrap_err();
        prop_assert_eq!(refused.outward(), Outward::Invalid);
    }

    #[test]
    fn arbitrary_parts_neither_panic_nor_pass(header in any::<Vec<u8>>(), body in ".*", signature in any::<Vec<u8>>()) {
        let (web, signer) = (Arc::new(Web::default()), Signer::p256());
        web.issuer(A, &[signer.jwk("k1")]);
        let part = |bytes: Vec<u8>| base64(bytes);
        let token = format!("{}.{}.{}", part(header), part(body.into_bytes()), part(signature));
        prop_assert!(present(&door(&web), &token, NOW).is_err());
    }

    #[test]
    fn whatever_an_issuer_signs_gives_all_of_a_caller_or_none(
        name in "iss|aud|exp|iat|nbf|sub|azp|act|tenant|scope|cnf",
        value in wild(),
    ) {
        let (web, signer) = (Arc::new(Web::default()), Signer::ed25519());
        web.issuer(A, &[signer.jwk("k1")]);
        let mut changed = claims(A);
        changed[&name] = value;
        if let Ok(caller) = present(&door(&web), &signer.token("k1", &changed), NOW) {
            prop_assert!(!caller.tenant().as_str().is_empty());
            prop_assert!(!caller.user().as_str().is_empty());
            prop_assert!(!caller.agent().as_str().is_empty());
            let free = ["azp", "sub", "tenant", "scope", "iat", "nbf"].contains(&name.as_str());
            prop_assert!(free, "{}: {}", name, changed[&name]);
        }
    }
}
