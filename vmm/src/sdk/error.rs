//! Why there is no SDK.

use std::{io, path::PathBuf};

/// Why the SDK cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No variable says where the user's data is.
    #[error("the SDK has no place: neither XDG_DATA_HOME nor HOME is an absolute path")]
    NoPlace,
    /// The host does not let it be written.
    #[error("the SDK cannot be unpacked to {path}")]
    Unpack {
        /// Where to.
        path: PathBuf,
        /// The host's answer.
        #[source]
        source: io::Error,
    },
    /// No compiler is in PATH.
    #[error("there is no compiler: neither {variable} nor PATH has {names}")]
    NoCompiler {
        /// The variable that would name one.
        variable: &'static str,
        /// What was looked for.
        names: &'static str,
    },
    /// The compiler does not run.
    #[error("the compiler {} does not run", compiler.display())]
    Compiler {
        /// Its name.
        compiler: PathBuf,
        /// The host's answer.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// What to do about it.
    pub const fn remedy(&self) -> &'static str {
        match self {
            Error::NoPlace | Error::Unpack { .. } => {
                "Set XDG_DATA_HOME to a folder that can be written to."
            }
            Error::NoCompiler { .. } | Error::Compiler { .. } => {
                "Install gcc and g++ (Debian: apt-get install gcc g++) or clang, or name a compiler in CC and CXX."
            }
        }
    }
}
