//! Ways around the monitor that must not compile. Each file of `tests/misuse/` is one attack, and the `.stderr` beside
//! it is the error that stops it: a file that fails for another reason fails the test.

#[test]
fn every_bypass_fails_to_compile_for_its_own_reason() {
    trybuild::TestCases::new().compile_fail("tests/misuse/*.rs");
}
