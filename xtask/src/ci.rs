//! `cargo xtask ci`: everything a change must pass.

use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::{
    guests,
    shell::{self, Workspace},
    test,
};

/// Formatting, lints and documentation first, because they are quick; then the tests.
pub(crate) fn ci(workspace: &Workspace) -> Result<ExitCode> {
    const COMPONENTS: &str = "is the component there? (`rustup component add rustfmt clippy`)";
    guests::set_up()?;
    shell::run(&mut workspace.cargo(&["fmt", "--all", "--check"])).context(COMPONENTS)?;
    shell::run(&mut workspace.cargo(&[
        "clippy",
        "--locked",
        "--workspace",
        "--all-targets",
        "--",
        "--deny",
        "warnings",
    ]))
    .context(COMPONENTS)?;
    guests::clippy(workspace)?;
    let mut doc = workspace.cargo(&["doc", "--locked", "--workspace", "--no-deps"]);
    shell::run(doc.env("RUSTDOCFLAGS", "--deny warnings"))?;
    test::test(workspace, &[])
}
