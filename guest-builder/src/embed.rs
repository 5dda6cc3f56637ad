//! For build scripts: builds guests and writes the Rust source that embeds them in the crate.

use std::{
    env,
    fmt::{Display, Write as _},
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use crate::{
    Guest, Image, Toolchain, build,
    error::{Error, Result},
};

/// A build script at work.
#[derive(Debug)]
pub struct BuildScript {
    workspace: PathBuf,
    out_dir: PathBuf,
}

impl BuildScript {
    /// Runs the work of a build script. An error becomes an error of cargo.
    ///
    /// `workspace` is the way from the package's directory to the workspace's.
    pub fn run<E: Display + From<Error>>(
        workspace: &str,
        work: impl FnOnce(&Self) -> std::result::Result<(), E>,
    ) -> ExitCode {
        match Self::new(workspace)
            .map_err(E::from)
            .and_then(|script| work(&script))
        {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                for line in format!("{error:#}").lines() {
                    println!("cargo::error={line}");
                }
                ExitCode::FAILURE
            }
        }
    }

    fn new(workspace: &str) -> Result<Self> {
        let variable = |name| {
            env::var_os(name)
                .map(PathBuf::from)
                .ok_or(Error::NoVariable { name })
        };
        let path = variable("CARGO_MANIFEST_DIR")?.join(workspace);
        let workspace = fs::canonicalize(&path).map_err(|source| Error::Io {
            doing: "resolve",
            path,
            source,
        })?;
        Ok(Self {
            workspace,
            out_dir: variable("OUT_DIR")?,
        })
    }

    /// The workspace's directory.
    pub fn workspace(&self) -> &Path {
        &self.workspace
    }

    /// The directory for what the script makes.
    pub fn out_dir(&self) -> &Path {
        &self.out_dir
    }

    /// Builds a guest, and has cargo run the script again when what it is made of changes.
    ///
    /// # Errors
    ///
    /// Those of [`Toolchain::find`] and [`build`].
    pub fn build(&self, guest: Guest) -> Result<Vec<Image>> {
        for source in guest.sources.iter().chain(&["Cargo.toml", "Cargo.lock"]) {
            println!(
                "cargo::rerun-if-changed={}",
                self.workspace.join(source).display()
            );
        }
        println!("cargo::rerun-if-env-changed=CARGO_TARGET_DIR");
        build(&self.workspace, &Toolchain::find()?, guest)
    }

    /// Embeds images: writes `file` with an expression for `include!`, of type `&[(&str, &[u8])]`, that holds the
    /// name and the bytes of each. The bytes are aligned to a page.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn embed(&self, file: &str, images: &[Image]) -> Result<()> {
        let mut source = String::from("{\n#[repr(align(4096))]\nstruct PageAligned<T>(T);\n&[\n");
        for Image { name, path } in images {
            // A copy stays as it is while the crate is compiled, whatever other builds do.
            let copy = self.out_dir.join(name);
            fs::copy(path, &copy).map_err(|source| Error::Io {
                doing: "copy",
                path: path.clone(),
                source,
            })?;
            // Writing to a String does not fail.
            let _ = writeln!(
                source,
                "({name:?}, &PageAligned(*include_bytes!({copy:?})).0),"
            );
        }
        source.push_str("]\n}\n");
        let path = self.out_dir.join(file);
        fs::write(&path, source).map_err(|source| Error::Io {
            doing: "write",
            path,
            source,
        })
    }

    /// A file that the variable `name` of the environment gives instead of one that is built.
    /// A relative path is relative to the workspace.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when it is not there.
    pub fn replacement(&self, name: &str) -> Result<Option<PathBuf>> {
        println!("cargo::rerun-if-env-changed={name}");
        let Some(path) = env::var_os(name) else {
            return Ok(None);
        };
        let path = self.workspace.join(path);
        println!("cargo::rerun-if-changed={}", path.display());
        match fs::metadata(&path) {
            Ok(_) => Ok(Some(path)),
            Err(source) => Err(Error::Io {
                doing: "find",
                path,
                source,
            }),
        }
    }
}
