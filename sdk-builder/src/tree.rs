//! The files of the SDK, and the archive of them.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, Result};
use flate2::{Compression, write::GzEncoder};

/// Files by their paths in the SDK.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    files: BTreeMap<String, Vec<u8>>,
}

impl Tree {
    /// Adds a file.
    pub fn add(&mut self, to: &str, bytes: impl Into<Vec<u8>>) {
        self.files.insert(to.to_owned(), bytes.into());
    }

    /// Adds a file of the host, and has cargo run the build script again when it changes.
    pub fn add_file(&mut self, to: &str, from: &Path) -> Result<()> {
        let bytes = fs::read(from).with_context(|| format!("could not read {}", from.display()))?;
        println!("cargo::rerun-if-changed={}", from.display());
        self.add(to, bytes);
        Ok(())
    }

    /// Adds all files of a folder and those below it.
    pub fn add_dir(&mut self, to: &str, from: &Path) -> Result<()> {
        println!("cargo::rerun-if-changed={}", from.display());
        let failed = || format!("could not list {}", from.display());
        for entry in fs::read_dir(from).with_context(failed)? {
            let path = entry.with_context(failed)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let to = format!("{to}/{name}");
            if path.is_dir() {
                self.add_dir(&to, &path)?;
            } else {
                self.add_file(&to, &path)?;
            }
        }
        Ok(())
    }

    /// All files as a compressed archive. Equal trees make equal archives.
    pub fn pack(&self) -> Result<Vec<u8>> {
        let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
        for (path, bytes) in &self.files {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o644);
            header.set_mtime(0);
            header.set_size(bytes.len() as u64);
            archive
                .append_data(&mut header, path, bytes.as_slice())
                .with_context(|| format!("could not pack {path}"))?;
        }
        let failed = "could not pack the SDK";
        archive
            .into_inner()
            .and_then(GzEncoder::finish)
            .context(failed)
    }
}
