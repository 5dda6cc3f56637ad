//! Scripts on core and model: what `zircon/tests/script` makes of bytes.
#![no_main]
#![allow(dead_code, unused_imports)]

#[path = "../../zircon/tests/common/mod.rs"]
mod common;
#[path = "../../zircon/tests/model/mod.rs"]
mod model;
#[path = "../../zircon/tests/script/mod.rs"]
mod script;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| script::play_bytes(bytes));
