//! The record decoder: no panic, and one record has one spelling.
#![no_main]

use libfuzzer_sys::fuzz_target;
use refmon_audit::record;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(envelope) = record::decode(bytes) {
        assert_eq!(record::encode(&envelope).expect("what was decoded encodes"), bytes);
    }
});
