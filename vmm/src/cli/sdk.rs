//! What programs are written with: `zvmm sdk`, `zvmm cc` and `zvmm c++`.

use std::{ffi::OsString, io::Write, os::unix::process::ExitStatusExt as _};

use super::{Exit, Failure, print};
use crate::sdk::{self, compiler};

pub(super) use compiler::Language;

/// `zvmm sdk --path`.
pub(super) fn path(out: &mut dyn Write) -> Result<Exit, Failure> {
    let folder = sdk::folder().map_err(Failure::host)?;
    print(out, &format!("{}\n", folder.display()))?;
    Ok(Exit::Program(0))
}

/// `zvmm cc` and `zvmm c++`: the exit code is the compiler's.
pub(super) fn compile(language: Language, args: &[OsString]) -> Result<Exit, Failure> {
    let folder = sdk::folder().map_err(Failure::host)?;
    let status = compiler::run(language, &folder, args).map_err(Failure::host)?;
    let code = status.code();
    let code = code.unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    Ok(Exit::of_program(code.into()))
}
