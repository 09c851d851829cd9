#![no_main]

#[path = "../bodies.rs"]
mod bodies;
#[path = "../../tests/fixture/mod.rs"]
mod fixture;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::config(data));
