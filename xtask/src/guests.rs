//! The guest toolchain and what is built with it.

use std::{fs, process::ExitCode};

use anyhow::{Context as _, Result};
use guest_builder::{Guest, KERNEL, PROGRAMS, TEST_GUESTS, Toolchain};

use crate::shell::{self, Workspace, announce};

const ALL: [Guest; 3] = [KERNEL, PROGRAMS, TEST_GUESTS];

/// Makes sure that guests can be built here.
pub(crate) fn set_up() -> Result<Toolchain> {
    announce("look for a toolchain for the guest target");
    let toolchain = guest_builder::install::install()?;
    eprintln!("    {}", toolchain.describe());
    Ok(toolchain)
}

/// `cargo xtask guests`.
pub(crate) fn build(workspace: &Workspace) -> Result<ExitCode> {
    let toolchain = set_up()?;
    for guest in ALL {
        announce(&format!(
            "build {} for {}",
            guest.package,
            guest_builder::TARGET
        ));
        for image in guest_builder::build(workspace.root(), &toolchain, guest)? {
            let path = image.path.display();
            let file =
                fs::metadata(&image.path).with_context(|| format!("could not read {path}"))?;
            println!("{:9} bytes  {path}", file.len());
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Lints what is compiled for the guest only, where the toolchain has clippy.
pub(crate) fn clippy(workspace: &Workspace) -> Result<()> {
    let toolchain = set_up()?;
    for guest in ALL {
        announce(&format!(
            "clippy of {} for {}",
            guest.package,
            guest_builder::TARGET
        ));
        if !guest_builder::clippy(workspace.root(), &toolchain, guest)? {
            eprintln!("    skipped: {} has no clippy", toolchain.cargo.display());
            break;
        }
    }
    Ok(())
}

/// `cargo xtask install`.
pub(crate) fn install(workspace: &Workspace) -> Result<ExitCode> {
    set_up()?;
    shell::run(&mut workspace.cargo(&["install", "--locked", "--path", "vmm", "--bin", "zvmm"]))?;
    Ok(ExitCode::SUCCESS)
}
