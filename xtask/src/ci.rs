//! `cargo xtask ci`: everything a change must pass.

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::{
    guests,
    shell::{self, Workspace},
    test,
};

/// Formatting, lints and documentation first, because they are quick; then the tests.
pub(crate) fn ci(workspace: &Workspace) -> Result<ExitCode> {
    for (command, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        if !workspace
            .cargo(&[command, "--version"])
            .output()
            .is_ok_and(|out| out.status.success())
        {
            bail!("`cargo {command}` is not there; `rustup component add {component}` installs it");
        }
    }
    guests::set_up()?;
    shell::run(&mut workspace.cargo(&["fmt", "--all", "--check"]))?;
    let lint = "clippy --locked --workspace --all-targets -- --deny warnings";
    shell::run(&mut workspace.cargo(&lint.split(' ').collect::<Vec<_>>()))?;
    guests::clippy(workspace)?;
    let mut doc = workspace.cargo(&["doc", "--locked", "--workspace", "--no-deps"]);
    shell::run(doc.env("RUSTDOCFLAGS", "--deny warnings"))?;
    test::test(workspace, &[])
}
