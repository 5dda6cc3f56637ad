//! `zvmm new` and `zvmm cargo`: programs in Rust.

use std::{ffi::OsString, io::Write, os::unix::process::CommandExt, path::Path};

use guest_builder::Toolchain;

use super::{Exit, Failure, print};
use crate::sdk::{self, TemplateError};

/// `zvmm new NAME`, in the current folder.
pub(super) fn new(name: &str, out: &mut dyn Write) -> Result<Exit, Failure> {
    let folder = sdk::folder().map_err(Failure::host)?;
    match sdk::create(Path::new(""), name, &folder) {
        Ok(()) => {}
        Err(error @ TemplateError::Write { .. }) => return Err(Failure::host(error)),
        Err(error) => return Err(Failure::Usage(format!("{error}."))),
    }
    let next = format!(
        "{name} is there. Next:\n  cd {name}\n  cargo build    # without rustup's x86_64-unknown-none: zvmm cargo build\n  \
         zvmm run target/x86_64-unknown-none/debug/{name}\n"
    );
    print(out, &next)?;
    Ok(Exit::Program(0))
}

/// `zvmm cargo ARGS`: becomes a cargo that can compile for the target.
pub(super) fn cargo(args: &[OsString]) -> Result<Exit, Failure> {
    let toolchain = Toolchain::find().map_err(|error| Failure::host(NoToolchain::from(error)))?;
    let mut command = guest_builder::cargo(&toolchain, args);
    let source = command.exec();
    let program = toolchain.cargo.display().to_string();
    Err(Failure::host(CannotStart { program, source }))
}

/// No toolchain compiles for the target.
#[derive(Debug, thiserror::Error)]
#[error("no Rust toolchain here compiles for x86_64-unknown-none: {0}")]
pub(super) struct NoToolchain(String);

impl NoToolchain {
    /// What to do about it.
    pub const REMEDY: &'static str = "Type 'rustup target add x86_64-unknown-none', or, on Debian as root, 'apt-get install \
                                      cargo-web rustc-web rust-web-src'.";
}

impl From<guest_builder::Error> for NoToolchain {
    fn from(error: guest_builder::Error) -> Self {
        NoToolchain(match error {
            guest_builder::Error::NoToolchain { tried } => tried.join("; "),
            other => other.to_string(),
        })
    }
}

/// The toolchain's cargo does not start.
#[derive(Debug, thiserror::Error)]
#[error("cannot start {program}")]
struct CannotStart {
    program: String,
    source: std::io::Error,
}
