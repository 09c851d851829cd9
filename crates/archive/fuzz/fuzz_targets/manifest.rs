#![no_main]

#[path = "../bodies.rs"]
mod bodies;
#[path = "../../tests/handmade/mod.rs"]
mod handmade;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::manifest(data));
