//! Policy text: no panic.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _parsed = refmon_policy::rule::parse_policies(Path::new("p.cedar"), text);
    }
});
