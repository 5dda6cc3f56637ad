//! Builds the test guests, for `src/guests.rs` to embed.

use std::process::ExitCode;

use guest_builder::{TEST_GUESTS, embed::BuildScript};

fn main() -> ExitCode {
    BuildScript::run("..", |script| {
        script.embed("guests.rs", &script.build(TEST_GUESTS)?)
    })
}
