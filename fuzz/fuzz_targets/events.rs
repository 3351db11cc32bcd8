//! Server-sent events: the same events however the stream is cut, bounded, no panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use refmon_gateway::link::events::Events;

fuzz_target!(|bytes: &[u8]| {
    let Some((&cut, stream)) = bytes.split_first() else { return };
    let mut whole = Events::default();
    let at_once = whole.push(stream).expect("an input of the fuzzer is within the limit");
    let mut pieces = Events::default();
    let mut one_by_one = Vec::new();
    for piece in stream.chunks(usize::from(cut).max(1)) {
        one_by_one.extend(pieces.push(piece).expect("the pieces are within it, too"));
    }
    assert_eq!(at_once, one_by_one);
    assert!(at_once.iter().all(|data| !data.is_empty() && data.len() <= stream.len()));
});
