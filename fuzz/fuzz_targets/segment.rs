//! The parsers of segment files: no panic, bounded work, and a header has one spelling.
#![no_main]

use libfuzzer_sys::fuzz_target;
use refmon_audit::{frame, segment};

fuzz_target!(|bytes: &[u8]| {
    let _frame = frame::frame(bytes);
    let _batch = frame::batch(bytes);
    let _trailer = frame::find_trailer(bytes);
    let _parsed = frame::Trailer::parse(bytes);
    if let Ok(header) = segment::Header::parse(bytes) {
        assert_eq!(header.to_bytes()[..], bytes[..segment::HEADER_BYTES]);
    }
    let _number = segment::number_of(&String::from_utf8_lossy(bytes));
});
