//! From the archive to a folder that is whole.

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use flate2::read::GzDecoder;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use tar::Archive;

use super::Error;

/// How often a folder that others write to at the same time is looked at again.
const ATTEMPTS: u32 = 8;

/// `parent/name` with the files of the archive, and nothing else is looked at there.
pub(super) fn unpacked(archive: &[u8], parent: &Path, name: &Path) -> Result<PathBuf, Error> {
    let path = parent.join(name);
    let failed = |source| Error::Unpack {
        path: path.clone(),
        source,
    };
    for _ in 0..ATTEMPTS {
        if is_whole(archive, &path).map_err(failed)? {
            return Ok(path);
        }
        replace(archive, parent, &path).map_err(failed)?;
    }
    Err(failed(io::Error::other("something keeps changing it")))
}

/// Whether every file of the archive is there, as it should be.
fn is_whole(archive: &[u8], folder: &Path) -> io::Result<bool> {
    let mut archive = Archive::new(GzDecoder::new(archive));
    for entry in archive.entries()? {
        let mut entry = entry?;
        let mut expected = Vec::new();
        entry.read_to_end(&mut expected)?;
        match fs::read(folder.join(entry.path()?)) {
            Ok(found) if found == expected => {}
            _ => return Ok(false),
        }
    }
    Ok(true)
}

/// Unpacks to a folder beside `path`, and gives it the name.
fn replace(archive: &[u8], parent: &Path, path: &Path) -> io::Result<()> {
    fs::create_dir_all(parent)?;
    // What is in it when this returns is deleted: nothing, or what had the name before.
    let beside = tempfile::Builder::new()
        .prefix(".unpacking-")
        .tempdir_in(parent)?;
    let fresh = beside.path().join("sdk");
    Archive::new(GzDecoder::new(archive)).unpack(&fresh)?;
    let rename = |flags| renameat_with(CWD, &fresh, CWD, path, flags);
    match rename(RenameFlags::NOREPLACE) {
        Err(rustix::io::Errno::EXIST) => Ok(rename(RenameFlags::EXCHANGE)?),
        other => Ok(other?),
    }
}
