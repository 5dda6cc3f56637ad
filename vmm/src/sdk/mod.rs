//! The SDK that this binary carries: an archive, packed by `build.rs`, and the folder it is unpacked to.
//!
//! The folder is `zvmm/sdk-VERSION-HASH` in the user's data folder. Whoever needs it calls [`folder`], which makes sure that it is
//! whole: every file is compared with the archive. What is missing or damaged is replaced by a fresh copy, which is
//! complete before it gets the name; so two processes may do this at once.

pub mod compiler;
mod error;
mod template;
mod unpack;

use std::{
    env,
    path::{Path, PathBuf},
};

pub use error::Error;
pub use template::{TemplateError, create};

/// The packed SDK.
static ARCHIVE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/sdk.tar.gz"));

/// Name of the folder: no other content has it.
const NAME: &str = env!("ZVMM_SDK_NAME");

/// The folder of the SDK, unpacked if it is not there or not whole.
///
/// # Errors
///
/// There is no place for it, or the host does not let it be written.
pub fn folder() -> Result<PathBuf, Error> {
    let parent = data_folder(env::var_os("XDG_DATA_HOME"), env::var_os("HOME"))?.join("zvmm");
    unpack::unpacked(ARCHIVE, &parent, Path::new(NAME))
}

/// The user's data folder, by the rules of the XDG base directories: relative paths do not count.
fn data_folder(
    xdg: Option<std::ffi::OsString>,
    home: Option<std::ffi::OsString>,
) -> Result<PathBuf, Error> {
    let absolute = |path: Option<std::ffi::OsString>| {
        path.map(PathBuf::from).filter(|path| path.is_absolute())
    };
    absolute(xdg)
        .or_else(|| absolute(home).map(|home| home.join(".local/share")))
        .ok_or(Error::NoPlace)
}

#[cfg(test)]
mod tests;
