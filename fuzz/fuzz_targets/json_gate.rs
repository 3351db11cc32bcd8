//! The strict JSON gate: no panic; what it accepts, another parser accepts, and reads alike; the canonical form is a
//! fixed point; checking and building agree; spans are the original bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use refmon_core::json::{Json, Members, Strictness, scan};

fuzz_target!(|bytes: &[u8]| {
    for strictness in [Strictness::Request, Strictness::Data, Strictness::Lenient] {
        let parsed = Json::parse_with(bytes, strictness);
        assert_eq!(parsed.is_ok(), scan(bytes, strictness).is_ok());
        let Ok(json) = parsed else { continue };
        if strictness == Strictness::Lenient {
            continue;
        }
        let canonical = json.canonical();
        let again = Json::parse_with(canonical.as_bytes(), strictness).expect("the canonical form is JSON");
        assert_eq!(again.canonical(), canonical);
        match serde_json::from_slice::<serde_json::Value>(bytes) {
            Ok(_) => {}
            Err(error) => assert!(error.to_string().contains("out of range") || error.to_string().contains("recursion"), "{error}"),
        }
        if let Ok(members) = Members::parse(bytes, strictness) {
            for member in members.all() {
                assert_eq!(json.member(&member.key), member.json(strictness).ok().as_ref());
            }
        }
    }
});
