//! Any registers in any order: what `zircon/tests/hostile` makes of bytes.
#![no_main]
#![allow(dead_code, unused_imports)]

#[path = "../../zircon/tests/common/mod.rs"]
mod common;
#[path = "../../zircon/tests/hostile/mod.rs"]
mod hostile;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hostile::play(bytes));
