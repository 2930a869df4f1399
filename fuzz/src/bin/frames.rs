//! libFuzzer's `main`, with one target.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| serin_fuzz::frames::run(data));
