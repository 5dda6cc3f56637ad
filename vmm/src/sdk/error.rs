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
}

impl Error {
    /// What to do about it.
    pub const fn remedy(&self) -> &'static str {
        "Set XDG_DATA_HOME to a folder that can be written to."
    }
}
