//! Contract files, definitions and tool schemas, as a hostile server or a slip of the pen could make them: no
//! panic, bounded work.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use refmon_core::json::Json;
use refmon_policy::schema::Schema;
use refmon_policy::source::{parse_contract, parse_definitions};

fuzz_target!(|bytes: &[u8]| {
    let _definitions = parse_definitions(Path::new("d.json"), bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _contract = parse_contract(Path::new("c.toml"), text, Path::new("/base"));
    }
    let Ok(json) = Json::parse(bytes) else { return };
    if let Ok(schema) = Schema::compile(&json, false) {
        let _checked = refmon_core::ports::ArgumentSchema::check(&schema, &json);
    }
});
