//! Builds the guest kernel and the built-in programs, for `src/guest_image.rs` to embed.

use std::process::ExitCode;

use guest_builder::{Image, KERNEL, PROGRAMS, embed::BuildScript};

fn main() -> ExitCode {
    BuildScript::run("..", |script| {
        let kernel = match script.replacement("ZVMM_GUEST_KERNEL")? {
            Some(path) => vec![Image {
                name: KERNEL.package.into(),
                path,
            }],
            None => script.build(KERNEL)?,
        };
        script.embed("kernel.rs", &kernel)?;
        script.embed("programs.rs", &script.build(PROGRAMS)?)
    })
}
