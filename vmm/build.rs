//! Builds the guest kernel, the built-in programs and the SDK, for `src/guest_image.rs` and `src/sdk` to embed.

use std::process::ExitCode;

use guest_builder::{Image, KERNEL, PROGRAMS, embed::BuildScript};

fn main() -> ExitCode {
    BuildScript::run("..", |script| -> anyhow::Result<()> {
        let kernel = match script.replacement("ZVMM_GUEST_KERNEL")? {
            Some(path) => vec![Image {
                name: KERNEL.package.into(),
                path,
            }],
            None => script.build(KERNEL)?,
        };
        script.embed("kernel.rs", &kernel)?;
        script.embed("programs.rs", &script.build(PROGRAMS)?)?;
        sdk_builder::pack(script.workspace(), script.out_dir())
    })
}
