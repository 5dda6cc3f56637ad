//! What can go wrong while guests are built, each with its remedy.

use std::{fmt, io, path::PathBuf, process::ExitStatus};

use crate::{TARGET, install};

/// Result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// Why the guests could not be built.
#[derive(Debug)]
pub enum Error {
    /// No toolchain on this machine can compile for the guest target.
    NoToolchain {
        /// One line for each toolchain that was looked at: where, and what it lacks.
        tried: Vec<String>,
    },
    /// A file could not be read, written or copied.
    Io {
        /// What was being done.
        doing: &'static str,
        /// To which file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A command could not be started.
    Start {
        /// The command line.
        command: String,
        /// The system's answer.
        source: io::Error,
    },
    /// A command ended with an error. It printed the reason itself.
    Failed {
        /// The command line.
        command: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// Cargo succeeded, yet a binary is not where it should be.
    NoImage {
        /// Where it should be.
        path: PathBuf,
    },
    /// A variable that cargo sets for build scripts is not there.
    NoVariable {
        /// Its name.
        name: &'static str,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoToolchain { tried } => {
                writeln!(
                    f,
                    "no Rust toolchain here compiles for {TARGET}, the target of the guest kernel:"
                )?;
                for line in tried {
                    writeln!(f, "  {line}")?;
                }
                write!(f, "{}", install::advice())
            }
            Self::Io {
                doing,
                path,
                source,
            } => {
                write!(f, "could not {doing} {}: {source}", path.display())
            }
            Self::Start { command, source } => write!(f, "could not start `{command}`: {source}"),
            Self::Failed { command, status } => {
                write!(
                    f,
                    "the guests do not build: `{command}` ended with {status}"
                )
            }
            Self::NoImage { path } => write!(
                f,
                "cargo built the guests, but {} is not there; is the binary declared somewhere else than src/main.rs or src/bin/?",
                path.display()
            ),
            Self::NoVariable { name } => {
                write!(
                    f,
                    "{name} is not set; this code runs in cargo's build scripts only"
                )
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } | Self::Start { source, .. } => Some(source),
            _ => None,
        }
    }
}
