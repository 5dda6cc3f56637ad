//! `zvmm sdk`: where what programs are written with is.

use std::io::Write;

use super::{Exit, Failure, print};
use crate::sdk;

/// `zvmm sdk --path`.
pub(super) fn path(out: &mut dyn Write) -> Result<Exit, Failure> {
    let folder = sdk::folder().map_err(Failure::host)?;
    print(out, &format!("{}\n", folder.display()))?;
    Ok(Exit::Program(0))
}
